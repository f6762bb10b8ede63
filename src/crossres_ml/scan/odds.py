"""Odds ratios of many two-by-two tables with exact intervals."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp

_WIDEST = 40.0  # natural logarithm of an odds ratio that no table reaches
_STEPS = 60


def exact_odds_ratios(
    both: np.ndarray, first: np.ndarray, second: np.ndarray, n: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conditional maximum-likelihood odds ratios with exact conditional intervals.

    Given its margins a table's count follows Fisher's noncentral hypergeometric distribution; the
    interval holds the odds ratios that neither one-sided exact test rejects (Cornfield 1956; Fisher 1935).
    All tables are solved at once by bisection on the logarithm.

    Parameters
    ----------
    both, first, second, n : numpy.ndarray
        Shape (tables,): lines with both properties, with the first, with the second, and in all.
    level : float, default 0.95
        Confidence.

    Returns
    -------
    ratio, low, high : numpy.ndarray
        Shape (tables,); 0 or infinite where the count is as small or as large as the margins let it be,
        NaN where they leave no choice.
    """
    both, first, second, n = (np.asarray(v, dtype=np.int64) for v in (both, first, second, n))
    least, most = np.maximum(0, first + second - n), np.minimum(first, second)
    k = least[:, None] + np.arange(int((most - least).max(initial=0)) + 1)
    inside = k <= most[:, None]
    k = np.minimum(k, most[:, None])
    weight = -sum(
        gammaln(v + 1.0)
        for v in (k, first[:, None] - k, second[:, None] - k, (n - first - second)[:, None] + k)
    )
    weight = np.where(inside, weight, -np.inf)

    def chances(log_ratio: np.ndarray) -> np.ndarray:
        logs = weight + k * log_ratio[:, None]
        return np.asarray(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)))

    tail = (1 - level) / 2
    at = both[:, None]
    ratio = _bisect(lambda x: (chances(x) * k).sum(axis=1) - both, len(n))
    low = _bisect(lambda x: (chances(x) * (k >= at)).sum(axis=1) - tail, len(n))
    high = _bisect(lambda x: tail - (chances(x) * (k <= at)).sum(axis=1), len(n))
    smallest, largest, free = both == least, both == most, most > least
    ratio = np.where(smallest, 0.0, np.where(largest, np.inf, ratio))
    low, high = np.where(smallest, 0.0, low), np.where(largest, np.inf, high)
    return tuple(np.where(free, v, np.nan) for v in (ratio, low, high))  # type: ignore[return-value]


def _bisect(f, tables: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Odds ratio at which each of several rising functions of its logarithm is zero."""
    low, high = np.full(tables, -_WIDEST), np.full(tables, _WIDEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = f(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray(np.exp((low + high) / 2))
