"""Trees: SHAP against shap and LightGBM, group sums by hand, a null that is the same whatever draws it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest

from crossres_ml.audit import trees as module
from crossres_ml.audit.trees import (
    CHUNK,
    PARAMETERS,
    ROUNDS,
    Trees,
    find_mates,
    group_shap,
    null_of_groups,
    permutation_p,
    permuted_outcome,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of matplotlib, on import
    import shap

N, K = 90, 12
GROUPS = {"first": [0], "pair": [1, 5], "rest": [2, 3, 4, 6]}


def study(seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features, zero where missing, some with ties; an outcome that follows the first."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, K))
    X[:, 3] = X[:, 3].round()
    X[rng.random(n) < 0.4, 6:9] = 0
    y = X[:, 0] + rng.normal(size=n)
    return X, y - y.mean()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees where what is asked is bookkeeping."""
    monkeypatch.setattr(module, "ROUNDS", 15)


# --- SHAP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_shap_values_are_those_of_shap_and_lightgbm(seed: int) -> None:
    X, y = study(seed)
    trees = Trees(X, seed)
    values, booster = trees.shap_values(y), trees.fit(y)
    assert values.shape == X.shape
    np.testing.assert_allclose(values, shap.TreeExplainer(booster).shap_values(X), atol=1e-9, rtol=0)
    contributions = booster.predict(X, pred_contrib=True)
    np.testing.assert_array_equal(values, contributions[:, :-1])
    np.testing.assert_allclose(values.sum(axis=1) + contributions[:, -1], booster.predict(X), atol=1e-9)
    assert np.abs(values).mean(axis=0).argmax() == 0


def test_trees_are_those_of_lightgbm_trained_anew() -> None:
    X, y = study(1)
    shared = Trees(X, 5)
    shared.fit(-3 * y)  # what was fitted before leaves nothing behind
    plain = lgb.train({**PARAMETERS, "seed": 5}, lgb.Dataset(X, y, params=dict(PARAMETERS)), ROUNDS)
    np.testing.assert_array_equal(shared.fit(y).predict(X), plain.predict(X))
    assert shared.fit(y).num_trees() == ROUNDS


def test_another_seed_makes_other_trees() -> None:
    X, y = study()
    assert not np.array_equal(Trees(X, 0).shap_values(y), Trees(X, 1).shap_values(y))
    np.testing.assert_array_equal(Trees(X, 1).shap_values(y), Trees(X, 1).shap_values(y))


# --- groups ---------------------------------------------------------------------------------------


def test_group_shap_by_hand() -> None:
    values = np.array([[1.0, -2.0, 0.5], [-1.0, -1.0, 0.0], [3.0, -3.0, 4.0]])
    groups = {"a": [0], "ab": [0, 1], "all": (2, 0, 1), "none": []}
    found = group_shap(values, groups)
    np.testing.assert_allclose(found, [5 / 3, (1 + 2 + 0) / 3, (0.5 + 2 + 4) / 3, 0])


def test_mates_by_a_loop_over_the_lines_that_both_were_measured_in() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 14))
    X[:, 1] = 0.8 * X[:, 0] + 0.6 * X[:, 1]  # a twin
    X[:, 2] = -0.9 * X[:, 0] + 0.4 * X[:, 2]  # the opposite
    X[:, 3] = 0.4 * X[:, 0] + 0.9 * X[:, 3]  # not close enough
    X[:, 4] = X[:, 0]  # the same, but in too few lines
    X[29:, 4] = 0
    X[:, 5] = 0.9 * X[:, 0] + 0.3 * X[:, 5]  # in half of the lines
    X[75:, 5] = 0
    X[:, 6] = 0.9 * X[:, 7] + 0.3 * X[:, 6]
    X[:, 13] = 0
    expected = {0}
    for j in range(14):
        both = (X[:, 0] != 0) & (X[:, j] != 0)
        if both.sum() >= 30:
            a, b = X[both, 0], X[both, j]
            if abs(a @ b) / np.sqrt(a @ a * (b @ b)) > 0.55:
                expected.add(j)
    assert find_mates(X, [0]) == sorted(expected) == [0, 1, 2, 5]
    assert find_mates(X, [7, 0]) == [0, 1, 2, 5, 6, 7]
    assert find_mates(X, [13]) == [13]
    assert find_mates(X, [0], threshold=0.999) == [0]
    assert find_mates(X, [4]) == [4]


def test_mates_at_the_border_of_thirty_lines() -> None:
    x = np.random.default_rng(0).normal(size=60)
    for common, mates in ((29, [0]), (30, [0, 1])):
        assert find_mates(np.column_stack([x, np.where(np.arange(60) < common, x, 0)]), [0]) == mates


# --- the null -------------------------------------------------------------------------------------


def test_a_permuted_outcome_depends_on_seed_and_draw_alone() -> None:
    y = np.arange(30.0)
    first = permuted_outcome(y, 3, 7)
    permuted_outcome(y, 3, 8)
    np.testing.assert_array_equal(permuted_outcome(y, 3, 7), first)
    assert sorted(first) == list(y)
    assert not np.array_equal(first, permuted_outcome(y, 3, 8))
    assert not np.array_equal(first, permuted_outcome(y, 4, 7))


def test_the_null_is_the_groups_of_each_permuted_outcome(quick: None) -> None:
    X, y = study()
    null = null_of_groups(X, y, GROUPS, draws=3, seed=2)
    assert list(null.columns) == list(GROUPS)
    assert list(null.index) == [0, 1, 2]
    for b in range(3):
        expected = group_shap(Trees(X, 2).shap_values(permuted_outcome(y, 2, b)), GROUPS)
        np.testing.assert_array_equal(null.loc[b], expected)


def test_more_draws_go_on_where_fewer_stopped_and_chunks_do_not_matter(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = study()
    short = null_of_groups(X, y, GROUPS, draws=CHUNK + 2, seed=0)
    long = null_of_groups(X, y, GROUPS, draws=2 * CHUNK + 1, seed=0)
    pdt.assert_frame_equal(long.iloc[: len(short)], short)
    monkeypatch.setattr(module, "CHUNK", 7)
    pdt.assert_frame_equal(null_of_groups(X, y, GROUPS, draws=CHUNK + 2, seed=0), short)


def test_the_null_does_not_depend_on_the_number_of_workers(quick: None) -> None:
    X, y = study()
    one = null_of_groups(X, y, GROUPS, draws=2 * CHUNK + 3, seed=1)
    with joblib.parallel_config("threading"):  # new processes take half a minute to import everything
        two = null_of_groups(X, y, GROUPS, draws=2 * CHUNK + 3, seed=1, jobs=3)
    pdt.assert_frame_equal(two, one)


def test_progress_tells_the_draws_done(quick: None) -> None:
    X, y = study()
    done: list[int] = []
    null_of_groups(X, y, GROUPS, draws=2 * CHUNK + 4, seed=0, progress=done.append)
    assert done == [CHUNK, 2 * CHUNK, 2 * CHUNK + 4]


class Counter:
    """Counts the fits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fits, plain = 0, Trees.fit

        def fit(trees: Trees, y: np.ndarray) -> lgb.Booster:
            self.fits += 1
            return plain(trees, y)

        monkeypatch.setattr(Trees, "fit", fit)


def test_it_resumes_from_a_folder_also_when_a_chunk_was_lost(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = study()
    draws, counter = 2 * CHUNK + 5, Counter(monkeypatch)
    first = null_of_groups(X, y, GROUPS, draws=draws, seed=0, folder=tmp_path)
    pdt.assert_frame_equal(first, null_of_groups(X, y, GROUPS, draws=draws, seed=0))
    assert counter.fits == 2 * draws
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == sorted(["0-25.parquet", "25-50.parquet", "50-55.parquet"])
    pdt.assert_frame_equal(null_of_groups(X, y, GROUPS, draws=draws, seed=0, folder=tmp_path), first)
    assert counter.fits == 2 * draws
    (tmp_path / "25-50.parquet").unlink()
    pdt.assert_frame_equal(null_of_groups(X, y, GROUPS, draws=draws, seed=0, folder=tmp_path), first)
    assert counter.fits == 2 * draws + CHUNK


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _fewer_draws(path: Path) -> None:
    pd.read_parquet(path).iloc[:-1].to_parquet(path)


def _other_groups(path: Path) -> None:
    pd.read_parquet(path).rename(columns={"pair": "a claim of before"}).to_parquet(path)


def _other_order(path: Path) -> None:
    pd.read_parquet(path)[["rest", "pair", "first"]].to_parquet(path)


def _missing_number(path: Path) -> None:
    table = pd.read_parquet(path)
    table.iloc[2, 1] = np.nan
    table.to_parquet(path)


@pytest.mark.parametrize(
    "spoil", [_truncated, _empty, _fewer_draws, _other_groups, _other_order, _missing_number]
)
def test_a_chunk_that_is_not_what_was_asked_is_drawn_again(
    quick: None, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    X, y = study()
    first = null_of_groups(X, y, GROUPS, draws=CHUNK + 5, seed=0, folder=tmp_path)
    spoil(tmp_path / "0-25.parquet")
    pdt.assert_frame_equal(null_of_groups(X, y, GROUPS, draws=CHUNK + 5, seed=0, folder=tmp_path), first)
    pdt.assert_frame_equal(pd.read_parquet(tmp_path / "0-25.parquet"), first.iloc[:CHUNK])


# --- p-values -------------------------------------------------------------------------------------


def test_permutation_p_by_hand() -> None:
    null = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [3.0, 5.0, 0.0], [4.0, 5.0, 0.0]])
    found = permutation_p(np.array([3.0, 5.1, 0.0]), null)
    np.testing.assert_allclose(found, [3 / 5, 1 / 5, 1.0])
    assert permutation_p(np.array([0.0]), np.array([[1.0]] * 9))[0] == 1


def test_what_is_not_known_has_no_p() -> None:
    null = np.array([[1.0, np.nan], [2.0, 1.0]])
    assert np.isnan(permutation_p(np.array([np.nan, 2.0]), null)).all()


def test_a_driver_has_a_small_p_and_nothing_has_the_level() -> None:
    X, y = study(3)
    groups = {"driver": [0], **{f"null {j}": [j] for j in range(1, K)}}
    null = null_of_groups(X, y, groups, draws=39, seed=0)
    observed = group_shap(Trees(X, 0).shap_values(y), groups)
    p = permutation_p(observed, null.to_numpy())
    assert p[0] == 1 / 40
    assert np.median(p[1:]) > 0.1


def test_level_under_the_null_on_a_small_matrix(quick: None) -> None:
    rng = np.random.default_rng(0)
    X, _ = study(7, n=60)
    groups = {str(j): [j] for j in range(K)}
    p = []
    for seed in range(50):
        y = rng.normal(size=60)
        trees = Trees(X, seed)
        draws = [group_shap(trees.shap_values(permuted_outcome(y, seed, b)), groups) for b in range(19)]
        p.append(permutation_p(group_shap(trees.shap_values(y), groups), np.array(draws)))
    rate = np.mean(np.array(p) <= 0.05, axis=1)  # features of one outcome are not independent: outcomes are
    assert abs(rate.mean() - 0.05) < 3 * rate.std(ddof=1) / np.sqrt(len(rate))
    assert rate.mean() > 0.02
    assert np.mean(np.array(p) <= 0.5) < 0.55  # less than half: trees that ignore a feature tie at zero
