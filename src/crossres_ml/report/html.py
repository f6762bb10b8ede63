"""The HTML report: one file that needs nothing else, made from the saved tables and the summary."""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crossres_ml.artifacts import atomic
from crossres_ml.cohort.cohort import RESPONSES
from crossres_ml.config import TASKS, TaskName, TrainConfig
from crossres_ml.evaluation.skill import better, is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.cards import LIMITS
from crossres_ml.report.figures import TASK_TITLES, TOP
from crossres_ml.report.summary import Interval, SplitMode, Summary, TaskSummary

_TEMPLATES = Path(__file__).parent / "templates"
METRIC_NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "brier": "Brier",
    "spearman": "Spearman",
    "within_lineage_spearman": "Spearman in lineage",
}
TASK_NAMES: dict[TaskName, str] = {**TASK_TITLES, "cross": "Both (cross-resistance)"}
MODE_NAMES = {
    "cell_line_out": "Held-out cell lines",
    "lineage_out": "Held-out lineages",
    "study_out": "Held-out study",
}
_NOT_BETTER = "not shown to be better than the best naive model"
CAPTIONS = {
    "skill": "AUROC (top) and Spearman correlation with the measured response (bottom) of every model on "
    "cell lines that it was not trained on, with 95 % intervals.",
    "lineage_out": "The same when a whole lineage is held out. Lines are compared inside a held-out lineage "
    "only, so a model that knows nothing but lineages is at chance.",
    "responses": "Radiation against chemotherapy response. Lines at or above both dashed cuts are resistant "
    "to both. The cuts drawn are those of all these lines; models learn theirs on training lines.",
    "shap": "The features that move the champion's score most on held-out lines, coloured by direction, and "
    "the ranks of the named genes. Antibodies whose name ends in _Caution are not fully validated.",
    "calibration": "Observed share of resistant lines against the predicted probability, in bins of equal "
    "size, over the held-out cell lines of all repeats; below, how the probabilities are spread.",
    "coverage": "How many lines have each kind of measurement, and which share of the values is there.",
}


def verdict(metric: str, difference: Interval) -> str:
    """Say in words what the interval of champion minus best baseline shows.

    Parameters
    ----------
    metric : str
        Metric of the difference.
    difference : Interval
        Champion minus best baseline.

    Returns
    -------
    str
        ``better``, ``worse``, ``not told apart`` or ``not defined``.
    """
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "not defined"
    if better(metric, low, high):
        return "better"
    return "not told apart" if low <= 0 <= high else "worse"


def _records(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Rows of a table; an empty cell is an empty string, and a name like NA stays a name."""
    table: pd.DataFrame = pd.read_csv(path, keep_default_na=False, **options)
    return _rows(table)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _rank(rank: float) -> str:
    """Write a rank; ties share a mean rank, which may end in .5."""
    return f"{rank:,.1f}".removesuffix(".0")


def _models(task: TaskSummary, mode: str) -> list[dict[str, Any]]:
    """Rows of a skill table: baselines first, then models, each with its role."""
    naive = {str(k): v for k, v in task.paired_baseline.items()}
    names = sorted(task.models, key=list(ABOUT).index)
    rows = []
    for name in names:
        modes = {str(k): v for k, v in task.models[name].items()}
        if mode in modes:
            role = "champion" if name == task.champion else "baseline" if is_baseline(name) else ""
            role = "best baseline" if name == naive.get(mode) else role
            rows.append({"name": name, "role": role, "metrics": modes[mode]})
    return rows


def _named(path: Path, summary: Summary, order: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of the named genes: per gene and task the headline measurement first, then the others."""
    table = _records(path)
    rows = []
    for gene, task in itertools.product(order, TASKS):
        chosen = summary.named_genes[gene][task]
        key = {"gene": gene, "task": task, "first": True}
        own = [{**r, **key} for r in table if (r["gene"], r["task"]) == (gene, task)]
        own.sort(key=lambda r: r["measurement"] != chosen.measurement)
        rows += [{**r, "first": not i} for i, r in enumerate(own)] or [{**chosen.model_dump(), **key}]
    return rows


def genes_in_words(named: list[dict[str, Any]]) -> str:
    """Say which measurements of the named genes are among the first features of a task's model."""
    first = [r for r in named if r["rank"] is not None and r["rank"] <= TOP]
    if not first:
        return f"None of the named genes is among the first {TOP} features of any of the three models."
    found: dict[str, list[str]] = {}
    for row in first:
        task = TASK_NAMES[row["task"]].lower()
        found.setdefault(task, []).append(f"{row['measurement']} (rank {_rank(row['rank'])})")
    said = "; ".join(f"for {task} {_listed(rows)}" for task, rows in found.items())
    outside = sorted({r["gene"] for r in named} - {r["gene"] for r in first})
    rest = f" Not among them: {_listed(outside)}." if outside else ""
    return f"Among the first {TOP} features of a model: {said}.{rest}"


def _direction(row: Mapping[str, Any]) -> str:
    """Say what a higher value of a feature goes with, where that can be said."""
    if row["mean_abs_shap"] == 0:
        return "not used: shares the last rank"
    return {1: "more resistant", -1: "more sensitive"}.get(row["sign"], "the same in all these lines")


def _listed(names: list[str]) -> str:
    """Write names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def headline(summary: Summary) -> str:
    """Say in a sentence or two which champions beat the best naive model on held-out cell lines.

    Parameters
    ----------
    summary : Summary
        The summary.

    Returns
    -------
    str
        Plain text.
    """
    found: dict[str, list[str]] = {}
    for task in TASKS:
        difference = summary.tasks[task].paired_difference["cell_line_out"]
        won = [METRIC_NAMES[m] for m in ("auroc", "spearman") if verdict(m, difference[m]) == "better"]
        shown = f"better than the best naive model in {' and in '.join(won)}" if won else _NOT_BETTER
        found.setdefault(shown, []).append(TASK_NAMES[task].lower())
    parts = [f"for {_listed(tasks)}, the model is {shown}" for shown, tasks in found.items()]
    return f"On held-out cell lines: {'; '.join(parts)}."


def _splits(path: Path) -> list[dict[str, Any]]:
    """One row per held-out set: its lines, how many were trained on, and how many set aside."""
    table = pd.read_csv(path, dtype={"fold": str}, keep_default_na=False)
    keys = ["mode", "repeat", "fold"]
    lines = table.pivot_table(index=keys, columns="role", values="lines", fill_value=0)
    lines = lines.reindex(columns=["train", "excluded"], fill_value=0).astype(int)
    lines.columns = pd.Index(["trained", "excluded"])
    tested = table[table.role == "test"].join(lines, on=keys)
    by_lines = tested["mode"] == "cell_line_out"
    numbered = "fold " + (pd.to_numeric(tested.fold, errors="coerce") + 1).map("{:.0f}".format)
    return _rows(tested.assign(held_out=tested.fold.mask(by_lines, numbered)))


def _alt(name: str, summary: Summary) -> str:
    """Say in words what a figure shows; where it is about skill, with the champions' numbers."""
    alt = CAPTIONS[name]
    mode: SplitMode | None = {"skill": "cell_line_out", "lineage_out": "lineage_out"}.get(name)  # type: ignore[assignment]
    for task in TASKS:
        section = summary.tasks[task]
        if mode in section.scored_lines:
            value = section.models[section.champion][mode]["auroc"].value
            alt += f" {TASK_NAMES[task]}: {section.champion}" + (
                f", AUROC {value:.2f}." if value is not None else "."
            )
    return alt


def _figures(folder: Path, summary: Summary) -> list[dict[str, Any]]:
    out = []
    for name, caption in CAPTIONS.items():
        png = (folder / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", png[16:24])  # the first chunk of a PNG holds its size
        data = base64.b64encode(png).decode("ascii")
        size = {"width": width, "height": height}
        out.append({"name": name, "data": data, "caption": caption, "alt": _alt(name, summary), **size})
    return out


def _context(results: Path, summary: Summary) -> dict[str, Any]:
    modes = [m for m in MODE_NAMES if any(m in t.scored_lines for t in summary.tasks.values())]
    text = (results / "config.yaml").read_text(encoding="utf-8")
    config = TrainConfig.model_validate(yaml.safe_load(text))
    named = _named(results / "named_genes.csv", summary, config.named_genes)
    return {
        "css": Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "summary": summary,
        "simulated": summary.data.kind == "simulated",
        "config": config,
        "tasks": TASKS,
        "task_names": TASK_NAMES,
        "modes": modes,
        "mode_names": MODE_NAMES,
        "metric_names": METRIC_NAMES,
        "models": {(t, m): _models(summary.tasks[t], m) for t in TASKS for m in modes},
        "baselines": [m for m in ABOUT if is_baseline(m)],
        "about_models": ABOUT,
        "responses": RESPONSES,
        "splits": _splits(results / "splits.csv"),
        "coverage": _records(results / "coverage.csv"),
        "dropped": _records(results / "dropped.csv", dtype=str),
        "unresolved": _records(results / "unresolved.csv", dtype=str),
        "headline": headline(summary),
        "named": named,
        "genes_in_words": genes_in_words(named),
        "figures": _figures(results / "figures", summary),
        "limits": LIMITS.split("\n\n"),
    }


def write_report(results: Path, summary: Summary) -> Path:
    """Write ``report.html``.

    Parameters
    ----------
    results : Path
        Folder of results, with its tables and figures.
    summary : Summary
        Its summary.

    Returns
    -------
    Path
        The report: one file, no script, nothing loaded from elsewhere. It holds no time of day and no
        duration, so that the same results give the same bytes.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"rank": _rank, "direction": _direction}
    environment.globals["verdict"] = verdict
    text = environment.get_template("report.html.j2").render(_context(results, summary))
    path = results / "report.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
