"""Metrics of every model with intervals, the champion, and its paired difference to the best baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from crossres_ml.config import TASKS
from crossres_ml.errors import ConfigError
from crossres_ml.evaluation.metrics import LOWER_IS_BETTER, METRICS, group_weights
from crossres_ml.models.estimators import ESTIMATORS

_INTERVAL = (0.025, 0.975)
_PAIRED = ("auroc", "average_precision", "brier", "spearman", "within_lineage_spearman")


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
        task, mode, metric, model, baseline, value, low, high: champion minus the best baseline of
        that mode.
    """

    metrics: pd.DataFrame
    best_baseline: dict[str, str]
    champion: dict[str, str]
    paired: pd.DataFrame


def _fold_mean(rows: pd.DataFrame, weights: pd.DataFrame) -> dict[str, np.ndarray]:
    """Metric -> its mean over the held-out sets of one model, weighted by the lines drawn.

    Scores are compared within a held-out set only: scores of different sets come from different
    training sets, and pooling them would charge a lineage mean with the lines that it lacked.
    """
    total = {m: np.zeros(len(weights)) for m in METRICS}
    n = {m: np.zeros(len(weights)) for m in METRICS}
    for _, fold in rows.groupby(["repeat", "fold"]):
        w = weights[fold.model_id].to_numpy()
        data = {c: fold[c].to_numpy() for c in ("score", "probability", "label", "response", "lineage")}
        for metric, function in METRICS.items():
            value = function(data, w)
            size = np.where(np.isfinite(value), w.sum(axis=1), 0.0)
            total[metric] += np.where(size > 0, value, 0.0) * size
            n[metric] += size
    return {m: np.divide(total[m], n[m], out=np.full(len(weights), np.nan), where=n[m] > 0) for m in METRICS}


def _draws(part: pd.DataFrame, draws: int, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """(model, metric) -> values of the data and of every draw.

    The draws depend on the lines alone, so that all models and repeats are drawn alike.
    """
    lines = part.drop_duplicates("model_id").sort_values("model_id")
    weights = pd.DataFrame(group_weights(lines.group.to_numpy(), draws, seed), columns=lines.model_id)
    out: dict[tuple[str, str], np.ndarray] = {}
    for model, rows in part.sort_values("model_id", kind="stable").groupby("model"):
        out |= {(str(model), metric): v for metric, v in _fold_mean(rows, weights).items()}
    return out


def interval(values: np.ndarray) -> dict[str, float]:
    """Value with its 95 % interval from bootstrap draws: bias-corrected percentiles.

    Small held-out sets bend some measures under resampling (doubled lines tie with themselves);
    the correction shifts the percentiles by how far the draws lie to one side of the value (Efron
    1981, Canadian Journal of Statistics 9:139). Without such a shift they are 2.5 and 97.5.

    Parameters
    ----------
    values : numpy.ndarray
        The value of the data first, then the draws; NaN where a draw has none.

    Returns
    -------
    dict of str to float
        value, low, high.
    """
    value, draws = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not len(draws) or not np.isfinite(value):
        return {"value": value, "low": np.nan, "high": np.nan}
    below = np.mean(draws < value) + np.mean(draws == value) / 2
    shift = norm.ppf(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    low, high = np.quantile(draws, norm.cdf(2 * shift + norm.ppf(_INTERVAL)))
    return {"value": value, "low": float(low), "high": float(high)}


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
    rows = predictions[predictions["mode"] == "cell_line_out"]
    rows = rows[~rows.model.map(lambda m: ESTIMATORS[m].baseline)]
    inner = rows.drop_duplicates(["task", "model", "repeat", "fold"])
    means = inner.groupby(["task", "model"]).inner_spearman.mean()
    return {task: str(means[task].idxmax()) for task in TASKS if task in means.index.get_level_values(0)}


def assess(predictions: pd.DataFrame, *, draws: int, seed: int) -> Skill:
    """Turn held-out predictions into skill.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row per task, mode, repeat, model and held-out line.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    Skill
        Values are means over held-out sets. Intervals are bias-corrected percentiles over draws
        of whole groups of relatives; all models and repeats share the draws, so that differences
        are paired.

    Raises
    ------
    ConfigError
        If there is no baseline, or nothing but baselines.
    """
    baseline = predictions.model.map(lambda m: ESTIMATORS[m].baseline)
    if baseline.all() or not baseline.any():
        raise ConfigError(
            "nothing to compare: at least one baseline and one other model are needed",
            where="models",
            do=f"known models: {', '.join(ESTIMATORS)}",
        )
    champion = choose_champions(predictions)
    best: dict[str, str] = {}
    metrics, paired = [], []
    for task in TASKS:
        for mode in ("cell_line_out", "lineage_out"):
            part = predictions[(predictions.task == task) & (predictions["mode"] == mode)]
            if part.empty:
                continue
            values = _draws(part, draws, seed)
            key = {"task": task, "mode": mode}
            n = part.model_id.nunique()
            metrics += [
                {**key, "model": m, "metric": k, **interval(v), "n": n} for (m, k), v in values.items()
            ]
            naive = _best_baseline({m: v[0] for (m, k), v in values.items() if k == "auroc"})
            best.setdefault(task, naive)
            for metric in _PAIRED:
                difference = values[champion[task], metric] - values[naive, metric]
                names = {"metric": metric, "model": champion[task], "baseline": naive}
                paired.append({**key, **names, **interval(difference)})
    return Skill(pd.DataFrame(metrics), best, champion, pd.DataFrame(paired))


def _best_baseline(auroc: dict[str, float]) -> str:
    return max((m for m in auroc if ESTIMATORS[m].baseline), key=lambda m: (auroc[m], m))


def better(metric: str, difference_low: float, difference_high: float) -> bool:
    """Whether an interval of a paired difference lies wholly on the better side of 0."""
    return difference_high < 0 if metric in LOWER_IS_BETTER else difference_low > 0
