"""The command line. Each command is a few lines; what is heavy is imported by the command that needs it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossres_ml.cli_options import RESULTS, ConfigFile, Data, Jobs, Mirror, TrackingUri
from crossres_ml.cli_report import reports
from crossres_ml.cli_scan import scans
from crossres_ml.cli_validate import validation
from crossres_ml.errors import CrossresError, SourceError
from crossres_ml.logs import show_logs

if TYPE_CHECKING:
    from crossres_ml.sources.resolve import Look

WRONG_INPUT, INTERRUPTED = 2, 130
"""Exit codes of `main`; a command that ran and found something wrong gives 1."""

app = typer.Typer(
    name="crossres",
    help="Which alterations make a tumour cell resist both chemotherapy and radiotherapy?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(
    help="The public data files: what is at hand, fetch the rest, verify.", no_args_is_help=True
)
app.add_typer(data, name="data")
app.add_typer(reports)
app.add_typer(scans)
app.add_typer(validation)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"crossres {version('crossres-ml')}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings and errors only.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set what holds for every command."""
    show_logs(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


@data.command()
def status(mirror: Mirror = None) -> None:
    """Show which files are at hand (by name and size) and where; reads no content, asks no network."""
    raise typer.Exit(_show(_look_at_all(mirror, read=False)))


@data.command()
def verify(mirror: Mirror = None) -> None:
    """Compare the content of every file at hand with its hash; asks no network."""
    raise typer.Exit(_show(_look_at_all(mirror, read=True)))


@data.command()
def fetch(mirror: Mirror = None) -> None:
    """Bring every file that can be had into the cache, verified, unless a mirror has it."""
    from crossres_ml.sources.registry import load_registry
    from crossres_ml.sources.resolve import places, resolve

    places(mirror)  # a mirror that does not exist is a wrong option, not a missing file
    try:
        found = resolve(load_registry(), mirror=mirror)
    except SourceError as error:
        _show(_look_at_all(mirror, read=True))
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(_show(_look_at_all(mirror, read=False), {k: it.origin for k, it in found.items()}))


def _look_at_all(mirror: Path | None, *, read: bool) -> list[Look]:
    from crossres_ml.sources.registry import load_registry
    from crossres_ml.sources.resolve import look, places

    where = places(mirror)
    for place in where:
        typer.echo(f"{place.origin}: {place.folder}" + ("" if place.folder.is_dir() else " (not there yet)"))
    return [look(source, where, read=read) for source in load_registry().values()]


def _show(looks: Sequence[Look], origins: Mapping[str, str] | None = None) -> int:
    """Print the table and the counts; return 1 when something is damaged or something needed missing."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("id", "publisher", "bytes", "origin", "state"):
        table.add_column(title, justify="right" if title == "bytes" else "left", overflow="fold")
    styles = {"good": "green", "damaged": "bold red", "missing": "red", "left out": "dim"}
    for it in looks:
        source = it.source
        origin = (origins or {}).get(source.id) or (it.place.origin if it.place else "-")
        size = it.path.stat().st_size if it.path else source.bytes
        row = (source.id, source.publisher, "?" if size is None else f"{size:,}", origin)
        table.add_row(*row, f"[{styles[it.state]}]{it.state}[/]")
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a pipe has no width; the default of 80 would break ids apart
    console.print(table)
    for it in looks:
        if it.state == "damaged":
            typer.echo(f"damaged: {it.path}: {it.problem}")
    counts: Counter[str] = Counter(it.state for it in looks)
    said = ", ".join(f"{counts[state]} {state}" for state in styles)
    typer.echo(f"{len(looks)} sources: {said}")
    return int(counts["damaged"] + counts["missing"] > 0)


@app.command()
def train(
    config: ConfigFile = None,
    data: Data = None,
    mirror: Mirror = None,
    output: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    jobs: Jobs = 2,
) -> None:
    """Get the data, train the three models, evaluate, explain, save and log them."""
    from crossres_ml.config import load_panels, load_train_config
    from crossres_ml.terminal import draw_progress, first_line, fold_progress, show_results
    from crossres_ml.workflow import train as run

    settings = load_train_config(config, data=data)
    with fold_progress() as progress, draw_progress() as draws, first_line() as announce:
        done = run(
            settings,
            load_panels(),
            output=output,
            tracking_uri=tracking_uri,
            mirror=mirror,
            jobs=jobs,
            progress=progress,
            draws=draws,
            announce=announce,
        )
    show_results(done)


@app.command()
def audit(
    config: ConfigFile = None,
    claims: Annotated[
        Path | None, typer.Option(help="Claims to audit.", show_default="configs/claims.yaml")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=19, help="Permutations; overrules the configuration.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; overrules the configuration.")] = None,
    data: Data = None,
    mirror: Mirror = None,
    output: Annotated[Path, typer.Option(help="Folder of the audit.")] = Path("artifacts/audit"),
    results: Annotated[
        Path, typer.Option(help="Training run whose champions' ranks are shown beside, if it is there.")
    ] = RESULTS,
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    jobs: Jobs = 2,
) -> None:
    """Audit the review's claims: whether the named genes rank as drivers, against calibrated nulls."""
    from crossres_ml.config import load_panels, load_train_config, with_audit
    from crossres_ml.terminal import draw_progress, first_line, show_audit
    from crossres_ml.workflow import audit as run

    settings = with_audit(load_train_config(config, data=data), draws=draws, seed=seed)
    with draw_progress() as progress, first_line() as announce:
        done = run(
            settings,
            load_panels(),
            claims_file=claims,
            output=output,
            results=results,
            tracking_uri=tracking_uri,
            mirror=mirror,
            jobs=jobs,
            draws=progress,
            announce=announce,
        )
    show_audit(done)


@app.command()
def calibrate(
    config: ConfigFile = None,
    data: Data = None,
    scan: Annotated[bool, typer.Option("--scan", help="Try the lists of the scan instead.")] = False,
    simulations: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Simulated outcomes of every strength, twice as many without a driver.",
            show_default="30; with --scan 200 of every strength",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=19, help="Permutations behind a p-value.", show_default="99; with --scan 200"),
    ] = None,
    mirror: Mirror = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of results.",
            show_default="artifacts/calibration; with --scan artifacts/scan_calibration",
        ),
    ] = None,
    jobs: Jobs = 2,
) -> None:
    """Measure how often each way to call a driver is wrong, and how often it finds one, by simulation."""
    from crossres_ml.config import load_panels, load_train_config
    from crossres_ml.terminal import first_line, show_calibration, show_progress
    from crossres_ml.terminal_events import show_study

    settings = load_train_config(config, data=data)
    asked = {"studies": simulations, "draws": draws}
    known: dict[str, Any] = {"seed": settings.seed, **{k: v for k, v in asked.items() if v is not None}}
    with show_progress("simulated studies", 100 if scan else 10) as progress, first_line() as announce:
        more: dict[str, Any] = {"mirror": mirror, "jobs": jobs, "progress": progress, "announce": announce}
        if scan:
            from crossres_ml.scan_study import Settings as Study
            from crossres_ml.scan_study import study_scan

            where = output or Path("artifacts/scan_calibration")
            studied = study_scan(settings, load_panels(), Study(**known), output=where, **more)
        else:
            from crossres_ml.audit.calibrate import Settings
            from crossres_ml.calibration import calibrate_methods

            where = output or Path("artifacts/calibration")
            done = calibrate_methods(settings, load_panels(), Settings(**known), output=where, **more)
    if scan:
        show_study(studied)
    else:
        show_calibration(done)


@app.command()
def predict(
    profiles: Annotated[Path, typer.Argument(help="Samples and genes: .csv, .tsv, .parquet, .h5ad.")],
    output: Annotated[Path, typer.Option(help="Scores: .csv, .tsv or .parquet.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder of a model or of results, or a task.", show_default="all tasks, artifacts/latest"
        ),
    ] = None,
    orientation: Annotated[str, typer.Option(help="What stands in rows: auto, samples or genes.")] = "auto",
    unit: Annotated[str, typer.Option(help="Of expression: auto, log2_tpm, tpm or counts.")] = "auto",
    mutations: Annotated[Path | None, typer.Option(help="A MAF, or a table of 0 and 1.")] = None,
    threshold: Annotated[float, typer.Option(help="Probability that is called resistant.")] = 0.5,
    confidence: Annotated[float, typer.Option(help="Of the prediction sets.")] = 0.9,
    allow_low_coverage: Annotated[
        bool, typer.Option("--allow-low-coverage", help="Score samples of which too little was measured.")
    ] = False,
    explain: Annotated[int, typer.Option(min=0, help="Features shown of each sample and task.")] = 0,
    normalise: Annotated[
        str, typer.Option(help="Expression to the training platform: auto, none, zscore, quantile or rank.")
    ] = "auto",
    plot: Annotated[
        list[str] | None,
        typer.Option(metavar="SAMPLE_ID", help="Draw what its scores are made of; may be given again."),
    ] = None,
) -> None:
    """Score new profiles: probability, class and prediction set of resistance for every task."""
    from crossres_ml.predict.score import FLOOR, Rules
    from crossres_ml.predict.stream import Asked, predict_file
    from crossres_ml.terminal import hidden, show_progress

    rules = Rules(threshold, confidence, 0.0 if allow_low_coverage else FLOOR)
    # LightGBM would import scikit-learn (a second) for interfaces that no saved model uses
    with show_progress("samples", 1) as progress, hidden("sklearn"):
        asked = Asked(orientation, unit, mutations, rules, explain, normalise, tuple(plot or ()))
        done = predict_file(profiles, output, model, asked, progress=progress)
    typer.echo(f"{done.samples} samples: {done.output}")
    for task, count in done.refused.items():
        if count:
            typer.echo(f"{task}: {count} without a score; the column {task}_refused says why")
    typer.echo(f"what they were made of: {done.manifest}")
    if done.chosen is not None:
        from crossres_ml.report.figures import draw_waterfalls

        for path in draw_waterfalls(done.chosen, output):
            typer.echo(f"drawn: {path}")


@app.command()
def ui(
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on the runs of this folder."""
    from crossres_ml.tracking import open_ui

    raise typer.Exit(open_ui(tracking_uri, port))


@app.command()
def doctor(
    results: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
    tracking_uri: TrackingUri = "sqlite:///mlflow.db",
    mirror: Mirror = None,
) -> None:
    """Check installation, data, disk, processors, models and MLflow's store; say what to do."""
    from crossres_ml.doctor import examine
    from crossres_ml.terminal import show_findings

    raise typer.Exit(show_findings(examine(results, tracking_uri, mirror)))


def main() -> None:
    """Run the command line; a user's error becomes a message and exit code 2, never a traceback."""
    try:
        app()
    except CrossresError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
