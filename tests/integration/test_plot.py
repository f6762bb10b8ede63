"""`crossres predict --plot`: a figure of each sample beside the output, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread
from trained import Run, crossres, profiles


@pytest.mark.parametrize("explain", [[], ["--explain", "4"]])
def test_a_figure_of_each_sample_lies_beside_the_output(run: Run, tmp_path: Path, explain: list[str]) -> None:
    table = profiles(run).rename(index={"S7": "S7 (second/biopsy)"})
    table.to_csv(tmp_path / "p.csv")
    plot = ["--plot", "S2", "--plot", "S7 (second/biopsy)", "--model", str(run.results)]
    done = crossres("predict", "p.csv", "--output", "scores.csv", *plot, *explain, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = [line.removeprefix("drawn: ") for line in done.stdout.splitlines() if line.startswith("drawn: ")]
    assert drawn[0] == "scores.csv.S2.png"
    assert drawn[1].startswith("scores.csv.S7_second_biopsy_-")
    assert sorted(p.name for p in tmp_path.glob("*.png")) == sorted(drawn)
    height = [imread(tmp_path / name).shape[0] for name in drawn]
    assert all(h > (700 if explain else 1200) for h in height)  # ten features where no number is said
    assert (tmp_path / "scores.csv.explained.parquet").exists() == bool(explain)
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 12


def test_an_unknown_sample_is_named_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    profiles(run).to_csv(tmp_path / "p.csv")
    command = ["predict", "p.csv", "--output", "scores.csv", "--model", str(run.results), "--plot", "s3"]
    done = crossres(*command, "--plot", "S2", folder=tmp_path)
    assert done.returncode == 2
    assert "no such sample: 's3' (close: S3" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["p.csv"]
