"""The HTML report: one file that needs nothing else, made from the saved tables and the summary."""

from __future__ import annotations

import base64
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crossres_ml.artifacts import atomic
from crossres_ml.cohort.cohort import RESPONSES
from crossres_ml.config import TASKS
from crossres_ml.evaluation.metrics import LOWER_IS_BETTER
from crossres_ml.evaluation.skill import better
from crossres_ml.models.estimators import ESTIMATORS
from crossres_ml.report.cards import LIMITS
from crossres_ml.report.figures import FIGURES, TASK_TITLES
from crossres_ml.report.summary import Interval, Summary, TaskSummary

METRIC_TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "prevalence": "prevalence",
    "brier": "Brier",
    "spearman": "Spearman",
    "within_lineage_spearman": "Spearman within lineage",
}
MODE_TITLES = {"cell_line_out": "Held-out cell lines", "lineage_out": "Held-out lineages"}
_SIGNS = {1: "higher, more resistant", -1: "higher, more sensitive", 0: "no contribution", None: ""}
CAPTIONS = {
    "skill": "AUROC (top) and Spearman correlation with the measured response (bottom) of every model on "
    "cell lines that it was not trained on, with 95 % intervals.",
    "lineage_out": "The same when a whole lineage is held out. Lines are compared within a held-out lineage "
    "only, so a model that knows nothing but lineages is at chance.",
    "responses": "Radiation against chemotherapy response. Lines at or above both dashed cuts are "
    "resistant to both. The cuts drawn are those of all these lines; models learn theirs on training lines.",
    "shap": "The features that move the champion's score most on held-out lines, coloured by direction, and "
    "the ranks of the named genes.",
    "calibration": "Observed share of resistant lines against the predicted probability, in bins of equal "
    "size, over the held-out lines of all repeats; below, how the probabilities are spread.",
    "coverage": "How many lines have each kind of measurement.",
}


def number(interval: Interval, digits: int = 3) -> str:
    """Write a value with its interval; a dash where it is not defined."""
    if interval.value is None:
        return "\u2013"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


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


def _records(path: Path) -> list[dict[Hashable, Any]]:
    """Rows of a table; an empty cell is an empty string."""
    return pd.read_csv(path, keep_default_na=False).to_dict("records")


def _models(task: TaskSummary, mode: str) -> list[dict[str, Any]]:
    """Rows of a skill table: baselines first, then models, each with its role."""
    names = sorted(task.models, key=lambda m: (not ESTIMATORS[m].baseline, list(ESTIMATORS).index(m)))
    rows = []
    for name in names:
        modes = {str(k): v for k, v in task.models[name].items()}
        if mode in modes:
            role = "champion" if name == task.champion else "baseline" if ESTIMATORS[name].baseline else ""
            role = "best baseline" if name == task.best_baseline else role
            rows.append({"name": name, "role": role, "metrics": modes[mode]})
    return rows


def _splits(path: Path) -> list[dict[str, Any]]:
    """One row per held-out set: its lines, and how many were trained on."""
    table = pd.read_csv(path, dtype={"fold": str}, keep_default_na=False)
    train = table[table.role == "train"].set_index(["mode", "repeat", "fold"])
    rows = []
    for row in table[table.role == "test"].to_dict("records"):
        key = (row["mode"], row["repeat"], row["fold"])
        rows.append({**row, "trained": int(train.lines.get(key, 0))})
    return rows


def _figures(folder: Path) -> list[dict[str, str]]:
    out = []
    for name in FIGURES:
        data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
        out.append({"name": name, "data": data, "caption": CAPTIONS[name]})
    return out


def _context(results: Path, summary: Summary) -> dict[str, Any]:
    modes = [m for m in MODE_TITLES if any(m in t.scored_lines for t in summary.tasks.values())]
    return {
        "summary": summary,
        "simulated": summary.data.kind == "simulated",
        "config": yaml.safe_load((results / "config.yaml").read_text(encoding="utf-8")),
        "tasks": TASKS,
        "task_titles": TASK_TITLES,
        "modes": modes,
        "mode_titles": MODE_TITLES,
        "metric_titles": METRIC_TITLES,
        "lower_is_better": LOWER_IS_BETTER,
        "models": {(t, m): _models(summary.tasks[t], m) for t in TASKS for m in modes},
        "about_models": {m: (ESTIMATORS[m].__doc__ or "").split("\n")[0] for m in ESTIMATORS},
        "responses": RESPONSES,
        "splits": _splits(results / "splits.csv"),
        "coverage": _records(results / "coverage.csv"),
        "dropped": _records(results / "dropped.csv"),
        "unresolved": _records(results / "unresolved.csv"),
        "named": _records(results / "named_genes.csv"),
        "signs": _SIGNS,
        "figures": _figures(results / "figures"),
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
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number}
    environment.globals |= {"verdict": verdict}
    text = environment.get_template("report.html.j2").render(_context(results, summary))
    path = results / "report.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
