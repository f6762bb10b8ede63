"""Train and score every model on every split of a task; resumable fold by fold."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines, training_lines
from crossres_ml.config import TASKS, TaskName, TrainConfig
from crossres_ml.models.estimators import offered_features
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
        for _, part in splits.groupby(["mode", "repeat", "fold"], observed=True):
            train = learn.intersection(pd.Index(part.model_id[part.role == TRAIN]))
            test = score.intersection(pd.Index(part.model_id[part.role == TEST]))
            if len(test):
                mode, repeat, fold = part[["mode", "repeat", "fold"]].iloc[0]
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
        Features that pass the feature rules on the training lines, response, class and groups.
    rule : LabelRule
        The rule, to be applied to held-out lines.
    """
    responses = cohort.responses.loc[train]
    scored = scored_lines(cohort, task).intersection(train)
    rule = LabelRule.fit(task, responses.loc[scored], config.resistant_quantile)
    y, label = rule.score(responses).to_numpy(), rule.label(responses).to_numpy()
    # rounding follows memory layout: the same layout here and in a worker process
    y, label = np.ascontiguousarray(y), np.ascontiguousarray(label)
    offered = X.loc[train, offered_features(X.loc[train], config.features)]
    groups = cohort.lines.group[train].to_numpy()
    return TrainingView(offered, y, label, groups, train.isin(scored)), rule


@dataclass(frozen=True)
class FoldData:
    """All that a worker needs for one fold.

    Attributes
    ----------
    fold : Fold
        Which.
    view : TrainingView
        Training lines.
    rule : LabelRule
        Learned on the training lines.
    X : pandas.DataFrame
        Features of the held-out lines.
    truth : pandas.DataFrame
        label, response, lineage, group of the held-out lines.
    """

    fold: Fold
    view: TrainingView
    rule: LabelRule
    X: pd.DataFrame
    truth: pd.DataFrame


def fold_data(cohort: Cohort, config: TrainConfig, X: pd.DataFrame, fold: Fold) -> FoldData:
    """Gather what a fold needs.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    X : pandas.DataFrame
        As `task_matrix` gives it.
    fold : Fold
        The fold.

    Returns
    -------
    FoldData
        Training view and held-out truth; the rule has seen training lines only.
    """
    view, rule = fit_view(cohort, config, fold.task, X, fold.train)
    responses, lines = cohort.responses.loc[fold.test], cohort.lines.loc[fold.test]
    truth = pd.DataFrame({"label": rule.label(responses), "response": rule.score(responses)})
    return FoldData(
        fold, view, rule, X.loc[fold.test, view.X.columns], truth.join(lines[["lineage", "group"]])
    )


def run_fold(data: FoldData, config: TrainConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every model on a fold's training lines and score its held-out lines.

    Parameters
    ----------
    data : FoldData
        The fold's lines.
    config : TrainConfig
        Models, features, seed.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per model and held-out line; with the model's parameters, read back from the
        fitted estimator, as JSON.
    contributions : pandas.DataFrame
        Per model (baselines apart) and feature, ``cell_line_out`` only: sum of absolute SHAP values,
        centred over the held-out lines, covariance of value and SHAP value, number of lines.
    """
    predictions, contributions = [], []
    with threadpool_limits(1):
        for name in config.models:
            model = ResistanceModel(name, config.features, config.inner_folds, config.seed).fit(data.view)
            out = model.predict_held_out(data.X).join(data.truth)
            out["inner_spearman"] = model.inner_spearman_
            out["parameters"] = json.dumps(model.estimator_.parameters(), sort_keys=True, default=str)
            predictions.append(out.assign(model=name).rename_axis("model_id").reset_index())
            if data.fold.mode == "cell_line_out" and not model.kind.baseline:
                contributions.append(_contributions(model.estimator_.explain(data.X), data.X, name))
    table = pd.concat(predictions, ignore_index=True)
    table = table.assign(
        task=data.fold.task, mode=data.fold.mode, repeat=data.fold.repeat, fold=data.fold.fold
    )
    return table, pd.concat(contributions, ignore_index=True) if contributions else pd.DataFrame()


def _contributions(values: pd.DataFrame, X: pd.DataFrame, model: str) -> pd.DataFrame:
    """Sum over held-out lines what `crossres_ml.audit.attribution` ranks."""
    # Against the held-out lines themselves: measured against training lines of other tissues, a
    # feature that is alike in all held-out lines would seem to tell them apart.
    values = values - values.mean()
    x = X[values.columns].to_numpy(dtype=float)
    s = np.where(np.isfinite(x), values.to_numpy(), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature measured in no held-out line
        product = np.nansum((x - np.nanmean(x, axis=0)) * (s - np.nanmean(s, axis=0)), axis=0)
    return pd.DataFrame(
        {
            "model": model,
            "feature": values.columns,
            "sum_abs_shap": np.abs(values.to_numpy()).sum(axis=0),
            "covariance": product,
            "lines": len(values),
        }
    )


def _work(data: FoldData, config: TrainConfig, store: FoldStore) -> None:
    store.save(data.fold.name, run_fold(data, config))


def evaluate(
    cohort: Cohort,
    config: TrainConfig,
    splits: pd.DataFrame,
    store: FoldStore,
    *,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
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
    progress(len(folds) - len(todo), len(folds))
    X = task_matrix(cohort, config)
    work = (joblib.delayed(_work)(fold_data(cohort, config, X, f), config, store) for f in todo)
    runner = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", max_nbytes=None, pre_dispatch=2 * jobs
    )
    for done, _ in enumerate(runner(work), 1):
        progress(len(folds) - len(todo) + done, len(folds))
    return _collect(folds, store)


def _collect(folds: Sequence[Fold], store: FoldStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = [(f, *store.load(f.name)) for f in folds]
    predictions = pd.concat([p for _, p, _ in parts], ignore_index=True)
    contributions = [c.assign(task=f.task, repeat=f.repeat, fold=f.fold) for f, _, c in parts if len(c)]
    return predictions, pd.concat(contributions, ignore_index=True) if contributions else pd.DataFrame()
