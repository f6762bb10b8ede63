"""The page of a validation: one file, made from its saved tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossres_ml.artifacts import atomic
from crossres_ml.evaluation.external import (
    BEYOND_LINEAGE,
    BEYOND_PREVALENCE,
    BY_CHANCE,
    CONFIDENCES,
    ERROR,
    LINEAGE,
    MODEL,
    PREVALENCE,
)
from crossres_ml.predict.independent import CAUSES
from crossres_ml.report.audit_page import css, embedded, environment
from crossres_ml.report.figures import VALIDATION_FIGURES, draw_validation
from crossres_ml.report.validation_run import ValidationRun
from crossres_ml.report.words import METRIC_NAMES, TASK_NAMES, number, shown, verdict

Row = dict[str, Any]
SHOWN = (
    "auroc",
    "average_precision",
    "spearman",
    "within_lineage_spearman",
    "brier",
    ERROR,
    "calibration_slope",
)
NAMES = {**METRIC_NAMES, ERROR: "expected calibration error"}
OF = (MODEL, LINEAGE, PREVALENCE, BEYOND_LINEAGE)
CAPTIONS = {
    "calibration": "Observed share of resistant samples against the predicted probability, in bins of "
    "equal size; below, how the probabilities are spread.",
    "roc": "ROC curve of the model and, where lineages are told, of the mean response of each "
    "lineage's training lines.",
    "scatter": "Score against the measured response; dashed, the cut between the classes.",
}
LIMITS = (
    "Research use only. Not for diagnosis or for choosing a treatment.",
    "One study is one kind of sample and one way to measure: it does not show how good the model is "
    "elsewhere.",
    "Samples of patients of whom a training line was made, and lines derived from a training line, are "
    "recognised only if their name or their expression tells it.",
    "A class that is cut from a continuous response is relative to the samples of this very study.",
    "Intervals of coverage take the samples as independent of each other.",
)
FILES = {
    "metrics.csv": "every number with its interval",
    "metrics.json": "the same, with counts, settings and hashes",
    "predictions.csv": "samples that were scored: response, class, prediction, baseline, prediction sets",
    "excluded.csv": "samples that were left out, with the reason and the training line",
}


def metric_rows(run: ValidationRun) -> list[Row]:
    """Give a row for each metric that was measured."""
    rows = []
    for metric in SHOWN:
        if (own := run.interval(metric)) is None:
            continue
        cells = {of: run.interval(metric, of) for of in OF}
        difference = cells[BEYOND_LINEAGE]
        text = {
            of: shown(v, 3, sign=of == BEYOND_LINEAGE, missing="not defined") if v else ""
            for of, v in cells.items()
        }
        judged = "" if difference is None or own.value is None else _judged(metric, difference)
        rows.append({"metric": NAMES[metric], "cells": text, "verdict": judged})
    return rows


def _judged(metric: str, difference: Any) -> str:
    return "" if metric == ERROR else verdict(metric, difference)


def coverage_rows(run: ValidationRun) -> list[Row]:
    """Give a row for each confidence of the prediction sets."""
    rows = []
    for confidence in CONFIDENCES:
        percent = f"{100 * confidence:.0f}"
        names = {
            "all": f"coverage_{percent}", "resistant": f"coverage_{percent}_resistant",
            "sensitive": f"coverage_{percent}_sensitive", "abstains": f"abstains_{percent}",
            "empty": f"empty_{percent}",
        }  # fmt: skip
        found = {k: run.interval(m) for k, m in names.items()}
        cells = {k: shown(v, 2) if v else "" for k, v in found.items()}
        whole = found["all"]
        low, high = (whole.low, whole.high) if whole else (None, None)
        holds = "" if low is None or high is None else "below" if high < confidence else "holds"
        rows.append({"confidence": f"{percent} %", "cells": cells, "holds": holds})
    return rows


def answer(run: ValidationRun) -> list[str]:
    """Say in sentences what was found."""
    about = run.about
    difference, brier = run.interval("auroc", BEYOND_LINEAGE), run.interval("brier", BEYOND_PREVALENCE)
    area, rho, error, chance = (run.interval(m) for m in ("auroc", "spearman", ERROR, BY_CHANCE))
    told = [f"AUROC {shown(area, missing='not defined')}" if area else ""]
    told += [f"Spearman {shown(rho, missing='not defined')}" if rho else ""]
    out = [f"{', '.join(t for t in told if t)} in {about['samples']} samples that did not train the model."]
    if difference is not None:
        text = shown(difference, sign=True, missing="not defined")
        out.append(f"Against the lineage baseline: AUROC {text}, {verdict('auroc', difference)}.")
    else:
        out.append("The lineage baseline cannot be given: the profiles have no column lineage.")
    if brier is not None:
        text = shown(brier, 3, sign=True, missing="not defined")
        out.append(f"Brier against the training prevalence alone: {text}, {verdict('brier', brier)}.")
    if error is not None and chance is not None:
        out.append(
            f"Calibration error {shown(error)}; true probabilities would show {number(chance.value)} in so "
            "few samples."
        )
    return out


def write_validation_page(folder: Path) -> Path:
    """Draw the figures of a validation and write ``report.html``.

    Parameters
    ----------
    folder : Path
        Folder with its tables; gets ``figures/`` and the page.

    Returns
    -------
    Path
        The page: one file, no script, nothing loaded from elsewhere; links to the tables beside it.
    """
    run = ValidationRun(folder)
    draw_validation(run)
    counts = [{"text": t, "count": run.about["excluded"][c]} for c, t in CAUSES.items()]
    text = environment().get_template("validation.html.j2").render(
        css=css(), about=run.about, simulated=run.simulated, task=TASK_NAMES[run.about["task"]],
        answer=answer(run), rows=metric_rows(run), of=OF, coverage=coverage_rows(run), counts=counts,
        excluded=run.excluded.to_dict("records"), causes=CAUSES, limits=LIMITS, files=FILES,
        chance=run.interval(BY_CHANCE),
        figures=embedded(folder / "figures", VALIDATION_FIGURES, CAPTIONS, {}),
    )  # fmt: skip
    path = folder / "report.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
