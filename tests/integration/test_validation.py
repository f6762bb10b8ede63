"""A saved model on a study of its own kind: who is scored, who is left out, what is written and refused."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import crossres_ml
from crossres_ml import cli
from crossres_ml.artifacts import is_intact
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import FeatureConfig, TrainConfig
from crossres_ml.errors import BundleError, CrossresError, ProfileError, ValidationError
from crossres_ml.evaluation.folds import Fold, fold_data, task_matrix
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.training_lines import describe_training
from crossres_ml.validation import Study, Validated, validate

NEW, SMUGGLED = 90, 4
FILES = ["excluded.csv", "figures", "manifest.json", "metrics.csv", "metrics.json", "predictions.csv",
         "report.html"]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Place:
    """A model, its study, and who is in it."""

    model: Path
    study: Study
    new: pd.Index
    trained: pd.Index
    profiles: pd.DataFrame
    responses: pd.DataFrame
    cohort: Cohort

    def variant(
        self,
        folder: Path,
        profiles: pd.DataFrame | None = None,
        responses: pd.DataFrame | None = None,
        **options: str,
    ) -> Study:
        """The same study with another table or option."""
        paths = {}
        for name, table in (("profiles", profiles), ("responses", responses)):
            if table is not None:
                paths[name] = folder / f"{name}.csv"
                table.to_csv(paths[name])
        return dataclasses.replace(self.study, **paths, **options)


def own_kind(tasks: tuple[str, ...], cohort: Cohort, config: TrainConfig, root: Path) -> pd.Index:
    """Train on all but `NEW` irradiated lines of the cohort, of other patients than the training lines."""
    irradiated = cohort.lines[cohort.responses[["radiation", "chemotherapy"]].notna().all(axis=1)]
    patients = irradiated.group.drop_duplicates().sample(NEW, random_state=1)
    new = irradiated.index[irradiated.group.isin(patients)]
    train = cohort.lines.index[~cohort.lines.group.isin(patients)]
    fold = Fold("cell_line_out", 0, "0", "full", train, new)
    data = fold_data(cohort, config, task_matrix(cohort, config), fold)
    models = model_set(data, config, config.models)
    for task in tasks:
        model, view = models.get(task, "ridge"), models.views[task]  # type: ignore[arg-type,index]
        lines = describe_training(model, None, view, cohort)
        save_bundle(
            root / task, model, models.profile, None, data.rules[task], view.X, cohort.features,  # type: ignore[index]
            {"kind": "simulated", "lines": len(view.X)}, "card", lines=cohort.lines, trained=lines,
        )  # fmt: skip
    return new


@pytest.fixture(scope="module")
def place(cohort: Cohort, small_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("validation")
    wide = FeatureConfig(blocks=("rna", "mutation", "driver", "lineage"), min_coverage=0.3)
    config = small_config.model_copy(update={"features": wide, "models": ("ridge",)})
    new = own_kind(("radiation", "cross"), cohort, config, root / "models")
    loaded = crossres_ml.load(root / "models" / "radiation").bundles[0]
    trained = pd.Index(sorted(loaded.training_lines.lines.index))
    X = cohort.matrix(["rna", "mutation", "driver"])
    X = X[[f for f in loaded.features.index if f in X]].astype(float)
    prints = loaded.training_lines.fingerprints
    assert prints is not None
    hidden = pd.Index(prints.lines)[:SMUGGLED]
    rna = [c for c in X if c.startswith("rna:")]
    smuggled = X.loc[hidden]
    smuggled[rna] = np.clip(
        smuggled[rna] + np.random.default_rng(1).normal(0, 0.1, (SMUGGLED, len(rna))), 0, None
    )
    known = [str(trained[-1]), str(cohort.lines.cell_line[trained[-2]]).lower()]
    parts = [
        X.loc[new],
        smuggled.set_axis([f"tumour {i}" for i in range(SMUGGLED)]),
        X.loc[trained[-2:][::-1]].set_axis(known),
    ]
    profiles = pd.concat(parts).rename_axis("model_id")
    lineage = [*cohort.lines.lineage[new], *cohort.lines.lineage[hidden], *cohort.lines.lineage[trained[-2:]]]
    profiles = pd.concat([pd.Series(lineage, profiles.index, name="lineage"), profiles], axis=1)
    responses = pd.DataFrame(
        {"auc": cohort.responses.radiation.reindex(profiles.index).fillna(3.0), "patient": "x"},
        index=profiles.index,
    )
    responses["patient"] = [*cohort.lines.group[new], *(f"Q{i}" for i in range(SMUGGLED + 2))]
    profiles.to_csv(root / "profiles.csv")
    responses.to_csv(root / "responses.csv")
    study = Study(root / "profiles.csv", root / "responses.csv")
    return Place(root / "models", study, new, trained, profiles, responses, cohort)


@pytest.fixture(scope="module")
def done(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Validated:
    output = tmp_path_factory.mktemp("done") / "out"
    return validate(place.study, "radiation", str(place.model), output=output, draws=200)


def test_training_lines_are_left_out_under_id_name_and_an_invented_name(
    done: Validated, place: Place
) -> None:
    excluded = done.excluded.set_index("id")
    assert excluded.cause.value_counts().to_dict() == {
        "training_profile": SMUGGLED, "training_id": 1, "training_name": 1,
    }  # fmt: skip
    prints = crossres_ml.load(place.model / "radiation").bundles[0].training_lines.fingerprints
    assert prints is not None
    for i in range(SMUGGLED):
        row = excluded.loc[f"tumour {i}"]
        assert row.training_line == prints.lines[i]
        assert row.training_name == place.cohort.lines.cell_line[row.training_line]
        assert row.likeness > 0.9
    assert excluded.training_line[excluded.cause == "training_id"].to_list() == [place.trained[-1]]
    assert excluded.training_line[excluded.cause == "training_name"].to_list() == [place.trained[-2]]
    scored = pd.read_csv(done.folder / "predictions.csv", index_col="id")
    assert set(scored.index) == set(place.new)
    assert scored.likeness.max() < 0.7
    assert done.about["excluded"]["training_profile"] == SMUGGLED


def test_scores_are_those_of_predict_and_the_cut_is_the_upper_third(done: Validated, place: Place) -> None:
    scored = pd.read_csv(done.folder / "predictions.csv", index_col="id", keep_default_na=False)
    expected = crossres_ml.load(place.model / "radiation").predict(place.profiles.loc[scored.index])
    np.testing.assert_allclose(scored.probability, expected.radiation_probability, rtol=1e-9)
    assert scored.set.to_list() == expected.radiation_set.to_list()
    response = place.responses.auc[scored.index]
    cut = np.quantile(response, 2 / 3)
    assert done.about["cut"] == pytest.approx(cut)
    np.testing.assert_array_equal(scored.label, (response >= cut).astype(int))
    rows = done.metrics.set_index(["of", "metric"])
    found = rows.loc[("model", "auroc")]
    assert found.value == pytest.approx(roc_auc_score(scored.label, scored.score))
    assert 0.5 < found.low < found.value < found.high < 1
    assert rows.value["model minus lineage baseline", "auroc"] == pytest.approx(
        found.value - roc_auc_score(scored.label, scored.baseline)
    )
    means = crossres_ml.load(place.model / "radiation").bundles[0].training_lines.lineages["mean"]
    known = scored[scored.lineage.isin(means.index)]
    np.testing.assert_allclose(known.baseline, means[known.lineage])


def test_the_folder_is_whole_sealed_and_left_alone(done: Validated, place: Place) -> None:
    assert sorted(p.name for p in done.folder.iterdir()) == FILES
    assert sorted(p.name for p in (done.folder / "figures").iterdir()) == [
        "calibration.png", "roc.png", "scatter.png",
    ]  # fmt: skip
    assert not is_intact(done.folder)
    assert [p.name for p in done.folder.parent.iterdir()] == [done.folder.name]
    again = validate(place.study, "radiation", str(place.model), output=done.folder, draws=200)
    assert done.fresh
    assert not again.fresh
    told = json.loads((done.folder / "metrics.json").read_text())
    rows = done.metrics.set_index(["of", "metric"]).value
    assert told["metrics"]["model"]["brier"]["value"] == pytest.approx(rows["model", "brier"])
    assert str(place.model.parent) not in json.dumps(told)


def test_the_page_says_what_must_be_said(done: Validated) -> None:
    page = (done.folder / "report.html").read_text()
    for text in ("SIMULATED", "Research use only", "trained on", "upper\n33 % of the samples", "tumour 3"):
        assert text in page
    assert page.count("data:image/png;base64,") == 3
    assert not re.findall(r"<script|src=\"http|href=\"http", page)


def test_the_same_whatever_the_order(done: Validated, place: Place, tmp_path: Path) -> None:
    turned = place.variant(
        tmp_path, place.profiles.iloc[::-1], place.responses.sample(frac=1, random_state=3)
    )
    found = validate(turned, "radiation", str(place.model), output=tmp_path / "out", draws=200)
    key = ["of", "metric"]
    one, other = (t.metrics.set_index(key).value.sort_index() for t in (done, found))
    pd.testing.assert_series_equal(one, other, rtol=1e-9)


def test_higher_sensitive_is_the_same_study_turned_round(
    done: Validated, place: Place, tmp_path: Path
) -> None:
    turned = place.variant(
        tmp_path, None, place.responses.assign(auc=-place.responses.auc), higher="sensitive"
    )
    found = validate(turned, "radiation", str(place.model), output=tmp_path / "out", draws=200)
    pd.testing.assert_frame_equal(found.metrics, done.metrics)
    assert found.about["cut"] == pytest.approx(-done.about["cut"])
    classes = (place.responses.auc < done.about["cut"]).astype(int)
    turned = place.variant(tmp_path, None, place.responses.assign(auc=classes), higher="sensitive")
    found = validate(turned, "radiation", str(place.model), output=tmp_path / "out", draws=200)
    one, other = (t.metrics.set_index(["of", "metric"]) for t in (done, found))
    shared = other.index[other.index.isin(one.index)]
    pd.testing.assert_frame_equal(other.loc[shared], one.loc[shared])
    assert not (found.folder / "figures" / "scatter.png").exists()
    assert "spearman" not in found.about["metrics"]["model"]
    assert "as given (1 = sensitive)" in (found.folder / "report.html").read_text()


def test_who_lacks_something_is_listed(place: Place, tmp_path: Path) -> None:
    new = [str(i) for i in place.new]
    profiles = place.profiles.loc[new].copy()
    profiles.loc[new[0], profiles.columns[3:]] = np.nan  # too little measured
    responses = place.responses.loc[new].copy()
    responses.loc[new[1], "auc"] = np.nan
    responses = responses.drop(index=new[2])
    responses.loc["elsewhere"] = [3.0, "P"]
    study = place.variant(tmp_path, profiles.drop(columns="lineage"), responses)
    found = validate(study, "radiation", str(place.model), output=tmp_path / "out", draws=50)
    rows = found.excluded.set_index("id")
    assert rows.cause.to_dict() == {
        new[0]: "not_scored", new[1]: "no_response", new[2]: "no_response", "elsewhere": "no_profile",
    }  # fmt: skip
    assert "coverage" in rows.reason[new[0]]
    assert rows.training_line.isna().all()
    assert not found.about["lineage_baseline"]
    assert "lineage baseline" not in found.about["metrics"]
    assert "lineage baseline cannot be given" in (found.folder / "report.html").read_text()


def test_names_beside_the_id_are_looked_at_too(place: Place, tmp_path: Path) -> None:
    new = [str(i) for i in place.new]
    name = place.cohort.lines.cell_line[place.trained[0]]
    responses = place.responses.loc[new].assign(cell_line=[name, *new[1:]])
    found = validate(
        place.variant(tmp_path, None, responses, column="auc"), "radiation", str(place.model),
        output=tmp_path / "out", draws=50,
    )  # fmt: skip
    row = found.excluded.set_index("id").loc[new[0]]
    assert (row.cause, row.training_line) == ("training_name", place.trained[0])
    assert row.reason.startswith("cell_line: ")


def test_samples_without_expression_are_told_not_to_be_compared(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = place.profiles.loc[place.new].copy()
    rna = [c for c in few if c.startswith("rna:")]
    prints = crossres_ml.load(place.model / "radiation").bundles[0].training_lines.fingerprints
    assert prints is not None
    some = [f"rna:{g}" for g in prints.genes[:60]]
    few = few.drop(columns=[c for c in rna if c in {f"rna:{g}" for g in prints.genes} and c not in some])
    found = validate(
        place.variant(tmp_path, few), "radiation", str(place.model), output=tmp_path / "out", draws=50
    )
    assert found.about["not_compared_by_expression"] == len(place.new)
    assert "too few of the model's genes" in caplog.text
    assert (
        f"{len(place.new)} of the scored samples could not be compared"
        in (found.folder / "report.html").read_text()
    )


def test_too_few_samples_and_one_class(place: Place, tmp_path: Path) -> None:
    output = tmp_path / "out"
    some = place.responses.iloc[[*range(9), *range(len(place.new), len(place.responses))]]
    said = r"9 samples remain, and at least 10 are needed[\s\S]*4 trained the model: expression"
    with pytest.raises(ValidationError, match=said):
        validate(place.variant(tmp_path, None, some), "radiation", str(place.model), output=output)
    alike = place.responses.assign(auc=1)
    with pytest.raises(ValidationError, match=r"all \d+ samples that remain are resistant"):
        validate(place.variant(tmp_path, None, alike), "radiation", str(place.model), output=output)
    nobody = place.responses.set_axis([f"N{i}" for i in range(len(place.responses))])
    with pytest.raises(ValidationError, match=r"none of the \d+ samples has one of the \d+ responses"):
        validate(place.variant(tmp_path, None, nobody), "radiation", str(place.model), output=output)
    known = place.responses.iloc[-2:]
    with pytest.raises(ValidationError, match=r"0 samples remain"):
        validate(place.variant(tmp_path, None, known), "radiation", str(place.model), output=output)
    assert not output.exists()


def test_wrong_options(place: Place, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(ValidationError, match="task 'surgery', higher 'resistant'"):
        validate(place.study, "surgery", output=output)
    with pytest.raises(ValidationError, match="higher 'better'"):
        validate(dataclasses.replace(place.study, higher="better"), "radiation", output=output)
    with pytest.raises(BundleError, match=r"no model of chemotherapy there, but of radiation, cross"):
        validate(place.study, "chemotherapy", str(place.model), output=output)
    doubled = pd.concat([place.profiles, place.profiles.iloc[:1]])
    with pytest.raises(ProfileError, match="ids given more than once"):
        validate(place.variant(tmp_path, doubled), "radiation", str(place.model), output=output)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(CrossresError, match="is not a folder of results"):
        validate(place.study, "radiation", str(place.model), output=tmp_path / "mine")


def test_nothing_is_published_when_the_page_fails(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: object) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr("crossres_ml.report.validation_page.draw_validation", fails)
    with pytest.raises(RuntimeError, match="no ink"):
        validate(place.study, "radiation", str(place.model), output=tmp_path / "out", draws=50)
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]


def crossres(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["crossres", "--quiet", "validate", *map(str, words)])
    cli.main()


def test_the_command(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--profiles", place.study.profiles, "--responses", place.study.responses, "--task", "cross",
             "--model", place.model, "--output", tmp_path / "out", "--column", "auc"]  # fmt: skip
    with pytest.raises(SystemExit, match=r"^0$"):
        crossres(monkeypatch, *words)
    out = capsys.readouterr().out
    assert out.startswith("SIMULATED")
    assert out.rstrip().endswith("nothing here is about biology")
    for text in ("AUROC", "lineage baseline", "prediction sets at 90 %", "(trained the model: expression)",
                 "research use only"):  # fmt: skip
        assert text in out
    both = crossres_ml.load(place.model / "cross").bundles[0].training_lines.resistant
    assert both < 0.25
    assert f"resistant: the upper {100 * both:.0f} %" in out
    with pytest.raises(SystemExit, match=r"^2$"):
        crossres(monkeypatch, *words, "--keep-training")
    assert "No such option" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"^2$"):
        crossres(monkeypatch, *words[:-1], "dose")
    assert "0 columns are called 'dose'" in capsys.readouterr().err
