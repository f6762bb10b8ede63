"""A model knows its training lines by every name, and takes no other line for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_aliases import INFO, MODELS

from crossres_ml.artifacts import MANIFEST, write_manifest
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import BundleError
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.identity.aliases import aliases_of, collect_names
from crossres_ml.models import bundle as bundles
from crossres_ml.models.bundle import load_bundle, save_bundle
from crossres_ml.models.fit import ModelSet
from crossres_ml.models.training_lines import (
    FILE,
    PRIOR_LINES,
    TrainingLines,
    describe_training,
    load_training_lines,
    names_of,
)

OVARY, HL60, A549, TT, T_T = "ACH-000001", "ACH-000002", "ACH-000004", "ACH-001321", "ACH-000561"
HODGKIN, THYROID = "ACH-000815", "ACH-002397"
TABLES = {
    "depmap_models": MODELS.assign(
        rrid=[f"CVCL_000{i}" for i in range(len(MODELS))],
        model_id_alias=["ACH-999999" if i == A549 else None for i in MODELS.model_id],
    ),
    "depmap_sample_info": INFO,
}


def lines(*ids: str) -> TrainingLines:
    index = pd.Index(ids, name="model_id")
    called = MODELS.set_index("model_id").cell_line_name.reindex(index)
    lineages = pd.DataFrame(
        {"lines": [8, 2], "mean": [1.0, -1.0], "resistant": [0.75, 0.0]}, index=["Lung", "Skin"]
    )
    return TrainingLines(called, names_of(index, collect_names(TABLES)), lineages, 0.5, 0.3, None)


@pytest.mark.parametrize(
    ("name", "cause", "how"),
    [
        (OVARY, "training_id", "its DepMap id"),
        ("ach-000001 ", "training_id", "its DepMap id"),
        ("NIH:OVCAR-3", "training_name", "name of the current DepMap model"),
        ("nih ovcar3", "training_name", "name of the current DepMap model without punctuation"),
        ("OVCAR3 old", "training_name", "name in another table of models"),
        ("OVCAR-3", "training_name", "synonym"),
        ("nih.o", "training_name", "synonym"),
        ("NIHOVCAR3_OVARY", "training_name", "its CCLE name"),
        ("nihovcar3.ovary", "training_name", "its CCLE name"),
        ("X_OVARY", "training_name", "its CCLE name"),
        ("SIDM5", "training_name", "its Sanger id"),
        ("CVCL_0004", "training_name", "its RRID"),
    ],
)
def test_every_name_is_known(name: str, cause: str, how: str) -> None:
    found = lines(OVARY, HL60).by_name([name, "nobody", ""])
    assert list(found.index) == [name]
    assert tuple(found.iloc[0]) == (OVARY, cause, how)


@pytest.mark.parametrize("name", ["905949", "COSMIC 905949", "cosmic_id:905949", "COSMIC905949", "905949.0"])
def test_cosmic_ids_are_known_in_their_spellings(name: str) -> None:
    own = lines(OVARY)
    more = pd.DataFrame([("cosmic", "905949", OVARY)], columns=["kind", "name", "model_id"])
    own = TrainingLines(own.lines, pd.concat([own.names, more]), own.lineages, 0.5, 0.3, None)
    assert own.by_name([name]).how.to_list() == ["its COSMIC id"]
    assert own.by_name(["90594", "patient 905949", "1905949"]).empty


def test_a_former_id_is_known_either_way() -> None:
    assert lines(A549).by_name(["ACH-999999"]).iloc[0].to_list() == [
        A549,
        "training_name",
        "its former DepMap id",
    ]
    old = lines("ACH-999999")  # trained under the id that DepMap has given up since
    assert old.by_name(["A549", A549, "ACH-999999"]).model_id.to_list() == ["ACH-999999"] * 3


@pytest.mark.parametrize(
    ("trained", "found", "kept"),
    [
        (TT, ["TT", "TTTHYROID", "TT_THYROID"], ["T.T", "T-T", "TT_OESOPHAGUS"]),
        (T_T, ["T.T", "T-T", "TT_OESOPHAGUS"], ["TT", "TT_THYROID"]),
        (HODGKIN, ["KM-H2", "KMH2_HAEMATOPOIETIC_AND_LYMPHOID_TISSUE"], ["KMH-2", "KMH2_THYROID"]),
        (THYROID, ["KMH-2", "KMH2_THYROID"], ["KM-H2"]),
    ],
)
def test_a_line_of_nearly_the_same_name_is_not_left_out(
    trained: str, found: list[str], kept: list[str]
) -> None:
    own = lines(trained)
    assert own.by_name([*found, *kept]).index.to_list() == found


@pytest.mark.parametrize(("name", "trained"), [("tt", TT), ("kmh2", THYROID), ("KMH2", HODGKIN)])
def test_a_spelling_that_may_mean_a_training_line_counts(name: str, trained: str) -> None:
    found = lines(trained).by_name([name])
    assert found.model_id.to_list() == [trained]
    assert "which may also mean ACH-" in found.how.iloc[0]


def test_the_names_kept_decide_as_all_names_do(cohort: Cohort) -> None:
    assert cohort.names is not None
    for names, ids in ((collect_names(TABLES), [TT, OVARY, A549]), (cohort.names, cohort.lines.index[::2])):
        index = pd.Index(ids, name="model_id")
        called = pd.Series("", index)
        kept = names_of(index, names)
        own = TrainingLines(called, kept, pd.DataFrame(), 0.0, 0.0, None)
        whole = aliases_of(names)
        told = names[names.kind.isin(["current", "official", "short", "synonym"])].name.unique()
        found = own.by_name(told).model_id
        for name in told:
            expected = {i for i in whole.candidates(name)[0] if i in index}
            assert ({found[name]} <= expected) if name in found.index else not expected, name
        assert len(kept) < len(names)


def test_lineage_baseline_is_the_mean_and_the_share_drawn_to_the_prevalence() -> None:
    lineage = pd.Series(["Lung", "skin ", "Bone", None], list("abcd"))
    found = lines(OVARY).baseline(lineage)
    assert found.score.to_list() == [1.0, -1.0, 0.5, 0.5]
    expected = [(6 + PRIOR_LINES * 0.3) / (8 + PRIOR_LINES), PRIOR_LINES * 0.3 / (2 + PRIOR_LINES), 0.3, 0.3]
    np.testing.assert_allclose(found.probability, expected)
    assert found.known.to_list() == [True, True, False, False]


def saved(
    folder: Path, models: ModelSet, data: FoldData, cohort: Cohort, task: str, name: str
) -> TrainingLines:
    model = models.get(task, name)  # type: ignore[arg-type]
    view = models.views[task]  # type: ignore[index]
    own = describe_training(model, models.profile, view, cohort)
    save_bundle(
        folder, model, models.profile, None, data.rules[task], view.X, cohort.features,  # type: ignore[index]
        {"kind": "simulated"}, "card", trained=own,
    )  # fmt: skip
    return own


def test_a_bundle_gives_back_what_it_was_given(
    fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path: Path
) -> None:
    own = saved(tmp_path / "b", fold_models, fold_zero, cohort, "radiation", "ridge")
    found = load_bundle(tmp_path / "b").training_lines
    assert found.lines.to_dict() == own.lines.to_dict()
    assert set(found.lines.index) == set(fold_models.views["radiation"].X.index)
    pd.testing.assert_frame_equal(
        found.names.sort_values(["kind", "name"], ignore_index=True),
        own.names.sort_values(["kind", "name"], ignore_index=True),
    )
    view = fold_models.views["radiation"]
    lineage = cohort.lines.lineage[view.X.index]
    expected = pd.Series(view.y, view.X.index).groupby(lineage).mean()
    np.testing.assert_allclose(found.lineages["mean"][expected.index], expected)
    assert found.lineages.lines.sum() == len(view.X)
    assert found.resistant == pytest.approx(view.label[view.scored].mean())
    assert found.fingerprints is None  # this small model reads a handful of genes
    held_out = fold_zero.X_test.index
    assert found.by_name(held_out).empty
    assert len(found.by_name(cohort.lines.cell_line[view.X.index])) == len(view.X)


def test_lines_that_taught_the_drug_profile_trained_the_model_too(
    fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path: Path
) -> None:
    assert fold_models.profile is not None
    own = saved(tmp_path / "b", fold_models, fold_zero, cohort, "radiation", "gp")
    task = set(fold_models.views["radiation"].X.index)
    assert set(own.lines.index) == task | fold_models.profile.fitted_on
    assert len(own.lines) > len(task)


def test_fingerprints_are_those_of_the_cohort(cohort: Cohort, fold_models: ModelSet, tmp_path: Path) -> None:
    view = fold_models.views["radiation"]

    class Reads:
        """A model that reads every gene."""

        trained_on = view.X.index

        def explain(self, X: pd.DataFrame) -> pd.DataFrame:
            return cohort.blocks["rna"].add_prefix("rna:").iloc[:1]

    own = describe_training(Reads(), None, view, cohort)  # type: ignore[arg-type]
    assert own.fingerprints is not None
    tmp_path.joinpath("b").mkdir()
    told = own.save(tmp_path / "b")
    found = load_training_lines(tmp_path / "b").fingerprints
    assert found is not None
    np.testing.assert_array_equal(found.values, own.fingerprints.values)
    assert (found.lines, found.genes) == (own.fingerprints.lines, own.fingerprints.genes)
    assert told == {"lines": len(view.X), "fingerprints": len(found.lines)}
    rna = cohort.blocks["rna"].loc[list(found.lines[:5])]
    nearest = load_training_lines(tmp_path / "b").by_profile(rna)
    assert nearest.model_id.to_list() == list(found.lines[:5])
    assert (nearest.likeness > 0.99).all()


def test_nothing_of_it_is_read_to_predict(
    fold_models: ModelSet,
    fold_zero: FoldData,
    cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved(tmp_path / "b", fold_models, fold_zero, cohort, "radiation", "ridge")

    def read(folder: Path) -> TrainingLines:
        raise AssertionError(f"{folder} was read")

    monkeypatch.setattr(bundles, "load_training_lines", read)
    bundle = load_bundle(tmp_path / "b")
    assert len(bundle.predict(fold_zero.X_test[list(bundle.features.index)]))
    with pytest.raises(AssertionError, match="was read"):
        _ = bundle.training_lines


def test_a_bundle_without_its_lines_says_so(
    fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path: Path
) -> None:
    view = fold_models.views["radiation"]
    model, rule = fold_models.get("radiation", "ridge"), fold_zero.rules["radiation"]
    save_bundle(tmp_path / "b", model, None, None, rule, view.X, cohort.features, {"kind": "real"}, "card")
    with pytest.raises(
        BundleError, match=r"does not say which lines it was trained on[\s\S]*do: +train again"
    ):
        _ = load_bundle(tmp_path / "b").training_lines


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"lines": 3, "names": {}, "fingerprints": null}'])
def test_damage_is_told(
    content: str, fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path: Path
) -> None:
    saved(tmp_path / "b", fold_models, fold_zero, cohort, "radiation", "ridge")
    (tmp_path / "b" / FILE).write_text(content)
    with pytest.raises(BundleError, match=r"parts are missing or were altered: training_lines.json"):
        load_bundle(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).unlink()
    write_manifest(tmp_path / "b", "bundle")
    with pytest.raises(BundleError, match="knows of its training lines cannot be read"):
        _ = load_bundle(tmp_path / "b").training_lines


def test_without_fingerprints_there_is_one_file_of_text(tmp_path: Path) -> None:
    own = lines(OVARY, TT)
    own.save(tmp_path)
    told = json.loads((tmp_path / FILE).read_text())
    assert sorted(told["lines"]) == [OVARY, TT]
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
