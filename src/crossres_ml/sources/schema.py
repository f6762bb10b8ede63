"""What a table is: the files it is read from, its reader, its unit, and the rules that it must obey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from crossres_ml.errors import SchemaError, preview

MODEL_ID = r"ACH-\d{6}"
Reader = Callable[[Mapping[str, Path]], pd.DataFrame]


@dataclass(frozen=True)
class Matrix:
    """Rules of a wide table of numbers, checked as one block.

    Attributes
    ----------
    index : str or None
        Name of the row index; None for anonymous rows (a plain count).
    low, high : float
        Allowed range of the values, in the table's unit.
    dtype : str
        What the values are stored as; integers allow no missing value.
    missing : bool
        Whether values may be missing.
    pattern : str
        What a text row id must look like.
    """

    index: str | None
    low: float
    high: float
    dtype: str = "float32"
    missing: bool = False
    pattern: str = ""

    def validate(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Check a frame.

        Parameters
        ----------
        frame : pandas.DataFrame
            Rows = lines, columns = features.

        Returns
        -------
        frame : pandas.DataFrame
            The same values as ``dtype``, index named.
        problems : list of str
            Every rule that is broken, with the first bad values; empty when all is well.
        """
        problems = _id_problems("column name", frame.columns)
        problems += self._index_problems(frame.index)
        values, text = _numbers(frame)
        problems += text
        lost = np.isnan(values) & ~_missing(frame) if text else np.zeros(values.shape, dtype=bool)
        with np.errstate(invalid="ignore"):
            outside = ((values < self.low) | (values > self.high)) & ~lost
        problems += _cell_problems(frame, outside, f"outside {self.low:g}..{self.high:g}")
        if not self.missing:
            problems += _cell_problems(frame, np.isnan(values) & ~lost, "missing")
        if problems:
            return frame, problems
        index = frame.index if self.index is None else frame.index.rename(self.index)
        return pd.DataFrame(values.astype(self.dtype), index=index, columns=frame.columns), []

    def _index_problems(self, index: pd.Index) -> list[str]:
        if self.index is None:
            return []
        problems = _id_problems(self.index, index)
        if self.pattern:
            bad = index[~index.astype(str).str.fullmatch(self.pattern)]
            if len(bad):
                problems.append(f"{self.index}: not like {self.pattern}: {preview(bad)}")
        return problems


@dataclass(frozen=True)
class Table:
    """One tidy table and where it comes from.

    Attributes
    ----------
    name : str
        Its name in the program.
    sources : tuple of str
        Registry ids of its files. All are needed, unless ``partial``.
    read : callable
        Maps the files at hand (id -> path) to the frame.
    schema : pandera.pandas.DataFrameSchema or Matrix
        Rules for a long or a wide table.
    unit : str
        Unit of a wide table's values; for long tables units are in the column names.
    about : str
        One sentence for people.
    partial : bool
        The table is read from those of ``sources`` that are there, if any is.
    also : tuple of str
        Files that add to the table when they are there.
    """

    name: str
    sources: tuple[str, ...]
    read: Reader
    schema: pa.DataFrameSchema | Matrix
    unit: str
    about: str
    partial: bool = False
    also: tuple[str, ...] = ()

    def validate(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Check a frame against the schema.

        Parameters
        ----------
        frame : pandas.DataFrame
            As read.

        Returns
        -------
        pandas.DataFrame
            The frame with the schema's dtypes.

        Raises
        ------
        SchemaError
            If any rule is broken; names the table and, for all rules, column and first bad values.
        """
        if isinstance(self.schema, Matrix):
            frame, problems = self.schema.validate(frame)
        else:
            frame, problems = _validate_long(self.schema, frame)
        if problems:
            raise SchemaError(
                f"table {self.name}: " + "; ".join(problems),
                where=", ".join(self.sources[:4]) + (" ..." if len(self.sources) > 4 else ""),
                do="the file is not the release that the registry names: fetch it again or mend it",
            )
        return frame


def long_schema(columns: Mapping[str, pa.Column], key: Sequence[str]) -> pa.DataFrameSchema:
    """Make the schema of a long table: exactly these columns, one row per ``key``.

    Parameters
    ----------
    columns : mapping of str to pandera Column
        In order.
    key : sequence of str
        Columns that name a row.

    Returns
    -------
    pandera.pandas.DataFrameSchema
        The schema.
    """
    return pa.DataFrameSchema(dict(columns), strict=True, ordered=True, coerce=True, unique=list(key))


def text(pattern: str = "", *, needed: bool = False) -> pa.Column:
    """Column of text, perhaps of one form; ``needed`` allows no missing value."""
    checks = pa.Check.str_matches(f"^(?:{pattern})$") if pattern else None
    return pa.Column("str", checks, nullable=not needed)


def number(low: float, high: float, *, needed: bool = False) -> pa.Column:
    """Column of real numbers within a range."""
    return pa.Column("float64", pa.Check.in_range(low, high), nullable=not needed)


def integer(low: int = 0, *, needed: bool = False) -> pa.Column:
    """Column of whole numbers (nullable ``Int64``)."""
    return pa.Column("Int64", pa.Check.ge(low), nullable=not needed)


def flag() -> pa.Column:
    """Column of true or false."""
    return pa.Column("bool")


def _validate_long(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    try:
        return schema.validate(frame.reset_index(drop=True), lazy=True), []
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    cases = cases[~cases.failure_case.astype(str).str.startswith("TypeError(")]
    cases = cases.assign(column=cases.column.astype(object).where(cases.column.notna(), "columns"))
    problems = []
    for (column, check), part in cases.groupby(["column", "check"], sort=False, dropna=False):
        bad = dict.fromkeys(part.failure_case.astype(str))
        problems.append(f"column {column}: {check}: {preview(bad)}")
    return frame, problems


def _id_problems(what: str, ids: pd.Index) -> list[str]:
    problems = []
    if missing := int(np.count_nonzero(ids.isna())):
        problems.append(f"{what}: {missing} missing")
    if not ids.is_unique:
        problems.append(f"{what}: more than once: {preview(ids[ids.duplicated()].unique())}")
    return problems


def _missing(frame: pd.DataFrame) -> np.ndarray:
    return frame.isna().to_numpy()


def _numbers(frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Values as one array; text that is no number becomes NaN and is told of."""
    textual = [i for i, t in enumerate(frame.dtypes) if not pd.api.types.is_numeric_dtype(t)]
    if not textual:
        dtype = np.float32 if (frame.dtypes == np.float32).all() else np.float64
        return frame.to_numpy(dtype=dtype, na_value=np.nan), []
    mended, problems = frame.copy(), []
    for i in textual:
        column = frame.iloc[:, i]
        turned = pd.to_numeric(column, errors="coerce")
        mended.isetitem(i, turned.to_numpy())
        bad = column[turned.isna() & column.notna()]
        if len(bad):
            problems.append(f"column {frame.columns[i]}: not a number: {preview(map(repr, bad))}")
    return mended.to_numpy(dtype=np.float64, na_value=np.nan), problems


def _cell_problems(frame: pd.DataFrame, bad: np.ndarray, what: str) -> list[str]:
    """Name the first bad columns, each with its first bad cells."""
    columns = np.flatnonzero(bad.any(axis=0))
    named = []
    for i in columns[:3]:
        rows, column = np.flatnonzero(bad[:, i]), frame.iloc[:, i]
        cells = preview((f"{column.iloc[r]} ({column.index[r]})" for r in rows), 3)
        named.append(f"column {column.name}: {what}: {cells}")
    return [*named, f"and {len(columns) - 3} more columns {what}"] if len(columns) > 3 else named
