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
from crossres_ml.evaluation.draws import FULL, Draws, check_predictions, draw_metrics, interval, line_weights
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
    work = [joblib.delayed(_compare)(*model, draws, seed) for model in _models(predictions)]
    done = joblib.Parallel(n_jobs=jobs, max_nbytes=None)(work)
    return pd.DataFrame([row for rows in done for row in rows], columns=list(COLUMNS))


def _models(predictions: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame, pd.DataFrame]]:
    """Task, mode and model; rows of its variants; and its rows as the full model on the same lines."""
    key = ["task", "mode", "model"]
    full = dict(list(predictions[predictions.variant == FULL].groupby(key)))
    for names, rows in predictions[predictions.variant != FULL].groupby(key):
        own = dict(zip(key, map(str, names), strict=True))
        yield own, rows, _on_lines_of(rows, full.get(names, rows.iloc[:0]), own)


def _on_lines_of(rows: pd.DataFrame, full: pd.DataFrame, key: dict[str, str]) -> pd.DataFrame:
    wanted, known = (pd.MultiIndex.from_frame(t[_SET]) for t in (rows, full))
    if len(lost := wanted.difference(known)):
        raise SchemaError(
            f"variants of {key['model']} are scored where the full model is not: {preview(lost, 3)}",
            where=f"task {key['task']}, mode {key['mode']}",
            do="score the variant full on every held-out set of a variant",
        )
    return full[known.isin(wanted)]


def _compare(
    key: dict[str, str], rows: pd.DataFrame, full: pd.DataFrame, draws: int, seed: int
) -> list[dict[str, Any]]:
    """Rows of the variants of one model. Variants on the same lines share the values of the full one."""
    together: dict[tuple[Any, ...], list[str]] = {tuple(sorted(full[_SET].itertuples(index=False))): [FULL]}
    for variant, own in rows.groupby("variant"):
        together.setdefault(tuple(sorted(own[_SET].itertuples(index=False))), []).append(str(variant))
    out = []
    for names in together.values():
        own = rows[rows.variant.isin(names)]
        theirs = _on_lines_of(own, full, key) if len(own) else full
        both = pd.concat([own, theirs], ignore_index=True)
        with threadpool_limits(1):
            values = draw_metrics(both.assign(model=both.variant), line_weights(both, draws, seed))
        n = both.model_id.nunique()
        for variant in names:
            for metric in METRICS:
                row = {**key, "variant": variant, "metric": metric, "n": n}
                out.append(row | _numbers(values, variant, metric))
    return out


def _numbers(values: Draws, variant: str, metric: str) -> dict[str, float]:
    own, full = values[variant, metric], values[FULL, metric]
    if variant == FULL:
        return interval(own)
    found = interval(own - full)
    names = {"value": "difference", "low": "difference_low", "high": "difference_high"}
    return interval(own) | {"full": float(full[0])} | {names[k]: v for k, v in found.items()}
