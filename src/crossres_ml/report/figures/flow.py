"""The figure of who is in the study: from all lines to those that are scored, with reasons."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossres_ml.config_names import TASKS
from crossres_ml.report.figures.base import BLUE, GREY, RED, WIDTH, Run, box, new
from crossres_ml.report.words import TASK_TITLES

_HEIGHT = 5.6
_SHOWN = 4  # reasons of a response; the rest are counted together
_WRAP = 34  # letters of a reason in a line


def flow(run: Run) -> Figure:
    """Draw how many lines have which response, why the others have not, and how many are scored."""
    data, lines = run.summary.data, run.csv("lines.csv")
    figure = new(WIDTH, _HEIGHT, layout=None)
    run.title(figure, "Who is in the study, and who is missing why")
    axes = box(figure, 0.0, 0.0, WIDTH, _HEIGHT - 0.4)
    axes.set(xlim=(0, WIDTH), ylim=(0, _HEIGHT - 0.4))
    axes.set_axis_off()
    _box(axes, 6.5, 4.6, f"{data.lines:,} cell lines\nof {lines.group.nunique():,} patients", GREY)
    _box(axes, 5.0, 3.1, f"{data.lines_radiation:,} lines\nwith radiation response", BLUE)
    _box(axes, 8.0, 3.1, f"{data.lines_chemotherapy:,} lines with\nchemotherapy response", BLUE)
    _box(axes, 6.5, 1.7, f"{data.lines_both:,} lines with both", RED)
    for x in (5.0, 8.0):
        _arrow(axes, (6.5, 4.26), (x, 3.48))
        _arrow(axes, (x, 2.74), (6.5, 1.96))
    counts = run.csv("dropped_counts.csv")
    _reasons(axes, 3.55, counts, "radiation", align="right")
    _reasons(axes, 9.45, counts, "chemotherapy", align="left")
    for x, task in zip((2.6, 6.5, 10.4), TASKS, strict=True):
        scored = run.summary.tasks[task].scored_lines.get("cell_line_out", 0)
        _box(axes, x, 0.5, f"{TASK_TITLES[task].lower()}: {scored:,} lines scored\nwhen held out", GREY)
        _arrow(axes, (5.0, 2.74) if task == "radiation" else (6.5, 1.44), (x, 0.88))
    return figure


def _box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    style = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
    axes.text(x, y, text, ha="center", va="center", fontsize=11, bbox=style)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#555555", "linewidth": 1.2})


def _reasons(axes: Axes, x: float, counts: pd.DataFrame, response: str, *, align: str) -> None:
    """Say beside the box of a response who lacks it and why, the largest groups first."""
    own = counts[counts.what == f"response:{response}"].sort_values("lines", ascending=False, kind="stable")
    told = [f"{int(n):,}: {reason}" for n, reason in zip(own.lines, own.reason, strict=True)]
    if len(told) > _SHOWN:
        rest = own.lines.iloc[_SHOWN - 1 :]
        told = [*told[: _SHOWN - 1], f"{int(rest.sum()):,}: {len(rest)} other reasons"]
    text = "\n".join(textwrap.fill(t, _WRAP) for t in [f"{int(own.lines.sum()):,} lines without:", *told])
    axes.text(x, 3.1, text, ha=align, va="center", fontsize=9.5, color="#333333", linespacing=1.35)
