"""A finished training in MLflow: a parent run for each task, and in it a child for each model."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas

from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TaskName
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.report.summary import Summary
from crossres_ml.tracking.folders import log_audit
from crossres_ml.tracking.metrics import log_folds, log_metrics, log_variants
from crossres_ml.tracking.notes import note_of_model, note_of_registered, note_of_training
from crossres_ml.tracking.registry import Offer, offer_champion, register
from crossres_ml.tracking.runs import log_predictions
from crossres_ml.tracking.served import log_served
from crossres_ml.tracking.store import git_commit, open_experiment, quiet

_TABLES = (
    "splits.parquet", "splits.csv", "coverage.csv", "dropped_counts.csv", "named_genes.csv", "metrics.csv",
    "paired.csv", "pooled.csv", "lineages.csv", "variants.csv", "learning_curve.csv", "both.csv",
)  # fmt: skip


def _inputs(results: Path, summary: Summary) -> None:
    """Record the cohort as dataset input, with its hash and the hashes of its sources."""
    lines = pd.read_csv(results / "lines.csv")
    digest = summary.data.cohort_hash[:32]
    dataset = from_pandas(lines, name=f"{summary.data.kind}_cohort", digest=digest)
    mlflow.log_input(dataset, context="training")
    mlflow.log_dict(summary.data.source_hashes, "source_hashes.json")


def _tags(summary: Summary) -> dict[str, str]:
    kind = summary.data.kind
    return {
        "data": "SIMULATED" if kind == "simulated" else kind,
        "git_commit": git_commit(),
        "config_hash": summary.data.config_hash,
        "cohort_hash": summary.data.cohort_hash,
    }


def _registered(summary: Summary, task: TaskName | None) -> str:
    """Name of a registered model: the versions of a name are never of both kinds of data."""
    parts = ("crossres", task, "simulated" if summary.data.kind == "simulated" else None)
    return "-".join(p for p in parts if p)


def _child(
    results: Path, task: TaskName, summary: Summary, model: str, tags: dict[str, str], rows: pd.DataFrame
) -> str | None:
    """Log a model; of the champion give the URI under which it is served."""
    section = summary.tasks[task]
    role = "champion" if model == section.champion else "baseline" if is_baseline(model) else "model"
    own = rows[rows.model == model]
    note = note_of_model(summary, task, model)
    with mlflow.start_run(
        run_name=model, nested=True, tags={**tags, "model": model, "role": role}, description=note
    ):
        log_metrics(section, model)
        log_variants(results, task, model)
        log_folds(own)
        log_predictions(own)
        if model != section.champion:
            return None
        folder = results / "models" / task
        mlflow.log_artifact(str(folder / "MODEL_CARD.md"))
        return log_served(folder)


def _parent(
    results: Path, task: TaskName, summary: Summary, config: TrainConfig, tags: dict[str, str]
) -> Offer:
    """Log a training of a task and all its models; offer its champion."""
    section = summary.tasks[task]
    name = f"{task}: {section.champion}"
    if summary.data.kind == "simulated":
        name = f"SIMULATED {name}"
    note = note_of_training(summary, task)
    predictions = pd.read_parquet(results / "predictions.parquet")
    rows = predictions[predictions.task == task]
    with mlflow.start_run(run_name=name, tags={**tags, "champion": section.champion}, description=note):
        mlflow.log_params({k: str(v)[:500] for k, v in config.model_dump(mode="json").items()})
        _inputs(results, summary)
        log_metrics(section, section.champion)
        log_predictions(rows[rows.model == section.champion])
        card = f"models/{task}/MODEL_CARD.md"
        for file in (*_TABLES, f"shap_{task}.csv", card, "DATASHEET.md", "report.html"):
            mlflow.log_artifact(str(results / file))
        mlflow.log_artifacts(str(results / "figures"), "figures")
        places = [_child(results, task, summary, model, tags, rows) for model in section.models]
    place = next(p for p in places if p is not None)
    return Offer(_registered(summary, task), place, note_of_registered(task, summary.data.kind), note)


def _all_tasks(models: Path, summary: Summary, uri: str, tags: dict[str, str]) -> Offer:
    """Log the models of all tasks as one: its name is all that serving it needs."""
    note = note_of_registered(None, summary.data.kind)
    open_experiment("models", uri)
    name = "SIMULATED all tasks" if summary.data.kind == "simulated" else "all tasks"
    with mlflow.start_run(run_name=name, tags=tags, description=note):
        place = log_served(models)
    champions = ", ".join(f"{t}: {s.champion}" for t, s in summary.tasks.items())
    return Offer(_registered(summary, None), place, note, f"Champions of one training: {champions}.")


def log_run(results: Path, summary: Summary, config: TrainConfig, uri: str) -> None:
    """Log a finished run: one experiment a task, in it a parent run with a child for each model.

    Parameters
    ----------
    results : Path
        Folder of results.
    summary : Summary
        Its summary.
    config : TrainConfig
        The configuration.
    uri : str
        Tracking URI.
    """
    with quiet():
        mlflow.set_tracking_uri(uri)
        tags = _tags(summary)
        for task in summary.tasks:
            open_experiment(task, uri)
            offer = _parent(results, task, summary, config, tags)
            version = register(offer, tags)
            if version is not None:
                offer_champion(offer.name, version)
        register(_all_tasks(results / "models", summary, uri, tags), tags)
    if summary.audit is not None:
        log_audit(results / "audit", summary.audit, summary.data.kind, config, uri)
