"""A scan as files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.artifacts import write_json, write_table
from crossres_ml.scan.run import Scan
from crossres_ml.scan.table import top_events
from crossres_ml.scan.words import answer

TABLES = {
    "lists": "lists.csv", "lineages": "lineages.csv", "pooled": "pooled.csv",
    "permutations": "permutations.csv", "expected": "expected.parquet", "signals": "signals.csv",
    "known": "known_pairs.csv", "skipped": "skipped.csv", "drugs": "drugs.parquet",
}  # fmt: skip
"""Attribute of `crossres_ml.scan.run.Scan` -> file."""
_NAMED = 12


def write_scan(scan: Scan, folder: Path, about: dict[str, Any], *, level: float, top: int) -> None:
    """Write everything that a scan found.

    Parameters
    ----------
    scan : Scan
        The scan.
    folder : Path
        Gets ``scan.parquet`` (one row an event), ``scan.csv`` (the events of the lists, and the first of
        each), `TABLES`, and ``scan.json``: counts, the answer in sentences, and what it rests on.
    about : dict
        Hashes, seeds and settings; go into ``scan.json``.
    level : float
        False discovery rate of the lists.
    top : int
        Events of a list in ``scan.csv`` even if none is called.
    """
    write_table(folder / "scan.parquet", scan.table)
    write_table(folder / "scan.csv", top_table(scan, top))
    for name, file in TABLES.items():
        write_table(folder / file, getattr(scan, name))
    lists = [{str(k): _plain(v) for k, v in r.items()} for r in scan.lists.to_dict("records")]
    counts = {
        "events": len(scan.table), "skipped": len(scan.skipped), "lines": scan.lines,
        "drugs": int(scan.drugs.drug.nunique()),
        "blocks": {str(k): int(v) for k, v in scan.table.block.value_counts().sort_index().items()},
    }  # fmt: skip
    write_json(folder / "scan.json", {**about, **counts, "lists": lists, "answer": answer(scan, level)})


def top_table(scan: Scan, top: int) -> pd.DataFrame:
    """Events of the lists and the first of each, list by list; long names of folded events are cut.

    Parameters
    ----------
    scan : Scan
        The scan.
    top : int
        Events of a list even if none is called.

    Returns
    -------
    pandas.DataFrame
        Rows of the table of events.
    """
    own = scan.table.loc[top_events(scan.table, top)]
    return own.assign(same_as=own.same_as.map(_cut), features=own.features.map(_cut))


def _cut(text: str) -> str:
    names = text.split("; ")
    return "; ".join(names[:_NAMED]) + (f" ... and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _plain(value: Any) -> Any:
    """Give a number or text that JSON can hold; what is not known is null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
