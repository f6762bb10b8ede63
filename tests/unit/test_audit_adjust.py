"""Adjustment: scores by hand, designs of imperfect lineages, and residuals against ordinary least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.linalg import qr
from scipy.stats import norm, spearmanr

from crossres_ml.audit.adjust import (
    SMALL_LINEAGE,
    add_covariates,
    basis,
    normal_scores,
    patterns,
    residualise,
    tissue_design,
)

NAN = np.nan
LINEAGE = pd.Series(["A"] * 40 + ["B"] * 25 + ["C"] * 12 + ["D"] * 5 + ["E"] * 4 + ["F"] * 2 + ["G"])


def ragged(seed: int = 0, columns: int = 9) -> np.ndarray:
    """Columns with lineage shifts, some missing by block (also for all lines of a lineage), one with ties."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(LINEAGE), columns)) + rng.normal(size=(7, columns))[LINEAGE.factorize()[0]] * 2
    X[:, 0] = np.round(X[:, 0])
    X[rng.random(len(X)) < 0.4, 3:6] = NAN
    X[(LINEAGE == "C").to_numpy(), 6] = NAN
    X[rng.random(len(X)) < 0.1, 7] = NAN
    return X


def wide_design(seed: int = 1) -> np.ndarray:
    """Lineages, a covariate with gaps, and one that is the same up to scale."""
    rng = np.random.default_rng(seed)
    growth = np.where(rng.random(len(LINEAGE)) < 0.15, NAN, rng.normal(size=len(LINEAGE)))
    table = pd.DataFrame(
        {"growth": growth, "again": 3 * growth - 1, "general": rng.normal(size=len(LINEAGE))}
    )
    return add_covariates(tissue_design(LINEAGE), table)


def independent(design: np.ndarray) -> np.ndarray:
    """Columns that span a design, by a pivoted QR: statsmodels warns of more."""
    _, r, order = qr(design, mode="economic", pivoting=True)
    return design[:, order[: (np.abs(np.diag(r)) > 1e-9).sum()]]


# --- normal scores --------------------------------------------------------------------------------


def test_normal_scores_by_hand_with_ties() -> None:
    ranks = np.array([2.5, 1.0, 2.5, 4.0, 5.0])
    expected = norm.ppf((ranks - 3 / 8) / 5.25)
    np.testing.assert_allclose(normal_scores(np.array([3.0, -1.0, 3.0, 10.0, 1e9])), expected)


def test_normal_scores_only_know_the_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60).round(1)
    np.testing.assert_allclose(normal_scores(np.exp(x)), normal_scores(x))
    np.testing.assert_allclose(normal_scores(-x), -normal_scores(x), atol=1e-12)
    assert spearmanr(x, normal_scores(x)).statistic == pytest.approx(1)
    assert normal_scores(x).mean() == pytest.approx(0, abs=1e-3)


# --- designs --------------------------------------------------------------------------------------


def test_small_lineages_share_a_column_and_one_at_the_border_does_not() -> None:
    design = tissue_design(LINEAGE)
    assert SMALL_LINEAGE == 5
    assert sorted(design.sum(axis=0)) == [5, 7, 12, 25, 40]
    assert (design.sum(axis=1) == 1).all()
    small = LINEAGE.isin(["E", "F", "G"]).to_numpy()
    assert (design[:, design.sum(axis=0) == 7].ravel() == small).all()


def test_a_single_small_lineage_keeps_its_own_column() -> None:
    lineage = pd.Series(["A"] * 10 + ["B"] * 4)
    assert sorted(tissue_design(lineage).sum(axis=0)) == [4, 10]


def test_covariates_are_standardised_over_those_who_have_them_and_marked_where_often_missing() -> None:
    base = np.ones((20, 1))
    values = np.arange(20, dtype=float)
    often, seldom = values.copy(), values.copy()
    often[:5], seldom[:4] = NAN, NAN
    table = pd.DataFrame(
        {"often": often, "seldom": seldom, "flat": 3.0, "nobody": NAN, "one": [1.0] + [NAN] * 19}
    )
    design = add_covariates(base, table)
    assert design.shape == (20, 4)  # intercept, often, its mark, seldom
    np.testing.assert_allclose(design[5:, 1], (often[5:] - often[5:].mean()) / often[5:].std())
    assert (design[:5, 1] == 0).all()
    np.testing.assert_array_equal(design[:, 2], np.isnan(often))
    np.testing.assert_allclose(design[4:, 3].mean(), 0, atol=1e-12)
    assert (design[:4, 3] == 0).all()


def test_no_covariate_leaves_the_design_as_it_is() -> None:
    design = tissue_design(LINEAGE)
    np.testing.assert_array_equal(add_covariates(design, pd.DataFrame(index=LINEAGE.index)), design)


def test_the_basis_spans_the_design_and_counts_its_rank_once() -> None:
    design = wide_design()
    q = basis(design)
    assert q.shape[1] == np.linalg.matrix_rank(design) == design.shape[1] - 2  # growth and its mark, doubled
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-12)
    np.testing.assert_allclose(q @ (q.T @ design), design, atol=1e-9)
    assert basis(np.zeros((5, 2))).shape == (5, 0)


# --- patterns -------------------------------------------------------------------------------------


def test_patterns_group_columns_measured_in_the_same_lines() -> None:
    observed = np.isfinite(ragged())
    groups = patterns(observed)
    assert sorted(np.concatenate(groups)) == list(range(9))
    assert [list(g) for g in groups] == [[0, 1, 2, 8], [3, 4, 5], [6], [7]]
    for columns in groups:
        assert (observed[:, columns] == observed[:, columns[:1]]).all()


# --- residuals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_residuals_are_those_of_least_squares_on_the_measured_lines(seed: int) -> None:
    X, design = ragged(seed), wide_design(seed)
    fitted = residualise(X, design)
    for column, x in enumerate(X.T):
        seen = np.isfinite(x)
        model = sm.OLS(x[seen], independent(design[seen])).fit()
        expected = model.resid / np.sqrt(np.mean(model.resid**2))
        np.testing.assert_allclose(fitted.values[seen, column], expected, atol=1e-8)
        assert (fitted.values[~seen, column] == 0).all()
        assert fitted.rank[column] == np.linalg.matrix_rank(design[seen])
        assert fitted.values[seen, column].std() == pytest.approx(1)
    np.testing.assert_array_equal(fitted.observed, np.isfinite(X))


def test_residuals_are_orthogonal_to_the_whole_design_although_lines_are_missing() -> None:
    design = wide_design()
    np.testing.assert_allclose(design.T @ residualise(ragged(), design).values, 0, atol=1e-9)


def test_residuals_ignore_shift_and_scale_and_follow_the_order_of_rows_and_columns() -> None:
    X, design = ragged(), wide_design()
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    first = residualise(X, design).values
    scale = rng.choice([-1, 1], X.shape[1]) * rng.uniform(0.01, 100, X.shape[1])
    moved = residualise(X * scale + rng.normal(size=X.shape[1]) * 50, design).values
    np.testing.assert_allclose(moved, first * np.sign(scale), atol=1e-8)
    again = residualise(X[np.ix_(rows, columns)], design[rows]).values
    np.testing.assert_allclose(again, first[np.ix_(rows, columns)], atol=1e-9)


def test_adding_what_the_design_explains_changes_nothing() -> None:
    X, design = ragged(), wide_design()
    shift = design @ np.random.default_rng(2).normal(size=(design.shape[1], X.shape[1])) * 5
    np.testing.assert_allclose(
        residualise(X + shift, design).values, residualise(X, design).values, atol=1e-8
    )


@pytest.mark.parametrize(
    "column",
    [
        np.full(len(LINEAGE), 0.1),
        np.full(len(LINEAGE), 1e8),
        np.full(len(LINEAGE), NAN),
        (LINEAGE == "B").to_numpy(dtype=float) * 7 + 0.3,
        np.where(np.arange(len(LINEAGE)) == 4, 2.0, NAN),
        np.where(LINEAGE == "G", 2.0, NAN),
    ],
    ids=["constant", "large constant", "nothing measured", "lineage itself", "one line", "a singleton"],
)
def test_a_column_without_variance_after_adjustment_is_zero_everywhere(column: np.ndarray) -> None:
    other = ragged()[:, :1]
    fitted = residualise(np.column_stack([column, other]), tissue_design(LINEAGE))
    assert (fitted.values[:, 0] == 0).all()
    assert fitted.values[:, 1].std() == pytest.approx(1)
    np.testing.assert_array_equal(fitted.observed[:, 0], np.isfinite(column))


def test_a_singleton_lineage_in_a_column_is_explained_in_full() -> None:
    lineage = pd.Series(["A"] * 30 + ["B"] * 10)
    x = np.random.default_rng(0).normal(size=(40, 1))
    x[31:] = NAN  # only one line of B is measured
    fitted = residualise(x, tissue_design(lineage))
    assert fitted.rank[0] == 2
    assert fitted.values[30, 0] == pytest.approx(0, abs=1e-9)


def test_the_rank_does_not_count_lineages_that_nobody_was_measured_in() -> None:
    fitted = residualise(ragged(), tissue_design(LINEAGE))
    assert list(fitted.rank[[0, 6]]) == [5, 4]
