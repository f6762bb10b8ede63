"""Linear SHAP of a ridge regression, with an analytic p-value for every feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

EXPLAINED = 0.2
"""Share of the outcome's variance that all features together may explain: what the models reach
on radiation (R2 about .2). It sets the penalty, which is thereby chosen without a look at the outcome."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """The part of a ridge regression that does not depend on the outcome.

    Attributes
    ----------
    X : numpy.ndarray
        Lines x features, adjusted and standardised, zero where not measured.
    map_ : numpy.ndarray
        Features x lines, M: coefficients are M y.
    norms : numpy.ndarray
        Length of each row of M.
    mean_abs : numpy.ndarray
        Mean absolute value of each feature over all lines.
    """

    X: np.ndarray
    map_: np.ndarray
    norms: np.ndarray
    mean_abs: np.ndarray

    def of(self, features: np.ndarray) -> Ridge:
        """Keep what tells of some features only; the others were fitted beside them all the same."""
        return Ridge(self.X[:, features], self.map_[features], self.norms[features], self.mean_abs[features])


def prepare(X: np.ndarray) -> Ridge:
    """Make the map from outcome to coefficients.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, adjusted (`crossres_ml.audit.adjust.residualise`).

    Returns
    -------
    Ridge
        M = X' (X X' + l I)^-1 with l = p' (1 - h) / h, h = `EXPLAINED` and p' the mean squared length of
        a line: the best linear predictor when effects are exchangeable (Robinson 1991).
    """
    n = len(X)
    kernel = X @ X.T
    penalty = float(np.trace(kernel)) / n * (1 - EXPLAINED) / EXPLAINED
    map_ = np.linalg.solve(kernel + penalty * np.eye(n), X).T
    return Ridge(X, map_, np.sqrt((map_**2).sum(axis=1)), np.abs(X).mean(axis=0))


def effects(ridge: Ridge, y: np.ndarray, free: int) -> dict[str, np.ndarray]:
    """Coefficients, mean absolute linear SHAP values and their p-values, for one or many outcomes.

    For independent features the SHAP value of a linear model is beta_j (x_ij - mean x_j) (Lundberg
    and Lee 2017), so ``mean |SHAP|_j = |beta_j| mean |x_j|``. Without any effect, beta_j = M_j e is normal
    with standard deviation ``sigma |M_j|``, sigma^2 = y'y / free; a real effect elsewhere only makes
    sigma larger.

    Parameters
    ----------
    ridge : Ridge
        As `prepare` gives it.
    y : numpy.ndarray
        Lines, or lines x outcomes: adjusted as X was.
    free : int
        Lines minus the rank of the design that y was adjusted for.

    Returns
    -------
    dict of str to numpy.ndarray
        coefficient, mean_abs_shap, z, p; features, or features x outcomes.
    """
    beta = ridge.map_ @ y
    sigma = np.sqrt((y**2).sum(axis=0) / free)
    shape = (-1,) + (1,) * (beta.ndim - 1)
    norms = ridge.norms.reshape(shape)
    z = np.divide(beta, norms * sigma, out=np.zeros_like(beta), where=norms > 0)
    shap = np.abs(beta) * ridge.mean_abs.reshape(shape)
    return {"coefficient": beta, "mean_abs_shap": shap, "z": z, "p": 2 * norm.sf(np.abs(z))}


def linear_shap(ridge: Ridge, y: np.ndarray, features: pd.Index, free: int) -> pd.DataFrame:
    """Table of `effects` for one outcome.

    Parameters
    ----------
    ridge : Ridge
        As `prepare` gives it.
    y : numpy.ndarray
        Lines: adjusted as X was.
    features : pandas.Index
        Names of the features.
    free : int
        Lines minus the rank of the design.

    Returns
    -------
    pandas.DataFrame
        Index: features; coefficient, mean_abs_shap, z, p, rank (1 = largest mean ``|SHAP|``; ties share
        the mean), of.
    """
    table = pd.DataFrame(effects(ridge, y, free), index=features)
    table["p"] = table.p.where(ridge.norms > 0)
    table["rank"] = rankdata(-table.mean_abs_shap)
    return table.assign(of=len(table))
