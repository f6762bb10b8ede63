"""Figures: they are there, the same to the byte, say SIMULATED, and no text is cut or overlaps."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from figure_checks import LONGEST, crowded, texts, title
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from report_audit import make_audit
from report_study import as_real, make_results, without_audit
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.errors import ConfigError
from crossres_ml.evaluation.comparisons import APPROACHES
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.audit_run import AuditRun, said
from crossres_ml.report.figures import AUDIT_FIGURES, FIGURES, draw_figures
from crossres_ml.report.figures.audit import spread
from crossres_ml.report.figures.audit_shap import jitter
from crossres_ml.report.figures.base import Run
from crossres_ml.report.figures.calibration import calibration_bins
from crossres_ml.report.summary import Interval, Summary
from crossres_ml.report.words import HAVE_NAMES, plain, shown

Drawn = tuple[Path, dict[str, Figure]]
LONG_LINEAGES = {"Ovary": "Ovary/Fallopian Tube", "Lung": "Peripheral Nervous System"}


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
    shutil.copytree(results / "audit", folder / "audit", dirs_exist_ok=True)
    return folder


def keep_figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep every figure that is saved, as it stands when it is."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **options: object) -> None:
        save(self, *args, **options)  # type: ignore[arg-type]
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def draw_all(folder: Path, summary: Summary) -> dict[str, Figure]:
    """Draw and save all figures; give them as they stood when they were saved."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        figures = keep_figures(monkeypatch)
        paths = draw_figures(folder, summary)
    return dict(zip([p.stem for p in paths], figures, strict=True))


def draw_one(name: str, folder: Path, summary: Summary) -> Figure:
    figure = FIGURES[name](Run(folder, summary))
    assert figure is not None
    return figure


@pytest.fixture(scope="module")
def drawn(study_results: tuple[Path, Summary], tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """All figures of the made-up run, and where they lie."""
    folder = copy(study_results[0], tmp_path_factory.mktemp("all"))
    return folder / "figures", draw_all(folder, study_results[1])


def test_every_figure_is_a_png_of_some_size(drawn: Drawn) -> None:
    folder, figures = drawn
    assert list(figures) == list(FIGURES)
    assert {p.name for p in folder.iterdir()} == {f"{name}.png" for name in FIGURES}
    for path in folder.iterdir():
        pixels = imread(path)[..., :3]
        assert pixels.shape[0] > 300
        assert pixels.shape[1] > 800
        assert pixels.std() > 0.1


def test_same_bytes_again_whatever_the_users_settings(
    study_results: tuple[Path, Summary], drawn: Drawn, tmp_path: Path
) -> None:
    with mpl.rc_context({"font.family": "serif", "savefig.dpi": 55, "axes.facecolor": "pink"}):
        again = draw_figures(copy(study_results[0], tmp_path / "b"), study_results[1])
    for path in again:
        assert path.read_bytes() == (drawn[0] / path.name).read_bytes()
        assert b"Software" not in path.read_bytes()


def test_simulated_is_the_first_word_of_every_title(
    study_results: tuple[Path, Summary], drawn: Drawn
) -> None:
    assert all(title(f).startswith("SIMULATED: ") for f in drawn[1].values())
    real = [title(draw_one(name, study_results[0], as_real(study_results[1]))) for name in FIGURES]
    assert all(t and "SIMULATED" not in t for t in real)


def fill(folder: Path, summary: Summary) -> Summary:
    """Make the made-up run as full as a real one can be: all models, long names of features and lineages."""
    for task in summary.tasks:
        path = folder / f"shap_{task}.csv"
        table = pd.read_csv(path)
        table.loc[3:6, "feature"] = LONGEST
        table["of"] = 19_876
        table.to_csv(path, index=False)
    named = pd.read_csv(folder / "named_genes.csv").assign(rank=19_000.0, of=19_876)
    more = named.assign(measurement=LONGEST)
    pd.concat([named, more], ignore_index=True).to_csv(folder / "named_genes.csv", index=False)
    for name in ("lines", "lineages"):
        table = pd.read_csv(folder / f"{name}.csv")
        table["lineage"] = table.lineage.replace(LONG_LINEAGES)
        table.to_csv(folder / f"{name}.csv", index=False)
    fill_audit(folder / "audit")
    raw = summary.model_dump(mode="json")
    for task in raw["tasks"].values():
        task["models"] |= {m: task["models"]["ridge"] for m in ABOUT if m not in task["models"]}
        task["what_you_have"]["retrained"] = task["what_you_have"]["hidden"]
    both = raw["both"]
    for mode in both["order"]:
        both["order"][mode] = list(APPROACHES)
        one = both["against_direct"][mode]["mean_of_two"]
        both["against_direct"][mode] = dict.fromkeys(APPROACHES[1:], one)
    paired = pd.read_csv(folder / "paired.csv")
    ridge = paired[paired.model == "ridge"]
    others = [ridge.assign(model=m) for m in ABOUT if m not in set(paired.model) and not is_baseline(m)]
    pd.concat([paired, *others], ignore_index=True).to_csv(folder / "paired.csv", index=False)
    return Summary.model_validate(raw)


def fill_audit(folder: Path) -> None:
    """Add twenty claims with long titles, all of them possible verdicts, and more tissues."""
    table = pd.read_parquet(folder / "audit.parquet")
    known = table[table.claim.isin(["C01", "C02", "C03", "C08", "C09"])]
    more = [known.assign(claim=known.claim.str.replace("C", f"{i}C"), title=LONGEST, n=known.n + 7 * (i % 2))
            for i in range(1, 5)]  # fmt: skip
    pd.concat([table, *more], ignore_index=True).to_parquet(folder / "audit.parquet")
    lineages = pd.read_csv(folder / "lineages.csv")
    tissues = [lineages.assign(lineage=lineages.lineage + f" {i}") for i in range(4)]
    pd.concat(tissues, ignore_index=True).to_csv(folder / "lineages.csv", index=False)
    controls = pd.read_csv(folder / "controls.csv")
    pd.concat([controls] * 8, ignore_index=True).to_csv(folder / "controls.csv", index=False)


def test_no_text_is_cut_or_over_another(study_results: tuple[Path, Summary], tmp_path: Path) -> None:
    folder = copy(study_results[0], tmp_path / "r")
    figures = draw_all(folder, fill(folder, study_results[1]))
    assert {n: crowded(f) for n, f in figures.items()} == {n: [] for n in FIGURES}
    assert len(texts(figures["skill"]) & set(map(plain, ABOUT))) == len(ABOUT)
    assert len(texts(figures["paired"]) & set(map(plain, ABOUT))) == sum(not is_baseline(m) for m in ABOUT)


def test_crowded_text_is_seen() -> None:
    figure = Figure((3, 3))
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, "a long text that leaves the figure")
    figure.text(0.1, 0.1, "one")
    figure.text(0.1, 0.1, "two")
    assert len(crowded(figure)) == 2


@pytest.mark.parametrize(("name", "mode"), [("skill", "cell_line_out"), ("lineage_out", "lineage_out")])
def test_skill_shows_the_numbers_of_the_table(
    study_results: tuple[Path, Summary], drawn: Drawn, name: str, mode: str
) -> None:
    seen, table = texts(drawn[1][name]), pd.read_csv(study_results[0] / "metrics.csv")
    rows = table[(table["mode"] == mode) & table.metric.isin(["auroc", "spearman"])].to_dict("records")
    assert len(rows) == 2 * (5 + 5 + 6)
    for row in rows:
        assert shown(Interval(value=row["value"], low=row["low"], high=row["high"])) in seen
    assert {"prevalence", "lineage mean", "ridge", "lightgbm", "gp", "mean of two"} <= seen


def test_differences_are_those_to_the_best_baseline(
    study_results: tuple[Path, Summary], drawn: Drawn
) -> None:
    seen, table = texts(drawn[1]["paired"]), pd.read_csv(study_results[0] / "paired.csv")
    rows = table[(table["mode"] == "cell_line_out") & table.metric.isin(["auroc", "spearman"])]
    for row in rows[rows.kind == "baseline"].to_dict("records"):
        assert shown(Interval(value=row["value"], low=row["low"], high=row["high"]), sign=True) in seen
    assert "prevalence" not in seen


def test_what_you_have_shows_both_kinds(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    seen = texts(drawn[1]["have"])
    for task in TASKS:
        have = study_results[1].tasks[task].what_you_have
        assert have is not None
        for values in (*have.hidden.values(), *have.retrained.values()):
            assert shown(values["spearman"]) in seen
    assert {t.replace("\n", " ") for t in seen} >= {n.replace("the _", "_") for n in HAVE_NAMES.values()}


def test_both_shows_the_ways_and_the_difference(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    seen, both = texts(drawn[1]["both"]), study_results[1].both
    assert both is not None
    for metric, difference in both.against_direct["cell_line_out"]["mean_of_two"].items():
        assert shown(difference, sign=True) in seen
        for model in both.order["cell_line_out"]:
            assert shown(study_results[1].tasks["cross"].models[model]["cell_line_out"][metric]) in seen


def test_lineages_are_sorted_and_counted(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    table = pd.read_csv(study_results[0] / "lineages.csv")
    for axes, task in zip(drawn[1]["lineages"].axes, TASKS, strict=True):
        own = table[(table.task == task) & (table.model == "ridge")].sort_values("value", ascending=False)
        assert bars(axes) == [f"{r.lineage} ({r.n})" for r in own.itertuples()]
        assert len(own) > 2


def test_the_learning_curve_has_a_point_for_each_share(
    study_results: tuple[Path, Summary], drawn: Drawn
) -> None:
    figure = drawn[1]["learning_curve"]
    for axes, task in zip(figure.axes, TASKS, strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
        points = study_results[1].tasks[task].learning_curve
        assert [list(line.get_ydata()) for line in lines] == [
            [p.value for p in points[m].values()] for m in ("lineage_mean", "gp")
        ]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["25", "50", "100"]


def test_calibration_says_slope_and_counts(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    seen = "\n".join(texts(drawn[1]["calibration"]))
    for task in TASKS:
        section = study_results[1].tasks[task]
        slope = section.models[section.champion]["cell_line_out"]["calibration_slope"]
        assert f"slope {shown(slope)}\na point: " in seen


def test_coverage_maps_every_line_by_lineage(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    above, below, _ = drawn[1]["coverage"].axes
    lines = pd.read_csv(study_results[0] / "lines.csv").set_index("model_id")
    shares = pd.read_parquet(study_results[0] / "coverage_by_line.parquet")
    drawn_map = np.asarray(below.images[0].get_array())
    assert drawn_map.shape == shares.shape[::-1]
    order = shares.mean().sort_values(ascending=False, kind="stable").index
    assert drawn_map.mean(axis=1) == pytest.approx(shares[order].mean().to_numpy())
    assert [t.get_text() for t in below.get_yticklabels()] == [b.replace("_", " ") for b in order]
    assert np.asarray(above.images[0].get_array())[0].sum() == lines.radiation.notna().sum()
    names = [t.get_text() for t in below.get_xticklabels()]
    assert len(names) < 20
    assert sum(int(n.split("(")[1][:-1]) for n in names) == len(lines)
    assert f"{lines.radiation.notna().sum()}" in texts(drawn[1]["coverage"])


def test_what_is_not_defined_has_no_mark(study_results: tuple[Path, Summary]) -> None:
    raw = study_results[1].model_dump(mode="json")
    nothing = {"value": None, "low": None, "high": None}
    for task in raw["tasks"].values():
        task["models"]["lightgbm"]["cell_line_out"]["auroc"] = nothing
        task["models"]["ridge"]["cell_line_out"]["calibration_slope"] = nothing
        task["what_you_have"]["hidden"]["rna"]["spearman"] = nothing
        task["learning_curve"]["gp"]["50"] = nothing
    folder, summary = study_results[0], Summary.model_validate(raw)
    assert len(draw_one("skill", folder, summary).axes[0].texts) == 4  # of five models
    assert len(draw_one("have", folder, summary).axes[0].texts) == 7  # of six hidden and two anew
    curves = [draw_one("learning_curve", *r).axes[0].lines for r in ((folder, summary), study_results)]
    left, full = (sum(len(line.get_xdata()) for line in lines) for lines in curves)
    assert full - left == 4  # of the curve, of the interval (two ends), and the mark
    assert "slope not defined" in "\n".join(texts(draw_one("calibration", folder, summary)))


def test_without_side_runs_their_figures_are_left_out(
    study_results: tuple[Path, Summary], tmp_path: Path
) -> None:
    raw = study_results[1].model_dump(mode="json") | {"both": None}
    for task in raw["tasks"].values():
        task |= {"what_you_have": None, "learning_curve": {}}
    folder = copy(study_results[0], tmp_path / "r")
    pd.read_csv(folder / "lineages.csv").iloc[:0].to_csv(folder / "lineages.csv", index=False)
    paths = draw_figures(folder, Summary.model_validate(raw))
    assert {p.stem for p in paths} == set(FIGURES) - {"have", "learning_curve", "both", "lineages"}


def bars(axes: Axes) -> list[str]:
    return [t.get_text() for t in axes.get_yticklabels()]


def test_named_genes_are_marked_or_listed(study_results: tuple[Path, Summary], tmp_path: Path) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    table = pd.read_csv(folder / "shap_cross.csv")
    table.loc[1, "feature"] = "driver:TP53"
    table.to_csv(folder / "shap_cross.csv", index=False)
    figure = draw_one("shap", folder, summary)
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
    study_results: tuple[Path, Summary], tmp_path: Path
) -> None:
    folder, summary = copy(study_results[0], tmp_path / "r"), study_results[1]
    raw = summary.model_dump(mode="json") | {"named_genes": {}}
    for task in raw["tasks"].values():
        for modes in task["models"].values():
            del modes["lineage_out"]
    (folder / "named_genes.csv").write_text("task,model\n")
    less = Summary.model_validate(raw)
    assert FIGURES["lineage_out"](Run(folder, less)) is None
    assert len(bars(draw_one("shap", folder, less).axes[0])) == 20


def verdicts(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "audit" / "audit.parquet")


def test_claims_show_every_verdict_in_words(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    figure, table = drawn[1]["claims"], verdicts(study_results[0])
    assert len(figure.axes) == 6  # radiation, chemotherapy and both; partial correlations and the rest
    for axes, side in zip(figure.axes[:3], ("radiation", "chemotherapy", "both"), strict=True):
        own = table[(table.outcome == side) & (table.unit == "partial r")]
        assert [t.get_text() for t in axes.texts] == [said(r) for r in own.to_dict("records")]
    assert "supported, top driver" in texts(figure)
    assert {"lost after adjustment\u2020", "contradicted, weakly", "not measurable"} <= texts(figure)
    assert "supported*" in texts(figure)  # near the level, from draws
    labels = bars(figure.axes[0])
    assert labels[0] == "C01 TP53 loss"
    assert bars(figure.axes[3])[0] == "C14 Mechanism 0\nindirect effect"


def test_what_was_not_measured_has_no_mark(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    axes = drawn[1]["claims"].axes[0]
    rows = bars(axes)
    at = rows.index("C15 miR-451 loss")
    inside = [x for x in axes.lines if x.get_transform() == axes.transData and set(x.get_ydata()) == {at}]
    assert not inside
    drawn_values = [x for x in axes.lines if list(x.get_ydata()) == [0, 0] and len(x.get_xdata()) == 2]
    row = verdicts(study_results[0]).query("claim == 'C01' and outcome == 'radiation'").iloc[0]
    assert list(drawn_values[0].get_xdata()) == pytest.approx([row.low, row.high])


def test_nulls_say_p_and_what_was_not_measured(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    titles = [a.get_title(loc="left") for a in drawn[1]["nulls"].axes]
    assert titles[:2] == [f"TP53, {s} (driver:TP53): p .010" for s in ("radiation", "chemotherapy")]
    assert titles[2] == "RAD51, radiation (rna:RAD51 and 1 with it): p .310"
    line = drawn[1]["nulls"].axes[0].lines[0]
    assert list(line.get_xdata()) == [0.05, 0.05]
    assert "99 permutations of residuals: what chance gives" in texts_of_legend(drawn[1]["nulls"])


def texts_of_legend(figure: Figure) -> set[str]:
    return {t.get_text() for legend in figure.legends for t in legend.get_texts()}


def test_power_names_every_claim_once_a_side(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    for axes in drawn[1]["power"].axes:
        named = [n.strip() for t in axes.texts for n in t.get_text().replace("\n", " ").split(",")]
        assert sorted(named) == ["C01", "C02", "C03", "C08", "C09"]
    below = "\n".join(t.get_text() for t in drawn[1]["power"].texts)
    assert "C19 0.2 (difference in Spearman," in " ".join(below.split())


def test_labels_are_spread_in_their_order() -> None:
    assert spread([0.1, 0.5], [0.1, 0.1]) == [0.1, 0.5]
    out = spread([0.5, 0.5, 0.52, 0.98], [0.1, 0.1, 0.2, 0.1])
    assert out == pytest.approx([0.5, 0.6, 0.75, 0.95])
    assert spread([0.0, 0.9, 0.9], [0.2, 0.1, 0.3]) == pytest.approx([0.1, 0.65, 0.85])
    tight = np.diff(spread([0.9] * 5, [0.1] * 5))
    assert tight == pytest.approx(np.full(4, 0.1))


def test_jitter_is_without_chance_and_keeps_points_apart() -> None:
    values = np.array([0.0, 0.001, 0.0, 5.0, -0.001])
    place = jitter(values, 0.1)
    assert place == pytest.approx(0.07 * np.array([0, 1, -1, 0, 2]))
    assert np.array_equal(place, jitter(values, 0.1))
    crowd = jitter(np.zeros(1001), 0.1)
    assert np.abs(crowd).max() == pytest.approx(0.42)
    assert len(np.unique(crowd)) == 1001


def test_the_swarm_has_the_named_genes_below(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    axes = drawn[1]["swarm"].axes[0]
    labels = bars(axes)
    below = {"driver:TP53": "66.5", "rna:RAD51": "67.5", "rna:ERCC1": "68.5"}
    assert labels[-3:] == [f"\u25b6 {f}: rank {r}" for f, r in below.items()]
    assert [t.get_fontweight() for t in axes.get_yticklabels()][-4:] == ["normal", *["bold"] * 3]
    assert axes.collections[0].get_offsets().shape == (80, 2)
    assert any("not the champion" in t for t in texts(drawn[1]["swarm"]))


def test_heterogeneity_writes_every_effect(study_results: tuple[Path, Summary], drawn: Drawn) -> None:
    table = pd.read_csv(study_results[0] / "audit" / "lineages.csv")
    above = drawn[1]["heterogeneity"].axes[0]
    inside = [t for t in above.texts if t.get_transform() == above.transData]
    own = table[table.outcome == "radiation"]
    assert len(inside) == len(own)
    bold = sum(t.get_fontweight() == "bold" for t in inside)
    assert bold == ((own.low > 0) | (own.high < 0)).sum() > 0
    assert "one tissue only" in texts(drawn[1]["heterogeneity"])


def test_controls_say_rank_and_role(drawn: Drawn) -> None:
    seen = texts(drawn[1]["controls"])
    assert "recovered; rank 1, by SHAP 12, of 18,519" in seen
    assert {"not run: no such drug in these data", "not run: too few lines", "p .800: quiet"} <= seen
    assert {"gates", "reported only", ".051, .058, .040; lambda_GC 0.98"} <= seen


def test_a_closed_gate_is_in_the_titles(tmp_path: Path) -> None:
    run = AuditRun(tmp_path, make_audit(tmp_path, gate_open=False, planted=False), simulated=False)
    claims, controls = AUDIT_FIGURES["claims"](run), AUDIT_FIGURES["controls"](run)
    assert claims is not None
    assert controls is not None
    assert "nothing is concluded" in title(claims)
    assert title(controls).endswith("the gate is CLOSED")
    assert {t for t in texts(claims) if t.startswith("withheld")} == {"withheld", "withheld\u2020"}


def test_without_an_audit_its_figures_are_left_out(study_results: tuple[Path, Summary]) -> None:
    less = without_audit(study_results[1])
    assert all(FIGURES[name](Run(study_results[0], less)) is None for name in AUDIT_FIGURES)


def test_an_audit_without_anything_to_show_draws_nothing(tmp_path: Path) -> None:
    run = AuditRun(tmp_path, make_audit(tmp_path), simulated=True)
    verdict = pd.read_parquet(tmp_path / "audit.parquet")
    verdict.iloc[:0].to_parquet(tmp_path / "audit.parquet")
    for name in ("named_genes", "controls", "negative_controls", "null_controls", "lineages", "pooled"):
        (tmp_path / f"{name}.csv").write_text("\n")
    pd.read_parquet(tmp_path / "swarm.parquet").iloc[:0].to_parquet(tmp_path / "swarm.parquet")
    assert [name for name, draw in AUDIT_FIGURES.items() if draw(run) is not None] == []


def test_a_run_is_read_and_says_which_data_it_is_about(
    study_results: tuple[Path, Summary], tmp_path: Path
) -> None:
    _, summary = study_results
    for own in (summary, as_real(summary)):
        (tmp_path / "summary.json").write_text(own.model_dump_json(), encoding="utf-8")
        run = Run.read(tmp_path)
        assert run.summary == own
        assert run.simulated == (own is summary)
        assert run.banner.startswith("# SIMULATED" if run.simulated else "**Real data**")
        assert f"{own.data.lines_both:,} with both" in run.banner
        assert ("nothing below is about biology" in run.banner) == run.simulated


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run") as told:
        Run.read(tmp_path)
    assert str(tmp_path) in str(told.value)
    assert "make train" in str(told.value)
