"""Standardised slopes of responses on events, adjusted, with robust errors; all events at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from crossres_ml.audit.adjust import basis, patterns, without
from crossres_ml.audit.association import CONFIDENCE, MIN_FREE

CHUNK = 512
"""Events worked on at once, so that they stay in the cache."""
_FITTED, _ROUNDING = 1e-9, 1e-13


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Events measured in the same lines, adjusted for a design.

    Attributes
    ----------
    columns : numpy.ndarray
        Their numbers.
    lines : numpy.ndarray
        Line numbers, m of them.
    q : numpy.ndarray
        m x rank: orthonormal basis of the design.
    x : numpy.ndarray
        m x events: residuals, scaled to a sum of squares of 1; zero where nothing is left.
    xw, xxw : numpy.ndarray
        m x events: x^2 w and x^3 w, where w = 1 / (1 - h)^2 and h is the leverage of a line.
    xxxw : numpy.ndarray
        Per event: sum of x^4 w.
    scale : numpy.ndarray
        Per event: standard deviation of the event over its lines, over the norm of the residuals:
        turns a slope on x into one on the standardised event.
    free : int
        Residual degrees of freedom, m - rank - 1.
    support : numpy.ndarray
        Per event: (sum x^2)^2 / sum x^4, the number of lines that it rests on.
    """

    columns: np.ndarray
    lines: np.ndarray
    q: np.ndarray
    x: np.ndarray
    xw: np.ndarray
    xxw: np.ndarray
    xxxw: np.ndarray
    scale: np.ndarray
    free: int
    support: np.ndarray

    def outcome(self, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Adjust responses in these lines; gives residuals and standard deviations before it."""
        own = Y[self.lines]
        return without(own, self.q), own.std(axis=0)

    def single(self) -> Adjusted:
        """Give the same in single precision."""
        arrays = {k: getattr(self, k).astype(np.float32) for k in ("q", "x", "xw", "xxw", "xxxw")}
        return replace(self, **arrays)

    def slopes(self, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slopes of residuals on x, and their HC3 standard errors; events x responses."""
        b = self.x.T @ rest
        meat = self.xw.T @ rest**2 - 2 * b * (self.xxw.T @ rest) + b**2 * self.xxxw[:, None]
        with np.errstate(invalid="ignore"):
            return b, np.sqrt(np.maximum(meat, 0.0))

    def satterthwaite(self) -> np.ndarray:
        """Degrees of freedom of the HC3 variances (Bell and McCaffrey 2002, Survey Methodology 28:169).

        The variance is sum a_i e_i^2 with a = x^2 w and e = M y, where M = I - P and P = q q' + x x'. Were
        the errors normal and of equal variance, twice its squared mean over its variance were
        (sum a_i m_ii)^2 / sum_ij a_i a_j m_ij^2. With the residual degrees of freedom instead, an event
        that few lines have is called far too often: in permutations of these data 25 times too often at
        p < 1e-5 where it rests on 15 to 20 lines.

        Returns
        -------
        numpy.ndarray
            Per event.
        """
        a, x, q = self.xw, self.x, self.q
        overlap = np.abs(q.T) @ np.abs(q) > _FITTED  # few columns meet: a line has one lineage
        one, other = np.nonzero(np.triu(overlap))
        pairs = q[:, one] * q[:, other] * np.where(one == other, 1.0, np.sqrt(2))  # sum a_i a_j (q_i'q_j)^2
        left = 1 - (self.q**2).sum(axis=1)[:, None] - x**2
        total = (a**2 * (2 * left - 1)).sum(axis=0) + ((pairs.T @ a) ** 2).sum(axis=0)
        total += 2 * ((self.q.T @ (a * x)) ** 2).sum(axis=0) + (a * x**2).sum(axis=0) ** 2
        mean = (a * left).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(total > 0, mean**2 / total, np.nan))


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of events on responses.

    Attributes
    ----------
    n, free, df, support : numpy.ndarray
        Per event: lines, and as in `Adjusted`; ``df`` is by `Adjusted.satterthwaite`.
    effect, se : numpy.ndarray
        Events x responses: change of the response, in standard deviations, for one of the event, and its
        HC3 standard error; NaN where the event does not vary once adjusted, rests on a single line, or
        leaves fewer than `MIN_FREE` degrees of freedom.
    """

    n: np.ndarray
    free: np.ndarray
    df: np.ndarray
    support: np.ndarray
    effect: np.ndarray
    se: np.ndarray

    @property
    def t(self) -> np.ndarray:
        """Effect over standard error."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.effect / self.se)

    @property
    def p(self) -> np.ndarray:
        """Two-sided, of t with ``df`` degrees of freedom."""
        return np.asarray(2 * stdtr(self.df[:, None], -np.abs(self.t)))

    def of(self, keep: np.ndarray) -> Effects:
        """Give those of some events."""
        return Effects(*(getattr(self, f.name)[keep] for f in fields(self)))

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of the 95 % interval."""
        wide = stdtrit(self.df[:, None], 0.5 + CONFIDENCE / 2) * self.se
        return self.effect - wide, self.effect + wide


def sparse_basis(design: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the columns of a design that leaves columns without a common line apart.

    Parameters
    ----------
    design : numpy.ndarray
        Lines x covariates.

    Returns
    -------
    numpy.ndarray
        Lines x rank; where columns depend on each other, as `crossres_ml.audit.adjust.basis` gives it.
    """
    q, r = np.linalg.qr(design[:, design.any(axis=0)])
    size = np.abs(np.diag(r))
    if not len(size) or size.min() < _FITTED * size.max() or q.shape[1] < r.shape[1]:
        return basis(design)
    return np.asarray(np.where(np.abs(q) > _ROUNDING, q, 0.0))


def adjust_events(X: np.ndarray, design: np.ndarray, columns: np.ndarray | None = None) -> Iterator[Adjusted]:
    """Adjust events for a design, a pattern of missing values at a time.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x events, NaN where not measured.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.
    columns : numpy.ndarray, optional
        Those that are wanted; all by default.

    Yields
    ------
    Adjusted
        Events of one pattern, at most `CHUNK` of them; none where degrees of freedom lack.
    """
    columns = np.arange(X.shape[1]) if columns is None else columns
    for group in patterns(np.isfinite(X[:, columns])):
        lines = np.flatnonzero(np.isfinite(X[:, columns[group[0]]]))
        if len(lines) <= MIN_FREE:
            continue
        q = sparse_basis(design[lines])
        free = len(lines) - q.shape[1] - 1
        if free < MIN_FREE:
            continue
        for start in range(0, len(group), CHUNK):
            own = columns[group[start : start + CHUNK]]
            yield _adjusted(X[np.ix_(lines, own)].astype(float), own, lines, q, free)


def _adjusted(raw: np.ndarray, columns: np.ndarray, lines: np.ndarray, q: np.ndarray, free: int) -> Adjusted:
    """By Frisch, Waugh and Lovell: slope and residuals of the whole regression are those of the residuals.

    The leverage of a line is that of the design and the event's own, q_i'q_i + x_i^2 / sum x^2; HC3
    divides its squared residual by (1 - h_i)^2 (MacKinnon and White 1985, J Econometrics 29:305). A line
    that the design alone fits (the only one of its lineage) says nothing, and takes no part.
    """
    rest = without(raw, q)
    norm = np.sqrt((rest**2).sum(axis=0))
    x = np.divide(rest, norm, out=np.zeros_like(rest), where=norm > 0)
    base = (q**2).sum(axis=1)[:, None]
    x[base[:, 0] > 1 - _FITTED] = 0.0
    left = 1 - base - x**2
    w = np.divide(1.0, left**2, out=np.zeros_like(x), where=left > _FITTED)
    w[(left <= _FITTED) & (np.abs(x) > _FITTED)] = np.nan  # rests on this line alone
    square = x**2
    xw, fourth = square * w, (square**2).sum(axis=0)
    scale = np.divide(raw.std(axis=0), norm, out=np.full(len(norm), np.nan), where=norm > 0)
    support = np.divide(1.0, fourth, out=np.zeros(len(norm)), where=fourth > 0)
    return Adjusted(columns, lines, q, x, xw, x * xw, (square * xw).sum(axis=0), scale, free, support)


def effects(X: np.ndarray, Y: np.ndarray, design: np.ndarray, columns: np.ndarray | None = None) -> Effects:
    """Regress each response on each event and the design.

    Event and response are standardised over the lines that have the event; the same as an ordinary
    least-squares fit to each, with HC3 errors. P-values and intervals are those of t with the degrees of
    freedom of that error.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x events, NaN where not measured.
    Y : numpy.ndarray
        Lines x responses, nothing missing.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.
    columns : numpy.ndarray, optional
        Events that are wanted; the others are NaN.

    Returns
    -------
    Effects
        Of all events.
    """
    m, k = X.shape[1], Y.shape[1]
    n, free = np.isfinite(X).sum(axis=0), np.zeros(m, dtype=int)
    df, support = np.full(m, np.nan), np.zeros(m)
    effect, se = np.full((m, k), np.nan), np.full((m, k), np.nan)
    for part in adjust_events(X, design, columns):
        rest, sd = part.outcome(Y)
        b, error = part.slopes(rest)
        with np.errstate(invalid="ignore", divide="ignore"):
            to_sd = part.scale[:, None] / sd
            effect[part.columns], se[part.columns] = b * to_sd, error * to_sd
        free[part.columns], support[part.columns] = part.free, part.support
        df[part.columns] = part.satterthwaite()
    lost = ~(se > 0)
    effect[lost], se[lost] = np.nan, np.nan
    return Effects(n, free, df, support, effect, se)
