"""Partial correlations of many features with one outcome, with intervals and detectable effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from crossres_ml.audit.adjust import basis, patterns, residualise, without

CONFIDENCE = 0.95
POWER = 0.80
MIN_FREE = 10
"""Fewest residual degrees of freedom of a correlation."""


def partial_correlations(X: pd.DataFrame, y: np.ndarray, design: np.ndarray) -> pd.DataFrame:
    """Correlate every feature with the outcome, both adjusted for a design on the lines measured.

    The squared partial correlation has t = r sqrt(df / (1 - r^2)) with df = n - rank - 1; its
    interval is Fisher's (z = atanh r, variance 1 / (n - rank - 2)), and the detectable effect is the
    r that a two-sided 5 % test finds with 80 % power by the same approximation (Cohen 1988; Fisher 1924
    for partial correlations).

    Parameters
    ----------
    X : pandas.DataFrame
        Lines x features, NaN where not measured.
    y : numpy.ndarray
        Outcome of the lines, nothing missing.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.

    Returns
    -------
    pandas.DataFrame
        Index: features; n (lines), df, r, low, high, p, mde. A feature with fewer than `MIN_FREE`
        degrees of freedom has NaN, and so has one without variance after adjustment, of its own or of the
        outcome in its lines.
    """
    fitted = residualise(X.to_numpy(dtype=float), design)
    r, n, rank = np.full(X.shape[1], np.nan), fitted.observed.sum(axis=0), fitted.rank
    for columns in patterns(fitted.observed):
        lines = fitted.observed[:, columns[0]]
        if lines.sum() - rank[columns[0]] - 1 < MIN_FREE:
            continue
        own = without(y[lines], basis(design[lines]))
        part = fitted.values[np.ix_(lines, columns)]
        sd = np.sqrt((part**2).sum(axis=0) * (own**2).sum())
        r[columns] = np.divide(own @ part, sd, out=np.full(len(columns), np.nan), where=sd > 0)
    return pd.DataFrame(describe_correlation(r, n, rank), index=X.columns)


def describe_correlation(r: np.ndarray, n: np.ndarray, rank: np.ndarray) -> dict[str, np.ndarray]:
    """Interval, p-value and detectable effect of partial correlations.

    Parameters
    ----------
    r : numpy.ndarray
        Partial correlations.
    n, rank : numpy.ndarray
        Lines, and rank of the design (intercept included) among them.

    Returns
    -------
    dict of str to numpy.ndarray
        n, df, r, low, high, p, mde.
    """
    r = np.clip(np.asarray(r, dtype=float), -1 + 1e-12, 1 - 1e-12)
    df = np.asarray(n) - np.asarray(rank) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * t.sf(np.abs(r) * np.sqrt(df / (1 - r**2)), df)
        se = np.where(df > 1, 1 / np.sqrt(np.maximum(df - 1, 1)), np.nan)
    wide = norm.ppf(0.5 + CONFIDENCE / 2) * se
    seen = np.tanh((norm.ppf(0.5 + CONFIDENCE / 2) + norm.ppf(POWER)) * se)
    known = np.isfinite(r)
    return {
        "n": np.asarray(n),
        "df": df,
        "r": r,
        "low": np.tanh(np.arctanh(r) - wide),
        "high": np.tanh(np.arctanh(r) + wide),
        "p": np.where(known, p, np.nan),
        "mde": np.where(known, seen, np.nan),
    }


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust p-values for the false discovery rate; NaN stays out and stays NaN."""
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p, dtype=float)
    out = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        out[known] = multipletests(p[known], method="fdr_bh")[1]
    return out
