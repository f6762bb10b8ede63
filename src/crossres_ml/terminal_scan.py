"""What the atlas and the trial of signatures show on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from crossres_ml.terminal import SIMULATED

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from crossres_ml.atlas import AtlasFolder
    from crossres_ml.signatures import SignatureFolder

_TOP = 15
_WIDTH = 150


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH  # a pipe has no width; the default of 80 would break rows apart
    return console


def _number(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _with_interval(row: Any, name: str, digits: int = 2, ends: str = "") -> str:
    """Value with its interval; the columns of the two ends may have another name."""
    value, low, high = (float(row[c]) for c in (name, f"{ends or name}_low", f"{ends or name}_high"))
    if math.isnan(value) or math.isnan(low):
        return _number(value, digits)
    return f"{value:.{digits}f} ({low:.{digits}f},{high:.{digits}f})"


def _q(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _end(what: str, done: AtlasFolder | SignatureFolder, place: str) -> None:
    typer.echo(f"{what} anew" if done.fresh else "nothing has changed: the results are current")
    typer.echo(f"{place}")
    if done.kind == "simulated":
        typer.echo(SIMULATED)


def show_atlas(done: AtlasFolder) -> None:
    """Print the drugs that go with radiation most after all adjustment, and the general factor.

    Parameters
    ----------
    done : AtlasFolder
        A finished or current atlas.
    """
    from rich.table import Table

    table, about = done.table, done.about
    columns = (
        "drug",
        "screen",
        "n",
        "Spearman",
        "lineage-adjusted",
        "and general sensitivity",
        "q",
        "odds ratio",
    )
    title = "drugs that go with radiation most, by the lower end after all adjustment"
    shown = Table(*columns, box=None, title=title, title_justify="left", pad_edge=False)
    for _, row in table.sort_values("full_low", ascending=False).head(_TOP).iterrows():
        kinds = (_with_interval(row, k) for k in ("spearman", "tissue", "full"))
        odds = _with_interval(row, "odds", 1)
        shown.add_row(_short(row.drug), row.dataset, str(row.n), *kinds, _q(row.full_q), odds)
    _console().print(shown)
    factor, test = about["general_factor"], about["genotoxic_test"]
    typer.echo(
        f"general factor of CTRPv2 with radiation: Pearson {factor['pearson']:.3f} ({factor['low']:.2f}, "
        f"{factor['high']:.2f}), n = {factor['n']}"
    )
    if test["effect"] is not None:
        tissue, full = (
            "{:.3f} ({:.3f}, {:.3f})".format(*(test[c] for c in columns))
            for columns in (("effect", "low", "high"), ("full", "full_low", "full_high"))
        )
        typer.echo(
            f"genotoxic minus other drugs: {tissue} adjusted for lineage, {full} for general sensitivity too"
        )
    lines = about["lines"]
    typer.echo(f"{len(table)} drug measurements, {lines['irradiated']} irradiated lines")
    _end("measured", done, f"page to search: {done.folder / 'atlas.html'}")


def _short(name: str, longest: int = 44) -> str:
    return name if len(name) <= longest else name[: longest - 3] + "..."


def show_drug(done: AtlasFolder, name: str) -> None:
    """Print what the atlas has on one drug.

    Parameters
    ----------
    done : AtlasFolder
        A finished atlas.
    name : str
        The drug; an unknown one is an error that names what looks like it.
    """
    for measurement, row in done.find(name).iterrows():
        typer.echo(f"{measurement}" + (f" ({', '.join(row.other_names)})" if row.other_names else ""))
        kind = row.drug_class + (", genotoxic" if row.genotoxic else "")
        for label, text in (("class", kind), ("does", row.mechanism or row.targets)):
            if text:
                typer.echo(f"  {label:<25}{text}")
        typer.echo(f"  {'lines with radiation':<25}{row.n}, of {row.patients} patients")
        if row.note:
            typer.echo(f"  {'not measured':<25}{row.note}")
        if not math.isnan(row.spearman):
            _numbers(row)
        if isinstance(row.concordance_with, str):
            with_ = f"Spearman {_number(row.concordance)} over {row.concordance_n:.0f} lines"
            typer.echo(f"  {'same as ' + row.concordance_with:<25}{with_}")


def _numbers(row: pd.Series) -> None:
    for label, column in (
        ("Pearson", "pearson"),
        ("Spearman", "spearman"),
        ("adjusted for lineage", "tissue"),
        ("and general sensitivity", "full"),
    ):
        q = f", q {_q(row[f'{column}_q'])}" if column in ("tissue", "full") else ""
        typer.echo(f"  {label:<25}{_with_interval(row, column, 3)}{q}")
    odds = f"{_with_interval(row, 'odds')}, {row.both_top:.0f} lines in both"
    typer.echo(f"  {'odds ratio of top thirds':<25}{odds}")


def show_signatures(done: SignatureFolder) -> None:
    """Print the trial: what each signature is worth in held-out lines.

    Parameters
    ----------
    done : SignatureFolder
        A finished or current trial.
    """
    from rich.table import Table

    table = done.table
    columns = (
        "signature",
        "way",
        "genes",
        "lines",
        "Spearman",
        "R2",
        "percentile",
        "q",
        "minus ours: Spearman",
    )
    shown = Table(*columns, box=None, pad_edge=False)
    for _, row in table[table.way != ""].iterrows():
        genes = "" if math.isnan(row.asked) else f"{row.found:.0f} of {row.asked:.0f}"
        skill = (_with_interval(row, m) for m in ("spearman", "r2"))
        cells = (
            row["name"],
            row.way,
            genes,
            f"{row.lines:.0f}",
            *skill,
            _number(row.percentile, 1),
            _q(row.q),
        )
        shown.add_row(*cells, _with_interval(row, "spearman_difference"))
    _console().print(shown)
    typer.echo(
        f"percentile and q: among {done.about['sets']} random sets of as many genes, equally well measured"
    )
    against = sorted(set(table.against) - {""})
    if against:
        typer.echo(f"ours: {', '.join(against)}, on the same held-out lines; paired differences")
    else:
        typer.echo("no models of ours beside them: name a training run with --results")
    for _, row in table[table.way == ""].iterrows():
        typer.echo(f"{row['name']}: {row.note}")
    _end("tried", done, f"table: {done.folder / 'signatures.csv'}")
