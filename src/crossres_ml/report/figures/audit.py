"""The verdicts on the claims: effects with intervals, and which effects could have been seen at all."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from crossres_ml.audit.evidence import PARTIAL_R
from crossres_ml.report.audit_run import BORDERLINE, NOT_CLAIMED, OUTCOME_TITLES, AuditRun, said, short_unit
from crossres_ml.report.figures.base import BLUE, GREEN, GREY, ORANGE, RED, WIDTH, box, new, set_title, short
from crossres_ml.report.words import listed

MARKS: dict[str, tuple[str, str, str]] = {  # marker, colour, fill: the shapes are those of SYMBOLS
    "supported": ("D", GREEN, GREEN),
    "lost after adjustment": ("D", ORANGE, "white"),
    "contradicted": ("v", RED, RED),
    "not supported": ("s", BLUE, BLUE),
    "underpowered": ("o", GREY, "white"),
    "not measurable": ("x", GREY, GREY),
    "withheld": ("^", GREY, "white"),
}
SIDES = ("radiation", "chemotherapy")
_ROW, _TALL = 0.25, 0.4
_COLUMNS = {"radiation": 2.85, "chemotherapy": 7.05, "both": 11.2}
_AXES, _WORDS = 2.25, 0.18
_EDGE = 0.72
"""Share of the axes that holds points; the labels stand in the rest."""
_WIDE = 24
"""Letters of a line of a label."""
_TICKS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)


def verdict_marks(words: list[str]) -> list[Line2D]:
    """Give the entries of a legend for the verdicts that are there, in the order of `MARKS`."""
    return [
        Line2D([], [], ls="", color=c, marker=m, markerfacecolor=f, ms=7, mew=1.6, label=w)
        for w, (m, c, f) in MARKS.items()
        if w in words
    ]


def claims(run: AuditRun) -> Figure | None:
    """Draw the claims as a forest: radiation beside chemotherapy, with the verdict on both at the right."""
    table = run.verdicts()
    plain = table.groupby("claim", sort=False).unit.first() == PARTIAL_R
    parts = [list(plain.index[plain]), list(plain.index[~plain])]
    if not any(parts):
        return None
    heights = [_ROW * len(parts[0]), _TALL * len(parts[1])]
    gaps = [0.7 if p else 0.0 for p in parts]
    below = 0.95
    figure = new(WIDTH, 1.0 + sum(heights) + sum(gaps) + below, layout=None)
    closed = "" if run.summary.gate_open else "; controls failed, so nothing is concluded"
    set_title(figure, f"The claims, one by one{closed}", simulated=run.simulated)
    top = figure.get_size_inches()[1] - 1.0
    labels = (
        "tissue-adjusted partial r, positive as claimed",
        "effect in the unit of its row, positive as claimed",
    )
    for ids, height, gap, label in zip(parts, heights, gaps, labels, strict=True):
        if ids:
            _panel(figure, table[table.claim.isin(ids)], ids, top - height, height, label)
            top -= height + gap
    height = figure.get_size_inches()[1]
    for name, left in _COLUMNS.items():
        at = left if name != "both" else left + 0.05
        figure.text(at / WIDTH, 1 - 0.82 / height, OUTCOME_TITLES[name], fontsize=11, fontweight="bold")
    handles = verdict_marks(list(table.verdict))
    handles.append(
        Line2D([], [], color="black", lw=0.9, ls=":", label="0, and the smallest effect of interest")
    )
    figure.legend(
        handles=handles, loc="lower left", ncols=4, frameon=False, bbox_to_anchor=(0.0, 0.3 / height)
    )
    note = (
        f"{BORDERLINE} borderline: other random draws may decide otherwise.   "
        f"{NOT_CLAIMED} the review does not claim this outcome."
    )
    figure.text(0.01, 0.14 / height, note, fontsize=9)
    return figure


def _panel(
    figure: Figure, table: pd.DataFrame, ids: list[str], bottom: float, height: float, label: str
) -> None:
    ends = table[["effect", "low", "high", "smallest"]].to_numpy(dtype=float)
    low, high = (f(ends[np.isfinite(ends)], initial=i) for f, i in ((np.min, -0.05), (np.max, 0.2)))
    names = [_name(table[table.claim == c].iloc[0]) for c in ids]
    for side in (*SIDES, "both"):
        wide = _AXES if side in SIDES else 0.05
        axes = box(figure, _COLUMNS[side], bottom, wide, height)
        axes.set_ylim(len(ids) - 0.5, -0.5)
        axes.set_yticks(range(len(ids)), names if side == "radiation" else [""] * len(ids), fontsize=9)
        axes.tick_params(axis="y", length=0)
        own = table[table.outcome == side].set_index("claim")
        if side in SIDES:
            pad = 0.04 * (high - low)
            axes.set_xlim(low - pad, high + pad)
            axes.axvline(0, color="black", lw=0.9, ls=":", zorder=0)
            axes.grid(axis="x", color="#dddddd", lw=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(axis="x", labelsize=8.5)
            axes.set_xlabel(label, fontsize=8.5)
        else:
            axes.set_axis_off()
        for y, claim in enumerate(ids):
            if claim in own.index:
                _row(axes, y, own.loc[claim].to_dict(), wide, drawn=side in SIDES)


def _name(row: pd.Series) -> str:
    name = short(f"{row.claim} {row.title}", 36)
    return name if row.unit == PARTIAL_R else f"{name}\n{short_unit(row.unit)}"


def _row(axes: Axes, y: int, row: Mapping[Any, Any], wide: float, *, drawn: bool) -> None:
    """Draw an effect with its interval, and its verdict beside the axes as a sign and as words."""
    marker, colour, fill = MARKS[row["verdict"]]
    if drawn and np.isfinite(row["smallest"]):
        axes.plot([row["smallest"]] * 2, [y - 0.5, y + 0.5], color="black", lw=0.9, ls=":", zorder=0)
    if drawn and np.isfinite(row["effect"]) and row["verdict"] != "not measurable":
        axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axes.plot(row["effect"], y, marker, color=colour, markerfacecolor=fill, ms=6.5, mew=1.5)
    beside, at = axes.get_yaxis_transform(), 1 if drawn else 0
    axes.plot(at + 0.14 / wide, y, marker, color=colour, markerfacecolor=fill, ms=5.5, mew=1.3,
              transform=beside, clip_on=False)  # fmt: skip
    axes.text(at + (0.14 + _WORDS - 0.05) / wide, y, said(row), transform=beside, va="center", fontsize=8.5)


def power(run: AuditRun) -> Figure | None:
    """Draw the lines behind each claim against the effect that they would have shown."""
    table = run.verdicts()
    known = table[table.outcome.isin(SIDES) & np.isfinite(table.mde)]
    plain = known[known.unit == PARTIAL_R]
    if not len(plain):
        return None
    points = {s: _points(plain[plain.outcome == s]) for s in SIDES}
    notes = textwrap.wrap(" ".join(_other_units(known, s) for s in SIDES), 205)
    room = max(sum(_height(p) for p in own) for own in points.values())
    tall, below = max(2.6, room + 0.3), 0.95 + 0.2 * len(notes)
    figure = new(WIDTH, tall + below + 0.95, layout=None)
    set_title(figure, "Which effects could have been seen at all", simulated=run.simulated)
    height = figure.get_size_inches()[1]
    seen = plain.mde.to_numpy()
    limits = (min(0.1, 0.9 * seen.min()), max(0.3, 1.1 * seen.max()))
    for column, side in enumerate(SIDES):
        axes = box(figure, 0.75 + 6.3 * column, below, 5.4, tall)
        axes.set_title(OUTCOME_TITLES[side], loc="left", fontweight="bold")
        _scatter(axes, points[side], limits, plain[plain.outcome == side])
    figure.axes[0].set_ylabel("partial r found with 80 % power")
    handles = [
        Line2D([], [], ls="", marker="o", color=GREEN, ms=6, label="effects of interest would be seen"),
        Line2D([], [], ls="", marker="^", color=RED, markerfacecolor="white", ms=6, mew=1.4,
               label="only larger ones: no effect seen is no proof of none"),
        Line2D([], [], color="black", lw=0.9, ls=":", label="smallest effect of interest"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower left", ncols=3, frameon=False, bbox_to_anchor=(0.0, 0.0))
    figure.text(0.012, (0.35 + 0.2 * len(notes)) / height, "\n".join(notes), fontsize=8.5, va="top")
    return figure


def _points(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Join claims that stand at the same place, from the smallest detectable effect up."""
    out = []
    keys = [table.n, table.mde.round(4), table.smallest]
    for (n, _, _), own in table.groupby(keys, sort=True):
        mde, smallest = float(own.mde.iloc[0]), float(own.smallest.iloc[0])
        out.append(
            {"n": n, "mde": mde, "seen": mde <= smallest, "ids": textwrap.fill(", ".join(own.claim), _WIDE)}
        )
    return sorted(out, key=lambda p: (p["mde"], -p["n"]))


def _scatter(
    axes: Axes, points: list[dict[str, Any]], limits: tuple[float, float], table: pd.DataFrame
) -> None:
    for smallest in sorted(set(table.smallest)):
        axes.axhline(smallest, xmax=_EDGE, color="black", lw=0.9, ls=":", zorder=0)
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(FixedLocator([t for t in _TICKS if limits[0] <= t <= limits[1]]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    edge = 1.45 * max((p["n"] for p in points), default=1)
    axes.set_xlim(0, edge)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.set_xlabel("lines behind the measurement that decides", loc="left")
    tall = axes.bbox.height / axes.figure.dpi
    heights = spread([_share(p["mde"], limits) for p in points], [_height(p) / tall for p in points])
    for p, at in zip(points, heights, strict=True):
        marker, colour, fill = ("o", GREEN, GREEN) if p["seen"] else ("^", RED, "white")
        y = limits[0] * (limits[1] / limits[0]) ** at
        bend = [p["n"], (_EDGE + 0.02) * edge, (_EDGE + 0.04) * edge]
        axes.plot(bend, [p["mde"], y, y], color="#bbbbbb", lw=0.7, zorder=0)
        axes.plot(p["n"], p["mde"], marker, color=colour, markerfacecolor=fill, ms=6, mew=1.4)
        axes.text((_EDGE + 0.045) * edge, y, p["ids"], fontsize=8, va="center")


def _share(value: float, limits: tuple[float, float]) -> float:
    return float(np.log(value / limits[0]) / np.log(limits[1] / limits[0]))


def _height(point: dict[str, Any]) -> float:
    """Inches that the label of a point takes."""
    return 0.06 + 0.14 * len(str(point["ids"]).splitlines())


def spread(wanted: list[float], sizes: list[float]) -> list[float]:
    """Move places that are too close away from each other.

    Parameters
    ----------
    wanted : list of float
        Sorted places, 0 to 1.
    sizes : list of float
        Room that each needs, itself in the middle of it.

    Returns
    -------
    list of float
        Places in the same order, inside 0 to 1 where there is room.
    """
    places = list(wanted)
    low, high = 0.0, 1.0
    for i, size in enumerate(sizes):
        places[i] = max(places[i], low + size / 2)
        low = places[i] + size / 2
    for i in reversed(range(len(places))):
        places[i] = min(places[i], high - sizes[i] / 2)
        high = places[i] - sizes[i] / 2
    return places


def _other_units(known: pd.DataFrame, side: str) -> str:
    own = known[(known.outcome == side) & (known.unit != PARTIAL_R)]
    if not len(own):
        return ""
    parts = [
        f"{r.claim} {r.mde:.2g} ({short_unit(str(r.unit))}, of interest {r.smallest:.2g})"
        for r in own.itertuples()
    ]
    return f"{OUTCOME_TITLES[side]}, in other units: {listed(parts)}."
