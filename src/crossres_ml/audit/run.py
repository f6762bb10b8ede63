"""The audit: from the cohort and the claims to verdicts with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.audit.association_rows import add_both, association_rows, with_q
from crossres_ml.audit.claims import Claim, Claims, Measurement, Outcome
from crossres_ml.audit.controls import (
    CONTROL_COLUMNS,
    Gate,
    judge_controls,
    negative_controls,
    null_controls,
    positive_control,
)
from crossres_ml.audit.data import MODALITIES, RESPONSE, OutcomeView, features_of, outcome_views
from crossres_ml.audit.drivers import Drivers, find_drivers
from crossres_ml.audit.evidence import COLUMNS
from crossres_ml.audit.heterogeneity import per_lineage, pool
from crossres_ml.audit.judge import Found, named_table, verdict_table
from crossres_ml.audit.matched import appearance, matched_percentile
from crossres_ml.audit.matrix import GENE, adjusted_matrix
from crossres_ml.audit.measure import all_measurements, choose
from crossres_ml.audit.mechanisms import Inputs, mechanism_rows
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import AuditConfig, FeatureConfig, TrainConfig

MORE_BLOCKS = ("gene_set", "hotspot", "progeny")
"""Looked at beside the blocks that the models read."""
_NO_FEATURES = ("burden", "lineage", "subtype")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What every part of the audit reads; made once, before any outcome is looked at.

    Attributes
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims, with those of a simulated study's planted features.
    config : TrainConfig
        Named genes and seed.
    settings : AuditConfig
        Draws.
    views : dict of str to OutcomeView
        Outcomes.
    values, info : pandas.DataFrame
        As `crossres_ml.audit.measure.all_measurements` gives them.
    chosen : dict
        Outcome -> claim -> column id that decides.
    features : pandas.DataFrame
        All lines x features that may take part.
    rules : FeatureConfig
        Which of them do.
    """

    cohort: Cohort
    claims: Claims
    config: TrainConfig
    settings: AuditConfig
    views: dict[Outcome, OutcomeView]
    values: pd.DataFrame
    info: pd.DataFrame
    chosen: dict[Outcome, dict[str, str]]
    features: pd.DataFrame
    rules: FeatureConfig


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes
    ----------
    verdicts : pandas.DataFrame
        One row a claim and outcome: verdict, its evidence, calibrated SHAP, a sentence.
    evidence : pandas.DataFrame
        One row a claim, measurement, scope and outcome.
    named : pandas.DataFrame
        One row a named gene and outcome: measurement, calibrated p, ranks.
    features : pandas.DataFrame
        Linear SHAP with p and q for every feature, outcome by outcome.
    controls, negative, null : pandas.DataFrame
        The controls.
    gate : Gate
        Whether claims were judged.
    nulls : pandas.DataFrame
        Group SHAP on permuted residuals: outcome, draw, group, value.
    swarm, stability : pandas.DataFrame
        As `crossres_ml.audit.drivers.Drivers` has them, with the outcome.
    lineages, pooled : pandas.DataFrame
        Effects per lineage of what decides each claim, and their random-effects mean.
    details : dict of str to pandas.DataFrame
        Kind of claim -> details of its test.
    """

    verdicts: pd.DataFrame
    evidence: pd.DataFrame
    named: pd.DataFrame
    features: pd.DataFrame
    controls: pd.DataFrame
    negative: pd.DataFrame
    null: pd.DataFrame
    gate: Gate
    nulls: pd.DataFrame
    swarm: pd.DataFrame
    stability: pd.DataFrame
    lineages: pd.DataFrame
    pooled: pd.DataFrame
    details: dict[str, pd.DataFrame]


def planted_claims(cohort: Cohort) -> tuple[Claim, ...]:
    """Make a claim of every feature that a simulated study knows the truth of.

    Parameters
    ----------
    cohort : Cohort
        With ``planted``; a real one has none.

    Returns
    -------
    tuple of Claim
        ``P01`` and on: that a high value goes with resistance to both.
    """
    if cohort.planted is None:
        return ()
    out = []
    for i, feature in enumerate(cohort.planted.index, 1):
        role = cohort.planted.role[feature]
        measured = Measurement(id="planted", label=feature, features=(feature,))
        out.append(Claim(id=f"P{i:02d}", title=f"{feature}, {role}", statement=f"Planted: {role}.",
                         measurements=(measured,), reason="made by code"))  # fmt: skip
    return tuple(out)


def prepare(cohort: Cohort, claims: Claims, config: TrainConfig, settings: AuditConfig) -> Prepared:
    """Measure everything that the claims name, and choose what decides them by counts alone.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims.
    config : TrainConfig
        Features, named genes and seed.
    settings : AuditConfig
        Draws.

    Returns
    -------
    Prepared
        Ready to be tested.
    """
    claims = claims.model_copy(update={"claims": (*claims.claims, *planted_claims(cohort))})
    views = outcome_views(cohort, claims)
    values, info = all_measurements(cohort, claims)
    lines = views["radiation"].lines
    chosen = {o: {str(k): str(c) for k, c in choose(values, info, claims, lines, o).items()} for o in views}
    known = ({*config.features.blocks, *MORE_BLOCKS} & set(cohort.blocks)) - set(_NO_FEATURES)
    rules = config.features.model_copy(update={"blocks": tuple(sorted(known))})
    controls = [f for c in claims.positive_controls for f in (*c.measurement.plain_features, *c.folds_with)]
    features = cohort.matrix(rules.blocks, [*config.features.always, *controls])
    return Prepared(cohort, claims, config, settings, views, values, info, chosen, features, rules)


def audit_claims(
    cohort: Cohort,
    claims: Claims,
    config: TrainConfig,
    settings: AuditConfig,
    champion: Mapping[str, pd.DataFrame],
    *,
    folder: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Audit:
    """Audit the claims.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        The claims.
    config : TrainConfig
        Features, named genes and seed.
    settings : AuditConfig
        Draws.
    champion : mapping of str to pandas.DataFrame
        Task -> ranks as `crossres_ml.audit.attribution.rank_features` gives them; description only. May
        be empty.
    folder : Path, optional
        Keeps finished draws, so that an interrupted audit goes on where it stopped.
    jobs : int, default 1
        Parallel processes; the result does not depend on it.
    progress : callable, optional
        Called with steps done and their total.

    Returns
    -------
    Audit
        All tables.
    """
    with threadpool_limits(1):
        ready = prepare(cohort, claims, config, settings)
        total = settings.draws * len(MODALITIES)
        progress(0, total)
        controls, negative, null = _controls(ready, jobs)
        gate = judge_controls(controls, negative, null)
        evidence, details = _evidence(ready, jobs)
        members = _members(ready)
        drivers: dict[Outcome, Drivers] = {}
        for i, name in enumerate(MODALITIES):
            decisive = [c for c in ready.chosen[name].values() if c.partition("/")[0] in members]
            drivers[name] = find_drivers(
                ready.features, ready.values[decisive], members, ready.views[name], ready.rules, settings,
                seed=config.seed, folder=None if folder is None else folder / name, jobs=jobs,
                progress=partial(_tell, progress, i * settings.draws, total),
            )  # fmt: skip
        lineages, pooled = _heterogeneity(ready)
        found = Found(ready.chosen, drivers, champion, _matched(ready), cohort.planted, gate.open)
    linear, swarm, stability = (_joined(drivers, n) for n in ("features", "values", "stability"))
    verdicts, named = verdict_table(ready.claims, evidence, found), named_table(found, members)
    return Audit(
        verdicts, evidence, named, linear, controls, negative, null, gate, _long_nulls(drivers), swarm,
        stability, lineages, pooled, details,
    )  # fmt: skip


def _tell(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _controls(ready: Prepared, jobs: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    cohort, view = ready.cohort, ready.views["radiation"]
    pairs = [(c, d) for c in ready.claims.positive_controls for d in c.drugs]
    work = (joblib.delayed(positive_control)(cohort, ready.features, c, d, ready.rules) for c, d in pairs)
    positive = pd.DataFrame(
        joblib.Parallel(n_jobs=jobs, prefer="threads")(work), columns=list(CONTROL_COLUMNS)
    )
    known = cohort.blocks.get("lineage")
    tissue = pd.get_dummies(cohort.lines.lineage) if known is None else known
    matrix = adjusted_matrix(ready.features, pd.DataFrame(index=ready.features.index), view, ready.rules)
    negative = negative_controls(
        ready.features, matrix, tissue.loc[view.lines].to_numpy(dtype=float),
        draws=ready.settings.simulations, seed=ready.config.seed,
    )  # fmt: skip
    return positive, negative, null_controls(cohort, ready.claims, ready.views)


def _evidence(ready: Prepared, jobs: int) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    rows: list[dict[str, Any]] = []
    for view in ready.views.values():
        rows += association_rows(ready.cohort, ready.claims, ready.values, ready.info, view)
    draws, seed = ready.settings.bootstrap, ready.config.seed
    work = (
        joblib.delayed(mechanism_rows)(
            Inputs(ready.cohort, ready.claims, ready.values, ready.info, ready.chosen[m], draws, seed),
            ready.views[m],
        )
        for m in MODALITIES
    )
    details: dict[str, list[pd.DataFrame]] = {}
    for found, tables in joblib.Parallel(n_jobs=jobs, prefer="threads")(work):
        rows += found
        for kind, table in tables.items():
            details.setdefault(kind, []).append(table)
    table = with_q(pd.DataFrame(add_both(rows), columns=list(COLUMNS)))
    table["decides"] = _decides(table, ready)
    return table, {k: pd.concat(t, ignore_index=True) for k, t in details.items()}


def _decides(table: pd.DataFrame, ready: Prepared) -> np.ndarray:
    """Take what was chosen by counts for an association, and the first valid row of any other test."""
    association = table.claim.isin([c.id for c in ready.claims.of_kind("association")])
    column = table.claim + "/" + table.measurement + "@" + table.scope
    first = ~table[table.valid].duplicated(["claim", "outcome"]).reindex(table.index, fill_value=True)
    chosen = np.zeros(len(table), dtype=bool)
    for outcome in table.outcome.unique():
        asked = MODALITIES if outcome == "both" else (outcome,)
        columns = {c for o in asked for c in ready.chosen[o].values()}
        chosen |= ((table.outcome == outcome) & column.isin(columns)).to_numpy()
    return np.asarray(np.where(association, chosen, first))


def _members(ready: Prepared) -> dict[str, list[str]]:
    """Claims that are associations of features, and named genes: their own features."""
    measured = {(c.id, m.id): m for c in ready.claims.of_kind("association") for m in c.measurements}
    out: dict[str, list[str]] = {}
    for claim, column in ready.chosen["radiation"].items():
        m = measured.get((claim, str(ready.info.measurement[column])))
        if m is not None and not any(f.startswith(RESPONSE) for f in m.features):
            out[claim] = [column, *m.plain_features]
    lines = ready.views["radiation"].lines
    for gene, names in ready.config.named_genes.items():
        counts = features_of(ready.cohort, names).loc[lines].notna().sum()
        enough = [str(f) for f in counts.index[counts >= ready.config.named_min_lines]]
        enough = enough or [str(f) for f in counts.index]
        if enough:
            out[f"{GENE}{gene}"] = enough[:1]
    return out


def _heterogeneity(ready: Prepared) -> tuple[pd.DataFrame, pd.DataFrame]:
    known = {c.id for c in ready.claims.of_kind("association")}
    tables, rows = [], []
    for name in MODALITIES:
        for claim, column in ready.chosen[name].items():
            if claim in known:
                table = per_lineage(ready.values[column], ready.views[name], ready.cohort.lines.lineage)
                about = {"claim": claim, "outcome": name}
                tables.append(table.reset_index().assign(**about))
                rows.append(about | pool(table))
    return pd.concat(tables, ignore_index=True), pd.DataFrame(rows)


def _matched(ready: Prepared) -> dict[tuple[str, str], tuple[float, int]]:
    """Percentile of what decides a claim among random features of its block that look like it."""
    measured = {(c.id, m.id): m.plain_features[0] for c in ready.claims.claims for m in c.measurements}
    out: dict[tuple[str, str], tuple[float, int]] = {}
    for name in MODALITIES:
        view = ready.views[name]
        look = appearance(ready.features, view)
        for claim, column in ready.chosen[name].items():
            block = measured[claim, str(ready.info.measurement[column])].partition(":")[0]
            x, seed = ready.values[column], ready.config.seed
            out[claim, name] = matched_percentile(ready.features, look, view, x, block, seed=seed)
    return out


def _joined(drivers: Mapping[Outcome, Drivers], name: str) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for outcome, found in drivers.items():
        table: pd.DataFrame = getattr(found, name)
        plain = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
        parts.append(plain.assign(outcome=outcome))
    return pd.concat(parts, ignore_index=True)


def _long_nulls(drivers: Mapping[Any, Drivers]) -> pd.DataFrame:
    parts = [
        d.nulls.reset_index()
        .melt(id_vars="draw", var_name="group", value_name="group_shap")
        .assign(outcome=o)
        for o, d in drivers.items()
    ]
    observed = [d.groups.group_shap.reset_index().assign(outcome=o, draw=-1) for o, d in drivers.items()]
    return pd.concat([*parts, *observed], ignore_index=True)[["outcome", "group", "draw", "group_shap"]]
