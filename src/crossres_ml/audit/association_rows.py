"""Evidence of the claims that are plain associations, and of "both" from its two parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import add_covariates
from crossres_ml.audit.association import benjamini_hochberg, partial_correlations
from crossres_ml.audit.claims import Claim, Claims, Outcome
from crossres_ml.audit.data import MODALITIES, OutcomeView, features_of
from crossres_ml.audit.evidence import PARTIAL_R, row
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.cohort.cohort import Cohort

_PARTS = {"effect": "r", "low": "low", "high": "high", "p": "p", "mde": "mde"}


def association_rows(
    cohort: Cohort, claims: Claims, values: pd.DataFrame, info: pd.DataFrame, view: OutcomeView
) -> list[dict[str, Any]]:
    """Correlate every measurement with an outcome: raw, adjusted for tissue, and fully adjusted.

    Parameters
    ----------
    cohort : Cohort
        Holds the features that are adjusted for beside a measurement.
    claims : Claims
        Claims of kind ``association`` are looked at.
    values, info : pandas.DataFrame
        As `crossres_ml.audit.measure.all_measurements` gives them.
    view : OutcomeView
        The outcome.

    Returns
    -------
    list of dict
        Rows of evidence; ``decides`` is not settled yet.
    """
    known = {c.id: c for c in claims.of_kind("association")}
    asked = [c for c in info.index if _asked(info.loc[c], known, view.name)]
    X = values.loc[view.lines, asked]
    raw, tissue, full = (partial_correlations(X, view.y, d) for d in (view.constant, view.tissue, view.full))
    for column in asked:
        if beside := info.beside[column]:
            extra = features_of(cohort, beside).loc[view.lines]
            own = partial_correlations(X[[column]], view.y, add_covariates(view.full, extra))
            full.loc[column] = own.loc[column]
    rows = []
    for column in asked:
        about, claim = info.loc[column], known[info.claim[column]]
        t, f = tissue.loc[column], full.loc[column]
        few = int(X[column].notna().sum())
        rows.append(
            row(
                claim=claim.id, outcome=view.name, scope=about.scope, measurement=about.measurement,
                label=about.label, unit=PARTIAL_R, note=about.note, valid=bool(about.valid),
                claimed=view.name not in MODALITIES or view.name in claim.claimed, proxy=claim.proxy,
                carriers=float((X[column] == 1).sum()) if about.is_event else np.nan,
                raw=raw.r[column], raw_p=raw.p[column],
                full=f.r, full_low=f.low, full_high=f.high, full_p=f.p,
                smallest=claim.smallest or claims.smallest, n=few, **{k: t[v] for k, v in _PARTS.items()},
            )
        )  # fmt: skip
    return rows


def _asked(about: pd.Series, known: Mapping[str, Claim], outcome: Outcome) -> bool:
    claim = known.get(about.claim)
    if claim is None or about.mediator or outcome not in about.outcomes:
        return False
    return outcome in MODALITIES or claim.platinum


def both_row(radiation: Mapping[str, Any], chemotherapy: Mapping[str, Any]) -> dict[str, Any]:
    """Join the evidence on the two modalities: an effect on both is as strong as the weaker one.

    The p-value is that of the intersection-union test (Berger 1982): the larger of the two, and 1 when the
    effects point to different sides; so is the fully adjusted one. The effect with its interval, lines
    and detectable effect, and the words, are those of the weaker modality; of two with different signs,
    those of the one that speaks against the claim; of two of which one was not measured, those of that one.

    Parameters
    ----------
    radiation, chemotherapy : mapping
        Rows of evidence of the same measurement and scope.

    Returns
    -------
    dict
        A row of evidence with outcome ``both``.
    """
    a, b = radiation, chemotherapy
    missing = [x for x in (a, b) if not np.isfinite(x["effect"])]
    if missing:
        weaker = missing[0]
    else:
        pick = max if a["effect"] < 0 and b["effect"] < 0 else min
        weaker = pick((a, b), key=lambda x: x["effect"])
    out = dict(weaker) | {"outcome": "both", **{k: bool(a[k] and b[k]) for k in ("claimed", "valid")}}
    out |= _joined(a, b, "effect", "p") | _joined(a, b, "full", "full_p")
    out |= _joined(a, b, "raw", "raw_p")
    errors = [x["p_error"] for x in (a, b) if np.isfinite(x["p_error"])]
    out["p_error"] = max(errors, default=np.nan)
    return out


def _joined(a: Mapping[str, Any], b: Mapping[str, Any], effect: str, p: str) -> dict[str, float]:
    if not (np.isfinite(a[effect]) and np.isfinite(b[effect])):
        return {effect: np.nan, p: np.nan}
    if a[effect] * b[effect] <= 0:
        return {p: 1.0}
    return {p: max(a[p], b[p])}


def add_both(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Append a row for "both" wherever the two modalities were held against the same measurement.

    A claim whose measurement differs by modality (a response held against the other modality) joins
    those in the order in which they stand.

    Parameters
    ----------
    rows : list of dict
        Rows of evidence.

    Returns
    -------
    list of dict
        The same, and after them those of "both".
    """
    table = pd.DataFrame(rows)
    out = list(rows)
    for _, part in table.groupby(["claim", "scope"], sort=False):
        own = {m: part[part.outcome == m] for m in MODALITIES}
        pairs = own["radiation"].merge(own["chemotherapy"], on="measurement", suffixes=("", "_other"))
        first, second = (_records(own[m]) for m in MODALITIES)
        if len(pairs):
            by_name = {r["measurement"]: r for r in second}
            joined = [(r, by_name[r["measurement"]]) for r in first if r["measurement"] in by_name]
        else:
            joined = list(zip(first, second, strict=False))
        out += [both_row(r, c) for r, c in joined]
    return out


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in r.items()} for r in table.to_dict("records")]


def with_q(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust p-values of valid measurements for the false discovery rate, within each outcome.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of evidence.

    Returns
    -------
    pandas.DataFrame
        With q, and q_near: whether q crosses the level when the p-values that come from draws are moved by
        two of their Monte-Carlo standard errors, all down or all up.
    """
    q, near = pd.Series(np.nan, table.index), pd.Series(data=False, index=table.index)
    for _, part in table[table.valid].groupby("outcome"):
        p, error = part.p.to_numpy(dtype=float), np.nan_to_num(part.p_error.to_numpy(dtype=float))
        moved = [benjamini_hochberg(np.clip(p + shift * error, 0, 1)) for shift in (0, -2, 2)]
        q[part.index] = moved[0]
        called = pd.DataFrame(np.array(moved).T < LEVEL, part.index)
        near[part.index] = called.any(axis=1) & ~called.all(axis=1)
    return table.assign(q=q, q_near=near)
