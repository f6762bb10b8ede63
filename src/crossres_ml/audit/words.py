"""A sentence for each verdict, made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from crossres_ml.audit.evidence import PARTIAL_R

_OUTCOMES: Mapping[str, str] = {
    "radiation": "radiation", "chemotherapy": "chemotherapy", "both": "both treatments",
    "platinum": "platinum drugs",
}  # fmt: skip


def number(value: float, digits: int = 2) -> str:
    """Signed, with this many digits; "not known" for what is missing."""
    return "not known" if not math.isfinite(value) else f"{value:+.{digits}f}"


def probability(value: float) -> str:
    """Three digits, or a bound."""
    if not math.isfinite(value):
        return "not known"
    return "under .001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def _effect(row: Mapping[str, Any]) -> str:
    unit = "tissue-adjusted partial r" if row["unit"] == PARTIAL_R else row["unit"]
    interval = f"{number(row['effect'])} ({number(row['low'])} to {number(row['high'])})"
    carriers = f", {row['carriers']:.0f} with the event" if math.isfinite(row["carriers"]) else ""
    return f"{row['label']}, {row['n']:.0f} lines{carriers}: {unit} {interval}, q {probability(row['q'])}"


def _why(row: Mapping[str, Any]) -> str:
    full = f"fully adjusted {number(row['full'])}, p {probability(row['full_p'])}"
    smallest, seen = f"{row['smallest']:.2g}", f"{row['mde']:.2g}"
    shap = (
        f"; calibrated SHAP p {probability(row['shap_p'])} (trees) and "
        f"{probability(row['linear_group_p'])} (linear), "
        + ("among the drivers" if row["top_driver"] else "not among the drivers")
        + (" (borderline)" if row["driver_borderline"] else "")
        if math.isfinite(row["shap_p"])
        else ""
    )
    said = {
        "supported": f"It stays when {full}{shap}.",
        "lost after adjustment": f"It is lost when {full}.",
        "contradicted": f"It points the other way, {'though not' if row['weak'] else 'also'} when {full}.",
        "not supported": f"An effect of {smallest} as claimed is excluded, and would have been seen.",
        "underpowered": f"These lines show effects from {seen}; {smallest} is neither shown nor excluded.",
        "withheld": "The controls failed, so nothing is concluded.",
    }
    return said[row["verdict"]]


def sentence(row: Mapping[str, Any]) -> str:
    """Say a verdict with its numbers.

    Parameters
    ----------
    row : mapping
        A row of the table of verdicts; effects are positive in the claimed direction.

    Returns
    -------
    str
        One to three sentences of plain text.
    """
    where = _OUTCOMES[row["outcome"]]
    head = f"{row['claim']} {row['title']}, {where}: {row['verdict']}"
    if row["verdict"] == "not measurable":
        return f"{head}. {row['reason'] or 'No valid measurement has enough lines.'}"
    head += " (borderline: other random draws may decide otherwise)" if row["borderline"] else ""
    asides = []
    if not row["claimed"]:
        asides.append("The review does not claim this.")
    if row["proxy"]:
        asides.append("What is measured is only related to the claim.")
    return " ".join([f"{head}.", f"{_effect(row)}.", _why(row), *asides])
