"""Calibration: whether a probability means what it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.config_names import TASKS
from crossres_ml.report.figures.base import BLUE, GREY, LIGHT, WIDTH, Run, new
from crossres_ml.report.words import TASK_TITLES, plain, shown

_BIN_LINES = 40  # of a calibration bin: its 95 % interval is then at most about 0.15 wide either way


def calibration_bins(predictions: pd.DataFrame) -> pd.DataFrame:
    """Observed resistant fraction in quantile bins of the predicted probability.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Held-out predictions of one model and task: model_id, probability, label.

    Returns
    -------
    pandas.DataFrame
        Per bin: predicted (mean), observed, low, high (Wilson 95 % interval), lines. A line that was
        held out in several repeats counts once in the interval.
    """
    repeats = len(predictions) / predictions.model_id.nunique()
    bins = int(np.clip(predictions.model_id.nunique() // _BIN_LINES, 3, 10))
    inner = predictions.probability.quantile(np.arange(1, bins) / bins).unique()
    where = np.searchsorted(inner, predictions.probability, side="right")
    out = predictions.groupby(where).agg(
        predicted=("probability", "mean"), observed=("label", "mean"), lines=("label", "size")
    )
    out["lines"] = out.lines / repeats
    out["low"], out["high"] = proportion_confint(out.observed * out.lines, out.lines, method="wilson")
    return out


def calibration(run: Run) -> Figure:
    """Draw observed fractions against predicted probabilities of the champions, with the slope."""
    figure = new(WIDTH, 5.6)
    run.title(figure, "Calibration on held-out lines: does the probability mean what it says?")
    grid = figure.subplots(2, len(TASKS), sharex=True, sharey="row", gridspec_kw={"height_ratios": [4, 1]})
    for column, task in enumerate(TASKS):
        predictions, section = run.predictions(task), run.summary.tasks[task]
        bins = calibration_bins(predictions)
        axes, strip = grid[:, column]
        axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
        spread = np.abs(bins[["low", "high"]].sub(bins.observed, axis=0).to_numpy().T)
        axes.errorbar(bins.predicted, bins.observed, yerr=spread, fmt="o", color=BLUE, ms=6, capsize=3)
        axes.axhline(predictions.label.mean(), color=GREY, lw=0.8, ls="--")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(f"{TASK_TITLES[task]}: {plain(section.champion)}", loc="left", fontweight="bold")
        slope = section.models[section.champion]["cell_line_out"].get("calibration_slope")
        said = f"slope {shown(slope, missing='not defined')}\n" if slope else ""
        few, many = round(bins.lines.min()), round(bins.lines.max())
        count = f"{few} lines" if few == many else f"{few} to {many} lines"
        axes.text(0.03, 0.97, f"{said}a point: {count}", va="top", fontsize=9)
        strip.hist(predictions.probability, np.linspace(0, 1, 41), color=LIGHT)
        strip.set_xlabel("predicted probability of resistance")
    grid[0, 0].set_ylabel("observed resistant fraction")
    grid[1, 0].set_ylabel("predictions")
    figure.legend(
        handles=[
            Line2D([], [], color=BLUE, marker="o", label="quantile bin of predictions, 95 % Wilson interval"),
            Line2D([], [], color="black", lw=0.8, ls=":", label="perfect calibration (slope 1)"),
            Line2D([], [], color=GREY, lw=0.8, ls="--", label="prevalence"),
        ],
        loc="outside lower left", ncols=3, frameon=False,
    )  # fmt: skip
    return figure
