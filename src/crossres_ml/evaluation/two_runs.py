"""The paired difference between two training runs, on the cell lines that both held out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.errors import RunError, preview
from crossres_ml.evaluation.draws import FULL, check_predictions, draw_metrics, interval, line_weights
from crossres_ml.identity.relatives import assign_groups

FIRST, SECOND, DIFFERENCE = "first", "second", "first minus second"
COMPARED = ("spearman", "auroc")
DRAWS, SEED = 1000, 2016
"""Group-bootstrap draws of every comparison: the same two runs always give the same numbers."""
LEAST_LINES = 30
"""Fewest lines in common on which a difference is measured."""
LEAST_LIKE = 0.99
"""Lowest correlation of two runs' responses that are still one measurement. Percentile ranks are learned on
the training lines, and so differ a little between folds."""
_WHERE = "the held-out predictions of the two runs"


@dataclass(frozen=True)
class TwoRuns:
    """What two runs reach on the same lines.

    Attributes
    ----------
    values : pandas.DataFrame
        metric, of (`FIRST`, `SECOND` or `DIFFERENCE`), value, low, high.
    lines, groups : int
        Lines held out in both, and groups of relatives among them.
    notes : tuple of str
        In what the runs differ beside their models; empty where the held-out sets are the same.
    """

    values: pd.DataFrame
    lines: int
    groups: int
    notes: tuple[str, ...]

    def of(self, metric: str, what: str) -> dict[str, float]:
        """Value, low and high of a metric.

        Parameters
        ----------
        metric : str
            One of those compared.
        what : str
            `FIRST`, `SECOND` or `DIFFERENCE`.

        Returns
        -------
        dict of str to float
            As `crossres_ml.evaluation.draws.interval`.
        """
        row = self.values[(self.values.metric == metric) & (self.values.of == what)].iloc[0]
        return {k: float(row[k]) for k in ("value", "low", "high")}


def compare_runs(
    first: pd.DataFrame,
    second: pd.DataFrame,
    metrics: Iterable[str] = COMPARED,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> TwoRuns:
    """Measure by how much one run is better than another on the lines that both held out.

    Lines are ranked within held-out sets, as everywhere. Where the sets of one run are also sets of the
    other, those sets alone are compared, so that both models rank the very same lines; where they are not,
    each run's lines are ranked within its own sets, and the notes say so.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Held-out predictions of one model each, as `crossres_ml.evaluation.skill.assess` takes them.
    metrics : iterable of str, optional
        Which of `crossres_ml.evaluation.metrics.METRICS`.
    draws : int, optional
        Draws of whole groups of relatives, the same for both.
    seed : int, optional
        Seed of the draws.

    Returns
    -------
    TwoRuns
        Values and differences with intervals.

    Raises
    ------
    RunError
        If the runs are of different tasks, have too few lines in common, or disagree on what was measured.
    """
    one, two = _held_out(first), _held_out(second)
    if {*one.task} != {*two.task}:
        raise RunError(
            f"the runs are of different tasks: {preview(one.task.unique())} and {preview(two.task.unique())}",
            where=_WHERE, do="compare runs of one task",
        )  # fmt: skip
    lines = pd.Index(sorted({*one.model_id} & {*two.model_id}), name="model_id")
    if len(lines) < LEAST_LINES:
        raise RunError(
            f"{len(lines)} lines are held out in both runs, of {one.model_id.nunique()} and "
            f"{two.model_id.nunique()}; at least {LEAST_LINES} are needed",
            where=_WHERE, do="compare runs of the same data",
        )  # fmt: skip
    one, two = one[one.model_id.isin(lines)], two[two.model_id.isin(lines)]
    notes = [*_other_lines(first, second, lines), *_other_responses(one, two)]
    shared = _sets(one).keys() & _sets(two).keys()
    if {line for held_out in shared for line in held_out} == {*lines}:
        one, two = _only(one, shared), _only(two, shared)
    else:
        notes.append("the held-out sets differ: each run's lines are ranked within its own sets")
    rows = pd.concat([one.assign(model=FIRST), two.assign(model=SECOND)], ignore_index=True)
    rows["group"] = rows.model_id.map(_groups(rows, lines))
    metrics = tuple(metrics)
    with threadpool_limits(1):
        values = draw_metrics(rows, line_weights(rows, draws, seed), metrics)
    table = [
        {"metric": m, "of": of, **interval(v)}
        for m in metrics
        for of, v in (
            (FIRST, values[FIRST, m]),
            (SECOND, values[SECOND, m]),
            (DIFFERENCE, values[FIRST, m] - values[SECOND, m]),
        )
    ]
    return TwoRuns(pd.DataFrame(table), len(lines), rows.group.nunique(), tuple(notes))


def _held_out(predictions: pd.DataFrame) -> pd.DataFrame:
    check_predictions(predictions)
    return predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]


def _other_lines(first: pd.DataFrame, second: pd.DataFrame, lines: pd.Index) -> list[str]:
    more = [t.model_id.nunique() - len(lines) for t in (first, second)]
    if not any(more):
        return []
    return [f"lines held out in one run only are left out: {more[0]} of the first, {more[1]} of the second"]


def _other_responses(one: pd.DataFrame, two: pd.DataFrame) -> list[str]:
    """Refuse responses that are not one measurement; say so where only their scale was learned elsewhere."""
    a, b = (t.groupby("model_id").response.mean() for t in (one, two))
    apart = ~np.isclose(a, b, rtol=1e-6, atol=1e-9)
    if not apart.any():
        return []
    like = float(np.corrcoef(a, b)[0, 1])
    if {*one.task} != {"cross"} or not like >= LEAST_LIKE:
        raise RunError(
            f"{apart.sum()} of {len(a)} lines have another response in the other run (r = {like:.3f}): "
            f"{preview(a.index[apart], 3)}",
            where=_WHERE, do="compare runs of the same data, panels and task",
        )  # fmt: skip
    return ["percentile ranks of the responses were learned on other training lines"]


def _sets(rows: pd.DataFrame) -> dict[frozenset[str], tuple[Hashable, ...]]:
    """Lines of a held-out set -> its repeat and fold."""
    return {frozenset(part.model_id): key for key, part in rows.groupby(["repeat", "fold"])}


def _only(rows: pd.DataFrame, shared: Iterable[frozenset[str]]) -> pd.DataFrame:
    """Keep some held-out sets, once each, under names that do not depend on the run."""
    names, own = sorted(shared, key=sorted), _sets(rows)
    parts = [
        rows[(rows["repeat"] == own[s][0]) & (rows.fold == own[s][1])].assign(repeat=0, fold=str(i))
        for i, s in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def _groups(rows: pd.DataFrame, lines: pd.Index) -> pd.Series:
    """Join lines that either run takes for relatives: each names a group after a line of its own cohort."""
    known = rows.drop_duplicates(["model", "group", "model_id"])
    first = known.groupby(["model", "group"]).model_id.transform("first")
    return assign_groups(lines, pd.DataFrame({"model_id_a": first, "model_id_b": known.model_id}))
