"""A table of events of the user's own."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.errors import SchemaError, preview
from crossres_ml.scan.events import USER

log = logging.getLogger(__name__)


def read_events(path: Path, lines: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a table of events.

    Parameters
    ----------
    path : Path
        A .csv, .tsv or .parquet file: ``model_id``, and one column an event (0 or 1, or numbers).
    lines : pandas.Index
        Model ids of the cohort.

    Returns
    -------
    values : pandas.DataFrame
        ``lines`` x events, float64.
    skipped : pandas.DataFrame
        event, block, reason: columns that are no numbers, and ids that the cohort does not have.

    Raises
    ------
    SchemaError
        If the file cannot be read, has no column ``model_id``, no other one, a column or an id twice, or no
        id of the cohort.
    """
    table = _read(path)
    problems = []
    if "model_id" not in table:
        problems.append(f"no column model_id among {preview(table.columns)}")
    elif table.shape[1] == 1:
        problems.append("no column beside model_id")
    if problems:
        raise SchemaError("; ".join(problems), where=str(path), do="one column an event, one row a line")
    unnamed = table.model_id.isna()
    table = table[~unnamed]
    ids = table.model_id.astype(str).str.strip()
    if twice := sorted(set(ids[ids.duplicated()])):
        problems.append(f"model_id stands twice: {preview(twice)}")
    unknown = sorted(set(ids) - set(lines))
    if len(unknown) == ids.nunique():
        problems.append(f"no model_id is in the cohort: {preview(unknown) or 'all are empty'}")
    if problems:
        raise SchemaError("; ".join(problems), where=str(path), do="use DepMap ids (ACH-000001), each once")
    values = table.drop(columns="model_id").set_axis(ids, axis=0)
    numbers = values.apply(pd.to_numeric, errors="coerce").astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    text = [str(c) for c in values if (values[c].notna() & numbers[c].isna()).any()]
    rows = [(f"{USER}:{c}", USER, "has values that are not numbers") for c in text]
    if unnamed.any():
        rows.append((f"{USER}:(no line)", USER, f"model_id is empty in {unnamed.sum()} rows"))
    if unknown:
        log.warning("%s: %d lines are not in the cohort: %s", path, len(unknown), preview(unknown))
        rows += [(f"{USER}:(line {i})", USER, "model_id is not in the cohort") for i in unknown]
    skipped = pd.DataFrame(rows, columns=["event", "block", "reason"])
    return numbers.drop(columns=text).reindex(lines), skipped


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).reset_index().drop(columns="index", errors="ignore")
        # read without a header first: pandas would rename a column that stands twice
        rows = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", header=None, dtype=str, nrows=1)
        names = rows.iloc[0].fillna("")
        if twice := sorted(set(names[names.duplicated()])):
            raise SchemaError(f"columns stand twice: {preview(twice)}", where=str(path), do="name each once")
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError) as e:
        raise SchemaError(f"cannot be read: {e}", where=str(path), do="give a .csv, .tsv or .parquet") from e
