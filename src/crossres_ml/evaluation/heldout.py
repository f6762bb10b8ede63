"""Train and score every model on every split of a task; resumable fold by fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines, training_lines
from crossres_ml.config import TASKS, TaskName, TrainConfig
from crossres_ml.models.resistance import ResistanceModel, TrainingView
from crossres_ml.splits import TEST, TRAIN


@dataclass(frozen=True)
class Fold:
    """One training and one held-out set of one task.

    Attributes
    ----------
    task, mode, fold : str
        Which.
    repeat : int
        Repeat of the cross-validation.
    train, test : pandas.Index
        model ids; ``test`` only lines on which the task is scored.
    """

    task: TaskName
    mode: str
    repeat: int
    fold: str
    train: pd.Index
    test: pd.Index

    @property
    def name(self) -> str:
        """A name that is safe in a file name and unique in a run."""
        text = f"{self.task}-{self.mode}-{self.repeat}-{self.fold}"
        return f"{self.task}-{self.mode}-{self.repeat}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def task_matrix(cohort: Cohort, config: TrainConfig) -> pd.DataFrame:
    """Features that models may choose from; blocks that the cohort lacks are left out.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        Names blocks and features.

    Returns
    -------
    pandas.DataFrame
        Lines x features.
    """
    blocks = [b for b in config.features.blocks if b in cohort.blocks]
    return cohort.matrix(blocks, config.features.always)


def list_folds(cohort: Cohort, splits: pd.DataFrame) -> list[Fold]:
    """Spell out the folds of every task.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    splits : pandas.DataFrame
        Split table.

    Returns
    -------
    list of Fold
        Folds with at least one line to score.
    """
    out = []
    for task in TASKS:
        learn, score = training_lines(cohort, task), scored_lines(cohort, task)
        for (mode, repeat, fold), part in splits.groupby(["mode", "repeat", "fold"], observed=True):
            train = learn.intersection(pd.Index(part.model_id[part.role == TRAIN]))
            test = score.intersection(pd.Index(part.model_id[part.role == TEST]))
            if len(test):
                out.append(Fold(task, str(mode), int(repeat), str(fold), train, test))
    return out


def fit_view(
    cohort: Cohort, config: TrainConfig, task: TaskName, X: pd.DataFrame, train: pd.Index
) -> tuple[TrainingView, LabelRule]:
    """Learn the label rule on training lines and give the model its view of them.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        Quantile of resistance.
    task : str
        Task.
    X : pandas.DataFrame
        Features of (at least) the training lines.
    train : pandas.Index
        Training lines. The cut is learned on those of them on which the task is scored.

    Returns
    -------
    view : TrainingView
        Features, response, class and groups of the training lines.
    rule : LabelRule
        The rule, to be applied to held-out lines.
    """
    responses = cohort.responses.loc[train]
    scored = scored_lines(cohort, task).intersection(train)
    rule = LabelRule.fit(task, responses.loc[scored], config.resistant_quantile)
    y, label = rule.score(responses).to_numpy(), rule.label(responses).to_numpy()
    return TrainingView(X.loc[train], y, label, cohort.lines.group[train].to_numpy()), rule


def run_fold(
    cohort_parts: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    fold: Fold,
    view: TrainingView,
    rule: LabelRule,
    config: TrainConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every model on a fold's training lines and score its held-out lines.

    Parameters
    ----------
    cohort_parts : tuple of pandas.DataFrame
        Features, responses and line metadata of the held-out lines.
    fold : Fold
        The fold.
    view : TrainingView
        Training lines.
    rule : LabelRule
        Learned on the training lines.
    config : TrainConfig
        Models, features, seed.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per model and held-out line.
    contributions : pandas.DataFrame
        Long: model, model_id, feature, shap (non-zero values, ``cell_line_out`` only).
    """
    X, responses, lines = cohort_parts
    truth = pd.DataFrame(
        {
            "label": rule.label(responses),
            "response": rule.score(responses),
            "lineage": lines.lineage,
            "group": lines.group,
        }
    )
    predictions, contributions = [], []
    with threadpool_limits(1):
        for name in config.models:
            model = ResistanceModel(name, config.features, config.inner_folds, config.seed).fit(view)
            out = model.predict_held_out(X).join(truth)
            out["inner_spearman"] = model.inner_spearman_
            predictions.append(out.assign(model=name).rename_axis("model_id").reset_index())
            if fold.mode == "cell_line_out" and not model.kind.baseline:
                contributions.append(_long(model.estimator_.explain(X), name))
    table = pd.concat(predictions, ignore_index=True)
    table = table.assign(task=fold.task, mode=fold.mode, repeat=fold.repeat, fold=fold.fold)
    empty = pd.DataFrame({"model": [], "model_id": [], "feature": [], "shap": []})
    return table, pd.concat(contributions, ignore_index=True) if contributions else empty


def _long(values: pd.DataFrame, model: str) -> pd.DataFrame:
    rows, columns = np.nonzero(values.to_numpy())
    return pd.DataFrame(
        {
            "model": model,
            "model_id": values.index.to_numpy()[rows],
            "feature": values.columns.to_numpy()[columns],
            "shap": values.to_numpy()[rows, columns].astype(np.float32),
        }
    )


def _work(
    job: tuple[
        Fold, TrainingView, LabelRule, tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], TrainConfig, FoldStore
    ],
) -> str:
    fold, view, rule, parts, config, store = job
    store.save(fold.name, run_fold(parts, fold, view, rule, config))
    return fold.name


def _jobs(
    cohort: Cohort, config: TrainConfig, folds: Iterable[Fold], store: FoldStore
) -> Iterator[tuple[object, ...]]:
    X = task_matrix(cohort, config)
    for fold in folds:
        view, rule = fit_view(cohort, config, fold.task, X, fold.train)
        parts = (X.loc[fold.test], cohort.responses.loc[fold.test], cohort.lines.loc[fold.test])
        yield fold, view, rule, parts, config, store


def evaluate(
    cohort: Cohort,
    config: TrainConfig,
    splits: pd.DataFrame,
    store: FoldStore,
    *,
    jobs: int = 2,
    progress: object = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every model on every fold; folds already in the store are not run again.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    splits : pandas.DataFrame
        Checked split table.
    store : FoldStore
        Keeps finished folds, so that an interrupted run goes on where it stopped.
    jobs : int, default 2
        Parallel processes; the results do not depend on it.
    progress : callable, optional
        Called with the number of folds done and their total.

    Returns
    -------
    predictions, contributions : pandas.DataFrame
        All folds, in the order of `list_folds`.
    """
    folds = list_folds(cohort, splits)
    todo = [f for f in folds if not store.has(f.name)]
    tell = progress if callable(progress) else lambda done, total: None
    tell(len(folds) - len(todo), len(folds))
    runner = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=None, pre_dispatch=jobs)
    for done, _ in enumerate(runner(joblib.delayed(_work)(j) for j in _jobs(cohort, config, todo, store)), 1):
        tell(len(folds) - len(todo) + done, len(folds))
    return _collect(folds, store)


def _collect(folds: Sequence[Fold], store: FoldStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = [(f, store.load(f.name)) for f in folds]
    predictions = pd.concat([p for _, (p, _) in parts], ignore_index=True)
    contributions = [c.assign(task=f.task, repeat=f.repeat) for f, (_, c) in parts if len(c)]
    return predictions, pd.concat(contributions, ignore_index=True)
