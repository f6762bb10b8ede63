"""Figures of models that were given less: fewer measurements, or fewer lines."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.report.figures.base import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, Run, mark, new, rows
from crossres_ml.report.words import HAVE_NAMES, TASK_TITLES, in_order, plain

_STYLES = {"hidden": ("o", BLUE, BLUE), "retrained": ("s", ORANGE, "white")}
_LABELS = {
    "hidden": "the rest hidden from a model that had learned from everything",
    "retrained": "a model fitted anew on that alone",
}
_LOOKS = (("o", BLUE), ("D", GREEN), ("^", ORANGE), ("v", RED))


def have(run: Run) -> Figure | None:
    """Draw skill by what was measured in the held-out lines."""
    sections = {t: run.summary.tasks[t].what_you_have for t in TASKS}
    wanted = [v for v in HAVE_NAMES if any(s and v in s.hidden | s.retrained for s in sections.values())]
    if len(wanted) < 2:
        return None
    figure = new(WIDTH, 0.52 * len(wanted) + 1.9)
    run.title(figure, "What to expect with what you have, on held-out cell lines")
    for axes, task in zip(figure.subplots(1, len(TASKS), sharey=True, sharex=True), TASKS, strict=True):
        names = [HAVE_NAMES[v].replace(" the _Caution", "\n_Caution") for v in wanted]
        rows(axes, names, 0.0, label="Spearman with the measured response")
        section = sections[task]
        if section is None:
            continue
        for kind, shift in (("hidden", -0.2), ("retrained", 0.2)):
            values = getattr(section, kind)
            for y, variant in enumerate(wanted):
                if variant in values:
                    mark(axes, y + shift, values[variant]["spearman"], _STYLES[kind])
        models = plain(section.model)
        if section.retrained_model not in (None, section.model):
            models += f", {plain(section.retrained_model)} anew"
        axes.set_title(f"{TASK_TITLES[task]}: {models}", loc="left", fontweight="bold")
    entries = [
        Line2D([], [], color=c, marker=m, markerfacecolor=f, ms=7, lw=2, label=_LABELS[k])
        for k, (m, c, f) in _STYLES.items()
        if any(s and getattr(s, k) for s in sections.values())
    ]
    figure.legend(handles=entries, loc="outside lower left", ncols=2, frameon=False)
    return figure


def learning_curve(run: Run) -> Figure | None:
    """Draw skill against the share of the training lines."""
    curves = {t: run.summary.tasks[t].learning_curve for t in TASKS}
    models = in_order({m for c in curves.values() for m in c})
    if not models:
        return None
    shares = sorted({s for c in curves.values() for points in c.values() for s in points})
    looks = dict(zip((m for m in models if not is_baseline(m)), itertools.cycle(_LOOKS), strict=False))
    figure = new(WIDTH, 4.6)
    run.title(figure, "Learning curve: more lines, more skill?")
    for axes, task in zip(figure.subplots(1, len(TASKS), sharey=True), TASKS, strict=True):
        axes.axhline(0, color="black", lw=0.8, ls=":")
        for i, model in enumerate(m for m in models if m in curves[task]):
            marker, colour = looks.get(model, ("s", GREY))
            points = {s: p for s, p in sorted(curves[task][model].items()) if p.value is not None}
            x = [s + 1.2 * (i - (len(models) - 1) / 2) for s in points]
            axes.plot(x, [p.value or 0 for p in points.values()], color=colour, lw=1.5)
            for at, p in zip(x, points.values(), strict=True):
                if p.low is not None and p.high is not None:
                    axes.plot([at, at], [p.low, p.high], color=colour, lw=2, solid_capstyle="butt")
                axes.plot(at, p.value, marker, color=colour, markerfacecolor="white", ms=7, mew=1.6)
        axes.xaxis.set_major_locator(FixedLocator(shares))
        axes.grid(axis="y", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("training lines used (%)")
        axes.set_title(TASK_TITLES[task], loc="left", fontweight="bold")
    figure.axes[0].set_ylabel("Spearman with the measured response")
    entries = [
        Line2D([], [], color=c, marker=m, markerfacecolor="white", ms=7, mew=1.6, lw=1.5, label=plain(name))
        for name in models
        for m, c in [looks.get(name, ("s", GREY))]
    ]
    figure.legend(handles=entries, loc="outside lower left", ncols=4, frameon=False)
    return figure
