"""A model of one task: an estimator tuned inside the training lines, and a calibrated probability."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from crossres_ml.config_names import Tuning
from crossres_ml.errors import CohortError, ConfigError, LeakageError
from crossres_ml.models.conformal import Conformal
from crossres_ml.models.estimators import Estimator, TrainingView
from crossres_ml.models.profile import DrugProfile

if TYPE_CHECKING:  # configuration is heavy, and scoring does without
    from crossres_ml.config import FeatureConfig

# Platt scaling is fitted on a few hundred lines: a weak penalty keeps it finite when they separate.
_PLATT_C = 100.0
_CONSTANT = 1e-12


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation; 0 when one side is constant (a constant score ranks nothing)."""
    from scipy.stats import rankdata  # scoring with a saved model does without

    ra, rb = rankdata(a), rankdata(b)
    if np.ptp(ra) == 0 or np.ptp(rb) == 0:
        return 0.0
    return float(np.corrcoef(ra, rb)[0, 1])


@dataclass(frozen=True)
class Calibration:
    """Score -> probability of the class (Platt) and expected response (straight line).

    Attributes
    ----------
    slope, intercept : float
        Of the log odds.
    response_slope, response_intercept : float
        Of the response, in its unit.
    """

    slope: float
    intercept: float
    response_slope: float
    response_intercept: float

    @classmethod
    def fit(cls, score: np.ndarray, view: TrainingView) -> Calibration:
        """Learn from scores of training lines by fits that did not see them.

        Parameters
        ----------
        score : numpy.ndarray
            Shape (training lines,).
        view : TrainingView
            The training lines; those on which the task is scored are used.

        Returns
        -------
        Calibration
            The two lines.
        """
        from sklearn.linear_model import LogisticRegression  # scoring does without

        s, y, label = score[view.scored], view.y[view.scored], view.label[view.scored]
        unit = float(np.std(s))
        if unit < _CONSTANT:  # a constant score says the prevalence and the mean
            return cls(0.0, float(logit(label.mean())), 0.0, float(y.mean()))
        # the penalty must not depend on the unit of the score
        platt = LogisticRegression(C=_PLATT_C).fit((s / unit)[:, None], label)
        straight = float(np.cov(s, y, bias=True)[0, 1] / unit**2)
        shift = float(y.mean() - straight * s.mean())
        return cls(float(platt.coef_[0, 0]) / unit, float(platt.intercept_[0]), straight, shift)

    def apply(self, score: np.ndarray) -> dict[str, np.ndarray]:
        """Score -> ``probability`` and ``expected``."""
        return {
            "probability": expit(self.slope * score + self.intercept),
            "expected": self.response_slope * score + self.response_intercept,
        }


class FittedModel(ABC):
    """What evaluation, bundles and combinations need of a model that has learned.

    Attributes
    ----------
    name : str
        Name in results.
    cross_scores : numpy.ndarray
        Score of each training line by a fit without it.
    index : pandas.Index
        Training lines of the task, in the order of ``cross_scores``.
    trained_on : pandas.Index
        All lines that were learned from; parts of a combination may know more than its task's.
    inner_spearman : float
        Skill of ``cross_scores`` on the training lines on which the task is scored.
    calibration : Calibration
        Learned from ``cross_scores``.
    conformal : Conformal
        Learned from ``cross_scores`` too.
    by_itself : bool
        Whether no bit of a line's score depends on the lines that are scored with it.
    """

    name: str
    cross_scores: np.ndarray
    index: pd.Index
    trained_on: pd.Index
    inner_spearman: float
    calibration: Calibration
    conformal: Conformal
    by_itself: bool = False

    @abstractmethod
    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score lines."""

    @abstractmethod
    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Share score minus expected score among measured features."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Parameters read back from the fitted object."""

    def score_and_spread(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scores, and predictive standard deviations of the response; NaN where the model has none."""
        return self.score(X), np.full(len(X), np.nan)

    def spread(self, X: pd.DataFrame) -> np.ndarray:
        """Predictive standard deviation of the response; NaN where the model has none."""
        return self.score_and_spread(X)[1]

    def conclude(self, name: str, cross_scores: np.ndarray, view: TrainingView) -> None:
        """Keep what was learned: skill and calibration of the cross-fitted scores.

        Parameters
        ----------
        name : str
            Name in results.
        cross_scores : numpy.ndarray
            Score of each training line by a fit without it.
        view : TrainingView
            Training lines.
        """
        self.name, self.cross_scores, self.index = name, cross_scores, view.X.index
        self.trained_on = view.X.index
        self.inner_spearman = spearman(cross_scores[view.scored], view.y[view.scored])
        self.calibration = Calibration.fit(cross_scores, view)
        probability = self.calibration.apply(cross_scores[view.scored])["probability"]
        self.conformal = Conformal.fit(probability, view.label[view.scored])

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Score, calibrated probability, expected response and its spread, conformal p-values.

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features.

        Returns
        -------
        pandas.DataFrame
            ``score``, ``probability``, ``expected``, ``spread``, ``p_resistant``, ``p_sensitive``.
        """
        score, spread = self.score_and_spread(X)
        parts = {"score": score, **self.calibration.apply(score), "spread": spread}
        parts |= self.conformal.p_values(parts["probability"])
        return pd.DataFrame(parts, index=X.index)

    def predict_held_out(self, X: pd.DataFrame) -> pd.DataFrame:
        """As `predict`, for lines that must not have been trained on.

        Parameters
        ----------
        X : pandas.DataFrame
            Held-out lines x features.

        Returns
        -------
        pandas.DataFrame
            As `predict`.

        Raises
        ------
        LeakageError
            If a line was in the training lines.
        """
        if seen := sorted(set(self.trained_on) & set(X.index)):
            raise LeakageError(f"{len(seen)} held-out lines were trained on, such as {seen[:3]}")
        return self.predict(X)


class ResistanceModel(FittedModel):
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
    tuning : {'quick', 'full'}
        How many settings of the grid are tried.
    profile : DrugProfile, optional
        Predicts the drug profile that the estimator reads.
    """

    def __init__(
        self,
        name: str,
        features: FeatureConfig,
        inner_folds: int,
        seed: int,
        tuning: Tuning = "full",
        profile: DrugProfile | None = None,
    ) -> None:
        from crossres_ml.models.registry import ESTIMATORS  # all that can be fitted; scoring does without

        if name not in ESTIMATORS:
            raise ConfigError(f"no model {name!r}", where="models", do=f"known: {', '.join(ESTIMATORS)}")
        self.kind, self.features, self.inner_folds, self.seed = ESTIMATORS[name], features, inner_folds, seed
        self.settings = self.kind.grid[: self.kind.quick] if tuning == "quick" else self.kind.grid
        self.profile = profile if self.kind.uses_profile else None
        self._explained: tuple[pd.DataFrame, pd.DataFrame] | None = None

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
        folds = inner_folds(view, self.inner_folds, self.seed)
        tried = []
        for settings in self.settings:
            estimator = self.kind(self.features, self.seed, **settings)
            scores, fitted = estimator.cross_fit(view, folds)
            tried.append((estimator, scores, fitted))
        skill = [spearman(s[view.scored], view.y[view.scored]) for _, s, _ in tried]
        estimator, scores, fitted = tried[int(np.argmax(skill))]
        self.estimator_: Estimator = estimator if fitted else estimator.fit(view)
        self.conclude(self.kind.name, scores, view)
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

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score of the estimator."""
        return self.estimator_.score(X)

    def score_and_spread(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Score and predictive standard deviation of the estimator."""
        return self.estimator_.score_and_spread(X)

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """SHAP values; what goes through the predicted drug profile is handed on to its features."""
        if self._explained is None or self._explained[0] is not X:  # a stack asks for the same again
            shares = self.estimator_.explain(X)
            if self.profile is not None:
                shares = self.profile.hand_on(shares, X, self.estimator_.centre())
            self._explained = (X, shares)
        return self._explained[1]

    def parameters(self) -> dict[str, Any]:
        """Parameters of the estimator."""
        return self.estimator_.parameters()


def inner_folds(view: TrainingView, folds: int, seed: int) -> Sequence[np.ndarray]:
    """Split the training lines; relatives stay together.

    Parameters
    ----------
    view : TrainingView
        Training lines.
    folds : int
        How many.
    seed : int
        Same seed, same folds: models of one view can be stacked.

    Returns
    -------
    sequence of numpy.ndarray
        Row numbers held out.
    """
    codes, _ = pd.factorize(np.asarray(view.groups), sort=True)
    return _split(
        np.asarray(view.label, dtype=float).tobytes(), codes.astype(np.int64).tobytes(), folds, seed
    )


@lru_cache(maxsize=16)
def _split(label: bytes, groups: bytes, folds: int, seed: int) -> Sequence[np.ndarray]:
    """Every model of a view asks for the same folds, and the search for balanced ones is slow."""
    from sklearn.model_selection import StratifiedGroupKFold  # scoring does without

    labels, codes = np.frombuffer(label, dtype=float), np.frombuffer(groups, dtype=np.int64)
    folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [test for _, test in folder.split(labels, labels, codes)]
