"""Verdicts: a pure function of the numbers of a row of evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LEVEL = 0.05
Word = Literal[
    "supported", "lost after adjustment", "contradicted", "not supported", "underpowered", "not measurable",
    "withheld",
]  # fmt: skip
MEANING: Mapping[Word, str] = {
    "supported": "the effect has the claimed direction, passes the false discovery rate, and stays when "
    "general drug sensitivity, growth and, for copy numbers, the rest of the arm are adjusted for",
    "lost after adjustment": "the effect is there when tissue is adjusted for, and not when general drug "
    "sensitivity, growth or the arm are too",
    "contradicted": "the effect has the opposite direction and passes the false discovery rate",
    "not supported": "effects as large as the smallest of interest would have been seen and are excluded",
    "underpowered": "neither shown nor excluded with these lines",
    "not measurable": "no valid measurement in public data",
    "withheld": "controls failed: nothing is concluded",
}
_ERRORS = 2.0


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim.

    Attributes
    ----------
    word : str
        The verdict.
    weak : bool
        Contradicted, but not when fully adjusted.
    top_driver : bool
        Supported, and its calibrated SHAP passes the false discovery rate.
    borderline : bool
        A number that decides the word and that comes from draws lies within two Monte-Carlo standard
        errors of its cut: other seeds may decide otherwise.
    driver_borderline : bool
        The same of ``top_driver``.
    """

    word: Word
    weak: bool = False
    top_driver: bool = False
    borderline: bool = False
    driver_borderline: bool = False


def decide(row: Mapping[str, Any], *, gate_open: bool) -> Verdict:
    """Decide from the numbers alone.

    Parameters
    ----------
    row : mapping
        effect, high, q, full, full_p, mde, smallest of a row of evidence (positive = as claimed), p and
        p_error, shap_q, and shap_p with shap_p_error; NaN where not measured. ``q_near`` where it is there:
        whether the p-values of others that come from draws could move q over its cut.
    gate_open : bool
        Whether the controls passed.

    Returns
    -------
    Verdict
        Not measurable where there is no effect or no q; withheld where the gate is closed.
    """
    if not (math.isfinite(row["effect"]) and math.isfinite(row["q"])):
        return Verdict("not measurable")
    if not gate_open:
        return Verdict("withheld")
    near = _near(row["q"], row["p"], row["p_error"]) or bool(row.get("q_near", False))
    if row["q"] < LEVEL:
        kept = bool(row["full_p"] < LEVEL and row["full"] * row["effect"] > 0)
        near |= _near(row["full_p"], row["full_p"], _error_of(row["full_p"], row["p"], row["p_error"]))
        if row["effect"] < 0:
            return Verdict("contradicted", weak=not kept, borderline=near)
        if not kept:
            return Verdict("lost after adjustment", borderline=near)
        driver = bool(row["shap_q"] < LEVEL)
        unsure = _near(row["shap_q"], row["shap_p"], row["shap_p_error"])
        return Verdict("supported", top_driver=driver, borderline=near, driver_borderline=unsure)
    excluded = row["high"] < row["smallest"] and row["mde"] <= row["smallest"]
    if _random(row["p_error"]):
        near |= bool(abs(row["high"] - row["smallest"]) < 0.1 * row["smallest"])
        near |= bool(abs(row["mde"] - row["smallest"]) < 0.1 * row["smallest"])
    return Verdict("not supported" if excluded else "underpowered", borderline=near)


def _random(error: float) -> bool:
    return math.isfinite(error) and error > 0


def _near(q: float, p: float, error: float) -> bool:
    """Whether an adjusted p-value lies within two errors of the level; its error grows as it does."""
    if not (_random(error) and math.isfinite(q) and p > 0):
        return False
    return bool(abs(q - LEVEL) < _ERRORS * error * q / p)


def _error_of(other: float, p: float, error: float) -> float:
    """Monte-Carlo error of another p-value from as many draws: proportional to the root of p (1 - p)."""
    if not (_random(error) and 0 < p < 1 and 0 < other < 1):
        return error
    return error * math.sqrt(other * (1 - other) / (p * (1 - p)))
