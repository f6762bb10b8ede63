"""Responses of a task, and the rule that calls a line resistant (learned on training lines only)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config_names import TaskName
from crossres_ml.errors import CohortError

TASK_RESPONSES: dict[TaskName, tuple[str, ...]] = {
    "radiation": ("radiation",),
    "chemotherapy": ("chemotherapy",),
    "cross": ("radiation", "chemotherapy"),
}
GRID = np.linspace(0, 1, 201)
"""The percentile scale: shares at which quantiles are kept."""


@dataclass(frozen=True)
class LabelRule:
    """How a task turns measured responses into a score and a class.

    Attributes
    ----------
    task : str
        Task name.
    quantile : float
        Resistant means at or above this quantile of the training lines, in every response.
    cuts : dict of str to float
        The learned cut of each response, in its own unit.
    grids : dict of str to tuple of float
        201 quantiles of each response on the training lines: the percentile scale of ``cross``.
    """

    task: TaskName
    quantile: float
    cuts: dict[str, float]
    grids: dict[str, tuple[float, ...]]

    @classmethod
    def fit(cls, task: TaskName, responses: pd.DataFrame, quantile: float) -> LabelRule:
        """Learn the cuts from training lines.

        Parameters
        ----------
        task : str
            Task name.
        responses : pandas.DataFrame
            Responses of training lines only; lines without the task's responses are ignored.
        quantile : float
            See the class.

        Returns
        -------
        LabelRule
            The rule.

        Raises
        ------
        CohortError
            If fewer than 10 lines have all the responses.
        """
        names = list(TASK_RESPONSES[task])
        known = responses[names].dropna()
        if len(known) < 10:
            raise CohortError(
                f"only {len(known)} training lines have {' and '.join(names)}; at least 10 are needed",
                where=f"task {task}",
                do="check that the response tables were found: crossres data status",
            )
        cuts = {n: float(np.quantile(known[n], quantile)) for n in names}
        return cls(task, quantile, cuts, {n: tuple(np.quantile(known[n], GRID)) for n in names})

    def score(self, responses: pd.DataFrame) -> pd.Series:
        """Continuous response: the measured value, or for ``cross`` the mean percentile rank.

        Parameters
        ----------
        responses : pandas.DataFrame
            Any lines.

        Returns
        -------
        pandas.Series
            Higher = more resistant; NaN where a response is missing.
        """
        if len(self.cuts) == 1:
            return responses[next(iter(self.cuts))].rename("response")
        ranks = [
            pd.Series(np.interp(responses[n], self.grids[n], GRID), responses.index).where(
                responses[n].notna()
            )
            for n in self.cuts
        ]
        return (sum(ranks[1:], ranks[0]) / len(ranks)).rename("response")

    def label(self, responses: pd.DataFrame) -> pd.Series:
        """Class: 1 = resistant in every response of the task.

        Parameters
        ----------
        responses : pandas.DataFrame
            Any lines.

        Returns
        -------
        pandas.Series
            0.0 or 1.0; NaN where a response is missing.
        """
        names = list(self.cuts)
        above = (responses[names] >= pd.Series(self.cuts)).all(axis=1).astype(float)
        return above.where(responses[names].notna().all(axis=1)).rename("label")


def scored_lines(cohort: Cohort, task: TaskName) -> pd.Index:
    """Lines on which a task is scored: those with its responses and with radiation.

    Chemotherapy is learned from all lines that have it, but scored on the radiation lines, so that
    the three tasks speak of the same lines (leukaemias would make chemotherapy look easy).

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    task : str
        Task name.

    Returns
    -------
    pandas.Index
        model ids.
    """
    names = sorted({*TASK_RESPONSES[task], "radiation"})
    return cohort.responses.index[cohort.responses[names].notna().all(axis=1)]


def training_lines(cohort: Cohort, task: TaskName) -> pd.Index:
    """Lines from which a task may be learned: all with its responses.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    task : str
        Task name.

    Returns
    -------
    pandas.Index
        model ids.
    """
    return cohort.responses.index[cohort.responses[list(TASK_RESPONSES[task])].notna().all(axis=1)]
