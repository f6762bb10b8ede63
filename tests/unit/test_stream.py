"""Files of profiles scored by chunks: the same bits whatever the form, resumed, and nothing half-written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossres_ml
from crossres_ml.artifacts import sha256
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import ProfileError
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.fit import ModelSet
from crossres_ml.predict import stream
from crossres_ml.predict.score import BASE, BLOCK, OTHERS, Rules
from crossres_ml.predict.stream import Asked, predict_file

DATA = {"kind": "simulated", "lines": 250}
LOOSE = Asked(rules=Rules(floor=0.0))


@pytest.fixture(scope="module")
def models(
    fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("models")
    for task, name in (("radiation", "stack"), ("chemotherapy", "lightgbm"), ("cross", "joint_gp")):
        model = fold_models.get(task, name)
        save_bundle(
            root / task, model, fold_models.profile, None, fold_zero.rules[task], fold_models.views[task].X,
            cohort.features, DATA, "# Card\n", lines=cohort.lines,
        )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def frame(models: Path, fold_zero: FoldData) -> pd.DataFrame:
    """Held-out lines again and again with noise, more than two blocks of them, with gaps."""
    features = crossres_ml.load(models).features.index
    own = fold_zero.X_test[[f for f in features if not f.startswith("lineage:")]]
    rng = np.random.default_rng(3)
    rows = own.iloc[rng.integers(0, len(own), 2 * BLOCK + 37)].astype(np.float32)
    continuous = [c for c in rows if c.startswith("rna:")]
    rows[continuous] = np.clip(rows[continuous] + rng.normal(0, 0.1, rows[continuous].shape), 0, 15).astype(
        np.float32
    )
    rows.index = pd.Index([f"S{i:04d}" for i in range(len(rows))], name="model_id")
    return rows


@pytest.fixture(scope="module")
def expected(models: Path, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    place = tmp_path_factory.mktemp("expected")
    frame.to_parquet(place / "in.parquet")
    predict_file(place / "in.parquet", place / "out.parquet", str(models), LOOSE)
    return pd.read_parquet(place / "out.parquet")


@pytest.mark.parametrize(
    "form", ["csv", "tsv", "reversed", "genes", "small chunks", "frame", "frame of genes"]
)
def test_the_form_changes_no_bit(
    form: str, models: Path, frame: pd.DataFrame, expected: pd.DataFrame, tmp_path: Path
) -> None:
    given, asked, chunk = frame, LOOSE, None
    if form in ("frame", "frame of genes"):
        given = frame.T.rename_axis("gene") if form == "frame of genes" else frame
        found = crossres_ml.load(models).predict(given, rules=LOOSE.rules).reset_index()
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)
        return
    path = tmp_path / ("in.tsv" if form == "tsv" else "in.csv" if form == "csv" else "in.parquet")
    if form == "reversed":
        given = frame[frame.columns[::-1]]
    if form == "genes":
        given, path = frame.T.rename_axis("feature"), tmp_path / "in.csv"
    if form == "small chunks":
        chunk = BLOCK
    given.to_parquet(path) if path.suffix == ".parquet" else given.to_csv(
        path, sep="\t" if form == "tsv" else ","
    )
    predict_file(path, tmp_path / "out.parquet", str(models), asked, chunk=chunk)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), expected, check_exact=True)


def test_one_sample_alone_scores_as_among_others(
    models: Path, frame: pd.DataFrame, expected: pd.DataFrame
) -> None:
    found = crossres_ml.load(models).predict(frame.iloc[:1], normalise="none", rules=LOOSE.rules)
    for task in ("radiation", "cross"):
        assert found[f"{task}_score"].iloc[0] == pytest.approx(expected[f"{task}_score"].iloc[0], abs=1e-12)


def test_an_interrupted_run_leaves_no_output_and_goes_on(
    models: Path, frame: pd.DataFrame, expected: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.to_parquet(tmp_path / "in.parquet")
    scored: list[int] = []
    real = stream.score_profiles

    def stopped(part, *rest):  # type: ignore[no-untyped-def]
        if len(scored) == 1:
            raise KeyboardInterrupt("by hand")
        scored.append(len(part.values))
        return real(part, *rest)

    monkeypatch.setattr(stream, "score_profiles", stopped)
    with pytest.raises(KeyboardInterrupt, match="by hand"):
        predict_file(tmp_path / "in.parquet", tmp_path / "out.csv", str(models), LOOSE, chunk=BLOCK)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == ["in.parquet"]
    done: list[int] = []
    monkeypatch.setattr(stream, "score_profiles", lambda part, *rest: (done.append(1), real(part, *rest))[1])
    predict_file(tmp_path / "in.parquet", tmp_path / "out.csv", str(models), LOOSE, chunk=BLOCK)
    assert len(done) == 2  # the first of three chunks was kept
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, na_values={"radiation_score": [""]})
    np.testing.assert_allclose(found.radiation_score.astype(float), expected.radiation_score, rtol=1e-9)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_manifest_says_what_the_scores_are_made_of(
    models: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    pd.concat([frame.iloc[:5], pd.DataFrame({"NOBODY": 1.0}, frame.index[:5])], axis=1).to_csv(
        tmp_path / "in.csv"
    )
    done = predict_file(tmp_path / "in.csv", tmp_path / "out.csv", str(models), LOOSE)
    told = json.loads(done.manifest.read_text())
    assert told["output"] == sha256(done.output)
    assert told["profiles"] == sha256(tmp_path / "in.csv")
    assert told["models"]["cross"] == sha256(models / "cross" / "manifest.json")
    assert told["profiles_report"]["unmapped"] == {"count": 1, "names": ["NOBODY"]}
    assert (told["samples"], told["trained_on"]) == (5, "simulated")


def test_shares_add_up_to_the_score(models: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.iloc[:20].to_parquet(tmp_path / "in.parquet")
    asked = Asked(rules=Rules(floor=0.0), explain=5)
    done = predict_file(tmp_path / "in.parquet", tmp_path / "out.parquet", str(models), asked)
    scores = pd.read_parquet(done.output).set_index("model_id")
    assert done.explained is not None
    told = pd.read_parquet(done.explained)
    for task in ("radiation", "cross"):
        own = told[told.task == task]
        assert (own.groupby("model_id").size() == 7).all()
        total = own.groupby("model_id").shap.sum()
        np.testing.assert_allclose(total, scores[f"{task}_score"][total.index], atol=1e-9)
        base = own[own.feature == BASE].set_index("model_id").shap
        # the rest is what the model says of a mean profile: nearly the same for all samples, unlike scores
        assert base.std() < 0.35 * scores[f"{task}_score"].std()
        inner = own[~own.feature.isin([BASE, OTHERS])]
        assert (inner.groupby("model_id").shap.apply(lambda s: s.abs().is_monotonic_decreasing)).all()


@pytest.mark.parametrize(("output", "chunk"), [("out.txt", BLOCK), ("out.csv", BLOCK + 1), ("out.csv", 0)])
def test_outputs_and_chunks_are_checked(output: str, chunk: int, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=rf"of the output, chunks of {chunk}"):
        predict_file(tmp_path / "in.csv", tmp_path / output, chunk=chunk)


def test_a_block_is_filled_up_without_joining_samples_to_each_other(
    models: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = crossres_ml.load(models)
    shapes: list[tuple[int, bool]] = []
    for bundle in loaded.bundles:
        real = bundle.model.score

        def watched(X, real=real):  # type: ignore[no-untyped-def]
            shapes.append((len(X), X.index.is_unique))
            return real(X)

        monkeypatch.setattr(bundle.model, "score", watched)
    loaded.predict(frame.iloc[:3], rules=LOOSE.rules)
    assert set(shapes) == {(BLOCK, True), (3, True)}  # trees need no company


def test_samples_without_any_score_end_in_a_manifest(
    models: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.filter(regex="^mutation:").to_parquet(tmp_path / "in.parquet")
    done = predict_file(tmp_path / "in.parquet", tmp_path / "out.csv", str(models), Asked())
    told = json.loads(done.manifest.read_text(encoding="utf-8"))
    assert told["platform"]["distance"] == dict.fromkeys(done.refused)
    assert set(done.refused.values()) == {len(frame)}
    assert told["spread"]["radiation"]["sd"] is None
    assert not list(tmp_path.glob(".out*"))


def test_shares_of_an_earlier_run_do_not_stay(models: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.iloc[:3].to_parquet(tmp_path / "in.parquet")
    first = predict_file(tmp_path / "in.parquet", tmp_path / "o.csv", str(models), replace(LOOSE, explain=2))
    assert first.explained is not None
    assert first.explained.is_file()
    predict_file(tmp_path / "in.parquet", tmp_path / "o.csv", str(models), LOOSE)
    assert not first.explained.exists()
