"""Figures of a validation: calibration, ROC curves, and scores against responses."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import roc_curve

from crossres_ml.evaluation.external import ERROR, LINEAGE, MODEL
from crossres_ml.report.figures.base import BLUE, GREY, LIGHT, ORANGE, RED, new, set_title
from crossres_ml.report.figures.calibration import calibration_bins
from crossres_ml.report.validation_run import ValidationRun
from crossres_ml.report.words import shown

_SIDE = 6.2
_MISSING = "not defined"


def validation_calibration(run: ValidationRun) -> Figure:
    """Draw observed shares against predicted probabilities."""
    figure, predictions = new(_SIDE, 6.6), run.predictions
    set_title(figure, "Calibration in the study", simulated=run.simulated)
    axes, strip = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    bins = calibration_bins(predictions)
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
    spread = np.abs(bins[["low", "high"]].sub(bins.observed, axis=0).to_numpy().T)
    axes.errorbar(bins.predicted, bins.observed, yerr=spread, fmt="o", color=BLUE, ms=6, capsize=3)
    axes.axhline(predictions.label.mean(), color=GREY, lw=0.8, ls="--")
    axes.axhline(run.about["training_prevalence"], color=ORANGE, lw=0.8, ls="--")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed resistant share")
    found = {n: run.interval(m) for n, m in (("error", ERROR), ("slope", "calibration_slope"))}
    said = "\n".join(f"{n} {shown(v, missing=_MISSING)}" for n, v in found.items() if v is not None)
    axes.text(0.03, 0.97, said, va="top", fontsize=9)
    strip.hist(predictions.probability, np.linspace(0, 1, 41), color=LIGHT)
    strip.set(xlabel="predicted probability of resistance", ylabel="samples")
    handles = [
        Line2D([], [], color=BLUE, marker="o", label="bin of samples, 95 % Wilson interval"),
        Line2D([], [], color="black", lw=0.8, ls=":", label="perfect calibration"),
        Line2D([], [], color=GREY, lw=0.8, ls="--", label="resistant share of the study"),
        Line2D([], [], color=ORANGE, lw=0.8, ls="--", label="prevalence in training"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
    return figure


def validation_roc(run: ValidationRun) -> Figure:
    """Draw the ROC curve of the model and of the lineage baseline."""
    figure, predictions = new(_SIDE, 5.6), run.predictions
    set_title(figure, "ROC: what is found, at what price", simulated=run.simulated)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":", label="chance")
    for of, column, colour in ((MODEL, "score", RED), (LINEAGE, "baseline", GREY)):
        if (area := run.interval("auroc", of)) is not None:
            wrong, right, _ = roc_curve(predictions.label, predictions[column])
            axes.plot(
                wrong, right, color=colour, lw=1.8, label=f"{of}: AUROC {shown(area, missing=_MISSING)}"
            )
    axes.set(xlabel="share of sensitive samples called resistant", ylabel="share of resistant samples found",
             xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))  # fmt: skip
    axes.legend(loc="lower right", frameon=False)
    return figure


def validation_scatter(run: ValidationRun) -> Figure | None:
    """Draw the score against a continuous response, with the cut of the classes; None for classes."""
    if run.about["classes"]:
        return None
    figure, predictions = new(_SIDE, 5.6), run.predictions
    set_title(figure, "Score against measured response", simulated=run.simulated)
    axes = figure.subplots()
    for label, colour, name in ((1, RED, "resistant"), (0, BLUE, "sensitive")):
        own = predictions[predictions.label == label]
        axes.plot(own.response, own.score, "o", color=colour, ms=4, alpha=0.6, mew=0, label=name)
    axes.axvline(run.about["cut"], color="black", lw=0.8, ls="--")
    rho = run.interval("spearman")
    said = "" if rho is None else f"Spearman {shown(rho, missing=_MISSING)}"
    axes.text(0.02, 0.98, said, va="top", fontsize=9, transform=axes.transAxes)
    axes.set(
        xlabel=f"{run.about['column']} (higher = more {run.about['higher']})", ylabel="score of the model"
    )
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    return figure
