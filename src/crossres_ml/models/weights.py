"""A fitted linear model as plain arrays: all that scoring needs, without what fits it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossres_ml.errors import BundleError


@dataclass(frozen=True)
class LinearWeights:
    """A fitted linear pipeline as plain arrays, one number a feature: what is kept of it.

    Attributes
    ----------
    fill : numpy.ndarray
        Stands in where a value is missing: the training mean.
    centre, scale : numpy.ndarray
        Training mean and spread.
    coefficients : numpy.ndarray
        Per unit of spread.
    intercept : numpy.ndarray
        Shape (1,).
    """

    fill: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    intercept: np.ndarray

    def __post_init__(self) -> None:
        parts = (self.fill, self.centre, self.scale, self.coefficients)
        if (
            {p.shape for p in parts} != {(len(self.fill),)}
            or self.intercept.shape != (1,)
            or not all(np.isfinite(p).all() for p in (*parts, self.intercept))
            or (self.scale <= 0).any()
        ):
            raise BundleError("the numbers of the linear model do not fit together", do="train again")

    def scaled(self, X: np.ndarray) -> np.ndarray:
        """Fill and standardise lines x features."""
        return np.asarray((np.where(np.isnan(X), self.fill, X) - self.centre) / self.scale)

    def score(self, X: np.ndarray) -> np.ndarray:
        """Linear predictor of lines x features."""
        return np.asarray(self.scaled(X) @ self.coefficients + self.intercept[0])

    def explain(self, X: np.ndarray) -> np.ndarray:
        """Exact linear SHAP: coefficient times distance from the training mean (independent features)."""
        return np.asarray(self.scaled(X) * self.coefficients)
