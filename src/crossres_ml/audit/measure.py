"""What the claims measure, a number a line; and which measurement decides, by counts alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from crossres_ml.audit.claims import ALL_LINES, Claims, Measurement, Outcome
from crossres_ml.audit.data import RESPONSE, features_of
from crossres_ml.cohort.cohort import Cohort

FALLBACK_LINES = 20
"""Fewest lines of a measurement that decides because none has as many as the claims ask for."""
FALLBACK_CARRIERS = 3
"""The same for lines with and without an event."""
INFO_COLUMNS = (
    "claim", "measurement", "mediator", "scope", "label", "valid", "note", "beside", "outcomes", "is_event",
    "features_found", "features_asked",
)  # fmt: skip


def column_id(claim: str, measurement: str, scope: str) -> str:
    """Name of a column of measured values: ``C03/cn_event@tp53_wild_type``."""
    return f"{claim}/{measurement}@{scope}"


def is_event(measurement: Measurement) -> bool:
    """Whether it is there or not: 1 or 0."""
    return measurement.how == "any"


def measure(cohort: Cohort, measurement: Measurement) -> pd.Series:
    """Measure every line.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    measurement : Measurement
        What to measure. A feature that the cohort lacks counts as not measured in any line.

    Returns
    -------
    pandas.Series
        Index: all lines; float64, NaN where not measured, reversed where the claim is about low values
        (an event becomes its lack, 1 - x; any other value its negative). For a mean, features are
        standardised by the mean and the standard deviation (of the population) over all lines that have
        them; one that does not vary is not measured.
    """
    asked = measurement.plain_features
    known = features_of(cohort, asked)
    table = known.reindex(columns=list(asked))
    if 2 * known.shape[1] < len(asked):
        values = pd.Series(np.nan, index=table.index)
    elif measurement.how == "value":
        values = table.iloc[:, 0]
    elif measurement.how == "mean":
        signs = [-1.0 if f.startswith("-") else 1.0 for f in measurement.features]
        sd = table.std(ddof=0)
        z = (table - table.mean()) / sd.where(sd > 0) * signs
        values = z.mean(axis=1).where(_half(z))
    else:
        at = float(measurement.threshold or 0.0)
        number = (table.le(at) if measurement.below else table.ge(at)).sum(axis=1).astype(float)
        if is_event(measurement):
            values = (number > 0).astype(float).where((number > 0) | _half(table))
        else:
            values = pd.Series(np.log2(1 + number), index=table.index).where(_half(table))
    if measurement.reverse:
        values = 1 - values if is_event(measurement) else -values
    return values.astype(float).rename(measurement.id)


def _half(table: pd.DataFrame) -> pd.Series:
    """Lines in which at least half of the columns are measured."""
    return 2 * table.notna().sum(axis=1) >= table.shape[1]


def in_scope(cohort: Cohort, scope_name: str, claims: Claims) -> pd.Series:
    """Tell which lines a scope takes in.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    scope_name : str
        ``all``, or the name of a scope of the claims.
    claims : Claims
        Define the scopes.

    Returns
    -------
    pandas.Series
        Index: all lines; bool. A line is out where the feature of the scope is not measured.
    """
    inside = pd.Series(data=True, index=cohort.lines.index, name=scope_name)
    if scope_name == ALL_LINES:
        return inside
    scope = claims.scopes[scope_name]
    if scope.lineages:
        inside &= cohort.lines.lineage.isin(scope.lineages)
    if scope.subtypes:
        inside &= cohort.lines.subtype.isin(scope.subtypes)
    if scope.feature:
        values = features_of(cohort, (scope.feature,)).reindex(columns=[scope.feature])[scope.feature]
        inside &= values.between(scope.low, scope.high)
    return inside


def all_measurements(cohort: Cohort, claims: Claims) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure everything that the claims name, in every scope of its claim.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims.

    Returns
    -------
    values : pandas.DataFrame
        All lines x column ids (`column_id`), in the order of the file; NaN outside the scope.
    info : pandas.DataFrame
        Index: the column ids; `INFO_COLUMNS`: claim, measurement and scope (their ids), mediator (bool:
        stands between measurement and response, and never decides), label, valid, note, beside and
        outcomes (tuples), is_event (bool), features_found of features_asked.
    """
    values, rows = {}, {}
    for claim in claims.claims:
        measured = [(m, False) for m in claim.measurements] + [(m, True) for m in claim.mediators]
        columns = [(m, mediator, measure(cohort, m)) for m, mediator in measured]
        for scope in claim.scopes:
            inside = in_scope(cohort, scope, claims)
            for m, mediator, column in columns:
                name = column_id(claim.id, m.id, scope)
                values[name] = column.where(inside)
                found = features_of(cohort, m.plain_features).shape[1]
                rows[name] = (
                    claim.id, m.id, mediator, scope, m.label, m.valid, m.note, m.beside, m.outcomes,
                    is_event(m), found, len(m.features),
                )  # fmt: skip
    info = pd.DataFrame.from_dict(rows, orient="index", columns=list(INFO_COLUMNS))
    return pd.DataFrame(values, index=cohort.lines.index), info.rename_axis("column")


def counts(values: pd.DataFrame, info: pd.DataFrame, lines: pd.Index) -> pd.DataFrame:
    """Count measured lines and events.

    Parameters
    ----------
    values, info : pandas.DataFrame
        As `all_measurements` gives them.
    lines : pandas.Index
        Lines that count.

    Returns
    -------
    pandas.DataFrame
        Index: column ids; n (measured lines), carriers (those with the event), others (those without);
        the last two are NaN for what is no event.
    """
    part = values.loc[lines]
    n, carriers = part.notna().sum(), part.eq(1).sum()
    table = pd.DataFrame({"n": n, "carriers": carriers, "others": n - carriers})
    levels = ~info.is_event.astype(bool)
    return table.astype({"carriers": float, "others": float}).mask(
        pd.DataFrame({"n": False, "carriers": levels, "others": levels}, index=table.index)
    )


def choose(
    values: pd.DataFrame, info: pd.DataFrame, claims: Claims, lines: pd.Index, outcome: Outcome | None = None
) -> pd.Series:
    """Choose the measurement that decides each claim, by counts alone.

    Parameters
    ----------
    values, info : pandas.DataFrame
        As `all_measurements` gives them.
    claims : Claims
        Say how many lines are enough.
    lines : pandas.Index
        Lines that count: those with a response, one a patient. Nothing else of a response is used.
    outcome : str, optional
        Only measurements that may be held against it; without it, all.

    Returns
    -------
    pandas.Series
        Claim -> column id: in the claim's first scope the first valid measurement with ``min_lines``
        lines (``min_scope_lines`` in a scope that is not ``all``) and, for an event, with
        ``min_carriers`` lines that have it and as many that do not. If there is none: the one with most
        lines (the first of equals) of those with `FALLBACK_LINES` lines, and `FALLBACK_CARRIERS` for an
        event. A claim for which there is none either is not in it.
    """
    count = counts(values, info, lines)
    rarer = count[["carriers", "others"]].min(axis=1)
    chosen = {}
    for claim in claims.claims:
        scope = claim.scopes[0]
        own = info.index[
            (info.claim == claim.id)
            & (info.scope == scope)
            & info.valid.astype(bool)
            & ~info.mediator.astype(bool)
            & info.outcomes.map(lambda o: outcome is None or outcome in o).astype(bool)
        ]
        n, few = count.n[own], rarer[own]
        wanted = claims.min_lines if scope == ALL_LINES else claims.min_scope_lines
        enough = own[(n >= wanted) & ~(few < claims.min_carriers)]
        usable = own[(n >= FALLBACK_LINES) & ~(few < FALLBACK_CARRIERS)]
        if len(enough):
            chosen[claim.id] = enough[0]
        elif len(usable):
            chosen[claim.id] = n[usable].idxmax()
    return pd.Series(chosen, dtype=object, name="column").rename_axis("claim")


def _names(claims: Claims) -> Iterator[str]:
    """Every feature that the file names."""
    measurements = [m for c in claims.claims for m in (*c.measurements, *c.mediators)]
    measurements += [c.measurement for c in claims.positive_controls]
    measurements += [c.measurement for c in claims.null_controls]
    for m in measurements:
        yield from (*m.plain_features, *m.beside)
    for control in claims.positive_controls:
        yield from (*control.drugs, *control.folds_with)
    yield from claims.covariates
    yield from (s.feature for s in claims.scopes.values() if s.feature)


def unknown_features(cohort: Cohort, claims: Claims) -> list[str]:
    """List what the claims name and the cohort does not have.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims.

    Returns
    -------
    list of str
        Sorted names of features, ``response:<name>`` and drugs, of claims, scopes, covariates and controls.
    """
    known = {*cohort.features.index, *cohort.drugs.columns, *(f"{RESPONSE}{r}" for r in cohort.responses)}
    return sorted({*_names(claims)} - known)
