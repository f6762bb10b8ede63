"""Tuning and calibration happen inside the training lines, and are what they say they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TaskName
from crossres_ml.errors import CohortError, ConfigError, LeakageError
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.models.estimators import TrainingView, select_features
from crossres_ml.models.fit import ModelSet
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.models.resistance import Calibration, ResistanceModel, inner_folds, spearman


def fitted(name: str, view: TrainingView, config: TrainConfig, **settings: Any) -> ResistanceModel:
    return ResistanceModel(name, config.features, config.inner_folds, config.seed, **settings).fit(view)


@pytest.fixture(scope="module")
def view(fold_zero: FoldData) -> TrainingView:
    return fold_zero.views["radiation"]


@pytest.fixture(scope="module")
def fresh(fold_zero: FoldData) -> pd.DataFrame:
    return fold_zero.X_test


@pytest.mark.parametrize("tuning", ["quick", "full"])
@pytest.mark.parametrize("task", ["radiation", "chemotherapy"])
def test_logistic_is_tuned_and_calibrated_as_by_hand(
    task: TaskName, tuning: Any, fold_zero: FoldData, small_config: TrainConfig
) -> None:
    """As below for ridge, but of the class, and with part of the grid."""
    view = fold_zero.views[task]
    model = fitted("logistic", view, small_config, tuning=tuning)
    grid = ESTIMATORS["logistic"].grid
    tried = grid[: ESTIMATORS["logistic"].quick] if tuning == "quick" else grid
    assert len(tried) < len(grid) or tuning == "full"
    skill = {}
    for setting in tried:
        estimator = ESTIMATORS["logistic"](small_config.features, small_config.seed, **setting)
        scores, _ = estimator.cross_fit(view, inner_folds(view, small_config.inner_folds, small_config.seed))
        skill[setting["C"]] = stats.spearmanr(scores[view.scored], view.y[view.scored]).statistic
    assert model.estimator_.settings == {"C": max(skill, key=lambda c: skill[c])}
    assert model.inner_spearman == pytest.approx(max(skill.values()), abs=1e-9)


@pytest.mark.parametrize("task", ["radiation", "chemotherapy"])
def test_ridge_is_tuned_and_calibrated_as_by_hand(
    task: TaskName, fold_zero: FoldData, small_config: TrainConfig
) -> None:
    """The same nested procedure, written out with scikit-learn and scipy alone.

    Chemotherapy is learned from all lines, but judged and calibrated on those with radiation.
    """
    view, fresh = fold_zero.views[task], fold_zero.X_test
    on = view.scored
    assert on.all() == (task == "radiation")
    model = fitted("ridge", view, small_config)
    folder = StratifiedGroupKFold(small_config.inner_folds, shuffle=True, random_state=small_config.seed)
    held_out = {}
    for setting in ESTIMATORS["ridge"].grid:
        scores = np.full(len(view.y), np.nan)
        for train, test in folder.split(view.X, view.label, view.groups):
            columns = select_features(view.X.iloc[train], small_config.features)
            values = view.X[columns].to_numpy(dtype=float)
            steps = make_pipeline(*[type(s)() for s in model.estimator_.pipeline_[:-1]], Ridge(**setting))
            scores[test] = steps.fit(values[train], view.y[train]).predict(values[test])
        held_out[setting["alpha"]] = scores
    skill = {a: stats.spearmanr(s[on], view.y[on]).statistic for a, s in held_out.items()}
    best = max(skill, key=lambda a: skill[a])
    assert model.estimator_.settings == {"alpha": best}
    assert model.inner_spearman == pytest.approx(skill[best], abs=1e-9)
    np.testing.assert_allclose(model.cross_scores, held_out[best], atol=1e-9)
    pd.testing.assert_index_equal(model.index, view.X.index)

    inner, unit = held_out[best][on], held_out[best][on].std()
    platt = LogisticRegression(C=100.0, tol=1e-10).fit(inner[:, None] / unit, view.label[on])
    score = model.estimator_.score(fresh)
    out = model.predict(fresh)
    np.testing.assert_allclose(out.probability, platt.predict_proba(score[:, None] / unit)[:, 1], atol=5e-4)
    line = LinearRegression().fit(inner[:, None], view.y[on])
    np.testing.assert_allclose(out.expected, line.predict(score[:, None]), rtol=1e-9)

    def loss(p: np.ndarray) -> float:
        z = p[0] * inner / unit + p[1]
        return float((np.logaddexp(0, z) - view.label[on] * z).sum() + p[0] ** 2 / 200)

    slope, intercept = minimize(loss, [0.0, 0.0], tol=1e-12).x
    found = model.calibration
    assert (found.slope * unit, found.intercept) == pytest.approx((slope, intercept), rel=2e-3)


# --- calibration ----------------------------------------------------------------------------------


def made(n: int = 200, seed: int = 0) -> tuple[np.ndarray, TrainingView]:
    """Scores with ties and a view in which every third line is not scored."""
    rng = np.random.default_rng(seed)
    score = rng.normal(5, 2, n).round(1)
    y = 3 + 0.4 * score + rng.normal(size=n)
    label = (y > np.quantile(y, 2 / 3)).astype(float)
    scored = np.arange(n) % 3 != 0
    y, label = np.where(scored, y, 99.0), np.where(scored, label, 1.0)  # what is not scored must not matter
    nothing = pd.DataFrame(index=[f"L{i:03d}" for i in range(n)])
    return score, TrainingView(nothing, y, label, np.arange(n).astype(str), scored, y)


def test_calibration_is_that_of_scikit_learn_on_scored_lines() -> None:
    score, view = made()
    found = Calibration.fit(score, view)
    s, on = score[view.scored, None], view.scored
    line = LinearRegression().fit(s, view.y[on])
    assert found.response_slope == pytest.approx(float(line.coef_[0]), rel=1e-9)
    assert found.response_intercept == pytest.approx(float(line.intercept_), rel=1e-9)
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(s, view.label[on])  # no penalty
    new = np.linspace(0, 10, 7)
    probability = plain.predict_proba(new[:, None])[:, 1]
    np.testing.assert_allclose(found.apply(new)["probability"], probability, atol=2e-3)
    np.testing.assert_allclose(found.apply(new)["expected"], line.predict(new[:, None]))


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e4, -1.0])
def test_calibration_does_not_follow_the_unit_of_the_score(unit: float) -> None:
    score, view = made()
    one, two = Calibration.fit(score, view), Calibration.fit(unit * score, view)
    for name, values in one.apply(score).items():
        np.testing.assert_allclose(two.apply(unit * score)[name], values, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 2.5, 1 / 3, -1e6])
def test_a_constant_score_says_the_prevalence_and_the_mean(value: float) -> None:
    score, view = made()
    out = Calibration.fit(np.full(len(score), value), view).apply(np.array([value, 0.0, 17.0]))
    np.testing.assert_allclose(out["probability"], view.label[view.scored].mean())
    np.testing.assert_allclose(out["expected"], view.y[view.scored].mean())


def test_classes_that_a_score_separates_have_a_finite_slope() -> None:
    score, view = made()
    label = (score > np.median(score)).astype(float)
    found = Calibration.fit(score, dataclasses.replace(view, label=label))
    assert 0 < found.slope < 100
    assert np.isfinite(found.intercept)


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ESTIMATORS)
def test_probabilities_follow_scores(name: str, fold_models: ModelSet, fold_zero: FoldData) -> None:
    model = fold_models.get("radiation", name)
    X = with_profile(fold_models, fold_zero)
    out = model.predict(X)
    assert list(out) == ["score", "probability", "expected", "spread", "p_resistant", "p_sensitive"]
    assert out.probability.between(0, 1).all()
    found = model.calibration
    np.testing.assert_array_equal(out.probability, expit(found.slope * out.score + found.intercept))
    np.testing.assert_array_equal(out.expected, found.response_slope * out.score + found.response_intercept)
    assert (out.spread > 0).all() if name == "gp" else out.spread.isna().all()
    assert list(out.index) == list(X.index)
    # calibrated in the large: on lines alike, the mean probability is near the share of resistant lines
    view = fold_zero.views["radiation"]
    assert out.probability.mean() == pytest.approx(view.label.mean(), abs=0.12)
    assert out.expected.mean() == pytest.approx(view.y.mean(), abs=0.3 * view.y.std())


def with_profile(models: ModelSet, data: FoldData) -> pd.DataFrame:
    assert models.profile is not None
    return data.X_test.join(models.profile.predict(data.X_test))


def test_shares_go_to_measured_features_only(fold_models: ModelSet, fold_zero: FoldData) -> None:
    """What the process reads from the predicted drug profile is handed on."""
    X = with_profile(fold_models, fold_zero)
    model = fold_models.get("radiation", "gp")
    assert isinstance(model, ResistanceModel)
    direct, handed = model.estimator_.explain(X), model.explain(X)
    through = [c for c in direct if c.startswith(("profile:", "genotoxic:"))]
    assert len(through) > 30
    assert set(handed) <= set(fold_zero.X_test)
    # the profile of the mean line is not quite the mean profile: the sum is kept up to that
    change = handed.to_numpy().sum(axis=1) - direct.to_numpy().sum(axis=1)
    assert np.std(change) < 0.25 * np.std(model.score(X))
    assert model.explain(X) is handed  # asked for again by a stack: not computed again
    assert model.explain(X.iloc[:3]).shape[0] == 3


def test_prevalence_gives_the_share_of_resistant_lines(
    view: TrainingView, fresh: pd.DataFrame, small_config: TrainConfig
) -> None:
    model = fitted("prevalence", view, small_config)
    assert model.predict(fresh).probability.to_numpy() == pytest.approx(view.label.mean(), abs=1e-9)
    assert model.predict(fresh).expected.to_numpy() == pytest.approx(view.y.mean(), abs=1e-9)
    assert model.inner_spearman == 0


def test_lines_trained_on_cannot_be_scored_as_held_out(
    view: TrainingView, fresh: pd.DataFrame, small_config: TrainConfig
) -> None:
    model = fitted("lineage_mean", view, small_config)
    leak = view.X.index[3]
    mixed = pd.concat([fresh, view.X.loc[[leak]]])
    with pytest.raises(LeakageError, match=f"1 held-out lines were trained on, such as .*{leak}"):
        model.predict_held_out(mixed)
    pd.testing.assert_frame_equal(model.predict_held_out(fresh), model.predict(fresh))


def test_inner_folds_keep_relatives_together(
    view: TrainingView, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ESTIMATORS["lineage_mean"]
    fits: list[pd.Index] = []
    scored: list[tuple[pd.Index, pd.Index]] = []

    def fit(self: Any, view: TrainingView) -> Any:
        fits.append(view.X.index)
        return plain_fit(self, view)

    def score(self: Any, X: pd.DataFrame) -> np.ndarray:
        scored.append((fits[-1], X.index))
        return plain_score(self, X)

    plain_fit, plain_score = kind.fit, kind.score
    monkeypatch.setattr(kind, "fit", fit)
    monkeypatch.setattr(kind, "score", score)
    fitted("lineage_mean", view, small_config)
    group = pd.Series(view.groups, view.X.index)
    assert len(fits) == small_config.inner_folds + 1
    assert len(scored) == small_config.inner_folds
    for train, test in scored:
        assert not set(group[train]) & set(group[test])
    assert sorted(i for _, test in scored for i in test) == sorted(view.X.index)
    assert set(fits[-1]) == set(view.X.index)


def test_group_labels_matter_to_the_inner_folds(view: TrainingView, small_config: TrainConfig) -> None:
    """With every line its own group the inner folds differ: the groups are used."""
    alone = dataclasses.replace(view, groups=np.arange(len(view.y)).astype(str))
    pairs = dataclasses.replace(view, groups=(np.arange(len(view.y)) // 2).astype(str))
    one, two = (fitted("ridge", v, small_config) for v in (alone, pairs))
    assert one.inner_spearman != two.inner_spearman


@pytest.mark.parametrize("label", [0.0, 1.0], ids=["none resistant", "all resistant"])
def test_a_class_with_too_few_lines_is_said(
    label: float, view: TrainingView, small_config: TrainConfig
) -> None:
    """Lines that are not scored do not help."""
    values = np.full(len(view.y), label)
    values[:5] = 1 - label
    rare = dataclasses.replace(view, label=values, scored=np.arange(len(view.y)) > 3)
    with pytest.raises(CohortError, match="training lines are resistant; each class needs at least 2"):
        fitted("ridge", rare, small_config)


def test_unknown_model_is_named(small_config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="no model 'forest'") as error:
        ResistanceModel("forest", small_config.features, 2, 1)
    assert "lightgbm" in str(error.value)


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, 30).astype(float), rng.normal(size=30)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(np.full(30, 2.5), b) == 0.0
