"""The atlas as a page: one file with search, hover and sorting, and nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crossres_ml.artifacts import atomic
from crossres_ml.report.words import DASH

_TEMPLATES = Path(__file__).parent / "templates"
SCREENS = {"ctrp": "CTRPv2", "gdsc1": "GDSC1", "gdsc2": "GDSC2"}
WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 760, 520, 58, 50, 14
"""Size of the figure and room for its axes, in its own units."""
_STEP = 0.1


class Scale:
    """Straight line from values to places in the figure, with ticks at tenths.

    Parameters
    ----------
    values : pandas.Series
        What must fit in.
    start, end : float
        Places of the two ends.
    """

    def __init__(self, values: pd.Series, start: float, end: float) -> None:
        known = values.dropna()
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        first, last = math.floor(min(low, 0) / _STEP), max(math.ceil(max(high, 0) / _STEP), 1)
        self.ticks = [round(k * _STEP, 1) for k in range(first, last + 1)]
        self.start, self.slope = start, (end - start) / (self.ticks[-1] - self.ticks[0])

    def __call__(self, value: float) -> float:
        """Place of a value."""
        return round(self.start + (value - self.ticks[0]) * self.slope, 1)


def shown(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign; a dash where there is none."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    return f"{value:.{digits}f}".replace("-", "\u2212")


def small(value: float) -> str:
    """Write a p- or q-value."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:.1e}".replace("-", "\u2212") if value < 0.001 else f"{value:.3f}"


def _records(table: pd.DataFrame) -> Iterator[Any]:
    """Rows by turns, their columns as attributes; what type a column has is not told apart."""
    yield from table.itertuples()


def _interval(row: Any, name: str, digits: int = 2) -> str:
    low, high = (getattr(row, f"{name}_{end}") for end in ("low", "high"))
    return "" if pd.isna(low) or pd.isna(high) else f"{shown(low, digits)} to {shown(high, digits)}"


def _cell(row: Any, name: str) -> dict[str, Any]:
    value = getattr(row, name)
    sort = "" if pd.isna(value) else f"{value:.6g}"
    return {"sort": sort, "text": shown(value), "interval": _interval(row, name)}


def atlas_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give what a page shows of each drug, the strongest after all adjustment first.

    Parameters
    ----------
    table : pandas.DataFrame
        As `crossres_ml.scan.atlas.atlas_table`, index: drug of a screen.

    Returns
    -------
    list of dict
        One a drug: names, class, numbers as text, and values to sort by.
    """
    ordered = table.sort_values("full_low", ascending=False, na_position="last", kind="stable")
    out = []
    for row in _records(ordered):
        words = (row.drug, row.other_names, row.targets, row.mechanism)
        partner = row.concordance_with
        out.append(
            {
                "id": row.Index, "drug": row.drug, "also": row.other_names, "screen": SCREENS[row.dataset],
                "dataset": row.dataset, "class": row.drug_class, "genotoxic": bool(row.genotoxic),
                "does": row.mechanism or row.targets, "n": int(row.n), "note": row.note,
                "measured": not pd.isna(row.spearman),
                "search": " ".join(str(w) for w in words if w).lower(),
                "cells": [_cell(row, c) for c in ("spearman", "tissue", "full", "odds")],
                "q": "" if pd.isna(row.full_q) else f"{row.full_q:.6g}", "q_text": small(row.full_q),
                "pearson": f"{shown(row.pearson, 3)}", "pearson_interval": _interval(row, "pearson"),
                "both": DASH if pd.isna(row.both_top) else int(row.both_top),
                "partner": "" if pd.isna(partner) else _partner(str(partner)),
                "concordance": shown(row.concordance),
                "shared": 0 if pd.isna(partner) else int(row.concordance_n),
                "concordance_sort": "" if pd.isna(row.concordance) else f"{row.concordance:.6g}",
            }
        )  # fmt: skip
    return out


def _partner(name: str) -> str:
    dataset, _, drug = name.partition(":")
    return f"{SCREENS[dataset]} {drug}"


def _points(table: pd.DataFrame, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the drugs stand in the figure; radius by the number of lines."""
    x = Scale(table.spearman, LEFT, WIDTH - EDGE)
    y = Scale(table.full, HEIGHT - BOTTOM, EDGE)
    largest = max(int(table.n.max()), 1)
    points = []
    for number, row in enumerate(rows):
        own = table.loc[row["id"]]
        if pd.notna(own.spearman) and pd.notna(own.full):
            size = round(2 + 4 * math.sqrt(own.n / largest), 1)
            points.append({"row": number, "x": x(own.spearman), "y": y(own.full), "r": size})
    # small ones on top, and genotoxic ones over the many others
    points.sort(key=lambda p: (rows[int(p["row"])]["genotoxic"], -p["r"]))
    return {"points": points, "x": x, "y": y}


def _classes(classes: pd.DataFrame) -> list[dict[str, Any]]:
    out = []
    for row in _records(classes):
        kinds = [
            {"mean": shown(getattr(row, f"mean_{k}")), "beyond": shown(getattr(row, f"{k}_beyond")),
             "interval": _interval(row, k), "q": small(getattr(row, f"{k}_q"))}
            for k in ("tissue", "full")
        ]  # fmt: skip
        out.append(
            {"screen": SCREENS[str(row.dataset)], "class": row.drug_class, "drugs": row.drugs, "kinds": kinds}
        )
    return out


def write_atlas_page(table: pd.DataFrame, classes: pd.DataFrame, about: dict[str, Any], path: Path) -> Path:
    """Write the page.

    Parameters
    ----------
    table : pandas.DataFrame
        As `crossres_ml.scan.atlas.Atlas.table`, with other_names joined to text.
    classes : pandas.DataFrame
        As `crossres_ml.scan.atlas_classes.class_table`.
    about : dict
        Kind of data, counts of lines, general factor, test of the genotoxic class.
    path : Path
        The file.

    Returns
    -------
    Path
        The same. The file loads nothing; without scripts its tables and its figure can still be read.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"shown": shown, "small": small}
    rows = atlas_rows(table)
    text = environment.get_template("atlas.html.j2").render(
        css=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        rows=rows,
        figure=_points(table, rows),
        size={"width": WIDTH, "height": HEIGHT, "left": LEFT, "bottom": BOTTOM, "edge": EDGE},
        classes=_classes(classes),
        about=about,
        screens={k: v for k, v in SCREENS.items() if k in set(table.dataset)},
        class_names=sorted(set(table.drug_class)),
        counts=table.dataset.value_counts(),
        simulated=about["kind"] == "simulated",
    )
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
