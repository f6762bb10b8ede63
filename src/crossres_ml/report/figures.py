"""Figures of a run, drawn from its saved tables alone; the same tables give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.artifacts import atomic
from crossres_ml.config import TASKS, TaskName
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.summary import Summary

# Colours that stay apart for colour-blind readers: Okabe and Ito 2008 (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7f7f7f"
TASK_TITLES: dict[TaskName, str] = {"radiation": "Radiation", "chemotherapy": "Chemotherapy", "cross": "Both"}
METRIC_TITLES = {"auroc": "AUROC", "spearman": "Spearman with the measured response"}
_KINDS = {  # marker, colour, fill
    "baseline": ("s", GREY, "white"),
    "model": ("o", BLUE, BLUE),
    "champion": ("D", RED, RED),
}
_CHANCE = {"auroc": 0.5, "spearman": 0.0}
TOP = 20
_BIN_LINES = 40  # of a calibration bin: its 95 % interval is then at most about 0.15 wide either way
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "savefig.dpi": 130,
}


@dataclass(frozen=True)
class _Run:
    """What a figure may read: the folder's tables and the summary."""

    folder: Path
    summary: Summary

    def csv(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name)

    def champion(self, task: TaskName) -> str:
        return self.summary.tasks[task].champion

    def predictions(self, task: TaskName) -> pd.DataFrame:
        """Held-out predictions of a task's champion, cell line out."""
        table = pd.read_parquet(self.folder / "predictions.parquet")
        own = (table.task == task) & (table.model == self.champion(task))
        return table[own & (table["mode"] == "cell_line_out")]

    def title(self, figure: Figure, text: str) -> None:
        """Set the figure's title; one of simulated data says so first."""
        prefix = "SIMULATED: " if self.summary.data.kind == "simulated" else ""
        figure.suptitle(prefix + text, fontsize=13, fontweight="bold", x=0.01, ha="left")


def _new(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


# --- skill --------------------------------------------------------------------------------------------


def _model_order(metrics: pd.DataFrame) -> list[str]:
    """Baselines first."""
    return [m for m in ABOUT if m in set(metrics.model)]


def _draw_skill(axes: Axes, rows: pd.DataFrame, order: list[str], champion: str, metric: str) -> None:
    axes.axvline(_CHANCE[metric], color="black", lw=0.8, ls=":")
    found = {r["model"]: r for r in rows.to_dict("records") if np.isfinite(r["value"])}
    for y, name in enumerate(order):
        if name not in found:
            continue
        value, low, high = (found[name][k] for k in ("value", "low", "high"))
        kind = "baseline" if is_baseline(name) else "champion" if name == champion else "model"
        marker, colour, fill = _KINDS[kind]
        axes.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axes.plot(value, y, marker, color=colour, markerfacecolor=fill, ms=7, mew=1.6)
        text = f"{value:.2f} ({low:.2f} to {high:.2f})"
        axes.text(1.03, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)


def _skill_figure(run: _Run, mode: str, title: str) -> Figure:
    metrics = run.csv("metrics.csv")
    metrics = metrics[metrics["mode"] == mode]
    order = _model_order(metrics)
    figure = _new(13, 0.5 * max(len(order), 3) + 3.4)
    run.title(figure, title)
    if metrics.empty:
        figure.text(0.5, 0.5, "No lineage has enough lines to be held out in this run.", ha="center")
        return figure
    grid = figure.subplots(2, len(TASKS), sharey=True, sharex="row")
    for column, task in enumerate(TASKS):
        part = metrics[metrics.task == task]
        for axes, metric in zip(grid[:, column], METRIC_TITLES, strict=True):
            _draw_skill(axes, part[part.metric == metric], order, run.champion(task), metric)
            axes.set_yticks(range(len(order)), [m.replace("_", " ") for m in order])
            axes.set_xlabel(METRIC_TITLES[metric])
        prevalence = part.value[part.metric == "prevalence"].mean()  # the same for every model
        grid[0, column].set_title(
            f"{TASK_TITLES[task]}: {part.n.max()} lines, {prevalence:.0%} resistant",
            loc="left",
            fontweight="bold",
        )
    figure.legend(handles=_skill_legend(), loc="outside lower left", ncols=4, frameon=False)
    return figure


def _skill_legend() -> list[Line2D]:
    names = {"baseline": "baseline", "model": "model", "champion": "champion, chosen by the inner folds"}
    entries = [
        Line2D([], [], color=c, marker=m, markerfacecolor=f, ms=7, lw=2, label=names[k])
        for k, (m, c, f) in _KINDS.items()
    ]
    return [*entries, Line2D([], [], color="black", lw=0.8, ls=":", label="chance")]


def _cell_lines_out(run: _Run) -> Figure:
    return _skill_figure(run, "cell_line_out", "Skill on held-out cell lines, with 95 % intervals")


def _lineages_out(run: _Run) -> Figure:
    return _skill_figure(run, "lineage_out", "Skill inside held-out lineages, with 95 % intervals")


# --- responses ----------------------------------------------------------------------------------------


def _responses(run: _Run) -> Figure:
    config = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    quantile = float(config["resistant_quantile"])
    lines = run.csv("lines.csv")
    both = lines.dropna(subset=["radiation", "chemotherapy"])
    cuts = both[["radiation", "chemotherapy"]].quantile(quantile)
    count = (both[["radiation", "chemotherapy"]] >= cuts).sum(axis=1)
    figure = _new(9, 8)
    rho = spearmanr(both.radiation, both.chemotherapy).statistic
    run.title(figure, f"Radiation and chemotherapy response: {len(both)} lines, Spearman {rho:.2f}")
    grid = figure.subplots(
        2, 2, sharex="col", sharey="row", gridspec_kw={"width_ratios": [4, 1], "height_ratios": [1, 4]}
    )
    main = grid[1, 0]
    kinds = (("neither", GREY, 0, "o"), ("one of the two", ORANGE, 1, "^"), ("both", RED, 2, "D"))
    for name, colour, n, marker in kinds:
        part = both[count == n]
        label = f"resistant to {name}: {len(part)} ({len(part) / len(both):.0%})"
        main.scatter(
            part.radiation, part.chemotherapy, s=20, c=colour, marker=marker, alpha=0.75, lw=0, label=label
        )
    main.axvline(cuts.radiation, color="black", lw=0.8, ls="--")
    main.axhline(cuts.chemotherapy, color="black", lw=0.8, ls="--")
    main.set_xlabel("radiation: area under the survival curve (more resistant to the right)")
    main.set_ylabel("chemotherapy: mean z of the drugs' AUCs (more resistant upwards)")
    _marginals(grid, lines, both)
    handles, labels = main.get_legend_handles_labels()
    dashed = Line2D([], [], color="black", lw=0.8, ls="--")
    figure.legend(
        [*handles, dashed, Patch(color="#c8c8c8"), Patch(color=BLUE)],
        [*labels, f"cut: {quantile:.1%} quantile of these lines", "margins: every line with the response",
         "margins: lines with both"],
        loc="outside lower left", ncols=2, frameon=False,
    )  # fmt: skip
    return figure


def _marginals(grid: np.ndarray, lines: pd.DataFrame, both: pd.DataFrame) -> None:
    sides = ((grid[0, 0], "radiation", "vertical"), (grid[1, 1], "chemotherapy", "horizontal"))
    for axes, name, way in sides:
        edges = np.histogram_bin_edges(lines[name].dropna(), 40)
        axes.hist(lines[name].dropna(), edges, color="#c8c8c8", orientation=way)
        axes.hist(both[name], edges, color=BLUE, orientation=way)
    grid[0, 0].set_ylabel("lines")
    grid[1, 1].set_xlabel("lines")
    grid[0, 1].set_axis_off()


# --- attribution --------------------------------------------------------------------------------------


def _shap(run: _Run) -> Figure:
    """One column a task; placed by hand, for the long names leave an automatic layout no room for bars."""
    columns = ["gene", "task", "measurement", "rank", "of", "mean_abs_shap", "n"]
    named = run.csv("named_genes.csv").reindex(columns=columns)  # without any row it has no columns
    notes = {t: _named_notes(run, t, named[named.task == t]) for t in TASKS}
    width, bars, below = 13.0, 5.4, 0.2 * max(map(len, notes.values()))
    height = bars + below + 1.9
    figure = _new(width, height, layout=None)
    run.title(figure, f"What the champions rest on: top {TOP} features by mean |SHAP| on held-out lines")
    for column, task in enumerate(TASKS):
        left = 0.1 + column * width / len(TASKS)  # inches, as all that follows
        box = (left + 2.3, below + 1.05, width / len(TASKS) - 2.55, bars)
        axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        ranks = run.csv(f"shap_{task}.csv")
        _draw_bars(axes, ranks.head(TOP), set(named.measurement))
        title = f"{TASK_TITLES[task]}: {run.champion(task)}, {len(ranks):,} features"
        figure.text(left / width, (box[1] + bars + 0.12) / height, title, fontsize=11, fontweight="bold")
        text = "\n".join(notes[task])
        figure.text(left / width, (below + 0.5) / height, text, va="top", fontsize=9, linespacing=1.35)
    handles = [
        Patch(color=RED, label="higher value, more resistant"),
        Patch(color=BLUE, label="higher value, more sensitive"),
        Patch(color=GREY, label="the same in all these lines"),
        Patch(color="none", label="\u25b6 bold: a named gene"),
    ]
    figure.legend(handles=handles, loc="lower left", ncols=4, frameon=False)
    return figure


def _draw_bars(axes: Axes, top: pd.DataFrame, named: set[str]) -> None:
    colours = top.sign.map({1: RED, -1: BLUE, 0: GREY})
    axes.barh(range(len(top)), top.mean_abs_shap, color=list(colours), height=0.75)
    labels = [f"\u25b6 {_short(f)}" if f in named else _short(f) for f in top.feature]
    axes.set_yticks(range(len(top)), labels, fontsize=8)
    for label, feature in zip(axes.get_yticklabels(), top.feature, strict=True):
        if feature in named:
            label.set_fontweight("bold")
    axes.set_ylim(TOP - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("mean |SHAP|, in units of the score", loc="right", fontsize=9)


def _short(name: str, limit: int = 28) -> str:
    """Cut out the middle of a long name: its end may say _Caution."""
    keep = limit // 2
    return name if len(name) <= limit else f"{name[:keep]}\u2026{name[-keep:]}"


def _named_notes(run: _Run, task: TaskName, named: pd.DataFrame) -> list[str]:
    """Rank of every measurement of the named genes that the bars do not show."""
    notes = []
    for row in named[named["rank"] > TOP].sort_values("rank", kind="stable").to_dict("records"):
        rank = f"rank {row['rank']:,.0f} of {row['of']:,}" if row["mean_abs_shap"] > 0 else "not used"
        notes.append(f"{_short(row['measurement'], 22)}: {rank}, {row['n']} lines")
    missing = [g for g, tasks in run.summary.named_genes.items() if tasks[task].rank is None]
    notes += [f"{gene}: not measured" for gene in missing]
    return [f"Named genes outside the top {TOP}:", *notes] if notes else [""]


# --- calibration --------------------------------------------------------------------------------------


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


def _calibration(run: _Run) -> Figure:
    figure = _new(13, 5.6)
    run.title(figure, "Calibration on held-out lines: does the probability mean what it says?")
    grid = figure.subplots(2, len(TASKS), sharex=True, sharey="row", gridspec_kw={"height_ratios": [4, 1]})
    for column, task in enumerate(TASKS):
        rows = run.predictions(task)
        bins = calibration_bins(rows)
        axes, strip = grid[:, column]
        axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
        spread = np.abs(bins[["low", "high"]].sub(bins.observed, axis=0).to_numpy().T)
        axes.errorbar(bins.predicted, bins.observed, yerr=spread, fmt="o", color=BLUE, ms=6, capsize=3)
        axes.axhline(rows.label.mean(), color=GREY, lw=0.8, ls="--")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(f"{TASK_TITLES[task]}: {run.champion(task)}", loc="left", fontweight="bold")
        strip.hist(rows.probability, np.linspace(0, 1, 41), color="#c8c8c8")
        strip.set_xlabel("predicted probability of resistance")
    grid[0, 0].set_ylabel("observed resistant fraction")
    grid[1, 0].set_ylabel("predictions")
    figure.legend(
        handles=[
            Line2D([], [], color=BLUE, marker="o", label="quantile bin of predictions, 95 % Wilson interval"),
            Line2D([], [], color="black", lw=0.8, ls=":", label="perfect calibration"),
            Line2D([], [], color=GREY, lw=0.8, ls="--", label="prevalence"),
        ],
        loc="outside lower left", ncols=3, frameon=False,
    )  # fmt: skip
    return figure


# --- coverage -----------------------------------------------------------------------------------------


def _coverage(run: _Run) -> Figure:
    table, data = run.csv("coverage.csv").set_index("block"), run.summary.data
    totals = {
        "lines": ("all lines", data.lines),
        "lines_radiation": ("with radiation", data.lines_radiation),
        "lines_chemotherapy": ("with chemotherapy", data.lines_chemotherapy),
        "lines_both": ("with both", data.lines_both),
    }
    counts = table[list(totals)]
    share = (counts / [max(n, 1) for _, n in totals.values()]).to_numpy()
    figure = _new(10, 0.42 * len(table) + 1.9)
    run.title(figure, "Lines with each kind of measurement")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(counts.to_numpy()):
        colour = "white" if share[i, j] > 0.6 else "black"
        axes.text(j, i, f"{value:,}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(totals)), [f"{name}\n({n:,})" for name, n in totals.values()])
    names = [
        f"{str(block).replace('_', ' ')} ({features:,}), {measured:.0%} of values"
        for block, features, measured in zip(table.index, table.features, table.measured_share, strict=True)
    ]
    axes.set_ylabel("block (features), values measured in its lines")
    axes.set_yticks(range(len(table)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, label="share of the lines of the column", shrink=0.9)
    return figure


FIGURES: dict[str, Callable[[_Run], Figure]] = {
    "skill": _cell_lines_out,
    "lineage_out": _lineages_out,
    "responses": _responses,
    "shap": _shap,
    "calibration": _calibration,
    "coverage": _coverage,
}


def draw_figures(results: Path, summary: Summary) -> list[Path]:
    """Draw every figure of a run.

    Parameters
    ----------
    results : Path
        Folder of results with the saved tables; ``figures/`` is made in it.
    summary : Summary
        Its summary.

    Returns
    -------
    list of Path
        PNG files, in the order of `FIGURES`. Titles start with ``SIMULATED:`` when the data are.
    """
    run, out = _Run(results, summary), []
    for name, draw in FIGURES.items():
        path = results / "figures" / f"{name}.png"
        with style.context(["default", _STYLE]):  # whatever the user's own settings are
            figure = draw(run)
            with atomic(path) as part:
                # The default metadata would carry the version of matplotlib.
                figure.savefig(part, metadata={"Software": None})
        out.append(path)
    return out
