"""Measured responses of an independent study: read strictly, one number a sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, ValidationError, preview
from crossres_ml.predict.tables import LINEAGE, MISSING, Table, open_table

GROUPS, NAMES = ("patient", "group"), ("cell_line", "name", "alias")
"""Columns with another meaning: who the samples are of, and what else they are called."""
_RESPONSE = "response"


@dataclass(frozen=True)
class Responses:
    """What a study has measured.

    Attributes
    ----------
    values : pandas.Series
        Sample -> response as it stands; NaN where there is none.
    group : pandas.Series
        Sample -> who it is of; the sample itself where that is not told.
    grouped_by : str or None
        The column of ``group``.
    also : pandas.DataFrame
        Samples x other names, text; empty where there is none.
    column : str
        The column of the response.
    """

    values: pd.Series
    group: pd.Series
    grouped_by: str | None
    also: pd.DataFrame
    column: str

    @property
    def classes(self) -> bool:
        """Whether the responses are classes: nothing but 0 and 1."""
        return set(self.values.dropna()) <= {0.0, 1.0}


def read_responses(path: Path, task: str, column: str | None = None) -> Responses:
    """Read responses.

    Parameters
    ----------
    path : Path
        .csv, .tsv, .txt (also .gz) or .parquet: ids in ``model_id``, or else in the first column.
    task : str
        Its column is taken when none is named; else ``response``, else the only one that is there.
    column : str, optional
        The column of the response.

    Returns
    -------
    Responses
        In the order of the file.

    Raises
    ------
    ValidationError
        If the file cannot be read, ids are missing or stand twice, the column is not there or not the only
        one that could be meant, or its values are no numbers or all missing.
    """
    where = str(path)
    try:
        table = open_table(path)
    except ProfileError as e:
        raise ValidationError(e.what, where=e.where, do=e.do) from e
    ids = _ids(table, where)
    name = _choose(table.top, task, column, where)
    values = _numbers(table, name, where)
    if np.isnan(values).all():
        raise ValidationError(
            f"all {len(values)} responses are missing", where=f"{where}, column {name}",
            do="name the column with --column, or give responses",
        )  # fmt: skip
    grouped = next((c for c in GROUPS if c in table.top), None)
    own = pd.Series(ids, ids)
    group = own if grouped is None else _texts(table, grouped, ids).fillna(own)
    also = pd.DataFrame({c: _texts(table, c, ids) for c in NAMES if c in table.top}, index=ids)
    return Responses(pd.Series(values, ids), group.astype(str), grouped, also, name)


def _ids(table: Table, where: str) -> pd.Index:
    if table.left.isna().any():
        rows = preview(np.flatnonzero(table.left.isna()) + 1)
        raise ValidationError(f"ids are missing in rows {rows}", where=where, do="give every row its sample")
    if twice := sorted(set(table.left[table.left.duplicated()])):
        raise ValidationError(
            f"{len(twice)} ids stand twice: {preview(twice)}", where=where, do="keep one row a sample"
        )
    return pd.Index(table.left.astype(str), name="model_id")


def _choose(columns: list[str], task: str, column: str | None, where: str) -> str:
    """Name the column of the response."""
    free = [c for c in columns if c not in (*GROUPS, *NAMES, LINEAGE)]
    wanted = [column] if column else [c for c in (task, _RESPONSE) if c in columns] or free
    if len(wanted) != 1 and not {task, _RESPONSE} & set(wanted):
        raise ValidationError(
            f"which column holds the response is not told: {preview(wanted) or 'there is none'}", where=where,
            do="name it with --column",
        )  # fmt: skip
    name = wanted[0]
    if (count := columns.count(name)) != 1:
        raise ValidationError(
            f"{count} columns are called {name!r}; there are {preview(columns)}", where=where,
            do="name another one with --column, or name each once",
        )  # fmt: skip
    return name


def _numbers(table: Table, name: str, where: str) -> np.ndarray:
    try:
        parts = [values[:, 0] for _, values in table.cells([table.top.index(name)])]
    except ProfileError as e:
        raise ValidationError(
            e.what, where=f"{where}, column {name}",
            do="give 0 and 1 (1 = resistant), or a continuous response; leave a missing one empty",
        ) from e  # fmt: skip
    return np.concatenate(parts)


def _texts(table: Table, name: str, ids: pd.Index) -> pd.Series:
    cells: Iterable[object] = (c.as_py() for a in table.arrays([table.top.index(name)]) for c in a[0])
    texts = pd.Series([None if c is None else str(c).strip() for c in cells], ids, dtype=object)
    return texts.mask(texts.isin(MISSING) | texts.isna(), None)
