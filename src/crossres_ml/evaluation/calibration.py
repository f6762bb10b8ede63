"""Whether probabilities mean what they say, for all bootstrap draws side by side.

A slope of the logistic recalibration of 1 says that probabilities are as spread as they should be, below 1
that they are too extreme, above 1 that they are too timid (Cox 1958, Biometrika 45:562). The expected
calibration error is the mean distance of probability and observed share (Naeini et al. 2015, AAAI 29:2901).
"""

from __future__ import annotations

import numpy as np

_CLIP = 1e-6  # a probability of 0 or 1 has no logit
BINS = 10
_STEPS, _LONGEST_STEP, _SETTLED = 50, 3.0, 1e-9


def calibration_slope(probability: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slope of a logistic regression of the class on the logit of its probability.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (lines,); clipped to 1e-6 from 0 and 1.
    label : numpy.ndarray
        Shape (lines,); 0 or 1.
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,); NaN where the most likely slope is not finite: one class only, a constant
        probability, or a threshold that parts the classes.
    """
    p = np.clip(probability, _CLIP, 1 - _CLIP)
    x, w = np.log(p / (1 - p)), np.ascontiguousarray(weights.T)
    known = _overlap(x, label, w)
    out = np.full(len(weights), np.nan)
    if known.any():
        out[known] = _newton(x, label, w if known.all() else w[:, known])
    return out


def calibration_error(probability: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Measure the expected calibration error over ten bins of equal width.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (lines,); 0 to 1.
    label : numpy.ndarray
        Shape (lines,) or (draws, lines); 0 or 1.
    weights : numpy.ndarray
        Shape (draws, lines).

    Returns
    -------
    numpy.ndarray
        Shape (draws,): distance of mean probability and resistant share in each bin, averaged with the
        lines of the bins as weights. It cannot be below 0, so that few lines give more than 0 by chance.
    """
    inside = np.minimum((probability * BINS).astype(int), BINS - 1)
    sets = (inside[:, None] == np.arange(BINS)).astype(float)
    gaps = (weights * (probability - label)) @ sets
    total = weights.sum(axis=1)
    missing = np.full(len(weights), np.nan)
    return np.asarray(np.divide(np.abs(gaps).sum(axis=1), total, out=missing, where=total > 0))


def error_by_chance(probability: np.ndarray, draws: int, seed: int) -> float:
    """Say which calibration error these probabilities would show if they were true.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (lines,).
    draws : int
        Sets of classes that are drawn.
    seed : int
        Seed of the draws.

    Returns
    -------
    float
        Mean over the draws; the order of the lines does not matter.
    """
    probability = np.sort(probability)
    rng = np.random.default_rng([seed, 0xECE])
    label = (rng.random((draws, len(probability))) < probability).astype(float)
    return float(calibration_error(probability, label, np.ones(label.shape)).mean())


def _overlap(x: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Draws in which each class reaches strictly into the other.

    With one variable that is when a finite most likely slope exists (Albert & Anderson 1984,
    Biometrika 71:1).
    """
    ends = {}
    for cls in (0, 1):
        inside = label == cls
        drawn, at = weights[inside] > 0, x[inside, None]
        low = np.where(drawn, at, np.inf).min(axis=0, initial=np.inf)
        ends[cls] = low, np.where(drawn, at, -np.inf).max(axis=0, initial=-np.inf)
    return np.asarray((ends[1][0] < ends[0][1]) & (ends[0][0] < ends[1][1]))


def _newton(x: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Newton's method on the log-likelihood; NaN for a draw that does not settle."""
    scale = x.std()
    z = (x - x.mean()) / scale
    design = np.vstack([np.ones_like(z), z, z * z])
    aim = design[:2] @ (weights * label[:, None])
    share = aim[0] / weights.sum(axis=0)
    constant, slope = np.log(share / (1 - share)), np.zeros_like(share)
    for _ in range(_STEPS):
        p = np.multiply.outer(z, -slope)
        p -= constant
        with np.errstate(over="ignore"):  # exp(710) is infinite and its probability 0, as it should
            np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        expected = weights * p
        gap = aim - design[:2] @ expected
        expected -= expected * p
        h0, h1, h2 = design @ expected
        size = h0 * h2 - h1 * h1
        size = np.where(size > 1e-14 * h0 * h2, size, np.nan)
        shift, step = (h2 * gap[0] - h1 * gap[1]) / size, (h0 * gap[1] - h1 * gap[0]) / size
        # far from the optimum a whole Newton step can overshoot
        short = _LONGEST_STEP / np.maximum(_LONGEST_STEP, np.maximum(abs(shift), abs(step)))
        constant, slope = constant + short * shift, slope + short * step
        moved = np.maximum(abs(shift), abs(step))
        if not (moved > _SETTLED).any():
            break
    return np.where(moved <= _SETTLED * 1000, slope / scale, np.nan)
