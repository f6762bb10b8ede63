"""Run the notebooks on finished results and keep copies with what they show."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import nbformat
import typer
from nbclient import NotebookClient
from traitlets.config import Config

from crossres_ml.artifacts import atomic
from crossres_ml.errors import CrossresError
from crossres_ml.report.figures.base import Run

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
# What goes between this process and the kernel is for nobody else on the machine.
ENCRYPTED = Config({"KernelManager": {"transport_encryption": "auto"}})


def main() -> None:
    """Run every notebook from top to bottom; the first cell that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("artifacts/latest"))
    parser.add_argument("--scan", type=Path, default=Path("artifacts/scan"), help="made if not there")
    parser.add_argument("--atlas", type=Path, default=Path("artifacts/atlas"), help="made if not there")
    parser.add_argument("--output", type=Path, default=Path("artifacts/notebooks"))
    options = parser.parse_args()
    Run.read(options.results)  # where there is none, it says what to do
    places = {f"CROSSRES_{n.upper()}": str(vars(options)[n].resolve()) for n in ("results", "scan", "atlas")}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        folder = {"metadata": {"path": str(NOTEBOOKS)}}
        client = NotebookClient(book, timeout=3600, resources=folder, config=ENCRYPTED)
        client.execute(env={**os.environ, **places})
        with atomic(options.output / path.name) as part:
            nbformat.write(book, part)
        typer.echo(options.output / path.name)


if __name__ == "__main__":
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
