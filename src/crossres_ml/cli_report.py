"""The command that puts finished runs on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossres_ml.cli_options import RESULTS

reports = typer.Typer()


@reports.command()
def report(
    results: Annotated[Path, typer.Option(help="Folder of a training run.")] = RESULTS,
    scan: Annotated[
        Path | None, typer.Option(help="Folder of a scan.", show_default="artifacts/scan, if it is there")
    ] = None,
    atlas: Annotated[
        Path | None, typer.Option(help="Folder of an atlas.", show_default="artifacts/atlas, if it is there")
    ] = None,
    output: Annotated[Path, typer.Option(help="The page.")] = Path("artifacts/report.html"),
) -> None:
    """Put a training run, the scan and the atlas on one page, with tables to search and sort."""
    from crossres_ml.report.whole import write_whole_report

    there = [p if p.is_dir() else None for p in (Path("artifacts/scan"), Path("artifacts/atlas"))]
    page = write_whole_report(results, scan or there[0], atlas or there[1], output)
    typer.echo(f"report: {page}")
    for name, folder in (("scan", scan or there[0]), ("atlas", atlas or there[1])):
        if folder is None:
            typer.echo(f"without the {name}: make {name}, then make report again")
