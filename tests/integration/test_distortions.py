"""Spoilt profiles on a small simulated study: what is measured and what the page says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.config import Panels, TrainConfig
from crossres_ml.distortions import DISTORTIONS, METHODS, measure_distortions
from crossres_ml.report.predict_doc import SPOILT, distortion_block


@pytest.fixture(scope="module")
def table(
    small_config: TrainConfig, panels: Panels, tmp_path_factory: pytest.TempPathFactory
) -> pd.DataFrame:
    output = tmp_path_factory.mktemp("spoilt") / "out"
    path = measure_distortions(small_config, panels, output=output, folds=1)
    before = path.stat().st_mtime_ns
    assert measure_distortions(small_config, panels, output=output, folds=1).stat().st_mtime_ns == before
    return pd.read_csv(path)


def test_every_distortion_is_measured_both_ways(table: pd.DataFrame) -> None:
    assert set(table.distortion) == set(DISTORTIONS)
    assert (table.groupby(["distortion", "normalise"]).task.nunique() == 3).all()
    assert set(table.normalise) == set(METHODS)


def test_profiles_as_measured_are_left_alone(table: pd.DataFrame) -> None:
    own = table[table.distortion == "as measured"].set_index(["task", "normalise"])
    assert set(own.method) == {"none"}
    for task in ("radiation", "chemotherapy", "cross"):
        assert own.spearman[task, "none"] == own.spearman[task, "auto"]
        assert not own.collapsed[task, "none"]
    assert own.outside.mean() < 0.2


def test_another_platform_is_seen_and_mended(table: pd.DataFrame) -> None:
    own = table[table.distortion == "each gene its own gain and offset"].set_index(["normalise", "task"])
    assert (own.distance > own.limit).all()
    assert set(own.method["auto"]) == {"zscore"}
    whole = table[table.distortion == "as measured"].set_index(["normalise", "task"])
    ratio = own.sd["auto"] / whole.sd["auto"]
    assert ((ratio > 0.6) & (ratio < 1.6)).all()


def test_what_is_missing_lowers_coverage(table: pd.DataFrame) -> None:
    mean = table[table.normalise == "none"].groupby("distortion").coverage.mean()
    assert mean["half of the blocks missing"] < mean["as measured"]
    assert mean["30 % of the genes missing"] < mean["as measured"]


def test_the_page_has_a_row_for_each(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "d.csv", index=False)
    block = distortion_block(tmp_path / "d.csv")
    assert block.startswith(SPOILT[0])
    rows = [r for r in block.splitlines() if r.startswith("| ") and "normalise |" not in r]
    assert len(rows) == len(DISTORTIONS) * len(METHODS)
    assert any("normalised by zscore" in r for r in rows)
    assert "nan" not in block


def test_refused_profiles_are_said_so(tmp_path: Path) -> None:
    row = {"distortion": "as measured", "normalise": "none", "task": "radiation", "fold": 0, "lines": 10,
           "scored": 10, "spearman": 0.5, "sd": 1.0, "expected_sd": 1.0, "collapsed": False, "method": "none",
           "distance": 0.1, "limit": 1.0, "outside": 0.0, "coverage": 1.0, "warnings": "",
           "refused_because": ""}  # fmt: skip
    gone = dict.fromkeys(row, np.nan) | {"distortion": "x2", "normalise": "none", "task": "radiation"}
    gone |= {"fold": 0, "refused_because": "values above 20\nmore"}
    pd.DataFrame([row, gone]).to_csv(tmp_path / "d.csv", index=False)
    assert "| refused: values above 20 |" in distortion_block(tmp_path / "d.csv")
