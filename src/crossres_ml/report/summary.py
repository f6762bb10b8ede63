"""``summary.json``: the contract that other tools read. Its schema is the models below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from crossres_ml.config import TASKS, TaskName
from crossres_ml.evaluation.skill import Skill

SCHEMA_VERSION = 1
SplitMode = Literal["cell_line_out", "lineage_out", "study_out"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Strict):
    """A value with its 95 % group-bootstrap interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class DataSummary(_Strict):
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


class TaskSummary(_Strict):
    """Skill of one task. ``models``: name -> split mode -> metric -> interval."""

    models: dict[str, dict[SplitMode, dict[str, Interval]]]
    best_baseline: str
    champion: str
    paired_baseline: dict[SplitMode, str]
    paired_difference: dict[SplitMode, dict[str, Interval]]
    prevalence: float
    scored_lines: dict[SplitMode, int]


class NamedGene(_Strict):
    """Rank of a named gene among the features of a task's champion, by held-out mean |SHAP|."""

    rank: float | None
    of: int | None
    percentile: float | None
    sign: Literal[-1, 0, 1] | None
    measurement: str | None
    n: int
    p: float | None


class Summary(_Strict):
    """Everything that a tool may rely on. Later sections (audit, scan, signatures) are added beside these."""

    schema_version: int = SCHEMA_VERSION
    data: DataSummary
    tasks: dict[TaskName, TaskSummary]
    named_genes: dict[str, dict[TaskName, NamedGene]]
    timings: dict[str, float] = Field(description="seconds per stage")
    peak_rss_mb: float


def _interval(row: Mapping[Any, Any]) -> Interval:
    numbers = {k: (float(row[k]) if math.isfinite(row[k]) else None) for k in ("value", "low", "high")}
    return Interval(**numbers)


def _nested(table: pd.DataFrame) -> dict[Any, dict[str, Interval]]:
    return {
        mode: {r["metric"]: _interval(r) for r in part.to_dict("records")}
        for mode, part in table.groupby("mode", sort=True)
    }


def summarise_task(skill: Skill, task: TaskName) -> TaskSummary:
    """Nest the skill tables of a task.

    Parameters
    ----------
    skill : Skill
        As `crossres_ml.evaluation.skill.assess` gives it.
    task : str
        Task.

    Returns
    -------
    TaskSummary
        Its section of the summary.
    """
    metrics = skill.metrics[skill.metrics.task == task]
    against = skill.paired[(skill.paired.task == task) & (skill.paired.kind == "baseline")]
    paired = against[against.model == skill.champion[task]]
    first = metrics[(metrics["mode"] == "cell_line_out") & (metrics.metric == "prevalence")]
    return TaskSummary(
        models={str(m): _nested(part) for m, part in metrics.groupby("model", sort=True)},
        best_baseline=skill.best_baseline[task],
        champion=skill.champion[task],
        paired_baseline=dict(paired.drop_duplicates("mode").set_index("mode").against.sort_index()),
        paired_difference=_nested(paired),
        prevalence=float(first.value.iloc[0]),
        scored_lines={m: int(p.n.iloc[0]) for m, p in metrics.groupby("mode", sort=True)},
    )


def build_summary(
    data: DataSummary,
    skill: Skill,
    named: Mapping[TaskName, Mapping[str, Mapping[str, object]]],
    timings: Mapping[str, float],
    peak_rss_mb: float,
) -> Summary:
    """Put the summary together and check it against its schema.

    Parameters
    ----------
    data : DataSummary
        What was learned from.
    skill : Skill
        Skill of all tasks.
    named : mapping
        Task -> gene -> entry of `crossres_ml.audit.attribution.named_genes`.
    timings : mapping of str to float
        Seconds per stage.
    peak_rss_mb : float
        Largest resident memory of a process, MiB.

    Returns
    -------
    Summary
        Checked.
    """
    genes = sorted({g for per_task in named.values() for g in per_task})
    return Summary(
        data=data,
        tasks={t: summarise_task(skill, t) for t in TASKS},
        named_genes={g: {t: NamedGene.model_validate(named[t][g]) for t in TASKS} for g in genes},
        timings={k: round(v, 2) for k, v in timings.items()},
        peak_rss_mb=round(peak_rss_mb, 1),
    )
