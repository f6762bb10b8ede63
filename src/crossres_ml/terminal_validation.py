"""What a validation shows on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from crossres_ml.terminal import SIMULATED

if TYPE_CHECKING:
    from crossres_ml.validation import Validated

_WIDTH = 140


def _cell(found: dict[str, Any] | None, *, sign: bool = False) -> str:
    if found is None:
        return ""
    if found["value"] is None:
        return "not defined"
    value = f"{found['value']:+.3f}" if sign else f"{found['value']:.3f}"
    return value if found["low"] is None else f"{value} ({found['low']:.3f}, {found['high']:.3f})"


def show_validation(done: Validated) -> None:
    """Print the skill of a model on a study, and who was left out.

    Parameters
    ----------
    done : Validated
        A finished or current validation.
    """
    from rich.console import Console
    from rich.table import Table

    from crossres_ml.evaluation.external import CONFIDENCES, MODEL
    from crossres_ml.predict.independent import CAUSES
    from crossres_ml.report.validation_page import NAMES, OF, SHOWN

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH  # a pipe has no width; the default of 80 would break rows apart
    about = done.about
    metrics = about["metrics"]
    title = f"{about['task']}: {about['samples']} samples, {about['resistant']} of them resistant"
    table = Table("metric", *OF, title=title, box=None, title_justify="left", pad_edge=False)
    for metric in SHOWN:
        if metric in metrics[MODEL]:
            cells = (_cell(metrics.get(of, {}).get(metric), sign=" minus " in of) for of in OF)
            table.add_row(NAMES[metric], *cells)
    console.print(table)
    for confidence in CONFIDENCES:
        percent = f"{100 * confidence:.0f}"
        held, both = (metrics[MODEL][f"{k}_{percent}"] for k in ("coverage", "abstains"))
        console.print(
            f"prediction sets at {percent} %: hold the class in {_cell(held)}, abstain in {_cell(both)}"
        )
    console.print("95 % intervals: group bootstrap, of shares binomial\n")
    if not about["lineage_baseline"]:
        typer.echo("no lineage baseline: the profiles have no column lineage")
    if not about["classes"]:
        typer.echo(
            f"resistant: the upper {100 * (1 - about['quantile']):.0f} % of these samples, "
            f"cut at {about['cut']:.4g}; higher = more {about['higher']}"
        )
    left = {CAUSES[c]: n for c, n in about["excluded"].items() if n}
    typer.echo("left out: " + ("; ".join(f"{n} ({text})" for text, n in left.items()) or "none"))
    typer.echo("validated anew" if done.fresh else "nothing has changed: the validation is current")
    typer.echo(f"report: {done.folder / 'report.html'}")
    typer.echo("research use only")
    if done.kind == "simulated":
        typer.echo(SIMULATED)
