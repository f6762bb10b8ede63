"""Numbers of a model in MLflow, under names that are the same in every run."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from crossres_ml.evaluation.comparisons import TRAIN
from crossres_ml.evaluation.draws import FULL
from crossres_ml.report.summary import Interval, TaskSummary

_COMPARED = ("spearman", "auroc")
_ELSEWHERE = (FULL, "permuted")  # logged as what they are


def _numbers(name: str, interval: Interval) -> dict[str, float]:
    """Value and ends of an interval under names; what is not defined is not logged."""
    parts = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {k: v for k, v in parts.items() if v is not None}


def log_metrics(task: TaskSummary, model: str) -> None:
    """Log every measure of a model; those of held-out cell lines also under their bare names.

    The bare names (``spearman``, ``auroc`` and so on) are the same in every run of every task.

    Parameters
    ----------
    task : TaskSummary
        The task's section of the summary.
    model : str
        Model.
    """
    values: dict[str, float] = {}
    for mode, metrics in task.models[model].items():
        for metric, interval in metrics.items():
            values |= _numbers(f"{mode}/{metric}", interval)
            if mode == "cell_line_out" and interval.value is not None:
                values[metric] = interval.value
    pooled = task.pooled.get(model, {})
    values |= {f"pooled/{metric}": value for metric, value in pooled.items() if value is not None}
    if model in task.permuted:
        values |= _numbers("permuted/spearman", task.permuted[model])
    mlflow.log_metrics(values)
    for share, interval in sorted(task.learning_curve.get(model, {}).items()):
        mlflow.log_metrics(_numbers("learning_curve/spearman", interval), step=share)


def log_variants(results: Path, task: str, model: str) -> None:
    """Log what the model reaches with less: ``have/rna/spearman`` and the like.

    Parameters
    ----------
    results : Path
        Folder of results.
    task, model : str
        Whose.
    """
    table = pd.read_csv(results / "variants.csv")
    own = table[(table.task == task) & (table.model == model) & (table["mode"] == "cell_line_out")]
    own = own[own.metric.isin(_COMPARED) & own.value.notna() & ~own.variant.isin(_ELSEWHERE)]
    own = own[~own.variant.str.startswith(TRAIN)]
    names = "have/" + own.variant + "/" + own.metric
    mlflow.log_metrics(dict(zip(names, own.value.astype(float), strict=True)))


def log_folds(predictions: pd.DataFrame) -> None:
    """Log fitted parameters, and per fold (as step) the inner skill and the held-out Spearman.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of one task and model.
    """
    part = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]
    mlflow.log_params(_fitted_parameters(part))
    for step, (_, fold) in enumerate(part.groupby(["repeat", "fold"])):
        values = {"fold/inner_spearman": float(fold.inner_spearman.iloc[0])}
        if np.ptp(fold.score) > 0:
            values["fold/spearman"] = float(fold.score.corr(fold.response, method="spearman"))
        mlflow.log_metrics(values, step=step)


def _fitted_parameters(predictions: pd.DataFrame) -> dict[str, str]:
    """Parameters read back from the fitted estimators; where folds differ, every value with its count."""
    fits = predictions.drop_duplicates(["repeat", "fold"]).parameters.map(json.loads)
    table = pd.DataFrame(list(fits)).astype(str)
    out = {}
    for name in table:
        counts = table[name].value_counts().sort_index()
        out[str(name)] = (
            counts.index[0] if len(counts) == 1 else ", ".join(f"{v} x{n}" for v, n in counts.items())
        )
    return {k: v[:500] for k, v in out.items()}
