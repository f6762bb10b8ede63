"""Responses of a study are read strictly: what is doubtful is an error that says where and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.errors import ValidationError
from crossres_ml.predict.responses import Responses, read_responses


def read(text: str, tmp_path: Path, column: str | None = None, name: str = "r.csv") -> Responses:
    (tmp_path / name).write_text(text)
    return read_responses(tmp_path / name, "radiation", column)


def test_numbers_groups_and_names(tmp_path: Path) -> None:
    text = "id,patient,cell_line,auc\nA, P1 ,HeLa,0.5\nB,P1,,\nC,,NA,-3e-1\n"
    found = read(text, tmp_path)
    assert found.values.fillna(-9).to_dict() == {"A": 0.5, "B": -9, "C": -0.3}
    assert found.group.to_dict() == {"A": "P1", "B": "P1", "C": "C"}
    assert (found.grouped_by, found.column, found.classes) == ("patient", "auc", False)
    assert found.also.cell_line.dropna().to_dict() == {"A": "HeLa"}


@pytest.mark.parametrize(
    ("header", "column", "expected"),
    [
        ("id,a,radiation,response", None, "radiation"),
        ("id,a,response,c", None, "response"),
        ("id,a,response,c", "c", "c"),
        ("id,lineage,group,c", None, "c"),
        ("a,model_id,c,response", None, "response"),
    ],
)
def test_which_column(header: str, column: str | None, expected: str, tmp_path: Path) -> None:
    assert read(f"{header}\n1,2,3,4\n5,6,7,8\n", tmp_path, column).column == expected


@pytest.mark.parametrize("suffix", ["tsv", "parquet", "csv.gz"])
def test_other_forms(suffix: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"model_id": ["A", "B"], "response": [0, 1], "group": ["x", "x"]})
    path = tmp_path / f"r.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    found = read_responses(path, "cross")
    assert found.classes
    assert found.values.to_dict() == {"A": 0, "B": 1}
    assert found.group.to_list() == ["x", "x"]


def test_truth_values_are_classes(tmp_path: Path) -> None:
    pd.DataFrame({"model_id": ["A", "B"], "response": [True, False]}).to_parquet(tmp_path / "r.parquet")
    found = read_responses(tmp_path / "r.parquet", "cross")
    assert found.classes
    np.testing.assert_array_equal(found.values, [1, 0])


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("id,r\nA,high\nB,1\n", None, r"no finite numbers: 'high' \(row A[\s\S]*r\n.*give 0 and"),
        ("id,r\nA,inf\nB,0.1\n", None, r"no finite numbers: 'inf'"),
        ("id,r\nA,NA\nB,\n", None, r"all 2 responses are missing[\s\S]*column r\n.*--column"),
        ("id,r\nA,1\nA,0\nB,1\nB,1\n", None, r"2 ids stand twice: A, B[\s\S]*one row a sample"),
        ("id,r\nA,1\n,0\nNA,1\n", None, r"ids are missing in rows 2, 3"),
        ("id,r,s\nA,1,2\n", None, r"which column holds the response is not told: r, s[\s\S]*--column"),
        ("id,group\nA,1\n", None, r"which column holds the response is not told: there is none"),
        ("id,r,s\nA,1,2\n", "t", r"0 columns are called 't'; there are r, s"),
        ("id,r,r\nA,1,2\n", "r", r"2 columns are called 'r'"),
        ("id,r\nA,1,2\n", None, r"more cells than the header has columns"),
        ("", None, r"cannot be read: it is empty"),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_refused(text: str, column: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=said):
        read(text, tmp_path, column)


@pytest.mark.parametrize("name", ["none.csv", "r.pdf"])
def test_a_file_that_is_not_there_or_no_table(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"cannot be read"):
        read_responses(tmp_path / name, "radiation")
