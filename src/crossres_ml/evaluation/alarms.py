"""Alarms that stop a run whose numbers could only be that good because something leaked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import LeakageError, preview
from crossres_ml.evaluation.draws import check_predictions, line_weights, spearman_of_repeats

SAME = 0.98
"""A correlation that two different measurements of cell lines do not reach: the surviving fraction
at 2 Gy, a column of the very assay, has Spearman .90 with the area under its curve."""
SHARED_LINES = 50
SUSPECT_R2 = 0.30
"""Of radiation. The measured (not predicted) profile of 409 drugs in the same line reaches .23, so
more from molecules alone is first of all a reason to look for a leak."""
CHANCE_SPEARMAN = 0.10
"""Above it, and with an interval above 0, skill on permuted labels is not chance: the standard error
over some 500 lines is .045."""
PERMUTED = "permuted"
_SCREEN = 0.70  # ranks among other lines than the shared ones only come close to those among them
_CHUNK = 2048  # features at a time: some 7 MB
_NAMED = 20


def check_features(cohort: Cohort) -> None:
    """Refuse a feature that is a response under another name.

    Parameters
    ----------
    cohort : Cohort
        The cohort; every feature of every block is held against every response.

    Raises
    ------
    LeakageError
        If Pearson's or Spearman's correlation of a feature and a response is at least .98 or at
        most -.98 over 50 or more lines that have both.
    """
    found: list[str] = []
    for block, table in cohort.blocks.items():
        for start in range(0, table.shape[1], _CHUNK):
            part = table.iloc[:, start : start + _CHUNK]
            found += (f"{block}:{text}" for text in itertools.islice(_same(part, cohort.responses), _NAMED))
    if found:
        raise LeakageError(
            f"a feature equals a response: {preview(found, _NAMED)}",
            where="features of the cohort",
            do="take the feature out of its block, or find out how the response came into its table",
        )


def _same(features: pd.DataFrame, responses: pd.DataFrame) -> Iterator[str]:
    """Feature and response that are nearly the same: a fast screen, then the exact correlations."""
    x, y = (np.ascontiguousarray(t.to_numpy(dtype=np.float32).T) for t in (features, responses))
    size = np.maximum(abs(_correlations(x, y)), abs(_correlations(_ranks(x), _ranks(y))))
    places = np.argwhere(size >= _SCREEN)
    for i, j in places[np.argsort(-size[tuple(places.T)], kind="stable")]:
        a, b = (t.iloc[:, k].to_numpy(dtype=float) for t, k in ((features, i), (responses, j)))
        shared = np.isfinite(a) & np.isfinite(b)
        a, b = a[shared], b[shared]
        if len(a) < SHARED_LINES or np.ptp(a) == 0 or np.ptp(b) == 0:
            continue
        pearson, by_rank = np.corrcoef(a, b)[0, 1], stats.spearmanr(a, b).statistic
        if max(abs(pearson), abs(by_rank)) >= SAME:
            numbers = f"Pearson {pearson:.3f}, Spearman {by_rank:.3f}, {len(a)} lines"
            yield f"{features.columns[i]} = {responses.columns[j]} ({numbers})"


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson of every row of ``x`` with every row of ``y``, over the places where both are known."""
    (x, mx), (y, my) = _centred(x), _centred(y)
    k = len(y)
    sums = x @ np.vstack([my, y]).T
    sx, sxy = sums[:, :k], sums[:, k:]
    sums = mx @ np.vstack([my, y, y * y]).T
    n, sy, syy = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k :]
    vx, vy = n * ((x * x) @ my.T) - sx * sx, n * syy - sy * sy
    spread = np.sqrt(np.maximum(vx, 0)) * np.sqrt(np.maximum(vy, 0))
    usable = (n >= SHARED_LINES) & (spread > 0)
    return np.asarray(np.divide(n * sxy - sx * sy, spread, out=np.zeros_like(spread), where=usable))


def _centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values around the mean of their row, scaled to at most 1 and 0 where not known; 1 where known."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    largest = abs(filled).max(axis=1, initial=0)
    filled /= np.where(largest > 0, largest, 1)[:, None]
    filled -= (filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1))[:, None]
    filled *= known
    largest = abs(filled).max(axis=1, initial=0)
    filled /= np.where(largest > 0, largest, 1)[:, None]
    return filled, known.astype(filled.dtype)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Midrank of each value in its row; NaN stays NaN."""
    order = np.argsort(values, axis=1)  # NaN comes last
    ordered = np.take_along_axis(values, order, axis=1)
    new = np.ones(values.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = np.arange(values.shape[1], dtype=np.float32)
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    end = np.ones_like(new)
    end[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(end, place, len(place))[:, ::-1], axis=1)[:, ::-1]
    out = np.empty_like(values)
    np.put_along_axis(out, order, (first + last) / 2, axis=1)
    out[np.isnan(values)] = np.nan
    return out


def check_radiation_r2(metrics: pd.DataFrame, *, kind: str) -> None:
    """Refuse a model of radiation that explains more than can be believed.

    Parameters
    ----------
    metrics : pandas.DataFrame
        As `crossres_ml.evaluation.skill.assess` gives them.
    kind : {'real', 'simulated'}
        Kind of the data; a simulated study may be as easy as it likes.

    Raises
    ------
    LeakageError
        If R2 of a model on held-out cell lines of the real data is above .30.
    """
    if kind != "real":
        return
    rows = metrics[(metrics.task == "radiation") & (metrics["mode"] == "cell_line_out")]
    high = rows[(rows.metric == "r2") & (rows.value > SUSPECT_R2)].sort_values("value", ascending=False)
    if len(high):
        models = [f"{r.model} {r.value:.3f}" for r in high.itertuples()]
        raise LeakageError(
            f"R2 above {SUSPECT_R2:.2f} on radiation: {preview(models)}",
            where="held-out cell lines",
            do="look for relatives on both sides of a split, for a feature made from the response, and "
            "for an object that was fitted on all lines",
        )


def check_permuted(predictions: pd.DataFrame, *, draws: int, seed: int) -> None:
    """Refuse models that find something in labels that were dealt out at random.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Held-out predictions; rows of the variant ``permuted`` are looked at, whose response is the
        permuted one. A table without them passes.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.

    Raises
    ------
    LeakageError
        If the Spearman correlation of expected and permuted response over the held-out cell lines of
        a repeat (mean over repeats) is above .10 and its interval above 0.
    SchemaError
        As `crossres_ml.evaluation.draws.check_predictions`.
    """
    check_predictions(predictions)
    rows = predictions[(predictions.variant == PERMUTED) & (predictions["mode"] == "cell_line_out")]
    found = []
    for (task, model), own in rows.groupby(["task", "model"]):
        skill = spearman_of_repeats(own, line_weights(own, draws, seed))
        if skill["value"] > CHANCE_SPEARMAN and skill["low"] > 0:
            text = "{value:.3f} ({low:.3f} to {high:.3f})".format(**skill)
            found.append(f"{model} on {task} {text}")
    if found:
        raise LeakageError(
            f"skill on permuted labels, Spearman: {preview(found)}",
            where="held-out cell lines of the variant permuted",
            do="find what the model knows of a held-out line's own response: with labels dealt out "
            "at random there is nothing else to know",
        )


def check_unseen(fitted_on: Mapping[str, Iterable[str]], held_out: Iterable[str]) -> None:
    """Refuse objects that were fitted on held-out lines.

    Parameters
    ----------
    fitted_on : mapping of str to iterable of str
        Name of an object -> model ids of the rows that it was fitted on, as it recorded them.
    held_out : iterable of str
        Model ids of the held-out lines.

    Raises
    ------
    LeakageError
        If an object has seen any of them; all objects are named.
    """
    lines = set(held_out)
    seen = {name: sorted(lines.intersection(rows)) for name, rows in fitted_on.items()}
    found = [f"{name} has seen {len(rows)}: {preview(rows, 5)}" for name, rows in seen.items() if rows]
    if found:
        raise LeakageError(
            f"fitted on held-out lines: {'; '.join(found)}",
            where=f"a fold with {len(lines)} held-out lines",
            do="fit it on the training lines of the fold only",
        )
