"""Runs read back from MLflow: found by id or name, and their held-out predictions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from crossres_ml.errors import RunError
from crossres_ml.evaluation.draws import FULL

PREDICTIONS = "predictions.parquet"
_MOST, _SHOWN = 50_000, 8


def log_predictions(predictions: pd.DataFrame) -> None:
    """Log held-out predictions with the current run, so that it can be compared with later ones.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of one task and model; what is not of held-out cell lines or not of the full model is left out.
    """
    own = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / PREDICTIONS
        own.drop(columns="parameters").to_parquet(path, index=False)
        mlflow.log_artifact(str(path))


def read_predictions(run: Run) -> pd.DataFrame:
    """Read what a run predicted for held-out lines.

    Parameters
    ----------
    run : Run
        A training run, or one of its models.

    Returns
    -------
    pandas.DataFrame
        As `log_predictions` left them.

    Raises
    ------
    RunError
        If it has none.
    """
    with TemporaryDirectory() as folder:
        try:
            path = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path=PREDICTIONS, dst_path=folder
            )
        except (MlflowException, OSError) as error:
            raise RunError(
                f"the run has no held-out predictions: {label(run)}",
                where=f"{PREDICTIONS} in {run.info.artifact_uri}",
                do="take a training run or one of its models; runs of earlier versions did not log them: "
                "train again",
            ) from error
        return pd.read_parquet(path)


def find_run(client: MlflowClient, asked: str) -> Run:
    """Find the run that a user means.

    Parameters
    ----------
    client : MlflowClient
        Asks the store.
    asked : str
        Its id, the beginning of its id, or its name.

    Returns
    -------
    Run
        The one that is meant.

    Raises
    ------
    RunError
        If there is none, or if there are several; then all are named.
    """
    experiments = client.search_experiments()
    names = {e.experiment_id: e.name for e in experiments}
    runs = list(client.search_runs([*names], max_results=_MOST)) if names else []
    found = [r for r in runs if r.info.run_id == asked]
    found = found or [r for r in runs if asked and (asked == _name(r) or r.info.run_id.startswith(asked))]
    if len(found) == 1:
        return found[0]
    shown = found or [r for r in runs if "champion" in r.data.tags]
    what = f"several runs are called {asked!r}:" if found else f"no run is called {asked!r}"
    if shown and not found:
        what += "; the last trainings are:"
    listed = [f"\n    {label(r)}, {names[r.info.experiment_id]}" for r in shown[:_SHOWN]]
    more = f"\n    and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    raise RunError(
        what + "".join(listed) + more,
        where="the runs in MLflow",
        do="give the id, or as many of its first characters as no other run has; crossres ui shows all",
    )


def _name(run: Run) -> str:
    return str(run.info.run_name)


def started(run: Run) -> str:
    """Date and time at which a run began."""
    return datetime.fromtimestamp(run.info.start_time / 1000).strftime("%Y-%m-%d %H:%M")


def label(run: Run) -> str:
    """Id, name and date of a run."""
    return f"{run.info.run_id} ({_name(run)}, {started(run)})"
