"""Audits, scans, atlases and trials of signatures: a folder of results as one run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from crossres_ml.config import TrainConfig
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.tracking.store import git_commit, open_experiment, quiet


def log_audit(folder: Path, summary: AuditSummary, kind: str, config: TrainConfig, uri: str) -> None:
    """Log an audit as a run of its own: how many claims got which verdict, and all its tables.

    Parameters
    ----------
    folder : Path
        The audit's files.
    summary : AuditSummary
        Its summary.
    kind : str
        ``real`` or ``simulated``.
    config : TrainConfig
        The configuration.
    uri : str
        Tracking URI.
    """
    counts: Counter[str] = Counter()
    for outcomes in summary.claims.values():
        counts.update(f"{o}/{v.verdict.replace(' ', '_')}" for o, v in outcomes.items())
    recovered = [any(s.recovered for s in screens) for screens in summary.controls.values()]
    log_folder(
        "audit",
        folder,
        kind=kind,
        uri=uri,
        about=f"{summary.draws} draws",
        params={"seed": config.seed, **(config.audit.model_dump() if config.audit else {})},
        metrics={**counts, "controls": len(recovered), "controls_recovered": sum(recovered)},
        tags={"claims_hash": summary.claims_hash, "gate": "open" if summary.gate_open else "closed"},
    )


def log_folder(
    what: str,
    folder: Path,
    *,
    kind: str,
    uri: str,
    about: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    tags: Mapping[str, str],
) -> None:
    """Log a folder of results as a run of the experiment ``crossres-<what>``.

    Parameters
    ----------
    what : str
        audit, scan, atlas or signatures; also the folder of the files in MLflow.
    folder : Path
        Its files.
    kind : str
        ``real`` or ``simulated``.
    uri : str
        Tracking URI.
    about : str
        Ends the name of the run.
    params : mapping
        What was asked for.
    metrics : mapping of str to float or None
        Single numbers; one that is not known is not logged.
    tags : mapping of str to str
        Hashes and the like; kind of data and commit are added.
    """
    data = "SIMULATED" if kind == "simulated" else kind
    prefix = "SIMULATED " if data == "SIMULATED" else ""
    found = {k: float(v) for k, v in sorted(metrics.items()) if v is not None and np.isfinite(v)}
    known = {re.sub(r"[^\w. :/-]", "_", k): v for k, v in found.items()}  # what MLflow takes as a name
    with quiet():
        mlflow.set_tracking_uri(uri)
        open_experiment(what, uri)
        own = {"data": data, "git_commit": git_commit(), **tags}
        with mlflow.start_run(run_name=f"{prefix}{what}, {about}", tags=own):
            mlflow.log_params(dict(params))
            mlflow.log_metrics(known)
            mlflow.log_artifacts(str(folder), what)
