"""Rows of the report's tables, read from the saved tables and the summary."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.alarms import CHANCE_SPEARMAN, SAME, SHARED_LINES, SUSPECT_R2
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.report.figures.shap import TOP
from crossres_ml.report.summary import Interval, SplitMode, Summary, TaskSummary, as_interval
from crossres_ml.report.words import (
    APPROACH_NAMES,
    HAVE_NAMES,
    TASK_NAMES,
    in_order,
    listed,
    number,
    plain,
    rank,
    shown,
)

Row = dict[str, Any]


def records(path: Path, **options: Any) -> list[Row]:
    """Give the rows of a table; an empty cell is an empty string, and a name like NA stays a name."""
    table: pd.DataFrame = pd.read_csv(path, keep_default_na=False, **options)
    return _rows(table)


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def model_rows(task: TaskSummary, mode: SplitMode) -> list[Row]:
    """Give the rows of a skill table: baselines first, then models, each with its role."""
    rows = []
    for name in in_order(task.models):
        if mode in task.models[name]:
            role = "champion" if name == task.champion else "baseline" if is_baseline(name) else ""
            role = "best baseline" if name == task.paired_baseline.get(mode) else role
            rows.append({"name": name, "role": role, "metrics": task.models[name][mode]})
    return rows


def have_rows(summary: Summary, metric: str) -> list[Row]:
    """Give what a user has, and per task the skill with the rest hidden and with models fitted anew."""
    rows = []
    for variant, name in HAVE_NAMES.items():
        cells: list[Interval | None] = []
        for task in TASKS:
            section = summary.tasks[task].what_you_have
            for values in (section.hidden, section.retrained) if section else ({}, {}):
                cells.append(values.get(variant, {}).get(metric))
        if any(cells):
            rows.append({"name": name, "cells": cells})
    return rows


def both_rows(summary: Summary, mode: SplitMode) -> list[Row]:
    """Give the ways to "both", from the best down, with the difference to the direct one."""
    if summary.both is None:
        return []
    models, against = summary.tasks["cross"].models, summary.both.against_direct[mode]
    return [
        {
            "name": name,
            "about": APPROACH_NAMES[name],
            "metrics": models[name][mode],
            "difference": against.get(name),
        }
        for name in summary.both.order[mode]
    ]


def curve_rows(summary: Summary) -> list[Row]:
    """Give the learning curves: per task and model a value for each share of the training lines."""
    shares = curve_shares(summary)
    return [
        {
            "task": task,
            "name": name,
            "cells": [summary.tasks[task].learning_curve[name].get(s) for s in shares],
        }
        for task in TASKS
        for name in in_order(summary.tasks[task].learning_curve)
    ]


def curve_shares(summary: Summary) -> list[int]:
    """Give the shares of the training lines, per cent."""
    return sorted({s for t in summary.tasks.values() for points in t.learning_curve.values() for s in points})


def across_rows(path: Path) -> list[Row]:
    """Give every measured response with the champions' Spearman correlation per task."""
    table = pd.read_csv(path)
    rows = []
    for response, part in table.groupby("response", sort=False):
        own = {str(r["task"]): r for r in part.to_dict("records")}
        cells = [as_interval(own[t]) if t in own else None for t in TASKS]
        rows.append({"name": str(response), "n": int(part.n.max()), "cells": cells})
    return rows


def alarms(summary: Summary) -> list[str]:
    """Say which alarms were checked, and how near the run came to them."""
    models = summary.tasks["radiation"].models
    found = {m: modes["cell_line_out"]["r2"] for m, modes in models.items() if "cell_line_out" in modes}
    best = max(
        (m for m in found if found[m].value is not None), key=lambda m: found[m].value or 0, default=None
    )
    highest = f"; the highest here is {shown(found[best])}, {plain(best)}" if best else ""
    applies = "" if summary.data.kind == "real" else " (on real data only)"
    permuted = [i.value for t in summary.tasks.values() for i in t.permuted.values() if i.value is not None]
    chance = f"; the highest here is {number(max(permuted))}" if permuted else " (not run here)"
    return [
        "Relatives on both sides of a split, a line tested twice, or a held-out lineage trained on.",
        f"A feature that equals a response: a correlation of {SAME:.2f} or more over {SHARED_LINES} lines.",
        "An object fitted on held-out lines: every view and the drug profile record the lines that they have "
        "seen, and a model refuses to score a line that it was trained on.",
        f"R2 of a model of radiation above {SUSPECT_R2:.2f}{applies}{highest}.",
        f"Spearman above {CHANCE_SPEARMAN:.2f} on permuted labels, with an interval above 0{chance}.",
    ]


def named_rows(path: Path, summary: Summary, order: Iterable[str]) -> list[Row]:
    """Give the rows of the named genes: per gene and task the headline measurement first."""
    table = records(path)
    rows = []
    for gene, task in itertools.product(order, TASKS):
        chosen = summary.named_genes[gene][task]
        key = {"gene": gene, "task": task, "first": True}
        own = [{**r, **key} for r in table if (r["gene"], r["task"]) == (gene, task)]
        own.sort(key=lambda r: r["measurement"] != chosen.measurement)
        rows += [{**r, "first": not i} for i, r in enumerate(own)] or [{**chosen.model_dump(), **key}]
    return rows


def genes_in_words(named: list[Row]) -> str:
    """Say which measurements of the named genes are among the first features of a task's model."""
    first = [r for r in named if r["rank"] is not None and r["rank"] <= TOP]
    if not first:
        return f"None of the named genes is among the first {TOP} features of any of the three models."
    found: dict[str, list[str]] = {}
    for row in first:
        task = TASK_NAMES[row["task"]].lower()
        found.setdefault(task, []).append(f"{row['measurement']} (rank {rank(row['rank'])})")
    said = "; ".join(f"for {task} {listed(rows)}" for task, rows in found.items())
    outside = sorted({r["gene"] for r in named} - {r["gene"] for r in first})
    rest = f" Not among them: {listed(outside)}." if outside else ""
    return f"Among the first {TOP} features of a model: {said}.{rest}"


def direction(row: Mapping[str, Any]) -> str:
    """Say what a higher value of a feature goes with, where that can be said."""
    if row["mean_abs_shap"] == 0:
        return "not used: shares the last rank"
    return {1: "more resistant", -1: "more sensitive"}.get(row["sign"], "the same in all these lines")


def split_rows(path: Path) -> list[Row]:
    """Give one row per held-out set: its lines, how many were trained on, and how many set aside."""
    table = pd.read_csv(path, dtype={"fold": str}, keep_default_na=False)
    keys = ["mode", "repeat", "fold"]
    lines = table.pivot_table(index=keys, columns="role", values="lines", fill_value=0)
    lines = lines.reindex(columns=["train", "excluded"], fill_value=0).astype(int)
    lines.columns = pd.Index(["trained", "excluded"])
    tested = table[table.role == "test"].join(lines, on=keys)
    by_lines = tested["mode"] == "cell_line_out"
    numbered = "fold " + (pd.to_numeric(tested.fold, errors="coerce") + 1).map("{:.0f}".format)
    named = tested.fold.where(tested["mode"] != "study_out", tested.fold.map(plain))
    return _rows(tested.assign(held_out=named.mask(by_lines, numbered)))
