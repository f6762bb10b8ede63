"""Known pairs of event and drug, searched for among all events of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.claims import Claims, Control
from crossres_ml.audit.controls import MIN_CONTROL_LINES, TOP
from crossres_ml.audit.data import RESPONSE, one_line_a_patient
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.scan.effects import Effects
from crossres_ml.scan.events import Events
from crossres_ml.scan.frame import Frame, in_threads, single_frame

COLUMNS = (
    "control", "label", "drug", "gate", "event", "n", "effect", "low", "high", "p", "rank", "of", "recovered",
    "reason",
)  # fmt: skip


def known_pairs(cohort: Cohort, claims: Claims, events: Events, jobs: int = 1) -> pd.DataFrame:
    """Rank the event of each known pair among all events, by p for its drug.

    Parameters
    ----------
    cohort : Cohort
        The cohort; all lines that have the drug take part, one a patient.
    claims : Claims
        Name the pairs (positive controls), with the screens of each drug.
    events : Events
        Events of the scan.
    jobs : int, default 1
        Threads.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`: event (its coding with the smallest p), effect (lineage-adjusted) with interval and p, rank
        among ``of`` events that are not codings of the same, recovered (right sign, p < .05, and among the
        first ten), reason (why it was not looked at).
    """
    known = {*cohort.drugs, *(f"{RESPONSE}{r}" for r in cohort.responses)}
    pairs = [(c, d) for c in claims.positive_controls for d in c.drugs]
    names = sorted({d for _, d in pairs} & known)
    frames = {d: single_frame(cohort, claims, _response(cohort, d)) for d in names}
    fits = {d: f for d, f in frames.items() if isinstance(f, Frame) and len(f.lines) >= MIN_CONTROL_LINES}
    done = dict(zip(fits, in_threads([partial(_fit, events, f) for f in fits.values()], jobs), strict=True))
    rows = []
    for control, drug in pairs:
        row = {"control": control.id, "label": control.label, "drug": drug, "gate": control.gate}
        if drug not in known:
            rows.append(row | {"reason": "no such drug in these data"})
        elif drug not in done:
            rows.append(row | {"reason": f"fewer than {MIN_CONTROL_LINES} lines with the drug"})
        else:
            rows.append(row | _ranked(control, events, done[drug]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _response(cohort: Cohort, drug: str) -> pd.Series:
    if drug.startswith(RESPONSE):
        return cohort.responses[drug.removeprefix(RESPONSE)][one_line_a_patient(cohort)]
    known = cohort.drugs[drug].dropna()
    return known[~cohort.lines.group[known.index].duplicated().to_numpy()]


def _fit(events: Events, frame: Frame) -> Effects:
    burden = events.table.burden_adjusted.to_numpy(dtype=bool)
    return frame.fit(events.values.loc[frame.lines].to_numpy(), burden, "tissue")


def _ranked(control: Control, events: Events, found: Effects) -> dict[str, Any]:
    asked = {*control.measurement.plain_features, *control.folds_with}
    same = codes(events.table, sorted(asked))
    p = np.nan_to_num(found.p[:, 0], nan=np.inf)
    if not same.any() or not np.isfinite(p[same]).any():
        return {"reason": "no event of the scan measures it"}
    best = int(np.flatnonzero(same)[np.argmin(p[same])])
    low, high = (ends[best, 0] for ends in found.interval())
    rank = int(1 + (p[~same] < p[best]).sum())
    effect = found.effect[best, 0]
    right = np.sign(effect) == control.sign and p[best] < LEVEL
    return {
        "event": events.table.index[best], "n": int(found.n[best]), "effect": effect, "low": low,
        "high": high, "p": p[best], "rank": rank, "of": int((~same & np.isfinite(p)).sum()) + 1,
        "recovered": bool(right and rank <= TOP), "reason": "",
    }  # fmt: skip


def codes(table: pd.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Events that stand for any of these features of the cohort, bool."""
    asked = set(features)
    return np.array([bool(asked & set(f.split("; "))) for f in table.features], dtype=bool)
