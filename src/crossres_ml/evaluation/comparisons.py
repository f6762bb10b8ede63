"""Comparisons that the skill tables do not hold: the ways to "both", and the learning curve."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.evaluation.draws import FULL, check_predictions, draw_metrics, interval, line_weights

DIRECT = "gp"
APPROACHES = (DIRECT, "stack", "mean_of_two", "product_of_two", "joint_gp")
"""Ways to "both": one model of the joint score, two separate responses put together afterwards or
learned together, or a stack of such models."""
BOTH_METRICS = ("spearman", "auroc", "average_precision")
TRAIN = "train_"


def compare_both(predictions: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Compare all ways to predict "both", each with each, on the same held-out lines.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `crossres_ml.evaluation.skill.assess`.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        mode, metric, model, against, value, low, high: model minus against, each pair once, in the
        order of `APPROACHES`. Empty where fewer than two of them were run.

    Raises
    ------
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    rows = predictions[(predictions.task == "cross") & (predictions.variant == FULL)]
    out: list[dict[str, Any]] = []
    for mode, part in rows[rows.model.isin(APPROACHES)].groupby("mode", sort=True):
        with threadpool_limits(1):
            values = draw_metrics(part, line_weights(part, draws, seed), BOTH_METRICS)
        known = [m for m in APPROACHES if (m, BOTH_METRICS[0]) in values]
        for against, model in itertools.combinations(known, 2):
            for metric in BOTH_METRICS:
                key = {"mode": mode, "metric": metric, "model": model, "against": against}
                out.append(key | interval(values[model, metric] - values[against, metric]))
    return pd.DataFrame(out, columns=["mode", "metric", "model", "against", "value", "low", "high"])


def learning_curve(predictions: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Measure how skill grows with the number of training lines.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `crossres_ml.evaluation.skill.assess`, with the variants ``train_25`` and the like.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        task, model, share (per cent of the training lines), n (held-out lines), value, low, high:
        Spearman correlation, all shares on the same held-out sets; 100 is the full model. Empty
        where there are no such variants.

    Raises
    ------
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    rows = predictions[predictions["mode"] == "cell_line_out"]
    some = rows[rows.variant.str.startswith(TRAIN)]
    out: list[dict[str, Any]] = []
    for (task, model), part in some.groupby(["task", "model"], sort=True):
        full = rows[(rows.task == task) & (rows.model == model) & (rows.variant == FULL)]
        sets = pd.MultiIndex.from_frame(part[["repeat", "fold"]].drop_duplicates())
        full = full[pd.MultiIndex.from_frame(full[["repeat", "fold"]]).isin(sets)]
        shares = pd.concat([part, full], ignore_index=True)
        shares["model"] = shares.variant.str.removeprefix(TRAIN).replace(FULL, "100")
        with threadpool_limits(1):
            values = draw_metrics(shares, line_weights(shares, draws, seed), ("spearman",))
        for share in sorted(shares.model.unique(), key=int):
            key = {"task": task, "model": model, "share": int(share), "n": shares.model_id.nunique()}
            out.append(key | interval(values[share, "spearman"]))
    return pd.DataFrame(out, columns=["task", "model", "share", "n", "value", "low", "high"])
