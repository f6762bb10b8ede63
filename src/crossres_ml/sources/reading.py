"""Small helpers that the reader modules share: delimited text, columns by name, long to wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from crossres_ml.errors import SchemaError, preview


def read_text(file: Path | IO[bytes], *, missing: Iterable[str] = ("", "NA"), **options: Any) -> pd.DataFrame:
    """Read delimited text with every cell as text.

    pandas' own list of missing values is not used: it holds words such as "None" and "nan" that are
    values in these files (a coating, a gene).

    Parameters
    ----------
    file : Path or binary file
        What to read.
    missing : iterable of str
        Cells that mean "not known".
    **options
        Passed to `pandas.read_csv`.

    Returns
    -------
    pandas.DataFrame
        Text columns; blanks around cells and names removed.
    """
    raw = pd.read_csv(file, dtype="str", keep_default_na=False, na_values=list(missing), **options)
    return pd.DataFrame({str(c).strip(): cells.str.strip() for c, cells in raw.items()})


def pick(frame: pd.DataFrame, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """Select columns by the file's names and give them ours.

    Parameters
    ----------
    frame : pandas.DataFrame
        As the file has it.
    columns : mapping of str to str
        The file's name -> our name, in the order wanted.
    path : Path
        For the message.

    Returns
    -------
    pandas.DataFrame
        The chosen columns.

    Raises
    ------
    SchemaError
        Naming all columns that the file does not have.
    """
    if absent := [c for c in columns if c not in frame]:
        raise SchemaError(f"no column {preview(absent)}; there are {preview(frame.columns)}", where=str(path))
    return frame[list(columns)].set_axis(list(columns.values()), axis=1)


def to_numbers(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    """Turn text columns into numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        With text columns.
    columns : iterable of str
        Those to turn.
    path : Path
        For the message.

    Returns
    -------
    pandas.DataFrame
        A copy.

    Raises
    ------
    SchemaError
        Naming every column that holds something else, with the first such values.
    """
    turned = {c: pd.to_numeric(frame[c], errors="coerce").astype("float64") for c in columns}
    bad = {c: frame[c][new.isna() & frame[c].notna()] for c, new in turned.items()}
    problems = [f"column {c}: not a number: {preview(map(repr, b))}" for c, b in bad.items() if len(b)]
    if problems:
        raise SchemaError("; ".join(problems), where=str(path))
    return frame.assign(**turned)


def pivot(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, path: Path) -> pd.DataFrame:
    """Arrange long values as rows x columns, in order of first appearance.

    A pair that is given twice with the same value is one value; with two values it is an error.

    Parameters
    ----------
    rows, columns : ndarray of str
        Row and column of each value.
    values : ndarray of float
        The values.
    path : Path
        For the message.

    Returns
    -------
    pandas.DataFrame
        float32; NaN where no value is given.

    Raises
    ------
    SchemaError
        If a pair has two different values.
    """
    at_row, row_names = pd.factorize(rows)
    at_column, column_names = pd.factorize(columns)
    flat = at_row * len(column_names) + at_column
    out = np.full(len(row_names) * len(column_names), np.nan, dtype=np.float32)
    new = np.asarray(values, dtype=np.float32)
    out[flat] = new
    differs = ~((out[flat] == new) | np.isnan(new))
    if differs.any():
        pairs = {f"{rows[i]} {columns[i]}" for i in np.flatnonzero(differs)}
        raise SchemaError(f"two values for {preview(sorted(pairs))}", where=str(path))
    return pd.DataFrame(out.reshape(len(row_names), len(column_names)), row_names, column_names)


def unpivot(wide: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    """List the known values of a wide table, one a row.

    Parameters
    ----------
    wide : pandas.DataFrame
        With a named row index.
    column, value : str
        Names for the column labels and for the values.

    Returns
    -------
    pandas.DataFrame
        The index levels, ``column``, ``value``; missing values are left out.
    """
    rows, columns = np.nonzero(wide.notna().to_numpy())
    long = wide.index.take(rows).to_frame(index=False)
    long[column] = wide.columns.take(columns)
    long[value] = wide.to_numpy()[rows, columns]
    return long


def gene_symbols(columns: Iterable[object]) -> list[str]:
    """Give the symbols of columns that are named ``SYMBOL (ENTREZ)``: ``'PAK1 (5058)'`` -> ``'PAK1'``."""
    return [str(c).rsplit(" (", 1)[0] for c in columns]
