"""Estimators against shap, scikit-learn and plain loops, on tables with gaps, ties and constants."""

from __future__ import annotations

import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from crossres_ml.config import FeatureConfig
from crossres_ml.errors import CohortError
from crossres_ml.models.estimators import (
    BURDEN,
    ESTIMATORS,
    LightGBMScore,
    LineageMean,
    LogisticScore,
    MutationBurden,
    Prevalence,
    RidgeScore,
    select_features,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

CONFIG = FeatureConfig(blocks=("rna",), min_coverage=0.5, min_events=5, always=("rna:SOME", "rna:FEW"))
N, NEW = 120, 30


def table(n: int, seed: int) -> pd.DataFrame:
    """Lines with a block that is missing for some, ties, duplicates and rare events."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, 12)), columns=[f"rna:G{i:02d}" for i in range(12)])
    x.loc[rng.random(n) < 0.3, [f"rna:G{i:02d}" for i in range(6, 12)]] = np.nan
    x["rna:G01"] = x["rna:G00"].round(0)
    x["rna:G02"] = x["rna:G00"]
    x["rna:CONSTANT"] = 2.0
    x["rna:EMPTY"] = np.nan
    x["rna:SOME"] = np.where(np.arange(n) < 25, rng.normal(size=n), np.nan)
    x["rna:FEW"] = np.where(np.arange(n) < 19, rng.normal(size=n), np.nan)
    x["mutation:OFTEN"] = (rng.random(n) < 0.3).astype(float)
    x["mutation:RARE"] = (np.arange(n) < 3).astype(float)
    x["mutation:ALMOST_ALL"] = (np.arange(n) >= 3).astype(float)
    x["burden:mutated_genes"] = rng.normal(3, 0.3, n)
    for i, name in enumerate(("Bone", "Lung", "Skin")):
        x[f"lineage:{name}"] = (np.arange(n) % 3 == i).astype(float)
    x.index = pd.Index([f"ACH-{seed:03d}{i:03d}" for i in range(n)], name="model_id")
    return x.sort_index(axis=1).astype(np.float32)


X, FRESH = table(N, 1), table(NEW, 2)
Y = (X["rna:G00"] - X["rna:G06"].fillna(0) + np.random.default_rng(3).normal(size=N)).to_numpy(dtype=float)
LABEL = (np.quantile(Y, 2 / 3) <= Y).astype(float)
KEPT = [c for c in X.columns if c not in
        ("rna:CONSTANT", "rna:EMPTY", "rna:FEW", "mutation:RARE", "mutation:ALMOST_ALL")]  # fmt: skip
ridge = RidgeScore(CONFIG, 1, alpha=300.0)
logistic = LogisticScore(CONFIG, 1, C=1e-2)
trees = LightGBMScore(CONFIG, 1, num_leaves=8, n_estimators=60)
for estimator in (ridge, logistic, trees):
    estimator.fit(X, Y, LABEL)


def plain_selection(x: pd.DataFrame, config: FeatureConfig) -> list[str]:
    kept = []
    for name in x.columns:
        values = x[name].dropna()
        enough = len(values) >= config.min_coverage * len(x) or (name in config.always and len(values) >= 20)
        rare = (
            name.split(":")[0] in ("mutation", "variant", "driver", "lineage")
            and min((values != 0).sum(), (values == 0).sum()) < config.min_events
        )
        if enough and len(set(values)) > 1 and not rare:
            kept.append(name)
    return kept


@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("events", [1, 4, 40])
def test_selection_is_that_of_a_loop(coverage: float, events: int) -> None:
    config = FeatureConfig(
        blocks=("rna",), min_coverage=coverage, min_events=events, always=("rna:SOME", "rna:FEW")
    )
    assert select_features(X, config) == plain_selection(X, config)


def test_selection_keeps_what_it_says() -> None:
    assert select_features(X, CONFIG) == KEPT
    assert ridge.columns == logistic.columns == trees.columns == KEPT


def test_nothing_to_learn_from_is_said() -> None:
    for name in ("ridge", "logistic", "lightgbm", "mutation_burden"):
        kind = ESTIMATORS[name]
        with pytest.raises(CohortError, match=f"no feature to learn from in {N} lines"):
            kind(CONFIG, 1, **kind.grid[0]).fit(X[["rna:CONSTANT", "rna:EMPTY"]], Y, LABEL)


def prepared() -> tuple[np.ndarray, np.ndarray]:
    """Training and new lines as scikit-learn alone imputes and scales them."""
    imputer, scaler = SimpleImputer(strategy=ridge.pipeline_[0].strategy), StandardScaler()
    train = scaler.fit_transform(imputer.fit_transform(X[KEPT].to_numpy(dtype=float)))
    return train, scaler.transform(imputer.transform(FRESH[KEPT].to_numpy(dtype=float)))


def test_ridge_is_that_of_the_normal_equations() -> None:
    train, new = prepared()
    beta = np.linalg.solve(train.T @ train + 300.0 * np.eye(train.shape[1]), train.T @ (Y - Y.mean()))
    np.testing.assert_allclose(ridge.score(FRESH), new @ beta + Y.mean(), rtol=1e-9)
    np.testing.assert_allclose(Ridge(alpha=300.0).fit(train, Y).predict(new), ridge.score(FRESH), rtol=1e-9)


def test_logistic_is_that_of_scikit_learn() -> None:
    train, new = prepared()
    other = LogisticRegression(C=1e-2, tol=1e-9, max_iter=10_000).fit(train, LABEL)
    np.testing.assert_allclose(logistic.score(FRESH), other.decision_function(new), atol=1e-4)


def test_burden_is_a_straight_line() -> None:
    one = MutationBurden(CONFIG, 1).fit(X, Y, LABEL)
    assert one.columns == [BURDEN]
    line = LinearRegression().fit(X[[BURDEN]].astype(float), Y)
    np.testing.assert_allclose(one.score(FRESH), line.predict(FRESH[[BURDEN]].astype(float)), rtol=1e-6)


@pytest.mark.parametrize("estimator", [ridge, logistic], ids=["ridge", "logistic"])
def test_linear_explanation_is_that_of_shap(estimator: RidgeScore) -> None:
    train, new = prepared()
    masker = shap.maskers.Independent(train, max_samples=len(train))
    explained = shap.LinearExplainer(estimator.pipeline_[-1], masker)(new).values
    ours = estimator.explain(FRESH)
    assert list(ours.columns) == KEPT
    np.testing.assert_allclose(ours, explained, atol=1e-9)


def test_tree_explanation_is_that_of_shap() -> None:
    explainer = shap.TreeExplainer(trees.booster_)
    values = explainer.shap_values(FRESH[KEPT].to_numpy(dtype=float))
    np.testing.assert_allclose(trees.explain(FRESH), values, atol=1e-9)
    total = trees.explain(FRESH).sum(axis=1) + float(np.ravel(explainer.expected_value)[0])
    np.testing.assert_allclose(total, trees.score(FRESH), atol=1e-9)


@pytest.mark.parametrize("estimator", [ridge, logistic], ids=["ridge", "logistic"])
def test_linear_explanation_adds_up(estimator: RidgeScore) -> None:
    total = estimator.explain(FRESH).sum(axis=1)
    np.testing.assert_allclose(total, estimator.score(FRESH) - estimator.score(X).mean(), atol=1e-9)


@pytest.mark.parametrize("estimator", [ridge, logistic, trees], ids=["ridge", "logistic", "lightgbm"])
def test_columns_are_found_by_name(estimator: RidgeScore) -> None:
    reversed_, extra = FRESH[FRESH.columns[::-1]], FRESH.assign(other=1.0)
    for other in (reversed_, extra):
        np.testing.assert_array_equal(estimator.score(other), estimator.score(FRESH))
        pdt.assert_frame_equal(estimator.explain(other), estimator.explain(FRESH))


@pytest.mark.parametrize("estimator", [ridge, logistic, trees], ids=["ridge", "logistic", "lightgbm"])
def test_lines_without_any_value_and_lines_twice(estimator: RidgeScore) -> None:
    empty = pd.DataFrame(np.nan, ["a", "b"], FRESH.columns, dtype=np.float32)
    scores = estimator.score(empty)
    assert np.isfinite(scores).all()
    assert scores[0] == scores[1]
    twice = pd.concat([FRESH, FRESH])
    np.testing.assert_allclose(estimator.score(twice), np.tile(estimator.score(FRESH), 2), rtol=1e-12)


def test_missing_is_native_to_the_trees() -> None:
    """Filled with the median, a missing value scores otherwise: nothing was imputed on the way."""
    filled = FRESH.fillna(X.median())
    assert FRESH[KEPT].isna().any().any()
    assert (trees.score(filled) != trees.score(FRESH)).any()


def test_trees_are_the_same_again_and_parameters_are_read_back() -> None:
    again = LightGBMScore(CONFIG, 1, num_leaves=8, n_estimators=60).fit(X, Y, LABEL)
    assert again.booster_.model_to_string() == trees.booster_.model_to_string()
    other = LightGBMScore(CONFIG, 2, num_leaves=8, n_estimators=60).fit(X, Y, LABEL)
    assert other.booster_.model_to_string() != trees.booster_.model_to_string()
    read = trees.parameters()
    assert (read["num_leaves"], read["n_estimators"], read["n_features"]) == (8, 60, len(KEPT))
    reloaded = lgb.Booster(model_str=trees.booster_.model_to_string())
    assert reloaded.num_trees() == 60
    assert ridge.parameters()["alpha"] == 300.0
    assert logistic.parameters()["C"] == 1e-2


def test_lineage_mean_is_a_group_by() -> None:
    seen = X[X["lineage:Skin"] == 0]
    y = Y[(X["lineage:Skin"] == 0).to_numpy()]
    model = LineageMean(CONFIG, 1).fit(seen, y, np.zeros(len(y)))
    lineage = FRESH.filter(like="lineage:").idxmax(axis=1)
    means = pd.Series(y, seen.filter(like="lineage:").idxmax(axis=1)).groupby(level=0).mean()
    expected = lineage.map(means).fillna(y.mean())  # skin was never seen
    np.testing.assert_allclose(model.score(FRESH), expected, rtol=1e-12)
    np.testing.assert_allclose(model.explain(FRESH).sum(axis=1) + y.mean(), expected, rtol=1e-12)
    unknown = FRESH.assign(**{c: np.nan for c in FRESH.columns if c.startswith("lineage:")})
    np.testing.assert_allclose(model.score(unknown), y.mean())


def test_prevalence_ranks_nothing() -> None:
    model = Prevalence(CONFIG, 1).fit(X, Y, LABEL)
    assert set(model.score(FRESH)) == {0.0}
    assert model.explain(FRESH).shape == (NEW, 0)


def test_baselines_are_marked() -> None:
    assert [n for n, c in ESTIMATORS.items() if c.baseline] == [
        "prevalence", "lineage_mean", "mutation_burden",
    ]  # fmt: skip
