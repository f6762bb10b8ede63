"""Permutations of lines inside lineages: how long the lists would be if no event did anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.artifacts import FoldStore
from crossres_ml.scan.both import CAP, LISTS, Candidates, Tests, count_called, small_p
from crossres_ml.scan.effects import adjust_events
from crossres_ml.scan.frame import in_threads

Batch = tuple[pd.DataFrame, pd.DataFrame]
BATCH = 100
"""Permutations of one piece of work; finished pieces are kept."""
LEVELS = (0.05, 0.10)
NULLS = ("pairs", "radiation", "chemotherapy")
DRAW_COLUMNS = ("permutation", "list", "level", "called")


@dataclass(frozen=True, eq=False)
class Ground:
    """What is permuted.

    Attributes
    ----------
    X : numpy.ndarray
        Lines x events.
    Y : numpy.ndarray
        Lines x 2: radiation and chemotherapy as normal scores, nothing missing.
    t, df : numpy.ndarray
        Events x 3, as observed (radiation, chemotherapy, difference), and their degrees of freedom; an
        event without them takes no part.
    lineage : numpy.ndarray
        Number of the lineage of each line; lines are exchanged inside it.
    designs : sequence of (numpy.ndarray, numpy.ndarray)
        Design and the events that it serves; together all events.
    """

    X: np.ndarray
    Y: np.ndarray
    t: np.ndarray
    df: np.ndarray
    lineage: np.ndarray
    designs: Sequence[tuple[np.ndarray, np.ndarray]]


def shuffles(lineage: np.ndarray, seed: int, draws: Sequence[int]) -> np.ndarray:
    """Orders of the lines, each exchanging lines inside lineages alone.

    Parameters
    ----------
    lineage : numpy.ndarray
        Per line.
    seed : int
        Of the scan.
    draws : sequence of int
        Numbers of the permutations; each has its own stream.

    Returns
    -------
    numpy.ndarray
        Lines x draws: which line's responses go where.
    """
    out = np.empty((len(lineage), len(draws)), dtype=int)
    groups = [np.flatnonzero(lineage == g) for g in np.unique(lineage)]
    for column, draw in enumerate(draws):
        rng = np.random.default_rng([seed, 0x5CA, draw])
        for group in groups:
            out[group, column] = rng.permutation(group)
    return out


def with_difference(radiation: np.ndarray, chemotherapy: np.ndarray) -> np.ndarray:
    """Put both responses and their difference side by side, block after block."""
    return np.hstack([radiation, chemotherapy, radiation - chemotherapy])


def permute(
    ground: Ground,
    tests: dict[str, Tests],
    *,
    draws: int,
    seed: int,
    folder: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Permute the pairs of residual responses inside lineages, and scan anew.

    Parameters
    ----------
    ground : Ground
        The scan.
    tests : dict of str to Tests
        Tests of the responses as they are.
    draws : int
        Permutations.
    seed : int
        Their seed.
    folder : Path, optional
        Keeps finished pieces of work; those that are there are not done again.
    jobs : int, default 1
        Threads.
    progress : callable, optional
        Called with permutations done and in total.

    Returns
    -------
    called : pandas.DataFrame
        `DRAW_COLUMNS`: what each list would have called in each permutation.
    expected : pandas.DataFrame
        list, null, p (each small p of the list as observed, sorted), count: mean number of events of a
        permutation that fit the list with a p as small, (total + 1) / (draws + 1).
    """
    store = FoldStore(folder) if folder is not None else None
    observed = {n: np.sort(x.p[x.fits & (np.nan_to_num(x.p, nan=1.0) <= CAP)]) for n, x in tests.items()}

    def piece(numbers: range) -> Batch:
        name = f"permutations-{numbers[0]:06d}-{len(numbers)}"
        if store is not None and store.has(name):
            return store.load(name)
        done = _batch(ground, tests, observed, numbers, seed)
        if store is not None:
            store.save(name, done)
        return done

    pieces = [range(start, min(start + BATCH, draws)) for start in range(0, draws, BATCH)]
    parts = []
    for numbers, part in zip(pieces, in_threads([partial(piece, x) for x in pieces], jobs), strict=True):
        parts.append(part)
        progress(numbers[-1] + 1, draws)
    called = pd.concat([c for c, _ in parts], ignore_index=True)
    expected = parts[0][1].copy()
    total = sum(e["count"].to_numpy(dtype=float) for _, e in parts)
    expected["count"] = (total + 1) / (draws + 1)  # as in a permutation p-value: none seen is not none
    return called, expected


def _batch(
    ground: Ground,
    tests: dict[str, Tests],
    observed: dict[str, np.ndarray],
    numbers: Sequence[int],
    seed: int,
) -> Batch:
    """Do one piece: called per permutation, and events as small as each one observed."""
    found = permuted_p(ground, shuffles(ground.lineage, seed, numbers))
    rows = []
    for name in LISTS:
        it, m = found[name, "pairs"], int(np.isfinite(tests[name].p).sum())
        order = np.argsort(it.draw, kind="stable")
        edges = np.searchsorted(it.draw[order], np.arange(len(numbers) + 1))
        for k, number in enumerate(numbers):
            own = order[edges[k] : edges[k + 1]]
            rows += [
                (number, name, level, count_called(it.p[own], it.fits[own], m, level)) for level in LEVELS
            ]
    counts = []
    for (name, null), it in found.items():
        at = np.searchsorted(observed[name], it.p[it.fits])
        count = np.bincount(at, minlength=len(observed[name]) + 1)[:-1].cumsum()
        counts.append(pd.DataFrame({"list": name, "null": null, "p": observed[name], "count": count}))
    return pd.DataFrame(rows, columns=list(DRAW_COLUMNS)), pd.concat(counts, ignore_index=True)


def permuted_p(ground: Ground, order: np.ndarray) -> dict[tuple[str, str], Candidates]:
    """Scan permuted responses; gives the small p-values of all lists."""
    k = order.shape[1]
    pieces: list[dict[tuple[str, str], Candidates]] = []
    # counts of small p-values need no more than single precision, and take half the time with it
    Y = with_difference(*(y[order] for y in ground.Y.T)).astype(np.float32)
    known = np.isfinite(ground.t).all(axis=1)
    for design, columns in ground.designs:
        for whole in adjust_events(ground.X, design, columns[known[columns]]):
            part = whole.single()
            b, se = part.slopes(part.outcome(Y)[0])
            drawn = np.divide(b, se, out=np.zeros_like(b), where=se > 0).reshape(len(b), 3, k)
            own = part.columns
            pieces.append(small_p(np.moveaxis(drawn, 1, 0), ground.df[own], ground.t[own]))
    return {key: _join([piece[key] for piece in pieces]) for key in pieces[0]}


def _join(parts: list[Candidates]) -> Candidates:
    return Candidates(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("draw", "p", "fits")))


def empirical_rate(expected: pd.DataFrame, name: str, null: str = "pairs") -> pd.DataFrame:
    """Estimate the false discovery rate at each p that a list has.

    Parameters
    ----------
    expected : pandas.DataFrame
        As `permute` gives it.
    name : str
        List.
    null : {'pairs', 'any'}
        ``pairs``: both responses permuted, as if no event did anything. ``any``: the sum of that and of the
        two nulls in which one response is permuted and the other kept; a bound from above when
        events may also do something to one response alone.

    Returns
    -------
    pandas.DataFrame
        p, seen (events of the list with p as small), expected, rate (their ratio, at most 1, made
        monotone from above as a q-value is).
    """
    own = expected[expected.list == name]
    nulls = ("pairs",) if null == "pairs" else tuple(own.null.unique())
    count = sum(own["count"][own.null == x].to_numpy(dtype=float) for x in nulls)
    p = own.p[own.null == "pairs"].to_numpy(dtype=float)
    seen = np.searchsorted(p, p, side="right")
    rate = np.minimum.accumulate(np.minimum(np.divide(count, np.maximum(seen, 1)), 1)[::-1])[::-1]
    return pd.DataFrame({"p": p, "seen": seen, "expected": count, "rate": rate})
