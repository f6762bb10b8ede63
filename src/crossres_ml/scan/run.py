"""The scan: every event against both modalities and every drug of the panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.audit.association import benjamini_hochberg
from crossres_ml.audit.claims import Claims
from crossres_ml.audit.data import one_line_a_patient
from crossres_ml.cohort.cohort import DRUG_RESPONSE, Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.scan.both import LISTS, run_tests
from crossres_ml.scan.effects import Effects
from crossres_ml.scan.events import Events, collect_events
from crossres_ml.scan.frame import ADJUSTMENTS, Frame, both_frame, in_threads, single_frame
from crossres_ml.scan.known import known_pairs
from crossres_ml.scan.lineages import event_lineages
from crossres_ml.scan.permute import LEVELS, Ground, permute
from crossres_ml.scan.segments import Places
from crossres_ml.scan.signals import find_signals, signal_table
from crossres_ml.scan.table import arm_effects, event_table, list_table, top_events

DRUG_COLUMNS = ("event", "drug", "n", "effect", "low", "high", "p", "q", "raw", "raw_p", "full", "full_p")


@dataclass(frozen=True, eq=False)
class Scan:
    """What a scan found.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an event (`crossres_ml.scan.table.event_table`).
    lists : pandas.DataFrame
        One row a list and level: seen, expected (`crossres_ml.scan.table.list_table`).
    drugs : pandas.DataFrame
        `DRUG_COLUMNS`: every event against every drug of the panels.
    lineages, pooled : pandas.DataFrame
        Top events lineage by lineage (`crossres_ml.scan.lineages.event_lineages`).
    permutations, expected : pandas.DataFrame
        As `crossres_ml.scan.permute.permute` gives them.
    signals : pandas.DataFrame
        One row a signal of a list (`crossres_ml.scan.signals.signal_table`).
    known : pandas.DataFrame
        Positive controls (`crossres_ml.scan.known.known_pairs`).
    skipped : pandas.DataFrame
        What was not scanned, with the reason.
    lines : int
        Lines with both responses, one a patient.
    """

    table: pd.DataFrame
    lists: pd.DataFrame
    drugs: pd.DataFrame
    lineages: pd.DataFrame
    pooled: pd.DataFrame
    permutations: pd.DataFrame
    expected: pd.DataFrame
    signals: pd.DataFrame
    known: pd.DataFrame
    skipped: pd.DataFrame
    lines: int


def scan(
    cohort: Cohort,
    claims: Claims,
    settings: ScanConfig,
    *,
    seed: int,
    places: Places | None = None,
    user: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    folder: Path | None = None,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Search everything that was measured for events of cross-resistance.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the covariates of the full adjustment, and the known pairs.
    settings : ScanConfig
        Counts, levels and permutations.
    seed : int
        Of the permutations.
    places : Places, optional
        Where genes lie.
    user : tuple of pandas.DataFrame, optional
        Events of the user's own and what of them is skipped (`crossres_ml.scan.user.read_events`).
    folder : Path, optional
        Keeps finished permutations.
    jobs : int, default 2
        Threads; the result does not depend on it.
    progress : callable, optional
        Called with permutations done and in total.

    Returns
    -------
    Scan
        What was found.

    Raises
    ------
    CohortError
        If too few lines have both responses.
    """
    frame = both_frame(cohort, claims)
    given = collect_events(cohort, frame.lines, settings, places=places, user=user[0] if user else None)
    events, fits = _fit_all(given, frame, settings, jobs)
    X = events.values.loc[frame.lines].to_numpy()
    burden = events.table.burden_adjusted.to_numpy(dtype=bool)
    t, df = fits["tissue"].t, fits["tissue"].df
    tests = run_tests(t, df)
    ground = Ground(X, frame.Y[:, :2], t, df, frame.lineage, frame.designs("tissue", burden))
    called, expected = permute(
        ground, tests, draws=settings.permutations, seed=seed, folder=folder, jobs=jobs, progress=progress
    )
    table = event_table(events.table, fits, tests, expected, settings.level)
    table = table.join(arm_effects(cohort, frame, X, events.table))
    table["signal"] = find_signals(table, X, ground.designs, max(settings.level, *LEVELS))
    top = top_events(table, settings.top)
    at = events.table.index.get_indexer(top)
    lineages, pooled = event_lineages(
        pd.DataFrame(X[:, at], frame.lines, top), table.kind, frame, cohort.lines.lineage, burden[at]
    )
    drugs, no_drugs = scan_drugs(cohort, claims, events, jobs)
    skipped = [events.skipped, no_drugs, *([user[1]] if user else [])]
    return Scan(
        table=_carried(table, pooled),
        lists=list_table(table, tests, called, expected),
        drugs=drugs,
        lineages=lineages,
        pooled=pooled,
        permutations=called,
        expected=expected,
        signals=signal_table(table),
        known=known_pairs(cohort, claims, events, jobs),
        skipped=pd.concat([s for s in skipped if len(s)], ignore_index=True),
        lines=len(frame.lines),
    )


def _fit_all(
    events: Events, frame: Frame, settings: ScanConfig, jobs: int
) -> tuple[Events, dict[str, Effects]]:
    """Fit all adjustments; take out the events that lineage leaves too little of."""
    X = events.values.loc[frame.lines].to_numpy()
    burden = events.table.burden_adjusted.to_numpy(dtype=bool)
    found = in_threads([partial(frame.fit, X, burden, how) for how in ADJUSTMENTS], jobs)
    fits = dict(zip(ADJUSTMENTS, found, strict=True))
    main = fits["tissue"]
    known = np.isfinite(main.t[:, :2]).all(axis=1) & np.isfinite(main.df)
    keep = known & (main.support >= settings.min_carriers)
    reason = np.where(
        known,
        [f"rests on {s:.1f} lines once adjusted for lineage, fewer than {settings.min_carriers}"
         for s in main.support],
        "does not vary once adjusted for lineage, or too few lines are left",
    )  # fmt: skip
    left = events.table.loc[~keep, ["block", "n", "carriers"]].reset_index().assign(reason=reason[~keep])
    skipped = pd.concat([events.skipped, left], ignore_index=True) if len(left) else events.skipped
    kept = Events(events.values.loc[:, keep], events.table[keep], skipped)
    return kept, {k: f.of(keep) for k, f in fits.items()}


def _carried(table: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """Mark events that one lineage carries, in the responses that their list is about."""
    about = {
        name: ("radiation", "chemotherapy") if it.signs else (("radiation", "chemotherapy")[it.only],)
        for name, it in LISTS.items()
    }
    marks = {}
    for event, own in pooled.groupby("event", sort=False):
        concerned = about[table.best_list[event]]
        found = own[own.response.isin(concerned)].carried_by
        marks[event] = "; ".join(dict.fromkeys(c for c in found if c))
    return table.assign(carried_by=pd.Series(marks, dtype=object).reindex(table.index))


def scan_drugs(
    cohort: Cohort, claims: Claims, events: Events, jobs: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scan each drug of the panels on the irradiated lines that have it.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the covariates.
    events : Events
        Events of the scan.
    jobs : int
        Threads.

    Returns
    -------
    drugs : pandas.DataFrame
        `DRUG_COLUMNS`, float32: effect with interval, p and q (over the events of a drug) adjusted for
        lineage, raw unadjusted, full for all covariates. Rows without a number are left out.
    skipped : pandas.DataFrame
        Drugs that could not be scanned, with the reason.
    """
    names = [str(r) for r in cohort.responses if str(r).startswith(DRUG_RESPONSE)]
    lines = one_line_a_patient(cohort)
    frames = {n: single_frame(cohort, claims, cohort.responses[n][lines]) for n in names}
    left = [
        {"event": "(all)", "block": n, "reason": f"{n}: {why}"}
        for n, why in frames.items()
        if isinstance(why, str)
    ]
    tasks = [partial(_scan_drug, n, f, events) for n, f in frames.items() if isinstance(f, Frame)]
    parts = list(in_threads(tasks, jobs))
    empty = pd.DataFrame(columns=list(DRUG_COLUMNS))
    return pd.concat(parts, ignore_index=True) if parts else empty, pd.DataFrame(left)


def _scan_drug(name: str, frame: Frame, events: Events) -> pd.DataFrame:
    X = events.values.loc[frame.lines].to_numpy()
    burden = events.table.burden_adjusted.to_numpy(dtype=bool)
    raw, tissue, full = (frame.fit(X, burden, how) for how in ADJUSTMENTS)
    low, high = tissue.interval()
    values = {
        "n": tissue.n, "effect": tissue.effect[:, 0], "low": low[:, 0], "high": high[:, 0],
        "p": tissue.p[:, 0], "q": benjamini_hochberg(tissue.p[:, 0]), "raw": raw.effect[:, 0],
        "raw_p": raw.p[:, 0], "full": full.effect[:, 0], "full_p": full.p[:, 0],
    }  # fmt: skip
    table = pd.DataFrame({k: v.astype(np.float32) for k, v in values.items()}).astype({"n": "int32"})
    table.insert(0, "drug", name.removeprefix(DRUG_RESPONSE))
    table.insert(0, "event", events.table.index)
    known: pd.DataFrame = table[np.isfinite(table.effect)]
    return known
