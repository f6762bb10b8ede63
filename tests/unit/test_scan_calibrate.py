"""Level and power of the lists on simulated responses: a small version of the study."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from crossres_ml import artifacts, cli, scan_study
from crossres_ml.audit.adjust import tissue_design
from crossres_ml.config_names import config_path
from crossres_ml.report.figures.scan_power import scan_power
from crossres_ml.report.scan_doc import BEGIN, END, scan_block
from crossres_ml.scan.calibrate import ROLES, Settings, calibrate_scan, simulate_pair, summarise_scan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ground() -> tuple[np.ndarray, np.ndarray]:
    """300 lines of five lineages, 150 events: levels, rare events, gaps, some that follow lineage."""
    rng = np.random.default_rng(0)
    lineage = rng.choice(list("abcde"), 300, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    design = tissue_design(pd.Series(lineage))
    X = rng.normal(size=(300, 150)) + 0.7 * rng.normal(size=(300, 1))
    X[:, 100:130] = rng.random((300, 30)) < rng.uniform(0.05, 0.4, 30)
    X[:, 130:] += 2 * design @ rng.normal(size=(5, 20))
    X[rng.random(300) < 0.2, 20:60] = np.nan
    return X, design


@pytest.fixture(scope="module")
def table(ground: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    settings = Settings(studies=40, strengths=(0.0, 0.25), draws=100, events=150, seed=3)
    return summarise_scan(calibrate_scan(*ground, settings))


def test_rates_of_false_ones_are_kept(table: pd.DataFrame) -> None:
    """At both levels, by both ways; a list of one modality may have what acts on the other too."""
    two = table[table.list.isin(["both_resistant", "discordant_radiation"])]
    assert len(two) == 2 * 2 * 2 * 2
    error = np.sqrt(table.level * (1 - table.level) / table.studies)
    assert (two.fdr <= two.level + 2.5 * error[two.index]).all()
    assert (table.fdr_nothing <= table.level + 2.5 * error).all()
    assert (table.fdr_nothing <= table.fdr).all()


def test_the_summary_counts_as_one_does_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "by": "permutations", "level": 0.1, "list": "radiation_only", "strength": 0.2,
            "called": [4, 0, 2], "false": [3, 0, 0], "of_other_role": [1, 0, 0], "planted": [2, 2, 2],
            "found": [1, 0, 2], "confounded": 0.05,
        }
    )  # fmt: skip
    row = summarise_scan(rows).iloc[0]
    assert row.fdr == pytest.approx((3 / 4 + 0 + 0) / 3)
    assert row.fdr_nothing == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert row.power == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert row.power_error == pytest.approx(np.std([0.5, 0, 1], ddof=1) / 3**0.5)
    assert np.isnan(summarise_scan(rows.assign(planted=0)).power.iloc[0])


def test_what_is_planted_is_found(table: pd.DataFrame) -> None:
    own = table[(table.strength > 0) & (table.level == 0.1) & (table.list == "both_resistant")]
    power = own.set_index("by").power
    assert power["permutations"] >= power["benjamini_hochberg"] > 0.2


def test_events_that_follow_lineage_are_called_no_more_often(table: pd.DataFrame) -> None:
    assert (table.confounded < 0.09).all()


def test_a_pair_has_what_was_planted(ground: tuple[np.ndarray, np.ndarray]) -> None:
    X, design = ground
    planted = dict(zip(ROLES, np.array([[100], [101], [102], [103]]), strict=True))  # independent events
    rng = np.random.default_rng(5)
    draws = [simulate_pair(X, design, planted, 0.4, rng) for _ in range(40)]
    r = np.mean([np.corrcoef(np.c_[X[:, 100:104], Y], rowvar=False)[:4, 4:] for Y in draws], axis=0)
    wanted = 0.4 * np.array([it[1:3] for it in ROLES.values()])
    assert np.abs(r - wanted).max() < 0.15


def test_the_command_makes_table_figure_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = yaml.safe_load(config_path("smoke.yaml").read_text(encoding="utf-8"))
    settings |= {"simulated_lines": 220, "scan": {"min_lines": 60}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    small = partial(Settings, strengths=(0.0, 0.3), events=200)
    monkeypatch.setattr(scan_study, "Settings", small)
    monkeypatch.setattr(artifacts, "code_digest", lambda: "of this code")  # stays while files are edited
    out = tmp_path / "out"
    words = [
        "--scan",
        "--simulations",
        3,
        "--draws",
        19,
        "--config",
        tmp_path / "small.yaml",
        "--output",
        out,
    ]
    monkeypatch.setattr(sys, "argv", ["crossres", "--quiet", "calibrate", *map(str, words)])
    for said in ("simulated anew", "nothing has changed"):
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main()
        told = capsys.readouterr().out
        assert told.startswith("SIMULATED")
        assert said in told
    assert {p.name for p in out.iterdir()} >= {"scan_calibration.csv", "power.png", "simulations.parquet"}
    with pytest.raises(ValueError, match="nothing to publish"):
        scan_block(out)
    about = json.loads((out / "scan_calibration.json").read_text())
    (out / "scan_calibration.json").write_text(json.dumps(about | {"kind": "real"}))
    block = scan_block(out)
    assert block.startswith(BEGIN)
    assert block.endswith(END)
    rows = [line for line in block.splitlines() if line.startswith("| resistant to both |")]
    assert len(rows) == 4  # two ways, two levels
    table = pd.read_csv(out / "scan_calibration.csv")
    own = table[(table.list == "both_resistant") & (table.by == "permutations") & (table.level == 0.05)]
    power = own.set_index("strength").power[0.3]
    assert rows[0].endswith(f"/ {power:.2f} |".replace("0.", ".", 1))


def test_the_page_has_its_markers_and_its_figure() -> None:
    text = (ROOT / "docs" / "scan.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert "| resistant to both | permutation rate | 5% |" in text
    assert (ROOT / "docs" / "scan_power.png").is_file()


def test_the_power_figure_has_every_list_and_way(table: pd.DataFrame) -> None:
    figure = scan_power(table, simulated=True)
    assert len(figure.axes) == len(ROLES)
    for axes in figure.axes:
        assert len(axes.containers) == 4
    own = table[(table.list == "both_resistant") & (table.by == "permutations") & (table.level == 0.05)]
    line = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), own.power.dropna())
