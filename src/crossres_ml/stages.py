"""The stages of a training run, from a cohort to a folder of results."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from crossres_ml import tracking
from crossres_ml.artifacts import FoldStore, timed, write_json, write_table
from crossres_ml.audit.attribution import named_genes, rank_features
from crossres_ml.audit.claims import Claims
from crossres_ml.audit.run import Audit, audit_claims
from crossres_ml.audit.save import write_audit
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import scored_lines
from crossres_ml.cohort.missing import count_missing
from crossres_ml.config import AuditConfig, TrainConfig
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.across import across_responses
from crossres_ml.evaluation.alarms import check_features, check_permuted, check_radiation_r2
from crossres_ml.evaluation.comparisons import compare_both, learning_curve
from crossres_ml.evaluation.folds import HAVE, NO_CAUTION, task_matrix
from crossres_ml.evaluation.heldout import Progress, evaluate
from crossres_ml.evaluation.skill import Skill, assess, per_lineage, pooled
from crossres_ml.evaluation.variants import summarise_variants
from crossres_ml.final_models import save_final_models
from crossres_ml.report.audit_summary import AuditSummary, summarise_audit
from crossres_ml.report.datasheet import datasheet
from crossres_ml.report.figures import draw_figures
from crossres_ml.report.html import write_report
from crossres_ml.report.summary import (
    DataSummary,
    SkillTables,
    Summary,
    build_summary,
)  # fmt: skip
from crossres_ml.splits import describe_splits, make_splits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """How a run is done; nothing of it decides a number.

    Attributes
    ----------
    folder : Path
        Keeps finished folds and draws, so that an interrupted run goes on where it stopped.
    jobs : int
        Parallel processes.
    folds, draws : callable
        Called with folds, and with draws of the audit, done and in total.
    """

    folder: Path
    jobs: int
    folds: Progress
    draws: Progress


_SAID = {
    "skill": "measuring skill with intervals",
    "final_models": "fitting each champion on all of its lines, about a minute on real data",
    "report": "drawing the figures and writing the report",
    "tracking": "logging runs and models to MLflow",
}
"""What is said of the stages that have no bar and take more than some seconds."""


@contextmanager
def _stage(times: dict[str, float], name: str) -> Iterator[None]:
    log.info("%s", _SAID[name])
    with timed(times, name, time.monotonic):
        yield


def run_stages(
    cohort: Cohort,
    config: TrainConfig,
    claims: Claims | None,
    results: Path,
    *,
    work: Work,
    times: dict[str, float],
    tracking_uri: str,
) -> None:
    """Train, evaluate, explain, draw and log; write everything into ``results``.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    claims : Claims or None
        What is audited at the end, if anything.
    results : Path
        Empty folder.
    work : Work
        How it is done.
    times : dict of str to float
        Seconds per stage; added to.
    tracking_uri : str
        Where MLflow keeps its runs.
    """
    summary = _compute(cohort, config, claims, results, work, times)
    with _stage(times, "report"):
        draw_figures(results, summary)
        write_report(results, summary)
    with _stage(times, "tracking"):
        tracking.log_run(results, summary, config, tracking_uri)
    final = summary.model_copy(update={"timings": {k: round(v, 2) for k, v in times.items()}})
    write_json(results / "summary.json", final.model_dump(mode="json"))
    write_json(results / "summary.schema.json", Summary.model_json_schema())


def _compute(
    cohort: Cohort, config: TrainConfig, claims: Claims | None, results: Path, work: Work,
    times: dict[str, float],
) -> Summary:  # fmt: skip
    write_cohort(cohort, results)
    check_features(cohort)
    (results / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    splits = make_splits(cohort, config.splits, quantile=config.resistant_quantile)
    write_table(results / "splits.parquet", splits)
    write_table(results / "splits.csv", describe_splits(splits, cohort))
    with timed(times, "held_out", time.monotonic):
        predictions, contributions = evaluate(
            cohort, config, splits, FoldStore(work.folder / "folds"), jobs=work.jobs, progress=work.folds
        )
        # times differ from run to run: they stand apart, so that the predictions are the same to the byte
        write_table(results / "seconds.csv", _seconds(predictions))
        write_table(results / "predictions.parquet", predictions.drop(columns="seconds"))
    with _stage(times, "skill"):
        tables = _write_skill(predictions, cohort, config, results, work.jobs)
        skill = tables.skill
    with timed(times, "shap", time.monotonic):
        named, ranks = _write_attributions(cohort, config, skill, contributions, results)
    data = describe_data(cohort, config)
    sheet = datasheet(results, data)
    (results / "DATASHEET.md").write_text(sheet, encoding="utf-8")
    audited = None
    if claims is not None and config.audit is not None:
        with timed(times, "audit", time.monotonic):
            found = audit_claims(
                cohort, claims, config, config.audit, ranks,
                folder=work.folder / "audit", jobs=work.jobs, progress=work.draws,
            )  # fmt: skip
            audited = save_audit(found, claims, cohort, config.audit, config.seed, results / "audit")
            _calibrate_named(named, found)
    with _stage(times, "final_models"):
        save_final_models(
            cohort, config, tables, data, results / "models", audit=audited, named=named, datasheet=sheet
        )
    peak = (
        max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    )
    summary = build_summary(data, tables, named, times, peak, audited)
    tasks = {t: s.model_dump(mode="json") for t, s in summary.tasks.items()}
    write_json(results / "metrics.json", tasks)
    return summary


def _seconds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add up the processor time of the fits of each model; a fit is told with every line that it scores."""
    keys = ["mode", "task", "model"]
    fits = predictions[~predictions.variant.isin([*HAVE, NO_CAUTION])]  # those are scored by the full model
    fits = fits.drop_duplicates([*keys, "variant", "repeat", "fold"])
    return (
        fits.groupby(keys).seconds.agg(["sum", "count"]).set_axis(["seconds", "fits"], axis=1).reset_index()
    )


def _write_skill(
    predictions: pd.DataFrame, cohort: Cohort, config: TrainConfig, results: Path, jobs: int
) -> SkillTables:
    """Measure, raise what must be raised, and write every table of skill."""
    draws: dict[str, int] = {"draws": config.bootstrap, "seed": config.seed}
    tables = SkillTables(
        assess(predictions, **draws, jobs=jobs),
        pooled(predictions),
        summarise_variants(predictions, **draws, jobs=jobs),
        learning_curve(predictions, **draws),
        compare_both(predictions, **draws),
    )
    write_table(results / "metrics.csv", tables.skill.metrics)
    write_table(results / "paired.csv", tables.skill.paired)
    write_table(results / "pooled.csv", tables.pooled)
    write_table(results / "lineages.csv", per_lineage(predictions, **draws))
    write_table(results / "variants.csv", tables.variants)
    write_table(results / "learning_curve.csv", tables.curve)
    write_table(results / "both.csv", tables.both)
    champions = {t: tables.skill.champion[t] for t in TASKS}
    across = across_responses(predictions, cohort.responses, champions, **draws)
    write_table(results / "across_responses.csv", across)
    check_radiation_r2(tables.skill.metrics, kind=cohort.kind)
    check_permuted(predictions, **draws)
    return tables


def write_cohort(cohort: Cohort, folder: Path) -> None:
    """Write what the cohort is made of: lines, coverage, what was dropped and what did not resolve.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    folder : Path
        Folder of results.
    """
    write_table(folder / "lines.csv", cohort.lines.join(cohort.responses))
    write_table(folder / "coverage.csv", cohort.coverage())
    write_table(folder / "coverage_by_line.parquet", cohort.coverage_by_line())
    write_table(folder / "features.parquet", cohort.features)
    missing = cohort.missing()
    write_table(folder / "dropped_lines.csv", missing)
    write_table(folder / "dropped_counts.csv", count_missing(missing))
    write_table(folder / "dropped.csv", cohort.dropped)
    write_table(folder / "unresolved.csv", cohort.unresolved)


def describe_data(cohort: Cohort, config: TrainConfig) -> DataSummary:
    """Summarise what was learned from.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.

    Returns
    -------
    DataSummary
        Counts and hashes.
    """
    radiation, chemo = (cohort.responses[c].notna() for c in ("radiation", "chemotherapy"))
    lost = cohort.unresolved[cohort.unresolved.table == "radiation"]
    return DataSummary(
        kind=cohort.kind,
        config_hash=config.digest(),
        cohort_hash=cohort.digest(),
        source_hashes=dict(cohort.sources),
        lines=len(cohort.lines),
        lines_radiation=int(radiation.sum()),
        lines_chemotherapy=int(chemo.sum()),
        lines_both=int((radiation & chemo).sum()),
        unresolved_radiation=[f"{r.alias}: {r.reason}" for r in lost.itertuples()],
    )


def _write_attributions(
    cohort: Cohort, config: TrainConfig, skill: Skill, contributions: pd.DataFrame, results: Path
) -> tuple[dict[TaskName, dict[str, dict[str, object]]], dict[str, pd.DataFrame]]:
    """Rank features by held-out SHAP; give the named genes' entries, and the ranks by task."""
    X = task_matrix(cohort, config)
    by_task: dict[str, pd.DataFrame] = {}
    named: dict[TaskName, dict[str, dict[str, object]]] = {}
    tables = []
    for task in TASKS:
        own = contributions[(contributions.task == task) & (contributions.model == skill.champion[task])]
        ranks = rank_features(own, X, scored_lines(cohort, task))
        write_table(results / f"shap_{task}.csv", ranks)
        by_task[task] = ranks
        named[task], table = named_genes(ranks, config.named_genes, config.named_min_lines)
        tables.append(table.assign(task=task, model=skill.champion[task]))
    write_table(results / "named_genes.csv", pd.concat(tables, ignore_index=True))
    return named, by_task


def save_audit(
    found: Audit, claims: Claims, cohort: Cohort, settings: AuditConfig, seed: int, folder: Path
) -> AuditSummary:
    """Write an audit and summarise it.

    Parameters
    ----------
    found : Audit
        The audit.
    claims : Claims
        What was audited.
    cohort : Cohort
        On what.
    settings : AuditConfig
        With how many draws.
    seed : int
        Their seed.
    folder : Path
        Where to.

    Returns
    -------
    AuditSummary
        The section of the summary.
    """
    about = {
        "kind": cohort.kind,
        "cohort_hash": cohort.digest(),
        "claims_hash": claims.digest(),
        "seed": seed,
    }
    write_audit(found, folder, {**about, **settings.model_dump()})
    summary = summarise_audit(
        found.verdicts, found.controls, found.gate.reasons, claims.digest(), settings.draws
    )
    write_json(folder / "summary.json", summary.model_dump(mode="json"))
    return summary


def champion_ranks(results: Path, cohort: Cohort) -> dict[str, pd.DataFrame]:
    """Read the ranks of the champions of a training run, if it was one on these very data.

    Parameters
    ----------
    results : Path
        Folder of results.
    cohort : Cohort
        The cohort.

    Returns
    -------
    dict of str to pandas.DataFrame
        Task -> ranks; empty when there is no such run.
    """
    place = results / "summary.json"
    if not place.is_file():
        return {}
    data = json.loads(place.read_text(encoding="utf-8")).get("data", {})
    if data.get("cohort_hash") != cohort.digest():
        log.warning("%s was trained on other data: the ranks of its champions are not shown", results)
        return {}
    files = {t: results / f"shap_{t}.csv" for t in TASKS}
    return {t: pd.read_csv(p, index_col="feature") for t, p in files.items() if p.is_file()}


def _calibrate_named(named: dict[TaskName, dict[str, dict[str, object]]], found: Audit) -> None:
    """Put the calibrated p-value beside the rank of a named gene."""
    for row in found.named.to_dict("records"):
        entry = named[row["outcome"] if row["outcome"] != "both" else "cross"].get(str(row["gene"]))
        if entry is not None:
            entry["p"] = float(row["p"])
