"""All models of a fold: singles first, then the combinations made of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import get_args

from crossres_ml.config import TrainConfig
from crossres_ml.config_names import Combined, TaskName
from crossres_ml.models.combine import Combination, Rule
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.gp import GaussianProcessScore
from crossres_ml.models.joint import JointModel
from crossres_ml.models.profile import DrugProfile
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.models.resistance import FittedModel, ResistanceModel, inner_folds

COMBINED = get_args(Combined)
_PARTS: tuple[TaskName, TaskName] = ("radiation", "chemotherapy")
_BOTH: dict[str, Rule] = {"mean_of_two": "mean_rank", "product_of_two": "product"}


def needs_profile(names: Iterable[str]) -> bool:
    """Whether any of the models reads the predicted drug profile."""
    return any(n in COMBINED or ESTIMATORS[n].uses_profile for n in names)


def members_of(name: str, task: TaskName, config: TrainConfig) -> dict[TaskName, list[str]]:
    """Name the models that a model is made of, by task.

    Parameters
    ----------
    name : str
        Any model.
    task : str
        Its task.
    config : TrainConfig
        Names the models of the stack.

    Returns
    -------
    dict of str to list of str
        Task -> models to fit first.
    """
    if name not in COMBINED:
        return {task: [name]}
    if name == "stack":
        joint = ["joint_gp"] if task == "cross" and "joint_gp" in config.models else []
        return {task: [n for n in config.models if n in ESTIMATORS and not ESTIMATORS[n].baseline] + joint}
    return {t: [GaussianProcessScore.name] for t in _PARTS}


class ModelSet:
    """Models of the three tasks on one set of training lines, fitted as they are asked for.

    Parameters
    ----------
    views : mapping of str to TrainingView
        Task -> what its models may learn from.
    config : TrainConfig
        Features, tuning, seed.
    profile : DrugProfile or None
        As the views' features hold its components.

    Attributes
    ----------
    seconds : dict of tuple to float
        Task and model -> processor time of its own fit.
    """

    def __init__(
        self, views: Mapping[TaskName, TrainingView], config: TrainConfig, profile: DrugProfile | None
    ) -> None:
        self.views, self.config, self.profile = views, config, profile
        self._fitted: dict[tuple[str, str], FittedModel] = {}
        self.seconds: dict[tuple[str, str], float] = {}

    def get(self, task: TaskName, name: str) -> FittedModel:
        """Fit a model, or give the one already fitted.

        Parameters
        ----------
        task : str
            Task.
        name : str
            Model.

        Returns
        -------
        FittedModel
            Fitted on the training lines of the task.
        """
        key = (task, name)
        if key not in self._fitted:
            members = members_of(name, task, self.config) if name in COMBINED else {}
            parts = [self.get(t, n) for t, names in members.items() for n in names]
            start = time.process_time()
            self._fitted[key] = self._combine(task, name, parts) if parts else self._single(task, name)
            self.seconds[key] = time.process_time() - start
        return self._fitted[key]

    def _single(self, task: TaskName, name: str) -> ResistanceModel:
        c = self.config
        model = ResistanceModel(name, c.features, c.inner_folds, c.seed, c.tuning, self.profile)
        return model.fit(self.views[task])

    def _combine(self, task: TaskName, name: str, parts: list[FittedModel]) -> FittedModel:
        view, c = self.views[task], self.config
        if name == "stack":
            return Combination("sum", parts).fit_stack(view, inner_folds(view, c.inner_folds, c.seed), name)
        if name in _BOTH:
            return Combination(_BOTH[name], parts).fit_both(view, name)
        singles = [p for p in parts if isinstance(p, ResistanceModel)]
        views = [self.views[t] for t in _PARTS]
        return JointModel().fit(singles, views, view, c.inner_folds, c.seed, self.profile)


def offered(name: str, task: TaskName) -> bool:
    """Whether a model exists for a task: "both" from its parts is for the joint task only."""
    return name in ESTIMATORS or name == "stack" or task == "cross"
