"""Classes of drugs: how far each goes with radiation, beyond the other drugs of its screen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.association import benjamini_hochberg
from crossres_ml.audit.claims import Claims
from crossres_ml.audit.data import features_of, outcome_views
from crossres_ml.audit.drug_classes import MIN_DRUGS, drug_classes
from crossres_ml.audit.resampling import summarise
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.evaluation.metrics import group_weights
from crossres_ml.scan.atlas import KINDS, Atlas
from crossres_ml.scan.atlas_data import OTHER, UNKNOWN, AtlasData

GENOTOXIC = "genotoxic"
_RESPONSE = "response:"


def class_table(atlas: Atlas, data: AtlasData, *, draws: int, seed: int) -> pd.DataFrame:
    """Compare every class of drugs with the other drugs of its screen.

    All drugs share the lines and are no independent observations: interval and p come from draws of whole
    patients, on which every drug is correlated again. As in `crossres_ml.audit.drug_classes`, draws weight
    the residual ranks of the whole data, and their deviations are widened by sqrt(n / (n - rank)).

    Parameters
    ----------
    atlas : Atlas
        The atlas.
    data : AtlasData
        What it was made of.
    draws : int
        Bootstrap draws.
    seed : int
        Their seed.

    Returns
    -------
    pandas.DataFrame
        dataset, drug_class (``genotoxic`` first, then the classes that a list of drugs gives), drugs
        (measured); mean_<kind> of the correlations with radiation; <kind>_beyond: that mean minus the mean of
        all other drugs, with _low, _high, _p, _q, for each of `crossres_ml.scan.atlas.KINDS`. Classes of
        fewer than `MIN_DRUGS` drugs have no row.
    """
    weights = group_weights(data.lines.group.to_numpy(), draws, seed)
    parts = []
    for dataset, residuals in atlas.residuals.items():
        own = atlas.table[atlas.table.dataset == dataset]
        members = _members(own)
        if not members:
            continue
        rows: dict[str, dict[str, Any]] = {
            c: {"dataset": dataset, "drug_class": c, "drugs": int(m.sum())} for c, m in members.items()
        }
        for kind in KINDS:
            found = residuals[kind]
            drawn = found.correlations(weights)
            n = found.observed.sum(axis=0)
            drawn[1:] = drawn[0] + (drawn[1:] - drawn[0]) * np.sqrt(n / np.maximum(n - found.rank, 1))
            for name, inside in members.items():
                rows[name] |= _beyond(drawn, inside, kind)
        parts.append(pd.DataFrame(list(rows.values())))
    if not parts:
        return pd.DataFrame(columns=["dataset", "drug_class", "drugs"])
    out = pd.concat(parts, ignore_index=True)
    for kind in KINDS:
        out[f"{kind}_q"] = benjamini_hochberg(out[f"{kind}_p"].to_numpy())
    return out


def _members(own: pd.DataFrame) -> dict[str, np.ndarray]:
    """Class -> which measured drugs are in it."""
    measured = own.full.notna().to_numpy()
    named = own.drug_class[measured].value_counts()
    classes = {GENOTOXIC: own.genotoxic.to_numpy(dtype=bool) & measured}
    classes |= {
        str(c): (own.drug_class == c).to_numpy() & measured
        for c in sorted(named.index)
        if c not in (UNKNOWN, OTHER)
    }
    return {c: m for c, m in classes.items() if MIN_DRUGS <= m.sum() <= measured.sum() - MIN_DRUGS}


def _beyond(drawn: np.ndarray, inside: np.ndarray, kind: str) -> dict[str, float]:
    known = np.isfinite(drawn[0])
    mean = drawn[:, inside & known].mean(axis=1)
    difference = mean - np.nanmean(drawn[:, ~inside & known], axis=1)
    said = summarise(float(difference[0]), difference[1:])
    numbers = {"beyond": said["effect"], **{f"{k}": said[k] for k in ("low", "high", "p")}}
    return {f"mean_{kind}": float(mean[0])} | {f"{kind}_{k}": v for k, v in numbers.items()}


def genotoxic_test(cohort: Cohort, claims: Claims, *, draws: int, seed: int) -> dict[str, Any]:
    """Test whether genotoxic drugs go with radiation more than others do, as the audit does.

    Parameters
    ----------
    cohort : Cohort
        The cohort: lines with a model id, one a patient.
    claims : Claims
        Name the covariates of the full adjustment.
    draws : int
        Bootstrap draws, and permutations of the class labels.
    seed : int
        Seed of both.

    Returns
    -------
    dict
        As `crossres_ml.audit.drug_classes.drug_classes` gives it: effect is the difference of mean partial
        correlations of normal scores in CTRPv2.
    """
    growth = features_of(cohort, [c for c in claims.covariates if not c.startswith(_RESPONSE)])
    view = outcome_views(cohort, claims)["radiation"]
    row, _ = drug_classes(cohort.drugs, cohort.drug_info, view, covariates=growth, draws=draws, seed=seed)
    return row
