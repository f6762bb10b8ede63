"""What is kept of models: forests as arrays, files that are the same again, kinds that cannot be kept."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from crossres_ml.errors import BundleError
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.fit import ModelSet
from crossres_ml.models.forest import Forest
from crossres_ml.models.linear import _weights
from crossres_ml.models.parts import load_model, reads_profile, save_model
from crossres_ml.models.resistance import FittedModel

RNG = np.random.default_rng(0)
X = np.where(RNG.random((90, 6)) < 0.2, np.nan, RNG.normal(size=(90, 6)).round(1)).astype(np.float32)
Y = np.nan_to_num(X[:, 0]) + RNG.normal(size=90)
FRESH = np.where(RNG.random((40, 6)) < 0.3, np.nan, RNG.normal(size=(40, 6)).round(1)).astype(np.float32)


def fitted(leaf: int = 2, trees: int = 7) -> Pipeline:
    forest = ExtraTreesRegressor(trees, min_samples_leaf=leaf, max_features=0.5, random_state=0)
    return make_pipeline(SimpleImputer(strategy="median"), forest).fit(X, Y)


# --- forests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leaf", "trees"), [(2, 7), (1, 1), (90, 3), (8, 30)])
def test_forest_predicts_the_bits_of_scikit_learn(leaf: int, trees: int) -> None:
    """Values on a threshold (rounded to tenths), missing ones, and trees that are one leaf."""
    pipeline = fitted(leaf, trees)
    for values in (FRESH, X, np.full((2, 6), np.nan, dtype=np.float32)):
        np.testing.assert_array_equal(Forest.of(pipeline).predict(values), pipeline.predict(values))


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("left", 0, 10_000),
        ("right", 0, -2),
        ("left", 0, 0),  # a loop: a walk would never end
        ("right", 1, 0),
        ("feature", 0, 6),
        ("feature", 0, -2),
        ("roots", 0, -1),
        ("roots", 0, 10_000),
    ],
)
def test_nodes_that_point_elsewhere_are_refused(name: str, at: int, value: int) -> None:
    forest = Forest.of(fitted())
    assert forest.left[0] > 0
    assert forest.left[1] > 0
    array = getattr(forest, name).copy()
    array[at] = value
    with pytest.raises(BundleError, match="the nodes of the trees do not fit together"):
        dataclasses.replace(forest, **{name: array})


@pytest.mark.parametrize("name", ["left", "right", "feature", "threshold", "value", "roots"])
def test_arrays_of_other_lengths_are_refused(name: str) -> None:
    forest = Forest.of(fitted())
    cut = {name: getattr(forest, name)[:0] if name == "roots" else getattr(forest, name)[:-1]}
    with pytest.raises(BundleError, match="the nodes of the trees do not fit together"):
        dataclasses.replace(forest, **cut)


# --- files ----------------------------------------------------------------------------------------


def linear() -> Pipeline:
    return make_pipeline(SimpleImputer(), StandardScaler(), Ridge(2.0)).fit(X, Y)


def test_a_linear_model_scores_and_explains_as_its_pipeline() -> None:
    weights = _weights(linear())
    np.testing.assert_allclose(weights.score(FRESH.astype(float)), linear().predict(FRESH), rtol=1e-5)
    shares = weights.explain(FRESH)
    np.testing.assert_allclose(shares.sum(axis=1), weights.score(FRESH) - weights.intercept[0])


@pytest.mark.parametrize("name", ["fill", "scale", "coefficients"])
def test_linear_models_with_missing_numbers_are_refused(name: str) -> None:
    weights = _weights(linear())
    for bad in (getattr(weights, name)[:-1], getattr(weights, name) * np.nan):
        with pytest.raises(BundleError, match="the numbers of the linear model do not fit together"):
            dataclasses.replace(weights, **{name: bad})


@pytest.mark.parametrize("name", ["gp", "extra_trees", "joint_gp", "ridge"])
def test_arrays_have_no_time_and_no_pickle(name: str, fold_models: ModelSet, tmp_path: Path) -> None:
    save_model(fold_models.get("cross", name), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.npz") as file:
        assert {i.date_time for i in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert file.namelist() == sorted(file.namelist())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert all(arrays[n].dtype.kind in "fib" for n in arrays.files)


def test_description_is_plain_json(fold_models: ModelSet, tmp_path: Path) -> None:
    """The whole of a stack, members of members, comes back from text and files."""
    stack = fold_models.get("cross", "stack")
    told = save_model(stack, tmp_path)
    again = load_model(json.loads(json.dumps(told)), tmp_path)
    assert fold_models.profile is not None
    view = fold_models.views["cross"]
    whole = view.X.assign(**fold_models.profile.cross_fitted.loc[view.X.index])
    again.conformal = stack.conformal  # kept by the bundle
    pd.testing.assert_frame_equal(again.predict(whole), stack.predict(whole), check_exact=True)
    assert again.calibration == stack.calibration


def test_only_members_with_weight_are_kept(fold_models: ModelSet, tmp_path: Path) -> None:
    stack: Any = fold_models.get("radiation", "stack")
    told = save_model(stack, tmp_path)
    live = [m.name for m, w in zip(stack.members, stack.weights, strict=True) if w > 0]
    assert 0 < len(live) < len(stack.members)
    assert [m["model"] for m in told["members"]] == live
    assert {p.stem for p in tmp_path.iterdir()} == {Path(m["file"]).stem for m in told["members"]}


def test_which_models_read_the_profile(fold_models: ModelSet) -> None:
    names = ("ridge", "extra_trees", "gp", "joint_gp", "mean_of_two", "product_of_two")
    reads = {n: reads_profile(fold_models.get("cross", n)) for n in names}
    assert [n for n, r in reads.items() if r] == ["gp", "joint_gp", "mean_of_two", "product_of_two"]


class Foreign(FittedModel):
    def score(self, X: pd.DataFrame) -> np.ndarray:
        return np.zeros(len(X))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        return X

    def parameters(self) -> dict[str, Any]:
        return {}


def test_a_model_of_another_kind_cannot_be_kept(tmp_path: Path) -> None:
    view = TrainingView(pd.DataFrame(index=range(90)), Y, (Y > 0).astype(float), np.arange(90), Y < 99, Y)
    model = Foreign()
    model.conclude("foreign", Y, view)
    with pytest.raises(BundleError, match="a model of kind Foreign cannot be kept"):
        save_model(model, tmp_path)


def test_members_files_cannot_be_swapped_unseen(fold_models: ModelSet, tmp_path: Path) -> None:
    """A forest's arrays in the place of a process's are refused, not read as something else."""
    told = save_model(fold_models.get("cross", "gp"), tmp_path)
    save_model(fold_models.get("cross", "extra_trees"), tmp_path)  # overwrites model.npz
    with pytest.raises(KeyError, match="mean"):
        load_model(told, tmp_path)
    out = io.BytesIO()
    np.savez(out, other=np.zeros(3))
    (tmp_path / "model.npz").write_bytes(out.getvalue())
    with pytest.raises(TypeError, match="other"):
        load_model(told | {"kind": "forest"}, tmp_path)
