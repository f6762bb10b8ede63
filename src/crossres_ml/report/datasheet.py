"""The sheet of the data, by the questions of Gebru et al. 2021 (Commun ACM 64(12):86), from saved tables."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pandas as pd

from crossres_ml.report.summary import DataSummary
from crossres_ml.report.words import plain
from crossres_ml.sources.registry import Source, load_registry

_SIMULATED = "**SIMULATED: the study is made by code; it says nothing about biology.**\n\n"


def datasheet(results: Path, data: DataSummary) -> str:
    """Say what the joined data are, where they are from, and what they may be used for.

    Parameters
    ----------
    results : Path
        Folder of results with ``lines.csv``, ``coverage.csv``, ``dropped.csv`` and ``dropped_counts.csv``.
    data : DataSummary
        Counts and hashes.

    Returns
    -------
    str
        Markdown.
    """
    return f"""# The joined data

{_SIMULATED if data.kind == "simulated" else ""}## What they are for

To learn which measurements of an untreated cancer cell line go with its resistance to radiation, to
chemotherapy, and to both.

## What they are made of

{_counts(results, data)}
Hash of the joined data: `{data.cohort_hash}`.

{_coverage(results)}

## Who is missing

{_missing(results)}

Every line with its reason is in `dropped_lines.csv`. Left out on purpose:

{_dropped(results)}

## Where they are from

{_sources(data)}

## How they were joined

Every name becomes one DepMap id; names that could mean two lines, or none, are not used (`unresolved.csv`).
Lines of one patient share a group and never stand on both sides of a split. Nothing is filled in here: gaps
stay gaps, and models that need numbers fill them inside the training fold.

## What they may be used for, and what not

Research on cell lines. They cannot tell what happens in patients: no stroma, no vessels, no immune system, no
fractionated treatment. Lineages are not drawn as patients are, and lines that grow in a dish are those that
would grow. Lines carry no name of a person.

## Who keeps them

The publishers named above; this project keeps addresses and hashes, and passes no file on. Read the
publishers' own terms before passing data on. A file that changes is refused.
"""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    told = [" | ".join(str(c) for c in row) for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {r} |" for r in told)])


def _counts(results: Path, data: DataSummary) -> str:
    lines = pd.read_csv(results / "lines.csv", usecols=["lineage", "group"])
    return (
        f"{data.lines:,} cell lines of {lines.group.nunique():,} patients and {lines.lineage.nunique()} "
        "lineages. One row is a cell line, by its DepMap id.\n"
        f"{data.lines_radiation:,} have a radiation response, {data.lines_chemotherapy:,} a chemotherapy "
        f"response, {data.lines_both:,} both."
    )


def _coverage(results: Path) -> str:
    table = pd.read_csv(results / "coverage.csv")
    rows = (
        (plain(r["block"]), f"{r['features']:,}", f"{r['lines']:,}", f"{r['lines_both']:,}")
        for r in table.to_dict("records")
    )
    return _table(("block of features", "features", "lines", "of them with both responses"), rows)


def _missing(results: Path) -> str:
    table = pd.read_csv(results / "dropped_counts.csv")
    own = table[table.what.isin(["response:radiation", "response:chemotherapy"])]
    rows = ((plain(r["what"].split(":")[1]), r["reason"], r["lines"]) for r in own.to_dict("records"))
    return _table(("response", "why a line has none", "lines"), rows)


def _dropped(results: Path) -> str:
    table = pd.read_csv(results / "dropped.csv", dtype=str)
    return _table(("what", "how many", "why"), table.itertuples(index=False)) if len(table) else "Nothing."


def _sources(data: DataSummary) -> str:
    """Name publishers, releases and licences of the files that were read."""
    known = load_registry()
    read = sorted((known[k] for k in data.source_hashes if k in known), key=_whose)
    if not read:
        return "No file was read: the study is made by code."
    rows = []
    for (publisher, release, citation, licence), files in groupby(read, key=_whose):
        rows.append((publisher, release, len(list(files)), citation, licence))
    head = ("publisher", "release", "files", "to cite", "licence stated by the holding repository")
    return _table(head, rows)


def _whose(source: Source) -> tuple[str, str, str, str]:
    return source.publisher, source.release, source.citation, source.licence
