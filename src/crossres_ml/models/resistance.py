"""A model of one task: an estimator tuned inside the training lines, and a calibrated probability."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from crossres_ml.config import FeatureConfig
from crossres_ml.errors import CohortError, ConfigError, LeakageError
from crossres_ml.models.estimators import ESTIMATORS, Estimator

# Platt scaling is fitted on a few hundred lines: a weak penalty keeps it finite when they separate.
_PLATT_C = 100.0


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
    """

    X: pd.DataFrame
    y: np.ndarray
    label: np.ndarray
    groups: np.ndarray
    scored: np.ndarray


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation; 0 when one side is constant (a constant score ranks nothing)."""
    ra, rb = rankdata(a), rankdata(b)
    if np.ptp(ra) == 0 or np.ptp(rb) == 0:
        return 0.0
    return float(np.corrcoef(ra, rb)[0, 1])


class ResistanceModel:
    """An estimator with its settings chosen, and its score calibrated, inside the training lines.

    Parameters
    ----------
    name : str
        A name of `ESTIMATORS`.
    features : FeatureConfig
        Feature rules.
    inner_folds : int
        Folds inside the training lines.
    seed : int
        Seed of estimator and inner folds.

    Attributes
    ----------
    inner_spearman_ : float
        Skill of the chosen setting on the inner held-out lines.
    trained_on_ : frozenset of str
        Lines seen in `fit`; scoring or explaining them as held out raises.
    """

    def __init__(self, name: str, features: FeatureConfig, inner_folds: int, seed: int) -> None:
        if name not in ESTIMATORS:
            raise ConfigError(f"no model {name!r}", where="models", do=f"known: {', '.join(ESTIMATORS)}")
        self.kind, self.features, self.inner_folds, self.seed = ESTIMATORS[name], features, inner_folds, seed

    def fit(self, view: TrainingView) -> ResistanceModel:
        """Tune, calibrate, and fit on all training lines.

        Parameters
        ----------
        view : TrainingView
            Training lines.

        Returns
        -------
        ResistanceModel
            Itself.

        Raises
        ------
        CohortError
            If a class has fewer lines than there are inner folds.
        """
        self._check(view)
        with threadpool_limits(1):  # the number of threads would decide the last bits
            return self._fit(view)

    def _fit(self, view: TrainingView) -> ResistanceModel:
        folder = StratifiedGroupKFold(self.inner_folds, shuffle=True, random_state=self.seed)
        folds = list(folder.split(view.X, view.label, view.groups))
        held_out = {i: np.empty(len(view.y)) for i in range(len(self.kind.grid))}
        for (train, test), i in itertools.product(folds, held_out):
            inner = self._new(i).fit(view.X.iloc[train], view.y[train], view.label[train])
            held_out[i][test] = inner.score(view.X.iloc[test])
        on = view.scored
        skill = [spearman(s[on], view.y[on]) for s in held_out.values()]
        best = int(np.argmax(skill))
        self.inner_spearman_ = skill[best]
        self.estimator_ = self._new(best).fit(view.X, view.y, view.label)
        platt = LogisticRegression(C=_PLATT_C).fit(held_out[best][on, None], view.label[on])
        self.slope_, self.intercept_ = float(platt.coef_[0, 0]), float(platt.intercept_[0])
        self.trained_on_ = frozenset(view.X.index)
        return self

    def _check(self, view: TrainingView) -> None:
        """Both classes must be in every inner fold, or nothing can be calibrated."""
        resistant, n = int(view.label[view.scored].sum()), int(view.scored.sum())
        if min(resistant, n - resistant) < self.inner_folds:
            raise CohortError(
                f"{resistant} of {n} training lines are resistant; each class needs at least "
                f"{self.inner_folds} lines",
                where=f"model {self.kind.name}",
                do="use more lines, or another resistant_quantile",
            )

    def _new(self, setting: int) -> Estimator:
        return self.kind(self.features, self.seed, **self.kind.grid[setting])

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Score and probability of resistance.

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features.

        Returns
        -------
        pandas.DataFrame
            ``score`` (continuous) and ``probability``.
        """
        score = self.estimator_.score(X)
        probability = expit(self.slope_ * score + self.intercept_)
        return pd.DataFrame({"score": score, "probability": probability}, index=X.index)

    def predict_held_out(self, X: pd.DataFrame) -> pd.DataFrame:
        """As `predict`, for lines that must not have been trained on.

        Parameters
        ----------
        X : pandas.DataFrame
            Held-out lines x features.

        Returns
        -------
        pandas.DataFrame
            ``score`` and ``probability``.

        Raises
        ------
        LeakageError
            If a line was in the training lines.
        """
        if seen := sorted(self.trained_on_ & set(X.index)):
            raise LeakageError(f"{len(seen)} held-out lines were trained on, such as {seen[:3]}")
        return self.predict(X)
