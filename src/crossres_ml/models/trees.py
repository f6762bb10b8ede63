"""Tree models on the continuous response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline

from crossres_ml.models.estimators import Estimator, TrainingView
from crossres_ml.models.forest import Forest


class LightGBMScore(Estimator):
    """Gradient-boosted trees on the continuous response; missing values are native."""

    name = "lightgbm"
    grid: Sequence[Mapping[str, Any]] = (
        {"num_leaves": 8, "n_estimators": 80},
        {"num_leaves": 4, "n_estimators": 160},
    )
    objective = "regression"

    def _target(self, view: TrainingView) -> np.ndarray:
        return view.y

    def fit(self, view: TrainingView) -> Estimator:
        """Grow the trees, on one thread and deterministically."""
        self.columns = self.selected(view.X)
        params = {
            "objective": self.objective, "learning_rate": 0.06, "num_leaves": self.settings["num_leaves"],
            "min_data_in_leaf": 12, "feature_fraction": 0.15, "bagging_fraction": 0.7, "bagging_freq": 1,
            "lambda_l2": 5.0, "max_bin": 63, "seed": self.seed, "deterministic": True,
            "force_row_wise": True, "num_threads": 1, "verbosity": -1,
        }  # fmt: skip
        names = _safe(len(self.columns))
        data = lgb.Dataset(view.X[self.columns].to_numpy(), self._target(view), feature_name=names)
        self.booster_ = lgb.train(params, data, num_boost_round=self.settings["n_estimators"])
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Sum of the trees (log odds for the class)."""
        values = X[self.columns].to_numpy()
        return np.asarray(self.booster_.predict(values, raw_score=True, num_threads=1))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Exact tree SHAP, as LightGBM computes it (equal to ``shap.TreeExplainer``)."""
        values = self.booster_.predict(X[self.columns].to_numpy(), pred_contrib=True, num_threads=1)
        return pd.DataFrame(np.asarray(values)[:, :-1], X.index, self.columns)

    def use(self) -> np.ndarray:
        """Count the splits on each column."""
        return np.asarray(self.booster_.feature_importance("split"))

    def parameters(self) -> dict[str, Any]:
        """Parameters that the booster itself reports."""
        keep = ("objective", "learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction",
                "bagging_fraction", "lambda_l2", "max_bin", "seed")  # fmt: skip
        params = {k: self.booster_.params[k] for k in keep}
        return {**params, "n_estimators": self.booster_.num_trees(), "n_features": len(self.columns)}


class LightGBMClass(LightGBMScore):
    """The same trees on the class itself, to show what training the score gains."""

    name = "lightgbm_class"
    grid = LightGBMScore.grid[:1]
    objective = "binary"

    def _target(self, view: TrainingView) -> np.ndarray:
        return view.label


class ExtraTreesScore(Estimator):
    """Extremely randomised trees: the field's strongest plain baseline for drug response."""

    name = "extra_trees"
    grid = (
        {"min_samples_leaf": 3, "n_estimators": 40, "max_features": 0.05},
        {"min_samples_leaf": 3, "n_estimators": 200, "max_features": 0.05},
    )

    def fit(self, view: TrainingView) -> Estimator:
        """Grow the trees on median-imputed features."""
        self.columns = self.selected(view.X)
        forest = ExtraTreesRegressor(random_state=self.seed, n_jobs=1, **self.settings)
        self.pipeline_: Pipeline = make_pipeline(SimpleImputer(strategy="median"), forest)
        self.pipeline_.fit(view.X[self.columns].to_numpy(), view.y)
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Mean over trees."""
        return np.asarray(self.pipeline_.predict(X[self.columns].to_numpy()))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Path attribution (see `Forest.explain`)."""
        values = Forest.of(self.pipeline_).explain(X[self.columns].to_numpy(dtype=np.float32))
        return pd.DataFrame(values, X.index, self.columns)

    def use(self) -> np.ndarray:
        """Count the splits on each column."""
        forest = Forest.of(self.pipeline_)
        return np.bincount(forest.feature[forest.left >= 0], minlength=len(self.columns))

    def parameters(self) -> dict[str, Any]:
        """Parameters of the fitted forest."""
        keep = ("n_estimators", "max_features", "min_samples_leaf", "random_state")
        params = self.pipeline_[-1].get_params()
        return {**{k: params[k] for k in keep}, "n_features": len(self.columns)}


def _safe(n: int) -> list[str]:
    """Feature names that LightGBM's text format keeps as they are (it forbids ``:`` and more)."""
    return [f"f{i}" for i in range(n)]
