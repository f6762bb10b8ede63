"""The table of docs/scan.md, written from a finished study and never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crossres_ml.report.words import DASH, share
from crossres_ml.scan.both import LISTS

BEGIN, END = "<!-- scan calibration: begin -->", "<!-- scan calibration: end -->"


def _share(value: float, digits: int = 2) -> str:
    return DASH if pd.isna(value) else share(value, digits)


def _rows(table: pd.DataFrame, strengths: list[float]) -> list[str]:
    rows = []
    for keys, own in table.groupby(["list", "by", "level"], sort=False):
        name, by, level = (str(k) for k in keys)
        at = {r["strength"]: r for r in own.to_dict("records")}
        way = "permutation rate" if by == "permutations" else "Benjamini\u2013Hochberg"
        cells = " | ".join(
            f"{_share(r['fdr_nothing'], 3)} \u00b1 {_share(r['fdr_nothing_error'], 3)} "
            f"({_share(r['fdr'], 3)}) / {_share(r['power'])}"
            for r in (at[s] for s in strengths)
        )
        rows.append(f"| {LISTS[name].label} | {way} | {float(level):.0%} | {cells} |")
    return rows


def scan_block(folder: Path) -> str:
    """Write the table of a study as Markdown.

    Parameters
    ----------
    folder : Path
        Results of a study on real data.

    Returns
    -------
    str
        The block between the markers, markers included.

    Raises
    ------
    ValueError
        If the study was on simulated events.
    """
    about = json.loads((folder / "scan_calibration.json").read_text(encoding="utf-8"))
    if about["kind"] != "real":
        raise ValueError("a study on simulated events has nothing to publish")
    table = pd.read_csv(folder / "scan_calibration.csv")
    table = table.sort_values(["list", "by", "level"], key=_order, kind="stable")
    strengths = sorted(set(table.strength))
    head = " | ".join(f"slope {_share(s)}" if s else "nothing planted" for s in strengths)
    return "\n".join(
        [
            BEGIN,
            f"{about['lines']} lines, {about['events']:,} of {about['events_of']:,} events,",
            f"{about['studies']} pairs of responses of every strength, {about['draws']} permutations each, "
            f"seed {about['seed']}.",
            "",
            "Of what a list calls, the share that does nothing at all (mean \u00b1 Monte-Carlo standard",
            "error), in brackets together with what does something but belongs in another list; after the",
            "stroke, the share of the planted that it calls.",
            "",
            f"| list | called by | level | {head} |",
            "|---" * (3 + len(strengths)) + "|",
            *_rows(table, strengths),
            "",
            f"Configuration `{about['config_hash'][:12]}`, data `{about['cohort_hash'][:12]}`.",
            END,
        ]
    )


def _order(column: pd.Series) -> pd.Series:
    first = {"permutations": 0, "benjamini_hochberg": 1} | {n: i for i, n in enumerate(LISTS)}
    return column.map(first) if column.name != "level" else column
