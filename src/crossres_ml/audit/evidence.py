"""The table of evidence: one row a claim, measurement, scope and outcome; plus is what the claim says."""

from __future__ import annotations

from typing import Any

import numpy as np

NUMBERS = (
    "n", "carriers", "raw", "raw_p", "effect", "low", "high", "p", "p_error",
    "full", "full_low", "full_high", "full_p", "mde", "smallest",
)  # fmt: skip
WORDS = ("claim", "outcome", "scope", "measurement", "label", "unit", "note")
FLAGS = ("decides", "valid", "claimed", "proxy")
COLUMNS = (*WORDS, *FLAGS, *NUMBERS)
PARTIAL_R = "partial r"


def row(**values: Any) -> dict[str, Any]:
    """One row of evidence; numbers that are not given are NaN.

    Parameters
    ----------
    **values
        Any of `COLUMNS`: ``effect`` with ``low``, ``high``, ``p`` is adjusted for tissue, ``raw`` for
        nothing,
        ``full`` also for general drug sensitivity and growth; ``p_error`` is the Monte-Carlo standard error
        of p where it comes from draws; ``mde`` is the effect found with 80 % power;
        ``carriers`` counts lines with an event (NaN for a level). All but ``carriers`` and ``n`` in the
        stated ``unit``, positive in the direction that the claim says.

    Returns
    -------
    dict
        All columns.

    Raises
    ------
    KeyError
        If a value has no column.
    """
    if unknown := sorted(set(values) - set(COLUMNS)):
        raise KeyError(f"no column of evidence: {unknown}")
    defaults: dict[str, Any] = dict.fromkeys(NUMBERS, np.nan) | dict.fromkeys(WORDS, "")
    defaults |= {"decides": True, "valid": True, "claimed": True, "proxy": False}
    return {c: values.get(c, defaults[c]) for c in COLUMNS}
