"""Two runs of a store, compared."""

from __future__ import annotations

from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from crossres_ml.doctor import check_store
from crossres_ml.errors import RunError
from crossres_ml.evaluation.two_runs import COMPARED, TwoRuns, compare_runs
from crossres_ml.tracking.runs import find_run, label, read_predictions, started
from crossres_ml.tracking.store import quiet


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes
    ----------
    run_id, name, started : str
        As MLflow knows it.
    """

    run_id: str
    name: str
    started: str


@dataclass(frozen=True)
class Compared:
    """Two runs, and what was found.

    Attributes
    ----------
    task : str
        Their task.
    simulated : bool
        Whether their data are.
    first, second : Side
        The runs.
    found : TwoRuns
        Values and differences.
    """

    task: str
    simulated: bool
    first: Side
    second: Side
    found: TwoRuns


def compare(first: str, second: str, uri: str) -> Compared:
    """Compare two runs on the lines that both held out.

    Parameters
    ----------
    first, second : str
        Ids, beginnings of ids, or names.
    uri : str
        Tracking URI.

    Returns
    -------
    Compared
        First minus second, with intervals.

    Raises
    ------
    RunError
        If the store or a run is not there, or the two cannot be compared.
    """
    _check_store(uri)
    with quiet():
        mlflow.set_tracking_uri(uri)
        try:
            client = MlflowClient()
            one, two = find_run(client, first), find_run(client, second)
            if one.info.run_id == two.info.run_id:
                raise RunError(f"both are the same run: {label(one)}", do="name two runs")
            own, other = read_predictions(one), read_predictions(two)
            defined = [_setting(client, run, "resistant_quantile") for run in (one, two)]
        except MlflowException as error:
            raise RunError(
                f"MLflow does not answer: {str(error).splitlines()[0]}", where=uri,
                do="give a store that answers as --tracking-uri, such as sqlite:///mlflow.db",
            ) from error  # fmt: skip
    # a class that was cut elsewhere is another class, and an AUROC of it another measure
    metrics = COMPARED if defined[0] == defined[1] else ("spearman",)
    found = compare_runs(own, other, metrics)
    return Compared(
        task=str(own.task.iloc[0]),
        simulated=one.data.tags.get("data") == "SIMULATED",
        first=_side(one),
        second=_side(two),
        found=found,
    )


def _check_store(uri: str) -> None:
    """Refuse a local store that is not there, of which MLflow would make an empty one, or is none."""
    finding = check_store(uri)
    if uri.startswith("sqlite:///") and finding.state != "good":
        raise RunError(finding.told, where="--tracking-uri", do=finding.do)


def _setting(client: MlflowClient, run: Run, name: str) -> str | None:
    """Look up a setting of the training that a run is, or belongs to."""
    parent = run.data.tags.get("mlflow.parentRunId")
    known = run if parent is None else client.get_run(parent)
    return known.data.params.get(name)


def _side(run: Run) -> Side:
    return Side(run.info.run_id, str(run.info.run_name), started(run))
