"""Partial correlations against statsmodels on imperfect inputs; power by scipy; false discovery rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.linalg import qr
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

from crossres_ml.audit.adjust import add_covariates, normal_scores, tissue_design
from crossres_ml.audit.association import (
    MIN_FREE,
    benjamini_hochberg,
    describe_correlation,
    partial_correlations,
)

NAN = np.nan
N = 130


def study(seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Features with ties and gaps, an outcome with ties, and designs of lineage and collinear covariates."""
    rng = np.random.default_rng(seed)
    lineage = pd.Series(rng.choice(list("ABCDEF"), N, p=[0.4, 0.3, 0.15, 0.08, 0.05, 0.02]))
    lineage.iloc[-1] = "Z"
    codes = lineage.factorize()[0]
    X = rng.normal(size=(N, 7)) + rng.normal(size=(8, 7))[codes]
    y = normal_scores((X[:, 0] + 0.5 * X[:, 4] + rng.normal(size=8)[codes] + rng.normal(size=N)).round(1))
    X[:, 1] = X[:, 1].round()
    X[:, 2] = X[:, 2] > 1.2
    X[rng.random(N) < 0.5, 3:5] = NAN
    X[codes == 1, 5] = NAN
    X[rng.random(N) < 0.05, 6] = NAN
    growth = np.where(rng.random(N) < 0.2, NAN, rng.normal(size=N))
    covariates = pd.DataFrame(
        {"growth": growth, "double": 2 * growth, "general": rng.normal(size=N) + 0.3 * y}
    )
    tissue = tissue_design(lineage)
    return pd.DataFrame(X, columns=list("abcdefg")), y, tissue, add_covariates(tissue, covariates)


def independent(design: np.ndarray) -> np.ndarray:
    """Columns that span a design, by a pivoted QR: statsmodels warns of more."""
    _, r, order = qr(design, mode="economic", pivoting=True)
    return design[:, order[: (np.abs(np.diag(r)) > 1e-9).sum()]]


def by_regression(x: np.ndarray, y: np.ndarray, design: np.ndarray) -> dict[str, float]:
    """Partial r from the t of an ordinary regression; its interval by Fisher."""
    seen = np.isfinite(x)
    model = sm.OLS(y[seen], np.column_stack([x[seen], independent(design[seen])])).fit()
    df = seen.sum() - np.linalg.matrix_rank(design[seen]) - 1
    assert model.df_resid == df
    r = model.tvalues[0] / np.sqrt(model.tvalues[0] ** 2 + df)
    low, high = np.tanh(np.arctanh(r) + stats.norm.ppf([0.025, 0.975]) / np.sqrt(df - 1))
    return {"n": seen.sum(), "df": df, "r": r, "low": low, "high": high, "p": model.pvalues[0]}


@pytest.mark.parametrize("which", ["constant", "tissue", "full"])
@pytest.mark.parametrize("seed", range(3))
def test_against_regression(seed: int, which: str) -> None:
    X, y, tissue, full = study(seed)
    design = {"constant": np.ones((N, 1)), "tissue": tissue, "full": full}[which]
    table = partial_correlations(X, y, design)
    assert list(table.columns) == ["n", "df", "r", "low", "high", "p", "mde"]
    for name in X:
        expected = by_regression(X[name].to_numpy(), y, design)
        assert table.loc[name, list(expected)].to_dict() == pytest.approx(expected, abs=1e-9)
    assert table.n.nunique() >= 4


def test_without_covariates_it_is_the_plain_correlation() -> None:
    X, y, *_ = study(0)
    seen = X.d.notna()
    expected = stats.pearsonr(X.d[seen], y[seen])
    found = partial_correlations(X, y, np.ones((N, 1))).loc["d"]
    interval = expected.confidence_interval()
    assert (found.r, found.p) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-10)


def test_a_p_far_out_in_the_tail_is_not_rounded_to_zero() -> None:
    x = np.random.default_rng(0).normal(size=N)
    y = x + 0.05 * np.random.default_rng(1).normal(size=N)
    found = partial_correlations(pd.DataFrame({"x": x}), y, np.ones((N, 1))).loc["x"]
    assert 0 < found.p < 1e-100
    assert found.p == pytest.approx(stats.pearsonr(x, y).pvalue, rel=1e-6)


def test_order_of_rows_and_columns_shift_and_scale_do_not_matter() -> None:
    X, y, _, full = study(1)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(N), rng.permutation(list(X))
    first = partial_correlations(X, y, full)
    again = partial_correlations((X * 7 - 3).iloc[rows][list(columns)], y[rows] * 2 + 1, full[rows])
    pd.testing.assert_frame_equal(again.loc[first.index], first, check_exact=False, atol=1e-9)
    turned = partial_correlations(-X, y, full)
    np.testing.assert_allclose(turned[["r", "low", "high"]], -first[["r", "high", "low"]], atol=1e-9)
    np.testing.assert_allclose(turned[["p", "mde"]], first[["p", "mde"]], atol=1e-9)


def test_what_does_not_vary_has_no_correlation() -> None:
    X, y, tissue, _ = study(2)
    one_lineage = tissue[:, tissue.sum(axis=0).argmax()] == 1
    X = X.assign(flat=0.1, nothing=NAN, tissue=tissue[:, 0], one=np.where(np.arange(N) == 3, 1.0, NAN))
    table = partial_correlations(X, y, tissue)
    gone = ["flat", "nothing", "tissue", "one"]
    assert table.loc[gone, ["r", "low", "high", "p", "mde"]].isna().all().all()
    assert list(table.n[gone]) == [N, 0, N, 1]
    assert table.loc[list("abcdefg"), "r"].notna().all()
    only = partial_correlations(X[["a"]].mask(~one_lineage[:, None]), y, tissue).loc["a"]
    seen = one_lineage & np.isfinite(X.a)
    assert only.r == pytest.approx(np.corrcoef(X.a[seen], y[seen])[0, 1])


@pytest.mark.parametrize("value", [0.7, -3.1e5, 1 / 3])
def test_an_outcome_that_is_the_same_in_all_measured_lines_correlates_with_nothing(value: float) -> None:
    rng = np.random.default_rng(0)
    lineage = pd.Series(["A"] * 25 + ["B"] * 15)
    y = rng.normal(size=40)
    y[:25] = value
    x = pd.DataFrame({"x": np.where(np.arange(40) < 25, rng.normal(size=40), NAN)})
    for design in (np.ones((40, 1)), tissue_design(lineage)):
        assert np.isnan(partial_correlations(x, y, design).r["x"])


@pytest.mark.parametrize("free", [MIN_FREE - 1, MIN_FREE])
def test_fewest_degrees_of_freedom(free: int) -> None:
    rng = np.random.default_rng(free)
    n = free + 1 + 2
    design = tissue_design(pd.Series(["A"] * 6 + ["B"] * (n - 6)))
    found = partial_correlations(pd.DataFrame({"x": rng.normal(size=n)}), rng.normal(size=n), design).loc["x"]
    assert found.df == free
    assert np.isfinite(found.r) == (free >= MIN_FREE)
    assert np.isfinite(found.mde) == (free >= MIN_FREE)


def test_a_perfect_correlation_keeps_finite_numbers() -> None:
    x = np.arange(30.0)
    found = partial_correlations(pd.DataFrame({"x": x, "y": -x}), 2 * x, np.ones((30, 1)))
    assert np.isfinite(found.to_numpy()).all()
    assert (found.p < 1e-50).all()
    assert list(np.sign(found.r)) == [1, -1]


# --- detectable effects ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "rank"), [(40, 1), (150, 12), (500, 30)])
def test_the_detectable_effect_has_the_stated_power(n: int, rank: int) -> None:
    found = describe_correlation(np.array([0.1]), np.array([n]), np.array([rank]))
    df = n - rank - 1
    r, standard = found["mde"][0], np.arctanh(found["mde"][0]) * np.sqrt(df - 1)
    assert found["df"][0] == df
    assert NormalIndPower(ddof=0).power(standard, 1, 0.05, ratio=0) == pytest.approx(0.80, abs=1e-4)
    # the t test itself, when both vary together: t | x is noncentral with r / sqrt(1 - r^2) times |x|
    rng = np.random.default_rng(n)
    shift = r / np.sqrt(1 - r**2) * np.sqrt(rng.chisquare(df + 1, 4000))
    cut = stats.t.isf(0.025, df)
    power = np.mean(stats.nct.sf(cut, df, shift) + stats.nct.cdf(-cut, df, shift))
    assert power == pytest.approx(0.80, abs=0.015)


def test_the_detectable_effect_by_simulation_with_lineages() -> None:
    rng = np.random.default_rng(0)
    design = tissue_design(pd.Series(np.repeat(list("ABCDE"), [40, 30, 20, 10, 6])))
    n = len(design)
    r = describe_correlation(np.array([0.0]), np.array([n]), np.array([5]))["mde"][0]
    found = []
    for _ in range(30):
        y = rng.normal(size=n)
        X = pd.DataFrame(r * y[:, None] + np.sqrt(1 - r**2) * rng.normal(size=(n, 60)))
        found.append((partial_correlations(X, y, design).p < 0.05).mean())
    assert np.mean(found) == pytest.approx(0.80, abs=0.05)


def test_nothing_correlated_is_called_in_one_of_twenty() -> None:
    rng = np.random.default_rng(3)
    _, _, _, full = study(0)
    X = pd.DataFrame(rng.normal(size=(N, 2000))).mask(rng.random((N, 2000)) < 0.002)
    table = partial_correlations(X, rng.normal(size=N), full)
    assert (table.p < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert ((table.low > 0) | (table.high < 0)).mean() == pytest.approx(0.05, abs=0.02)


def test_unknown_and_hopeless_correlations() -> None:
    found = describe_correlation(np.array([NAN, 0.2, 0.2]), np.array([50, 12, 8]), np.array([2, 10, 9]))
    assert list(found["df"]) == [47, 1, -2]
    for name in ("low", "high", "p", "mde"):
        assert np.isnan(found[name][0])
        assert np.isnan(found[name][2])


# --- false discovery rates ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_adjusted_p_against_statsmodels_and_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.r_[rng.random(40).round(2), rng.beta(0.1, 5, 15), 0.0, 1.0, 1.0]
    rng.shuffle(p)
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


def test_missing_p_values_stay_out_of_the_count() -> None:
    p = np.array([0.01, NAN, 0.04, 0.03, NAN])
    found = benjamini_hochberg(p)
    assert list(np.isnan(found)) == [False, True, False, False, True]
    np.testing.assert_allclose(found[[0, 2, 3]], stats.false_discovery_control([0.01, 0.04, 0.03]))
    assert np.isnan(benjamini_hochberg(np.array([NAN, NAN]))).all()
    assert len(benjamini_hochberg(np.array([]))) == 0
