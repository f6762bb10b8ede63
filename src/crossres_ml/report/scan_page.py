"""The page of a scan: one file, made from its saved tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.artifacts import atomic
from crossres_ml.report.audit_page import css, embedded, environment
from crossres_ml.report.audit_run import SYMBOLS
from crossres_ml.report.figures import SCAN_FIGURES, draw_scan
from crossres_ml.report.scan_run import SIDES, ScanRun
from crossres_ml.report.words import DASH, number, plain
from crossres_ml.scan.both import LISTS
from crossres_ml.scan.events import USER
from crossres_ml.scan.signals import SAME_SIGNAL

Row = dict[str, Any]
CAPTIONS = {
    "scan_effects": "Effect of every event on radiation (across) and on chemotherapy (upwards), adjusted for "
    "lineage. Marked: events of a list; named: the best event of its first signals, with the number of "
    "others that go with it.",
    "scan_volcanos": "Effect against p, list by list. Of two modalities, the one with the larger p is drawn, "
    "because it decides. Dashed: the largest p at which the permutation rate stays below the level.",
    "scan_lineages": "Correlation of the first events with each response inside every lineage, with 95 % "
    "intervals; a larger square has more lines. Below them the random-effects pooled effect, and I2: the "
    "share of the spread between lineages that is not chance.",
}
LIMITS = (
    "Cell lines are not patients: no stroma, no vessels, no immune system, no fractionated treatment.",
    "An association is not a cause. Nothing here was tested by changing a gene.",
    "Copy numbers and expression of one arm go together: the gene that gives a segment its name need not be "
    "the one that acts.",
    "What was measured in few lines can be called only if its effect is large: see the detectable effect.",
    "The rate is the share of false ones expected among the events of a list, not the chance that a single "
    "one is false.",
    "Each response comes from one screen; no list was tried on a second one.",
)
FILES = {
    "scan.csv": "events of the lists, and the first of each",
    "scan.parquet": "every event that was scanned",
    "signals.csv": "one row a signal",
    "lists.csv": "seen and expected, a row a list and level",
    "drugs.parquet": "every event against every drug of the panels",
    "lineages.csv": "first events lineage by lineage",
    "pooled.csv": "their pooled effects, spread, and what is left without each lineage",
    "known_pairs.csv": "known pairs",
    "skipped.csv": "what was not scanned, with reasons",
    "permutations.csv": "events called in each permutation",
    "expected.parquet": "events of a permutation at each p",
    "scan.json": "counts, settings, hashes, the answer",
}


def small(value: float) -> str:
    """Write a p-value or a rate."""
    if not math.isfinite(value):
        return DASH
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _known(value: Any) -> float:
    return float(pd.to_numeric(value, errors="coerce"))


def _signed(value: Any) -> str:
    found = _known(value)
    return number(found if math.isfinite(found) else None, sign=True)


def _effect(row: Mapping[Any, Any], name: str) -> Row:
    low, high = (_signed(row[f"{name}_{end}"]) for end in ("low", "high"))
    return {
        "raw": _signed(row[f"{name}_raw"]),
        "lineage": _signed(row[name]),
        "interval": f"({low} to {high})",
        "full": _signed(row[f"{name}_full"]),
        "sort": _known(row[name]),
    }


def list_rows(run: ScanRun) -> list[Row]:
    """Give a row for each list and level."""
    rows = []
    for r in run.csv("lists.csv").to_dict("records"):
        count = {k: f"{_known(r[k]):.1f}" if math.isfinite(_known(r[k])) else DASH
                 for k in ("expected", "expected_pairs", "permuted_bh")}  # fmt: skip
        rows.append({str(k): v for k, v in r.items()} | count | {"level": f"{r['level']:.0%}"})
    return rows


def signal_rows(run: ScanRun) -> list[Row]:
    """Give a row for each signal."""
    return [
        {str(k): v for k, v in r.items()}
        | {"list": LISTS[r["list"]].label, "p": small(r["list_p"]), "rate": small(r["list_rate"])}
        | {s: _signed(r[s]) for s in SIDES}
        for r in run.csv("signals.csv").to_dict("records")
    ]


def event_rows(run: ScanRun) -> list[Row]:
    """Give a row for each event of a list, and for the first of each."""
    rows, labels = [], run.events.label
    table = run.csv("scan.csv")
    order = table.best_list.map(list(LISTS).index)
    for r in table.iloc[order.argsort(kind="stable")].to_dict("records"):
        signal = str(r["signal"]) if r["list"] else ""
        marks = [f"arm {r['arm']}" if r["arm"] else "", "antibody not validated" if r["caution"] else ""]
        if r["arm"] and str(r["beyond_arm"]) in ("True", "False"):
            marks.append("beyond its arm" if str(r["beyond_arm"]) == "True" else "not beyond its arm")
        rows.append(
            {
                "label": r["label"], "list": LISTS[r["best_list"]].label, "called": bool(r["list"]),
                "bh": bool(r["by_bh"]), "n": int(r["n"]), "p": small(r["list_p"]),
                "carriers": f"{_known(r['carriers']):.0f}" if math.isfinite(_known(r["carriers"])) else DASH,
                "rate": small(r["list_rate"]),
                "sort": {"p": r["list_p"], "rate": r["list_rate"]}, "marks": ", ".join(m for m in marks if m),
                "folded": r["same_as"], "members": int(r["members"]), "carried": r["carried_by"],
                "signal": "" if signal in ("", r["event"]) else labels.get(signal, signal),
                "mde": number(_known(r["both_mde"])), **{s: _effect(r, s) for s in SIDES},
            }
        )  # fmt: skip
    return rows


def known_rows(run: ScanRun) -> list[Row]:
    """Give a row for each known pair and screen."""
    rows, labels = [], run.events.label
    for r in run.csv("known_pairs.csv").to_dict("records"):
        found = bool(r["event"])
        good = str(r["recovered"]) == "True"
        interval = f"{_signed(r['effect'])} ({_signed(r['low'])} to {_signed(r['high'])})"
        own = _known(r["rank_own"])
        rows.append(
            {
                "label": r["label"], "drug": r["drug"], "event": labels.get(r["event"], r["event"]),
                "good": good if found else None, "reason": r["reason"],
                "effect": interval if found else DASH, "p": small(_known(r["p"])),
                "lines": f"{r['n']:.0f} of {r['drug_n']:.0f}" if found else DASH,
                "rank": f"{r['rank']:,.0f} of {r['of']:,.0f}" if found else DASH,
                "own": f"{own:,.0f} of {r['of_own']:,.0f}" if math.isfinite(own) else "",
            }
        )  # fmt: skip
    return rows


def skipped_rows(run: ScanRun) -> tuple[list[Row], list[Row]]:
    """Give the user's own columns that were skipped, one by one, and all others by block and reason."""
    table = run.csv("skipped.csv")
    if not len(table):
        return [], []
    mine = table.block == USER
    reason = table.reason.str.replace(r"\d+(\.\d+)?", "so many", regex=True)
    groups = table[~mine].assign(reason=reason[~mine]).groupby(["block", "reason"], sort=False)
    others: list[Row] = [
        {
            "block": plain(str(block)),
            "columns": len(own),
            "example": f"{own.event.iloc[0]}: {table.reason[own.index[0]]}",
        }
        for (block, _), own in groups
    ]
    others.sort(key=lambda r: -r["columns"])
    return [
        {"event": e, "reason": r} for e, r in zip(table.event[mine], table.reason[mine], strict=True)
    ], others


def write_scan_report(folder: Path) -> Path:
    """Draw the figures of a scan and write ``report.html``.

    Parameters
    ----------
    folder : Path
        Folder with the files of `crossres_ml.scan.save.write_scan`; gets ``figures/`` and the page.

    Returns
    -------
    Path
        The page: one file, no script, nothing loaded from elsewhere; links to the tables beside it.
    """
    run = ScanRun(folder)
    draw_scan(run)
    mine, others = skipped_rows(run)
    counts = run.csv("lists.csv")
    called = counts[counts.level.sub(run.level).abs() < 1e-9]
    told = "; ".join(f"{r.label}: {r.seen} events, {r.signals} signals" for r in called.itertuples())
    alts = {"scan_effects": f"{CAPTIONS['scan_effects']} {told}."}
    text = environment().get_template("scan.html.j2").render(
        css=css(), about=run.about, simulated=run.simulated, level=f"{run.level:.0%}", lists=list_rows(run),
        signals=signal_rows(run), same=SAME_SIGNAL, events=event_rows(run), known=known_rows(run), mine=mine,
        others=others, limits=LIMITS, files=FILES, symbols=SYMBOLS,
        figures=embedded(folder / "figures", SCAN_FIGURES, CAPTIONS, alts),
    )  # fmt: skip
    path = folder / "report.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
