"""MLflow's store: experiments with their descriptions, and quiet."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Experiment

DEFAULT_URI = "sqlite:///mlflow.db"
NOTE = "mlflow.note.content"
"""The tag that the UI shows as description."""
PREFIX = "crossres-"
_TRAINING = (
    "A run with children is one training: the champion's numbers, figures and `report.html`; its children "
    "are the models compared."
)
EXPERIMENTS = {
    "radiation": f"Models of resistance to **radiation**. {_TRAINING}",
    "chemotherapy": f"Models of resistance to **chemotherapy**, in lines with radiation data. {_TRAINING}",
    "cross": f"Models of resistance to **both**, radiation and chemotherapy. {_TRAINING}",
    "models": "The models of all tasks of a training together, as they are served.",
    "audit": "Audits of the review's claims: how many claims got which verdict, with all tables.",
    "scan": "Searches of everything measured for events that go with resistance to both.",
    "atlas": "How far every drug goes with radiation in the same lines.",
    "signatures": "Published radiation signatures on trial: held-out lines, random gene sets, our models.",
}
"""What stands above the runs of ``crossres-<name>``."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's start-up and migration chatter, and words on its example, out of our output."""
    names = ("mlflow", "alembic", "crossres_ml.predict")
    before = {n: logging.getLogger(n).level for n in names}
    for n in names:
        logging.getLogger(n).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for n, level in before.items():
            logging.getLogger(n).setLevel(level)


def git_commit() -> str:
    """Commit of the code, or ``unknown`` where it was not cloned."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10,
            cwd=Path(__file__).parent,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def open_experiment(what: str, uri: str) -> None:
    """Make an experiment the current one; where it is new, with artifacts beside a local store.

    Parameters
    ----------
    what : str
        One of `EXPERIMENTS`.
    uri : str
        Tracking URI.
    """
    name = f"{PREFIX}{what}"
    found = mlflow.get_experiment_by_name(name) or _make(name, uri)
    mlflow.set_experiment(experiment_id=found.experiment_id)
    if NOTE not in found.tags:  # a person's own words stay
        mlflow.set_experiment_tag(NOTE, EXPERIMENTS[what])


def _make(name: str, uri: str) -> Experiment:
    place = None
    if uri.startswith("sqlite:///"):
        place = (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts" / name).as_uri()
    return mlflow.get_experiment(mlflow.create_experiment(name, artifact_location=place))
