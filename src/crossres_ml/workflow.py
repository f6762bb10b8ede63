"""A training run: decide on the data, skip what is current, run the stages, publish the results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crossres_ml.artifacts import (
    Finished,
    is_current,
    publish,
    refuse_foreign,
    run_key,
    sha256,
    timed,
    write_manifest,
)
from crossres_ml.audit.claims import load_claims
from crossres_ml.config import AuditConfig, Panels, TrainConfig
from crossres_ml.config_names import config_path
from crossres_ml.gather import gather_cohort, plan_data

Telling = Callable[[int, int], None]


@dataclass(frozen=True)
class Trained(Finished):
    """Outcome of `train`."""


def train(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    tracking_uri: str,
    mirror: Path | None = None,
    jobs: int = 2,
    progress: Telling = lambda done, total: None,
    draws: Telling = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Trained:
    """Train, evaluate, explain, save and log; do nothing when the results are current.

    Parameters
    ----------
    config : TrainConfig
        The configuration.
    panels : Panels
        Drug panels.
    output : Path
        Folder of results; replaced only when the new ones are complete.
    tracking_uri : str
        Where MLflow keeps its runs.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Parallel processes.
    progress : callable, optional
        Called with folds done and in total.
    draws : callable, optional
        Called with draws of the audit done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    Trained
        Where the results are.
    """
    times: dict[str, float] = {}
    with timed(times, "data_verified", time.monotonic):
        plan = plan_data(config, mirror)
    announce(plan.kind)
    if plan.kind == "simulated" and config.data == "auto":
        config = config.stand_in()
    refuse_foreign(output)
    decisions = {n: sha256(config_path(n)) for n in ("identity_overrides.csv", "relatives.csv")}
    claims = load_claims() if config.audit is not None else None
    key = run_key(
        decisions=decisions,
        claims=claims.digest() if claims else None,
        config=config.digest(),
        panels=panels.model_dump(mode="json"),
        sources=plan.sources,
        kind=plan.kind,
    )
    if is_current(output, key):
        return Trained(output, plan.kind, fresh=False)
    from crossres_ml.stages import Work, run_stages  # heavy; not needed when nothing is to be done

    work = output.parent / f".{output.name}-{key[:16]}"
    results = work / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with timed(times, "cohort", time.monotonic):
        cohort = gather_cohort(plan, config, panels)
    run_stages(
        cohort,
        config,
        claims,
        results,
        work=Work(work, jobs, progress, draws),
        times=times,
        tracking_uri=tracking_uri,
    )
    write_manifest(results, key)
    publish(results, output)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(output, plan.kind, fresh=True)


def audit(
    config: TrainConfig,
    panels: Panels,
    *,
    claims_file: Path | None,
    output: Path,
    results: Path,
    tracking_uri: str,
    mirror: Path | None = None,
    jobs: int = 2,
    draws: Telling = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Trained:
    """Audit the claims without training; do nothing when the audit is current.

    Parameters
    ----------
    config : TrainConfig
        The configuration; without an audit in it, its default.
    panels : Panels
        Drug panels.
    claims_file : Path or None
        The claims, if not the committed ones.
    output : Path
        Folder of the audit; replaced only when the new one is complete.
    results : Path
        Results of a training run on the same data: its champions' ranks are shown too. Where there are
        none, they are left out.
    tracking_uri : str
        Where MLflow keeps its runs.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Parallel processes.
    draws : callable, optional
        Called with draws done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    Trained
        Where the audit is.
    """
    plan = plan_data(config, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    claims, settings = load_claims(claims_file), config.audit or AuditConfig()
    parts = {"claims": claims.digest(), "audit": settings.model_dump(), "sources": plan.sources}
    shown = {p.name: sha256(p) for p in sorted(results.glob("shap_*.csv"))}
    key = run_key(
        config=config.digest(), kind=plan.kind, ranks=shown, panels=panels.model_dump(mode="json"), **parts
    )
    if is_current(output, key):
        return Trained(output, plan.kind, fresh=False)
    from crossres_ml import tracking
    from crossres_ml.audit.run import audit_claims
    from crossres_ml.report.audit_page import write_audit_report
    from crossres_ml.stages import champion_ranks, save_audit

    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work / "results", ignore_errors=True)
    cohort = gather_cohort(plan, config, panels)
    ranks = champion_ranks(results, cohort)
    found = audit_claims(
        cohort, claims, config, settings, ranks, folder=work / "draws", jobs=jobs, progress=draws
    )
    summary = save_audit(found, claims, cohort, settings, config.seed, work / "results")
    write_audit_report(work / "results", summary, cohort.kind, config.named_genes)
    tracking.log_audit(work / "results", summary, cohort.kind, config, tracking_uri)
    write_manifest(work / "results", key)
    publish(work / "results", output)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(output, plan.kind, fresh=True)
