"""Figures: they are there, the same to the byte, say SIMULATED, and no text is cut or overlaps."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from report_study import make_results
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.report.figures import FIGURES, calibration_bins, draw_figures
from crossres_ml.report.summary import Summary

LONGEST = "rppa:Acetyl-a-Tubulin (Lys40) and a longer name_Caution"


@pytest.fixture(scope="module")
def study_results(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("results")
    return folder, make_results(folder, cohort, small_config, splits)


def copy(results: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for path in results.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def as_real(summary: Summary) -> Summary:
    return summary.model_copy(update={"data": summary.data.model_copy(update={"kind": "real"})})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved, as it stands when it is."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **options: object) -> None:
        save(self, *args, **options)  # type: ignore[arg-type]
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_every_figure_is_a_png_of_some_size(study_results: tuple[Path, Summary], tmp_path: Path) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    paths = draw_figures(folder, summary)
    assert [p.name for p in paths] == [f"{name}.png" for name in FIGURES]
    assert sorted(paths) == sorted((folder / "figures").iterdir())
    for path in paths:
        pixels = imread(path)[..., :3]
        assert pixels.shape[0] > 300
        assert pixels.shape[1] > 800
        assert pixels.std() > 0.1


def test_same_bytes_again_whatever_the_users_settings(
    study_results: tuple[Path, Summary], tmp_path: Path
) -> None:
    first = draw_figures(copy(study_results[0], tmp_path / "a"), study_results[1])
    with mpl.rc_context({"font.family": "serif", "savefig.dpi": 55, "axes.facecolor": "pink"}):
        second = draw_figures(copy(study_results[0], tmp_path / "b"), study_results[1])
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert b"Software" not in first[0].read_bytes()


def titles(figures: list[Figure]) -> list[str]:
    return [str(f.get_suptitle()) for f in figures]


def test_simulated_is_the_first_word_of_every_title(
    study_results: tuple[Path, Summary], tmp_path: Path, drawn: list[Figure]
) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    draw_figures(folder, summary)
    assert len(drawn) == len(FIGURES)
    assert all(t.startswith("SIMULATED: ") for t in titles(drawn))
    drawn.clear()
    draw_figures(folder, as_real(summary))
    assert len(drawn) == len(FIGURES)
    assert all(t and "SIMULATED" not in t for t in titles(drawn))


def visible_texts(figure: Figure) -> list[Text]:
    """Texts that are drawn: those of ticks outside the axis limits are not."""
    hidden = {
        id(t)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for t in (tick.label1, tick.label2)
        if not (min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval()))
        or not t.get_visible()
        or not axes.axison
    }
    found = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip())
    return [t for t in found if id(t) not in hidden]


def crowded(figure: Figure) -> list[str]:
    """Name texts that leave the figure or lie over each other."""
    figure.canvas.draw()  # places everything for the dots per inch that the figure itself has
    boxes = [(t.get_text(), t.get_window_extent()) for t in visible_texts(figure)]
    width, height = figure.canvas.get_width_height()
    out = [f"cut: {n!r}" for n, b in boxes if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > 1 and up > 3:  # boxes hold the room of letters that hang below the line
            out.append(f"over each other: {one!r} and {two!r}")
    return out


def test_no_text_is_cut_or_over_another(
    study_results: tuple[Path, Summary], tmp_path: Path, drawn: list[Figure]
) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    for task in summary.tasks:
        path = folder / f"shap_{task}.csv"
        table = pd.read_csv(path)
        table.loc[3:6, "feature"] = LONGEST
        table["of"] = 19_876
        table.to_csv(path, index=False)
    named = pd.read_csv(folder / "named_genes.csv").assign(rank=19_000.0, of=19_876)
    more = named.assign(measurement=LONGEST)
    pd.concat([named, more], ignore_index=True).to_csv(folder / "named_genes.csv", index=False)
    draw_figures(folder, summary)
    assert {t: crowded(f) for t, f in zip(titles(drawn), drawn, strict=True)} == {
        t: [] for t in titles(drawn)
    }


def test_crowded_text_is_seen() -> None:
    figure = Figure((3, 3))
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, "a long text that leaves the figure")
    figure.text(0.1, 0.1, "one")
    figure.text(0.1, 0.1, "two")
    assert len(crowded(figure)) == 2


def test_skill_shows_the_numbers_of_the_table(
    study_results: tuple[Path, Summary], tmp_path: Path, drawn: list[Figure]
) -> None:
    draw_figures(copy(study_results[0], tmp_path / "r"), study_results[1])
    shown = {t.get_text() for t in visible_texts(drawn[0])}
    table = pd.read_csv(study_results[0] / "metrics.csv").query("mode == 'cell_line_out'")
    for row in table[table.metric.isin(["auroc", "spearman"])].to_dict("records"):
        assert f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})" in shown


def bars(axes: Axes) -> list[str]:
    return [t.get_text() for t in axes.get_yticklabels()]


def test_named_genes_are_marked_or_listed(
    study_results: tuple[Path, Summary], tmp_path: Path, drawn: list[Figure]
) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    table = pd.read_csv(folder / "shap_cross.csv")
    table.loc[1, "feature"] = "driver:TP53"
    table.to_csv(folder / "shap_cross.csv", index=False)
    draw_figures(folder, summary)
    figure = drawn[list(FIGURES).index("shap")]
    labels = bars(figure.axes[2])
    assert len(labels) == 20
    assert [n for n in labels if n.startswith("\u25b6")] == ["\u25b6 driver:TP53"]
    notes = "\n".join(t.get_text() for t in figure.texts)
    rows = pd.read_csv(folder / "named_genes.csv")
    for row in rows[rows["rank"] > 20].to_dict("records"):
        assert f"{row['measurement']}: rank {row['rank']:,.0f} of {row['of']:,}" in notes


def test_calibration_bins_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(size=200)
    lines = pd.DataFrame({"model_id": np.arange(200), "probability": p, "label": rng.uniform(size=200) < p})
    out = calibration_bins(lines.assign(label=lines.label.astype(float)))
    assert len(out) == 5
    ordered = lines.sort_values("probability")
    for i, row in enumerate(out.itertuples()):
        part = ordered[40 * i : 40 * i + 40]
        low, high = proportion_confint(part.label.sum(), 40, method="wilson")
        expected = (part.probability.mean(), part.label.mean(), 40, low, high)
        assert (row.predicted, row.observed, row.lines, row.low, row.high) == pytest.approx(expected)


def test_a_line_held_out_twice_counts_once_in_the_interval() -> None:
    rng = np.random.default_rng(2)
    once = pd.DataFrame({"model_id": np.arange(120), "probability": rng.uniform(size=120)})
    once["label"] = (rng.uniform(size=120) < 0.5).astype(float)
    twice = pd.concat([once, once], ignore_index=True)
    pd.testing.assert_frame_equal(calibration_bins(twice), calibration_bins(once))


def test_equal_probabilities_make_one_bin() -> None:
    table = pd.DataFrame({"model_id": range(50), "probability": 0.3, "label": [1.0, 0.0] * 25})
    assert calibration_bins(table)[["predicted", "observed", "lines"]].to_numpy() == pytest.approx(
        np.array([[0.3, 0.5, 50.0]])
    )


def test_without_held_out_lineages_and_named_genes(
    study_results: tuple[Path, Summary], tmp_path: Path, drawn: list[Figure]
) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    table = pd.read_csv(folder / "metrics.csv")
    table[table["mode"] == "cell_line_out"].to_csv(folder / "metrics.csv", index=False)
    (folder / "named_genes.csv").write_text("task,model\n")
    draw_figures(folder, summary.model_copy(update={"named_genes": {}}))
    texts = [t.get_text() for t in drawn[list(FIGURES).index("lineage_out")].texts]
    assert "No lineage has enough lines to be held out in this run." in texts
