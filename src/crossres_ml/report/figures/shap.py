"""What the champions rest on: SHAP values of their first features, and the named genes."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.report.figures.base import BLUE, GREY, RED, WIDTH, Run, new, short
from crossres_ml.report.words import TASK_TITLES, plain

TOP = 20


def shap(run: Run) -> Figure:
    """Draw a column a task; placed by hand, for the long names leave an automatic layout no room for bars."""
    columns = ["gene", "task", "measurement", "rank", "of", "mean_abs_shap", "n"]
    named = run.csv("named_genes.csv").reindex(columns=columns)  # without any row it has no columns
    notes = {t: _named_notes(run, t, named[named.task == t]) for t in TASKS}
    width, bars, below = WIDTH, 5.4, 0.2 * max(map(len, notes.values()))
    height = bars + below + 1.9
    figure = new(width, height, layout=None)
    run.title(figure, f"What the champions rest on: top {TOP} features by mean |SHAP| on held-out lines")
    for column, task in enumerate(TASKS):
        left = 0.1 + column * width / len(TASKS)  # inches, as all that follows
        box = (left + 2.3, below + 1.05, width / len(TASKS) - 2.55, bars)
        axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        ranks = run.csv(f"shap_{task}.csv")
        _draw_bars(axes, ranks.head(TOP), set(named.measurement))
        title = f"{TASK_TITLES[task]}: {plain(run.champion(task))}, {len(ranks):,} features"
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
    labels = [f"\u25b6 {short(f)}" if f in named else short(f) for f in top.feature]
    axes.set_yticks(range(len(top)), labels, fontsize=8)
    for label, feature in zip(axes.get_yticklabels(), top.feature, strict=True):
        if feature in named:
            label.set_fontweight("bold")
    axes.set_ylim(TOP - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("mean |SHAP|, in units of the score", loc="right", fontsize=9)


def _named_notes(run: Run, task: TaskName, named: pd.DataFrame) -> list[str]:
    """Rank of every measurement of the named genes that the bars do not show."""
    notes = []
    for row in named[named["rank"] > TOP].sort_values("rank", kind="stable").to_dict("records"):
        rank = f"rank {row['rank']:,.0f} of {row['of']:,}" if row["mean_abs_shap"] > 0 else "not used"
        notes.append(f"{short(row['measurement'], 22)}: {rank}, {row['n']} lines")
    missing = [g for g, tasks in run.summary.named_genes.items() if tasks[task].rank is None]
    notes += [f"{gene}: not measured" for gene in missing]
    return [f"Named genes outside the top {TOP}:", *notes] if notes else [""]
