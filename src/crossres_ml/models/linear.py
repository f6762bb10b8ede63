"""Linear models on imputed, standardised features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from crossres_ml.errors import CohortError
from crossres_ml.models.estimators import Estimator, TrainingView
from crossres_ml.models.weights import LinearWeights


class LinearPipeline(Estimator):
    """An imputing, scaling scikit-learn pipeline that ends in a linear model."""

    fits_label = False

    def _final(self) -> Any:
        raise NotImplementedError

    def _select(self, X: pd.DataFrame) -> list[str]:
        return self.selected(X)

    def fit(self, view: TrainingView) -> Estimator:
        """Fit imputer, scaler and model on the training lines."""
        self.columns = self._select(view.X)
        if not self.columns:
            raise CohortError(f"no feature to learn from in {len(view.X)} lines", where=f"model {self.name}")
        self.pipeline_: Pipeline = make_pipeline(SimpleImputer(), StandardScaler(), self._final())
        target = view.label if self.fits_label else view.y
        self.pipeline_.fit(view.X[self.columns].to_numpy(dtype=float), target)
        self.weights_ = _weights(self.pipeline_)
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Linear predictor."""
        return self.weights_.score(X[self.columns].to_numpy(dtype=float))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Exact linear SHAP values."""
        values = self.weights_.explain(X[self.columns].to_numpy(dtype=float))
        return pd.DataFrame(values, X.index, self.columns)

    def use(self) -> np.ndarray:
        """Coefficient of each column."""
        return self.weights_.coefficients

    def parameters(self) -> dict[str, Any]:
        """Parameters of the fitted final step."""
        return {**self.pipeline_[-1].get_params(), "n_features": len(self.columns)}


class RidgeScore(LinearPipeline):
    """Ridge regression of the continuous response."""

    name = "ridge"
    grid = ({"alpha": 3000.0}, {"alpha": 1000.0}, {"alpha": 10000.0}, {"alpha": 300.0})
    quick = 2

    def _final(self) -> Ridge:
        return Ridge(alpha=self.settings["alpha"], solver="cholesky")


class ElasticNetScore(LinearPipeline):
    """Elastic net on the continuous response: sparse where ridge is dense."""

    name = "elastic_net"
    grid = ({"share": 0.1}, {"share": 0.2}, {"share": 0.05})
    quick = 2

    def fit(self, view: TrainingView) -> Estimator:
        """Fit with a penalty in units of the spread of the response."""
        self._spread = float(np.std(view.y))
        return super().fit(view)

    def _final(self) -> ElasticNet:
        # half L1, half L2 for a response of spread 1: only the L1 part has the unit of the response;
        # the coordinate descent visits coefficients in order, so nothing is random
        alpha, ratio = self.settings["share"] / 2 * (1 + self._spread), self._spread / (1 + self._spread)
        return ElasticNet(alpha=alpha, l1_ratio=ratio, max_iter=5000, tol=1e-3)


class LogisticScore(LinearPipeline):
    """L2-regularised logistic regression of the class."""

    name = "logistic"
    grid = ({"C": 1e-4}, {"C": 1e-3}, {"C": 1e-2})
    quick = 2
    fits_label = True

    def _final(self) -> LogisticRegression:
        return LogisticRegression(C=self.settings["C"], solver="lbfgs", tol=1e-5, max_iter=2000)


def _weights(pipeline: Pipeline) -> LinearWeights:
    """Take the numbers out of a fitted imputer, scaler and linear model."""
    imputer, scaler, model = (pipeline[i] for i in range(3))
    return LinearWeights(
        imputer.statistics_, scaler.mean_, scaler.scale_, np.ravel(model.coef_),
        np.ravel(model.intercept_)[:1].astype(float),
    )  # fmt: skip
