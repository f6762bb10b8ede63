"""A saved model comes back to the bit, says when it was touched, and runs no foreign code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from crossres_ml.artifacts import MANIFEST, write_manifest
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.config import TrainConfig
from crossres_ml.errors import BundleError
from crossres_ml.evaluation.heldout import fold_data, list_folds, task_matrix
from crossres_ml.models.bundle import LINEAR, RECIPE, TREES, load_bundle, save_bundle
from crossres_ml.models.resistance import ResistanceModel, TrainingView

KINDS = ("ridge", "logistic", "lightgbm")
DATA = {"kind": "simulated", "lines": 250}


class Saved:
    """A fitted model, its bundle folder, and lines that it never saw."""

    def __init__(self, folder: Path, name: str, cohort: Cohort, config: TrainConfig, splits: pd.DataFrame):
        fold = next(f for f in list_folds(cohort, splits) if f.task == "cross")
        data = fold_data(cohort, config, task_matrix(cohort, config), fold)
        self.cohort, self.rule, self.train, self.X = cohort, data.rule, data.view.X, data.X
        self.model = ResistanceModel(name, config.features, config.inner_folds, config.seed).fit(data.view)
        self.columns = self.model.estimator_.columns
        self.folder = folder / name
        self.save(self.folder)

    def save(self, folder: Path) -> Path:
        info = self.cohort.features
        save_bundle(folder, self.model, self.rule, self.train, info, DATA, "# Card\n")
        return folder


@pytest.fixture(scope="module", params=KINDS)
def saved(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cohort: Cohort,
    small_config: TrainConfig,
    splits: pd.DataFrame,
) -> Saved:
    return Saved(tmp_path_factory.mktemp("bundles"), request.param, cohort, small_config, splits)


@pytest.fixture
def copy(saved: Saved, tmp_path: Path) -> Path:
    """A bundle to break."""
    return saved.save(tmp_path / "copy")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Alter a part as an attacker would: with a manifest that agrees."""
    (folder / name).write_bytes(content)
    (folder / MANIFEST).unlink()
    write_manifest(folder, "bundle")


def part(saved: Saved) -> str:
    return TREES if saved.model.kind.name == "lightgbm" else LINEAR


def test_round_trip_to_the_bit(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    expected = saved.model.predict(saved.X)
    again = bundle.predict(saved.X[saved.columns])
    pd.testing.assert_frame_equal(again, expected, check_exact=True)
    assert (bundle.task, bundle.kind) == ("cross", "simulated")


def test_one_line_scores_as_among_others(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    X = saved.X[saved.columns]
    alone = pd.concat([bundle.predict(X.iloc[[i]]) for i in range(len(X))])
    pd.testing.assert_frame_equal(alone, bundle.predict(X), rtol=1e-12)
    empty = pd.DataFrame(np.nan, ["new"], saved.columns)
    assert np.isfinite(bundle.predict(empty)).all(axis=None)


def test_recipe_describes_the_training_lines(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    features, train = bundle.features, saved.train[saved.columns].astype(float)
    assert list(features.index) == saved.columns
    np.testing.assert_allclose(features["median"], train.median(), atol=1e-7)
    np.testing.assert_allclose(features.low, train.min(), atol=1e-7)
    np.testing.assert_allclose(features.high, train.max(), atol=1e-7)
    importance = saved.model.estimator_.explain(saved.train).abs().mean()
    np.testing.assert_allclose(features.share, importance / importance.sum(), atol=1e-7)
    assert features.share.sum() == pytest.approx(1, abs=1e-4)
    assert list(features.block) == [c.split(":", 1)[0] for c in saved.columns]
    assert list(features.unit) == list(saved.cohort.features.unit[saved.columns])
    assert bundle.recipe["data"] == DATA
    rule = bundle.recipe["label_rule"]
    grids = {k: tuple(v) for k, v in rule["grids"].items()}
    assert LabelRule("cross", rule["quantile"], rule["cuts"], grids) == saved.rule
    settings = saved.model.estimator_.settings
    assert {k: bundle.recipe["parameters"][k] for k in settings} == settings


def test_saved_twice_gives_equal_bytes(saved: Saved, copy: Path) -> None:
    assert contents(copy) == contents(saved.folder)


def test_saved_in_other_processes_gives_equal_bytes(tmp_path: Path) -> None:
    """Fitted and saved from the start under two hash seeds, with rows in another order."""
    digests = [in_process(tmp_path / str(seed), seed) for seed in (0, 1)]
    assert digests[0] == digests[1]
    parts = {k: (MANIFEST, "MODEL_CARD.md", RECIPE, TREES if k == "lightgbm" else LINEAR) for k in KINDS}
    files = {f"{kind}/{name}" for kind, names in parts.items() for name in names}
    assert set(digests[0]) == files | {"cohort", "predictions.parquet"}


SCRIPT = """
import sys
from pathlib import Path
import hashlib, json
from crossres_ml.cohort.build import build_cohort
from crossres_ml.config import FeatureConfig, SplitConfig, TrainConfig, load_panels
from crossres_ml.artifacts import write_table
from crossres_ml.evaluation.heldout import fold_data, list_folds, run_fold, task_matrix
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.resistance import ResistanceModel
from crossres_ml.sources.simulated import simulate
from crossres_ml.splits import make_splits

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
panels = load_panels()
tables = simulate(panels, lines=250, seed=1).tables
if seed:  # rows in another order
    tables = {n: t.sample(frac=1, random_state=seed) for n, t in reversed(tables.items())}
    tables = {n: t if t.index.name else t.reset_index(drop=True) for n, t in tables.items()}
cohort = build_cohort(tables, panels, kind="simulated", sources={})
config = TrainConfig(
    seed=3, splits=SplitConfig(folds=2, repeats=1, lineage_min_lines=100), inner_folds=2, named_genes={},
    features=FeatureConfig(blocks=("rna", "driver", "lineage")),
    models=("prevalence", "ridge", "logistic", "lightgbm"),
)
splits = make_splits(cohort, config.splits, quantile=2 / 3, seed=3)
fold = next(f for f in list_folds(cohort, splits) if f.task == "cross")
data = fold_data(cohort, config, task_matrix(cohort, config), fold)
write_table(folder / "predictions.parquet", run_fold(data, config)[0])
for name in config.models[1:]:
    model = ResistanceModel(name, config.features, 2, 3).fit(data.view)
    save_bundle(folder / name, model, data.rule, data.view.X, cohort.features, {"kind": "simulated"}, "card")
files = sorted(p for p in folder.rglob("*") if p.is_file())
out = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
print(json.dumps(out | {"cohort": cohort.digest()}))
"""


def in_process(folder: Path, seed: int) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(folder), str(seed)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONHASHSEED": str(seed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out: dict[str, str] = json.loads(done.stdout)
    return out


@pytest.mark.parametrize("order", ["reversed", "one missing", "one more", "two swapped"])
def test_columns_must_be_the_features_in_order(saved: Saved, order: str) -> None:
    X = saved.X[saved.columns]
    swapped = [saved.columns[1], saved.columns[0], *saved.columns[2:]]
    wrong = {
        "reversed": X[saved.columns[::-1]],
        "one missing": X.iloc[:, 1:],
        "one more": X.assign(more=1.0),
        "two swapped": X[swapped],
    }
    with pytest.raises(BundleError, match="columns are not the model's features in its order"):
        load_bundle(saved.folder).predict(wrong[order])


@pytest.mark.parametrize("which", ["part", RECIPE, "MODEL_CARD.md"])
def test_altered_and_missing_parts_are_named(saved: Saved, copy: Path, which: str) -> None:
    name = part(saved) if which == "part" else which
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(BundleError, match=f"parts are missing or were altered: {name}"):
        load_bundle(copy)
    (copy / name).unlink()
    expected = "is not a model folder" if which == RECIPE else f"missing or were altered: {name}"
    with pytest.raises(BundleError, match=expected):
        load_bundle(copy)


def test_folder_that_is_no_bundle(tmp_path: Path, copy: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleError, match="is not a model folder"):
            load_bundle(folder)
    (copy / MANIFEST).unlink()
    with pytest.raises(BundleError, match="is not a model folder"):
        load_bundle(copy)


def test_other_format_is_refused(copy: Path) -> None:
    recipe = json.loads((copy / RECIPE).read_text())
    reseal(copy, RECIPE, json.dumps(recipe | {"format": 0}).encode())
    with pytest.raises(BundleError, match="format 0, this version reads 1"):
        load_bundle(copy)


def test_part_that_cannot_be_loaded(saved: Saved, copy: Path) -> None:
    reseal(copy, part(saved), b"nonsense")
    with pytest.raises(BundleError, match=f"{part(saved)} cannot be loaded"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
@pytest.mark.parametrize("culprit", [FunctionTransformer(print), Path("secret")], ids=["function", "path"])
def test_foreign_types_are_refused(saved: Saved, copy: Path, culprit: Any) -> None:
    """A file that names another type is refused, whatever the file itself says."""
    reseal(copy, LINEAR, skops.io.dumps(culprit))
    with pytest.raises(BundleError, match=r"(?s)model\.skops cannot be loaded: .*[Uu]ntrusted"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_renamed_type_in_the_schema_is_refused(saved: Saved, copy: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(copy / LINEAR) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                assert b'"StandardScaler"' in content
                content = content.replace(b'"StandardScaler"', b'"system"')
                content = content.replace(b'"sklearn.preprocessing._data"', b'"os"')
            new.writestr(name, content)
    reseal(copy, LINEAR, out.getvalue())
    with pytest.raises(BundleError, match=r"(?s)model\.skops cannot be loaded: .*os\.system"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_canonical_file_is_an_ordinary_skops_file(saved: Saved) -> None:
    raw = (saved.folder / LINEAR).read_bytes()
    assert skops.io.get_untrusted_types(data=raw) in ([], ["numpy.dtype"])
    loaded = skops.io.loads(raw, trusted=["numpy.dtype"])
    np.testing.assert_array_equal(loaded[-1].coef_, saved.model.estimator_.pipeline_[-1].coef_)
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        assert {i.date_time for i in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_recipe_without_a_part_is_refused(copy: Path) -> None:
    recipe = json.loads((copy / RECIPE).read_text())
    del recipe["part"]
    reseal(copy, RECIPE, json.dumps(recipe).encode())
    with pytest.raises(BundleError, match="part"):
        load_bundle(copy)


def baseline(saved: Saved, config: TrainConfig) -> ResistanceModel:
    y = np.linspace(0, 1, len(saved.train))
    view = TrainingView(saved.train, y, (y > 0.6).astype(float), saved.train.index.to_numpy(), y >= 0)
    return ResistanceModel("lineage_mean", config.features, 2, 1).fit(view)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_baseline_cannot_be_kept(saved: Saved, small_config: TrainConfig, tmp_path: Path) -> None:
    model = baseline(saved, small_config)
    with pytest.raises(BundleError, match="a model of kind 'lineage_mean' cannot be kept"):
        save_bundle(tmp_path / "b", model, saved.rule, saved.train, saved.cohort.features, DATA, "card")


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_refusal_leaves_no_folder(saved: Saved, small_config: TrainConfig, tmp_path: Path) -> None:
    model = baseline(saved, small_config)
    with pytest.raises(BundleError, match="cannot be kept"):
        save_bundle(tmp_path / "b", model, saved.rule, saved.train, saved.cohort.features, DATA, "card")
    assert not (tmp_path / "b").exists()
