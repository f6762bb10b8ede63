"""Evidence of the claims that are no plain association: mediation, pathways, heterogeneity, drug classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.claims import Claim, Claims, Kind
from crossres_ml.audit.data import MODALITIES, OutcomeView, features_of
from crossres_ml.audit.drug_classes import drug_classes
from crossres_ml.audit.evidence import row
from crossres_ml.audit.heterogeneity import heterogeneity_over
from crossres_ml.audit.mediation import mediation
from crossres_ml.audit.pathways import single_against_pathways
from crossres_ml.cohort.cohort import Cohort

REPEATS = 4
"""How often the folds of the comparison of pathways are dealt: a few, for it takes most of the time."""
UNITS: Mapping[Kind, str] = {
    "mediation": "indirect effect, product of two standardised paths",
    "single_against_pathways": "difference in held-out Spearman",
    "heterogeneity": "I2, share of the spread between lineages that is not chance",
    "drug_classes": "difference in mean partial r",
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the tests of mechanisms read.

    Attributes
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims.
    values, info : pandas.DataFrame
        As `crossres_ml.audit.measure.all_measurements` gives them.
    chosen : mapping of str to str
        Claim -> column id that decides.
    draws, seed : int
        Draws of lines, and their seed.
    """

    cohort: Cohort
    claims: Claims
    values: pd.DataFrame
    info: pd.DataFrame
    chosen: Mapping[str, str]
    draws: int
    seed: int


Rows = list[dict[str, Any]]
Result = tuple[Rows, pd.DataFrame]


def _row(
    inputs: Inputs, claim: Claim, view: OutcomeView, numbers: Mapping[str, Any], **words: Any
) -> dict[str, Any]:
    p = numbers.get("p", np.nan)
    about = {
        "claim": claim.id, "outcome": view.name, "scope": claim.scopes[0], "measurement": claim.kind,
        "label": claim.title, "unit": UNITS[claim.kind], "claimed": view.name in claim.claimed,
        "proxy": claim.proxy, "smallest": claim.smallest or inputs.claims.smallest,
        "p_error": float(np.sqrt(p * (1 - p) / inputs.draws)) if np.isfinite(p) else np.nan,
    }  # fmt: skip
    return row(**{**about, **numbers, **words})


def _mediation(inputs: Inputs, claim: Claim, view: OutcomeView) -> Result:
    """Go from the first measurement that is enough through every mediator, in every scope."""
    column = inputs.chosen.get(claim.id)
    if column is None:
        return [], pd.DataFrame()
    x = inputs.info.measurement[column]
    own = inputs.info[(inputs.info.claim == claim.id) & inputs.info.mediator.astype(bool)]
    rows, tables = [], []
    for name, about in own.iterrows():
        cause = f"{claim.id}/{x}@{about.scope}"
        numbers, table = mediation(
            inputs.values[cause], inputs.values[name], view, draws=inputs.draws, seed=inputs.seed
        )
        words = {
            "scope": about.scope,
            "measurement": f"{x} via {about.measurement}",
            "valid": bool(about.valid),
        }
        label = f"{inputs.info.label[cause]} through {about.label}"
        rows.append(_row(inputs, claim, view, numbers, label=label, **words))
        tables.append(table.reset_index().assign(**{k: words[k] for k in ("scope", "measurement")}))
    return rows, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _blocks(cohort: Cohort, names: tuple[str, ...]) -> pd.DataFrame:
    known = [n for n in names if n in cohort.blocks]
    return cohort.matrix(known) if known else pd.DataFrame(index=cohort.lines.index)


def _pathways(inputs: Inputs, claim: Claim, view: OutcomeView) -> Result:
    singles, pathways = (_blocks(inputs.cohort, names) for names in (claim.singles, claim.pathways))
    if singles.shape[1] == 0 or pathways.shape[1] == 0:
        return [], pd.DataFrame()
    numbers, table = single_against_pathways(
        singles,
        pathways,
        view,
        inputs.cohort.lines.group,
        repeats=REPEATS,
        draws=inputs.draws,
        seed=inputs.seed,
    )
    return [_row(inputs, claim, view, numbers)], table.reset_index()


def _heterogeneity(inputs: Inputs, claim: Claim, view: OutcomeView) -> Result:
    columns = [inputs.chosen[c] for c in claim.over if c in inputs.chosen]
    if not columns:
        return [], pd.DataFrame()
    numbers, table = heterogeneity_over(
        inputs.values[columns], view, inputs.cohort.lines.lineage, draws=inputs.draws, seed=inputs.seed
    )
    return [_row(inputs, claim, view, numbers)], table.reset_index(names="column")


def _drug_classes(inputs: Inputs, claim: Claim, view: OutcomeView) -> Result:
    """One test speaks for every outcome: it correlates drugs with radiation."""
    if view.name != "radiation":
        return [], pd.DataFrame()
    growth = features_of(
        inputs.cohort, [c for c in inputs.claims.covariates if not c.startswith("response:")]
    )
    numbers, table = drug_classes(
        inputs.cohort.drugs,
        inputs.cohort.drug_info,
        view,
        covariates=growth,
        draws=inputs.draws,
        seed=inputs.seed,
    )
    rows = [_row(inputs, claim, view, numbers, outcome=o, claimed=True) for o in MODALITIES]
    return rows, table.reset_index(names="drug")


TESTS: Mapping[Kind, Callable[[Inputs, Claim, OutcomeView], Result]] = {
    "mediation": _mediation,
    "single_against_pathways": _pathways,
    "heterogeneity": _heterogeneity,
    "drug_classes": _drug_classes,
}


def mechanism_rows(inputs: Inputs, view: OutcomeView) -> tuple[Rows, dict[str, pd.DataFrame]]:
    """Test every claim that is no plain association against an outcome.

    Parameters
    ----------
    inputs : Inputs
        Cohort, claims, measurements, draws.
    view : OutcomeView
        The outcome.

    Returns
    -------
    rows : list of dict
        Rows of evidence.
    tables : dict of str to pandas.DataFrame
        Kind -> details, with claim and outcome.
    """
    rows: Rows = []
    tables: dict[str, list[pd.DataFrame]] = {}
    for claim in inputs.claims.of_kind(*TESTS):
        found, table = TESTS[claim.kind](inputs, claim, view)
        rows += found
        if len(table):
            tables.setdefault(claim.kind, []).append(table.assign(claim=claim.id, outcome=view.name))
    return rows, {k: pd.concat(t, ignore_index=True) for k, t in tables.items()}
