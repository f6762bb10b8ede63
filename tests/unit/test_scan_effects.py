"""Effects of the scan, against statsmodels on columns with ties, gaps and small lineages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from crossres_ml.audit.adjust import add_covariates, basis, tissue_design
from crossres_ml.scan.effects import adjust_events, effects, sparse_basis

N = 130


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events and levels with gaps, two responses with ties, a design of lineages and a covariate."""
    rng = np.random.default_rng(0)
    lineage = pd.Series(rng.choice(list("abcdefgh"), N, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02]))
    X = rng.normal(size=(N, 9))
    X[:, :3] = rng.random((N, 3)) < 0.1
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 4] = np.where(lineage == "a", X[:, 4], np.nan)  # one lineage alone: the design loses columns
    X[:, 5] = np.exp(3 * X[:, 5])  # a few lines far out
    X[:, 6] = (lineage == "b").astype(float)  # nothing is left of it
    X[:, 7] = np.where(np.arange(N) == 3, 1.0, 0.0)  # rests on one line
    X[:, 8] = np.where(np.arange(N) < 12, X[:, 8], np.nan)  # too few lines
    covariate = pd.DataFrame({"growth": np.where(rng.random(N) < 0.2, np.nan, rng.normal(size=N))})
    Y = np.column_stack([rng.exponential(size=N) * (1 + (lineage == "a")), np.round(rng.normal(size=N))])
    return X, Y, add_covariates(tissue_design(lineage), covariate)


def fitted(x: np.ndarray, y: np.ndarray, design: np.ndarray) -> sm.regression.linear_model.RegressionResults:
    """Ordinary least squares of statsmodels on standardised values, with HC3 errors."""
    zx, zy = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    own = np.linalg.svd(design, full_matrices=False)
    return sm.OLS(zy, np.column_stack([zx, own[0][:, own[1] > 1e-9]])).fit(cov_type="HC3", use_t=True)


@pytest.mark.parametrize("column", range(6))
@pytest.mark.parametrize("response", [0, 1])
def test_slope_and_error_are_those_of_statsmodels(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], column: int, response: int
) -> None:
    X, Y, design = data
    found = effects(X, Y, design)
    known = np.isfinite(X[:, column])
    other = fitted(X[known, column], Y[known, response], design[known])
    assert found.effect[column, response] == pytest.approx(other.params[0], abs=1e-10)
    assert found.se[column, response] == pytest.approx(other.bse[0], rel=1e-8)
    assert found.free[column] == other.df_resid
    t = found.t[column, response]
    assert 2 * stats.t.sf(abs(t), found.free[column]) == pytest.approx(other.pvalues[0], rel=1e-8)


def test_degrees_of_freedom_are_those_of_the_quadratic_form(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, Y, design = data
    found = effects(X, Y, design)
    for column in (0, 3, 5):
        known = np.isfinite(X[:, column])
        whole = np.column_stack([X[known, column], design[known]])
        hat = whole @ np.linalg.pinv(whole)
        M = np.eye(len(whole)) - hat
        rest = X[known, column] - design[known] @ (np.linalg.pinv(design[known]) @ X[known, column])
        B = M @ np.diag((rest / np.diag(M)) ** 2) @ M  # y' B y is the variance, up to a factor
        assert found.df[column] == pytest.approx(np.trace(B) ** 2 / np.trace(B @ B), rel=1e-8)


def test_p_and_interval_use_them(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, Y, design = data
    found = effects(X, Y, design)
    low, high = found.interval()
    for column in (1, 5):
        t, df = found.t[column, 0], found.df[column]
        assert found.p[column, 0] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-10)
        wide = stats.t.ppf(0.975, df) * found.se[column, 0]
        assert (high[column, 0] - low[column, 0]) / 2 == pytest.approx(wide, rel=1e-10)


@pytest.mark.parametrize("column", [6, 7, 8])
def test_without_information_there_is_no_number(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], column: int
) -> None:
    found = effects(*data)
    assert np.isnan([found.effect[column], found.se[column], found.p[column]]).all()


def test_rare_events_are_not_called_too_often() -> None:
    """With 12 of 300 lines, t with the residual degrees of freedom errs; the ones used here do not."""
    rng = np.random.default_rng(4)
    X = np.zeros((300, 400))
    for column in X.T:
        column[rng.choice(300, 12, replace=False)] = 1
    found = effects(X, rng.normal(size=(300, 200)), np.ones((300, 1)))
    assert (found.p < 1e-3).mean() < 1.2e-3
    assert (2 * stats.t.sf(np.abs(found.t), 298) < 1e-3).mean() > 2e-3


def test_a_subset_of_columns_and_a_response_that_does_not_vary(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, Y, design = data
    flat = np.column_stack([Y[:, 0], np.ones(N)])
    found, whole = effects(X, flat, design, np.array([1, 3])), effects(X, Y, design)
    assert np.isfinite(found.effect[:, 0]).nonzero()[0].tolist() == [1, 3]
    assert np.isnan(found.effect[:, 1]).all()
    np.testing.assert_allclose(found.effect[[1, 3], 0], whole.effect[[1, 3], 0], atol=1e-12)


def test_single_precision_gives_the_same_t(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, Y, design = data
    for part in adjust_events(X[:, :6], design):
        b, se = part.slopes(part.outcome(Y)[0])
        small = part.single()
        b32, se32 = small.slopes(small.outcome(Y.astype(np.float32))[0])
        assert b32.dtype == np.float32
        np.testing.assert_allclose(b32 / se32, b / se, atol=2e-3)


def test_the_sparse_basis_spans_the_same_and_keeps_lineages_apart() -> None:
    rng = np.random.default_rng(0)
    lineage = tissue_design(pd.Series(rng.choice(list("abcd"), 50)))
    whole = np.column_stack([lineage, rng.normal(size=50)])
    twice = np.column_stack([whole, lineage[:, 0] + whole[:, -1], np.zeros(50)])  # of less than full rank
    for design in (lineage, whole, twice, whole[:4]):
        q, other = sparse_basis(design), basis(design)
        np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-12)
        np.testing.assert_allclose(q @ q.T, other @ other.T, atol=1e-12)
    assert ((sparse_basis(whole)[:, : lineage.shape[1]] != 0).sum(axis=1) == 1).all()
