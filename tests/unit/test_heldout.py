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
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines, training_lines
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.errors import LeakageError
from crossres_ml.evaluation.heldout import (
    Fold,
    evaluate,
    fold_data,
    list_folds,
    run_fold,
    task_matrix,
)
from crossres_ml.models.estimators import ESTIMATORS, LinearPipeline
from crossres_ml.models.resistance import ResistanceModel
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
    return Run(cohort, small_config, splits, store, evaluate(cohort, small_config, splits, store, jobs=1))


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> FoldStore:
    """A store to take folds out of."""
    return FoldStore(Path(shutil.copytree(run.store.folder, tmp_path / "folds")))


def same(one: Results, two: Results) -> None:
    for a, b in zip(one, two, strict=True):
        pdt.assert_frame_equal(a, b, check_exact=True)


# --- what is scored -------------------------------------------------------------------------------


def test_every_line_is_scored_once_per_mode_and_model(run: Run) -> None:
    predictions, _ = run.results
    rows = predictions[predictions["mode"] == "cell_line_out"]
    for task in ("radiation", "chemotherapy", "cross"):
        expected = sorted(scored_lines(run.cohort, task))
        for model in run.config.models:
            part = rows[(rows.task == task) & (rows.model == model)]
            assert sorted(part.model_id) == expected
    lineages = predictions[predictions["mode"] == "lineage_out"]
    assert (run.cohort.lines.lineage[lineages.model_id] == lineages.fold.to_numpy()).all()
    assert np.isfinite(predictions[["score", "probability", "label", "response"]]).all(axis=None)


def test_chemotherapy_is_learned_from_all_and_scored_on_radiation_lines(run: Run) -> None:
    fold = next(f for f in list_folds(run.cohort, run.splits) if f.task == "chemotherapy")
    blood = run.cohort.lines.index[run.cohort.lines.lineage == "Lymphoid"]
    assert len(fold.train.intersection(blood)) > 5
    assert not len(fold.test.intersection(blood))
    _, rule = (d := fold_data(run.cohort, run.config, task_matrix(run.cohort, run.config), fold)).view, d.rule
    scored = fold.train.intersection(scored_lines(run.cohort, "chemotherapy"))
    expected = np.quantile(run.cohort.responses.chemotherapy[scored], run.config.resistant_quantile)
    assert rule.cuts["chemotherapy"] == expected


def test_truth_of_held_out_lines_is_the_measurement(run: Run) -> None:
    predictions, _ = run.results
    rows = predictions[predictions.task == "radiation"]
    np.testing.assert_array_equal(rows.response, run.cohort.responses.radiation[rows.model_id])
    np.testing.assert_array_equal(rows.group, run.cohort.lines.group[rows.model_id])


def test_fold_names_are_unique_and_safe(run: Run) -> None:
    odd = [
        Fold("cross", "lineage_out", 0, fold, pd.Index([]), pd.Index([]))
        for fold in ("CNS/Brain", "CNS-Brain", "CNS Brain", "..", "Ovary/Fallopian Tube", "Œ")
    ]
    names = [f.name for f in (*list_folds(run.cohort, run.splits), *odd)]
    assert len(set(names)) == len(names)
    assert all(n.replace("-", "").replace("_", "").isalnum() and n.isascii() for n in names)


def test_contributions_are_sums_over_held_out_lines(run: Run) -> None:
    fold = list_folds(run.cohort, run.splits)[0]
    data = fold_data(run.cohort, run.config, task_matrix(run.cohort, run.config), fold)
    one = run.config.model_copy(update={"models": ("lineage_mean", "ridge")})
    _, contributions = run_fold(data, one)
    model = ResistanceModel("ridge", one.features, one.inner_folds, one.seed).fit(data.view)
    values = model.estimator_.explain(data.X)
    values -= values.mean()
    assert set(contributions.model) == {"ridge"}
    table = contributions.set_index("feature")
    for name in list(values.columns)[::40]:
        x, s = data.X[name].astype(float), values[name]
        seen = x.notna()
        covariance = np.cov(x[seen], s[seen])[0, 1] * (seen.sum() - 1) if seen.sum() > 1 else 0.0
        assert table.sum_abs_shap[name] == pytest.approx((s - s.mean()).abs().sum())
        assert table.covariance[name] == pytest.approx(covariance, abs=1e-5)
        assert table.lines[name] == len(data.X)


# --- leakage --------------------------------------------------------------------------------------


def poisoned(cohort: Cohort, lines: pd.Index) -> Cohort:
    """Give lines absurd features and responses."""
    rng = np.random.default_rng(0)
    blocks, responses = {}, cohort.responses.copy()
    for name, table in cohort.blocks.items():
        block = table.copy()
        block.loc[lines] = rng.normal(0, 1e3, (len(lines), table.shape[1])).astype(np.float32)
        blocks[name] = block
    responses.loc[lines] = rng.normal(50, 20, (len(lines), responses.shape[1]))
    return dataclasses.replace(cohort, blocks=blocks, responses=responses)


def fingerprint(model: ResistanceModel) -> bytes:
    estimator = model.estimator_
    state: list[Any] = [model.slope_, model.intercept_, model.inner_spearman_, estimator.columns]
    state += [sorted(estimator.settings.items())]
    if hasattr(estimator, "booster_"):
        state.append(estimator.booster_.model_to_string())
    elif hasattr(estimator, "pipeline_"):
        imputer, scaler, last = (step for _, step in estimator.pipeline_.steps)
        state += [imputer.statistics_, scaler.mean_, scaler.scale_, last.coef_, last.intercept_]
    elif hasattr(estimator, "means_"):
        state += [estimator.means_, estimator.overall_]
    return pickle.dumps(state)


@pytest.mark.parametrize("at", range(3), ids=["line fold 0", "line fold 1", "lineage"])
@pytest.mark.parametrize("task", ["radiation", "cross"])
def test_poisoned_held_out_lines_change_nothing_learned(run: Run, task: str, at: int) -> None:
    """Whatever the held-out lines are, all that is learned is equal to the last bit."""
    fold = [f for f in list_folds(run.cohort, run.splits) if f.task == task][at]
    rest = run.cohort.lines.index.difference(fold.train)
    bad = poisoned(run.cohort, rest)
    clean_data, bad_data = (
        fold_data(c, run.config, task_matrix(c, run.config), fold) for c in (run.cohort, bad)
    )
    assert clean_data.rule == bad_data.rule
    pdt.assert_frame_equal(clean_data.view.X, bad_data.view.X, check_exact=True)
    np.testing.assert_array_equal(clean_data.view.y, bad_data.view.y)
    np.testing.assert_array_equal(clean_data.view.label, bad_data.view.label)
    assert not clean_data.X.equals(bad_data.X)
    for name in ESTIMATORS:
        config = run.config
        one, two = (
            ResistanceModel(name, config.features, config.inner_folds, config.seed).fit(d.view)
            for d in (clean_data, bad_data)
        )
        assert fingerprint(one) == fingerprint(two), name


def test_poisoned_training_lines_do_change_what_is_learned(run: Run) -> None:
    """The test above can fail: one training line is enough to be seen."""
    fold = list_folds(run.cohort, run.splits)[0]
    bad = poisoned(run.cohort, fold.train[:1])
    views = [fold_data(c, run.config, task_matrix(c, run.config), fold).view for c in (run.cohort, bad)]
    for name in ("lineage_mean", "ridge", "lightgbm"):
        one, two = (ResistanceModel(name, run.config.features, 2, 3).fit(v) for v in views)
        assert fingerprint(one) != fingerprint(two), name


def test_everything_fitted_sees_training_lines_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spies in every fit: each row seen carries the number of its line as a feature, and as its response."""
    cohort, fold = run.cohort, next(f for f in list_folds(run.cohort, run.splits) if f.task == "radiation")
    number = pd.Series(np.arange(len(cohort.lines), dtype=float), cohort.lines.index)
    responses = cohort.responses.copy()
    responses["radiation"] = number.where(cohort.responses.radiation.notna())
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

    X = task_matrix(marked, run.config)

    def marked_column(x: Any) -> set[float]:
        """Find the column of numbers: the only one with whole values beyond 20."""
        column = np.asarray(x)[:, np.nanmax(np.asarray(x), axis=0) > 20]
        assert column.shape[1] == 1
        return set(column[:, 0].astype(float))

    for kind in (*ESTIMATORS.values(), LinearPipeline):
        if "fit" in vars(kind):
            spy(kind, "fit", lambda x, y, label: set(number[x.index]) | set(y))
    for step in (SimpleImputer, StandardScaler):
        spy(step, "fit_transform", lambda x, y=None, **_: marked_column(x))
    spy(Ridge, "fit", lambda x, y: set(y))
    spy(LogisticRegression, "fit", lambda x, y: {float(len(y) <= len(fold.train)) - 1})
    spy(lgb.Dataset, "__init__", lambda x, y: marked_column(x) | set(y))
    plain_fit = LabelRule.fit.__func__

    def rule_fit(cls: type, task: str, table: pd.DataFrame, quantile: float) -> LabelRule:
        seen.setdefault("LabelRule.fit", []).append(set(number[table.index]))
        return plain_fit(cls, task, table, quantile)

    monkeypatch.setattr(LabelRule, "fit", classmethod(rule_fit))
    config = run.config.model_copy(update={"models": tuple(ESTIMATORS)})
    data = fold_data(marked, config, X, fold)
    assert set(data.view.X.index) == set(fold.train)
    run_fold(data, config)
    assert set(seen) == {
        "LabelRule.fit", "Prevalence.fit", "LineageMean.fit", "LinearPipeline.fit", "LightGBMScore.fit",
        "SimpleImputer.fit_transform", "StandardScaler.fit_transform", "Ridge.fit", "LogisticRegression.fit",
        "Dataset.__init__",
    }  # fmt: skip
    for where, calls in seen.items():
        beyond = set().union(*calls) - allowed - ({0.0} if where == "LogisticRegression.fit" else set())
        assert not beyond, f"{where} saw lines that are held out: {sorted(beyond)[:5]}"
    assert seen["Ridge.fit"][-1] == allowed


def test_a_fold_that_leaks_raises(run: Run) -> None:
    fold = list_folds(run.cohort, run.splits)[0]
    leaky = dataclasses.replace(fold, train=fold.train.append(fold.test[:2]))
    data = fold_data(run.cohort, run.config, task_matrix(run.cohort, run.config), leaky)
    with pytest.raises(LeakageError, match="2 held-out lines were trained on"):
        run_fold(data, run.config)


# --- stopping, resuming, parallel work -----------------------------------------------------------------


def test_finished_folds_are_not_run_again(run: Run, copied: FoldStore) -> None:
    folds = list_folds(run.cohort, run.splits)
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
splits = make_splits(cohort, config.splits, quantile=config.resistant_quantile, seed=config.seed)
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
    done = [store.has(f.name) for f in list_folds(run.cohort, run.splits)]
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
    assert {c.split(":")[0] for c in X} == {"lineage", "burden"}  # burden: a feature that is always offered


def test_training_lines_have_all_responses_of_the_task(run: Run) -> None:
    assert (
        run.cohort.responses.loc[training_lines(run.cohort, "cross"), ["radiation", "chemotherapy"]]
        .notna()
        .all(axis=None)
    )
