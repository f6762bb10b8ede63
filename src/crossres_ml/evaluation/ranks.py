"""Where each line stands among the lines of each bootstrap draw.

Every rank measure needs the same two numbers: the weight of the lines below a line, and that of the
lines up to and with it. One sort and one running sum give them for all draws at once. Arrays have
shape (lines, draws): a line's row is then one piece of memory, which sorting moves as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """Standing of each line.

    Attributes
    ----------
    weights : numpy.ndarray
        Shape (lines, draws): how often a line was drawn.
    below, upto : numpy.ndarray
        Shape (lines, draws): weight of the lines with a lower value, and with a lower or equal one.
    """

    weights: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @cached_property
    def total(self) -> np.ndarray:
        """Weight of each draw, shape (draws,)."""
        return np.asarray(self.weights.sum(axis=0))

    @cached_property
    def centred(self) -> np.ndarray:
        """Midrank minus the mean rank, shape (lines, draws)."""
        return np.asarray((self.below + self.upto) / 2 - self.total / 2)

    @cached_property
    def weighted(self) -> np.ndarray:
        """The centred midranks times the weights, shape (lines, draws)."""
        return np.asarray(self.weights * self.centred)


def _running(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values, and the weight before each place in that order (one place more than lines)."""
    order = np.argsort(values, kind="stable")
    sums = np.zeros((len(values) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=sums[1:])
    return values[order], sums


def rank(values: np.ndarray, weights: np.ndarray) -> Ranks:
    """Rank lines in every draw.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (lines,); finite.
    weights : numpy.ndarray
        Shape (lines, draws).

    Returns
    -------
    Ranks
        Standing of each line.
    """
    ordered, sums = _running(values, weights)
    return Ranks(
        weights, sums[np.searchsorted(ordered, values)], sums[np.searchsorted(ordered, values, "right")]
    )


def centred_within(values: np.ndarray, sets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Midrank of each line in its own set minus the mean rank of that set.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (lines,); finite.
    sets : numpy.ndarray
        Shape (lines,): number of the set, from 0.
    weights : numpy.ndarray
        Shape (lines, draws).

    Returns
    -------
    numpy.ndarray
        Shape (lines, draws).
    """
    levels, level = np.unique(values, return_inverse=True)
    key = sets * len(levels) + level  # sets in order, and inside a set the values
    ordered, sums = _running(key, weights)
    first, last = sets * len(levels), (sets + 1) * len(levels)
    own = sums[np.searchsorted(ordered, key)] + sums[np.searchsorted(ordered, key, "right")]
    return np.asarray(
        (own - sums[np.searchsorted(ordered, first)] - sums[np.searchsorted(ordered, last)]) / 2
    )


def correlation(
    a: np.ndarray, b: np.ndarray, weights: np.ndarray, sets: np.ndarray | None = None
) -> np.ndarray:
    """Correlation of values that are centred, over all lines or inside each set of lines.

    Parameters
    ----------
    a, b, weights : numpy.ndarray
        Shape (lines, draws).
    sets : numpy.ndarray, optional
        Shape (sets, lines): 1 where a line is in a set.

    Returns
    -------
    numpy.ndarray
        Shape (draws,) or (sets, draws); 0 where a side is constant: what is constant ranks nothing.
    """
    sums = np.ones(len(a)) if sets is None else sets
    weighted = weights * a
    covariance, spread = sums @ (weighted * b), sums @ (weighted * a)
    spread = np.sqrt(spread * (sums @ (weights * b * b)))
    return np.asarray(np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 1e-12))
