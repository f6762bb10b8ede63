"""What is scanned: lines, one a patient, with their responses and what these are adjusted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from crossres_ml.audit.adjust import add_covariates, normal_scores, tissue_design
from crossres_ml.audit.claims import Claims
from crossres_ml.audit.data import FEWEST_LINES, features_of, one_line_a_patient
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import CohortError
from crossres_ml.scan.effects import Effects, effects

T = TypeVar("T")
BURDEN = "burden:mutated_genes"
ADJUSTMENTS = ("raw", "tissue", "full")
"""Nothing; lineage, the headline; and general drug sensitivity and growth too. Mutations: burden in both."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Lines, responses and designs of a scan.

    Attributes
    ----------
    lines : pandas.Index
        Model ids.
    Y : numpy.ndarray
        Lines x responses: normal scores.
    plain, burdened : dict of str to numpy.ndarray
        Adjustment -> design, without and with the burden of mutations.
    """

    lines: pd.Index
    Y: np.ndarray
    plain: dict[str, np.ndarray]
    burdened: dict[str, np.ndarray]

    @property
    def lineage(self) -> np.ndarray:
        """Number of the lineage of each line; small ones share one."""
        return np.asarray(self.plain["tissue"].argmax(axis=1))

    def designs(self, how: str, burden: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pair each design with the events that it serves."""
        return [
            (self.plain[how], np.flatnonzero(~burden)),
            (self.burdened[how], np.flatnonzero(burden)),
        ]

    def fit(self, X: np.ndarray, burden: np.ndarray, how: str) -> Effects:
        """Regress the responses on all events.

        Parameters
        ----------
        X : numpy.ndarray
            Lines x events.
        burden : numpy.ndarray
            Per event, bool: whether it is adjusted for the burden of mutations.
        how : str
            One of `ADJUSTMENTS`.

        Returns
        -------
        Effects
            Of all events.
        """
        parts = [effects(X, self.Y, design, columns) for design, columns in self.designs(how, burden)]
        one, other = parts
        pick = {k: np.where(burden, getattr(other, k), getattr(one, k)) for k in ("free", "df", "support")}
        wide = {k: np.where(burden[:, None], getattr(other, k), getattr(one, k)) for k in ("effect", "se")}
        return Effects(n=one.n, **pick, **wide)


def both_frame(cohort: Cohort, claims: Claims) -> Frame:
    """Make the frame of radiation, chemotherapy and their difference.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the covariates.

    Returns
    -------
    Frame
        Of the lines with both responses, one a patient.

    Raises
    ------
    CohortError
        If these are fewer than 30, or a response does not vary in them.
    """
    lines = one_line_a_patient(cohort)
    lines = lines[cohort.responses.chemotherapy[lines].notna().to_numpy()]
    own = cohort.responses.loc[lines, ["radiation", "chemotherapy"]]
    flat = [str(c) for c in own if own[c].nunique() < 3]
    if len(lines) < FEWEST_LINES or flat:
        what = f"{' and '.join(flat)} does not vary" if flat and len(lines) else f"{len(lines)} lines"
        raise CohortError(
            f"{what}; the scan needs {FEWEST_LINES} lines with two responses that vary",
            where="responses radiation and chemotherapy",
            do="check that the response tables were found: crossres data status",
        )
    scores = np.column_stack([normal_scores(own[c].to_numpy(dtype=float)) for c in own])
    return _frame(cohort, claims, lines, np.column_stack([scores, scores[:, 0] - scores[:, 1]]))


def single_frame(cohort: Cohort, claims: Claims, response: pd.Series) -> Frame | str:
    """Make the frame of one response; or say why there is none.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the covariates.
    response : pandas.Series
        By line; NaN where not known. Lines of one patient must have been thinned out.

    Returns
    -------
    Frame or str
        The frame, or the reason.
    """
    known = response.dropna()
    if len(known) < FEWEST_LINES:
        return f"{len(known)} lines, fewer than {FEWEST_LINES}"
    if known.nunique() < 3:
        return f"{known.nunique()} different values in {len(known)} lines"
    return _frame(cohort, claims, known.index, normal_scores(known.to_numpy(dtype=float))[:, None])


def _frame(cohort: Cohort, claims: Claims, lines: pd.Index, Y: np.ndarray) -> Frame:
    tissue = tissue_design(cohort.lines.lineage[lines])
    full = add_covariates(tissue, features_of(cohort, claims.covariates).loc[lines])
    burden = features_of(cohort, [BURDEN]).loc[lines]
    plain = {"raw": np.ones((len(lines), 1)), "tissue": tissue, "full": full}
    burdened = {k: d if k == "raw" else add_covariates(d, burden) for k, d in plain.items()}
    return Frame(lines, Y, plain, burdened)


def in_threads(tasks: Sequence[Callable[[], T]], jobs: int) -> Iterator[T]:
    """Run tasks in threads, each with linear algebra of one thread: more of them wait for each other."""
    with threadpool_limits(1):
        yield from Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(delayed(t)() for t in tasks)
