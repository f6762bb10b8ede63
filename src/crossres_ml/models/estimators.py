"""What learns a score from features, and the rules for the features it is offered.

Every estimator takes a float32 table with columns ``block:name`` (NaN = missing), a continuous
response, and a 0/1 class, and gives a score per line, higher = more resistant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crossres_ml.errors import CohortError

if TYPE_CHECKING:  # configuration is heavy, and scoring does without
    from crossres_ml.config import FeatureConfig

BURDEN = "burden:mutated_genes"
_EVENT_BLOCKS = ("mutation:", "variant:", "driver:", "hotspot:", "cn_event:", "lineage:", "subtype:")
_ALWAYS_MIN_LINES = 20


@dataclass(frozen=True)
class TrainingView:
    """What a model may see while it learns: training lines only.

    Attributes
    ----------
    X : pandas.DataFrame
        Training lines x features.
    y : numpy.ndarray
        Continuous response.
    label : numpy.ndarray
        1 = resistant, 0 = not.
    groups : numpy.ndarray
        Relatives share one.
    scored : numpy.ndarray
        True for lines of the kind on which the task is scored: tuning is judged, and the
        probability calibrated, on these. The others (blood, for chemotherapy) are learned from.
    sensitivity : numpy.ndarray
        General drug sensitivity (z, higher = more resistant; NaN = not measured).
    """

    X: pd.DataFrame
    y: np.ndarray
    label: np.ndarray
    groups: np.ndarray
    scored: np.ndarray
    sensitivity: np.ndarray

    def take(self, rows: np.ndarray) -> TrainingView:
        """Keep some lines.

        Parameters
        ----------
        rows : numpy.ndarray
            Row numbers.

        Returns
        -------
        TrainingView
            The same view of these lines.
        """
        parts = {n: getattr(self, n)[rows] for n in ("y", "label", "groups", "scored", "sensitivity")}
        return replace(self, X=self.X.iloc[rows], **parts)


class Estimator(ABC):
    """One way to learn a score.

    Parameters
    ----------
    features : FeatureConfig
        Which features may be used.
    seed : int
        Seed of whatever is random.
    **settings
        One element of ``grid``.

    Attributes
    ----------
    name : str
        Name in configuration and results.
    baseline : bool
        Naive models that every other must beat.
    grid : sequence of mapping
        Settings that the inner folds choose among; the first ``quick`` of them when time is short.
    uses_profile : bool
        Whether it reads the predicted drug profile.
    """

    name: str
    baseline: bool = False
    grid: Sequence[Mapping[str, Any]] = ({},)
    quick: int = 1
    uses_profile: bool = False

    def __init__(self, features: FeatureConfig, seed: int, **settings: Any) -> None:
        self.features, self.seed, self.settings = features, seed, settings
        self.columns: list[str] = []

    @abstractmethod
    def fit(self, view: TrainingView) -> Estimator:
        """Learn from training lines."""

    @abstractmethod
    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score lines; only ``self.columns`` of ``X`` are used."""

    @abstractmethod
    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Share score minus expected score among ``self.columns``: SHAP values."""

    def score_and_spread(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scores, and predictive standard deviations of the response; NaN where the model has none."""
        return self.score(X), np.full(len(X), np.nan)

    def spread(self, X: pd.DataFrame) -> np.ndarray:
        """Predictive standard deviation of the response; NaN where the model has none."""
        return self.score_and_spread(X)[1]

    def use(self) -> np.ndarray | None:
        """How much each of ``self.columns`` is used, 0 for not at all; None where all are."""
        return None

    def centre(self) -> pd.Series:
        """Training mean of the predicted drug profile, for estimators that read it."""
        return pd.Series(dtype=float)

    def cross_fit(self, view: TrainingView, folds: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
        """Score every fold of the training lines by a fit on the others.

        Parameters
        ----------
        view : TrainingView
            Training lines.
        folds : sequence of numpy.ndarray
            Row numbers; every line once.

        Returns
        -------
        scores : numpy.ndarray
            Shape (lines,).
        fitted : bool
            Whether this estimator is now fitted on all the lines as well.
        """
        out = np.empty(len(view.y))
        everyone = np.arange(len(view.y))
        for rows in folds:
            rest = np.setdiff1d(everyone, rows)
            inner = type(self)(self.features, self.seed, **self.settings).fit(view.take(rest))
            out[rows] = inner.score(view.X.iloc[rows])
        return out, False

    def parameters(self) -> dict[str, Any]:
        """Parameters read back from the fitted object."""
        return dict(self.settings)

    def selected(self, X: pd.DataFrame) -> list[str]:
        """Select features, and refuse to learn from none."""
        columns = select_features(X, self.features)
        if not columns:
            raise CohortError(f"no feature to learn from in {len(X)} lines", where=f"model {self.name}")
        return columns


def select_features(X: pd.DataFrame, config: FeatureConfig) -> list[str]:
    """Features fit to learn from, judged on training lines only and without their response.

    Parameters
    ----------
    X : pandas.DataFrame
        Training lines.
    config : FeatureConfig
        Blocks, coverage, events, and the features that are always offered.

    Returns
    -------
    list of str
        Of the configured blocks and measured in at least ``min_coverage`` of the lines, or always
        offered; not constant; for mutations, other events and lineages at least ``min_events`` lines
        that differ from the most common value.
    """
    mine, named, event = _roles(tuple(X.columns), config)
    values = X.to_numpy()[:, mine]
    seen = np.isfinite(values)
    counts = seen.sum(axis=0)
    wide = counts >= config.min_coverage * len(X)
    named = named[mine] & (counts >= _ALWAYS_MIN_LINES)
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)  # NaN only where all are
    nonzero = ((values != 0) & seen).sum(axis=0)
    rare = event[mine] & (np.minimum(nonzero, counts - nonzero) < config.min_events)
    return list(X.columns[mine][(wide | named) & (high > low) & ~rare])


@lru_cache(maxsize=8)
def _roles(columns: tuple[str, ...], config: FeatureConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which columns are of the configured blocks or always offered; which always; which are events."""
    named = np.isin(columns, config.always)
    mine = np.array([c.partition(":")[0] in config.blocks for c in columns]) | named
    return mine, named, np.array([c.startswith(_EVENT_BLOCKS) for c in columns])
