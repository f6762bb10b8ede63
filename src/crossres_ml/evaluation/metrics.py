"""Skill measures for many weightings of the same lines at once.

A bootstrap draw is a vector of integer weights (how often each line was drawn), so one sort serves
all draws, and a `HeldOut` set of lines keeps that sort for all its measures. Tests hold every
measure against scikit-learn, scipy or statsmodels on the same resampled lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from crossres_ml.evaluation.calibration import calibration_slope
from crossres_ml.evaluation.ranks import Ranks, centred_within, correlation, rank

Weights = np.ndarray  # draws x lines
MIN_LINEAGE = 5
FIFTH = 0.2
_NO_SPREAD = 1e-12  # of the squares: what rounding leaves of lines that are all the same


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
    return _auroc(rank(score, _by_line(weights)), label)


def _by_line(weights: Weights) -> np.ndarray:
    """Lines x draws, each line's draws in one piece of memory."""
    return np.ascontiguousarray(weights.T)


def _auroc(ranks: Ranks, label: np.ndarray) -> np.ndarray:
    positive = label @ ranks.weights
    pairs = positive * (ranks.total - positive)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, 0.5 + (label @ ranks.weighted) / pairs, np.nan))


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
    return _average_precision(rank(score, _by_line(weights)), score, label)


def _average_precision(ranks: Ranks, score: np.ndarray, label: np.ndarray) -> np.ndarray:
    resistant = label == 1
    weights = ranks.weights[resistant]
    everyone = ranks.total - ranks.below[resistant]  # all that score at least as high
    among = rank(score[resistant], weights)
    found = among.total - among.below
    precision = np.divide(found, everyone, out=np.zeros_like(found), where=everyone > 0)
    return _ratio((precision * weights).sum(axis=0), among.total)


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


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole; NaN where there is no whole."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def _mean(values: np.ndarray, weights: Weights) -> np.ndarray:
    """Weighted mean; NaN for a draw without lines."""
    return _ratio(weights @ values, weights.sum(axis=1))


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
    w = _by_line(weights)
    return _spearman(rank(score, w), rank(response, w))


def _spearman(score: Ranks, response: Ranks) -> np.ndarray:
    return correlation(score.centred, response.centred, score.weights)


def residual_spearman(score: np.ndarray, residual: np.ndarray, weights: Weights) -> np.ndarray:
    """Spearman correlation with what is left of the response without general sensitivity.

    Parameters
    ----------
    score, residual : numpy.ndarray
        Shape (lines,); lines whose residual is NaN do not count.
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where a draw has no line with a residual, 0 where a side is constant.
    """
    known = np.isfinite(residual)
    weights = weights[:, known]
    value = spearman(score[known], residual[known], weights)
    return np.where(weights.sum(axis=1) > 0, value, np.nan)


def by_lineage(
    score: np.ndarray, response: np.ndarray, weights: Weights, lineage: np.ndarray, least: int = MIN_LINEAGE
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Spearman correlation inside each lineage.

    Parameters
    ----------
    score, response, weights : numpy.ndarray
        As `spearman`.
    lineage : numpy.ndarray
        Shape (lines,).
    least : int, default 5
        Fewest lines of a lineage that is looked at.

    Returns
    -------
    dict of str to tuple of numpy.ndarray
        Lineage -> its correlation and its weight in each draw, shape (draws,) both.
    """
    names, number, size = np.unique(lineage, return_inverse=True, return_counts=True)
    inside = size[number] >= least
    names, number = np.unique(lineage[inside], return_inverse=True)
    w = _by_line(weights[:, inside])
    sets = (number == np.arange(len(names))[:, None]).astype(float)
    a, b = (centred_within(v[inside], number, w) for v in (score, response))
    value, total = correlation(a, b, w, sets), sets @ w
    return {str(name): (value[i], total[i]) for i, name in enumerate(names)}


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
    each = by_lineage(score, response, weights, lineage).values()
    n = sum((size for _, size in each), np.zeros(len(weights)))
    return _ratio(sum((size * value for value, size in each), np.zeros(len(weights))), n)


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


def pearson(expected: np.ndarray, response: np.ndarray, weights: Weights) -> np.ndarray:
    """Pearson correlation of predicted and measured response.

    Parameters
    ----------
    expected, response, weights : numpy.ndarray
        As `spearman`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); 0 where a side is constant, as `spearman`.
    """
    x, y = expected - expected.mean(), response - response.mean()
    n, sx, sy, xx, yy, xy = (weights @ np.column_stack([np.ones_like(x), x, y, x * x, y * y, x * y])).T
    n = np.where(n > 0, n, 1)
    vx, vy, covariance = xx - sx * sx / n, yy - sy * sy / n, xy - sx * sy / n
    spread = np.sqrt(np.maximum(vx, 0)) * np.sqrt(np.maximum(vy, 0))
    varied = (vx > _NO_SPREAD * xx) & (vy > _NO_SPREAD * yy)
    return np.asarray(np.divide(covariance, spread, out=np.zeros_like(spread), where=varied))


def r2(expected: np.ndarray, response: np.ndarray, weights: Weights) -> np.ndarray:
    """Share of the variance of the measured response that the predicted one explains.

    Parameters
    ----------
    expected, response : numpy.ndarray
        Shape (lines,), in the same unit.
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,): 1 - squared errors / squares around the mean of these very lines, so that
        the mean of the training lines gives at most 0. NaN where the response is constant.
    """
    y = response - response.mean()
    n, sy, yy, error = (weights @ np.column_stack([np.ones_like(y), y, y * y, (response - expected) ** 2])).T
    squares = yy - sy * sy / np.where(n > 0, n, 1)
    varied = np.where(squares > _NO_SPREAD * yy, squares, 0)
    return 1 - _ratio(error, varied)


def top_fifth_resistant(score: np.ndarray, label: np.ndarray, weights: Weights) -> np.ndarray:
    """Share of resistant lines among the fifth of the lines with the highest scores.

    Parameters
    ----------
    score, label, weights : numpy.ndarray
        As `auroc`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,). The fifth is exactly a fifth of the lines: of lines that tie where it ends,
        each counts in part, which is the mean over all ways to break the tie. A constant score
        gives the prevalence. NaN for a draw without lines.
    """
    return _fifth(rank(score, _by_line(weights)), label, highest=True)


def bottom_fifth_resistant(score: np.ndarray, label: np.ndarray, weights: Weights) -> np.ndarray:
    """Share of resistant lines among the fifth of the lines with the lowest scores.

    Parameters
    ----------
    score, label, weights : numpy.ndarray
        As `auroc`.

    Returns
    -------
    numpy.ndarray
        Shape (draws,); as `top_fifth_resistant`.
    """
    return _fifth(rank(score, _by_line(weights)), label, highest=False)


def _fifth(ranks: Ranks, label: np.ndarray, *, highest: bool) -> np.ndarray:
    resistant = label == 1
    below, upto = ranks.below[resistant], ranks.upto[resistant]
    before, tied, room = (ranks.total - upto) if highest else below, upto - below, FIFTH * ranks.total
    part = np.divide(room - before, tied, out=np.zeros_like(tied), where=tied > 0)
    return _ratio((np.clip(part, 0, 1) * ranks.weights[resistant]).sum(axis=0), room)


class HeldOut:
    """Lines of one held-out set, and what several measures need of them, computed once.

    Parameters
    ----------
    data : mapping of str to numpy.ndarray
        Shape (lines,) each: score, expected, probability, label, top_third, response, residual,
        lineage; those that the measures asked for need.
    weights : numpy.ndarray
        Shape (draws, lines).
    """

    def __init__(self, data: Mapping[str, np.ndarray], weights: Weights) -> None:
        self.data, self.weights = data, weights

    def __getitem__(self, column: str) -> np.ndarray:
        """Column of the data."""
        return self.data[column]

    @cached_property
    def ranks(self) -> Ranks:
        """Standing of each line by its score."""
        return rank(self["score"], _by_line(self.weights))

    @cached_property
    def response_ranks(self) -> Ranks:
        """Standing of each line by its response."""
        return rank(self["response"], _by_line(self.weights))

    @cached_property
    def all_spearman(self) -> np.ndarray:
        """`spearman` of score and response."""
        return _spearman(self.ranks, self.response_ranks)


def _within(d: HeldOut) -> np.ndarray:
    if len(d["lineage"]) >= MIN_LINEAGE and (d["lineage"] == d["lineage"][0]).all():  # a held-out lineage
        return np.where(d.weights.sum(axis=1) > 0, d.all_spearman, np.nan)
    return within_lineage(d["score"], d["response"], d.weights, d["lineage"])


METRICS: dict[str, Callable[[HeldOut], np.ndarray]] = {
    "auroc": lambda d: _auroc(d.ranks, d["label"]),
    "average_precision": lambda d: _average_precision(d.ranks, d["score"], d["label"]),
    "brier": lambda d: brier(d["probability"], d["label"], d.weights),
    "spearman": lambda d: d.all_spearman,
    "within_lineage_spearman": _within,
    "prevalence": lambda d: prevalence(d["label"], d.weights),
    "pearson": lambda d: pearson(d["expected"], d["response"], d.weights),
    "r2": lambda d: r2(d["expected"], d["response"], d.weights),
    "calibration_slope": lambda d: calibration_slope(d["probability"], d["label"], d.weights),
    "auroc_top_third": lambda d: _auroc(d.ranks, d["top_third"]),
    "residual_spearman": lambda d: residual_spearman(d["score"], d["residual"], d.weights),
    "top_fifth_resistant": lambda d: _fifth(d.ranks, d["label"], highest=True),
    "bottom_fifth_resistant": lambda d: _fifth(d.ranks, d["label"], highest=False),
}
LOWER_IS_BETTER = frozenset({"brier", "bottom_fifth_resistant"})
WITHOUT_DIRECTION = frozenset({"prevalence", "calibration_slope"})
"""Neither higher nor lower is better: no difference of two models is taken."""


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
