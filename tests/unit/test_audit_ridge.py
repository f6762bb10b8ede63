"""Ridge: coefficients against scikit-learn, linear SHAP against shap, p-values against permutations."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, rankdata
from sklearn.linear_model import Ridge as SklearnRidge

from crossres_ml.audit.adjust import residualise, tissue_design
from crossres_ml.audit.ridge import EXPLAINED, effects, linear_shap, prepare

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of matplotlib, on import
    import shap

N, K = 120, 60


def study(seed: int = 0) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Adjusted features: correlated, with gaps, one skewed, one a rare event, one tissue; and a design."""
    rng = np.random.default_rng(seed)
    lineage = pd.Series(rng.choice(list("ABCDE"), N, p=[0.45, 0.25, 0.2, 0.07, 0.03]))
    design = tissue_design(lineage)
    X = rng.normal(size=(N, 6)) @ rng.normal(size=(6, K)) + rng.normal(size=(N, K))
    X += rng.normal(size=(design.shape[1], K))[design.argmax(axis=1)]
    X[:, 0] = np.exp(X[:, 0] / 4)
    X[:, 1] = X[:, 1] > 6
    X[rng.random(N) < 0.4, 10:25] = np.nan
    X[:, -1] = design[:, 0]
    y = X[:, 2] * 0.2 + rng.normal(size=N) + design @ rng.normal(size=design.shape[1])
    fitted = residualise(X, design)
    rest = residualise(y[:, None], design)
    return fitted.values, rest.values[:, 0], N - int(rest.rank[0]), design


def penalty(X: np.ndarray) -> float:
    """By its words: mean squared length of a line times (1 - h) / h."""
    return float((X**2).sum(axis=1).mean() * (1 - EXPLAINED) / EXPLAINED)


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_are_those_of_scikit_learn(seed: int) -> None:
    X, y, free, _ = study(seed)
    model = SklearnRidge(alpha=penalty(X), fit_intercept=False, solver="cholesky").fit(X, y)
    np.testing.assert_allclose(effects(prepare(X), y, free)["coefficient"], model.coef_, atol=1e-10)


def test_an_intercept_would_change_nothing() -> None:
    X, y, free, _ = study()
    model = SklearnRidge(alpha=penalty(X), fit_intercept=True).fit(X, y)
    assert model.intercept_ == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(effects(prepare(X), y, free)["coefficient"], model.coef_, atol=1e-8)


def test_linear_shap_is_that_of_shap() -> None:
    X, y, free, _ = study()
    model = SklearnRidge(alpha=penalty(X), fit_intercept=False).fit(X, y)
    background = shap.maskers.Independent(X, max_samples=N)
    values = shap.LinearExplainer((model.coef_, 0.0), background).shap_values(X)
    found = effects(prepare(X), y, free)["mean_abs_shap"]
    np.testing.assert_allclose(found, np.abs(values).mean(axis=0), atol=1e-10)


def test_z_is_the_coefficient_over_its_standard_error_under_no_effect() -> None:
    X, y, free, _ = study()
    M = X.T @ np.linalg.inv(X @ X.T + penalty(X) * np.eye(N))
    sigma = np.sqrt((y**2).sum() / free)
    alive = np.arange(K) < K - 1
    expected = (M @ y)[alive] / (sigma * np.sqrt((M**2).sum(axis=1)[alive]))
    np.testing.assert_allclose(effects(prepare(X), y, free)["z"][alive], expected, atol=1e-9)


def test_analytic_p_agrees_with_permutations_of_the_residuals() -> None:
    X, y, free, _ = study(4)
    ridge = prepare(X)
    found = effects(ridge, y, free)
    rng = np.random.default_rng(0)
    permuted = np.column_stack([rng.permutation(y) for _ in range(4000)])
    null = effects(ridge, permuted, free)["mean_abs_shap"]
    counted = (1 + (null >= found["mean_abs_shap"][:, None] - 1e-15).sum(axis=1)) / 4001
    alive = ridge.norms > 0
    assert counted[alive].min() < 0.02 < 0.5 < counted[alive].max()
    # three Monte-Carlo errors, and a little for what permuted residuals lack in being exchangeable
    error = 3 * np.sqrt(counted * (1 - counted) / 4000)
    np.testing.assert_array_less(np.abs(found["p"] - counted)[alive], (error + 0.02)[alive])
    assert np.abs(found["p"] - counted)[alive].mean() < 0.012


def test_level_without_any_effect_although_lineages_differ() -> None:
    X, _, free, design = study(2)
    rng = np.random.default_rng(1)
    Y = rng.normal(size=(N, 3000)) + 3 * design @ rng.normal(size=(design.shape[1], 3000))
    q = np.linalg.qr(design)[0]
    ridge = prepare(X)
    p = effects(ridge, Y - q @ (q.T @ Y), free)["p"][ridge.norms > 0]
    rates = (p < 0.05).mean(axis=1)
    assert p.shape == (K - 1, 3000)
    np.testing.assert_allclose(rates, 0.05, atol=4 * np.sqrt(0.05 * 0.95 / 3000))
    assert rates.mean() == pytest.approx(0.05, abs=0.004)
    assert kstest(p[7], "uniform").pvalue > 1e-3


def test_many_outcomes_at_once_are_each_alone() -> None:
    X, y, free, _ = study()
    ridge = prepare(X)
    Y = np.column_stack([y, y[::-1], 3 * y])
    many = effects(ridge, Y, free)
    for at in range(3):
        for name, values in effects(ridge, Y[:, at], free).items():
            np.testing.assert_allclose(many[name][:, at], values, atol=1e-12)
    np.testing.assert_allclose(many["p"][:, 0], many["p"][:, 2], atol=1e-12)


def test_table_ranks_by_size_and_leaves_what_is_no_feature_without_p() -> None:
    X, y, free, _ = study()
    names = pd.Index([f"rna:{i}" for i in range(K)])
    table = linear_shap(prepare(X), y, names, free)
    assert list(table.columns) == ["coefficient", "mean_abs_shap", "z", "p", "rank", "of"]
    assert list(table.index) == list(names)
    np.testing.assert_array_equal(table["rank"], rankdata(-table.mean_abs_shap))
    assert table.loc[table.mean_abs_shap.idxmax(), "rank"] == 1
    assert (table.of == K).all()
    gone = table.iloc[-1]
    assert np.isnan(gone.p)
    assert (gone.coefficient, gone["rank"]) == (0, K)
    assert table.p.notna().sum() == K - 1


def test_features_and_lines_in_another_order_give_the_same() -> None:
    X, y, free, _ = study()
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(N), rng.permutation(K)
    first, again = effects(prepare(X), y, free), effects(prepare(X[np.ix_(rows, columns)]), y[rows], free)
    for name in first:
        np.testing.assert_allclose(again[name], first[name][columns], atol=1e-10)


def test_twins_share_the_credit() -> None:
    X, y, free, _ = study()
    table = linear_shap(prepare(np.column_stack([X[:, 2], X])), y, pd.Index(range(K + 1)), free)
    assert table.mean_abs_shap[0] == pytest.approx(table.mean_abs_shap[3])
    assert table["rank"][0] == table["rank"][3]
    alone = linear_shap(prepare(X), y, pd.Index(range(K)), free)
    assert table.mean_abs_shap[0] < alone.mean_abs_shap[2]


def test_a_part_of_the_features_keeps_its_numbers() -> None:
    X, y, free, _ = study()
    ridge, some = prepare(X), np.array([5, 2, K - 1, 40])
    whole, part = effects(ridge, y, free), effects(ridge.of(some), y, free)
    for name in whole:
        np.testing.assert_allclose(part[name], whole[name][some], atol=1e-12)
