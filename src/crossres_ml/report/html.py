"""The HTML report: one file that needs nothing else, made from the saved tables and the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from crossres_ml.artifacts import atomic, versions
from crossres_ml.cohort.cohort import RESPONSES
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report import tables
from crossres_ml.report.audit_page import (
    AUDIT_CAPTIONS,
    AUDIT_SOURCES,
    audit_alts,
    audit_context,
    css,
    embedded,
    environment,
)
from crossres_ml.report.cards import LIMITS
from crossres_ml.report.figures import FIGURES, audit_of
from crossres_ml.report.figures.base import Run
from crossres_ml.report.markdown import rendered
from crossres_ml.report.references import data_references, method_references
from crossres_ml.report.summary import SplitMode, Summary
from crossres_ml.report.words import (
    METRIC_NAMES,
    MODE_NAMES,
    TASK_NAMES,
    headline,
    number,
    plain,
)

_FIRST = 6  # metrics of a table that fits a page; the others stand in a second one
CAPTIONS = {
    "glance": "AUROC and Spearman correlation of the model of each task (diamond) and of the best naive model"
    " (square) on cell lines that neither was trained on, with 95 % intervals.",
    "flow": "From all cell lines to those that are scored. A line without a response is not used for it; "
    "chemotherapy is learned from every line that has it.",
    "skill": "AUROC (top) and Spearman correlation with the measured response (bottom) of every model on "
    "cell lines that it was not trained on, with 95 % intervals. Models without a row are for both only.",
    "paired": "Every model minus the best baseline, the two drawn together: an interval that excludes 0 "
    "shows a difference.",
    "have": "Spearman on the same held-out lines when only some measurements are at hand: with the rest "
    "hidden from the champion, and with a model fitted anew on what is left.",
    "both": "The ways to predict both resistances, with 95 % intervals (top), and the difference of each to "
    "the direct one (bottom).",
    "lineages": "Spearman of expected and measured response inside each lineage of at least ten scored lines "
    "(their number in brackets), for the champion on held-out cell lines.",
    "lineage_out": "The same as the first figure when a whole lineage is held out. Lines are compared inside "
    "a held-out lineage only, so a model that knows nothing but lineages is at chance.",
    "learning_curve": "Spearman on the same held-out lines when models learn from part of the training "
    "lines. A curve that still rises at 100 % asks for more lines.",
    "responses": "Radiation against chemotherapy response. Lines at or above both dashed cuts are resistant "
    "to both. The cuts drawn are those of all these lines; models learn theirs on training lines.",
    "shap": "The features that move the champion's score most on held-out lines, coloured by direction, and "
    "the ranks of the named genes. Antibodies whose name ends in _Caution are not fully validated.",
    "calibration": "Observed share of resistant lines against the predicted probability, in bins of equal "
    "size, over the held-out cell lines of all repeats; below, how the probabilities are spread. A slope "
    "under 1 means probabilities that are too extreme.",
    "coverage": "Which line has which response and which block of features; beside each row, the number of "
    "lines that have any of it.",
    **AUDIT_CAPTIONS,
}
SOURCES = {
    **dict.fromkeys(("glance", "skill", "lineage_out"), "metrics.csv"),
    "flow": "dropped_counts.csv", "paired": "paired.csv", "have": "variants.csv", "both": "both.csv",
    "lineages": "lineages.csv", "learning_curve": "learning_curve.csv", "responses": "lines.csv",
    "shap": "named_genes.csv", "calibration": "predictions.parquet", "coverage": "coverage_by_line.parquet",
    **{name: f"audit/{file}" for name, file in AUDIT_SOURCES.items()},
}  # fmt: skip


def _alt(name: str, summary: Summary) -> str:
    """Say in words what a figure shows; where it is about skill, with the champions' numbers."""
    alt = CAPTIONS[name]
    mode: SplitMode = "lineage_out" if name == "lineage_out" else "cell_line_out"
    if name not in ("glance", "skill", "lineage_out"):
        return alt
    for task in TASKS:
        section = summary.tasks[task]
        own = section.models[section.champion]
        if mode in own:
            alt += (
                f" {TASK_NAMES[task]}: {plain(section.champion)}, AUROC {number(own[mode]['auroc'].value)}."
            )
    return alt


def _sections(summary: Summary, have: list[tables.Row]) -> dict[str, str]:
    """Give the sections of the page: id -> name in the list of contents."""
    names = {
        "answer": "Answer", "claims": "Claims", "scan": "Scan", "atlas": "Atlas",
        "have": "What you have", "both": "Both", "skill": "Skill",
        "far": "New tissues, new studies", "checks": "Checks", "genes": "Named genes", "data": "Data",
        "splits": "Splits", "methods": "Methods", "cards": "Cards",
        "files": "Files", "limits": "Limits", "references": "References",
    }  # fmt: skip
    modes = {m for t in summary.tasks.values() for m in t.scored_lines}
    there = {
        "claims": summary.audit is not None,
        "have": bool(have),
        "both": summary.both is not None,
        "far": len(modes) > 1,
    }
    return {k: v for k, v in names.items() if there.get(k, True)}


def _skill(summary: Summary) -> dict[str, Any]:
    """Give what the sections on skill show."""
    modes = [m for m in MODE_NAMES if any(m in t.scored_lines for t in summary.tasks.values())]
    names = list(METRIC_NAMES.items())
    return {
        "headline": headline(summary),
        "modes": modes,
        "models": {(t, m): tables.model_rows(summary.tasks[t], m) for t in TASKS for m in modes},
        "metrics": {"first": dict(names[:_FIRST]), "more": dict(names[_FIRST:])},
        "have": tables.have_rows(summary, "spearman"),
        "have_auroc": tables.have_rows(summary, "auroc"),
        "both_rows": {m: tables.both_rows(summary, m) for m in (summary.both.order if summary.both else {})},
        "curve": tables.curve_rows(summary),
        "shares": tables.curve_shares(summary),
        "permuted": any(t.permuted for t in summary.tasks.values()),
        "alarms": tables.alarms(summary),
    }


def context(results: Path, summary: Summary, *, base: str = "") -> dict[str, Any]:
    """Give what the report of a training run shows.

    Parameters
    ----------
    results : Path
        Folder of results, with its tables and figures.
    summary : Summary
        Its summary.
    base : str, optional
        Way from the page to the folder, ending with a slash.

    Returns
    -------
    dict
        For `page`.
    """
    text = (results / "config.yaml").read_text(encoding="utf-8")
    config = TrainConfig.model_validate(yaml.safe_load(text))
    named = tables.named_rows(results / "named_genes.csv", summary, config.named_genes)
    skill, audit = _skill(summary), audit_of(Run(results, summary))
    sources = {name: base + file for name, file in SOURCES.items()}
    alts = {name: _alt(name, summary) for name in CAPTIONS} | (audit_alts(audit) if audit else {})
    return {
        **skill,
        "audit": audit_context(audit, config.named_genes) if audit else None,
        "sections": _sections(summary, skill["have"]),
        "css": css(),
        "base": base,
        "at": f"{base}audit/",
        "scan": None,
        "atlas": None,
        "summary": summary,
        "simulated": summary.data.kind == "simulated",
        "config": config,
        "tasks": TASKS,
        "task_names": TASK_NAMES,
        "groups_of_two": [(TASK_NAMES[t], 2) for t in TASKS],
        "mode_names": MODE_NAMES,
        "baselines": [m for m in ABOUT if is_baseline(m)],
        "about_models": ABOUT,
        "responses": RESPONSES,
        "across": tables.across_rows(results / "across_responses.csv"),
        "splits": tables.split_rows(results / "splits.csv"),
        "coverage": tables.records(results / "coverage.csv"),
        "dropped": tables.records(results / "dropped.csv", dtype=str),
        "missing": tables.records(results / "dropped_counts.csv", dtype=str),
        "unresolved": tables.records(results / "unresolved.csv", dtype=str),
        "named": named,
        "genes_in_words": tables.genes_in_words(named),
        "figures": embedded(
            results / "figures", FIGURES, CAPTIONS, alts, {k: base + v for k, v in SOURCES.items()}
        ),
        "limits": LIMITS.split("\n\n"),
        "parameters": text,
        "versions": versions(),
        "cards": _cards(results),
        "data_references": data_references(summary.data),
        "method_references": method_references(),
    }


def _cards(results: Path) -> dict[str, Markup]:
    """Give the cards of the models and the sheet of the data as HTML, one level below the section's title."""
    files = {f"Model card: {TASK_NAMES[t].lower()}": results / "models" / t / "MODEL_CARD.md" for t in TASKS}
    files["Datasheet: the joined data"] = results / "DATASHEET.md"
    return {
        name: rendered(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()
    }


def page(shown: dict[str, Any]) -> str:
    """Render the report.

    Parameters
    ----------
    shown : dict
        As `context` gives it.

    Returns
    -------
    str
        HTML.
    """
    made = environment()
    made.filters["direction"] = tables.direction
    return made.get_template("report.html.j2").render(shown)


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
    text = page(context(results, summary))
    path = results / "report.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
