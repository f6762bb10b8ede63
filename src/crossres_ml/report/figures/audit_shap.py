"""Calibrated SHAP: the named genes against their nulls, and the values of the trees behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossres_ml.audit.matrix import GENE
from crossres_ml.audit.words import probability
from crossres_ml.report.audit_run import OUTCOME_TITLES, AuditRun
from crossres_ml.report.figures.audit import SIDES
from crossres_ml.report.figures.base import BLUE, GREY, LIGHT, RED, WIDTH, box, new, set_title, short

_ROW = 0.34
_SHADES = LinearSegmentedColormap.from_list("low to high", [BLUE, "#d9d9d9", RED])
_UNMEASURED = "#efe9d0"
_OBSERVED = -1


def nulls(run: AuditRun) -> Figure | None:
    """Draw the group SHAP of each named gene among those of permuted residuals, a row a gene."""
    genes, table, named = run.genes(), run.parquet("nulls.parquet"), run.csv("named_genes.csv")
    if not genes:
        return None
    figure = new(WIDTH, 1.55 * len(genes) + 1.4)
    set_title(figure, "The named genes against chance", simulated=run.simulated)
    grid = figure.subplots(len(genes), len(SIDES), squeeze=False)
    for gene, row in zip(genes, grid, strict=True):
        for side, axes in zip(SIDES, row, strict=True):
            own = named[(named.gene == gene) & (named.outcome == side)]
            part = table[(table.group == f"{GENE}{gene}") & (table.outcome == side)]
            _null(axes, part, own, f"{gene}, {OUTCOME_TITLES[side].lower()}")
    for axes in grid[-1]:
        axes.set_xlabel("mean |SHAP| of the gene and what correlates with it")
    figure.legend(
        handles=[
            Patch(color=LIGHT, label=f"{run.summary.draws:,} permutations of residuals: what chance gives"),
            Line2D([], [], color=RED, lw=2, label="observed"),
        ],
        loc="outside lower left", ncols=2, frameon=False,
    )  # fmt: skip
    return figure


def _null(axes: Axes, table: pd.DataFrame, own: pd.DataFrame, name: str) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not len(own) or not len(table):
        axes.set_title(f"{name}: not measured in enough lines", loc="left", fontsize=9.5)
        axes.set_xticks([])
        return
    first = own.iloc[0]
    more = int(first.members) - 1
    beside = f" and {more} with it" if more else ""
    said = f"{name} ({short(first.measurement)}{beside}): p {probability(first.p)}"
    axes.set_title(said, loc="left", fontsize=9.5, fontweight="bold")
    observed = float(table.group_shap[table.draw == _OBSERVED].iloc[0])
    drawn = table.group_shap[table.draw != _OBSERVED]
    axes.hist(drawn, bins=min(40, max(8, len(drawn) // 10)), color=LIGHT)
    axes.axvline(observed, color=RED, lw=2)
    axes.margins(x=0.03)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="x", labelsize=8.5)


def swarm(run: AuditRun) -> Figure | None:
    """Draw the trees' SHAP values of the first features line by line, with the named genes below."""
    table = run.parquet("swarm.parquet")
    parts = {s: _ordered(table[table.outcome == s]) for s in SIDES}
    if not any(map(len, parts.values())):
        return None
    tall, below = _ROW * max(p.feature.nunique() for p in parts.values()), 1.25
    figure = new(WIDTH, tall + below + 1.15, layout=None)
    set_title(
        figure, "What the trees behind the calibrated p-values rest on, line by line", simulated=run.simulated
    )
    height = figure.get_size_inches()[1]
    about = (
        "Trees on features and outcome adjusted for tissue: not the champion. "
        "The first features, then the named genes."
    )
    figure.text(0.01, 1 - 0.55 / height, about, fontsize=9.5)
    for column, side in enumerate(SIDES):
        if not len(parts[side]):
            continue
        axes = box(figure, 2.35 + 6.5 * column, below, 4.0, tall)
        _bees(axes, parts[side], tall)
        of = int(parts[side].of.iloc[0])
        axes.set_title(f"{OUTCOME_TITLES[side]}, {of:,} features", loc="left", fontweight="bold")
        axes.set_xlabel("SHAP value, in standard deviations of the response", fontsize=9)
    bar = box(figure, 2.35, 0.4, 2.4, 0.12)
    bar.imshow(np.linspace(0, 1, 64)[None, :], aspect="auto", cmap=_SHADES, extent=(0, 1, 0, 1))
    bar.set_yticks([])
    bar.set_xticks([0, 1], ["low", "high"], fontsize=9)
    figure.text(0.01, 0.42 / height, "value of the feature in the line:", fontsize=9)
    dot = Line2D(
        [],
        [],
        ls="",
        marker="o",
        ms=5,
        color=_UNMEASURED,
        markeredgecolor=GREY,
        label="not measured in the line",
    )
    named = Patch(color="none", label="\u25b6 bold: a named gene")
    figure.legend(
        handles=[dot, named], loc="lower left", ncols=2, frameon=False, bbox_to_anchor=(0.42, 0.2 / height)
    )
    return figure


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("rank", kind="stable")


def _bees(axes: Axes, table: pd.DataFrame, tall: float) -> None:
    features = list(dict.fromkeys(table.feature))
    ranks = table.drop_duplicates("feature").set_index("feature")
    step = np.ptp(table.shap.to_numpy()) / 130 or 1.0
    first = max((i + 1 for i, f in enumerate(features) if not ranks.gene[f]), default=0)
    for y, feature in enumerate(features):
        own = table[table.feature == feature]
        value, shap = own.value.to_numpy(), own.shap.to_numpy()
        seen = value != 0
        shade = np.zeros(len(value))
        shade[seen] = (value[seen].argsort().argsort() + 0.5) / max(1, seen.sum())
        colours = [_SHADES(s) if k else _UNMEASURED for s, k in zip(shade, seen, strict=True)]
        edges = [(0, 0, 0, 0) if k else GREY for k in seen]
        axes.scatter(shap, y + jitter(shap, step), s=7, c=colours, edgecolors=edges, linewidths=0.3)
    axes.axvline(0, color="black", lw=0.8, ls=":", zorder=0)
    if 0 < first < len(features):
        axes.axhline(first - 0.5, color="#999999", lw=0.8)
    labels = [_label(ranks.loc[f], below=i >= first) for i, f in enumerate(features)]
    axes.set_yticks(range(len(features)), labels, fontsize=8)
    for label, feature in zip(axes.get_yticklabels(), features, strict=True):
        label.set_fontweight("bold" if ranks.gene[feature] else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(tall / _ROW - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _label(row: pd.Series, *, below: bool) -> str:
    name = f"\u25b6 {short(str(row.name), 24)}" if row.gene else short(str(row.name), 26)
    rank = f"{row['rank']:,.1f}".removesuffix(".0")
    return f"{name}: rank {rank}" if below else name


def jitter(values: np.ndarray, step: float, room: float = 0.42) -> np.ndarray:
    """Move points that would lie on each other up and down in turn, by a rule without chance.

    Parameters
    ----------
    values : numpy.ndarray
        Where the points stand across.
    step : float
        Points closer than this share a column.
    room : float, default 0.42
        Farthest that a point may go.

    Returns
    -------
    numpy.ndarray
        Shift of each point: 0, then +1, -1, +2, -2 steps and so on.
    """
    columns = np.round(values / step).astype(int)
    place = np.zeros(len(values))
    for column in np.unique(columns):
        own = np.flatnonzero(columns == column)
        order = np.arange(len(own))
        place[own] = np.where(order % 2, 1, -1) * ((order + 1) // 2)
    most = np.abs(place).max(initial=0.0)
    return np.asarray(place * min(0.07, room / most if most else room))
