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
