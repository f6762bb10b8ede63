"""Calibrated SHAP of groups: the linear one against a loop, its level, and what another seed moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from crossres_ml.audit import drivers
from crossres_ml.audit.data import view_of
from crossres_ml.audit.drivers import linear_group_p
from crossres_ml.audit.matrix import Matrix
from crossres_ml.audit.ridge import prepare

N, FEATURES = 120, 30
GROUPS = {"C01": [0], "C02": [1, 2, 3], "gene X": [4, 5]}


def made(seed: int, effect: float = 0.0) -> Matrix:
    rng = np.random.default_rng(seed)
    lineage = pd.Series(rng.choice(list("ABC"), N), [f"ACH-{i:06d}" for i in range(N)])
    X = rng.normal(size=(N, FEATURES))
    X[:, 2] = 0.8 * X[:, 1] + 0.6 * X[:, 2]
    y = pd.Series(effect * X[:, 1] + rng.normal(size=N), lineage.index)
    view = view_of("radiation", y, lineage, pd.DataFrame(index=lineage.index))
    return Matrix(view, pd.Index([f"rna:G{i:02d}" for i in range(FEATURES)]), X, GROUPS)


def test_linear_group_p_is_that_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "LINEAR_DRAWS", 60)
    matrix = made(1, effect=0.3)
    ridge, rng = prepare(matrix.X), np.random.default_rng([5, 3])
    outcomes = [matrix.view.residual, *(rng.permutation(matrix.view.residual) for _ in range(60))]
    expected = []
    for members in GROUPS.values():
        weights = []
        for y in outcomes:
            beta = ridge.map_ @ y
            weights.append(np.mean(np.abs(sum(beta[j] * matrix.X[:, j] for j in members))))
        expected.append((1 + sum(w >= weights[0] for w in weights[1:])) / 61)
    np.testing.assert_allclose(linear_group_p(matrix, 5), expected)


def test_a_driver_is_found_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "LINEAR_DRAWS", 999)
    p = dict(zip(GROUPS, linear_group_p(made(2, effect=0.5), 0), strict=True))
    assert p["C02"] < 0.02
    assert min(p["C01"], p["gene X"]) > 0.05


def test_without_any_effect_p_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "LINEAR_DRAWS", 99)
    found = np.array([linear_group_p(made(seed), seed) for seed in range(150)])
    for column in found.T:
        assert kstest(column - 0.005, "uniform").pvalue > 0.001
    assert 0.02 < (found <= 0.05).mean() < 0.09


def test_other_seeds_of_the_trees_widen_the_error_of_p() -> None:
    matrix = made(3, effect=0.2)
    nulls = pd.DataFrame(np.linspace(0, 1, 99)[:, None] * np.ones(3), columns=list(GROUPS))
    values = np.zeros((N, FEATURES))
    values[:, 0] = 0.5  # half of the null lies above
    steady = drivers._against_null(values, matrix, nulls, np.full((4, 3), 0.5))
    moved = drivers._against_null(values, matrix, nulls, np.array([[0.1] * 3, [0.9] * 3] * 2))
    draws_alone = np.sqrt(0.5 * 0.5 / 99)
    assert steady.p_error["C01"] == pytest.approx(draws_alone, rel=0.02)
    assert moved.p_error["C01"] == pytest.approx(
        np.hypot(draws_alone, np.std([0.9, 0.1] * 2, ddof=1)), rel=0.05
    )
    assert moved.p.equals(steady.p)
