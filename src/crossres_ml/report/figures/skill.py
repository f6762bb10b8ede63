"""Figures of skill: all models, their differences, the ways to "both", and each lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.comparisons import BOTH_METRICS
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.report.figures.base import KINDS, RED, ROW, WIDTH, Kind, Run, forest, legend, mark, new, rows
from crossres_ml.report.summary import Interval, SplitMode, as_interval
from crossres_ml.report.words import APPROACH_NAMES, TASK_TITLES, in_order, plain

_SHOWN = {
    "auroc": ("AUROC", 0.5),
    "spearman": ("Spearman with the measured response", 0.0),
    "average_precision": ("average precision", 0.0),
}
_SHORT = {"auroc": "AUROC", "spearman": "Spearman"}
Values = Callable[[TaskName, str], Mapping[str, Interval]]


def glance(run: Run) -> Figure:
    """Draw the champion of each task over the naive model that it has to beat."""
    figure = new(WIDTH, 2.9)
    run.title(figure, "Can it be predicted? The model of each task and the best naive one, on held-out lines")
    grid = figure.subplots(1, len(_SHORT), sharey=True)
    names: list[str] = []
    for task in TASKS:
        section = run.summary.tasks[task]
        kinds: dict[Kind, str] = {"champion": section.champion, "baseline": section.best_baseline}
        for kind, model in kinds.items():
            for axes, metric in zip(grid, _SHORT, strict=True):
                mark(axes, len(names), section.models[model]["cell_line_out"][metric], KINDS[kind])
            names.append(f"{TASK_TITLES[task]}: {plain(model)}")
    for axes, metric in zip(grid, _SHORT, strict=True):
        rows(axes, names, _SHOWN[metric][1], label=f"{_SHOWN[metric][0]} (dotted: chance)")
        for edge in range(2, len(names), 2):
            axes.axhline(edge - 0.5, color="#bbbbbb", lw=0.8)
    return figure


def _models(run: Run, mode: SplitMode) -> list[str]:
    names = {m for t in run.summary.tasks.values() for m, modes in t.models.items() if mode in modes}
    return in_order(names)


def _grid(
    run: Run, order: Sequence[str], values: Values, title: str, mode: SplitMode, *, against: bool = False
) -> Figure:
    """Draw a column a task, AUROC above and Spearman below; or the same as differences."""
    figure = new(WIDTH, 2 * ROW * max(len(order), 5) + 2.6)
    run.title(figure, title)
    grid = figure.subplots(2, len(TASKS), sharey=True, sharex="row")
    for column, task in enumerate(TASKS):
        section = run.summary.tasks[task]
        for axes, metric in zip(grid[:, column], _SHORT, strict=True):
            name, chance = _SHOWN[metric]
            forest(
                axes,
                values(task, metric),
                order,
                section.champion,
                chance=0.0 if against else chance,
                label=f"{_SHORT[metric]} minus best baseline" if against else name,
                sign=against,
            )
        n = section.scored_lines.get(mode, 0)
        share = section.models[section.champion].get(mode, {}).get("prevalence")
        resistant = f", {share.value:.0%} resistant" if share and share.value is not None else ""
        grid[0, column].set_title(f"{TASK_TITLES[task]}: {n} lines{resistant}", loc="left", fontweight="bold")
    reference = "no difference" if against else "chance"
    entries = legend(reference, baselines=any(is_baseline(m) for m in order))
    figure.legend(handles=entries, loc="outside lower left", ncols=4, frameon=False)
    return figure


def _skill(run: Run, mode: SplitMode, title: str) -> Figure | None:
    def values(task: TaskName, metric: str) -> dict[str, Interval]:
        models = run.summary.tasks[task].models
        return {m: modes[mode][metric] for m, modes in models.items() if mode in modes}

    order = _models(run, mode)
    return _grid(run, order, values, title, mode) if order else None


def cell_lines_out(run: Run) -> Figure | None:
    """Draw AUROC and Spearman of every model on held-out cell lines."""
    return _skill(run, "cell_line_out", "Skill on held-out cell lines, with 95 % intervals")


def lineages_out(run: Run) -> Figure | None:
    """Draw the same inside held-out lineages; nothing where none was held out."""
    return _skill(run, "lineage_out", "Skill inside held-out lineages, with 95 % intervals")


def paired(run: Run) -> Figure | None:
    """Draw the difference of every model to the best baseline, drawn together."""
    table = run.csv("paired.csv")
    table = table[(table["mode"] == "cell_line_out") & (table.kind == "baseline")]

    def values(task: TaskName, metric: str) -> dict[str, Interval]:
        own = table[(table.task == task) & (table.metric == metric)]
        return {str(r["model"]): as_interval(r) for r in own.to_dict("records")}

    order = in_order(set(table.model))
    title = "What each model adds to the best baseline, on held-out cell lines"
    return _grid(run, order, values, title, "cell_line_out", against=True)


def both(run: Run) -> Figure | None:
    """Draw the ways to "both" side by side, and the difference of each to the direct one."""
    found = run.summary.both
    if found is None or "cell_line_out" not in found.order:
        return None
    section, order = run.summary.tasks["cross"], found.order["cell_line_out"]
    figure = new(WIDTH, 2 * ROW * len(order) + 3.0)
    run.title(figure, 'Ways to "both", on the same held-out cell lines')
    grid = figure.subplots(2, len(BOTH_METRICS), sharey="row", sharex=False)
    names = {m: APPROACH_NAMES[m].replace(": ", ":\n", 1) for m in order}
    for (above, below), metric in zip(grid.T, BOTH_METRICS, strict=True):
        label, chance = _SHOWN[metric]
        prevalence = section.models[order[0]]["cell_line_out"]["prevalence"].value
        chance = (prevalence or 0.0) if metric == "average_precision" else chance
        values = {m: section.models[m]["cell_line_out"][metric] for m in order}
        forest(above, values, order, section.champion, chance=chance, label=label)
        differences = {m: d[metric] for m, d in found.against_direct["cell_line_out"].items()}
        rest = [m for m in order if m != found.direct]
        forest(
            below, differences, rest, section.champion, chance=0.0, label=f"{label}, minus direct", sign=True
        )
        below.set_yticks(range(len(rest)), [names[m] for m in rest])
        above.set_yticks(range(len(order)), [names[m] for m in order])
    entries = legend("chance; no difference", baselines=False)
    figure.legend(handles=entries, loc="outside lower left", ncols=3, frameon=False)
    return figure


def lineages(run: Run) -> Figure | None:
    """Draw the champion's Spearman inside each lineage, the best on top."""
    table = run.csv("lineages.csv")
    parts = {t: table[(table.task == t) & (table.model == run.champion(t))] for t in TASKS}
    most = max(map(len, parts.values()))
    if not most:
        return None
    figure = new(WIDTH, ROW * max(most, 4) + 1.6)
    run.title(figure, "Inside each lineage: the champion on held-out cell lines")
    for axes, task in zip(figure.subplots(1, len(TASKS), sharex=True), TASKS, strict=True):
        own = parts[task].sort_values("value", ascending=False, kind="stable").to_dict("records")
        names = [f"{r['lineage']} ({r['n']})" for r in own]
        rows(axes, names, 0.0, label=_SHOWN["spearman"][0])
        overall = run.summary.tasks[task].models[run.champion(task)]["cell_line_out"]
        if (within := overall["within_lineage_spearman"].value) is not None:
            axes.axvline(within, color=RED, lw=0.8, ls="--", zorder=0)
        for y, row in enumerate(own):
            mark(axes, y, as_interval(row), KINDS["model"])
        axes.set_title(f"{TASK_TITLES[task]}: {plain(run.champion(task))}", loc="left", fontweight="bold")
    mean = Line2D([], [], color=RED, lw=0.8, ls="--", label="mean inside lineages, large ones counting more")
    none = Line2D([], [], color="black", lw=0.8, ls=":", label="chance")
    figure.legend(handles=[mean, none], loc="outside lower left", ncols=2, frameon=False)
    return figure
