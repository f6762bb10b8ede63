"""Models are fitted once, from the right members, and only where they exist."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS, Challenger, TaskName
from crossres_ml.evaluation.folds import FoldData
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.models.combine import Combination
from crossres_ml.models.fit import COMBINED, ModelSet, members_of, needs_profile, offered
from crossres_ml.models.joint import JointModel
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.models.resistance import ResistanceModel


def test_members_of_every_kind(every_config: TrainConfig) -> None:
    single = [n for n, e in ESTIMATORS.items() if not e.baseline]
    assert members_of("ridge", "cross", every_config) == {"cross": ["ridge"]}
    assert members_of("stack", "radiation", every_config) == {"radiation": single}
    assert members_of("stack", "cross", every_config) == {"cross": [*single, "joint_gp"]}
    for name in ("mean_of_two", "product_of_two", "joint_gp"):
        assert members_of(name, "cross", every_config) == {"radiation": ["gp"], "chemotherapy": ["gp"]}
    without = every_config.model_copy(update={"models": ("rsi", "ridge", "lightgbm", "stack")})
    assert members_of("stack", "cross", without) == {"cross": ["ridge", "lightgbm"]}


def test_where_models_exist() -> None:
    for name in (*ESTIMATORS, *COMBINED):
        there = [t for t in TASKS if offered(name, t)]
        assert there == (["cross"] if name in COMBINED and name != "stack" else list(TASKS))


@pytest.mark.parametrize(
    ("names", "needs"),
    [
        (["prevalence", "ridge"], False),
        (["gp"], True),
        (["ridge", "stack"], True),
        (["joint_gp"], True),
        ([], False),
    ],
)
def test_who_needs_the_profile(names: list[str], needs: bool) -> None:
    assert needs_profile(names) == needs


def test_each_model_is_fitted_once(
    fold_zero: FoldData, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[tuple[str, int]] = []
    plain = ResistanceModel.fit

    def fit(self: ResistanceModel, view: Any) -> ResistanceModel:
        fits.append((self.kind.name, len(view.y)))
        return plain(self, view)

    monkeypatch.setattr(ResistanceModel, "fit", fit)
    config = small_config.model_copy(update={"models": ("prevalence", "ridge", "gp", *COMBINED)})
    models = model_set(fold_zero, config, config.models)
    for task in TASKS:
        for name in config.models:
            if offered(name, task):
                assert models.get(task, name) is models.get(task, name)
    sizes = {t: len(v.y) for t, v in fold_zero.views.items()}
    assert sorted(fits) == sorted((n, sizes[t]) for n in ("prevalence", "ridge", "gp") for t in TASKS)
    expected = {(t, n) for t in TASKS for n in config.models if offered(n, t)}
    assert set(models.seconds) == expected
    assert all(s >= 0 for s in models.seconds.values())


def test_members_are_asked_for_though_not_among_the_models(
    fold_zero: FoldData, small_config: TrainConfig
) -> None:
    config = small_config.model_copy(update={"models": ("prevalence", "ridge", "mean_of_two")})
    models = model_set(fold_zero, config, ("mean_of_two",))
    both = models.get("cross", "mean_of_two")
    assert isinstance(both, Combination)
    assert [m.name for m in both.members] == ["gp", "gp"]
    assert [len(m.index) for m in both.members] == [len(fold_zero.views[t].y) for t in TASKS[:2]]


@pytest.mark.parametrize("task", TASKS)
def test_a_stack_is_made_of_models_of_its_own_folds(
    task: TaskName, fold_models: ModelSet, fold_zero: FoldData
) -> None:
    stack = fold_models.get(task, "stack")
    assert isinstance(stack, Combination)
    names = [m.name for m in stack.members]
    assert set(names) >= set(Challenger.__args__)
    assert ("joint_gp" in names) == (task == "cross")
    for member in stack.members:
        assert member is fold_models.get(task, member.name)
        pd.testing.assert_index_equal(member.index, fold_zero.views[task].X.index)
        assert np.isfinite(member.cross_scores).all()
    assert (stack.weights >= 0).all()
    assert stack.inner_spearman > 0.1


def test_views_hold_the_cross_fitted_profile(fold_models: ModelSet, fold_zero: FoldData) -> None:
    assert fold_models.profile is not None
    for task, view in fold_models.views.items():
        own = view.X[fold_models.profile.names]
        pd.testing.assert_frame_equal(own, fold_models.profile.cross_fitted.loc[view.X.index])
        pd.testing.assert_frame_equal(view.X[fold_zero.X.columns], fold_zero.views[task].X)
    assert not set(fold_models.profile.fitted_on) & set(fold_zero.fold.test)
    assert not any(c.startswith(("ctrp:", "gdsc", "drug:")) for v in fold_models.views.values() for c in v.X)


def test_skill_of_combinations_on_new_lines(fold_models: ModelSet, fold_zero: FoldData) -> None:
    """All ways to both find something in the simulated study, and give probabilities."""
    assert fold_models.profile is not None
    truth = fold_zero.truth["cross"]
    X = fold_zero.X_test.join(fold_models.profile.predict(fold_zero.X_test)).loc[truth.index]
    for name in COMBINED:
        out = fold_models.get("cross", name).predict_held_out(X)
        assert out.score.corr(truth.response, method="spearman") > 0.1, name
        assert out.probability.between(0, 1).all()
        assert out.probability.mean() == pytest.approx(truth.label.mean(), abs=0.15)


def test_without_enough_drugs_models_do_without_a_profile(
    fold_zero: FoldData, small_config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    few = fold_zero.drugs.copy()
    few.iloc[29:] = np.nan
    data = dataclasses.replace(fold_zero, drugs=few)
    config = small_config.model_copy(update={"models": ("prevalence", "ridge", "gp", *COMBINED)})
    with caplog.at_level(logging.WARNING):
        models = model_set(data, config, config.models)
    assert "too few drugs were measured to predict a drug profile; done without" in caplog.text
    assert models.profile is None
    joint = models.get("cross", "joint_gp")
    assert isinstance(joint, JointModel)
    assert not any(c.startswith(("profile:", "genotoxic:")) for c in joint.machine.columns)
    for name in COMBINED:
        assert np.isfinite(models.get("cross", name).predict(fold_zero.X_test).score).all()
        assert set(models.get("cross", name).explain(fold_zero.X_test.iloc[:4])) <= set(fold_zero.X_test)
    nobody = dataclasses.replace(fold_zero, drugs=few[[]])
    assert model_set(nobody, config, ("gp",)).profile is None
