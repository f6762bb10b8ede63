"""Train and score every model on every fold; resumable fold by fold."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.artifacts import FoldStore
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TaskName
from crossres_ml.evaluation.alarms import check_unseen
from crossres_ml.evaluation.draws import FULL
from crossres_ml.evaluation.folds import (
    HAVE,
    NO_CAUTION,
    Fold,
    FoldData,
    fold_data,
    list_folds,
    mask,
    solid,
    task_matrix,
)
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.fit import ModelSet, needs_profile, offered
from crossres_ml.models.gp import MOLECULAR
from crossres_ml.models.profile import DrugProfile, enough_drugs
from crossres_ml.models.resistance import FittedModel

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


def model_set(data: FoldData, config: TrainConfig, names: Sequence[str]) -> ModelSet:
    """Learn the drug profile of a fold where models need it, and make its models ready to be fitted.

    Parameters
    ----------
    data : FoldData
        Training lines.
    config : TrainConfig
        The configuration.
    names : sequence of str
        Models that will be asked for.

    Returns
    -------
    ModelSet
        Views hold the cross-fitted profile of their training lines.
    """
    if not needs_profile(names):
        return ModelSet(data.views, config, None)
    if not enough_drugs(data.drugs):
        log.warning("%s: too few drugs were measured to predict a drug profile; done without", data.fold.name)
        return ModelSet(data.views, config, None)
    profile = DrugProfile(MOLECULAR).fit(data.X, data.drugs, data.genotoxic, data.groups)
    views = {t: replace(v, X=solid(v.X.join(profile.cross_fitted))) for t, v in data.views.items()}
    return ModelSet(views, config, profile)


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
        One row per task, variant, model and held-out line; with the model's parameters, read back
        from the fitted estimator, as JSON.
    contributions : pandas.DataFrame
        Per task, model (baselines apart) and feature, full models of ``cell_line_out`` only: sum of
        absolute SHAP values, centred over the held-out lines, covariance of value and SHAP value,
        number of lines.
    """
    fold = data.fold
    names = config.models if fold.variant == FULL else config.side_models
    partial = {n for n in config.side_models if not is_baseline(n)}
    predictions, contributions = [], []
    with threadpool_limits(1):
        models = model_set(data, config, names)
        have = {fold.variant: data.X_test}
        if fold.variant == FULL and fold.mode == "cell_line_out":
            have |= {v: mask(data.X_test, v, data.caution) for v in (*HAVE, NO_CAUTION)}
        check_unseen(_rows_learned(data, models), data.fold.test)
        inputs = {v: _with_profile(X, models.profile) for v, X in have.items()}
        for task in fold.tasks:
            own = inputs[fold.variant].loc[data.truth[task].index]
            for name in (n for n in names if offered(n, task)):
                model = models.get(task, name)
                seconds = models.seconds[task, name]
                for variant, X in inputs.items():
                    if variant == fold.variant or name in partial:
                        rows = _scored(model, X, data.truth[task], seconds)
                        predictions.append(rows.assign(task=task, variant=variant))
                if fold.variant == FULL and fold.mode == "cell_line_out" and not is_baseline(name):
                    contributions.append(_contributions(model.explain(own), own, name).assign(task=task))
    table = pd.concat(predictions, ignore_index=True)
    table = table.assign(mode=fold.mode, repeat=fold.repeat, fold=fold.fold)
    return table, pd.concat(contributions, ignore_index=True) if contributions else pd.DataFrame()


def _rows_learned(data: FoldData, models: ModelSet) -> dict[str, Iterable[str]]:
    """Rows that each object of the fold was fitted on, as it recorded them."""
    rows: dict[str, Iterable[str]] = {f"the {t} view": v.X.index for t, v in models.views.items()}
    rows["the table of drug measurements"] = data.drugs.index
    if models.profile is not None:
        rows["the drug profile"] = models.profile.fitted_on
    return rows


def _with_profile(X: pd.DataFrame, profile: DrugProfile | None) -> pd.DataFrame:
    return X if profile is None else solid(X.join(profile.predict(X)))


def _scored(model: FittedModel, X: pd.DataFrame, truth: pd.DataFrame, seconds: float) -> pd.DataFrame:
    out = model.predict_held_out(X.loc[truth.index]).join(truth)
    out["inner_spearman"] = model.inner_spearman
    out["parameters"] = json.dumps(model.parameters(), sort_keys=True, default=str)
    out["seconds"] = round(seconds, 3)
    return out.assign(model=model.name).rename_axis("model_id").reset_index()


def _contributions(values: pd.DataFrame, X: pd.DataFrame, model: str) -> pd.DataFrame:
    """Sum over held-out lines what `crossres_ml.audit.attribution` ranks."""
    # Against the held-out lines themselves: measured against training lines of other tissues, a
    # feature that is alike in all held-out lines would seem to tell them apart.
    s = values.to_numpy() - values.to_numpy().mean(axis=0)
    x = X[values.columns].to_numpy(dtype=float)
    seen = np.isfinite(x)
    n = np.maximum(seen.sum(axis=0), 1)
    x_centred = np.where(seen, x - np.where(seen, x, 0).sum(axis=0) / n, 0)
    s_centred = np.where(seen, s - np.where(seen, s, 0).sum(axis=0) / n, 0)
    product = (x_centred * s_centred).sum(axis=0)
    return pd.DataFrame(
        {
            "model": model,
            "feature": values.columns,
            "sum_abs_shap": np.abs(s).sum(axis=0),
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
    progress: Progress = lambda done, total: None,
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
    folds = list_folds(cohort, splits, config)
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
    contributions = [c.assign(repeat=f.repeat, fold=f.fold) for f, _, c in parts if len(c)]
    return predictions, pd.concat(contributions, ignore_index=True) if contributions else pd.DataFrame()


@dataclass(frozen=True)
class Final:
    """Champions fitted on all their lines.

    Attributes
    ----------
    models : dict of str to FittedModel
        Task -> champion.
    views : dict of str to TrainingView
        Task -> what it was fitted on.
    rules : dict of str to LabelRule
        Task -> label rule.
    profile : DrugProfile or None
        The drug profile that the models read.
    """

    models: dict[TaskName, FittedModel]
    views: Mapping[TaskName, TrainingView]
    rules: dict[TaskName, LabelRule]
    profile: DrugProfile | None


def fit_final(cohort: Cohort, config: TrainConfig, champions: Mapping[TaskName, str]) -> Final:
    """Fit the champion of each task on all its lines.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    champions : mapping of str to str
        Task -> model.

    Returns
    -------
    Final
        Ready to be saved.
    """
    lines = cohort.lines.index
    everyone = Fold("final", 0, "", FULL, lines, lines[:0])
    data = fold_data(cohort, config, task_matrix(cohort, config), everyone)
    models = model_set(data, config, list(champions.values()))
    fitted = {t: models.get(t, n) for t, n in champions.items()}
    return Final(fitted, models.views, data.rules, models.profile)
