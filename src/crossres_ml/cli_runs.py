"""Commands that look at logged runs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from crossres_ml.cli_options import TrackingUri

runs = typer.Typer()
_RUN = "A run in MLflow: its id, the beginning of its id, or its name."


@runs.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help=_RUN)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run that it is compared with.")],
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
) -> None:
    """Say by how much one run is better than another, on the cell lines that both held out."""
    # a server that does not answer is told within seconds, and not tried for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from crossres_ml.terminal_runs import show_comparison
    from crossres_ml.tracking import compare as run

    show_comparison(run(first, second, tracking_uri), tracking_uri)
