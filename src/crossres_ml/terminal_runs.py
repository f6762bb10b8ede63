"""What a comparison of two runs shows on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import typer

from crossres_ml.terminal import SIMULATED

if TYPE_CHECKING:
    from crossres_ml.tracking import Compared, Side

_WIDTH = 100


def _side(place: str, side: Side) -> str:
    return f"{place + ':':<8}{side.name}, {side.started}, run {side.run_id}"


def show_comparison(done: Compared, uri: str) -> None:
    """Print the difference of two runs with its interval, in a table and in words.

    Parameters
    ----------
    done : Compared
        What was found.
    uri : str
        Tracking URI.
    """
    from rich.console import Console
    from rich.table import Table

    from crossres_ml.evaluation.two_runs import DIFFERENCE, FIRST, SECOND
    from crossres_ml.report.summary import Interval
    from crossres_ml.report.words import METRIC_NAMES, listed, shown, verdict
    from crossres_ml.tracking import DEFAULT_URI

    def interval(metric: str, of: str) -> Interval:
        return Interval(**{k: v if math.isfinite(v) else None for k, v in found.of(metric, of).items()})

    found = done.found
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _WIDTH
    title = f"{done.task}: {found.lines} cell lines held out in both runs, {found.groups} groups of relatives"
    table = Table("", FIRST, SECOND, DIFFERENCE, title=title, box=None, title_justify="left", pad_edge=False)
    words: dict[str, list[str]] = {}
    for metric in found.values.metric.unique():
        name, difference = METRIC_NAMES[metric], interval(metric, DIFFERENCE)
        cells = (shown(interval(metric, of), 3) for of in (FIRST, SECOND))
        table.add_row(name, *cells, shown(difference, 3, sign=True))
        words.setdefault(_WORDS[verdict(metric, difference)], []).append(name)
    console.print(table)
    console.print("95 % intervals: paired group bootstrap\n")
    for line in (_side(FIRST, done.first), _side(SECOND, done.second), *(f"note: {n}" for n in found.notes)):
        console.print(line)
    for said, names in words.items():
        typer.echo(f"by {listed(names)}, {said}")
    where = "" if uri == DEFAULT_URI else f" --tracking-uri {uri}"
    typer.echo(f"next:   crossres ui{where}   (crossres-{done.task}: tick both runs, press Compare)")
    if done.simulated:
        typer.echo(SIMULATED)


_WORDS = {
    "better": "the first run is better than the second",
    "worse": "the first run is worse than the second",
    "not told apart": "the two are not told apart: the interval of the difference holds 0",
    "not defined": "the difference is not defined",
}
