"""What an audit is held against: controls, chance, and how effects differ between tissues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossres_ml.audit.controls import MAX_CONFOUNDED, TOP
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.audit.words import probability
from crossres_ml.report.audit_run import OUTCOME_TITLES, AuditRun
from crossres_ml.report.figures.audit import SIDES
from crossres_ml.report.figures.base import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    RED,
    WIDTH,
    box,
    new,
    rows,
    set_title,
    short,
)
from crossres_ml.report.words import number

_ROW = 0.25
_RATES = {
    "false_positives": ("o", BLUE, "all features"),
    "confounded": ("D", ORANGE, "features that follow tissue most"),
    "tissue_feature": ("s", GREY, "a made-up feature that is tissue alone (reported only)"),
}
_SHADES = LinearSegmentedColormap.from_list("sensitive to resistant", [BLUE, "#f7f7f7", RED])
_LEFT, _CELL = 2.6, 0.44


def controls(run: AuditRun) -> Figure | None:
    """Draw the known associations, and below them how often nothing was called something."""
    known, null, negative = (run.csv(f"{n}.csv") for n in ("controls", "null_controls", "negative_controls"))
    if not len(known) + len(negative):
        return None
    up, down = _ROW * (len(known) + len(null)), 0.34 * len(negative)
    figure = new(WIDTH, 1.0 + up + 1.2 + down + 1.35, layout=None)
    state = "the gate is open" if run.summary.gate_open else "the gate is CLOSED"
    set_title(figure, f"Controls, before any claim is judged: {state}", simulated=run.simulated)
    height = figure.get_size_inches()[1]
    if up:
        axes = box(figure, 4.2, height - 1.0 - up, 4.2, up)
        _known(axes, known, null)
    if down:
        axes = box(figure, 4.2, 1.35, 4.2, down)
        _rates(axes, negative)
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker="D",
            color=GREEN,
            ms=6,
            label=f"recovered: right sign, p < .05, rank {TOP} or better",
        ),
        Line2D([], [], ls="", marker="x", color=RED, ms=6, mew=1.8, label="not recovered"),
        *(Line2D([], [], ls="", marker=m, color=c, ms=6, label=n) for m, c, n in _RATES.values()),
    ]
    figure.legend(handles=handles, loc="lower left", ncols=2, frameon=False, fontsize=9)
    return figure


def _known(axes: Axes, known: pd.DataFrame, null: pd.DataFrame) -> None:
    names = [f"{r.label}: {short(str(r.drug), 24)}" for r in known.itertuples()]
    names += [f"must show nothing: {r.label}" for r in null.itertuples()]
    rows(axes, names, 0.0, label="tissue-adjusted partial r; positive: more resistant")
    axes.tick_params(axis="y", labelsize=8.5)
    axes.set_title("Known associations", loc="left", fontweight="bold")
    beside = axes.get_yaxis_transform()
    for y, r in enumerate(known.to_dict("records")):
        told = isinstance(r["reason"], str) and bool(r["reason"])
        words = f"not run: {r['reason']}" if told else _ranks(r)
        role = "gates" if r["gate"] else "reported only"
        axes.text(1.02, y, words, transform=beside, va="center", fontsize=8.5)
        axes.text(1.88, y, role, transform=beside, va="center", fontsize=8.5)
        if not told:
            _mark(axes, y, r, good=bool(r["recovered"]))
    for y, r in enumerate(null.to_dict("records"), len(known)):
        quiet = r["quiet"]
        known_p = pd.notna(quiet)
        words = (
            f"p {probability(float(r['p']))}: {'quiet' if quiet else 'not quiet'}"
            if known_p
            else "not run: too few lines"
        )
        axes.text(1.02, y, words, transform=beside, va="center", fontsize=8.5)
        axes.text(1.88, y, "gates", transform=beside, va="center", fontsize=8.5)
        if known_p:
            _mark(axes, y, r, good=bool(quiet))


def _ranks(row: Mapping[Any, Any]) -> str:
    word = "recovered" if row["recovered"] else "not recovered"
    return (
        f"{word}; rank {row['rank_association']:,.0f}, by SHAP {row['rank_shap']:,.0f}, of {row['of']:,.0f}"
    )


def _mark(axes: Axes, y: int, row: Mapping[Any, Any], *, good: bool) -> None:
    marker, colour = ("D", GREEN) if good else ("x", RED)
    axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
    axes.plot(row["effect"], y, marker, color=colour, ms=6, mew=1.8)


def _rates(axes: Axes, negative: pd.DataFrame) -> None:
    names = [f"{r.method}, outcome {r.outcome}" for r in negative.itertuples()]
    rows(
        axes,
        names,
        LEVEL,
        label=f"share with p < .05; solid line: the limit of {MAX_CONFOUNDED:g}".replace("0.", "."),
    )
    axes.tick_params(axis="y", labelsize=8.5)
    axes.axvline(MAX_CONFOUNDED, color="black", lw=1.0, zorder=0)
    axes.set_title("Where nothing is there: false positives", loc="left", fontweight="bold")
    beside = axes.get_yaxis_transform()
    for y, r in enumerate(negative.to_dict("records")):
        for i, (name, (marker, colour, _)) in enumerate(_RATES.items()):
            axes.plot(r[name], y + 0.2 * (i - 1), marker, color=colour, ms=6)
        rates = ", ".join(f"{r[n]:.3f}".removeprefix("0") for n in _RATES)
        said = f"{rates}; lambda_GC {r['inflation']:.2f}"
        axes.text(1.02, y, said, transform=beside, va="center", fontsize=8.5)
    axes.set_xlim(0, max(0.1, 1.1 * negative[list(_RATES)].to_numpy().max()))


def heterogeneity(run: AuditRun) -> Figure | None:
    """Draw the effect of each claim in each tissue, with I2 at the right; radiation above chemotherapy."""
    table, pooled = run.csv("lineages.csv"), run.csv("pooled.csv")
    if not len(table) or not np.isfinite(table.r).any():
        return None
    known = table[np.isfinite(table.r)]
    sizes = known.groupby("lineage").n.max().sort_values(ascending=False, kind="stable")
    titles = run.verdicts().drop_duplicates("claim").set_index("claim").title
    blocks = {s: list(dict.fromkeys(known.claim[known.outcome == s])) for s in SIDES}
    blocks = {s: ids for s, ids in blocks.items() if ids}
    tall = [_ROW * len(ids) for ids in blocks.values()]
    wide = max(_LEFT + _CELL * len(sizes) + 3.7, 9.0)
    figure = new(wide, 1.0 + sum(tall) + 0.55 * (len(tall) - 1) + 2.3, layout=None)
    set_title(figure, "Does it depend on the tissue? Effects inside each tissue", simulated=run.simulated)
    top = figure.get_size_inches()[1] - 1.0
    for i, (side, ids) in enumerate(blocks.items()):
        axes = box(figure, _LEFT, top - tall[i], _CELL * len(sizes), tall[i])
        _map(axes, known[known.outcome == side], ids, list(sizes.index))
        axes.set_title(OUTCOME_TITLES[side], loc="left", fontweight="bold")
        axes.set_yticks(range(len(ids)), [short(f"{c} {titles.get(c, '')}", 34) for c in ids], fontsize=8.5)
        last = i == len(blocks) - 1
        names = [f"{short(n, 24)} ({sizes[n]:.0f})" for n in sizes.index] if last else []
        axes.set_xticks(range(len(sizes)) if last else [], names, rotation=90, fontsize=8.5)
        _beside(axes, pooled[pooled.outcome == side].set_index("claim"), ids, _CELL * len(sizes))
        top -= tall[i] + 0.55
    note = (
        "r inside the tissue, positive as claimed (lines); bold: its 95 % interval leaves 0 out. "
        "Empty: too few lines, or events."
    )
    figure.text(0.01, 0.12 / figure.get_size_inches()[1], note, fontsize=9)
    return figure


def _map(axes: Axes, table: pd.DataFrame, ids: list[str], lineages: list[str]) -> None:
    grid = table.pivot_table(index="claim", columns="lineage", values="r").reindex(
        index=ids, columns=lineages
    )
    axes.imshow(np.ma.masked_invalid(grid), cmap=_SHADES, vmin=-0.8, vmax=0.8, aspect="auto")
    axes.set_facecolor("white")
    for r in table.to_dict("records"):
        sure = r["low"] > 0 or r["high"] < 0
        said = number(r["r"], sign=True).replace("0.", ".")
        at = lineages.index(r["lineage"]), ids.index(r["claim"])
        weight = "bold" if sure else "normal"
        axes.text(*at, said, ha="center", va="center", fontsize=7.5, fontweight=weight)
    axes.set_xlim(-0.5, len(lineages) - 0.5)
    for y in range(1, len(ids)):
        axes.axhline(y - 0.5, color=LIGHT, lw=0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _beside(axes: Axes, pooled: pd.DataFrame, ids: list[str], wide: float) -> None:
    """Write the pooled effect, I2 with its interval and its p-value."""
    beside = axes.get_yaxis_transform()
    for at, head in ((0.1, "pooled r"), (1.75, "I2 (95 %), p")):
        axes.text(1 + at / wide, -0.75, head, transform=beside, fontsize=8.5, va="bottom")
    for y, claim in enumerate(ids):
        if claim not in pooled.index or not np.isfinite(pooled.I2[claim]):
            axes.text(1 + 0.1 / wide, y, "one tissue only", transform=beside, va="center", fontsize=8)
            continue
        r = pooled.loc[claim].to_dict()
        weight = "bold" if r["Q_p"] < LEVEL else "normal"
        effect, low, high = (number(float(r[k]), sign=True) for k in ("effect", "low", "high"))
        axes.text(1 + 0.1 / wide, y, f"{effect} ({low} to {high})", transform=beside, va="center", fontsize=8)
        ends = [f"{100 * r[k]:.0f}" for k in ("I2", "I2_low", "I2_high")]
        spread = f" ({ends[1]} to {ends[2]})" if np.isfinite(r["I2_low"]) else ""
        share = f"{ends[0]} %{spread}, {probability(float(r['Q_p']))}"
        axes.text(1 + 1.75 / wide, y, share, transform=beside, va="center", fontsize=8, fontweight=weight)
