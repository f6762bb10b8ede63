"""Nothing of a held-out line reaches the training; a run can be stopped anywhere and gives the same."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines, training_lines
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.errors import LeakageError
from crossres_ml.evaluation.folds import Fold, FoldData, fold_data, list_folds, task_matrix
from crossres_ml.evaluation.heldout import evaluate, fit_final, model_set, run_fold
from crossres_ml.models.baselines import _ClassMean
from crossres_ml.models.fit import COMBINED, offered
from crossres_ml.models.gaussian import BlockGP
from crossres_ml.models.kernels import BlockSpace
from crossres_ml.models.linear import LinearPipeline
from crossres_ml.models.profile import DrugProfile
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.models.resistance import FittedModel, ResistanceModel
from crossres_ml.sources.simulated import SimulatedStudy

Results = tuple[pd.DataFrame, pd.DataFrame]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished evaluation of the small study."""

    cohort: Cohort
    config: TrainConfig
    splits: pd.DataFrame
    store: FoldStore
    results: Results

    def folds(self) -> list[Fold]:
        return list_folds(self.cohort, self.splits, self.config)

    def data(self, fold: Fold) -> FoldData:
        return fold_data(self.cohort, self.config, task_matrix(self.cohort, self.config), fold)

    def again(self, store: FoldStore, *, jobs: int = 1, cohort: Cohort | None = None) -> Results:
        return evaluate(cohort or self.cohort, self.config, self.splits, store, jobs=jobs)


@pytest.fixture(scope="module")
def run(
    cohort: Cohort,
    small_config: TrainConfig,
    splits: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    store = FoldStore(tmp_path_factory.mktemp("folds"))
    config = small_config.model_copy(update={"tuning": "quick"})
    return Run(cohort, config, splits, store, evaluate(cohort, config, splits, store, jobs=1))


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> FoldStore:
    """A store to take folds out of."""
    return FoldStore(Path(shutil.copytree(run.store.folder, tmp_path / "folds")))


def same(one: Results, two: Results) -> None:
    """Equal to the bit, but for the time that a fit took."""
    for a, b in zip(one, two, strict=True):
        pdt.assert_frame_equal(
            *(t.drop(columns="seconds", errors="ignore") for t in (a, b)), check_exact=True
        )


# --- what is scored -------------------------------------------------------------------------------


def test_every_line_is_scored_once_per_mode_and_model(run: Run) -> None:
    predictions, _ = run.results
    rows = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == "full")]
    for task in TASKS:
        expected = sorted(scored_lines(run.cohort, task))
        for model in run.config.models:
            part = rows[(rows.task == task) & (rows.model == model)]
            assert sorted(part.model_id) == expected
    lineages = predictions[predictions["mode"] == "lineage_out"]
    assert (run.cohort.lines.lineage[lineages.model_id] == lineages.fold.to_numpy()).all()
    studies = predictions[predictions["mode"] == "study_out"]
    assert set(studies.task) == {"chemotherapy"}
    assert set(studies.fold) == {"ctrp_to_gdsc", "gdsc_to_ctrp"}
    numbers = [
        "score",
        "probability",
        "expected",
        "label",
        "top_third",
        "response",
        "inner_spearman",
        "seconds",
    ]
    assert np.isfinite(predictions[numbers]).all(axis=None)
    keys = ["task", "mode", "repeat", "fold", "variant", "model", "model_id"]
    assert not predictions.duplicated(keys).any()


def test_less_than_everything_is_scored_by_the_side_models(run: Run) -> None:
    """The same lines, truth and model, with features hidden; baselines once."""
    predictions, _ = run.results
    full = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == "full")]
    keys = ["task", "fold", "model_id"]
    for variant in ("rna", "mutations", "rna_mutations", "rna_rppa", "no_caution"):
        rows = predictions[predictions.variant == variant]
        assert set(rows["mode"]) == {"cell_line_out"}
        assert set(rows.model) == {"ridge"}
        both = rows.merge(full[full.model == "ridge"], on=keys, suffixes=("", "_full"), validate="1:1")
        assert len(both) == len(rows) == (full.model == "ridge").sum()
        np.testing.assert_array_equal(both.response, both.response_full)
        assert both.parameters.equals(both.parameters_full)
        # no antibody of the simulated study carries a caution
        assert (both.score != both.score_full).any() == (variant != "no_caution")


def test_chemotherapy_is_learned_from_all_and_scored_on_radiation_lines(run: Run) -> None:
    data = run.data(run.folds()[0])
    view, fold = data.views["chemotherapy"], data.fold
    blood = run.cohort.lines.index[run.cohort.lines.lineage == "Lymphoid"]
    assert len(view.X.index.intersection(blood)) > 5
    assert not view.scored[view.X.index.isin(blood)].any()
    assert not len(data.truth["chemotherapy"].index.intersection(blood))
    scored = fold.train.intersection(scored_lines(run.cohort, "chemotherapy"))
    expected = np.quantile(run.cohort.responses.chemotherapy[scored], run.config.resistant_quantile)
    assert data.rules["chemotherapy"].cuts["chemotherapy"] == expected


def test_truth_of_held_out_lines_is_the_measurement(run: Run) -> None:
    predictions, _ = run.results
    rows = predictions[predictions.task == "radiation"]
    np.testing.assert_array_equal(rows.response, run.cohort.responses.radiation[rows.model_id])
    np.testing.assert_array_equal(rows.group, run.cohort.lines.group[rows.model_id])


def test_fold_names_are_unique_and_safe(run: Run) -> None:
    odd = [
        Fold("lineage_out", 0, fold, "full", pd.Index([]), pd.Index([]))
        for fold in ("CNS/Brain", "CNS-Brain", "CNS Brain", "..", "Ovary/Fallopian Tube", "Œ")
    ]
    names = [f.name for f in (*run.folds(), *odd)]
    assert len(set(names)) == len(names)
    assert all(n.replace("-", "").replace("_", "").isalnum() and n.isascii() for n in names)


def test_contributions_are_sums_over_held_out_lines(run: Run) -> None:
    fold = run.folds()[0]
    data = run.data(fold)
    one = run.config.model_copy(update={"models": ("lineage_mean", "ridge")})
    _, contributions = run_fold(data, one)
    view, X = data.views["radiation"], data.X_test.loc[data.truth["radiation"].index]
    model = ResistanceModel("ridge", one.features, one.inner_folds, one.seed, one.tuning).fit(view)
    values = model.explain(X)
    values = values - values.mean()
    assert set(contributions.model) == {"ridge"}
    assert set(contributions.task) == set(TASKS)
    table = contributions[contributions.task == "radiation"].set_index("feature")
    for name in list(values.columns)[::40]:
        x, s = X[name].astype(float), values[name]
        seen = x.notna()
        covariance = np.cov(x[seen], s[seen])[0, 1] * (seen.sum() - 1) if seen.sum() > 1 else 0.0
        assert table.sum_abs_shap[name] == pytest.approx((s - s.mean()).abs().sum())
        assert table.covariance[name] == pytest.approx(covariance, abs=1e-5)
        assert table.lines[name] == len(X)


# --- leakage --------------------------------------------------------------------------------------


def poisoned(cohort: Cohort, lines: pd.Index) -> Cohort:
    """Give lines absurd features, responses and drugs."""
    rng = np.random.default_rng(0)
    blocks, responses, drugs = {}, cohort.responses.copy(), cohort.drugs.copy()
    for name, table in cohort.blocks.items():
        block = table.copy()
        block.loc[lines] = rng.normal(0, 1e3, (len(lines), table.shape[1])).astype(np.float32)
        blocks[name] = block
    responses.loc[lines] = rng.normal(50, 20, (len(lines), responses.shape[1]))
    drugs.loc[lines] = rng.normal(50, 20, (len(lines), drugs.shape[1]))
    return dataclasses.replace(cohort, blocks=blocks, responses=responses, drugs=drugs)


def fingerprint(model: FittedModel, X: pd.DataFrame) -> bytes:
    """What was learned, to the last bit, and what it says of some lines."""
    inner = (model.calibration, model.inner_spearman, model.cross_scores.tobytes(), list(model.index))
    return pickle.dumps((inner, str(model.parameters()), model.predict(X).to_numpy().tobytes()))


def fingerprints(
    data: FoldData, config: TrainConfig, X: pd.DataFrame, tasks: tuple[TaskName, ...]
) -> dict[str, bytes]:
    """Of the drug profile and of every model of the tasks."""
    models = model_set(data, config, config.models)
    out = {}
    if models.profile is not None:
        X = X.join(models.profile.predict(X))
        out["profile"] = pickle.dumps(
            (models.profile.cross_fitted.to_numpy().tobytes(), models.profile.weights)
        )
    for task in tasks:
        names = [n for n in config.models if offered(n, task)]
        out |= {f"{task} {n}": fingerprint(models.get(task, n), X) for n in names}
    return out


@pytest.mark.parametrize("at", range(3), ids=["line fold 0", "line fold 1", "lineage"])
def test_poisoned_held_out_lines_change_nothing_learned(run: Run, at: int, every_config: TrainConfig) -> None:
    """Whatever the held-out lines are, all that is learned is equal to the last bit."""
    fold = run.folds()[at]
    rest = run.cohort.lines.index.difference(fold.train)
    bad = poisoned(run.cohort, rest)
    config = every_config if at == 1 else run.config  # every model there is, once
    one, two = (fold_data(c, config, task_matrix(c, config), fold) for c in (run.cohort, bad))
    assert one.rules == two.rules
    assert not one.X_test.equals(two.X_test)
    X = one.X_test.iloc[:20]
    clean, other = (fingerprints(d, config, X, TASKS) for d in (one, two))
    assert clean.keys() == other.keys()
    assert [n for n in clean if clean[n] != other[n]] == []
    assert len(clean) == (3 * len(ESTIMATORS) + 3 + len(COMBINED) if at == 1 else 3 * len(config.models))


def test_poisoned_training_lines_do_change_what_is_learned(run: Run) -> None:
    """The test above can fail: one training line is enough to be seen."""
    config = run.config.model_copy(update={"models": ("lineage_mean", "ridge", "lightgbm", "gp")})
    fold = run.folds()[0]
    known = run.cohort.responses.loc[fold.train, ["radiation", "chemotherapy"]].notna().all(axis=1)
    enough = run.cohort.drugs.loc[fold.train].notna().sum(axis=1) >= 50
    bad = poisoned(run.cohort, fold.train[known & enough][:1])
    one, two = (fold_data(c, config, task_matrix(c, config), fold) for c in (run.cohort, bad))
    X = one.X_test.iloc[:20]
    clean, other = (fingerprints(d, config, X, ("radiation",)) for d in (one, two))
    assert [n for n in clean if clean[n] == other[n]] == []
    assert len(clean) == 5


def test_everything_fitted_sees_training_lines_only(
    run: Run, every_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spies in every fit: each row seen carries the number of its line as a feature, and as its response."""
    cohort, fold = run.cohort, run.folds()[0]
    number = pd.Series(np.arange(len(cohort.lines), dtype=float) + 30, cohort.lines.index)
    responses = cohort.responses.copy()
    for name in ("radiation", "chemotherapy"):
        responses[name] = number.where(cohort.responses[name].notna())
    block = cohort.blocks["burden"].assign(mutated_genes=number)
    marked = dataclasses.replace(
        cohort, responses=responses, blocks={**cohort.blocks, "burden": block.astype(np.float32)}
    )
    allowed = set(number[fold.train])
    seen: dict[str, list[set[float]]] = {}

    def spy(owner: type, name: str, look: Any) -> None:
        plain = getattr(owner, name)

        def watched(self: Any, *args: Any, **options: Any) -> Any:
            seen.setdefault(f"{owner.__name__}.{name}", []).append(look(*args))
            return plain(self, *args, **options)

        monkeypatch.setattr(owner, name, watched)

    def told(y: Any) -> set[float]:
        """Numbers of lines; ranks of both and classes are at most 1, and say nothing here."""
        return {v for v in map(float, y) if v > 1}

    def marked_column(x: Any) -> set[float]:
        """Find the column of numbers: the only one with whole values beyond 20."""
        column = np.asarray(x)[:, np.nanmax(np.asarray(x), axis=0) > 20]
        assert column.shape[1] == 1
        return set(column[:, 0].astype(float))

    for kind in (*ESTIMATORS.values(), _ClassMean, LinearPipeline):
        if "fit" in vars(kind):
            spy(kind, "fit", lambda v: set(number[v.X.index]) | told(v.y))
    for step in (SimpleImputer, StandardScaler):
        spy(step, "fit_transform", lambda x, y=None, **_: marked_column(x))
    for last in (Ridge, ElasticNet, LinearRegression, ExtraTreesRegressor):
        spy(last, "fit", lambda x, y: told(y))
    spy(LogisticRegression, "fit", lambda x, y: {float(len(y) > len(fold.train))} - {0.0})
    spy(lgb.Dataset, "__init__", lambda x, y: marked_column(x) | told(y))
    spy(DrugProfile, "fit", lambda x, drugs, *_: set(number[x.index]) | set(number[drugs.index]))
    spy(BlockSpace, "fit", lambda x: set(number[x.index]))
    spy(BlockGP, "fit", lambda rows, y: told(y) if y.ndim == 1 else set())
    plain_fit = LabelRule.fit.__func__

    def rule_fit(cls: type, task: TaskName, table: pd.DataFrame, quantile: float) -> LabelRule:
        seen.setdefault("LabelRule.fit", []).append(set(number[table.index]))
        return plain_fit(cls, task, table, quantile)

    monkeypatch.setattr(LabelRule, "fit", classmethod(rule_fit))
    data = fold_data(marked, every_config, task_matrix(marked, every_config), fold)
    models = model_set(data, every_config, every_config.models)
    for task in TASKS:
        for name in every_config.models:
            if offered(name, task):
                models.get(task, name)
    assert set(seen) == {
        "LabelRule.fit", "Prevalence.fit", "_ClassMean.fit", "RadiosensitivityIndex.fit",
        "LinearPipeline.fit",
        "ElasticNetScore.fit", "LightGBMScore.fit", "ExtraTreesScore.fit", "GaussianProcessScore.fit",
        "SimpleImputer.fit_transform", "StandardScaler.fit_transform", "Ridge.fit", "ElasticNet.fit",
        "LinearRegression.fit", "ExtraTreesRegressor.fit", "LogisticRegression.fit", "Dataset.__init__",
        "DrugProfile.fit", "BlockSpace.fit", "BlockGP.fit",
    }  # fmt: skip
    for where, calls in seen.items():
        beyond = set().union(*calls) - allowed
        assert not beyond, f"{where} saw lines that are held out: {sorted(beyond)[:5]}"
    assert max(map(len, seen["DrugProfile.fit"])) == len(allowed)
    radiation = set(number[data.views["radiation"].X.index])
    assert any(c == radiation for c in seen["Ridge.fit"])
    assert any(c == radiation for c in seen["BlockGP.fit"])


def test_a_fold_that_leaks_raises(run: Run) -> None:
    fold = run.folds()[0]
    data = run.data(dataclasses.replace(fold, train=fold.train.append(fold.test[:2])))
    with pytest.raises(LeakageError, match=r"fitted on held-out lines: .*the table of drug measurements has"):
        run_fold(data, run.config)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("lineage_mean", "ridge"), "the table of drug measurements has seen 3"),
        (("lineage_mean", "gp"), "drug measurements and features are of other lines"),
    ],
)
def test_drugs_of_held_out_lines_among_the_training_drugs_raise(
    run: Run, models: tuple[str, ...], message: str
) -> None:
    """Planted: whether or not a model reads the drugs."""
    data = run.data(run.folds()[0])
    planted = pd.concat([data.drugs, run.cohort.drugs.loc[data.fold.test[:3]]])
    with pytest.raises(LeakageError, match=message):
        run_fold(dataclasses.replace(data, drugs=planted), run.config.model_copy(update={"models": models}))


@pytest.mark.parametrize(
    ("alarm", "message"),
    [(True, "the drug profile has seen 3: ACH-"), (False, "the drugs of 3 held-out lines were learned from")],
    ids=["alarm", "profile itself"],
)
def test_a_profile_that_learned_from_held_out_lines_raises(
    run: Run, alarm: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted with their features, so that the tables fit together; the second guard holds alone as well."""
    if not alarm:
        monkeypatch.setattr("crossres_ml.evaluation.heldout.check_unseen", lambda *_: None)
    data = run.data(run.folds()[0])
    enough = run.cohort.drugs.loc[data.fold.test].notna().sum(axis=1) >= 50
    lines = data.fold.test[enough][:3]
    planted = dataclasses.replace(
        data,
        X=pd.concat([data.X, data.X_test.loc[lines]]),
        drugs=pd.concat([data.drugs, run.cohort.drugs.loc[lines]]),
        groups=np.append(data.groups, run.cohort.lines.group[lines].to_numpy()),
    )
    config = run.config.model_copy(update={"models": ("lineage_mean", "gp")})
    with pytest.raises(LeakageError, match=message):
        run_fold(planted, config)


# --- champions on all lines -----------------------------------------------------------------------


def test_champions_are_fitted_on_all_lines_of_their_task(run: Run) -> None:
    champions: dict[TaskName, str] = {"radiation": "ridge", "chemotherapy": "gp", "cross": "mean_of_two"}
    final = fit_final(run.cohort, run.config, champions)
    assert {t: m.name for t, m in final.models.items()} == champions
    for task, model in final.models.items():
        lines = training_lines(run.cohort, task)
        assert sorted(model.index) == sorted(lines)
        responses = run.cohort.responses.loc[scored_lines(run.cohort, task)]
        assert final.rules[task] == LabelRule.fit(task, responses, run.config.resistant_quantile)
    assert final.profile is not None
    assert set(final.models["cross"].trained_on) > set(training_lines(run.cohort, "cross"))
    assert fit_final(run.cohort, run.config, {"radiation": "ridge"}).profile is None


# --- stopping, resuming, parallel work -----------------------------------------------------------------


def test_finished_folds_are_not_run_again(run: Run, copied: FoldStore) -> None:
    folds = run.folds()
    lost = folds[2]
    (copied.folder / f"{lost.name}.parquet").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in copied.folder.iterdir()}
    told: list[tuple[int, int]] = []
    again = evaluate(run.cohort, run.config, run.splits, copied, jobs=1, progress=lambda *at: told.append(at))
    same(again, run.results)
    after = {p.name: p.stat().st_mtime_ns for p in copied.folder.iterdir()}
    assert {n for n in after if after[n] != before.get(n)} == {
        f"{lost.name}.parquet",
        f"{lost.name}.shap.parquet",
    }
    assert told == [(len(folds) - 1, len(folds)), (len(folds), len(folds))]


def test_nothing_is_fitted_when_all_folds_are_there(
    run: Run, copied: FoldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResistanceModel, "fit", None)
    same(run.again(copied), run.results)


def test_two_processes_give_the_same_as_one(run: Run, tmp_path: Path) -> None:
    same(run.again(FoldStore(tmp_path), jobs=2), run.results)


def test_rows_of_the_tables_in_another_order_give_the_same(
    run: Run, study: SimulatedStudy, panels: Panels, tmp_path: Path
) -> None:
    tables = {n: t.sample(frac=1, random_state=5) for n, t in reversed(study.tables.items())}
    tables = {n: t if t.index.name else t.reset_index(drop=True) for n, t in tables.items()}
    cohort = build_cohort(tables, panels, kind="simulated", sources=dict(run.cohort.sources))
    assert cohort.digest() == run.cohort.digest()
    fold = run.splits[(run.splits["mode"] == "cell_line_out") & (run.splits.fold == "0")]
    one, two = (
        evaluate(c, run.config, fold, FoldStore(tmp_path / n), jobs=1)
        for n, c in (("a", cohort), ("b", run.cohort))
    )
    same(one, two)


KILLED = """
import sys
from pathlib import Path
from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.build import build_cohort
from crossres_ml.config import TrainConfig, load_panels
from crossres_ml.evaluation.heldout import evaluate
from crossres_ml.sources.simulated import simulate
from crossres_ml.splits import make_splits

config = TrainConfig.model_validate_json(sys.argv[2])
panels = load_panels()
cohort = build_cohort(simulate(panels, lines=250, seed=1).tables, panels, kind="simulated", sources={})
splits = make_splits(cohort, config.splits, quantile=config.resistant_quantile)
evaluate(cohort, config, splits, FoldStore(Path(sys.argv[1])), jobs=1)
"""


def test_a_killed_run_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), run.config.model_dump_json()]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("[!.]*.parquet"))) < 3 and time.monotonic() < deadline:
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    store = FoldStore(tmp_path)
    done = [store.has(f.name) for f in run.folds()]
    assert any(done)
    assert not all(done)
    same(run.again(store), run.results)


def test_baselines_alone_can_be_evaluated(run: Run, tmp_path: Path) -> None:
    config = run.config.model_copy(update={"models": ("prevalence", "lineage_mean")})
    predictions, contributions = evaluate(run.cohort, config, run.splits, FoldStore(tmp_path), jobs=1)
    assert set(predictions.model) == {"prevalence", "lineage_mean"}
    assert contributions.empty


def test_a_missing_block_is_left_out(run: Run) -> None:
    features = run.config.features.model_copy(
        update={"blocks": ("lineage", "rna_array"), "always": ("burden:mutated_genes",)}
    )
    X = task_matrix(run.cohort, run.config.model_copy(update={"features": features}))
    kernels = {"rna", "rppa", "progeny", "mutation", "slfn11", "lineage", "subtype"}
    assert {c.split(":")[0] for c in X} == {*kernels, "burden"}  # burden: a feature that is always offered
    bare = dataclasses.replace(
        run.cohort, blocks={n: t for n, t in run.cohort.blocks.items() if n != "progeny"},
        features=run.cohort.features[run.cohort.features.block != "progeny"],
    )  # fmt: skip
    assert not task_matrix(bare, run.config).columns.str.startswith("progeny").any()


def test_training_lines_have_all_responses_of_the_task(run: Run) -> None:
    assert (
        run.cohort.responses.loc[training_lines(run.cohort, "cross"), ["radiation", "chemotherapy"]]
        .notna()
        .all(axis=None)
    )
