"""Whether effects differ between lineages: one correlation a lineage, pooled, and the spread of chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from crossres_ml.audit.adjust import basis, patterns, residualise
from crossres_ml.audit.association import CONFIDENCE, POWER
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.resampling import DETECTABLE

MIN_LINES = 8
"""Fewest measured lines of a lineage."""
MIN_CARRIERS = 3
"""Fewest lines of a lineage with, and without, an event."""
LOW_I2 = 0.25
"""Smallest share of interest: what Higgins et al. 2003 (BMJ 327:557) call low heterogeneity."""
_Z = float(norm.ppf(0.5 + CONFIDENCE / 2))
_WIDEST = 5.0
_EMPTY = (
    "effect", "low", "high", "p", "mde", "tau2", "Q", "df", "Q_p", "I2", "I2_low", "I2_high", "without_low",
    "without_high",
)  # fmt: skip


def per_lineage(x: pd.Series, view: OutcomeView, lineage: pd.Series) -> pd.DataFrame:
    """Correlate a measurement with the outcome inside every lineage.

    Parameters
    ----------
    x : pandas.Series
        By line; NaN, or no entry, where not measured. With two values it is an event.
    view : OutcomeView
        The outcome.
    lineage : pandas.Series
        Lineage by line.

    Returns
    -------
    pandas.DataFrame
        Index ``lineage``, the largest first; n, carriers (NaN for a level), r (Pearson, with normal
        scores of the outcome: inside one lineage that is the correlation adjusted for lineage), low,
        high (Fisher), z = atanh r, variance = 1 / (n - 3), note: why there is no number, where fewer
        than `MIN_LINES` lines are measured, or `MIN_CARRIERS` have, or have not, the event.
    """
    values = x.reindex(view.lines).to_numpy(dtype=float)
    of = lineage.reindex(view.lines)
    event, names, rows = _is_event(values), of.to_numpy(dtype=object), {}
    for name in of.value_counts(sort=True).index:
        inside = (names == name) & np.isfinite(values)
        own, y = values[inside], view.y[inside]
        carriers = float((own == np.nanmax(values)).sum()) if event else np.nan
        note = _lacks(own, y, carriers)
        r = np.nan if note else float(np.clip(np.corrcoef(own, y)[0, 1], -1 + 1e-9, 1 - 1e-9))
        variance = np.nan if note else 1 / (len(own) - 3)
        z = np.arctanh(r)
        ends = np.tanh(z + np.array([-_Z, _Z]) * np.sqrt(variance))
        rows[name] = {
            "n": len(own), "carriers": carriers, "r": r, "low": ends[0], "high": ends[1], "z": z,
            "variance": variance, "note": note,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("lineage")


def pool(table: pd.DataFrame) -> dict[str, Any]:
    """Pool the correlations of lineages, and say how much they differ.

    Parameters
    ----------
    table : pandas.DataFrame
        As `per_lineage` gives it; lineages without a number take no part.

    Returns
    -------
    dict
        lineages, n; effect, low, high, p, mde: random-effects mean (DerSimonian and Laird 1986), as a
        correlation; tau2 (on Fisher's z); Q, df, Q_p (Cochran); I2 with the test-based I2_low, I2_high
        (Higgins and Thompson 2002, Stat Med 21:1539; from three lineages on); without_low, without_high:
        range of the mean when one lineage is left out; without_most: whose removal moves it most;
        note: why there is no number.
    """
    known = table[np.isfinite(table.z)]
    z, v = known.z.to_numpy(dtype=float), known.variance.to_numpy(dtype=float)
    out: dict[str, Any] = {"lineages": len(known), "n": int(known.n.sum())}
    out |= dict.fromkeys(_EMPTY, np.nan) | {"without_most": "", "note": ""}
    if len(known) < 2:
        return out | {"note": f"{len(known)} lineages with enough lines: nothing to compare"}
    mean, se, tau2, q = dersimonian_laird(z, v)
    ends = np.tanh(mean + np.array([-_Z, _Z]) * se)
    df = len(z) - 1
    low, high = i2_interval(q, df)
    out |= {
        "effect": float(np.tanh(mean)), "low": float(ends[0]), "high": float(ends[1]),
        "p": float(2 * norm.sf(abs(mean / se))), "mde": float(np.tanh(DETECTABLE * se)), "tau2": tau2, "Q": q,
        "df": df, "Q_p": float(chi2.sf(q, df)), "I2": max(0.0, 1 - df / q) if q > 0 else 0.0,
        "I2_low": low, "I2_high": high,
    }  # fmt: skip
    if len(known) > 2:
        without = np.array([dersimonian_laird(np.delete(z, i), np.delete(v, i))[0] for i in range(len(z))])
        out["without_low"], out["without_high"] = (float(np.tanh(w)) for w in (without.min(), without.max()))
        out["without_most"] = str(known.index[np.argmax(np.abs(without - mean))])
    return out


def dersimonian_laird(z: np.ndarray, variance: np.ndarray) -> tuple[float, float, float, float]:
    """Random-effects mean, its standard error, tau2 and Cochran's Q of effects with known variances."""
    w = 1 / variance
    q = float((w * (z - (w * z).sum() / w.sum()) ** 2).sum())
    tau2 = max(0.0, (q - len(z) + 1) / float(w.sum() - (w**2).sum() / w.sum()))
    w = 1 / (variance + tau2)
    return float((w * z).sum() / w.sum()), float(w.sum() ** -0.5), tau2, q


def i2_interval(q: float, df: int) -> tuple[float, float]:
    """Test-based 95 % interval of I2 (Higgins and Thompson 2002, section 3.3): that of ln H, turned."""
    k = df + 1
    if df < 2 or q <= 0:
        return np.nan, np.nan
    if q > k:
        se = 0.5 * (np.log(q) - np.log(df)) / (np.sqrt(2 * q) - np.sqrt(2 * k - 3))
    else:
        se = np.sqrt(1 / (2 * (k - 2)) * (1 - 1 / (3 * (k - 2) ** 2)))
    h = np.exp(0.5 * np.log(q / df) + np.array([-_Z, _Z]) * se)
    low, high = np.clip(1 - 1 / h**2, 0, None)
    return float(low), float(high)


def heterogeneity_over(
    columns: pd.DataFrame, view: OutcomeView, lineage: pd.Series, *, draws: int, seed: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Whether many measurements together differ between lineages more than chance.

    The effect is I2 of all measurements, max(0, 1 - df / Q) with Q and df summed over them.
    The null exchanges the lineage labels of lines: x and y are first centred and scaled inside each
    lineage, pairs stay together, and so do the measurements of a line, so that Q of correlated
    measurements spreads as it must; p counts labelled anew with Q / df at least as large. The interval
    inverts a test: were the spread of the true effects c times the one seen, Q would be
    ``|c d + e|^2``, with e the error of the correlations in bootstrap draws of lines inside lineages
    (by influence functions, scaled to the mean Q of the null, since a bootstrapped Q is too large by
    about df); it holds the c for which the Q seen is inside the central 95 %. The detectable
    share is that of the Q / df at the null's 95 % point plus 0.84 of its standard deviations; it is
    a lower bound, since Q spreads more when effects differ.

    Parameters
    ----------
    columns : pandas.DataFrame
        Lines x measurements; NaN where not measured.
    view : OutcomeView
        The outcome.
    lineage : pandas.Series
        Lineage by line.
    draws : int
        Permutations, and bootstrap draws.
    seed : int
        Seed of both.

    Returns
    -------
    row : dict
        n, effect, low, high, p, mde, smallest, full, full_low, full_high, full_p (x and y adjusted for
        the covariates too), note.
    table : pandas.DataFrame
        Index: measurements; as `pool`, with ``permutation_p``, one-sided, of Q / df.
    """
    columns = columns.reindex(view.lines).astype(float)
    of = lineage.reindex(view.lines)
    table = pd.DataFrame.from_dict({c: pool(per_lineage(columns[c], view, of)) for c in columns}, "index")
    keys = ("effect", "low", "high", "p", "mde", "full", "full_low", "full_high", "full_p")
    row: dict[str, Any] = {"n": 0} | dict.fromkeys(keys, np.nan)
    row |= {"smallest": LOW_I2, "note": "no measurement has two lineages with enough lines"}
    table = table.rename_axis("measurement").assign(permutation_p=np.nan)
    for prefix, design in (("", None), ("full", view.full)):
        pairs = _pairs(columns, view, of, design)
        if not (pairs.spread(pairs.member)[1] > 1).any():
            continue
        found, p = _test(pairs, draws, seed)
        if prefix:
            row |= {"full": found["effect"]} | {f"full_{x}": found[x] for x in ("low", "high", "p")}
        else:
            row |= found | {"n": int(pairs.measured.any(axis=1).sum()), "note": ""}
            table["permutation_p"] = p
    return row, table


def _is_event(values: np.ndarray) -> bool:
    return len(np.unique(values[np.isfinite(values)])) == 2


def _lacks(x: np.ndarray, y: np.ndarray, carriers: float) -> str:
    """Why a lineage has no correlation, or nothing."""
    if len(x) < MIN_LINES:
        return f"fewer than {MIN_LINES} lines measured"
    if np.isfinite(carriers) and min(carriers, len(x) - carriers) < MIN_CARRIERS:
        return f"fewer than {MIN_CARRIERS} lines with, or without, the event"
    if np.ptp(x) <= 1e-12 * np.abs(x).max() or np.ptp(y) == 0:
        return "does not vary"
    return ""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Measurement and outcome, scaled inside lineages; lines x measurements, zero where not measured.

    ``member`` is lines x lineages; ``carriers`` marks lines with an event, and ``event`` its columns.
    """

    x: np.ndarray
    y: np.ndarray
    measured: np.ndarray
    carriers: np.ndarray
    event: np.ndarray
    member: np.ndarray

    def fisher(self, member: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fisher's z, its weight n - 3 (0 where too few) and r; lineages x measurements."""
        m = self.x.shape[1]
        n, x, y, xx, yy, xy, c = np.split(member.T @ self._stacked, 7, axis=1)
        enough = (n >= MIN_LINES) & (~self.event | (np.minimum(c, n - c) >= MIN_CARRIERS))
        n1 = np.maximum(n, 1)
        spread = (xx - x * x / n1) * (yy - y * y / n1)
        enough &= spread > 1e-9
        r = np.divide(xy - x * y / n1, np.sqrt(np.abs(spread)), out=np.zeros((len(n), m)), where=enough)
        r = np.clip(r, -1 + 1e-9, 1 - 1e-9)
        return np.arctanh(r), np.where(enough, n - 3, 0.0), r

    def spread(self, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cochran's Q of each measurement, and its number of lineages."""
        z, w, _ = self.fisher(member)
        mean = (w * z).sum(axis=0) / np.maximum(w.sum(axis=0), 1)
        return (w * (z - mean) ** 2).sum(axis=0), (w > 0).sum(axis=0)

    @cached_property
    def _stacked(self) -> np.ndarray:
        x, y = self.x, self.y
        return np.hstack([self.measured.astype(float), x, y, x * x, y * y, x * y, self.carriers])


def _pairs(columns: pd.DataFrame, view: OutcomeView, of: pd.Series, design: np.ndarray | None) -> _Pairs:
    """Adjust for a design, if any, and scale inside lineages that have enough lines."""
    values = columns.to_numpy(dtype=float)
    x, y = values.copy(), np.repeat(view.y[:, None], values.shape[1], axis=1)
    if design is not None:
        some = np.flatnonzero(np.isfinite(values).any(axis=0))
        fitted = residualise(values[:, some], design)
        x[:, some] = np.where(fitted.observed, fitted.values, np.nan)
        for same in (some[columns] for columns in patterns(fitted.observed)):
            lines = np.isfinite(values[:, same[0]])
            q = basis(design[lines])
            y[np.ix_(lines, same)] = (view.y[lines] - q @ (q.T @ view.y[lines]))[:, None]
    event = np.array([_is_event(v) for v in values.T])
    has = np.zeros(values.shape, dtype=bool)
    if event.any():
        has[:, event] = values[:, event] == np.nanmax(values[:, event], axis=0)
    names = [n for n in of.value_counts(sort=True).index if (of == n).sum() >= MIN_LINES]
    member = np.column_stack([(of == n).to_numpy(dtype=float) for n in names] or [np.zeros((len(of), 0))])
    measured = np.zeros(values.shape, dtype=bool)
    for inside in member.T > 0:
        for j in range(values.shape[1]):
            own = inside & np.isfinite(x[:, j])
            carriers = float(has[own, j].sum()) if event[j] else np.nan
            if _lacks(x[own, j], y[own, j], carriers):
                continue
            measured[own, j] = True
            for side in (x, y):
                side[own, j] = (side[own, j] - side[own, j].mean()) / side[own, j].std()
    x, y = np.where(measured, x, 0.0), np.where(measured, y, 0.0)
    part = measured.any(axis=1)
    return _Pairs(x[part], y[part], measured[part], (has & measured)[part].astype(float), event, member[part])


def _test(pairs: _Pairs, draws: int, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Effect, interval, p and detectable effect; and the p of each measurement."""
    q, k = pairs.spread(pairs.member)
    use, df = k > 1, np.maximum(k - 1, 0)
    rng = np.random.default_rng([seed, 0x4E7])
    null = [pairs.spread(pairs.member[rng.permutation(len(pairs.x))]) for _ in range(draws)]
    null_q = np.array([np.where(use & (c > 1), s, 0.0) for s, c in null])
    null_df = np.array([np.where(use, np.maximum(c - 1, 0), 0) for _, c in null])
    ratio, null_ratio = q.sum() / df.sum(), null_q.sum(axis=1) / np.maximum(null_df.sum(axis=1), 1)
    each = np.divide(q, df, out=np.full(len(q), np.nan), where=use)
    own_p = (1 + (null_q / np.maximum(null_df, 1) >= each).sum(axis=0)) / (draws + 1)
    threshold = np.quantile(null_ratio, CONFIDENCE) + norm.ppf(POWER) * null_ratio.std(ddof=1)
    low, high = _inverted(pairs, float(null_ratio.mean() * df.sum()), draws, rng)
    return {
        "effect": float(max(0.0, 1 - 1 / ratio)) if ratio > 0 else 0.0,
        "low": low,
        "high": high,
        "p": float((1 + (null_ratio >= ratio).sum()) / (draws + 1)),
        "mde": float(max(0.0, 1 - 1 / threshold)),
    }, np.where(use, own_p, np.nan)


def _inverted(pairs: _Pairs, expected: float, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Interval of I2: how much of the spread that is seen can be true, given how Q varies."""
    z, w, r = pairs.fisher(pairs.member)
    total = np.maximum(w.sum(axis=0), 1)
    apart = np.where(w > 0, z - (w * z).sum(axis=0) / total, 0.0)
    q, df = float((w * apart**2).sum()), float(np.maximum((w > 0).sum(axis=0) - 1, 0).sum())
    mine, inside = pairs.member @ r, pairs.member > 0
    influence = pairs.x * pairs.y - mine * (pairs.x**2 + pairs.y**2) / 2
    influence = pairs.measured * influence / (1 - mine**2)
    n = pairs.member.T @ pairs.measured
    scale = np.divide(1.0, np.sqrt(n * np.maximum(n - 3, 1)), out=np.zeros_like(n), where=w > 0)
    errors = np.zeros((draws, *z.shape))
    for lineage, lines in enumerate(inside.T):
        size = int(lines.sum())
        if size:
            times = rng.multinomial(size, np.full(size, 1 / size), size=draws) - 1.0
            errors[:, lineage] = times @ influence[lines]
    errors *= scale
    errors -= (w * errors).sum(axis=1, keepdims=True) / total
    cross, own = (w * apart * errors).sum(axis=(1, 2)), (w * errors**2).sum(axis=(1, 2))
    shrink = expected / own.mean()
    cross, own, tail = cross * np.sqrt(shrink), own * shrink, (1 - CONFIDENCE) / 2

    def end(lower: bool) -> float:
        """Bisect for the c at which the Q that is seen stands at the edge of the upper, or lower, tail."""
        ends = [0.0, _WIDEST]
        for _ in range(40):
            c = sum(ends) / 2
            drawn = c * c * q + 2 * c * cross + own
            over = np.mean(drawn >= q) >= tail if lower else np.mean(drawn <= q) < tail
            ends[1 if over else 0] = c
        return ends[0]

    low, high = (c**2 * q / (c**2 * q + df) for c in (end(True), end(False)))
    return float(low if low > 1e-9 else 0.0), float(high)
