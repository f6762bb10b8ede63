"""Requests to a served model: a table and a few options in, one row a sample out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.predictor import Predictor
from crossres_ml.predict.profiles import ID
from crossres_ml.predict.score import FLOOR, Rules

_RULES = Rules()
DEFAULTS: dict[str, str | float | bool] = {
    "orientation": "auto",
    "unit": "auto",
    "normalise": "auto",
    "threshold": _RULES.threshold,
    "confidence": _RULES.confidence,
    "allow_low_coverage": False,
}
"""Options of a request, named as those of ``crossres predict``."""


def answer(models: Predictor, table: object, options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Score the samples of a request.

    Parameters
    ----------
    models : Predictor
        Loaded models.
    table : object
        A pandas.DataFrame, as `Predictor.predict` takes it; anything else is refused.
    options : mapping of str to value, optional
        Some of `DEFAULTS`.

    Returns
    -------
    pandas.DataFrame
        What `Predictor.predict` gives, to the bit, with the ids as first column ``model_id``: a row a
        sample, in input order.

    Raises
    ------
    ProfileError
        If the table cannot be scored, or an option is not known.
    """
    if not isinstance(table, pd.DataFrame):
        raise ProfileError(
            f"{type(table).__name__} is no table", where="the request",
            do="send dataframe_split or dataframe_records",
        )  # fmt: skip
    if unknown := sorted({*(options or {})} - {*DEFAULTS}):
        raise ProfileError(
            f"unknown options: {preview(unknown)}", where="the request", do=f"use {', '.join(DEFAULTS)}"
        )
    chosen: dict[str, Any] = {**DEFAULTS, **(options or {})}
    floor = 0.0 if chosen["allow_low_coverage"] else FLOOR
    rules = Rules(float(chosen["threshold"]), float(chosen["confidence"]), floor)
    asked = {name: chosen[name] for name in ("orientation", "unit", "normalise")}
    scores = models.predict(table, **asked, rules=rules)
    return scores.reset_index()


def as_json(scores: pd.DataFrame) -> pd.DataFrame:
    """Put None where a number is missing: NaN is no JSON, and strict readers stop at it."""
    return scores.astype(object).where(scores.notna(), None)


def example(models: Predictor) -> pd.DataFrame:
    """Make a table of one sample to show what a request may look like.

    Parameters
    ----------
    models : Predictor
        Loaded models.

    Returns
    -------
    pandas.DataFrame
        One row with ``model_id`` and the median of every feature over the training lines.
    """
    row = models.features["median"].astype(float).to_frame().T
    return row.set_axis(pd.Index(["median profile"], name=ID), axis=0).rename_axis(columns=None).reset_index()
