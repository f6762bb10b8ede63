"""``summary.json``: the contract that other tools read. Its schema is the models below."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.comparisons import APPROACHES, DIRECT
from crossres_ml.evaluation.skill import Skill, is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.audit_summary import AuditSummary, Strict

SCHEMA_VERSION = 3
SplitMode = Literal["cell_line_out", "lineage_out", "study_out"]
_RETRAINED = "_retrained"
HAVE = ("full", "no_caution", "rna_rppa", "rna_mutations", "rna", "mutations")
"""What a user may have measured, from much to little."""


class Interval(Strict):
    """A value with its 95 % group-bootstrap interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


Metrics = dict[str, Interval]
"""Metric -> interval."""


class DataSummary(Strict):
    """What was learned from."""

    kind: Literal["real", "simulated"]
    config_hash: str
    cohort_hash: str
    source_hashes: dict[str, str]
    lines: int
    lines_radiation: int
    lines_chemotherapy: int
    lines_both: int
    unresolved_radiation: list[str]


class WhatYouHave(Strict):
    """Skill by what was measured in a held-out line: what it was -> metric -> interval.

    ``hidden``: everything else is hidden from ``model``, which had learned from everything.
    ``retrained``: ``retrained_model`` was fitted anew on that alone. ``full`` is everything.
    """

    model: str
    hidden: dict[str, Metrics]
    retrained_model: str | None
    retrained: dict[str, Metrics]


class TaskSummary(Strict):
    """Skill of one task. ``models``: name -> split mode -> metric -> interval."""

    models: dict[str, dict[SplitMode, Metrics]]
    best_baseline: str
    champion: str
    paired_baseline: dict[SplitMode, str]
    paired_difference: dict[SplitMode, Metrics]
    prevalence: float
    scored_lines: dict[SplitMode, int]
    next_model: dict[SplitMode, str] = Field({}, description="the model that follows the champion")
    next_difference: dict[SplitMode, Metrics] = Field({}, description="champion minus that model")
    pooled: dict[str, dict[str, float | None]] = Field({}, description="model -> metric -> value")
    what_you_have: WhatYouHave | None = None
    learning_curve: dict[str, dict[int, Interval]] = Field(
        {}, description="model -> per cent of the training lines -> Spearman"
    )
    permuted: Metrics = Field({}, description="model -> Spearman with permuted labels")


class Both(Strict):
    """Ways to predict "both", compared on the same held-out lines.

    ``order``: from the highest Spearman correlation down. ``lead``: the first minus the second.
    ``against_direct``: model -> metric -> model minus the direct one.
    """

    direct: str
    order: dict[SplitMode, list[str]]
    lead: dict[SplitMode, Metrics]
    against_direct: dict[SplitMode, dict[str, Metrics]]


class NamedGene(Strict):
    """Rank of a named gene among the features of a task's champion, by held-out mean ``|SHAP|``."""

    rank: float | None
    of: int | None
    percentile: float | None
    sign: Literal[-1, 0, 1] | None
    measurement: str | None
    n: int
    p: float | None


class Summary(Strict):
    """Everything that a tool may rely on. Later sections (scan, signatures) are added beside these.

    Files of earlier versions can be read: they lack what later ones add, and all of that may be absent.
    """

    schema_version: int = Field(SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    data: DataSummary
    tasks: dict[TaskName, TaskSummary]
    both: Both | None = None
    named_genes: dict[str, dict[TaskName, NamedGene]]
    audit: AuditSummary | None = None
    timings: dict[str, float] = Field(description="seconds per stage")
    peak_rss_mb: float


@dataclass(frozen=True)
class SkillTables:
    """Tables of skill that a summary is made from, as a run saves them.

    Attributes
    ----------
    skill : Skill
        Metrics, champions and paired differences.
    pooled, variants : pandas.DataFrame
        As `crossres_ml.evaluation.skill.pooled` and
        `crossres_ml.evaluation.variants.summarise_variants` give them.
    curve, both : pandas.DataFrame
        As `crossres_ml.evaluation.comparisons` gives them. Any of the four may be empty.
    """

    skill: Skill
    pooled: pd.DataFrame
    variants: pd.DataFrame
    curve: pd.DataFrame
    both: pd.DataFrame


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def as_interval(row: Mapping[Any, Any]) -> Interval:
    """Read value, low and high from a row of a table; what is not finite is null."""
    return Interval(**{k: _number(row[k]) for k in ("value", "low", "high")})


def _by(table: pd.DataFrame, key: Hashable) -> dict[Any, Interval]:
    return {r[key]: as_interval(r) for r in table.to_dict("records")}


def _nested(table: pd.DataFrame, key: str = "mode", inner: str = "metric") -> dict[Any, dict[Any, Interval]]:
    return {k: _by(part, inner) for k, part in table.groupby(key, sort=True)}


def _of(table: pd.DataFrame, task: TaskName) -> pd.DataFrame:
    """Rows of a task; a table without any row may lack the column too."""
    return table[table.task == task] if len(table) else table


def _have(variants: pd.DataFrame, champion: str) -> WhatYouHave | None:
    """Gather what a user can expect: of the champion, and of the model that was fitted anew."""
    rows = variants[variants.variant.isin([*HAVE, *(f"{v}{_RETRAINED}" for v in HAVE)])]
    rows = rows[~rows.model.map(is_baseline).astype(bool) & (rows["mode"] == "cell_line_out")]
    anew = rows.variant.str.endswith(_RETRAINED)
    hidden = rows[~anew & rows.model.isin(rows.model[~anew & (rows.variant != "full")])]
    retrained = rows[(anew | (rows.variant == "full")) & rows.model.isin(rows.model[anew])]
    first, second = (_preferred(set(t.model), champion) for t in (hidden, retrained))
    if first is None:
        return None
    own = _nested(hidden[hidden.model == first], "variant")
    new = _nested(retrained[retrained.model == second], "variant")
    return WhatYouHave(
        model=first,
        hidden={v: own[v] for v in HAVE if v in own},
        retrained_model=second,
        retrained={v: m for v in HAVE if (m := new.get("full" if v == "full" else f"{v}{_RETRAINED}"))},
    )


def _preferred(models: set[str], champion: str) -> str | None:
    """Choose the champion where it is among them, else the Gaussian process, else the first known."""
    return next((m for m in (champion, DIRECT, *ABOUT) if m in models), None)


def summarise_task(tables: SkillTables, task: TaskName) -> TaskSummary:
    """Nest the skill tables of a task.

    Parameters
    ----------
    tables : SkillTables
        Of all tasks.
    task : str
        Task.

    Returns
    -------
    TaskSummary
        Its section of the summary.
    """
    skill = tables.skill
    champion = skill.champion[task]
    metrics = skill.metrics[skill.metrics.task == task]
    own = skill.paired[(skill.paired.task == task) & (skill.paired.model == champion)]
    paired, following = own[own.kind == "baseline"], own[own.kind == "next"]
    first = metrics[(metrics["mode"] == "cell_line_out") & (metrics.metric == "prevalence")]
    pooled, variants, curve = (_of(t, task) for t in (tables.pooled, tables.variants, tables.curve))
    return TaskSummary(
        models={str(m): _nested(part) for m, part in metrics.groupby("model", sort=True)},
        best_baseline=skill.best_baseline[task],
        champion=champion,
        paired_baseline=dict(paired.drop_duplicates("mode").set_index("mode").against.sort_index()),
        paired_difference=_nested(paired),
        prevalence=float(first.value.iloc[0]),
        scored_lines={m: int(p.n.iloc[0]) for m, p in metrics.groupby("mode", sort=True)},
        next_model=dict(following.drop_duplicates("mode").set_index("mode").against.sort_index()),
        next_difference=_nested(following),
        pooled=_pooled(pooled),
        what_you_have=_have(variants, champion) if len(variants) else None,
        learning_curve=_nested(curve, "model", "share") if len(curve) else {},
        permuted=_permuted(variants),
    )


def _pooled(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    if not len(table):
        return {}
    means = table[table.repeat.astype(str) == "mean"]
    return {
        str(m): {r["metric"]: _number(r["value"]) for r in part.to_dict("records")}
        for m, part in means.groupby("model", sort=True)
    }


def _permuted(variants: pd.DataFrame) -> Metrics:
    if not len(variants):
        return {}
    chosen = variants[(variants.variant == "permuted") & (variants.metric == "spearman")]
    return _by(chosen[chosen["mode"] == "cell_line_out"], "model")


def summarise_both(tables: SkillTables) -> Both | None:
    """Say which way to "both" ranks lines best, and by how much.

    Parameters
    ----------
    tables : SkillTables
        Of all tasks.

    Returns
    -------
    Both or None
        None where the direct way and another one were not both run.
    """
    pairs = tables.both
    if not len(pairs) or DIRECT not in set(pairs.against):
        return None
    metrics = tables.skill.metrics
    own = metrics[(metrics.task == "cross") & (metrics.metric == "spearman") & metrics.model.isin(APPROACHES)]
    back = pairs.rename(columns={"model": "against", "against": "model"})
    turned = back.assign(value=-pairs.value, low=-pairs.high, high=-pairs.low)
    every = pd.concat([pairs, turned], ignore_index=True)
    order: dict[Any, list[str]] = {}
    lead: dict[Any, Metrics] = {}
    direct: dict[Any, dict[str, Metrics]] = {}
    for mode, part in every.groupby("mode", sort=True):
        ranked = own[own["mode"] == mode].sort_values("value", ascending=False, kind="stable").model.tolist()
        order[mode] = ranked
        lead[mode] = _by(part[(part.model == ranked[0]) & (part.against == ranked[1])], "metric")
        direct[mode] = _nested(part[part.against == DIRECT], "model")
    return Both(direct=DIRECT, order=order, lead=lead, against_direct=direct)


def build_summary(
    data: DataSummary,
    tables: SkillTables,
    named: Mapping[TaskName, Mapping[str, Mapping[str, object]]],
    timings: Mapping[str, float],
    peak_rss_mb: float,
    audit: AuditSummary | None = None,
) -> Summary:
    """Put the summary together and check it against its schema.

    Parameters
    ----------
    data : DataSummary
        What was learned from.
    tables : SkillTables
        Skill of all tasks.
    named : mapping
        Task -> gene -> entry of `crossres_ml.audit.attribution.named_genes`.
    timings : mapping of str to float
        Seconds per stage.
    peak_rss_mb : float
        Largest resident memory of a process, MiB.
    audit : AuditSummary, optional
        Verdicts on the claims, where they were audited.

    Returns
    -------
    Summary
        Checked.
    """
    genes = sorted({g for per_task in named.values() for g in per_task})
    return Summary(
        data=data,
        tasks={t: summarise_task(tables, t) for t in TASKS},
        both=summarise_both(tables),
        named_genes={g: {t: NamedGene.model_validate(named[t][g]) for t in TASKS} for g in genes},
        audit=audit,
        timings={k: round(v, 2) for k, v in timings.items()},
        peak_rss_mb=round(peak_rss_mb, 1),
    )
