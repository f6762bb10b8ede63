"""Commands that search and compare without training: atlas, published signatures, scan of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossres_ml.cli_options import RESULTS, ConfigFile, Data, Jobs, Mirror, TrackingUri

scans = typer.Typer()


@scans.command()
def atlas(
    config: ConfigFile = None,
    data: Data = None,
    drug: Annotated[
        str | None, typer.Option(help="Show this drug; its name may lack case and punctuation.")
    ] = None,
    mirror: Mirror = None,
    output: Annotated[Path, typer.Option(help="Folder of the atlas.")] = Path("artifacts/atlas"),
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
) -> None:
    """Show how far every drug goes with radiation in the same lines, with a page to search."""
    from crossres_ml.atlas import atlas as run
    from crossres_ml.config import load_panels, load_train_config
    from crossres_ml.terminal import first_line
    from crossres_ml.terminal_scan import show_atlas, show_drug

    with first_line() as announce:
        done = run(
            load_train_config(config, data=data),
            load_panels(),
            output=output,
            tracking_uri=tracking_uri,
            mirror=mirror,
            announce=announce,
        )
    if drug is None:
        show_atlas(done)
    else:
        show_drug(done, drug)


@scans.command()
def signatures(
    config: ConfigFile = None,
    data: Data = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Training run whose models are compared with.",
            show_default="artifacts/latest, if it is there",
        ),
    ] = None,
    sets: Annotated[int, typer.Option(min=19, help="Random sets of genes for each signature.")] = 500,
    mirror: Mirror = None,
    output: Annotated[Path, typer.Option(help="Folder of the trial.")] = Path("artifacts/signatures"),
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    jobs: Jobs = 2,
) -> None:
    """Put published radiation signatures on trial: held-out lines, random gene sets, our models."""
    from crossres_ml.config import load_panels, load_train_config
    from crossres_ml.signatures import signatures as run
    from crossres_ml.terminal import first_line, show_progress
    from crossres_ml.terminal_scan import show_signatures

    if results is None and (RESULTS / "predictions.parquet").is_file():
        results = RESULTS
    with show_progress("folds", 1) as progress, first_line() as announce:
        done = run(
            load_train_config(config, data=data),
            load_panels(),
            output=output,
            tracking_uri=tracking_uri,
            results=results,
            mirror=mirror,
            sets=sets,
            jobs=jobs,
            progress=progress,
            announce=announce,
        )
    show_signatures(done)


@scans.command()
def scan(
    config: ConfigFile = None,
    data: Data = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Events of your own: model_id, and one column of 0/1 or numbers each."
        ),
    ] = None,
    mirror: Mirror = None,
    output: Annotated[Path, typer.Option(help="Folder of the scan.")] = Path("artifacts/scan"),
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    jobs: Annotated[int, typer.Option(min=1, help="Threads; the results do not depend on it.")] = 2,
) -> None:
    """Search everything that was measured for events that go with resistance to both modalities."""
    from crossres_ml.config import load_panels, load_train_config
    from crossres_ml.scanning import scan_events
    from crossres_ml.terminal import first_line, show_progress
    from crossres_ml.terminal_events import show_scan

    with show_progress("permutations", 100) as progress, first_line() as announce:
        done = scan_events(
            load_train_config(config, data=data),
            load_panels(),
            output=output,
            tracking_uri=tracking_uri,
            events_file=events,
            mirror=mirror,
            jobs=jobs,
            progress=progress,
            announce=announce,
        )
    show_scan(done)
