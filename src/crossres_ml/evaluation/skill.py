"""Metrics of every model with intervals, the champion, and the paired differences between models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.config_names import TASKS, Baseline
from crossres_ml.errors import ConfigError, preview
from crossres_ml.evaluation.draws import (
    FULL,
    Draws,
    check_predictions,
    draw_metrics,
    interval,
    line_weights,
)
from crossres_ml.evaluation.metrics import LOWER_IS_BETTER, METRICS, WITHOUT_DIRECTION, HeldOut, by_lineage
from crossres_ml.splits import MODES

LINEAGE_LINES = 10
"""Fewest scored lines of a lineage whose own skill is given."""
_PAIRED = tuple(m for m in METRICS if m not in WITHOUT_DIRECTION)
_POOLED = ("spearman", "pearson", "r2", "auroc", "auroc_top_third", "average_precision", "prevalence")


@dataclass(frozen=True)
class Skill:
    """Skill of all models on all tasks.

    Attributes
    ----------
    metrics : pandas.DataFrame
        task, mode, model, metric, value, low, high, n (lines scored).
    best_baseline, champion : dict of str to str
        Task -> model. The best baseline has the highest AUROC on cell line out. The champion is
        chosen by the inner folds, never by the held-out scores.
    paired : pandas.DataFrame
        task, mode, kind, metric, model, against, value, low, high: each model but the baselines
        minus another one. ``kind`` is ``baseline``: against the best baseline of that mode; or
        ``next``: against the model that follows it in that task and mode by Spearman (baselines are
        not in this ranking, and the lowest has none).
    """

    metrics: pd.DataFrame
    best_baseline: dict[str, str]
    champion: dict[str, str]
    paired: pd.DataFrame


def is_baseline(name: str) -> bool:
    """Whether a model is one of the naive ones that every other must beat."""
    return name in get_args(Baseline)


def choose_champions(predictions: pd.DataFrame) -> dict[str, str]:
    """Model with the best mean inner skill per task, on cell line out; baselines cannot win.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `crossres_ml.evaluation.heldout.evaluate` gives them.

    Returns
    -------
    dict of str to str
        Task -> model. One choice for all folds: the mean over folds of the skill that each fold's
        inner folds measured on its training lines. Held-out scores play no part, but a line that is
        held out in one fold trains in the others.
    """
    rows = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]
    rows = rows[~rows.model.map(is_baseline).astype(bool)]
    inner = rows.drop_duplicates(["task", "model", "repeat", "fold"])
    means = inner.groupby(["task", "model"]).inner_spearman.mean()
    return {task: str(means[task].idxmax()) for task in TASKS if task in means.index.get_level_values(0)}


def assess(predictions: pd.DataFrame, *, draws: int, seed: int, jobs: int = 1) -> Skill:
    """Turn held-out predictions into skill.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row per task, mode, repeat, fold, variant, model and held-out line; only the rows of the
        variant ``full`` are looked at. A mode that is absent is left out.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.
    jobs : int, default 1
        Parallel processes; the results do not depend on it.

    Returns
    -------
    Skill
        Values are means over held-out sets. Intervals are bias-corrected percentiles over draws
        of whole groups of relatives; all models and repeats share the draws, so that differences
        are paired.

    Raises
    ------
    ConfigError
        If a task and mode has no baseline, or nothing but baselines.
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    predictions = predictions[predictions.variant == FULL]
    parts = list(_parts(predictions))
    alone = [" ".join(k.values()) for k, p in parts if len({is_baseline(m) for m in p.model.unique()}) < 2]
    if alone or not parts:
        raise ConfigError(
            "nothing to compare: at least one baseline and one other model are needed",
            where=f"models of {preview(alone)}" if alone else "an empty table of predictions",
            do=f"baselines: {', '.join(get_args(Baseline))}",
        )
    work = (joblib.delayed(_assess_part)(key, part, draws, seed) for key, part in parts)
    done = joblib.Parallel(n_jobs=jobs, max_nbytes=None)(work)
    best = {key["task"]: naive for (key, _), (_, _, naive) in reversed(list(zip(parts, done, strict=True)))}
    return Skill(
        pd.DataFrame([row for metrics, _, _ in done for row in metrics]),
        {task: best[task] for task in TASKS if task in best},
        choose_champions(predictions),
        pd.DataFrame([row for _, paired, _ in done for row in paired]),
    )


def _parts(predictions: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    for task in TASKS:
        for mode in MODES:
            part = predictions[(predictions.task == task) & (predictions["mode"] == mode)]
            if len(part):
                yield {"task": task, "mode": mode}, part


Rows = list[dict[str, Any]]


def _assess_part(key: dict[str, str], part: pd.DataFrame, draws: int, seed: int) -> tuple[Rows, Rows, str]:
    """Rows of metrics and of differences of one task and mode, and its best baseline."""
    with threadpool_limits(1):
        values = draw_metrics(part, line_weights(part, draws, seed))
    n = part.model_id.nunique()
    metrics = [{**key, "model": m, "metric": k, **interval(v), "n": n} for (m, k), v in values.items()]
    auroc = {m: v[0] for (m, k), v in values.items() if k == "auroc"}
    naive = max((m for m in auroc if is_baseline(m)), key=lambda m: (auroc[m], m))
    paired = []
    for kind, model, against in _pairs(values, naive):
        for metric in _PAIRED:
            names = {"kind": kind, "metric": metric, "model": model, "against": against}
            paired.append({**key, **names, **interval(values[model, metric] - values[against, metric])})
    return metrics, paired, naive


def _pairs(values: Draws, naive: str) -> Iterator[tuple[str, str, str]]:
    """Kind, model, and the model that it is compared with."""
    spearman = {m: v[0] for (m, k), v in values.items() if k == "spearman" and not is_baseline(m)}
    ranked = sorted(spearman, key=lambda m: (-spearman[m], m))
    yield from (("baseline", model, naive) for model in ranked)
    yield from (("next", model, other) for model, other in itertools.pairwise(ranked))


def better(metric: str, difference_low: float, difference_high: float) -> bool:
    """Whether an interval of a paired difference lies wholly on the better side of 0."""
    return difference_high < 0 if metric in LOWER_IS_BETTER else difference_low > 0


def pooled(predictions: pd.DataFrame) -> pd.DataFrame:
    """Measure all held-out lines of a repeat together, as earlier work did.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `assess`.

    Returns
    -------
    pandas.DataFrame
        task, model, repeat, metric, value, n: cell line out; lines ranked by their expected
        response, whose unit is the same in all training sets. The repeat ``mean`` is the mean over
        repeats. For comparison with numbers that were published so, and with nothing else: a
        baseline is charged with the lines that its training set lacked, and can fall below chance.

    Raises
    ------
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    rows = _cell_line_out(predictions)
    out = []
    for (task, model, repeat), part in rows.groupby(["task", "model", "repeat"]):
        data = {c: part[c].to_numpy() for c in ("expected", "response", "label", "top_third")}
        held_out = HeldOut({**data, "score": data["expected"]}, np.ones((1, len(part))))
        key = {"task": task, "model": model, "repeat": str(repeat)}
        out += [
            {**key, "metric": m, "value": float(METRICS[m](held_out)[0]), "n": len(part)} for m in _POOLED
        ]
    table = pd.DataFrame(out)
    keys = ["task", "model", "metric"]
    mean = table.groupby(keys, sort=False, as_index=False).agg(value=("value", "mean"), n=("n", "max"))
    return pd.concat([table, mean.assign(repeat="mean")], ignore_index=True)


def _cell_line_out(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]


def per_lineage(predictions: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Skill inside each lineage, cell line out.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `assess`.
    draws : int
        Group-bootstrap draws, the same as those of `assess`.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        task, model, lineage, n, value, low, high: Spearman correlation of expected and measured
        response over a lineage's lines of a repeat together, mean over repeats, for lineages of at
        least ten scored lines. One held-out set has too few lines of a lineage. Baselines are left
        out: inside a lineage they tell nothing but which lines their training set lacked.

    Raises
    ------
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    rows = _cell_line_out(predictions)
    out = []
    for task, part in rows[~rows.model.map(is_baseline).astype(bool)].groupby("task"):
        weights = line_weights(part, draws, seed)
        lines = part.drop_duplicates("model_id").lineage.value_counts()
        for model, own in part.sort_values("model_id", kind="stable").groupby("model"):
            for lineage, values in _lineages(own, weights).items():
                key = {"task": task, "model": model, "lineage": lineage, "n": int(lines[lineage])}
                out.append({**key, **interval(values)})
    return pd.DataFrame(out, columns=["task", "model", "lineage", "n", "value", "low", "high"])


def _lineages(own: pd.DataFrame, weights: pd.DataFrame) -> dict[str, np.ndarray]:
    """Lineage -> mean over repeats of the correlation in each draw; NaN where none of it was drawn."""
    repeats = []
    for _, part in own.groupby("repeat"):
        w = weights.loc[part.model_id].to_numpy().T
        data = (part.expected.to_numpy(), part.response.to_numpy(), w, part.lineage.to_numpy())
        repeats.append(
            {k: np.where(n > 0, rho, np.nan) for k, (rho, n) in by_lineage(*data, LINEAGE_LINES).items()}
        )
    names = sorted({k for r in repeats for k in r})
    return {k: np.mean([r[k] for r in repeats if k in r], axis=0) for k in names}
