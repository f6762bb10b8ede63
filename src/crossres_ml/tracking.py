"""MLflow: the only module that imports it.

A model is kept there as our verified bundles and the few lines of `crossres_ml.served` ("models from
code"): nothing is pickled.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run must not phone anywhere
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature, set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import log_model
from mlflow.pyfunc.model import PythonModel

from crossres_ml.artifacts import versions
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TaskName
from crossres_ml.errors import CrossresError
from crossres_ml.evaluation.comparisons import TRAIN
from crossres_ml.evaluation.draws import FULL
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.predict.predictor import Predictor
from crossres_ml.predict.request import DEFAULTS, answer, as_json, example
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.summary import Interval, Summary, TaskSummary

log = logging.getLogger(__name__)
_TABLES = (
    "splits.parquet", "splits.csv", "coverage.csv", "dropped_counts.csv", "named_genes.csv", "metrics.csv",
    "paired.csv", "pooled.csv", "lineages.csv", "variants.csv", "learning_curve.csv", "both.csv",
)  # fmt: skip
_COMPARED = ("spearman", "auroc")
_ELSEWHERE = (FULL, "permuted")  # logged as what they are
DEFAULT_URI = "sqlite:///mlflow.db"


_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Set by MLflow's scoring server, whose answer becomes JSON."""


class ServedModel(PythonModel):
    """`Predictor.predict` behind MLflow's pyfunc interface; a wrong table is a bad request, said in words."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundles."""
        self.models = Predictor.load(context.artifacts["models"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer a request, see `crossres_ml.predict.request.answer`."""
        try:
            scores = answer(self.models, model_input, params)
        except CrossresError as error:
            raise MlflowException(str(error), error_code=BAD_REQUEST) from error
        return as_json(scores) if os.environ.get(_SERVING) else scores


def offer_model() -> None:
    """Tell MLflow, which is running a file of model code, what the model is."""
    set_model(ServedModel())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's start-up and migration chatter out of our output."""
    names = ("mlflow", "alembic")
    before = {n: logging.getLogger(n).level for n in names}
    for n in names:
        logging.getLogger(n).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for n, level in before.items():
            logging.getLogger(n).setLevel(level)


def _git_commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10,
            cwd=Path(__file__).parent,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _experiment(name: str, uri: str) -> str:
    """Find or make an experiment; artifacts go beside a local store, not into the current folder."""
    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = None
    if uri.startswith("sqlite:///"):
        place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts" / name).as_uri()
    return str(mlflow.create_experiment(name, artifact_location=place))


def _inputs(results: Path, summary: Summary) -> None:
    """Record the cohort as dataset input, with its hash and the hashes of its sources."""
    lines = pd.read_csv(results / "lines.csv")
    digest = summary.data.cohort_hash[:32]
    dataset = from_pandas(lines, name=f"{summary.data.kind}_cohort", digest=digest)
    mlflow.log_input(dataset, context="training")
    mlflow.log_dict(summary.data.source_hashes, "source_hashes.json")


def _numbers(name: str, interval: Interval) -> dict[str, float]:
    """Value and ends of an interval under names; what is not defined is not logged."""
    parts = {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {k: v for k, v in parts.items() if v is not None}


def _log_metrics(task: TaskSummary, model: str) -> None:
    """Log every measure of a model; those of held-out cell lines also under their bare names.

    The bare names (``spearman``, ``auroc`` and so on) are the same in every run of every task.
    """
    values: dict[str, float] = {}
    for mode, metrics in task.models[model].items():
        for metric, interval in metrics.items():
            values |= _numbers(f"{mode}/{metric}", interval)
            if mode == "cell_line_out" and interval.value is not None:
                values[metric] = interval.value
    pooled = task.pooled.get(model, {})
    values |= {f"pooled/{metric}": value for metric, value in pooled.items() if value is not None}
    if model in task.permuted:
        values |= _numbers("permuted/spearman", task.permuted[model])
    mlflow.log_metrics(values)
    for share, interval in sorted(task.learning_curve.get(model, {}).items()):
        mlflow.log_metrics(_numbers("learning_curve/spearman", interval), step=share)


def _log_variants(results: Path, task: str, model: str) -> None:
    """Log what the model reaches with less: ``have/rna/spearman`` and the like."""
    table = pd.read_csv(results / "variants.csv")
    own = table[(table.task == task) & (table.model == model) & (table["mode"] == "cell_line_out")]
    own = own[own.metric.isin(_COMPARED) & own.value.notna() & ~own.variant.isin(_ELSEWHERE)]
    own = own[~own.variant.str.startswith(TRAIN)]
    names = "have/" + own.variant + "/" + own.metric
    mlflow.log_metrics(dict(zip(names, own.value.astype(float), strict=True)))


def _log_folds(predictions: pd.DataFrame, task: str, model: str) -> None:
    """Log fitted parameters, and per fold (as step) the inner skill and the held-out Spearman."""
    own = predictions[(predictions.task == task) & (predictions.model == model)]
    part = own[(own["mode"] == "cell_line_out") & (own.variant == FULL)]
    mlflow.log_params(_fitted_parameters(part))
    for step, (_, fold) in enumerate(part.groupby(["repeat", "fold"])):
        values = {"fold/inner_spearman": float(fold.inner_spearman.iloc[0])}
        if np.ptp(fold.score) > 0:
            values["fold/spearman"] = float(fold.score.corr(fold.response, method="spearman"))
        mlflow.log_metrics(values, step=step)


def _fitted_parameters(predictions: pd.DataFrame) -> dict[str, str]:
    """Parameters read back from the fitted estimators; where folds differ, every value with its count."""
    fits = predictions.drop_duplicates(["repeat", "fold"]).parameters.map(json.loads)
    table = pd.DataFrame(list(fits)).astype(str)
    out = {}
    for name in table:
        counts = table[name].value_counts().sort_index()
        out[str(name)] = (
            counts.index[0] if len(counts) == 1 else ", ".join(f"{v} x{n}" for v, n in counts.items())
        )
    return {k: v[:500] for k, v in out.items()}


def log_served(folder: Path) -> str:
    """Log saved models as a pyfunc: `ServedModel` from code, beside the bundles as they are.

    Parameters
    ----------
    folder : Path
        One model or a folder of models, as `crossres_ml.load` takes it.

    Returns
    -------
    str
        Its URI for ``mlflow models serve`` and ``mlflow.pyfunc.load_model``.
    """
    models = Predictor.load(folder)
    table = example(models)
    # no word on the input: a list of columns would refuse genes under other names, and partial tables
    signature = infer_signature(model_output=answer(models, table), params=dict(DEFAULTS))
    logged = log_model(
        name="model",
        python_model=str(Path(__file__).with_name("served.py")),
        artifacts={"models": str(folder)},
        signature=signature,
        input_example=table,
        pip_requirements=[f"{k}=={v}" for k, v in versions().items() if k != "crossres-ml"],
    )
    return str(logged.model_uri)


def _child(
    results: Path, task: TaskName, summary: Summary, model: str, tags: dict[str, str], folds: pd.DataFrame
) -> None:
    section = summary.tasks[task]
    role = "champion" if model == section.champion else "baseline" if is_baseline(model) else "model"
    with mlflow.start_run(run_name=model, nested=True, tags={**tags, "model": model, "role": role}):
        _log_metrics(section, model)
        _log_variants(results, task, model)
        _log_folds(folds, task, model)
        if model == section.champion:
            folder = results / "models" / task
            mlflow.log_artifact(str(folder / "MODEL_CARD.md"))
            log_served(folder)


def _tags(summary: Summary) -> dict[str, str]:
    kind = summary.data.kind
    return {
        "data": "SIMULATED" if kind == "simulated" else kind,
        "git_commit": _git_commit(),
        "config_hash": summary.data.config_hash,
        "cohort_hash": summary.data.cohort_hash,
    }


def _parent(
    results: Path, task: TaskName, summary: Summary, config: TrainConfig, tags: dict[str, str]
) -> None:
    section = summary.tasks[task]
    name = f"{task}: {section.champion}"
    if summary.data.kind == "simulated":
        name = f"SIMULATED {name}"
    with mlflow.start_run(run_name=name, tags={**tags, "champion": section.champion}):
        mlflow.log_params({k: str(v)[:500] for k, v in config.model_dump(mode="json").items()})
        _inputs(results, summary)
        _log_metrics(section, section.champion)
        for file in (*_TABLES, f"shap_{task}.csv", "report.html"):
            mlflow.log_artifact(str(results / file))
        mlflow.log_artifacts(str(results / "figures"), "figures")
        predictions = pd.read_parquet(results / "predictions.parquet")
        for model in section.models:
            _child(results, task, summary, model, tags, predictions)


def _offer_all(models: Path, kind: str, uri: str, tags: dict[str, str]) -> None:
    """Log the models of all tasks as one, and register it: its name is all that serving it needs."""
    real = kind != "simulated"
    mlflow.set_experiment(experiment_id=_experiment("crossres-models", uri))
    with mlflow.start_run(run_name="all tasks" if real else "SIMULATED all tasks", tags=tags):
        place = log_served(models)
    name = "crossres" if real else "crossres-simulated"  # the latest of a name is never the other kind
    try:
        with redirect_stderr(StringIO()):  # it says so there, logging or not
            mlflow.register_model(place, name)
    except MlflowException as error:  # a server may keep its registry closed; the run is logged all the same
        log.warning("the models are logged as %s but not registered as %s: %s", place, name, error)


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
    with _quiet():
        mlflow.set_tracking_uri(uri)
        tags = _tags(summary)
        for task in summary.tasks:
            mlflow.set_experiment(experiment_id=_experiment(f"crossres-{task}", uri))
            _parent(results, task, summary, config, tags)
        _offer_all(results / "models", summary.data.kind, uri, tags)
    if summary.audit is not None:
        log_audit(results / "audit", summary.audit, summary.data.kind, config, uri)


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
    with _quiet():
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment_id=_experiment(f"crossres-{what}", uri))
        own = {"data": data, "git_commit": _git_commit(), **tags}
        with mlflow.start_run(run_name=f"{prefix}{what}, {about}", tags=own):
            mlflow.log_params(dict(params))
            mlflow.log_metrics(known)
            mlflow.log_artifacts(str(folder), what)


def open_ui(uri: str, port: int) -> int:
    """Serve the MLflow UI on this machine until interrupted.

    Parameters
    ----------
    uri : str
        Tracking URI.
    port : int
        Port on 127.0.0.1.

    Returns
    -------
    int
        Exit code of the server.
    """
    where = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.call([sys.executable, "-m", "mlflow", "ui", *where])
