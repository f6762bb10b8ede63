"""Models that were given less: fewer lines, fewer blocks, or labels dealt out at random.

A variant is scored on the same held-out lines as the full model, so that its difference is paired:
what a user loses with what they have, how skill grows with the number of lines, and what a model
finds where there is nothing to be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import joblib
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.errors import SchemaError, preview
from crossres_ml.evaluation.draws import FULL, check_predictions, draw_metrics, interval, line_weights
from crossres_ml.evaluation.metrics import METRICS

_SET = ["repeat", "fold", "model_id"]
COLUMNS = (
    "task", "mode", "model", "variant", "metric", "n", "value", "low", "high",
    "full", "difference", "difference_low", "difference_high",
)  # fmt: skip


def summarise_variants(predictions: pd.DataFrame, *, draws: int, seed: int, jobs: int = 1) -> pd.DataFrame:
    """Measure every variant, and its difference to the full model on the same held-out lines.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row per task, mode, repeat, fold, variant, model and held-out line.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.
    jobs : int, default 1
        Parallel processes; the results do not depend on it.

    Returns
    -------
    pandas.DataFrame
        task, mode, model, variant, metric, n (lines), value, low, high; full (the full model on the
        same repeats, folds and lines), difference (variant minus full), difference_low,
        difference_high. For each model that has variants there are rows of the variant ``full`` as
        well, on all lines of its variants, without a difference. Empty where there are no variants.

    Raises
    ------
    SchemaError
        If the full model did not score all lines of its variant, or as
        `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    work = [joblib.delayed(_compare)(*pair, draws, seed) for pair in _pairs(predictions)]
    done = joblib.Parallel(n_jobs=jobs, max_nbytes=None)(work)
    return pd.DataFrame([row for rows in done for row in rows], columns=list(COLUMNS))


def _pairs(predictions: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame, pd.DataFrame]]:
    """Names, rows of a variant, and rows of the full model on the same lines."""
    others = predictions[predictions.variant != FULL]
    for (task, mode, model), rows in others.groupby(["task", "mode", "model"]):
        key = {"task": str(task), "mode": str(mode), "model": str(model)}
        same = (predictions.task == task) & (predictions["mode"] == mode) & (predictions.model == model)
        full = predictions[same & (predictions.variant == FULL)]
        yield key | {"variant": FULL}, _on_lines_of(rows, full, key), full.iloc[:0]
        for variant, own in rows.groupby("variant"):
            yield key | {"variant": str(variant)}, own, _on_lines_of(own, full, key)


def _on_lines_of(rows: pd.DataFrame, full: pd.DataFrame, key: dict[str, str]) -> pd.DataFrame:
    wanted = pd.MultiIndex.from_frame(rows[_SET])
    known = pd.MultiIndex.from_frame(full[_SET])
    if len(lost := wanted.difference(known)):
        raise SchemaError(
            f"variants of {key['model']} are scored where the full model is not: {preview(lost, 3)}",
            where=f"task {key['task']}, mode {key['mode']}",
            do="score the variant full on every held-out set of a variant",
        )
    return full[known.isin(wanted)]


def _compare(
    key: dict[str, str], own: pd.DataFrame, full: pd.DataFrame, draws: int, seed: int
) -> list[dict[str, Any]]:
    """Rows of one variant, one a metric."""
    weights = line_weights(own, draws, seed)
    both = pd.concat([own.assign(model="own"), full.assign(model="full")], ignore_index=True)
    with threadpool_limits(1):
        values = draw_metrics(both, weights)
    out = []
    for metric in METRICS:
        row: dict[str, Any] = {**key, "metric": metric, "n": own.model_id.nunique()}
        row |= interval(values["own", metric])
        if len(full):
            found = interval(values["own", metric] - values["full", metric])
            row |= {"full": float(values["full", metric][0]), "difference": found["value"]}
            row |= {f"difference_{side}": found[side] for side in ("low", "high")}
        out.append(row)
    return out
