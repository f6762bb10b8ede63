"""What a scan shows on the terminal: the first signals of each list, and the answer in sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import typer

from crossres_ml.scan.both import LISTS
from crossres_ml.scanning import Scanned
from crossres_ml.terminal import SIMULATED

if TYPE_CHECKING:
    from crossres_ml.scan_study import ScanStudy

_SHOWN = 8


def show_scan(done: Scanned) -> None:
    """Print the first signals of each list, the answer, and where the rest is.

    Parameters
    ----------
    done : Scanned
        A finished or current scan.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150  # a pipe has no width; the default of 80 would break rows apart
    events = done.table
    about = json.loads((done.folder / "scan.json").read_text(encoding="utf-8"))
    signals = pd.read_csv(done.folder / "signals.csv")
    level = about["settings"]["level"]
    columns = (
        "event",
        "lines",
        "with it",
        "radiation",
        "chemotherapy",
        "p",
        "rate",
        "all adjusted",
        "",
    )
    for name, it in LISTS.items():
        leads = signals[signals.list == name].set_index("signal").events
        said = f"{leads.sum()} events of {len(leads)} signals" if len(leads) else "none called; the first"
        title = f"{it.label}: {said} at a rate below {level:.0%}"
        table = Table(*columns, title=title, box=None, title_justify="left", pad_edge=False)
        nearest = events.index[events.best_list == name][:3]
        for event in leads.index[:_SHOWN] if len(leads) else nearest:
            table.add_row(*_cells(events.loc[event], int(leads.get(event, 1)) - 1))
        console.print(table)
    console.print(
        "radiation, chemotherapy: standardised slope with 95 % interval, adjusted for lineage (mutations: "
        "burden too); higher = more resistant.\np: the larger of two one-sided ones in a list of both. rate: "
        "false discovery rate by permutations inside lineages; * by Benjamini and Hochberg's q as well.\n"
    )
    for sentence in about["answer"]:
        typer.echo(sentence)
    typer.echo("scanned anew" if done.fresh else "nothing has changed: the scan is current")
    typer.echo(f"report: {done.folder / 'report.html'}")
    if done.kind == "simulated":
        typer.echo(SIMULATED)


def _cells(row: pd.Series, others: int) -> tuple[str, ...]:
    def effect(name: str) -> str:
        return f"{row[name]:+.2f} ({row[f'{name}_low']:+.2f},{row[f'{name}_high']:+.2f})"

    full = f"{row.radiation_full:+.2f} {row.chemotherapy_full:+.2f}"
    marks = [f"and {others} that go with it"] if others else []
    marks += ["antibody not validated"] if row.caution else []
    if isinstance(row.carried_by, str) and row.carried_by:
        marks.append(f"carried by {row.carried_by}")
    if str(row.beyond_arm) == "False":
        marks.append(f"not beyond arm {row.arm}")
    carriers = "-" if pd.isna(row.carriers) else f"{row.carriers:.0f}"
    rate = f"{row.list_rate:.3f}{' *' if row.by_bh else ''}"
    numbers = (f"{row.n:.0f}", carriers, effect("radiation"), effect("chemotherapy"), f"{row.list_p:.1e}")
    return (str(row.label), *numbers, rate, full, "; ".join(marks))


def show_study(done: ScanStudy) -> None:
    """Print how often each list is wrong, and what it finds.

    Parameters
    ----------
    done : ScanStudy
        A finished or current study.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    table = done.table
    strengths = sorted(set(table.strength))
    shown = Table(
        "list", "called by", "level", *(f"slope {s:.2f}" for s in strengths), box=None, pad_edge=False
    )
    for keys, own in table.groupby(["list", "by", "level"], sort=False):
        name, by, level = (str(k) for k in keys)
        cells = (
            f"{r['fdr_nothing']:.3f} ({r['fdr']:.3f}) / "
            + ("-" if pd.isna(r["power"]) else f"{r['power']:.2f}")
            for r in own.sort_values("strength").to_dict("records")
        )
        shown.add_row(LISTS[name].label, by.replace("_", " "), f"{float(level):.0%}", *cells)
    console.print(shown)
    console.print(
        "of what a list calls, the share that does nothing (with what belongs in another list) / share of "
        "the planted that it calls\n"
    )
    typer.echo("simulated anew" if done.fresh else "nothing has changed: the results are current")
    typer.echo(f"tables: {done.folder}")
    if done.kind == "simulated":
        typer.echo(SIMULATED)
