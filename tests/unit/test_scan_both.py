"""Tests for both modalities, lists, and permutations, against scipy, statsmodels and brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from crossres_ml.audit.adjust import tissue_design
from crossres_ml.scan.both import LISTS, count_called, run_tests, small_p
from crossres_ml.scan.effects import effects
from crossres_ml.scan.permute import Ground, empirical_rate, permute, permuted_p, shuffles

T = np.array(
    [[3.0, 4.0, -1.0], [-2.5, -6.0, 2.0], [3.5, -3.1, 5.0], [-0.4, 5.0, -4.0], [5.0, 0.1, 3.4], [1, 2, 3]]
)
DF = np.array([20.0, 35.5, 80.0, 12.0, 50.0, np.nan])


def test_the_larger_one_sided_p_decides() -> None:
    tests = run_tests(T, DF)
    assert tests["both_resistant"].p[0] == pytest.approx(stats.t.sf(3.0, 20), rel=1e-10)
    assert tests["both_sensitive"].p[1] == pytest.approx(stats.t.sf(2.5, 35.5), rel=1e-10)
    assert tests["discordant_radiation"].p[2] == pytest.approx(stats.t.sf(3.1, 80), rel=1e-10)
    assert tests["discordant_chemotherapy"].p[2] == pytest.approx(stats.t.sf(-3.5, 80), rel=1e-10)
    assert all(np.isnan(x.p[5]) for x in tests.values())
    assert not any(x.called(0.5)[5] for x in tests.values())


def test_one_modality_alone_needs_silence_and_a_difference() -> None:
    tests = run_tests(T, DF)
    assert tests["chemotherapy_only"].fits.tolist() == [False, False, False, True, False, False]
    assert tests["radiation_only"].fits.tolist() == [False, False, False, False, True, False]
    assert tests["chemotherapy_only"].p[3] == pytest.approx(2 * stats.t.sf(5.0, 12), rel=1e-10)
    assert tests["chemotherapy_only"].p[0] == pytest.approx(2 * stats.t.sf(4.0, 20), rel=1e-10)


def test_counting_is_that_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.05, 0.4):
        p = np.where(rng.random(500) < share, rng.beta(0.1, 30, 500), rng.random(500))
        p[:4] = p[4]  # ties
        fits = rng.random(500) < 0.7
        for level in (0.05, 0.1):
            called = multipletests(p, level, "fdr_bh")[0]
            small = p <= 0.5  # all that can be called must be among them
            assert count_called(p[small], fits[small], 500, level) == (called & fits).sum()


@pytest.fixture(scope="module")
def ground() -> Ground:
    """Three lineages, gaps, one event that does something to both responses."""
    rng = np.random.default_rng(2)
    n = 90
    lineage = pd.Series(rng.choice(list("abc"), n))
    design = tissue_design(lineage)
    X = rng.normal(size=(n, 40))
    X[:, 1] = rng.random(n) < 0.3
    Y = 0.7 * X[:, [0]] + rng.normal(size=(n, 2)) + (lineage == "a").to_numpy()[:, None]
    X[rng.random(n) < 0.2, 5:20] = np.nan
    found = effects(X, np.column_stack([Y, Y[:, 0] - Y[:, 1]]), design)
    every = np.arange(40)
    return Ground(
        X, Y, found.t, found.df, design.argmax(axis=1), [(design, every[:30]), (design, every[30:])]
    )


def test_lines_are_exchanged_inside_lineages_only(ground: Ground) -> None:
    order = shuffles(ground.lineage, 3, range(5))
    for column in order.T:
        assert sorted(column) == list(range(90))
        assert (ground.lineage[column] == ground.lineage).all()
    # a permutation does not depend on the others that are drawn with it
    np.testing.assert_array_equal(shuffles(ground.lineage, 3, [4])[:, 0], order[:, 4])
    assert (shuffles(ground.lineage, 4, [4])[:, 0] != order[:, 4]).any()


@pytest.mark.parametrize("name", ["both_resistant", "discordant_chemotherapy", "radiation_only"])
def test_permuted_p_are_those_of_scans_one_by_one(ground: Ground, name: str) -> None:
    order = shuffles(ground.lineage, 3, range(60))
    found = permuted_p(ground, order)
    expected: dict[str, list[tuple[int, float]]] = {"pairs": [], "radiation": [], "chemotherapy": []}
    design = ground.designs[0][0]
    for draw, column in enumerate(order.T):
        Y = ground.Y[column]
        t = effects(ground.X, np.column_stack([Y, Y[:, 0] - Y[:, 1]]), design).t
        pairs = {"pairs": t}
        if LISTS[name].signs:
            pairs["radiation"] = np.column_stack([t[:, 0], ground.t[:, 1:]])
            pairs["chemotherapy"] = np.column_stack([ground.t[:, 0], t[:, 1], t[:, 2]])
        for null, values in pairs.items():
            own = run_tests(values, ground.df)[name]
            expected[null] += [(draw, p) for p in own.p[own.fits & (own.p <= 0.05)]]
    for null in ("pairs", "radiation", "chemotherapy") if LISTS[name].signs else ("pairs",):
        got = found[name, null]
        mine = sorted(zip(got.draw[got.fits].tolist(), got.p[got.fits].tolist(), strict=True))
        assert len(mine) == len(expected[null])
        np.testing.assert_allclose(mine, sorted(expected[null]), rtol=0.02)


def test_expected_counts_and_rates(ground: Ground, tmp_path: Path) -> None:
    tests = run_tests(ground.t, ground.df)
    called, expected = permute(ground, tests, draws=220, seed=1, folder=tmp_path)
    assert called.groupby(["list", "level"]).size().eq(220).all()
    rate = empirical_rate(expected, "both_resistant", "any")
    assert rate.p.is_monotonic_increasing
    assert rate.expected.is_monotonic_increasing
    assert rate.rate.is_monotonic_increasing
    assert rate.seen.tolist() == list(range(1, len(rate) + 1))
    assert rate.rate.iloc[0] < 0.05  # the one event that does something
    own = expected[(expected.list == "both_resistant") & (expected.null == "pairs")]
    p = permuted_p(ground, shuffles(ground.lineage, 1, range(220)))["both_resistant", "pairs"].p
    assert own["count"].iloc[-1] == pytest.approx((1 + (p <= own.p.iloc[-1]).sum()) / 221)


def test_finished_pieces_are_not_done_again(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = run_tests(ground.t, ground.df)
    told: list[tuple[int, int]] = []
    first = permute(
        ground, tests, draws=150, seed=1, folder=tmp_path, progress=lambda d, n: told.append((d, n))
    )
    assert told == [(100, 150), (150, 150)]
    monkeypatch.setattr("crossres_ml.scan.permute.permuted_p", lambda *a: pytest.fail("done again"))
    again = permute(ground, tests, draws=150, seed=1, folder=tmp_path)
    pd.testing.assert_frame_equal(first[0], again[0])
    pd.testing.assert_frame_equal(first[1], again[1])


def test_threads_do_not_change_the_result(ground: Ground) -> None:
    tests = run_tests(ground.t, ground.df)
    one, two = (permute(ground, tests, draws=150, seed=1, jobs=j) for j in (1, 2))
    pd.testing.assert_frame_equal(one[1], two[1])


def test_small_p_are_complete() -> None:
    rng = np.random.default_rng(1)
    t = rng.standard_t(20, size=(3, 200, 30))
    df, seen = np.full(200, 20.0), rng.standard_t(20, size=(200, 3))
    found = small_p(t, df, seen)["both_sensitive", "radiation"]
    p = np.maximum(stats.t.cdf(t[0], 20), stats.t.cdf(seen[:, 1], 20)[:, None])
    np.testing.assert_allclose(np.sort(found.p), np.sort(p[p <= 0.05]), rtol=1e-8)
