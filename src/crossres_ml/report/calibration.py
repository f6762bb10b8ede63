"""The tables of docs/calibration.md, written from a finished study and never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crossres_ml.audit.calibrate_methods import BOTH_METHODS, METHODS
from crossres_ml.report.words import DASH, share

BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
_SHOWN = (0.10, 0.15, 0.20, 0.25, 0.35)


def _rate(row: pd.Series, name: str) -> str:
    low, high = (share(row[f"{name}_{end}"], 3) for end in ("low", "high"))
    return f"{share(row[name], 3)} ({low}, {high})"


def _level(table: pd.DataFrame, seconds: pd.Series) -> list[str]:
    rows = []
    for method, words in METHODS.items():
        own = table[(table.method == method) & (table.r == 0)]
        for _, row in own.iterrows():
            rates = " | ".join(_rate(row, c) for c in ("null", "confounded"))
            said = "yes" if row.offered else "**no**"
            rows.append(f"| {words} | {row.outcomes} | {rates} | {seconds[method]:.2g} | {said} |")
    return [
        "Share of features called a driver where nothing drives the outcome, with Monte-Carlo 95 % intervals",
        "(between outcomes); processor seconds that one outcome costs.",
        "",
        "| method | outcomes | null features | confounded features | seconds | holds its level |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _power(table: pd.DataFrame) -> list[str]:
    rows = []
    for method, words in METHODS.items():
        own = table[table.method == method].set_index("r")
        cells = []
        for r in _SHOWN:
            found = r in own.index
            cells.append("/".join(share(own[c][r]) for c in "STL") if found else DASH)
        rows.append(f"| {words} | {' | '.join(cells)} |")
    head = " | ".join(f"r = {share(r)}" for r in _SHOWN)
    return [
        "Power: share of simulated outcomes whose driver is called, S / T / L. Wilson's 95 % intervals are",
        "about .15 to each side with 30 outcomes, wider with fewer; calibration.csv has them.",
        "",
        f"| method | {head} |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _beside(table: pd.DataFrame, strong: float) -> list[str]:
    own = table[table.r == strong]
    rows = []
    for _, row in own.iterrows():
        rates = " | ".join(_rate(row, c) for c in ("null", "confounded", "twin"))
        rows.append(f"| {METHODS[str(row.method)]} | {rates} |")
    return [
        f"Beside three drivers of r = {share(strong)}: share called of the features that drive nothing,",
        "and of the twin of T.",
        "",
        "| method | null features | confounded features | twin |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _both(table: pd.DataFrame, shown: tuple[float, ...]) -> list[str]:
    rows = []
    for method, words in BOTH_METHODS.items():
        for r in shown:
            for _, row in table[(table.method == method) & (table.r == r)].iterrows():
                rates = " | ".join(_rate(row, c) for c in ("null", "confounded", "one_only", "both"))
                rows.append(f"| {words} | {share(r)} | {rates} |")
    return [
        'Two outcomes: share called "drives both". S and L drive one of them only, T drives both.',
        "",
        "| method | r | null features | confounded features | drivers of one only | driver of both |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def calibration_block(folder: Path) -> str:
    """Write the tables of a study as Markdown.

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
        If the study was on simulated data: its matrix is not the one that the audit works on.
    """
    about = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    if about["kind"] != "real":
        raise ValueError("a study on a simulated matrix has nothing to publish")
    table, both = (pd.read_csv(folder / f"{n}.csv") for n in ("calibration", "both"))
    seconds = pd.read_csv(folder / "seconds.csv").set_index("method").seconds
    return "\n".join(
        [
            BEGIN,
            f"{about['lines']} lines, {about['features']} of {about['features_of']} features, "
            f"{about['studies']} draws of drivers, {about['draws']} permutations, seed {about['seed']}.",
            "",
            *_level(table, seconds),
            *_power(table),
            *_beside(table, 0.25),
            *_both(both, (0.0, 0.15, 0.25, 0.35)),
            f"Configuration `{about['config_hash'][:12]}`, data `{about['cohort_hash'][:12]}`.",
            END,
        ]
    )
