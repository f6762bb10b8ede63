"""Known pairs of event and drug, searched for among all events of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from crossres_ml.audit.association import POWER
from crossres_ml.audit.claims import Claims, Control
from crossres_ml.audit.controls import MIN_CONTROL_LINES, TOP
from crossres_ml.audit.data import RESPONSE, one_line_a_patient
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.scan.effects import Effects
from crossres_ml.scan.events import Events
from crossres_ml.scan.frame import Frame, in_threads, single_frame

COLUMNS = (
    "control", "label", "drug", "gate", "event", "n", "drug_n", "effect", "low", "high", "p", "rank", "of",
    "rank_own", "of_own", "recovered", "reason",
)  # fmt: skip
MEASURED = 0.95
"""An event that has this share of the lines with the drug is not ranked on its own lines."""


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
        `COLUMNS`: event (its coding with the smallest p), n and drug_n (lines with both, and with the drug),
        effect (lineage-adjusted) with interval and p, rank among ``of`` events that are not codings of the
        same, recovered (right sign, p < .05, and among the first ten), reason (why it is not). For one of the
        right sign that is outranked, rank_own and of_own: the same when all events are held against its own
        n lines alone, for an event that was measured in more lines reaches smaller p-values.
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
            row |= _looked_at(control, events, fits[drug], done[drug])
            if not row.get("recovered") and not row["reason"]:
                row |= _outranked(row, cohort, claims, control, events)
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _response(cohort: Cohort, drug: str) -> pd.Series:
    if drug.startswith(RESPONSE):
        return cohort.responses[drug.removeprefix(RESPONSE)][one_line_a_patient(cohort)]
    known = cohort.drugs[drug].dropna()
    return known[~cohort.lines.group[known.index].duplicated().to_numpy()]


def _fit(events: Events, frame: Frame) -> Effects:
    burden = events.table.burden_adjusted.to_numpy(dtype=bool)
    return frame.fit(events.values.loc[frame.lines].to_numpy(), burden, "tissue")


def _looked_at(control: Control, events: Events, frame: Frame, found: Effects) -> dict[str, Any]:
    """Give the numbers of a pair; where it is not recovered, with the reason, if that is known already."""
    same = _codings(control, events)
    p = np.nan_to_num(found.p[:, 0], nan=np.inf)
    if not same.any() or not np.isfinite(p[same]).any():
        return {"reason": "no event of the scan measures it"}
    best = int(np.flatnonzero(same)[np.argmin(p[same])])
    low, high = (ends[best, 0] for ends in found.interval())
    rank, of = _rank(p, same, best)
    effect = found.effect[best, 0]
    right = bool(np.sign(effect) == control.sign and p[best] < LEVEL)
    return {
        "event": str(events.table.index[best]), "n": int(found.n[best]), "drug_n": len(frame.lines),
        "effect": effect, "low": low, "high": high, "p": p[best], "rank": rank, "of": of,
        "recovered": right and rank <= TOP, "reason": "" if right else _not_seen(control, found, best),
    }  # fmt: skip


def _codings(control: Control, events: Events) -> np.ndarray:
    return codes(events.table, sorted({*control.measurement.plain_features, *control.folds_with}))


def _rank(p: np.ndarray, same: np.ndarray, best: int) -> tuple[int, int]:
    """Rank of a p among the events that are no codings of the same, and how many there are with it."""
    return int(1 + (p[~same] < p[best]).sum()), int((~same & np.isfinite(p)).sum()) + 1


def _not_seen(control: Control, found: Effects, best: int) -> str:
    if np.sign(found.effect[best, 0]) != control.sign and found.p[best, 0] < LEVEL:
        return "goes the other way in these lines"
    df = found.df[best]
    seen = (stdtrit(df, 1 - LEVEL / 2) + stdtrit(df, POWER)) * found.se[best, 0]
    return f"no association in these lines, which would show an effect of {seen:.2f} with 80 % power"


def _outranked(
    row: dict[str, Any], cohort: Cohort, claims: Claims, control: Control, events: Events
) -> dict[str, Any]:
    """Rank an event that has the right sign anew, on the lines alone that it was measured in."""
    told = f"right direction, but {row['rank'] - 1:,} events have a smaller p"
    if row["n"] >= MEASURED * row["drug_n"]:
        return {"reason": told}
    response = _response(cohort, row["drug"])
    own = response[events.values[row["event"]][response.index].notna().to_numpy()]
    same, best = _codings(control, events), list(events.table.index).index(row["event"])
    frame = single_frame(cohort, claims, own)
    p = np.nan_to_num(_fit(events, frame).p[:, 0], nan=np.inf) if isinstance(frame, Frame) else np.array([])
    if not len(p) or not np.isfinite(p[best]):
        return {"reason": told}
    rank, of = _rank(p, same, best)
    few = f"; it was measured in {row['n']} of the {row['drug_n']} lines with the drug"
    more = f"{few}: held against these lines alone, it ranks {rank:,} of {of:,}"
    return {"rank_own": rank, "of_own": of, "reason": told + more}


def codes(table: pd.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Events that stand for any of these features of the cohort, bool."""
    asked = set(features)
    return np.array([bool(asked & set(f.split("; "))) for f in table.features], dtype=bool)
