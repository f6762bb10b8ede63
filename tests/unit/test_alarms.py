"""Each alarm is silent on clean results, and raises when its leak is planted."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossres_ml.cohort.cohort import RESPONSES, Cohort
from crossres_ml.errors import LeakageError, SchemaError
from crossres_ml.evaluation.alarms import (
    _correlations,
    _ranks,
    check_features,
    check_permuted,
    check_radiation_r2,
    check_unseen,
)

N = 200
MakeCohort = Callable[..., Cohort]


def tables(seed: int = 1) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Responses with holes, and blocks with holes, ties, events, and constants."""
    rng = np.random.default_rng(seed)
    responses = pd.DataFrame(rng.normal(size=(N, len(RESPONSES))), columns=list(RESPONSES))
    responses["sf2"] = responses.radiation + 0.5 * rng.normal(size=N)
    responses = responses.mask(rng.random(responses.shape) < 0.2)
    rna = pd.DataFrame(rng.normal(size=(N, 30)), columns=[f"G{i:02d}" for i in range(30)])
    rna = rna.mask(rng.random(rna.shape) < 0.3)
    rna["G05"] = 1.0
    rna["G06"] = np.nan
    rna["G07"] = responses.radiation.rank() + 40 * rng.normal(size=N)  # related, but not the same
    events = pd.DataFrame((rng.random((N, 8)) < 0.1) * 1.0, columns=[f"E{i}" for i in range(8)])
    return responses, {"driver": events.astype(np.float32), "rna": rna.astype(np.float32)}


def planted(make_cohort: MakeCohort, values: pd.Series, block: str = "rna") -> Cohort:
    responses, blocks = tables()
    blocks[block] = blocks[block].assign(ZZ=values.astype(np.float32).to_numpy())
    return make_cohort(["Lung"] * N, range(N), responses, blocks)


def test_a_clean_cohort_passes(make_cohort: MakeCohort) -> None:
    responses, blocks = tables()
    check_features(make_cohort(["Lung"] * N, range(N), responses, blocks))


def test_the_simulated_study_passes(cohort: Cohort) -> None:
    check_features(cohort)


RADIATION = tables()[0].radiation
NOISE = pd.Series(np.random.default_rng(8).normal(size=N))
LEAKS = {
    "itself": RADIATION,
    "in another unit": -40 * RADIATION + 7,
    "rounded": RADIATION.round(1),
    "with a little noise": RADIATION + 0.1 * NOISE,
    "bent": np.exp(3 * RADIATION),
    "upside down and bent": -(RADIATION**3),
    "with holes": RADIATION.where(np.arange(N) % 3 > 0),
    "with one wild value": RADIATION.where(np.arange(N) != RADIATION.idxmax(), 1e6),
    "a third of it tied": RADIATION.clip(lower=-0.6),
    "on 60 lines": RADIATION.where(RADIATION.notna().cumsum() <= 60),
    "on the most resistant 60 lines": RADIATION.where(RADIATION.rank(ascending=False) <= 60),
}


@pytest.mark.parametrize("values", LEAKS.values(), ids=LEAKS)
def test_a_feature_that_is_a_response_raises(make_cohort: MakeCohort, values: pd.Series) -> None:
    with pytest.raises(LeakageError, match=r"a feature equals a response: rna:ZZ = radiation \(Pearson"):
        check_features(planted(make_cohort, values))


@pytest.mark.parametrize("response", list(RESPONSES))
def test_every_response_and_block_is_looked_at(make_cohort: MakeCohort, response: str) -> None:
    with pytest.raises(LeakageError, match=f"driver:ZZ = {response} "):
        check_features(planted(make_cohort, tables()[0][response], block="driver"))


INNOCENT = {
    "related": RADIATION + 0.25 * NOISE,
    "on 49 lines": RADIATION.where(RADIATION.notna().cumsum() <= 49),
    "the class": (RADIATION > 0.4).astype(float),
    "no value": RADIATION * np.nan,
    "infinitely like nothing": NOISE,
}


@pytest.mark.parametrize("values", INNOCENT.values(), ids=INNOCENT)
def test_a_related_feature_is_no_leak(make_cohort: MakeCohort, values: pd.Series) -> None:
    check_features(planted(make_cohort, values))


def test_the_message_names_the_numbers_and_what_to_do(make_cohort: MakeCohort) -> None:
    with pytest.raises(LeakageError, match="take the feature out") as error:
        check_features(planted(make_cohort, RADIATION))
    n = int(RADIATION.notna().sum())
    assert f"rna:ZZ = radiation (Pearson 1.000, Spearman 1.000, {n} lines)" in str(error.value)


def test_many_leaks_are_named_and_not_all_checked(make_cohort: MakeCohort) -> None:
    responses, blocks = tables()
    copies = {f"Z{i:02d}": RADIATION.astype(np.float32) for i in range(50)}
    blocks["rna"] = pd.concat([blocks["rna"], pd.DataFrame(copies)], axis=1)
    with pytest.raises(LeakageError, match="rna:Z19 = radiation"):
        check_features(make_cohort(["Lung"] * N, range(N), responses, blocks))


def test_the_screen_is_pearson_and_spearman_of_scipy() -> None:
    responses, blocks = tables()
    x, y = (t.to_numpy(dtype=np.float32).T for t in (blocks["rna"], responses))
    plain, ranked = _correlations(x, y), _correlations(_ranks(x), _ranks(y))
    for i, j in np.ndindex(plain.shape):
        shared = np.isfinite(x[i]) & np.isfinite(y[j])
        if shared.sum() < 50 or np.ptp(x[i][shared]) == 0:
            assert plain[i, j] == ranked[i, j] == 0
            continue
        assert plain[i, j] == pytest.approx(stats.pearsonr(x[i][shared], y[j][shared]).statistic, abs=1e-4)
        # ranks among all lines that have a value, not among the shared ones: close is enough
        assert ranked[i, j] == pytest.approx(stats.spearmanr(x[i][shared], y[j][shared]).statistic, abs=0.05)


def test_ranks_are_those_of_scipy() -> None:
    values = np.random.default_rng(3).normal(size=(20, 50)).round(1).astype(np.float32)
    values[values > 1.2] = np.nan
    values[0], values[1] = np.nan, 2.0
    expected = stats.rankdata(values, axis=1, nan_policy="omit") - 1
    np.testing.assert_array_equal(_ranks(values), expected)


def test_ten_thousand_features_take_seconds() -> None:
    """Fifteen where one is usual: a test must not fail because the machine is busy."""
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(846, 10_000)).astype(np.float32))
    features[rng.random(846) < 0.2] = np.nan
    responses = pd.DataFrame(rng.normal(size=(846, 24))).mask(rng.random((846, 24)) < 0.3)
    start = time.monotonic()
    check_features(SimpleNamespace(blocks={"rna": features}, responses=responses))
    assert time.monotonic() - start < 15


# --- radiation R2 -----------------------------------------------------------------------------------


def metrics(value: float, **other: str) -> pd.DataFrame:
    key = {"task": "radiation", "mode": "cell_line_out", "model": "gp", "metric": "r2"}
    return pd.DataFrame([{**key, "value": 0.18}, {**key, "model": "ridge", **other, "value": value}])


def test_r2_beyond_belief_raises() -> None:
    with pytest.raises(LeakageError, match=r"R2 above 0\.30 on radiation: ridge 0\.342"):
        check_radiation_r2(metrics(0.342), kind="real")


@pytest.mark.parametrize(
    "table",
    [
        metrics(0.23),
        metrics(0.30),
        metrics(np.nan),
        metrics(0.6, task="chemotherapy"),
        metrics(0.6, mode="lineage_out"),
        metrics(0.6, metric="spearman"),
    ],
)
def test_r2_that_can_be_believed_passes(table: pd.DataFrame) -> None:
    check_radiation_r2(table, kind="real")


def test_a_simulated_study_may_be_easy() -> None:
    check_radiation_r2(metrics(0.9), kind="simulated")


# --- permuted labels --------------------------------------------------------------------------------


def permuted(strength: float, variant: str = "permuted", mode: str = "cell_line_out") -> pd.DataFrame:
    """Two repeats of two models on permuted responses; one of them knows ``strength`` of them."""
    rng = np.random.default_rng(4)
    parts = []
    for repeat in range(2):
        y = rng.normal(size=N)
        for model in ("ridge", "gp"):
            expected = strength * y * (model == "gp") + rng.normal(size=N)
            rows = {"response": y, "expected": expected, "score": expected, "label": (y > 0.4) * 1.0}
            keys = {"repeat": repeat, "model": model, "variant": variant, "mode": mode}
            parts.append(pd.DataFrame({**rows, **keys}).rename_axis("line").reset_index())
    table = pd.concat(parts, ignore_index=True)
    ids = table.line.map("ACH-{:06d}".format)
    return table.assign(
        task="radiation", fold=(table.line % 2).astype(str), model_id=ids, group=ids, lineage="Lung",
        top_third=table.label, probability=0.3, residual=np.nan, inner_spearman=0.1,
    )  # fmt: skip


def test_skill_on_permuted_labels_raises() -> None:
    with pytest.raises(
        LeakageError, match=r"skill on permuted labels.*gp on radiation 0\.\d+ \(0\."
    ) as error:
        check_permuted(permuted(0.5), draws=200, seed=1)
    assert "ridge" not in str(error.value)


@pytest.mark.parametrize(
    "table",
    [
        permuted(0.0),
        permuted(-0.5),  # below chance is what pooled folds tend to, not a leak
        permuted(0.5, variant="rna"),
        permuted(0.5, mode="lineage_out"),
    ],
)
def test_chance_passes(table: pd.DataFrame) -> None:
    check_permuted(table, draws=200, seed=1)


def test_little_skill_needs_its_interval_and_its_size() -> None:
    """Above .10 but not above 0 by interval (few lines), and above 0 but not above .10 (many lines)."""
    few = permuted(0.3)
    few = few[few.line < 24]
    strong = stats.spearmanr(*few.loc[few.model == "gp", ["expected", "response"]].to_numpy().T).statistic
    assert strong > 0.1
    check_permuted(few, draws=200, seed=1)
    many = pd.concat([permuted(0.07).assign(copy=i) for i in range(20)], ignore_index=True)
    many["model_id"] = many["group"] = many.model_id + "-" + many["copy"].astype(str)
    check_permuted(many, draws=200, seed=1)


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(SchemaError, match="columns are missing: expected"):
        check_permuted(permuted(0).drop(columns="expected"), draws=100, seed=1)


# --- fold-fitted objects ----------------------------------------------------------------------------


def test_an_object_that_saw_held_out_lines_raises() -> None:
    fitted = {"scaler": ["A", "B", "C"], "tree": ["A", "B"], "calibration": pd.Index(["D", "C", "A"])}
    with pytest.raises(LeakageError, match=r"scaler has seen 1: C; calibration has seen 2: C, D") as error:
        check_unseen(fitted, iter(["C", "D", "E"]))
    assert "tree" not in str(error.value)
    assert "3 held-out lines" in str(error.value)


@pytest.mark.parametrize(
    ("fitted", "held_out"),
    [({"scaler": ["A", "B"], "tree": []}, ["C"]), ({}, ["C"]), ({"scaler": ["A"]}, [])],
)
def test_objects_that_saw_training_lines_pass(fitted: dict[str, list[str]], held_out: list[str]) -> None:
    check_unseen(fitted, held_out)
