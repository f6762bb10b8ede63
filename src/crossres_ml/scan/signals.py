"""Independent signals: events of a list that go together are counted as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from crossres_ml.scan.both import LISTS
from crossres_ml.scan.effects import adjust_events
from crossres_ml.scan.events import USER_LINES

SAME_SIGNAL = 0.5
"""Events whose lineage-adjusted values correlate as much with the first one of a signal belong to it."""
_NAMED = 8


def adjusted_correlations(
    X: np.ndarray, designs: Sequence[tuple[np.ndarray, np.ndarray]], shared: int = USER_LINES
) -> np.ndarray:
    """Correlate events, each adjusted for what its effect is adjusted for.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x events, NaN where not measured.
    designs : sequence of (numpy.ndarray, numpy.ndarray)
        Design and the events that it serves.
    shared : int, default `USER_LINES`
        Two events measured together in fewer lines do not count as correlated.

    Returns
    -------
    numpy.ndarray
        Events x events, Pearson over the lines that have both; 0 where there is none.
    """
    rest, known = np.zeros(X.shape), np.zeros(X.shape)
    for design, columns in designs:
        for part in adjust_events(X, design, columns):
            at = np.ix_(part.lines, part.columns)
            rest[at], known[at] = part.x, 1.0
    n, total = known.T @ known, rest.T @ known  # total: of the one over the lines that have the other too
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (rest**2).T @ known - total**2 / n
        r = (rest.T @ rest - total * total.T / n) / np.sqrt(spread * spread.T)
    return np.asarray(np.where((n >= shared) & np.isfinite(r), r, 0.0))


def clump(r: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Take the first event as a signal, with all that go with it; go on with the rest.

    Parameters
    ----------
    r : numpy.ndarray
        Events x events, correlations.
    order : numpy.ndarray
        Events from the best to the worst.

    Returns
    -------
    numpy.ndarray
        Per event, the number of the one that leads its signal. What an event joins depends on better ones
        alone, so a longer list leaves the signals of a shorter one as they are.
    """
    lead = np.full(len(r), -1)
    for first in order:
        if lead[first] < 0:
            joins = (np.abs(r[first]) >= SAME_SIGNAL) & (lead < 0)
            joins[first] = True
            lead[joins] = first
    return lead


def find_signals(
    table: pd.DataFrame, X: np.ndarray, designs: Sequence[tuple[np.ndarray, np.ndarray]], level: float
) -> pd.Series:
    """Name the signal of every event of a list.

    Parameters
    ----------
    table : pandas.DataFrame
        As `crossres_ml.scan.table.event_table` gives it.
    X : numpy.ndarray
        Lines x events, in the order of the table.
    designs : sequence of (numpy.ndarray, numpy.ndarray)
        Design and the events that it serves.
    level : float
        Events of a rate below it count.

    Returns
    -------
    pandas.Series
        Event -> name of the first event of its signal; empty where the rate is not below the level. Ties of
        p are broken by name: the order of the rows does not matter.
    """
    out = pd.Series("", index=table.index, name="signal", dtype=object)
    called = table[table.list_rate < level]
    for _, own in called.groupby("best_list"):
        names = own.sort_index().sort_values("list_p", kind="stable").index
        at = table.index.get_indexer(names)
        place = np.full(X.shape[1], -1)
        place[at] = np.arange(len(at))
        local = [(design, np.sort(place[c][place[c] >= 0])) for design, c in designs]
        lead = clump(adjusted_correlations(X[:, at], local), np.arange(len(at)))
        out[names] = np.asarray(names)[lead]
    return out


def signal_table(table: pd.DataFrame) -> pd.DataFrame:
    """List the signals of the events that are called.

    Parameters
    ----------
    table : pandas.DataFrame
        With ``signal``.

    Returns
    -------
    pandas.DataFrame
        list, signal (name of its first event), label, events (how many), arm (those of its copy numbers),
        radiation, chemotherapy, list_p, list_rate (of the first event), with_it (names of the others, cut).
    """
    rows = []
    called = table[table["list"] != ""].sort_index().sort_values("list_p", kind="stable")
    for (name, signal), own in called.groupby(["list", "signal"], sort=False):
        first, others = own.iloc[0], list(own.label[1:])
        more = f" ... and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        arms = list(dict.fromkeys(a for a in own.arm if a))
        rows.append(
            {
                "list": name, "signal": signal, "label": first.label, "events": len(own),
                "arm": "; ".join(arms), "radiation": first.radiation, "chemotherapy": first.chemotherapy,
                "list_p": first.list_p, "list_rate": first.list_rate,
                "with_it": "; ".join(others[:_NAMED]) + more,
            }
        )  # fmt: skip
    columns = ["list", "signal", "label", "events", "arm", "radiation", "chemotherapy", "list_p"]
    out = pd.DataFrame(rows, columns=[*columns, "list_rate", "with_it"])
    return out.sort_values("list", key=lambda c: c.map(list(LISTS).index), kind="stable", ignore_index=True)
