"""The table of held-out predictions, measured on the data and on every bootstrap draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from crossres_ml.errors import SchemaError, preview
from crossres_ml.evaluation.metrics import METRICS, HeldOut, group_weights, spearman

FULL = "full"
"""The variant that is trained on all lines, with all features and the measured responses."""
_NUMBERS = ("score", "expected", "probability", "label", "top_third", "response")
_MEASURED = (*_NUMBERS, "residual", "lineage")
_KEYS = ("task", "mode", "repeat", "fold", "variant", "model", "model_id")
_OF_A_REPEAT = frozenset({"calibration_slope"})
_INTERVAL = (0.025, 0.975)

Draws = dict[tuple[str, str], np.ndarray]
"""(model, metric) -> the value of the data, then that of every draw."""


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse a table from which skill cannot be measured.

    Parameters
    ----------
    predictions : pandas.DataFrame
        One row per task, mode, repeat, fold, variant, model and held-out line.

    Raises
    ------
    SchemaError
        If a column is missing, a number is not finite (a residual may be NaN), a class is neither 0
        nor 1, or a model scores a line of a held-out set twice; all problems at once.
    """
    where, do = "table of held-out predictions", "mend what made it: this is no defect of the data"
    wanted = (*_KEYS, *_MEASURED, "group", "inner_spearman")
    if missing := [c for c in wanted if c not in predictions]:
        raise SchemaError(f"columns are missing: {preview(missing)}", where=where, do=do)
    problems = []
    for column in _NUMBERS:
        bad = predictions[~np.isfinite(predictions[column].to_numpy(dtype=float))]
        if len(bad):
            which = preview((bad.task + " " + bad.model + " " + bad.model_id).unique(), 3)
            problems.append(f"{column} is not finite in {len(bad)} rows: {which}")
    for column in ("label", "top_third"):
        if odd := sorted(set(predictions[column].dropna()) - {0, 1}):
            problems.append(f"{column} is neither 0 nor 1: {preview(odd)}")
    if infinite := int(np.isinf(predictions.residual.to_numpy(dtype=float)).sum()):
        problems.append(f"residual is infinite in {infinite} rows")
    twice = predictions[predictions.duplicated(list(_KEYS))]
    if len(twice):
        which = preview((twice.task + " " + twice.model + " " + twice.model_id).unique(), 3)
        problems.append(f"scored twice in one held-out set: {which}")
    if problems:
        raise SchemaError("; ".join(problems), where=where, do=do)


def line_weights(rows: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Bootstrap weights of the lines of a table.

    Parameters
    ----------
    rows : pandas.DataFrame
        model_id, group.
    draws : int
        Draws of whole groups of relatives.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        Lines x (1 + draws); the first column is all ones. The weights depend on the lines alone, so
        that models, repeats and variants are drawn alike and their differences are paired.
    """
    lines = rows.drop_duplicates("model_id").sort_values("model_id")
    weights = group_weights(lines.group.to_numpy(), draws, seed).T
    return pd.DataFrame(np.ascontiguousarray(weights), index=lines.model_id)


def draw_metrics(rows: pd.DataFrame, weights: pd.DataFrame, metrics: Iterable[str] = tuple(METRICS)) -> Draws:
    """Measure every model on the data and on every draw.

    Scores are compared within a held-out set only: scores of different sets come from different
    training sets, and pooling them would charge a lineage mean with the lines that it lacked. The
    calibration slope alone is that of all held-out lines of a repeat: probabilities of different
    training sets are on one scale, and the lines of a small set are often parted by a threshold,
    which has no finite slope.

    Parameters
    ----------
    rows : pandas.DataFrame
        Predictions of one task, mode and variant.
    weights : pandas.DataFrame
        As `line_weights` gives them for these lines, and perhaps others.
    metrics : iterable of str
        Which of `METRICS`.

    Returns
    -------
    dict
        (model, metric) -> shape (1 + draws,): mean over held-out sets, weighted by the lines drawn;
        sets on which a measure is not defined do not count.
    """
    rows = rows.sort_values("model_id", kind="stable").reset_index(drop=True)
    metrics = tuple(metrics)
    columns = {c: rows[c].to_numpy() for c in _MEASURED}
    values, position = weights.to_numpy(), weights.index.get_indexer(pd.Index(rows.model_id))
    nothing = np.zeros(values.shape[1])
    sums = {(str(m), k): (nothing.copy(), nothing.copy()) for m in rows.model.unique() for k in metrics}
    for model, names, inside in _sets(rows, metrics):
        w = values[position[inside]]
        held_out = HeldOut({c: v[inside] for c, v in columns.items()}, w.T)
        for metric in names:
            value = METRICS[metric](held_out)
            size = np.where(np.isfinite(value), w.sum(axis=0), 0.0)
            total, n = sums[model, metric]
            total += np.where(size > 0, value, 0.0) * size
            n += size
    return {k: np.divide(t, n, out=np.full_like(n, np.nan), where=n > 0) for k, (t, n) in sums.items()}


def spearman_of_repeats(
    rows: pd.DataFrame, weights: pd.DataFrame, column: str = "response"
) -> dict[str, float]:
    """Spearman correlation over all held-out lines of a repeat together, mean over repeats.

    Parameters
    ----------
    rows : pandas.DataFrame
        Predictions of one model of one task, mode and variant.
    weights : pandas.DataFrame
        As `line_weights` gives them for these lines, and perhaps others.
    column : str, default 'response'
        What the expected response is compared with.

    Returns
    -------
    dict of str to float
        As `interval`.
    """
    values = [
        spearman(p.expected.to_numpy(), p[column].to_numpy(), weights.loc[p.model_id].to_numpy().T)
        for _, p in rows.groupby("repeat")
    ]
    return interval(np.mean(values, axis=0))


def _sets(rows: pd.DataFrame, metrics: tuple[str, ...]) -> Iterator[tuple[str, list[str], np.ndarray]]:
    """Model, measures, and the places of the rows that are measured together."""
    single = [m for m in metrics if m not in _OF_A_REPEAT]
    whole = [m for m in metrics if m in _OF_A_REPEAT]
    for (model, _), repeat in rows.groupby(["model", "repeat"]):
        folds = [part for _, part in repeat.groupby("fold")]
        if single:
            yield from ((str(model), single, part.index.to_numpy()) for part in folds)
        # a probability that is the same in all lines of each set says only which lines trained
        if whole and any(np.ptp(part.probability) > 1e-12 for part in folds):
            yield str(model), whole, repeat.index.to_numpy()


def centred(values: np.ndarray) -> np.ndarray:
    """Move the draws of a calibration error to where its value is.

    Lines drawn twice make bins noisier, so that most draws err more than the lines do, and percentiles of
    the draws can miss the value (Davison & Hinkley 1997, Bootstrap Methods, 5.2: the bias is taken off).

    Parameters
    ----------
    values : numpy.ndarray
        The value of the data first, then the draws.

    Returns
    -------
    numpy.ndarray
        The same value first; draws that would be below 0, which no error is, are 0.
    """
    moved = values[1:] - np.nanmean(values[1:]) + values[0]
    return np.concatenate([values[:1], np.maximum(moved, 0.0)])


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
    shift = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    low, high = np.quantile(draws, ndtr(2 * shift + ndtri(_INTERVAL)))
    return {"value": value, "low": float(low), "high": float(high)}
