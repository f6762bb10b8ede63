"""Tuning and calibration happen inside the training lines, and are what they say they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.errors import ConfigError, LeakageError
from crossres_ml.evaluation.heldout import FoldData, fold_data, list_folds, task_matrix
from crossres_ml.models.estimators import ESTIMATORS, select_features
from crossres_ml.models.resistance import ResistanceModel, TrainingView, spearman


@pytest.fixture(scope="module")
def data(cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame) -> FoldData:
    return fold_data(cohort, small_config, task_matrix(cohort, small_config), list_folds(cohort, splits)[0])


def fitted(name: str, data: FoldData, config: TrainConfig) -> ResistanceModel:
    return ResistanceModel(name, config.features, config.inner_folds, config.seed).fit(data.view)


@pytest.mark.parametrize("task", ["radiation", "chemotherapy"])
def test_ridge_is_tuned_and_calibrated_as_by_hand(
    task: str, cohort: Cohort, splits: pd.DataFrame, small_config: TrainConfig
) -> None:
    """The same nested procedure, written out with scikit-learn and scipy alone.

    Chemotherapy is learned from all lines, but judged and calibrated on those with radiation.
    """
    fold = next(f for f in list_folds(cohort, splits) if f.task == task)
    data = fold_data(cohort, small_config, task_matrix(cohort, small_config), fold)
    on = cohort.responses.radiation[fold.train].notna().to_numpy()
    assert on.all() == (task == "radiation")
    model = fitted("ridge", data, small_config)
    view = data.view
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
    assert model.inner_spearman_ == pytest.approx(skill[best], abs=1e-9)

    platt = LogisticRegression(C=100.0, tol=1e-10).fit(held_out[best][on, None], view.label[on])
    expected = platt.predict_proba(model.estimator_.score(data.X)[:, None])[:, 1]
    np.testing.assert_allclose(model.predict(data.X).probability, expected, atol=5e-4)

    def loss(p: np.ndarray) -> float:
        z = p[0] * held_out[best][on] + p[1]
        return float((np.logaddexp(0, z) - view.label[on] * z).sum() + p[0] ** 2 / 200)

    slope, intercept = minimize(loss, [0.0, 0.0], tol=1e-12).x
    assert (model.slope_, model.intercept_) == pytest.approx((slope, intercept), rel=2e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_probabilities_follow_scores(name: str, data: FoldData, small_config: TrainConfig) -> None:
    model = fitted(name, data, small_config)
    out = model.predict(data.X)
    assert out.probability.between(0, 1).all()
    np.testing.assert_array_equal(out.probability, expit(model.slope_ * out.score + model.intercept_))
    assert list(out.index) == list(data.X.index)
    # calibrated in the large: on lines alike, the mean probability is near the share of resistant lines
    assert out.probability.mean() == pytest.approx(data.view.label.mean(), abs=0.12)


def test_prevalence_gives_the_share_of_resistant_lines(data: FoldData, small_config: TrainConfig) -> None:
    model = fitted("prevalence", data, small_config)
    assert model.predict(data.X).probability.to_numpy() == pytest.approx(data.view.label.mean(), abs=1e-4)
    assert model.inner_spearman_ == 0


def test_lines_trained_on_cannot_be_scored_as_held_out(data: FoldData, small_config: TrainConfig) -> None:
    model = fitted("lineage_mean", data, small_config)
    leak = data.view.X.index[3]
    mixed = pd.concat([data.X, data.view.X.loc[[leak]]])
    with pytest.raises(LeakageError, match=f"1 held-out lines were trained on, such as .*{leak}"):
        model.predict_held_out(mixed)
    pd.testing.assert_frame_equal(model.predict_held_out(data.X), model.predict(data.X))


def test_inner_folds_keep_relatives_together(
    data: FoldData, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ESTIMATORS["lineage_mean"]
    fits: list[pd.Index] = []
    scored: list[tuple[pd.Index, pd.Index]] = []

    def fit(self: Any, X: pd.DataFrame, y: np.ndarray, label: np.ndarray) -> Any:
        fits.append(X.index)
        return plain_fit(self, X, y, label)

    def score(self: Any, X: pd.DataFrame) -> np.ndarray:
        scored.append((fits[-1], X.index))
        return plain_score(self, X)

    plain_fit, plain_score = kind.fit, kind.score
    monkeypatch.setattr(kind, "fit", fit)
    monkeypatch.setattr(kind, "score", score)
    fitted("lineage_mean", data, small_config)
    group = pd.Series(data.view.groups, data.view.X.index)
    assert len(fits) == small_config.inner_folds + 1
    assert len(scored) == small_config.inner_folds
    for train, test in scored:
        assert not set(group[train]) & set(group[test])
    assert sorted(i for _, test in scored for i in test) == sorted(data.view.X.index)
    assert set(fits[-1]) == set(data.view.X.index)


def test_group_labels_matter_to_the_inner_folds(data: FoldData, small_config: TrainConfig) -> None:
    """With every line its own group the inner folds differ: the groups are used."""
    view = data.view
    alone = TrainingView(view.X, view.y, view.label, np.arange(len(view.y)).astype(str), view.scored)
    pairs = TrainingView(view.X, view.y, view.label, (np.arange(len(view.y)) // 2).astype(str), view.scored)
    features, folds, seed = small_config.features, small_config.inner_folds, small_config.seed
    one, two = (ResistanceModel("ridge", features, folds, seed).fit(v) for v in (alone, pairs))
    assert one.inner_spearman_ != two.inner_spearman_


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
