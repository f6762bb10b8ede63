"""Top events lineage by lineage: effects, their pool and spread, and whether one lineage carries an event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.claims import Modality
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.heterogeneity import MIN_LINES, per_lineage, pool
from crossres_ml.scan.effects import effects
from crossres_ml.scan.events import EVENT
from crossres_ml.scan.frame import Frame

SIDE = 8
"""Fewest lines of a lineage on each side of an event; a level needs as many lines in all."""
CARRIED = 0.5
"""An event is carried by a lineage without which less than this share of its effect is left."""
MODALITIES: tuple[Modality, ...] = ("radiation", "chemotherapy")


def event_lineages(
    X: pd.DataFrame, kinds: pd.Series, frame: Frame, lineage: pd.Series, burden: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look at events inside lineages, and without each of them.

    Parameters
    ----------
    X : pandas.DataFrame
        Lines of the frame x events.
    kinds : pandas.Series
        Event -> ``event`` or ``level``.
    frame : Frame
        Radiation and chemotherapy.
    lineage : pandas.Series
        Lineage by line.
    burden : numpy.ndarray
        Per event, bool: adjusted for the burden of mutations.

    Returns
    -------
    effects : pandas.DataFrame
        event, response, lineage, n, carriers, effect, low, high (correlation inside the lineage, Fisher's
        interval), note (why there is none), without, without_p (the lineage-adjusted effect in all other
        lineages).
    pooled : pandas.DataFrame
        event, response, lineages, pooled, low, high, p (random effects), I2, I2_low, I2_high, Q_p,
        most (lineage whose removal takes most of the effect away), without (what is left then),
        carried_by (that lineage, where less than `CARRIED` is left; else empty).
    """
    of = lineage.reindex(frame.lines)
    whole = frame.fit(X.to_numpy(), burden, "tissue").effect
    left = _left_out(X.to_numpy(), frame, of, burden)
    rows, pools = [], []
    for k, response in enumerate(MODALITIES):
        view = OutcomeView(response, frame.lines, frame.Y[:, k], frame.plain["tissue"], frame.plain["full"])
        for j, event in enumerate(map(str, X)):
            table = _enough(per_lineage(X[event], view, of), str(kinds.loc[event]))
            without = left[["lineage"]].assign(
                without=left.effect.map(lambda e, j=j, k=k: e[j, k]),
                without_p=left.p.map(lambda p, j=j, k=k: p[j, k]),
            )
            own = table.reset_index().merge(without, on="lineage", how="left")
            rows.append(own.assign(event=event, response=response))
            pools.append({"event": event, "response": response} | _pooled(table, own, whole[j, k]))
    keys = [
        "event",
        "response",
        "lineage",
        "n",
        "carriers",
        "r",
        "low",
        "high",
        "note",
        "without",
        "without_p",
    ]
    return pd.concat(rows)[keys].rename(columns={"r": "effect"}).reset_index(drop=True), pd.DataFrame(pools)


def _left_out(X: np.ndarray, frame: Frame, of: pd.Series, burden: np.ndarray) -> pd.DataFrame:
    """Effects of all events without each lineage of some size."""
    rows = []
    for name, size in of.value_counts().items():
        if size < MIN_LINES:
            continue
        keep = (of != name).to_numpy()
        parts = [
            effects(X[keep], frame.Y[keep], design[keep], columns)
            for design, columns in frame.designs("tissue", burden)
        ]
        pick = {
            a: np.where(burden[:, None], getattr(parts[1], a), getattr(parts[0], a)) for a in ("effect", "p")
        }
        rows.append({"lineage": name, **pick})
    return pd.DataFrame(rows, columns=["lineage", "effect", "p"])


def _enough(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Leave out the lineages with too few lines on a side."""
    if kind != EVENT:
        return table
    few = (np.fmin(table.carriers, table.n - table.carriers) < SIDE) & (table.note == "")
    table = table.copy()
    table.loc[few, ["r", "low", "high", "z", "variance"]] = np.nan
    table.loc[few, "note"] = f"fewer than {SIDE} lines with, or without, the event"
    return table


def _pooled(table: pd.DataFrame, own: pd.DataFrame, whole: float) -> dict[str, Any]:
    found = pool(table)
    out = {"lineages": found["lineages"], "pooled": found["effect"]}
    out |= {k: found[k] for k in ("low", "high", "p", "I2", "I2_low", "I2_high", "Q_p")}
    share = own.without / whole
    out |= {"effect": whole, "most": "", "without": np.nan, "carried_by": ""}
    if share.notna().any():
        at = int(np.nanargmin(share.to_numpy()))
        least, left = str(own.lineage.iloc[at]), float(own.without.iloc[at])
        out |= {"most": least, "without": left, "carried_by": least if left / whole < CARRIED else ""}
    return out
