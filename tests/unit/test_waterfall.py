"""Waterfalls of single samples: the numbers of the explained table, and nothing in the way of anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_checks import LONGEST, crowded, texts, title
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from crossres_ml.config_names import TASKS
from crossres_ml.predict.chosen import Chosen
from crossres_ml.predict.score import BASE, OTHERS
from crossres_ml.report.figures import draw_waterfalls
from crossres_ml.report.figures.base import BLUE, RED
from crossres_ml.report.figures.waterfall import MOST, signed, steps, waterfall

SHARES = {
    "gene_set:HALLMARK_EPITHELIAL_MESENCHYMAL_TRANSITION": (2.25, 0.9),
    "gene_set:REACTOME_DISEASES_OF_MISMATCH_REPAIR_AND_OF_EVERYTHING_ELSE": (-1.5, -0.5),
    LONGEST: (0.125, 0.25),
    "mutation:TP53": (1.0, -0.1),
    "profile:01": (np.nan, 0.01),
    "rna:SLFN11": (np.nan, -0.00002),
    "lineage:Lung": (0.0, 0.0),
}


def explained(task: str, sample: str, scale: float, base: float) -> pd.DataFrame:
    """The rows that `explain_profiles` gives for a sample."""
    rows = [(BASE, np.nan, base), *((f, v, scale * s) for f, (v, s) in SHARES.items()), (OTHERS, np.nan, 0.3)]
    table = pd.DataFrame(rows, columns=["feature", "value", "shap"])
    return table.assign(model_id=sample, task=task, rank=range(len(table)))


def chosen(samples: tuple[str, ...] = ("S1", "S2"), kind: str = "real", refused: str = "") -> Chosen:
    parts, scores = [], pd.DataFrame(index=pd.Index(samples, name="model_id"))
    for k, task in enumerate(TASKS):
        own = [explained(task, s, 10.0 ** (i - k), (-1.0) ** k * 2) for i, s in enumerate(samples)]
        parts += own
        values: dict[str, object] = {
            "score": [t.shap.sum() for t in own], "probability": 0.25, "class": "sensitive",
            "set": "resistant|sensitive", "refused": refused,
        }  # fmt: skip
        scores = scores.assign(**{f"{task}_{n}": v for n, v in values.items()})
    return Chosen(samples, scores.assign(trained_on=kind), pd.concat(parts, ignore_index=True))


def bars(axes: Axes) -> list[Rectangle]:
    return [p for p in axes.patches if isinstance(p, Rectangle)]


@pytest.mark.parametrize("sample", ["S1", "S2"])
def test_bars_go_from_the_base_by_the_shares_to_the_score(sample: str) -> None:
    known = chosen()
    figure = waterfall(known, sample)
    assert len(figure.axes) == len(TASKS)
    for task, axes in zip(TASKS, figure.axes, strict=True):
        table = known.shares[(known.shares.model_id == sample) & (known.shares.task == task)]
        shap = table.shap.to_numpy()
        drawn = bars(axes)
        np.testing.assert_allclose([b.get_width() for b in drawn], shap[1:], atol=1e-12)
        np.testing.assert_allclose([b.get_x() for b in drawn], np.cumsum(shap)[:-1], atol=1e-12)
        score = float(known.scores.loc[sample, f"{task}_score"])
        points = {
            line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None"
        }
        assert points == {"o": pytest.approx(shap[0]), "D": pytest.approx(score, rel=1e-12)}
        low, high = axes.get_xlim()
        assert low < min(np.cumsum(shap)) <= max(np.cumsum(shap)) < high
        names = [t.get_text() for t in axes.get_yticklabels()]
        assert names[1] == "gene_set:HALLMARK_EPITHELIAL_MESENCHYMAL_TRANSITION  = 2.25"
        assert names[4:7] == ["mutation:TP53  = 1", "profile:01  predicted", "rna:SLFN11  not measured"]
        assert names[-2:] == ["all other features", "score"]
        assert {signed(v) for v in shap[1:]} <= texts(figure)


def test_the_colour_says_where_a_share_leads() -> None:
    drawn = bars(waterfall(chosen(), "S1").axes[0])
    assert [b.get_facecolor() for b in drawn[:2]] == [to_rgba(RED), to_rgba(BLUE)]


def test_no_text_is_cut_or_over_another() -> None:
    long = "TCGA-06/0125 (primary, re-biopsied after chemoradiation 2019, second aliquot)"
    known = chosen((long, "S2"), kind="simulated")
    assert crowded(waterfall(known, long)) == []
    assert crowded(waterfall(known, "S2")) == []


@pytest.mark.parametrize(
    ("kind", "simulated"), [("real", False), ("simulated", True), ("real+simulated", True)]
)
def test_a_simulated_study_is_said_first(kind: str, simulated: bool) -> None:
    assert title(waterfall(chosen(kind=kind), "S1")).startswith("SIMULATED: ") == simulated


def test_a_sample_without_a_score_has_the_reason_and_no_bars() -> None:
    figure = waterfall(chosen(refused="coverage 0.113 is under 0.25"), "S2")
    assert "Radiation: no score, coverage 0.113 is under 0.25" in texts(figure)
    assert not figure.axes
    assert crowded(figure) == []


def test_features_beyond_the_most_are_joined_with_the_others() -> None:
    rng = np.random.default_rng(0)
    shap = np.array([0.5, *-np.sort(-np.abs(rng.normal(size=MOST + 20))), -0.25])
    names = [BASE, *(f"rna:G{i}" for i in range(MOST + 20)), OTHERS]
    table = pd.DataFrame({"rank": range(len(shap)), "feature": names, "value": 1.0, "shap": shap})
    one = steps(table.sample(frac=1, random_state=1))
    assert len(one.shares) == MOST + 1
    np.testing.assert_allclose(one.shares[:-1], shap[1 : MOST + 1])
    assert one.shares[-1] == pytest.approx(shap[MOST + 1 :].sum())
    assert one.score == pytest.approx(shap.sum())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "+0.500"),
        (-0.0124, "-0.012"),
        (0.0004, "+0.0004"),
        (-0.00002, "-0.00002"),
        (3e-18, "0"),
        (0.0, "0"),
    ],
)
def test_small_shares_keep_a_digit(value: float, text: str) -> None:
    assert signed(value) == text


def test_each_sample_has_a_file_of_its_own_beside_the_output(tmp_path: Path) -> None:
    samples = ("S1", "s1", "a/b", "../b", "é")
    paths = draw_waterfalls(chosen(samples), tmp_path / "scores.csv")
    assert len({p.name.casefold() for p in paths}) == len(samples)
    assert all(p.parent == tmp_path and p.name.startswith("scores.csv.") for p in paths)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    again = draw_waterfalls(chosen(("S2", "S1")), tmp_path / "out.tsv")
    assert [p.name for p in again] == ["out.tsv.S2.png", "out.tsv.S1.png"]
    first = again[0].read_bytes()
    draw_waterfalls(chosen(("S2", "S1")), tmp_path / "out.tsv")
    assert again[0].read_bytes() == first
