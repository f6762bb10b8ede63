"""What the audit works on: one line a patient, outcomes as normal scores, and what they are adjusted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import add_covariates, basis, normal_scores, tissue_design
from crossres_ml.audit.claims import Claims, Modality, Outcome
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import CohortError, preview

RESPONSE = "response:"
"""Prefix of a response where a feature is asked for."""
SINGLE_OUTCOMES: tuple[Outcome, ...] = ("radiation", "chemotherapy", "platinum")
MODALITIES: tuple[Modality, ...] = ("radiation", "chemotherapy")
FEWEST_LINES = 30


def one_line_a_patient(cohort: Cohort) -> pd.Index:
    """Choose the irradiated line with the most measured features of each group of relatives.

    Lines of one patient are no independent observations, and a permutation must exchange patients.
    Lines with chemotherapy too are preferred, then those with more features, then the first id.

    Parameters
    ----------
    cohort : Cohort
        The cohort.

    Returns
    -------
    pandas.Index
        Sorted model ids, all with a radiation response.
    """
    known = cohort.responses.index[cohort.responses.radiation.notna()]
    filled = pd.concat([t.loc[known].notna().sum(axis=1) for t in cohort.blocks.values()], axis=1).sum(axis=1)
    table = pd.DataFrame(
        {
            "group": cohort.lines.group[known],
            "both": cohort.responses.chemotherapy[known].notna(),
            "filled": filled,
            "name": known,
        }
    )
    best = table.sort_values(["both", "filled", "name"], ascending=[False, False, True], kind="stable")
    names = best.drop_duplicates("group").name
    return pd.Index(sorted(map(str, names)), name="model_id")


def features_of(cohort: Cohort, names: Sequence[str]) -> pd.DataFrame:
    """Look up features and responses by name; those that the cohort lacks are left out.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    names : sequence of str
        ``block:name``, or ``response:<name>``.

    Returns
    -------
    pandas.DataFrame
        Lines x the known ones, float64, in the order asked.
    """
    out = {}
    for name in names:
        if name.startswith(RESPONSE):
            if (response := name.removeprefix(RESPONSE)) in cohort.responses:
                out[name] = cohort.responses[response].astype(float)
        elif name in cohort.features.index:
            block, _, column = name.partition(":")
            out[name] = cohort.blocks[block][column].astype(float)
    return pd.DataFrame(out, index=cohort.lines.index)


@dataclass(frozen=True, eq=False)
class OutcomeView:
    """One outcome and what it is adjusted for.

    Attributes
    ----------
    name : str
        ``radiation``, ``chemotherapy`` or ``platinum``.
    lines : pandas.Index
        Lines that have it, one a patient.
    y : numpy.ndarray
        Normal scores of the response (higher = more resistant).
    tissue : numpy.ndarray
        Lines x lineages.
    full : numpy.ndarray
        The same with the covariates: general drug sensitivity and growth.
    """

    name: Outcome
    lines: pd.Index
    y: np.ndarray
    tissue: np.ndarray
    full: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """Design of the unadjusted effect: an intercept."""
        return np.ones((len(self.lines), 1))

    @cached_property
    def rank(self) -> int:
        """Rank of the tissue design."""
        return int(basis(self.tissue).shape[1])

    @cached_property
    def residual(self) -> np.ndarray:
        """Outcome adjusted for tissue, standard deviation 1."""
        q = basis(self.tissue)
        rest = self.y - q @ (q.T @ self.y)
        return np.asarray(rest / rest.std())


def view_of(name: Outcome, response: pd.Series, lineage: pd.Series, covariates: pd.DataFrame) -> OutcomeView:
    """Make the view of an outcome.

    Parameters
    ----------
    name : str
        Its name.
    response : pandas.Series
        Response of lines; NaN where not measured.
    lineage : pandas.Series
        Lineage of the same lines.
    covariates : pandas.DataFrame
        Covariates of the same lines.

    Returns
    -------
    OutcomeView
        Of the lines that have the response.

    Raises
    ------
    CohortError
        If fewer than `FEWEST_LINES` lines have it, or it does not vary.
    """
    known = response.dropna()
    if len(known) < FEWEST_LINES or known.nunique() < 3:
        raise CohortError(
            f"{len(known)} lines, {known.nunique()} different values; the audit needs {FEWEST_LINES} lines",
            where=f"response {name}",
            do="check that the response tables were found: crossres data status",
        )
    design = tissue_design(lineage[known.index])
    return OutcomeView(
        name,
        known.index,
        normal_scores(known.to_numpy(dtype=float)),
        design,
        add_covariates(design, covariates.loc[known.index]),
    )


def outcome_views(cohort: Cohort, claims: Claims) -> dict[Outcome, OutcomeView]:
    """Make views of radiation, chemotherapy and platinum on the irradiated lines, one a patient.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the covariates.

    Returns
    -------
    dict of str to OutcomeView
        Platinum only where enough lines have it.

    Raises
    ------
    CohortError
        If the covariates are unknown, or a modality has too few lines.
    """
    covariates = features_of(cohort, claims.covariates)
    if covariates.shape[1] == 0:
        raise CohortError(
            f"none of the covariates is there: {preview(list(claims.covariates))}",
            where="covariates in the file of claims",
            do="name a response or a feature of the cohort",
        )
    lines = one_line_a_patient(cohort)
    views = {}
    for name in SINGLE_OUTCOMES:
        response = cohort.responses[name][lines]
        if name not in MODALITIES and response.notna().sum() < FEWEST_LINES:
            continue
        views[name] = view_of(name, response, cohort.lines.lineage[lines], covariates.loc[lines])
    return views
