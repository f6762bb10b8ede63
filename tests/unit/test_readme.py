"""The README's numbers are those of the saved run."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossres_ml.report.readme import BEGIN, END, results_block
from crossres_ml.report.summary import Summary

ROOT = Path(__file__).resolve().parents[2]


def saved() -> Summary:
    return Summary.model_validate_json((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))


def test_the_readme_shows_the_saved_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert results_block(saved()) in text


def test_another_number_would_be_seen() -> None:
    summary = saved()
    data = summary.data.model_copy(update={"lines_both": summary.data.lines_both + 1})
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert results_block(summary.model_copy(update={"data": data})) not in text


def test_simulated_numbers_are_refused() -> None:
    summary = saved()
    data = summary.data.model_copy(update={"kind": "simulated"})
    with pytest.raises(ValueError, match="no results to publish"):
        results_block(summary.model_copy(update={"data": data}))
