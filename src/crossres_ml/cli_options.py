"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("artifacts/latest")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file.", show_default="configs/train.yaml")
]
Data = Annotated[
    str | None, typer.Option("--data", help="auto, real or simulated; overrules the configuration.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Parallel processes; the results do not depend on it.")]
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
