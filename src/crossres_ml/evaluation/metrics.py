"""Skill measures for many weightings of the same lines at once.

A bootstrap draw is a vector of integer weights (how often each line was drawn), so one sort serves
all draws. Tests hold every measure against scikit-learn or scipy on the same resampled lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Weights = np.ndarray  # draws x lines
MIN_LINEAGE = 5


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorting order, and where each run of equal values starts in it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _grouped(weights: Weights, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.asarray(np.add.reduceat(weights[:, order], starts, axis=1))


def auroc(score: np.ndarray, label: np.ndarray, weights: Weights) -> np.ndarray:
    """Area under the ROC curve (Mann-Whitney, ties count half).

    Parameters
    ----------
    score, label : numpy.ndarray
        Shape (lines,); label 0 or 1.
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where a draw has one class only.
    """
    order, starts = _ties(score)
    positive = _grouped(weights * label, order, starts)
    negative = _grouped(weights * (1 - label), order, starts)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(wins / (positive.sum(axis=1) * negative.sum(axis=1)))


def average_precision(score: np.ndarray, label: np.ndarray, weights: Weights) -> np.ndarray:
    """Average precision: sum over thresholds of precision times the gain in recall.

    Parameters
    ----------
    score, label, weights : numpy.ndarray
        As `auroc`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where a draw has no resistant line.
    """
    order, starts = _ties(-score)
    positive = _grouped(weights * label, order, starts)
    everyone = np.cumsum(_grouped(weights, order, starts), axis=1)
    found = np.cumsum(positive, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(everyone > 0, found / everyone, 0)
        return np.asarray((precision * positive).sum(axis=1) / found[:, -1])


def brier(probability: np.ndarray, label: np.ndarray, weights: Weights) -> np.ndarray:
    """Mean squared distance of probability and class.

    Parameters
    ----------
    probability, label, weights : numpy.ndarray
        As `auroc`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); 0 is perfect.
    """
    return _mean((probability - label) ** 2, weights)


def _mean(values: np.ndarray, weights: Weights) -> np.ndarray:
    """Weighted mean; NaN for a draw without lines."""
    n = weights.sum(axis=1)
    return np.asarray(np.divide(weights @ values, n, out=np.full(len(weights), np.nan), where=n > 0))


def _midranks(values: np.ndarray, weights: Weights) -> np.ndarray:
    order, starts = _ties(values)
    size = _grouped(weights, order, starts)
    ranks = np.cumsum(size, axis=1) - size / 2 + 0.5
    out = np.empty_like(weights, dtype=float)
    lengths = np.diff(np.r_[starts, len(values)])
    out[:, order] = np.repeat(ranks, lengths, axis=1)
    return out


def spearman(score: np.ndarray, response: np.ndarray, weights: Weights) -> np.ndarray:
    """Spearman correlation.

    Parameters
    ----------
    score, response : numpy.ndarray
        Shape (lines,).
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,); 0 where a side is constant: a constant score ranks nothing.
    """
    total = weights.sum(axis=1, keepdims=True)
    a, b = _midranks(score, weights), _midranks(response, weights)
    middle = (total + 1) / 2
    a, b = a - middle, b - middle
    cov = (weights * a * b).sum(axis=1)
    spread = np.sqrt((weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1))
    return np.asarray(np.divide(cov, spread, out=np.zeros(len(weights)), where=spread > 1e-12))


def within_lineage(
    score: np.ndarray, response: np.ndarray, weights: Weights, lineage: np.ndarray
) -> np.ndarray:
    """Spearman inside each lineage of at least five lines, averaged with the lines as weights.

    Parameters
    ----------
    score, response, weights : numpy.ndarray
        As `spearman`.
    lineage : numpy.ndarray
        Shape (lines,).

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN when no lineage is large enough.
    """
    total, n = np.zeros(len(weights)), np.zeros(len(weights))
    for name in np.unique(lineage):
        inside = lineage == name
        if inside.sum() < MIN_LINEAGE:
            continue
        w = weights[:, inside]
        size = w.sum(axis=1)
        total += size * spearman(score[inside], response[inside], w)
        n += size
    return np.asarray(np.divide(total, n, out=np.full(len(weights), np.nan), where=n > 0))


def prevalence(label: np.ndarray, weights: Weights) -> np.ndarray:
    """Share of resistant lines, over the draws for which `average_precision` is defined.

    Parameters
    ----------
    label, weights : numpy.ndarray
        As `auroc`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where a draw has no resistant line, so that the two stay comparable.
    """
    share = _mean(label, weights)
    return np.where(share > 0, share, np.nan)


METRICS: dict[str, Callable[..., np.ndarray]] = {
    "auroc": lambda d, w: auroc(d["score"], d["label"], w),
    "average_precision": lambda d, w: average_precision(d["score"], d["label"], w),
    "brier": lambda d, w: brier(d["probability"], d["label"], w),
    "spearman": lambda d, w: spearman(d["score"], d["response"], w),
    "within_lineage_spearman": lambda d, w: within_lineage(d["score"], d["response"], w, d["lineage"]),
    "prevalence": lambda d, w: prevalence(d["label"], w),
}
LOWER_IS_BETTER = frozenset({"brier"})


def group_weights(groups: np.ndarray, draws: int, seed: int) -> Weights:
    """Bootstrap weights that draw whole groups of relatives.

    Parameters
    ----------
    groups : numpy.ndarray
        Shape (lines,).
    draws : int
        Number of draws.
    seed : int
        Same seed and groups, same weights.

    Returns
    -------
    numpy.ndarray
        Shape (1 + draws, lines); the first row is all ones: the data as they are.
    """
    names, codes = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng([seed, 0xB007])
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.vstack([np.ones((1, len(groups))), counts[:, codes].astype(float)])
