"""A saved model comes back to the bit, says when it was touched, and runs no foreign code."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.artifacts import MANIFEST, write_manifest
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.cohort.scores import GeneSetScorer
from crossres_ml.config import TrainConfig
from crossres_ml.errors import BundleError
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.models.bundle import RECIPE, load_bundle, save_bundle
from crossres_ml.models.combine import Combination
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.fit import COMBINED, ModelSet
from crossres_ml.models.parts import unused
from crossres_ml.models.profile import DrugProfile
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.models.resistance import FittedModel, ResistanceModel

KEPT = ("mutation_burden", *(n for n, e in ESTIMATORS.items() if not e.baseline), *COMBINED)
REFUSED = tuple(n for n in ESTIMATORS if n not in KEPT)
DATA = {"kind": "simulated", "lines": 250}
TREES, ARRAYS, PROFILE = "model.txt", "model.npz", "profile.npz"


class Saved:
    """A fitted model of "both", its bundle folder, and lines that it never saw."""

    def __init__(self, folder: Path, model: FittedModel, models: ModelSet, data: FoldData, cohort: Cohort):
        assert models.profile is not None
        self.cohort, self.rule, self.model = cohort, data.rules["cross"], model
        self.profile: DrugProfile = models.profile
        self.train, self.X = models.views["cross"].X, data.X_test
        self.whole = self.X.join(self.profile.predict(self.X))
        self.folder = folder
        self.save(folder)
        self.columns = list(load_bundle(folder).features.index)

    def save(self, folder: Path) -> Path:
        info = self.cohort.features
        save_bundle(folder, self.model, self.profile, None, self.rule, self.train, info, DATA, "# Card\n")
        return folder

    @property
    def parts(self) -> list[str]:
        told = (MANIFEST, RECIPE, "MODEL_CARD.md", "domain.npz", "reference.npz")
        return sorted(p.name for p in self.folder.iterdir() if p.name not in told)


@pytest.fixture(scope="module", params=KEPT)
def saved(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cohort: Cohort,
    fold_zero: FoldData,
    fold_models: ModelSet,
) -> Saved:
    model = fold_models.get("cross", request.param)
    return Saved(tmp_path_factory.mktemp("bundles") / request.param, model, fold_models, fold_zero, cohort)


@pytest.fixture
def copy(saved: Saved, tmp_path: Path) -> Path:
    """A bundle to break."""
    return Path(shutil.copytree(saved.folder, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Alter a part as an attacker would: with a manifest that agrees."""
    (folder / name).write_bytes(content)
    (folder / MANIFEST).unlink()
    write_manifest(folder, "bundle")


def test_round_trip_to_the_bit(saved: Saved) -> None:
    """Score, probability, expected response and its spread, of every kind of model."""
    bundle = load_bundle(saved.folder)
    expected = saved.model.predict(saved.whole)
    again = bundle.predict(saved.X[saved.columns])
    pd.testing.assert_frame_equal(again, expected, check_exact=True)
    assert again.spread.notna().all() == (saved.model.name == "gp")
    assert (bundle.task, bundle.kind) == ("cross", "simulated")
    assert bundle.model.name == saved.model.name


def test_parts_are_those_of_the_kind(saved: Saved) -> None:
    """What holds the profile of other lines is kept where the model reads it, and nowhere else."""
    name = saved.model.name
    expected = {"gp": [ARRAYS, PROFILE], "joint_gp": [ARRAYS, PROFILE], "lightgbm": [TREES],
                "lightgbm_class": [TREES], "extra_trees": [ARRAYS]}.get(name, [ARRAYS])  # fmt: skip
    if isinstance(saved.model, Combination):
        live = [i for i, w in enumerate(saved.model.weights) if w > 0]
        assert [p.split(".")[0] for p in saved.parts if p != PROFILE] == [f"model-{i}" for i in live]
        reads = {saved.model.members[i].name for i in live} & {"gp", "joint_gp"}
        assert (PROFILE in saved.parts) == bool(reads)
    else:
        assert saved.parts == expected


def test_one_line_scores_as_among_others(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    X = saved.X[saved.columns].iloc[::8]
    alone = pd.concat([bundle.predict(X.iloc[[i]]) for i in range(len(X))])
    pd.testing.assert_frame_equal(alone, bundle.predict(X), rtol=1e-9)
    assert bundle.by_itself == saved.model.name.startswith("lightgbm")
    if bundle.by_itself:  # scored in tables of any height
        pd.testing.assert_frame_equal(alone, bundle.predict(X), check_exact=True)
    empty = pd.DataFrame(np.nan, ["new"], saved.columns)
    out = bundle.predict(empty)
    assert np.isfinite(out.drop(columns="spread")).all(axis=None)
    if saved.model.name == "gp":  # nothing is known of it
        assert out.spread.iloc[0] > bundle.predict(X).spread.median()


def test_recipe_describes_the_training_lines(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    features, train = bundle.features, saved.train[saved.columns].astype(float)
    assert list(features.index) == saved.columns
    np.testing.assert_allclose(features["median"], train.median(), atol=1e-7)
    np.testing.assert_allclose(features.low, train.min(), atol=1e-7)
    np.testing.assert_allclose(features.high, train.max(), atol=1e-7)
    importance = saved.model.explain(saved.train).abs().sum()
    idle = unused(saved.model)
    assert (importance[list(idle)] == 0).all()
    assert bool(idle) == (saved.model.name in ("lightgbm", "lightgbm_class", "extra_trees", "elastic_net"))
    assert set(importance.index) - idle == set(saved.columns)  # no component of a profile among them
    expected = importance[saved.columns] / importance.sum()
    np.testing.assert_allclose(features.share, expected, atol=1e-7)
    assert features.share.sum() == pytest.approx(1, abs=1e-4)
    assert list(features.block) == [c.split(":", 1)[0] for c in saved.columns]
    assert list(features.unit) == list(saved.cohort.features.unit[saved.columns])
    assert bundle.recipe["data"] == DATA
    rule = bundle.recipe["label_rule"]
    grids = {k: tuple(v) for k, v in rule["grids"].items()}
    assert LabelRule("cross", rule["quantile"], rule["cuts"], grids) == saved.rule
    assert bundle.recipe["parameters"] == saved.model.parameters()
    assert bundle.recipe["inner_spearman"] == saved.model.inner_spearman
    assert bundle.recipe["lineages"] == sorted(saved.cohort.blocks["lineage"].columns)


def test_saved_twice_gives_equal_bytes(saved: Saved, tmp_path: Path) -> None:
    assert contents(saved.save(tmp_path / "again")) == contents(saved.folder)


def test_saved_in_other_processes_gives_equal_bytes(tmp_path: Path) -> None:
    """Fitted and saved from the start under two hash seeds, with rows in another order."""
    digests = [in_process(tmp_path / str(seed), seed) for seed in (0, 1)]
    assert digests[0] == digests[1]
    own = {"ridge": [ARRAYS], "lightgbm": [TREES], "extra_trees": [ARRAYS], "gp": [ARRAYS, PROFILE],
           "joint_gp": [ARRAYS, PROFILE]}  # fmt: skip
    files = {f"{k}/{n}" for k, names in own.items() for n in (*names, MANIFEST, "MODEL_CARD.md", RECIPE)}
    assert files | {"cohort", "predictions.parquet", f"stack/{RECIPE}"} <= set(digests[0])


SCRIPT = """
import sys
from pathlib import Path
import hashlib, json
import pandas as pd
from threadpoolctl import threadpool_limits
from crossres_ml.cohort.build import build_cohort
from crossres_ml.config import FeatureConfig, SplitConfig, TrainConfig, load_panels
from crossres_ml.artifacts import write_table
from crossres_ml.evaluation.folds import fold_data, list_folds, task_matrix
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.training_lines import describe_training
from crossres_ml.sources.simulated import simulate
from crossres_ml.splits import make_splits

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
panels = load_panels()
tables = simulate(panels, lines=160, seed=1).tables
if seed:  # rows in another order
    tables = {n: t.sample(frac=1, random_state=seed) for n, t in reversed(tables.items())}
    tables = {n: t if t.index.name else t.reset_index(drop=True) for n, t in tables.items()}
cohort = build_cohort(tables, panels, kind="simulated", sources={})
config = TrainConfig(
    seed=3, splits=SplitConfig(folds=2, repeats=1, lineage_min_lines=100), inner_folds=2, named_genes={},
    features=FeatureConfig(blocks=("rppa", "driver", "lineage")), tuning="quick",
    models=("prevalence", "ridge", "lightgbm", "extra_trees", "gp", "stack", "joint_gp"),
    side_models=("prevalence", "ridge"),
)
splits = make_splits(cohort, config.splits, quantile=2 / 3)
data = fold_data(cohort, config, task_matrix(cohort, config), list_folds(cohort, splits, config)[0])
predictions = []
with threadpool_limits(1):
    models = model_set(data, config, config.models)
    X = data.X_test.join(models.profile.predict(data.X_test))
    for name in config.models[1:]:
        model = models.get("cross", name)
        predictions.append(model.predict_held_out(X).assign(model=name))
        view = models.views["cross"]
        lines = describe_training(model, models.profile, view, cohort)
        save_bundle(folder / name, model, models.profile, None, data.rules["cross"], view.X, cohort.features,
                    {"kind": "simulated"}, "card", trained=lines)
write_table(folder / "predictions.parquet", pd.concat(predictions))
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
    swapped = [*saved.columns[1:2], saved.columns[0], *saved.columns[2:]]
    wrong = {
        "reversed": X[saved.columns[::-1]],
        "one missing": X.iloc[:, 1:],
        "one more": X.assign(more=1.0),
        "two swapped": X[swapped],
    }
    if list(wrong[order].columns) == saved.columns:
        assert len(saved.columns) == 1  # a single feature has one order
        return
    with pytest.raises(BundleError, match="columns are not the model's features in its order"):
        load_bundle(saved.folder).predict(wrong[order])


@pytest.mark.parametrize("which", ["first part", "last part", RECIPE, "MODEL_CARD.md"])
def test_altered_and_missing_parts_are_named(saved: Saved, copy: Path, which: str) -> None:
    name = {"first part": saved.parts[0], "last part": saved.parts[-1]}.get(which, which)
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(BundleError, match=f"parts are missing or were altered: {name}"):
        load_bundle(copy)
    (copy / name).unlink()
    expected = "is not a model folder" if which == RECIPE else f"missing or were altered: {name}"
    with pytest.raises(BundleError, match=expected):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_folder_that_is_no_bundle(tmp_path: Path, copy: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleError, match="is not a model folder"):
            load_bundle(folder)
    (copy / MANIFEST).unlink()
    with pytest.raises(BundleError, match="is not a model folder"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_other_format_is_refused(copy: Path) -> None:
    recipe = json.loads((copy / RECIPE).read_text())
    reseal(copy, RECIPE, json.dumps(recipe | {"format": 0}).encode())
    with pytest.raises(BundleError, match="format 0, this version reads 4"):
        load_bundle(copy)


def test_part_that_cannot_be_loaded(saved: Saved, copy: Path) -> None:
    for name in saved.parts:
        content = (copy / name).read_bytes()
        # half a text of trees ends the process inside LightGBM: there the manifest alone protects
        for broken in (b"nonsense", b"", *([] if name.endswith(".txt") else [content[: len(content) // 2]])):
            reseal(copy, name, broken)
            with pytest.raises(BundleError, match="the model cannot be loaded"):
                load_bundle(copy)
        reseal(copy, name, content)
    pd.testing.assert_frame_equal(
        load_bundle(copy).predict(saved.X[saved.columns]),
        load_bundle(saved.folder).predict(saved.X[saved.columns]),
    )


@pytest.mark.parametrize("saved", ["gp"], indirect=True)
@pytest.mark.parametrize("name", [ARRAYS, PROFILE])
def test_arrays_of_objects_are_refused(saved: Saved, copy: Path, name: str) -> None:
    """An array of objects is a pickle, and a pickle may run code."""
    with np.load(copy / name) as archive:
        arrays = dict(archive)
    out = io.BytesIO()
    np.savez(out, **arrays | {"mean": np.array([print, None], dtype=object)})
    reseal(copy, name, out.getvalue())
    with pytest.raises(BundleError, match="cannot be loaded: Object arrays cannot be loaded"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["gp"], indirect=True)
def test_a_part_without_an_array_is_refused(saved: Saved, copy: Path) -> None:
    with np.load(copy / ARRAYS) as archive:
        arrays = {n: v for n, v in archive.items() if n != "coefficients"}
    out = io.BytesIO()
    np.savez(out, **arrays)
    reseal(copy, ARRAYS, out.getvalue())
    with pytest.raises(BundleError, match="the model cannot be loaded: 'coefficients'"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["gp"], indirect=True)
def test_no_drug_measurement_leaves_with_a_model(saved: Saved, cohort: Cohort) -> None:
    """A kept profile has coefficients and features of training lines, no line's name and no drug's."""
    text = b"".join(contents(saved.folder).values())
    assert not [d for d in cohort.drugs.columns if d.encode() in text]
    assert not [n for n in saved.train.index if n.encode() in text]
    profile = load_bundle(saved.folder).profile
    assert profile is not None
    assert profile.fitted_on == frozenset()


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_unknown_kind_is_refused(copy: Path) -> None:
    recipe = json.loads((copy / RECIPE).read_text())
    recipe["model"]["kind"] = "forecast"
    reseal(copy, RECIPE, json.dumps(recipe).encode())
    with pytest.raises(BundleError, match="unknown kind of model 'forecast'"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", ["stack"], indirect=True)
def test_a_stack_without_the_process_needs_no_profile(saved: Saved, tmp_path: Path) -> None:
    """Its features do not include those of the profile, which must not be asked for."""
    names = [m.name for m in saved.model.members]
    weights = np.array([n == "ridge" for n in names], dtype=float)
    plain = saved.model.weights
    try:
        saved.model.weights = weights
        saved.save(tmp_path / "b")
        bundle = load_bundle(tmp_path / "b")
        assert bundle.profile is None
        ridge = saved.model.members[names.index("ridge")]
        assert set(bundle.features.index) == set(ridge.estimator_.columns)
        out = bundle.predict(saved.X[bundle.features.index])
        np.testing.assert_array_equal(out.score, saved.model.predict(saved.whole).score)
    finally:
        saved.model.weights = plain


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_pickled_objects_are_refused(saved: Saved, copy: Path) -> None:
    out = io.BytesIO()
    np.savez(out, fill=np.array([Path("secret")], dtype=object))
    reseal(copy, ARRAYS, out.getvalue())
    with pytest.raises(BundleError, match="the model cannot be loaded: Object arrays cannot be loaded"):
        load_bundle(copy)


@pytest.mark.parametrize("saved", [*KEPT], indirect=True)
def test_loaded_models_explain_as_before_saving(saved: Saved) -> None:
    bundle = load_bundle(saved.folder)
    inputs = saved.whole[[*bundle.features.index, *(bundle.profile.names if bundle.profile else [])]]
    found, expected = bundle.model.explain(inputs), saved.model.explain(saved.whole)
    columns = [c for c in expected if c in found]
    assert len(columns)
    assert not expected.drop(columns=columns).to_numpy().any()
    np.testing.assert_allclose(found[columns], expected[columns], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("key", ["model", "profile", "gene_sets", "features", "lineages"])
@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_recipe_without_a_part_is_refused(copy: Path, key: str) -> None:
    recipe = json.loads((copy / RECIPE).read_text())
    del recipe[key]
    reseal(copy, RECIPE, json.dumps(recipe).encode())
    with pytest.raises(BundleError, match=f"bundle.json lacks {key}"):
        load_bundle(copy)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_naive_models_cannot_be_kept_and_leave_no_folder(
    saved: Saved, name: str, fold_models: ModelSet, tmp_path: Path
) -> None:
    model = fold_models.get("cross", name)
    info, folder = saved.cohort.features, tmp_path / "b"
    with pytest.raises(BundleError, match=f"a model of kind '{name}' cannot be kept"):
        save_bundle(folder, model, saved.profile, None, saved.rule, saved.train, info, DATA, "card")
    assert not folder.exists()


# --- gene sets of new samples -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sets:
    """A process that reads expression and gene sets, how the sets were scored, and new samples."""

    model: ResistanceModel
    scorer: GeneSetScorer
    X: pd.DataFrame
    fresh: pd.DataFrame

    def save(self, folder: Path, scorer: GeneSetScorer | None = None, X: pd.DataFrame | None = None) -> Path:
        used = self.X if X is None else X
        info = pd.DataFrame(
            {"block": [c.split(":")[0] for c in used], "name": [c.split(":")[1] for c in used], "unit": "z"},
            index=used.columns,
        )
        rule = LabelRule("radiation", 0.6, {"radiation": 0.0}, {"radiation": (0.0, 1.0)})
        save_bundle(folder, self.model, None, scorer or self.scorer, rule, used, info, DATA, "# Card\n")
        return folder


@pytest.fixture(scope="module")
def sets(small_config: TrainConfig) -> Sets:
    rng = np.random.default_rng(0)
    genes = [f"G{i:02d}" for i in range(24)]
    net = pd.DataFrame({"source": np.repeat(["A", "B", "C"], 8), "target": genes, "weight": 1.0})
    rna = pd.DataFrame(rng.normal(5, 1, (90, 24)), [f"L{i:03d}" for i in range(90)], genes)
    rna += np.repeat(rng.normal(size=(90, 3)), 8, axis=1)
    scorer = GeneSetScorer(rna.mean(), rna.std(), net)
    whole = rna.add_prefix("rna:").join(scorer.score(rna).add_prefix("gene_set:")).astype(np.float32)
    X, fresh = whole.iloc[:70], whole.iloc[70:]
    y = X["gene_set:A"].to_numpy(dtype=float) + rng.normal(size=70)
    label, everyone = (y > np.median(y)).astype(float), np.ones(70, dtype=bool)
    view = TrainingView(X, y, label, np.arange(70).astype(str), everyone, y)
    return Sets(ResistanceModel("gp", small_config.features, 2, 1).fit(view), scorer, X, fresh)


def test_gene_sets_of_a_new_sample_are_scored_from_its_expression(sets: Sets, tmp_path: Path) -> None:
    bundle = load_bundle(sets.save(tmp_path / "b"))
    given = sets.fresh[bundle.features.index]
    without = given.mask(given.columns.str.startswith("gene_set:")[None, :] & given.notna())
    assert bundle.scorer is not None
    assert bundle.scorer.genes == sets.scorer.genes
    pd.testing.assert_frame_equal(bundle.predict(without), bundle.predict(given), rtol=1e-5)
    lacking = without.assign(**{"rna:G03": np.float32(np.nan)})
    assert bundle.with_gene_sets(lacking).filter(like="gene_set:").isna().all(axis=None)
    assert (bundle.predict(lacking).score - bundle.predict(given).score).abs().max() > 0.1
    mixed = pd.concat([without.iloc[:3], lacking.iloc[3:6]])
    scored = bundle.with_gene_sets(mixed).filter(like="gene_set:").notna().all(axis=1)
    assert list(scored) == [True] * 3 + [False] * 3


def test_a_score_that_is_given_is_not_replaced(sets: Sets, tmp_path: Path) -> None:
    bundle = load_bundle(sets.save(tmp_path / "b"))
    given = sets.fresh[bundle.features.index].assign(**{"gene_set:A": np.float32(7.0)})
    assert (bundle.with_gene_sets(given)["gene_set:A"] == 7.0).all()


def test_sets_that_could_not_be_scored_are_not_kept(sets: Sets, tmp_path: Path) -> None:
    """A gene that is no feature would be asked for of every sample."""
    more = dataclasses.replace(
        sets.scorer,
        mean=pd.concat([sets.scorer.mean, pd.Series({"OTHER": 1.0})]),
        spread=pd.concat([sets.scorer.spread, pd.Series({"OTHER": 1.0})]),
    )
    bundle = load_bundle(sets.save(tmp_path / "b", more))
    assert bundle.scorer is None
    assert np.isfinite(bundle.predict(sets.fresh[bundle.features.index]).score).all()


@pytest.mark.parametrize("saved", ["ridge"], indirect=True)
def test_sets_that_a_model_does_not_read_are_not_kept(saved: Saved, sets: Sets, tmp_path: Path) -> None:
    info = saved.cohort.features
    scorer = sets.scorer
    save_bundle(tmp_path / "b", saved.model, None, scorer, saved.rule, saved.train, info, DATA, "card")
    assert load_bundle(tmp_path / "b").scorer is None
