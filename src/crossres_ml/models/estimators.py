"""What learns a score from features: naive baselines, linear models, gradient-boosted trees.

Every estimator takes a float32 table with columns ``block:name`` (NaN = missing), a continuous
response, and a 0/1 class, and gives a score per line, higher = more resistant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from crossres_ml.config import FeatureConfig
from crossres_ml.errors import CohortError

BURDEN = "burden:mutated_genes"
_EVENT_BLOCKS = ("mutation:", "variant:", "driver:", "lineage:")


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
        Settings that the inner folds choose among.
    """

    name: str
    baseline: bool = False
    grid: Sequence[Mapping[str, Any]] = ({},)

    def __init__(self, features: FeatureConfig, seed: int, **settings: Any) -> None:
        self.features, self.seed, self.settings = features, seed, settings
        self.columns: list[str] = []

    @abstractmethod
    def fit(self, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Estimator:
        """Learn from training lines."""

    @abstractmethod
    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score lines; only ``self.columns`` of ``X`` are used."""

    @abstractmethod
    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """SHAP values of ``self.columns``: score minus expected score, shared among features."""

    def parameters(self) -> dict[str, Any]:
        """Parameters read back from the fitted object."""
        return dict(self.settings)


def select_features(X: pd.DataFrame, config: FeatureConfig) -> list[str]:
    """Features fit to learn from, judged on training lines only and without their response.

    Parameters
    ----------
    X : pandas.DataFrame
        Training lines.
    config : FeatureConfig
        Coverage, events, and the features that are always offered.

    Returns
    -------
    list of str
        Measured in at least ``min_coverage`` of the lines, or always offered; not constant; for
        mutations, drivers and lineages at least ``min_events`` lines that differ from the most
        common value.
    """
    values = X.to_numpy()
    seen = np.isfinite(values)
    counts = seen.sum(axis=0)
    wide = counts >= config.min_coverage * len(X)
    named = X.columns.isin(config.always) & (counts >= 20)
    with np.errstate(invalid="ignore"):
        low = np.where(seen, values, np.inf).min(axis=0)
        high = np.where(seen, values, -np.inf).max(axis=0)
    event = X.columns.str.startswith(_EVENT_BLOCKS)
    nonzero = (np.where(seen, values, 0) != 0).sum(axis=0)
    rare = event & (np.minimum(nonzero, counts - nonzero) < config.min_events)
    return list(X.columns[(wide | named) & (high > low) & ~rare])


def offered_features(X: pd.DataFrame, config: FeatureConfig) -> list[str]:
    """List what any estimator could use: selected features, and those of the naive baselines.

    Parameters
    ----------
    X : pandas.DataFrame
        Training lines.
    config : FeatureConfig
        Feature rules.

    Returns
    -------
    list of str
        Column names, in order.
    """
    kept = {*select_features(X, config), BURDEN}
    return [c for c in X.columns if c in kept or c.startswith("lineage:")]


class Prevalence(Estimator):
    """Every line alike: the share of resistant training lines."""

    name = "prevalence"
    baseline = True

    def fit(self, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Estimator:
        """Learn nothing; the probability is calibrated to the prevalence."""
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score every line 0."""
        return np.zeros(len(X))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """No feature contributes."""
        return pd.DataFrame(index=X.index)


class LineageMean(Estimator):
    """The mean response of the line's lineage among training lines (the overall mean if unseen)."""

    name = "lineage_mean"
    baseline = True

    def fit(self, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Estimator:
        """Average the response within lineages."""
        self.columns = [c for c in X.columns if c.startswith("lineage:")]
        onehot = X[self.columns].to_numpy(dtype=float)
        n = onehot.sum(axis=0)
        self.overall_ = float(np.mean(y))
        self.means_ = np.where(n > 0, (onehot.T @ y) / np.maximum(n, 1), self.overall_)
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Look the lineage up."""
        onehot = np.nan_to_num(X[self.columns].to_numpy(dtype=float))
        return np.asarray(self.overall_ + onehot @ (self.means_ - self.overall_))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Deviation of the lineage from the overall mean."""
        onehot = np.nan_to_num(X[self.columns].to_numpy(dtype=float))
        return pd.DataFrame(onehot * (self.means_ - self.overall_), X.index, self.columns)


class LinearPipeline(Estimator):
    """An imputing, scaling scikit-learn pipeline that ends in a linear model."""

    fits_label = False

    def _final(self) -> Any:
        raise NotImplementedError

    def _select(self, X: pd.DataFrame) -> list[str]:
        return select_features(X, self.features)

    def fit(self, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Estimator:
        """Fit imputer, scaler and model on the training lines."""
        self.columns = self._select(X)
        if not self.columns:
            raise CohortError(f"no feature to learn from in {len(X)} lines", where=f"model {self.name}")
        self.pipeline_: Pipeline = make_pipeline(SimpleImputer(), StandardScaler(), self._final())
        self.pipeline_.fit(X[self.columns].to_numpy(dtype=float), label if self.fits_label else y)
        return self

    def _scaled(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.pipeline_[:-1].transform(X[self.columns].to_numpy(dtype=float)))

    def _coefficients(self) -> np.ndarray:
        return np.ravel(self.pipeline_[-1].coef_)

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Linear predictor."""
        return np.asarray(self._scaled(X) @ self._coefficients()) + float(
            np.ravel(self.pipeline_[-1].intercept_)[0]
        )

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Exact linear SHAP: coefficient times distance from the training mean (independent features)."""
        return pd.DataFrame(self._scaled(X) * self._coefficients(), X.index, self.columns)

    def parameters(self) -> dict[str, Any]:
        """Parameters of the fitted final step."""
        return {**self.pipeline_[-1].get_params(), "n_features": len(self.columns)}


class MutationBurden(LinearPipeline):
    """Straight line on the number of mutated genes."""

    name = "mutation_burden"
    baseline = True

    def _final(self) -> LinearRegression:
        return LinearRegression()

    def _select(self, X: pd.DataFrame) -> list[str]:
        return [c for c in (BURDEN,) if c in X and X[c].notna().any()]


class RidgeScore(LinearPipeline):
    """Ridge regression of the continuous response."""

    name = "ridge"
    grid = ({"alpha": 300.0}, {"alpha": 1000.0}, {"alpha": 3000.0}, {"alpha": 10000.0})

    def _final(self) -> Ridge:
        return Ridge(alpha=self.settings["alpha"], solver="cholesky")


class LogisticScore(LinearPipeline):
    """L2-regularised logistic regression of the class."""

    name = "logistic"
    grid = ({"C": 1e-4}, {"C": 1e-3}, {"C": 1e-2})
    fits_label = True

    def _final(self) -> LogisticRegression:
        return LogisticRegression(C=self.settings["C"], solver="lbfgs", tol=1e-5, max_iter=2000)


class LightGBMScore(Estimator):
    """Gradient-boosted trees on the continuous response; missing values are native."""

    name = "lightgbm"
    grid = (
        {"num_leaves": 4, "n_estimators": 160},
        {"num_leaves": 8, "n_estimators": 100},
    )

    def fit(self, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Estimator:
        """Grow the trees, on one thread and deterministically."""
        self.columns = select_features(X, self.features)
        if not self.columns:
            raise CohortError(f"no feature to learn from in {len(X)} lines", where=f"model {self.name}")
        params = {
            "objective": "regression", "learning_rate": 0.06, "num_leaves": self.settings["num_leaves"],
            "min_data_in_leaf": 12, "feature_fraction": 0.15, "bagging_fraction": 0.7, "bagging_freq": 1,
            "lambda_l2": 5.0, "max_bin": 63, "seed": self.seed, "deterministic": True,
            "force_row_wise": True, "num_threads": 1, "verbosity": -1,
        }  # fmt: skip
        data = lgb.Dataset(X[self.columns].to_numpy(), y, feature_name=_safe(len(self.columns)))
        self.booster_ = lgb.train(params, data, num_boost_round=self.settings["n_estimators"])
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Sum of the trees."""
        return np.asarray(self.booster_.predict(X[self.columns].to_numpy(), num_threads=1))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Exact tree SHAP, as LightGBM computes it (equal to ``shap.TreeExplainer``)."""
        values = self.booster_.predict(X[self.columns].to_numpy(), pred_contrib=True, num_threads=1)
        return pd.DataFrame(np.asarray(values)[:, :-1], X.index, self.columns)

    def parameters(self) -> dict[str, Any]:
        """Parameters that the booster itself reports."""
        keep = ("objective", "learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction",
                "bagging_fraction", "lambda_l2", "max_bin", "seed")  # fmt: skip
        params = {k: self.booster_.params[k] for k in keep}
        return {**params, "n_estimators": self.booster_.num_trees(), "n_features": len(self.columns)}


def _safe(n: int) -> list[str]:
    """Feature names that LightGBM's text format keeps as they are (it forbids ``:`` and more)."""
    return [f"f{i}" for i in range(n)]


ESTIMATORS: dict[str, type[Estimator]] = {
    c.name: c for c in (Prevalence, LineageMean, MutationBurden, LogisticScore, RidgeScore, LightGBMScore)
}
