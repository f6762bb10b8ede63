"""What bootstrap draws say of an effect: interval, p-value and the effect that would be found."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from crossres_ml.audit.association import CONFIDENCE, POWER

DETECTABLE = float(norm.ppf(0.5 + CONFIDENCE / 2) + norm.ppf(POWER))
"""Standard errors between nothing and what a two-sided 5 % test finds with 80 % power: 2.8."""
MOST_LOST = 0.05
"""Largest share of draws in which an effect may be undefined; with more its interval is not given."""
EMPTY = dict.fromkeys(("effect", "low", "high", "p", "mde"), np.nan)


def two_sided_p(draws: np.ndarray) -> float:
    """Bootstrap p-value: 2 min(share <= 0, share >= 0), at least 1 / (draws + 1) and at most 1.

    Parameters
    ----------
    draws : numpy.ndarray
        The effect on each draw.

    Returns
    -------
    float
        Below .05 where the percentile interval leaves zero out (Efron and Tibshirani 1993, chapter 15).
    """
    share = min(float(np.mean(draws <= 0)), float(np.mean(draws >= 0)))
    return min(1.0, max(2 * share, 1 / (len(draws) + 1)))


def summarise(effect: float, draws: np.ndarray) -> dict[str, float]:
    """Percentile interval, p-value and detectable effect of a bootstrapped effect.

    Parameters
    ----------
    effect : float
        The effect on the data as they are.
    draws : numpy.ndarray
        The effect on each draw; NaN where it is not defined.

    Returns
    -------
    dict of str to float
        effect, low, high, p, mde (`DETECTABLE` standard deviations of the draws); all NaN when the
        effect is, and all but the effect when more than `MOST_LOST` of the draws are.
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(effect):
        return dict(EMPTY)
    if len(known) < max(2, (1 - MOST_LOST) * len(draws)):
        return EMPTY | {"effect": float(effect)}
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "effect": float(effect),
        "low": float(low),
        "high": float(high),
        "p": two_sided_p(known),
        "mde": float(DETECTABLE * known.std(ddof=1)),
    }


def accelerated_interval(effect: float, draws: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    """Bias-corrected and accelerated interval (Efron 1987, JASA 82:171).

    Parameters
    ----------
    effect : float
        The effect on the data as they are.
    draws : numpy.ndarray
        The effect on each draw.
    left_out : numpy.ndarray
        The effect without each line.

    Returns
    -------
    tuple of float
        Low and high; NaN where the effect is, or more than `MOST_LOST` of the draws are.
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(effect) or len(known) < (1 - MOST_LOST) * len(draws):
        return np.nan, np.nan
    below = np.clip(np.mean(known < effect), 0.5 / len(known), 1 - 0.5 / len(known))
    shift = norm.ppf(below)
    apart = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
    spread = (apart**2).sum() ** 1.5
    pull = (apart**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = shift + norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(known, norm.cdf(shift + z / (1 - pull * z)))
    return float(low), float(high)
