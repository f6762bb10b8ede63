"""The command that tries a saved model on an independent study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

validation = typer.Typer()


@validation.command()
def validate(
    profiles: Annotated[Path, typer.Option(help="Samples and genes: .csv, .tsv, .parquet, .h5ad.")],
    responses: Annotated[
        Path,
        typer.Option(
            help="Measured responses: ids, and 0/1 (1 = resistant) or a continuous response; a column "
            "patient or group tells who samples are of."
        ),
    ],
    task: Annotated[str, typer.Option(help="radiation, chemotherapy or cross.")],
    model: Annotated[
        str | None, typer.Option(help="Folder of a model or of results.", show_default="artifacts/latest")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the validation.")] = Path("artifacts/validation"),
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of the responses.", show_default="the task, response, or the only one"
        ),
    ] = None,
    higher: Annotated[
        str, typer.Option(help="What a higher response, or class 1, means: resistant or sensitive.")
    ] = "resistant",
    orientation: Annotated[str, typer.Option(help="What stands in rows: auto, samples or genes.")] = "auto",
    unit: Annotated[str, typer.Option(help="Of expression: auto, log2_tpm, tpm or counts.")] = "auto",
    normalise: Annotated[
        str, typer.Option(help="Expression to the training platform: auto, none, zscore, quantile or rank.")
    ] = "auto",
    mutations: Annotated[Path | None, typer.Option(help="A MAF, or a table of 0 and 1.")] = None,
) -> None:
    """Try a saved model on an independent study: skill beside naive baselines, training lines left out."""
    from crossres_ml.terminal import first_line, show_progress
    from crossres_ml.terminal_validation import show_validation
    from crossres_ml.validation import Study
    from crossres_ml.validation import validate as run

    study = Study(profiles, responses, column, higher, orientation, unit, normalise, mutations)
    with show_progress("samples", 1) as progress, first_line() as announce:
        done = run(study, task, model, output=output, progress=progress, announce=announce)
    show_validation(done)
