"""Estimators against shap, scikit-learn and plain loops, on tables with gaps, ties and constants."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from typing import get_args

import lightgbm as lgb
import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from crossres_ml.config import FeatureConfig
from crossres_ml.config_names import Combined
from crossres_ml.errors import CohortError
from crossres_ml.models.baselines import (
    RSI,
    GeneralSensitivity,
    LineageMean,
    MutationBurden,
    Prevalence,
    RadiosensitivityIndex,
    SubtypeMean,
)
from crossres_ml.models.estimators import BURDEN, Estimator, TrainingView, select_features
from crossres_ml.models.linear import ElasticNetScore, LogisticScore, RidgeScore
from crossres_ml.models.registry import ABOUT, ESTIMATORS
from crossres_ml.models.trees import ExtraTreesScore, LightGBMClass, LightGBMScore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

BLOCKS = ("rna", "mutation", "burden", "lineage")
ALWAYS = ("rna:SOME", "rna:FEW", "rppa:NAMED")
CONFIG = FeatureConfig(blocks=BLOCKS, min_coverage=0.5, min_events=5, always=ALWAYS)
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
    x["rppa:NAMED"], x["rppa:OTHER"] = rng.normal(size=(2, n))
    x["burden:mutated_genes"] = rng.normal(3, 0.3, n)
    for i, name in enumerate(("Bone", "Lung", "Skin")):
        x[f"lineage:{name}"] = (np.arange(n) % 3 == i).astype(float)
    x.index = pd.Index([f"ACH-{seed:03d}{i:03d}" for i in range(n)], name="model_id")
    return x.sort_index(axis=1).astype(np.float32)


X, FRESH = table(N, 1), table(NEW, 2)
Y = (X["rna:G00"] - X["rna:G06"].fillna(0) + np.random.default_rng(3).normal(size=N)).to_numpy(dtype=float)
LABEL = (np.quantile(Y, 2 / 3) <= Y).astype(float)
LEFT_OUT = ("rna:CONSTANT", "rna:EMPTY", "rna:FEW", "mutation:RARE", "mutation:ALMOST_ALL", "rppa:OTHER")
KEPT = [c for c in X.columns if c not in LEFT_OUT]


def view(
    x: pd.DataFrame, y: np.ndarray, label: np.ndarray | None = None, sensitivity: np.ndarray | None = None
) -> TrainingView:
    """All lines are scored, and nobody is related."""
    label = np.zeros(len(y)) if label is None else label
    other = np.full(len(y), np.nan) if sensitivity is None else sensitivity
    return TrainingView(x, y, label, np.arange(len(y)).astype(str), np.ones(len(y), dtype=bool), other)


VIEW = view(X, Y, LABEL)
ridge = RidgeScore(CONFIG, 1, alpha=300.0)
logistic = LogisticScore(CONFIG, 1, C=1e-2)
elastic = ElasticNetScore(CONFIG, 1, share=0.1)
trees = LightGBMScore(CONFIG, 1, num_leaves=8, n_estimators=60)
classes = LightGBMClass(CONFIG, 1, num_leaves=4, n_estimators=40)
forest = ExtraTreesScore(CONFIG, 1, min_samples_leaf=3, n_estimators=100, max_features=0.05)
FITTED: tuple[Estimator, ...] = (ridge, logistic, elastic, trees, classes, forest)
for estimator in FITTED:
    estimator.fit(VIEW)
LINEAR, EVERY = (
    pytest.mark.parametrize("estimator", which, ids=lambda e: e.name)
    for which in ((ridge, logistic, elastic), FITTED)
)


def plain_selection(x: pd.DataFrame, config: FeatureConfig) -> list[str]:
    kept = []
    for name in x.columns:
        values = x[name].dropna()
        enough = len(values) >= config.min_coverage * len(x) or (name in config.always and len(values) >= 20)
        rare = (
            name.split(":")[0] in ("mutation", "variant", "driver", "lineage")
            and min((values != 0).sum(), (values == 0).sum()) < config.min_events
        )
        mine = name.split(":")[0] in config.blocks or name in config.always
        if mine and enough and len(set(values)) > 1 and not rare:
            kept.append(name)
    return kept


@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("events", [1, 4, 40])
def test_selection_is_that_of_a_loop(coverage: float, events: int) -> None:
    config = FeatureConfig(blocks=BLOCKS, min_coverage=coverage, min_events=events, always=ALWAYS)
    assert select_features(X, config) == plain_selection(X, config)


def test_selection_keeps_what_it_says() -> None:
    assert select_features(X, CONFIG) == KEPT
    assert all(e.columns == KEPT for e in FITTED)


def test_nothing_to_learn_from_is_said() -> None:
    for name in ("ridge", "logistic", "elastic_net", "lightgbm", "extra_trees", "mutation_burden"):
        kind = ESTIMATORS[name]
        with pytest.raises(CohortError, match=f"no feature to learn from in {N} lines"):
            kind(CONFIG, 1, **kind.grid[0]).fit(view(X[["rna:CONSTANT", "rna:EMPTY"]], Y, LABEL))


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
    one = MutationBurden(CONFIG, 1).fit(VIEW)
    assert one.columns == [BURDEN]
    line = LinearRegression().fit(X[[BURDEN]].astype(float), Y)
    np.testing.assert_allclose(one.score(FRESH), line.predict(FRESH[[BURDEN]].astype(float)), rtol=1e-6)


@LINEAR
def test_linear_explanation_is_that_of_shap(estimator: RidgeScore) -> None:
    train, new = prepared()
    masker = shap.maskers.Independent(train, max_samples=len(train))
    explained = shap.LinearExplainer(estimator.pipeline_[-1], masker)(new).values
    ours = estimator.explain(FRESH)
    assert list(ours.columns) == KEPT
    np.testing.assert_allclose(ours, explained, atol=1e-9)


@pytest.mark.filterwarnings("ignore:LightGBM binary classifier with TreeExplainer")
@pytest.mark.parametrize("estimator", [trees, classes], ids=lambda e: e.name)
def test_tree_explanation_is_that_of_shap(estimator: LightGBMScore) -> None:
    explainer = shap.TreeExplainer(estimator.booster_)
    values = np.asarray(explainer.shap_values(FRESH[KEPT].to_numpy(dtype=float)))
    np.testing.assert_allclose(estimator.explain(FRESH), values, atol=1e-9)
    total = estimator.explain(FRESH).sum(axis=1) + float(np.ravel(explainer.expected_value)[-1])
    np.testing.assert_allclose(total, estimator.score(FRESH), atol=1e-9)


def test_trees_of_the_class_give_log_odds() -> None:
    other = lgb.train(
        {**classes.booster_.params, "objective": "binary"},
        lgb.Dataset(X[KEPT].to_numpy(), LABEL),
        num_boost_round=40,
    )
    probability = other.predict(FRESH[KEPT].to_numpy())
    np.testing.assert_allclose(1 / (1 + np.exp(-classes.score(FRESH))), probability, atol=1e-9)


def test_forest_is_that_of_scikit_learn() -> None:
    imputer = SimpleImputer(strategy="median")
    train, new = imputer.fit_transform(X[KEPT].to_numpy()), imputer.transform(FRESH[KEPT].to_numpy())
    other = ExtraTreesRegressor(100, max_features=0.05, min_samples_leaf=3, random_state=1).fit(train, Y)
    np.testing.assert_allclose(forest.score(FRESH), other.predict(new), rtol=1e-9)
    assert forest.parameters() == {
        "n_estimators": 100, "max_features": 0.05, "min_samples_leaf": 3, "random_state": 1,
        "n_features": len(KEPT),
    }  # fmt: skip


def test_path_shares_are_those_of_a_walk_down_every_tree() -> None:
    values = forest.pipeline_[0].transform(FRESH[KEPT].to_numpy()).astype(np.float32)
    expected = np.zeros(values.shape)
    roots = []
    for tree in (t.tree_ for t in forest.pipeline_[-1].estimators_):
        paths = tree.decision_path(values).toarray()
        roots.append(tree.value[0, 0, 0])
        for line, path in enumerate(paths):
            nodes = np.flatnonzero(path)  # a child has a higher number than its parent
            for parent, child in itertools.pairwise(nodes):
                change = tree.value[child, 0, 0] - tree.value[parent, 0, 0]
                expected[line, tree.feature[parent]] += change / 100
    shares = forest.explain(FRESH)
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), forest.score(FRESH) - np.mean(roots), atol=1e-9)
    np.testing.assert_allclose(roots, Y.mean(), rtol=1e-9)


def test_path_shares_agree_with_shap_on_what_matters() -> None:
    """Not equal by construction, but the same features lead and lines are pushed the same way."""
    explainer = shap.TreeExplainer(forest.pipeline_[-1])
    values = pd.DataFrame(
        explainer.shap_values(forest.pipeline_[0].transform(FRESH[KEPT].to_numpy())), columns=KEPT
    )
    ours = forest.explain(FRESH)
    np.testing.assert_allclose(ours.sum(axis=1), values.sum(axis=1), atol=1e-6)
    assert ours.abs().mean().corr(values.abs().mean()) > 0.9
    leading = values.abs().mean().idxmax()
    assert np.corrcoef(ours[leading], values[leading])[0, 1] > 0.9


@pytest.mark.parametrize("share", [0.1, 0.05, 10.0])
def test_elastic_net_is_that_of_scikit_learn(share: float) -> None:
    train, new = prepared()
    model = ElasticNetScore(CONFIG, 1, share=share).fit(VIEW)
    z = (Y - Y.mean()) / Y.std()
    other = ElasticNet(alpha=share, l1_ratio=0.5, max_iter=50_000, tol=1e-10).fit(train, z)
    np.testing.assert_allclose((model.score(FRESH) - Y.mean()) / Y.std(), other.predict(new), atol=0.05)
    if share == 10.0:  # everything is shrunk away: the mean
        np.testing.assert_allclose(model.score(FRESH), Y.mean())
        assert not model.explain(FRESH).to_numpy().any()


def test_elastic_net_does_not_follow_the_unit_of_the_response() -> None:
    other = ElasticNetScore(CONFIG, 1, share=0.1).fit(view(X, 1000 * Y - 7))
    np.testing.assert_allclose(other.score(FRESH), 1000 * elastic.score(FRESH) - 7, rtol=1e-6)


@LINEAR
def test_linear_explanation_adds_up(estimator: Estimator) -> None:
    total = estimator.explain(FRESH).sum(axis=1)
    np.testing.assert_allclose(total, estimator.score(FRESH) - estimator.score(X).mean(), atol=1e-9)


@EVERY
def test_columns_are_found_by_name(estimator: Estimator) -> None:
    reversed_, extra = FRESH[FRESH.columns[::-1]], FRESH.assign(other=1.0)
    for other in (reversed_, extra):
        np.testing.assert_array_equal(estimator.score(other), estimator.score(FRESH))
        pdt.assert_frame_equal(estimator.explain(other), estimator.explain(FRESH))


@EVERY
def test_lines_without_any_value_and_lines_twice(estimator: Estimator) -> None:
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
    again = LightGBMScore(CONFIG, 1, num_leaves=8, n_estimators=60).fit(VIEW)
    assert again.booster_.model_to_string() == trees.booster_.model_to_string()
    other = LightGBMScore(CONFIG, 2, num_leaves=8, n_estimators=60).fit(VIEW)
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
    model = LineageMean(CONFIG, 1).fit(view(seen, y))
    lineage = FRESH.filter(like="lineage:").idxmax(axis=1)
    means = pd.Series(y, seen.filter(like="lineage:").idxmax(axis=1)).groupby(level=0).mean()
    expected = lineage.map(means).fillna(y.mean())  # skin was never seen
    np.testing.assert_allclose(model.score(FRESH), expected, rtol=1e-12)
    np.testing.assert_allclose(model.explain(FRESH).sum(axis=1) + y.mean(), expected, rtol=1e-12)
    unknown = FRESH.assign(**{c: np.nan for c in FRESH.columns if c.startswith("lineage:")})
    np.testing.assert_allclose(model.score(unknown), y.mean())


def test_prevalence_ranks_nothing() -> None:
    model = Prevalence(CONFIG, 1).fit(VIEW)
    assert set(model.score(FRESH)) == {0.0}
    assert model.explain(FRESH).shape == (NEW, 0)


SUBTYPES = pd.DataFrame(
    {
        "lineage:Lung": [1, 1, 1, 1, 0, 0, 0, 0],
        "lineage:Skin": [0, 0, 0, 0, 1, 1, 1, 0],
        "lineage:Bone": 0,
        "subtype:Lung A": [1, 1, 1, 0, 0, 0, 0, 0],
        "subtype:Skin B": [0, 0, 0, 0, 1, np.nan, 0, 0],
    },
    [f"L{i}" for i in range(8)],
)
RESPONSE = np.array([1.0, 2, 6, 7, 10, 20, 30, 100])


def test_subtype_mean_by_hand() -> None:
    """Lung 4, skin 20, all 22; lung A is 1 below lung, skin B 10 below skin; neither lineage: the mean."""
    model = SubtypeMean(CONFIG, 1).fit(view(SUBTYPES, RESPONSE))
    np.testing.assert_allclose(model.score(SUBTYPES), [3, 3, 3, 4, 10, 20, 20, 22])
    np.testing.assert_allclose(model.explain(SUBTYPES).sum(axis=1) + 22, model.score(SUBTYPES))
    lineage = LineageMean(CONFIG, 1).fit(view(SUBTYPES, RESPONSE))
    np.testing.assert_allclose(lineage.score(SUBTYPES), [4, 4, 4, 4, 20, 20, 20, 22])


def test_general_sensitivity_knows_nothing_of_the_response() -> None:
    known = np.array([0.0, 1, np.nan, 2, 5, np.nan, 7, np.nan])
    model = GeneralSensitivity(CONFIG, 1).fit(view(SUBTYPES, RESPONSE, sensitivity=known))
    np.testing.assert_allclose(model.score(SUBTYPES), [1, 1, 1, 1, 6, 6, 6, 3])
    other = GeneralSensitivity(CONFIG, 1).fit(view(SUBTYPES, -RESPONSE, sensitivity=known))
    np.testing.assert_array_equal(other.score(SUBTYPES), model.score(SUBTYPES))
    unknown = GeneralSensitivity(CONFIG, 1).fit(view(SUBTYPES, RESPONSE))
    assert not unknown.score(SUBTYPES).any()


def signature_table(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(5, 2, (n, len(RSI))), columns=[f"rna:{g}" for g in sorted(RSI)])


def test_radiosensitivity_index_by_hand() -> None:
    """The published formula on ranks 1 (least expressed) to 10 within the line; ties share a rank."""
    X = signature_table().assign(**{"rna:OTHER": 1.0})
    X.loc[0, ["rna:AR", "rna:JUN"]] = 9.99
    model = RadiosensitivityIndex(CONFIG, 1).fit(view(X, np.zeros(len(X))))
    for i, line in X.drop(columns="rna:OTHER").iterrows():
        rank = {
            g: 1 + (line < line[f"rna:{g}"]).sum() + ((line == line[f"rna:{g}"]).sum() - 1) / 2 for g in RSI
        }
        expected = (
            -0.0098009 * rank["AR"] + 0.0128283 * rank["JUN"] + 0.0254552 * rank["STAT1"]
            - 0.0017589 * rank["PRKCB"] - 0.0038171 * rank["RELA"] + 0.1070213 * rank["ABL1"]
            - 0.0002509 * rank["SUMO1"] - 0.0092431 * rank["CDK1"] - 0.0204469 * rank["HDAC1"]
            - 0.0441683 * rank["IRF1"]
        )  # fmt: skip
        assert model.score(X)[i] == pytest.approx(expected, rel=1e-12)
    middle = 5.5 * sum(RSI.values())
    np.testing.assert_allclose(model.explain(X).sum(axis=1) + middle, model.score(X))
    # nothing is re-fitted, and a transformation that keeps the order changes nothing
    other = RadiosensitivityIndex(CONFIG, 1).fit(view(X, np.arange(12.0)))
    np.testing.assert_array_equal(other.score(np.exp(X)), model.score(X))


def test_index_of_a_line_without_all_ten_genes_is_the_median() -> None:
    X = signature_table()
    X.loc[3, "rna:AR"] = np.nan
    X.loc[4] = np.nan
    model = RadiosensitivityIndex(CONFIG, 1).fit(view(X, np.zeros(len(X))))
    scores = model.score(X)
    assert scores[3] == scores[4] == np.median(np.delete(scores, [3, 4]))
    assert not model.explain(X).iloc[[3, 4]].to_numpy().any()
    for fewer in (X.drop(columns="rna:AR"), X[[]]):
        without = RadiosensitivityIndex(CONFIG, 1).fit(view(fewer, np.zeros(len(X))))
        assert not without.score(fewer).any()
        assert not without.explain(fewer).to_numpy().any()


def test_cross_fitting_leaves_the_line_out() -> None:
    """Every fold is scored by a fit on the others, whatever the responses of the fold are."""
    folds = [np.arange(N)[np.arange(N) % 3 == i] for i in range(3)]
    scores, fitted = RidgeScore(CONFIG, 1, alpha=300.0).cross_fit(VIEW, folds)
    assert not fitted
    for rows in folds:
        rest = np.setdiff1d(np.arange(N), rows)
        alone = RidgeScore(CONFIG, 1, alpha=300.0).fit(VIEW.take(rest))
        np.testing.assert_array_equal(scores[rows], alone.score(X.iloc[rows]))
    changed = Y.copy()
    changed[folds[1]] += 50
    other, _ = RidgeScore(CONFIG, 1, alpha=300.0).cross_fit(dataclasses.replace(VIEW, y=changed), folds)
    np.testing.assert_array_equal(other[folds[1]], scores[folds[1]])
    assert (other[folds[0]] != scores[folds[0]]).all()


def test_taking_rows_takes_all_of_them() -> None:
    rows = np.array([5, 1, 40])
    part = VIEW.take(rows)
    assert list(part.X.index) == list(X.index[rows])
    np.testing.assert_array_equal(part.y, Y[rows])
    np.testing.assert_array_equal(part.label, LABEL[rows])
    assert list(part.groups) == ["5", "1", "40"]
    assert len(part.scored) == len(part.sensitivity) == 3


def test_estimators_without_a_spread_say_so() -> None:
    assert np.isnan(ridge.spread(FRESH)).all()
    assert ridge.centre().empty


def test_baselines_are_marked_and_all_models_described() -> None:
    assert [n for n, c in ESTIMATORS.items() if c.baseline] == [
        "prevalence", "lineage_mean", "subtype_mean", "mutation_burden", "rsi", "general_sensitivity",
    ]  # fmt: skip
    assert [n for n, c in ESTIMATORS.items() if c.uses_profile] == ["gp"]
    assert all(text.endswith(".") for text in ABOUT.values())
    assert set(ABOUT) == {*ESTIMATORS, *get_args(Combined)}
