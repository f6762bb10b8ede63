"""Scores of signatures, ridge on their genes, and random sets of genes: many sets at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import ssymv
from scipy.linalg.lapack import spotrf, spotri
from scipy.stats import rankdata

from crossres_ml.scan.signature_lists import Rule

PENALTIES = (1.0, 3.0, 10.0, 100.0)
"""Ridge penalties to choose from, for each gene of a set: a set of p standardised genes gets p times this."""
COVERAGE_STEP = 0.05
"""Genes whose shares of measured lines differ by no more are taken as equally well measured."""
MIN_LEVEL, MIN_EXPRESSED = 1.0, 0.2
"""Expressed: at this log2(TPM + 1) and more. Random sets take genes that this share of lines express."""
_LEAST_CHOICE = 5


def standardise_by(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Z of every gene by the training lines; what is missing, or constant there, is 0.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x genes, NaN where not measured.
    train : numpy.ndarray
        Lines, bool.

    Returns
    -------
    numpy.ndarray
        The same shape, float32.
    """
    own = values[train]
    known = np.isfinite(own)
    n = known.sum(axis=0)
    mean = np.where(known, own, 0).sum(axis=0) / np.maximum(n, 1)
    spread = np.sqrt((np.where(known, own - mean, 0) ** 2).sum(axis=0) / np.maximum(n - 1, 1))
    usable = spread > 1e-6
    z = (values - mean) / np.where(usable, spread, 1.0)
    return np.where(np.isfinite(z) & usable, z, 0).astype(np.float32)


def published_scores(raw: np.ndarray, z: np.ndarray, weights: np.ndarray, rule: Rule) -> np.ndarray:
    """Score lines as a publication says; nothing is learned from a response.

    Parameters
    ----------
    raw : numpy.ndarray
        Sets x lines x genes, log2(TPM + 1): what ranks within a line are taken of.
    z : numpy.ndarray
        The same, as `standardise_by` gives it.
    weights : numpy.ndarray
        Of the genes; every set is scored with them.
    rule : str
        How; one of `crossres_ml.scan.signature_lists.RULES`.

    Returns
    -------
    numpy.ndarray
        Sets x lines.
    """
    if rule == "ranks":
        return np.asarray(rankdata(raw, axis=2) @ weights)
    return np.asarray(z @ weights / len(weights), dtype=float)


def calibrated(scores: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Bring scores to the unit of the response: a straight line through the training lines.

    Parameters
    ----------
    scores : numpy.ndarray
        Sets x lines.
    y : numpy.ndarray
        Response; that of other lines is not looked at.
    train : numpy.ndarray
        Lines, bool.

    Returns
    -------
    numpy.ndarray
        Sets x lines.
    """
    mean = scores[:, train].mean(axis=1, keepdims=True)
    x, target = scores[:, train] - mean, y[train] - y[train].mean()
    squares = (x**2).sum(axis=1)
    slope = np.divide(x @ target, squares, out=np.zeros(len(x)), where=squares > 0)
    return np.asarray(y[train].mean() + slope[:, None] * (scores - mean))


def ridge(z: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Fit ridge of each set of genes on the training lines, and predict all lines.

    Each set's penalty is the one of `PENALTIES` with the smallest leave-one-out error among the training
    lines, in closed form: with G = (K + lambda I)^-1 the errors are (G y)_i / G_ii (Golub, Heath and Wahba
    1979). The mean of the training lines is taken out first, and is not left out in turn.

    Parameters
    ----------
    z : numpy.ndarray
        Sets x lines x genes, float32, standardised by the training lines.
    y : numpy.ndarray
        Response; that of other lines is not looked at.
    train : numpy.ndarray
        Lines, bool.

    Returns
    -------
    numpy.ndarray
        Sets x lines: expected response of every line.
    """
    own = z[:, train]
    mean = float(y[train].mean())
    target = (y[train] - mean).astype(np.float32)
    if own.shape[2] < own.shape[1] // 2:
        coefficients = _few_genes(own, target)
    else:
        coefficients = np.array([x.T @ _many_genes(x, target) for x in own])
    return np.asarray(mean + (z @ coefficients[:, :, None])[:, :, 0], dtype=float)


def _few_genes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients, sets x genes, from the eigenvectors of genes x genes of all sets at once."""
    values, vectors = np.linalg.eigh(x.transpose(0, 2, 1) @ x)
    scores = x @ vectors
    projected = y @ scores
    penalties = np.array(PENALTIES, dtype=np.float32) * x.shape[2]
    shrink = 1 / (np.maximum(values, 0)[:, :, None] + penalties)  # sets x genes x penalties
    coefficients = shrink * projected[:, :, None]
    left = (y[:, None] - scores @ coefficients) / (1 - scores**2 @ shrink)
    best = (left**2).sum(axis=1).argmin(axis=1)
    return np.asarray((vectors @ coefficients[np.arange(len(x)), :, best][:, :, None])[:, :, 0])


def _many_genes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients of the training lines of one set, from lines x lines."""
    kernel = x @ x.T
    best = (np.inf, np.zeros(len(y)))
    for penalty in PENALTIES:
        shifted = np.array(kernel, order="F")
        shifted.flat[:: len(y) + 1] += penalty * x.shape[1]
        inverse, _ = spotri(spotrf(shifted, lower=1, overwrite_a=1)[0], lower=1, overwrite_c=1)
        alpha = ssymv(1.0, inverse, y, lower=1)
        left = alpha / inverse.diagonal()
        if (error := float(left @ left)) < best[0]:
            best = (error, alpha)
    return best[1]


@dataclass(frozen=True, eq=False)
class Pool:
    """Genes that random sets are drawn from.

    Attributes
    ----------
    genes : numpy.ndarray
        Column numbers.
    coverage : numpy.ndarray
        Share of the lines that each of *all* columns was measured in.
    """

    genes: np.ndarray
    coverage: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Pool:
        """Take the genes that are expressed in some of the lines.

        Parameters
        ----------
        values : numpy.ndarray
            Lines x genes, log2(TPM + 1), NaN where not measured.

        Returns
        -------
        Pool
            Of genes at `MIN_LEVEL` or more in `MIN_EXPRESSED` of the lines that they were measured in:
            what no line expresses would make random sets weak.
        """
        known = np.isfinite(values)
        measured = known.sum(axis=0)
        on = (np.where(known, values, 0) >= MIN_LEVEL).sum(axis=0)
        expressed = on >= MIN_EXPRESSED * np.maximum(measured, 1)
        return cls(np.flatnonzero(expressed & (measured > 0)), measured / len(values))

    def draw(self, genes: np.ndarray, sets: int, rng: np.random.Generator) -> np.ndarray:
        """Draw sets that are as large and as well measured as a given one.

        Parameters
        ----------
        genes : numpy.ndarray
            Columns of the set; none of them is drawn.
        sets : int
            How many.
        rng : numpy.random.Generator
            Source of chance.

        Returns
        -------
        numpy.ndarray
            Sets x genes: in place j a gene measured in a share of the lines within `COVERAGE_STEP` of gene
            j's, or, where those are few, among the nearest. No gene twice in a set.
        """
        free = np.setdiff1d(self.genes, genes)
        bins = np.round(self.coverage[genes] / COVERAGE_STEP).astype(int)
        out = np.full((sets, len(genes)), -1, dtype=np.int32)
        for number in np.unique(bins):
            places = np.flatnonzero(bins == number)
            distance = np.abs(self.coverage[free] - self.coverage[genes[places]].mean())
            near = free[distance <= COVERAGE_STEP]
            if len(near) < _LEAST_CHOICE * len(genes):
                near = free[np.argsort(distance, kind="stable")[: _LEAST_CHOICE * len(genes)]]
            for row in out:
                left = near[~np.isin(near, row)] if number > bins.min() else near
                row[places] = rng.choice(left, len(places), replace=False)
        return out
