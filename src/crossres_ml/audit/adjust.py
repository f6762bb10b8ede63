"""Adjustment: ranks to normal scores, designs of lineage and covariates, and residuals on them.

Missing values stay out: a column is adjusted on the lines that it was measured in, and is zero
elsewhere *after* adjustment, so that what is missing says nothing, whatever lineage it is missing in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

SMALL_LINEAGE = 5
"""Lineages with fewer lines are pooled into one."""
_MISSING_NEEDS_INDICATOR = 5
_RANK_TOLERANCE = 1e-9
_NOTHING_LEFT = 1e-6


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Turn values into normal scores of their ranks.

    Parameters
    ----------
    values : numpy.ndarray
        n values, nothing missing; ties share their mean rank.

    Returns
    -------
    numpy.ndarray
        Normal quantiles of (rank - 3/8) / (n + 1/4) (Blom 1958).
    """
    ranks = rankdata(values)
    return np.asarray(norm.ppf((ranks - 0.375) / (len(ranks) + 0.25)))


def tissue_design(lineage: pd.Series) -> np.ndarray:
    """One column a lineage; those with fewer than `SMALL_LINEAGE` lines share one.

    Parameters
    ----------
    lineage : pandas.Series
        Lineage of each line.

    Returns
    -------
    numpy.ndarray
        Lines x lineages, 0 or 1; each line has a single 1, so an intercept is contained.
    """
    small = lineage.map(lineage.value_counts()) < SMALL_LINEAGE
    return np.asarray(pd.get_dummies(lineage.mask(small, "(small)"), dtype=float).to_numpy())


def add_covariates(design: np.ndarray, covariates: pd.DataFrame) -> np.ndarray:
    """Append covariates, standardised; a missing one is 0, with a column that marks it where this is common.

    Parameters
    ----------
    design : numpy.ndarray
        Lines x columns.
    covariates : pandas.DataFrame
        The same lines; NaN where not known. Columns that nobody has or that do not vary are left out.

    Returns
    -------
    numpy.ndarray
        The wider design.
    """
    parts = [design]
    for name in covariates:
        values = covariates[name].to_numpy(dtype=float)
        known = np.isfinite(values)
        if known.sum() < 2 or np.ptp(values[known]) == 0:
            continue
        z = (values - values[known].mean()) / values[known].std()
        parts.append(np.where(known, z, 0.0)[:, None])
        if (~known).sum() >= _MISSING_NEEDS_INDICATOR:
            parts.append((~known).astype(float)[:, None])
    return np.hstack(parts)


def basis(design: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns of a design; as many columns as its rank."""
    u, s, _ = np.linalg.svd(design, full_matrices=False)
    return np.asarray(u[:, s > _RANK_TOLERANCE * max(1.0, s[0] if len(s) else 0.0)])


@dataclass(frozen=True, eq=False)
class Residuals:
    """Columns adjusted for a design.

    Attributes
    ----------
    values : numpy.ndarray
        Lines x columns; standard deviation 1 over the lines that a column was measured in, zero
        elsewhere. A column without variance after adjustment is zero everywhere.
    observed : numpy.ndarray
        Lines x columns, bool.
    rank : numpy.ndarray
        Per column: rank of the design among its lines.
    """

    values: np.ndarray
    observed: np.ndarray
    rank: np.ndarray


def patterns(observed: np.ndarray) -> list[np.ndarray]:
    """Group columns that are measured in the same lines.

    Parameters
    ----------
    observed : numpy.ndarray
        Lines x columns, bool.

    Returns
    -------
    list of numpy.ndarray
        Column numbers, in the order of the first of each group.
    """
    packed = np.packbits(observed, axis=0).T
    seen: dict[bytes, list[int]] = {}
    for at, row in enumerate(packed):
        seen.setdefault(row.tobytes(), []).append(at)
    return [np.asarray(columns) for columns in seen.values()]


def without(values: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Take out of each column what a basis explains.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x columns, nothing missing.
    q : numpy.ndarray
        Lines x rank: orthonormal (`basis`), of a design with an intercept.

    Returns
    -------
    numpy.ndarray
        The rest; exactly zero where only rounding is left, which would else correlate like any noise.
    """
    centred = values - values.mean(axis=0)
    rest = centred - q @ (q.T @ centred)
    total, left = np.sqrt((centred**2).mean(axis=0)), np.sqrt((rest**2).mean(axis=0))
    return np.asarray(np.where(left > _NOTHING_LEFT * np.maximum(total, 1e-300), rest, 0.0))


def residualise(X: np.ndarray, design: np.ndarray) -> Residuals:
    """Take the part of each column that a design explains out of it.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x columns, NaN where not measured.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.

    Returns
    -------
    Residuals
        The rest, standardised. Orthogonal to the whole design although zeros stand for what is
        missing: inside the measured lines it is orthogonal to the design's rows there.
    """
    X = np.asarray(X, dtype=float)
    observed = np.isfinite(X)
    values = np.zeros(X.shape)
    rank = np.zeros(X.shape[1], dtype=int)
    for columns in patterns(observed):
        lines = observed[:, columns[0]]
        if not lines.any():
            continue
        q = basis(design[lines])
        rank[columns] = q.shape[1]
        part = without(X[np.ix_(lines, columns)], q)
        sd = np.sqrt((part**2).mean(axis=0))
        values[np.ix_(lines, columns)] = np.divide(part, sd, out=part, where=sd > 0)
    return Residuals(values, observed, rank)
