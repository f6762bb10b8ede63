"""Single samples out of many: refused when unknown, given back with the numbers of the tables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import ProfileError
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.fit import ModelSet
from crossres_ml.predict import stream
from crossres_ml.predict.chosen import check_chosen, file_names
from crossres_ml.predict.score import BLOCK, Rules
from crossres_ml.predict.stream import Asked, predict_file

ASKED = Asked(rules=Rules(floor=0.0), plot=("S0090", "S0002", "S0090"))


@pytest.fixture(scope="module")
def models(
    fold_models: ModelSet, fold_zero: FoldData, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("models")
    for task in ("radiation", "cross"):
        save_bundle(
            root / task, fold_models.get(task, "ridge"), fold_models.profile, None, fold_zero.rules[task],
            fold_models.views[task].X, cohort.features, {"kind": "simulated", "lines": 250}, "# Card\n",
        )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def profiles(fold_zero: FoldData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chunks of held-out lines, again and again, with the text of their lineage."""
    own = fold_zero.X_test[[c for c in fold_zero.X_test if not c.startswith("lineage:")]].astype(np.float32)
    table = own.iloc[np.arange(BLOCK + 60) % len(own)].copy()
    table.index = pd.Index([f"S{i}" if i == 300 else f"S{i:04d}" for i in range(len(table))], name="model_id")
    table["lineage"] = "Lung"
    path = tmp_path_factory.mktemp("profiles") / "in.parquet"
    table.to_parquet(path)
    return path


def test_the_shares_are_those_of_the_explained_table(models: Path, profiles: Path, tmp_path: Path) -> None:
    done = predict_file(profiles, tmp_path / "a.parquet", str(models), replace(ASKED, explain=4), chunk=BLOCK)
    assert done.chosen is not None
    assert done.explained is not None
    assert done.chosen.samples == ("S0090", "S0002")
    table = pd.read_parquet(done.explained)
    own = table[table.model_id.isin(["S0090", "S0002"])]
    assert len(own) == 2 * 2 * 6
    pd.testing.assert_frame_equal(done.chosen.shares, own.reset_index(drop=True), check_exact=True)
    scores = pd.read_parquet(done.output).set_index("model_id").loc[["S0002", "S0090"]]
    pd.testing.assert_frame_equal(done.chosen.scores, scores, check_exact=True)


def test_without_explain_only_the_chosen_are_explained(models: Path, profiles: Path, tmp_path: Path) -> None:
    done = predict_file(profiles, tmp_path / "a.parquet", str(models), ASKED, chunk=BLOCK)
    whole = predict_file(
        profiles, tmp_path / "b.parquet", str(models), replace(ASKED, explain=10), chunk=BLOCK
    )
    assert done.explained is None
    assert done.chosen is not None
    assert whole.chosen is not None
    pd.testing.assert_frame_equal(done.chosen.shares, whole.chosen.shares, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(
        pd.read_parquet(done.output), pd.read_parquet(whole.output), check_exact=True
    )
    assert not (tmp_path / "a.parquet.explained.parquet").exists()


def test_an_unknown_sample_is_refused_before_anything_is_scored(
    models: Path, profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "score_profiles", lambda *rest: pytest.fail("scored"))
    wanted = replace(ASKED, plot=("S0090", "s0003", "nobody"))
    message = r"no such sample: 's0003' \(close: S0003, .*\), 'nobody'\n  where: .*in\.parquet\n  do: .*S0000"
    with pytest.raises(ProfileError, match=message):
        predict_file(profiles, tmp_path / "out.csv", str(models), wanted)
    assert list(tmp_path.iterdir()) == []


def test_known_samples_are_fine() -> None:
    check_chosen((), pd.Index(["A"]), "the table")
    check_chosen(("B", "A"), pd.Index(["A", "B", "C"]), "the table")


@pytest.mark.parametrize(
    ("samples", "plain"),
    [
        (("ACH-000001", "TCGA-06-0125-01A", "x.y_z"), 3),
        (("S1", "s1", "S2"), 1),
        (("a/b", "a b", "a_b", "a:b", "a\\b"), 1),
        (("..", ".", "", "-", "é", "e\u0301"), 0),
        (("x" * 300, "x" * 301, "x" * 60), 1),
        (("a/b", "a_b-c14cddc0"), 0),  # an id that looks like a changed one
    ],
)
def test_names_of_files_are_safe_and_differ(samples: tuple[str, ...], plain: int) -> None:
    names = file_names(samples)
    assert list(names) == list(samples)
    assert len({n.casefold() for n in names.values()}) == len(samples)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,70}", n) for n in names.values())
    assert sum(names[s] == s for s in samples) == plain


@given(st.lists(st.text(max_size=8), unique=True, max_size=6))
def test_two_samples_never_share_a_file(samples: list[str]) -> None:
    names = file_names(samples)
    assert len({n.casefold() for n in names.values()}) == len(samples)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", n) for n in names.values())
