"""Figures of a scan: effects on both modalities, a volcano a list, and top events lineage by lineage."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossres_ml.report.figures.audit import spread
from crossres_ml.report.figures.base import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    RED,
    ROW,
    WIDTH,
    box,
    new,
    rows,
    set_title,
    short,
)
from crossres_ml.report.scan_run import SIDES, ScanRun
from crossres_ml.report.words import number
from crossres_ml.scan.both import LISTS

PURPLE = "#CC79A7"
MARKS: dict[str, tuple[str, str]] = {  # marker, colour
    "both_resistant": ("^", RED),
    "both_sensitive": ("v", BLUE),
    "discordant_radiation": (">", PURPLE),
    "discordant_chemotherapy": ("<", ORANGE),
    "radiation_only": ("s", "#56B4E9"),
    "chemotherapy_only": ("D", GREEN),
}
NAMED = 6
"""Signals of a list that are named in the scatter."""
SHOWN = 6
"""Events that are shown lineage by lineage."""
_LABEL = 0.24
"""Inches that a label needs."""
_GAP = 1.0
"""Inches between the rows of events: axis below, title above."""
_UNIT = "standardised slope, adjusted for lineage"


def label_places(x: Sequence[float], y: Sequence[float], height: float) -> list[tuple[str, float]]:
    """Place labels in two columns beside the axes, so that none lies on another or on a point.

    Parameters
    ----------
    x, y : sequence of float
        Points, in the share of the axes, 0 to 1.
    height : float
        Share of the axes that a label needs.

    Returns
    -------
    list of (str, float)
        For each point ``left`` or ``right``, and the height of its label. A point goes to the nearer side,
        unless that is full; labels of a side stand in the order of their points, so leader lines to
        neighbours hardly cross.
    """
    room = max(int(1 / height), 1)
    side = np.where(np.asarray(x) < 0.5, "left", "right").astype(object)
    for name, other in (("left", "right"), ("right", "left")):
        own = np.flatnonzero(side == name)
        over = max(len(own) - room, 0)
        nearest_middle = own[np.argsort(np.abs(np.asarray(x)[own] - 0.5), kind="stable")][:over]
        side[nearest_middle] = other
    out: list[tuple[str, float]] = [("", 0.0)] * len(side)
    for name in ("left", "right"):
        own = np.flatnonzero(side == name)
        own = own[np.lexsort((np.asarray(x)[own], np.asarray(y)[own]))]
        places = spread([float(np.asarray(y)[i]) for i in own], [height] * len(own))
        for i, place in zip(own, places, strict=True):
            out[i] = (name, place)
    return out


def scan_effects(run: ScanRun) -> Figure | None:
    """Draw the effect of every event on radiation against that on chemotherapy; name the first signals."""
    events = run.events.dropna(subset=list(SIDES))
    if not len(events):
        return None
    figure = new(WIDTH, 8.6, layout=None)
    title = f"Effect on radiation against effect on chemotherapy: {len(events):,} events"
    set_title(figure, title, simulated=run.simulated)
    wide, tall = 6.2, 6.6
    axes = box(figure, (WIDTH - wide) / 2, 1.3, wide, tall)
    axes.scatter(events.radiation, events.chemotherapy, s=4, c=LIGHT, lw=0, rasterized=True)
    for name, (marker, colour) in MARKS.items():
        own = run.called(name)
        axes.scatter(
            own.radiation,
            own.chemotherapy,
            s=26,
            c=colour,
            marker=marker,
            lw=0.4,
            edgecolors="white",
            zorder=3,
        )
    for line in (axes.axhline, axes.axvline):
        line(0, color="black", lw=0.8, ls=":", zorder=2)
    reach = 1.06 * float(np.abs(events[list(SIDES)].to_numpy()).max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_xlabel(f"effect on radiation ({_UNIT}); resistant to the right")
    axes.set_title("effect on chemotherapy; resistant upwards", loc="left", fontsize=10)
    signals = run.csv("signals.csv")
    _names(axes, signals.groupby("list", sort=False).head(NAMED) if len(signals) else signals, reach, tall)
    figure.legend(handles=_legend(run), loc="lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def _legend(run: ScanRun) -> list[Line2D]:
    counts = run.events["list"].value_counts()
    signals = run.csv("signals.csv")
    handles = []
    for name, (marker, colour) in MARKS.items():
        n, lead = int(counts.get(name, 0)), int((signals["list"] == name).sum()) if len(signals) else 0
        said = f"{n} event{'s' * (n != 1)}, {lead} signal{'s' * (lead != 1)}" if n else "none"
        label = f"{LISTS[name].label}: {said}"
        handles.append(Line2D([], [], ls="", marker=marker, color=colour, ms=6, label=label))
    return [*handles, Line2D([], [], ls="", marker="o", color=LIGHT, ms=4, label="in no list")]


def _names(axes: Axes, named: pd.DataFrame, reach: float, tall: float) -> None:
    if not len(named):
        return
    share = (named[list(SIDES)].to_numpy(dtype=float) + reach) / (2 * reach)
    places = label_places(list(share[:, 0]), list(share[:, 1]), _LABEL / tall)
    for (_, row), (x, y), (side, at) in zip(named.iterrows(), share, places, strict=True):
        colour = MARKS[str(row["list"])][1]
        more = f" +{row.events - 1}" if row.events > 1 else ""
        edge = -0.11 if side == "left" else 1.03
        axes.plot([x, edge], [y, at], color=colour, lw=0.6, alpha=0.7, transform=axes.transAxes,
                  clip_on=False, zorder=2.5)  # fmt: skip
        axes.text(
            edge + (0.008 if side == "right" else -0.008), at, short(str(row.label), 28) + more, fontsize=8.5,
            va="center", ha="left" if side == "right" else "right", transform=axes.transAxes,
        )  # fmt: skip


def scan_volcanos(run: ScanRun) -> Figure | None:
    """Draw a volcano a list: effect against p, with the threshold of the list's permutation rate."""
    if not len(run.events):
        return None
    lists = run.csv("lists.csv")
    figure = new(WIDTH, 8.2)
    set_title(
        figure, "How small a p is, and what chance would give: a volcano a list", simulated=run.simulated
    )
    tables = {name: run.volcano(name) for name in LISTS}
    for axes, (name, table) in zip(figure.subplots(2, 3).flat, tables.items(), strict=True):
        marker, colour = MARKS[name]
        height = -np.log10(table.p.clip(lower=1e-300))
        axes.scatter(table.effect, height, s=4, c=LIGHT, lw=0, rasterized=True)
        called = table.called.to_numpy()
        axes.scatter(table.effect[called], height[called], s=24, c=colour, marker=marker, lw=0)
        axes.set_title("\n".join(wrap(LISTS[name].label.capitalize(), 30)), loc="left", fontweight="bold")
        own = lists[lists["list"] == name]
        row = own.iloc[int((own.level - run.level).abs().argmin())]
        _threshold(axes, row, float(height.max()) if len(height) else 1.0)
        axes.axvline(0, color="black", lw=0.8, ls=":", zorder=0)
        both = bool(LISTS[name].signs)
        axes.set_xlabel(
            "effect on the modality with the larger p" if both else f"effect on {name.split('_')[0]}"
        )
        axes.set_ylabel("\u2212log10 of the larger one-sided p" if both else "\u2212log10 p")
    return figure


def _threshold(axes: Axes, row: pd.Series, highest: float) -> None:
    threshold = pd.to_numeric(row.threshold, errors="coerce")
    if pd.isna(threshold):
        said = f"no p gives a rate below {row.level:.0%}"
        axes.set_ylim(0, max(1.25 * highest, 1.0))
    else:
        axes.axhline(-np.log10(threshold), color="black", lw=0.9, ls="--")
        axes.set_ylim(0, 1.18 * highest)
        said = (
            f"dashed: p = {threshold:.1e}; {row.seen} up to it,\n"
            f"{float(row.expected):.1f} expected by chance (rate {float(row.rate):.1%})"
        )
    white = {"facecolor": "white", "lw": 0, "pad": 1}
    axes.text(0.02, 0.98, said, transform=axes.transAxes, va="top", fontsize=8.5, bbox=white)


def scan_lineages(run: ScanRun) -> Figure | None:
    """Draw the first events lineage by lineage, radiation beside chemotherapy, with the pooled effect."""
    effects, pooled = run.csv("lineages.csv"), run.csv("pooled.csv")
    names = [e for e in run.shown_lineage_by_lineage(SHOWN) if len(pooled) and e in set(pooled.event)]
    known = effects[pd.to_numeric(effects.effect, errors="coerce").notna()] if len(effects) else effects
    names = [e for e in names if (known.event == e).any()]
    if not names:
        return None
    order = known.groupby("lineage").n.max().sort_values(ascending=False, kind="stable").index
    tall = ROW * 0.85 * (len(order) + 1.6)
    deep = -(-len(names) // 2)
    figure = new(WIDTH, 0.65 + deep * (tall + _GAP), layout=None)
    set_title(figure, "The first events, lineage by lineage", simulated=run.simulated)
    labels = run.events.label
    for k, event in enumerate(names):
        bottom = (deep - k // 2 - 1) * (tall + _GAP) + 0.6
        left = 1.75 + 6.5 * (k % 2)
        for j, side in enumerate(SIDES):
            axes = box(figure, left + 2.35 * j, bottom, 2.1, tall)
            own = known[(known.event == event) & (known.response == side)].set_index("lineage")
            pool = pooled[(pooled.event == event) & (pooled.response == side)].iloc[0]
            _forest(axes, own, list(order), pool, names=j == 0)
            axes.set_xlabel(f"r with {side}", fontsize=8.5)
        title = f"{short(str(labels[event]), 44)}: {LISTS[run.events.best_list[event]].label}"
        figure.text((left - 1.7) / WIDTH, (bottom + tall + 0.08) / figure.get_size_inches()[1], title,
                    fontweight="bold", fontsize=9.5)  # fmt: skip
    return figure


def _forest(axes: Axes, own: pd.DataFrame, order: list[str], pool: pd.Series, *, names: bool) -> None:
    """Draw a row a lineage, larger for more lines, and the pooled effect below them."""
    rows(axes, [""] * len(order), 0.0, label="")
    for at, lineage in enumerate(order):
        if lineage in own.index:
            r = own.loc[lineage].to_dict()
            axes.plot([r["low"], r["high"]], [at, at], color=GREY, lw=1.4)
            axes.plot(r["effect"], at, "s", color=BLUE, ms=2 + min(r["n"], 100) ** 0.5 / 2.5)
    below, said = len(order) + 0.1, "one lineage only"
    value, low, high, share = (
        pd.to_numeric(pool[c], errors="coerce") for c in ("pooled", "low", "high", "I2")
    )
    if np.isfinite(value):
        axes.plot([low, high], [below, below], color=RED, lw=2)
        axes.plot(value, below, "D", color=RED, ms=6)
        between = f"; I2 {share:.0%}" if np.isfinite(share) else ""
        said = f"{number(value, sign=True)} ({number(low, sign=True)} to {number(high, sign=True)}){between}"
    axes.text(-0.97, below + 1.0, said, fontsize=7.5, va="center", color=RED)
    axes.set(xlim=(-1, 1), ylim=(len(order) + 1.6, -0.6))
    texts = [*(short(n, 20) for n in order), "pooled"] if names else [""] * (len(order) + 1)
    axes.set_yticks([*range(len(order)), below], texts)
    axes.tick_params(labelsize=8)
