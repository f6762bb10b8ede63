"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("artifacts/latest")
Mirror = Annotated[
    Path | None,
    typer.Option(
        "--mirror",
        metavar="FOLDER",
        help="Folder that holds the data files.",
        show_default="CROSSRES_MIRROR, or ../shared/data/mirror if it exists",
    ),
]
TrackingUri = Annotated[
    str,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Where MLflow keeps the runs."),
]
