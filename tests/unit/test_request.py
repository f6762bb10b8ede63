"""Requests to a served model: what is refused before any model is asked, and JSON without NaN."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossres_ml.errors import ProfileError
from crossres_ml.predict.predictor import Predictor
from crossres_ml.predict.request import answer, as_json
from crossres_ml.predict.tables import open_table

TABLE = pd.DataFrame({"model_id": ["S1"], "TP53": [1.0]})


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ([[1.0]], {}, "list is no table"),
        (None, None, "NoneType is no table"),
        (TABLE, {"treshold": 0.5, "units": "tpm"}, "unknown options: treshold, units"),
        (TABLE, {"threshold": 1.0}, r"threshold 1\.0, confidence 0\.9, floor 0\.25"),
    ],
)
def test_wrong_requests_are_refused(table: object, options: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        answer(Predictor(()), table, options)


def test_what_is_missing_becomes_null() -> None:
    scores = pd.DataFrame({"model_id": ["A", "B"], "score": [0.1 + 0.2, np.nan], "class": ["resistant", ""]})
    told = json.dumps(as_json(scores).to_dict(orient="records"), allow_nan=False)
    assert json.loads(told) == [
        {"model_id": "A", "score": 0.1 + 0.2, "class": "resistant"},
        {"model_id": "B", "score": None, "class": ""},
    ]


@pytest.mark.parametrize(
    ("index", "ids"),
    [
        ([0, 1, 2], ["a", "b", "c"]),  # row numbers that came through JSON
        (pd.RangeIndex(4, 7), ["a", "b", "c"]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([2, 1, 0], ["2", "1", "0"]),
        ([0.0, 1.0, 2.0], ["0", "1", "2"]),
        (["0", "1", "2"], ["0", "1", "2"]),
    ],
)
def test_row_numbers_are_no_ids(index: Any, ids: list[str]) -> None:
    frame = pd.DataFrame({"sample": ["a", "b", "c"], "TP53": [1.0, 2.0, 3.0]}, index=index)
    assert open_table(frame).left.tolist() == ids
