"""Figures and page of a scan: labels apart, numbers as in the tables, nothing found, the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from crossres_ml.artifacts import write_json, write_table
from crossres_ml.audit.claims import load_claims
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.report.figures import SCAN_FIGURES, draw_scan
from crossres_ml.report.figures.scan import label_places
from crossres_ml.report.scan_page import FILES, event_rows, known_rows, write_scan_report
from crossres_ml.report.scan_run import ScanRun
from crossres_ml.scan.both import LISTS
from crossres_ml.scan.run import scan
from crossres_ml.scan.save import TABLES, write_scan

SETTINGS = ScanConfig(permutations=60, min_lines=60, top=3)


@pytest.fixture(scope="module")
def folder(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan as it is saved, with events of each kind that a user may bring."""
    both = cohort.responses[["radiation", "chemotherapy"]].rank(pct=True).mean(axis=1)
    one = cohort.responses.chemotherapy.rank(pct=True) - cohort.responses.radiation.rank(pct=True)
    rng = np.random.default_rng(0)
    n = len(both)
    user = pd.DataFrame(
        {
            **{f"BOTH{i}": both + rng.normal(scale=0.1 + 0.05 * i, size=n) for i in range(4)},
            **{f"AGAINST{i}": -both + rng.normal(scale=0.3 + 0.1 * i, size=n) for i in range(3)},
            **{f"DISCORDANT{i}": one + rng.normal(scale=0.3 + 0.1 * i, size=n) for i in range(3)},
        }
    )
    found = scan(cohort, load_claims(), SETTINGS, seed=1, user=(user, pd.DataFrame()))
    out = tmp_path_factory.mktemp("scan")
    about = {"kind": "real", "seed": 1, "settings": SETTINGS.model_dump(), "user_events": None}
    hashes = dict.fromkeys(("config_hash", "cohort_hash", "claims_hash"), "0" * 64)
    write_scan(found, out, about | hashes | {"versions": {"pandas": "3"}}, level=0.05, top=3)
    return out


@pytest.fixture(scope="module")
def run(folder: Path) -> ScanRun:
    return ScanRun(folder)


def drawn(run: ScanRun, name: str) -> Figure:
    figure = SCAN_FIGURES[name](run)
    assert figure is not None
    figure.canvas.draw()
    return figure


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=36))
def test_labels_never_lie_on_each_other(points: list[tuple[float, float]]) -> None:
    height = 0.05
    x, y = map(list, zip(*points, strict=True))
    places = label_places(x, y, height)
    assert places == label_places(x, y, height)
    for side in ("left", "right"):
        own = sorted(at for s, at in places if s == side)
        assert all(np.diff(own) >= height - 1e-9)
        assert not own or (own[0] >= height / 2 - 1e-9 and own[-1] <= 1 - height / 2 + 1e-9)


def labels(figure: Figure) -> list[Text]:
    return [t for t in figure.axes[0].texts if t.get_text()]


def test_names_in_the_scatter_are_those_of_signals_and_apart(run: ScanRun) -> None:
    figure = drawn(run, "scan_effects")
    signals = run.csv("signals.csv")
    shown = signals.groupby("list").head(6)
    assert len(labels(figure)) == len(shown) > 3
    boxes = [t.get_window_extent() for t in labels(figure)]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    wide, tall = figure.canvas.get_width_height()  # type: ignore[attr-defined]
    assert all(b.x0 >= 0 and b.x1 <= wide and b.y0 >= 0 and b.y1 <= tall for b in boxes)
    assert (
        sum(len(c.get_offsets()) for c in figure.axes[0].collections[1:]) == (run.events["list"] != "").sum()
    )


def test_the_volcano_has_the_p_of_the_list(run: ScanRun) -> None:
    for name, it in LISTS.items():
        table = run.volcano(name)
        if it.signs:
            effects = run.events.loc[table.index, ["radiation", "chemotherapy"]].to_numpy()
            assert (np.sign(effects) == np.array(it.signs)).all()
        own = run.events[(run.events.best_list == name) & (run.events.list_p < 0.5)]
        np.testing.assert_allclose(table.p[own.index], own.list_p, rtol=1e-6)
        assert table.called.sum() == (run.events["list"] == name).sum()


def test_the_threshold_is_drawn_where_the_table_has_it(run: ScanRun) -> None:
    lists = pd.read_csv(run.folder / "lists.csv")
    lists = lists[lists.level == 0.05].set_index("list")
    for axes, name in zip(drawn(run, "scan_volcanos").axes, LISTS, strict=True):
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert len(dashed) == np.isfinite(lists.threshold[name])
        for line in dashed:
            assert np.asarray(line.get_ydata())[0] == pytest.approx(-np.log10(lists.threshold[name]))


def test_the_forest_has_every_lineage_and_the_pool(run: ScanRun) -> None:
    figure = drawn(run, "scan_lineages")
    names = run.shown_lineage_by_lineage(6)
    assert len(figure.axes) == 2 * len(names)
    effects = pd.read_csv(run.folder / "lineages.csv")
    own = effects[(effects.event == names[0]) & (effects.response == "radiation") & effects.effect.notna()]
    squares = [li for li in figure.axes[0].lines if li.get_marker() == "s"]
    assert sorted(float(np.asarray(li.get_xdata())[0]) for li in squares) == pytest.approx(sorted(own.effect))


def test_rows_of_the_page_are_those_of_the_tables(run: ScanRun) -> None:
    table = pd.read_csv(run.folder / "scan.csv")
    rows = event_rows(run)
    assert sorted(r["label"] for r in rows) == sorted(table.label)
    assert sum(r["called"] for r in rows) == table["list"].notna().sum()
    others = [r for r in rows if r["signal"]]
    assert others  # what goes with a better one says so, by its label
    assert {r["signal"] for r in others} <= set(run.csv("signals.csv").label)
    known = pd.read_csv(run.folder / "known_pairs.csv", keep_default_na=False)
    assert [r["reason"] for r in known_rows(run)] == known.reason.tolist()
    assert set(FILES) == {*TABLES.values(), "scan.csv", "scan.parquet", "scan.json"}


def test_the_page_of_real_data_has_no_band_and_the_same_bytes(folder: Path) -> None:
    first = write_scan_report(folder).read_bytes()
    assert b"SIMULATED" not in first
    assert write_scan_report(folder).read_bytes() == first


def test_a_scan_that_found_nothing_has_a_page_too(folder: Path, tmp_path: Path) -> None:
    run = ScanRun(folder)
    write_table(tmp_path / "scan.parquet", run.events.assign(list="", signal=""))
    write_table(
        tmp_path / "scan.csv", pd.read_csv(folder / "scan.csv", index_col="event").assign(list="", signal="")
    )
    for name in (*TABLES.values(), "scan.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lists = pd.read_csv(folder / "lists.csv").assign(seen=0, signals=0, threshold=np.nan, expected=np.nan)
    write_table(tmp_path / "lists.csv", lists)
    write_table(tmp_path / "signals.csv", pd.read_csv(folder / "signals.csv").iloc[:0])
    write_table(tmp_path / "skipped.csv", pd.read_csv(folder / "skipped.csv").iloc[:0])
    write_json(
        tmp_path / "scan.json", json.loads((folder / "scan.json").read_text()) | {"answer": ["Nothing."]}
    )
    text = write_scan_report(tmp_path).read_text(encoding="utf-8")
    assert "No event is in a list at a false discovery rate of 5%" in text
    assert len(draw_scan(ScanRun(tmp_path))) == 3
