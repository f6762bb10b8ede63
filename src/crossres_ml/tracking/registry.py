"""Registered models, and which version is the champion."""

from __future__ import annotations

import logging
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from crossres_ml.errors import RunError
from crossres_ml.evaluation.skill import better
from crossres_ml.evaluation.two_runs import DIFFERENCE, compare_runs
from crossres_ml.tracking.runs import read_predictions

log = logging.getLogger(__name__)
CHAMPION = "champion"
JUDGE = "spearman"


@dataclass(frozen=True)
class Offer:
    """A logged model that is to be registered.

    Attributes
    ----------
    name : str
        Of the registered model.
    uri : str
        Of the logged model.
    about : str
        Describes the registered model.
    note : str
        Describes this version of it.
    """

    name: str
    uri: str
    about: str
    note: str


def register(offer: Offer, tags: dict[str, str]) -> str | None:
    """Register a logged model as the next version of its name.

    Parameters
    ----------
    offer : Offer
        The model.
    tags : dict of str to str
        Tags of the version.

    Returns
    -------
    str or None
        The version; None where the server keeps its registry closed: the run is logged all the same.
    """
    client = MlflowClient()
    try:
        with redirect_stderr(StringIO()):  # it says so there, logging or not
            version = str(mlflow.register_model(offer.uri, offer.name, tags=tags).version)
        client.update_registered_model(offer.name, offer.about)
        client.update_model_version(offer.name, version, offer.note)
    except MlflowException as error:
        log.warning("the models are logged as %s but not registered as %s: %s", offer.uri, offer.name, error)
        return None
    return version


def offer_champion(name: str, version: str) -> None:
    """Make a version the champion if there is none, or if it is shown to be better than the champion.

    Parameters
    ----------
    name : str
        Of the registered model.
    version : str
        The new version.
    """
    client = MlflowClient()
    try:
        current = client.get_registered_model(name).aliases.get(CHAMPION)
        moves, why = True, f"version {version} is the first champion"
        if current is not None:
            moves, why = _judge(client, name, version, str(current))
        if moves:
            client.set_registered_model_alias(name, CHAMPION, version)
        told = client.get_model_version(name, version).description or ""
        client.update_model_version(name, version, f"{told} When it was registered: {why}.".strip())
    except MlflowException as error:  # as a server may keep its aliases to itself
        log.warning("%s: version %s is registered, but not offered as champion: %s", name, version, error)
    else:
        log.info("%s: %s", name, why)


def _judge(client: MlflowClient, name: str, version: str, current: str) -> tuple[bool, str]:
    """Whether a version is shown to be better than the current champion, and why, with numbers."""
    stays = f"version {current} stays champion"
    try:
        found = compare_runs(_predicted(client, name, version), _predicted(client, name, current), (JUDGE,))
    except (RunError, MlflowException) as error:
        why = error.what if isinstance(error, RunError) else str(error)
        return False, f"{stays}: version {version} cannot be compared with it: {why}"
    difference = found.of(JUDGE, DIFFERENCE)
    moves = better(JUDGE, difference["low"], difference["high"])
    verdict = "which is above 0" if moves else "which does not lie above 0"
    numbers = "{value:+.3f} ({low:+.3f} to {high:+.3f})".format(**difference)
    why = (
        f"version {version} minus version {current} is {numbers} in Spearman on {found.lines} held-out "
        f"lines, {verdict}" + "".join(f"; {note}" for note in found.notes)
    )
    return moves, f"{f'version {version} is the champion now' if moves else stays}: {why}"


def _predicted(client: MlflowClient, name: str, version: str) -> pd.DataFrame:
    return read_predictions(client.get_run(str(client.get_model_version(name, version).run_id)))
