"""Tables that know their types: parquet, of which only the wanted columns are read, and frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.tables import ID, LINEAGE, MISSING, Positions, Table

_CELLS = 500_000  # numbers held at a time
_MOST_ROWS = 65_536
_GROUP_BYTES = 256 << 20
_BUFFER = 1 << 14


def _text(values: pd.Series) -> pd.Series:
    """Text of an id or lineage column; whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    out = values.astype("str").str.strip()
    return out.mask(out.isin(MISSING)).reset_index(drop=True)


class ParquetTable(Table):
    """A parquet file; row groups are read one after the other, and of them the wanted columns.

    Parameters
    ----------
    path : Path
        The file.
    where : str
        For messages.
    """

    format = "parquet"
    group = 512

    def __init__(self, path: Path, where: str) -> None:
        super().__init__()
        self.path, self.where = path, where
        with pq.ParquetFile(path) as file:
            schema, meta = file.schema_arrow, file.metadata
            names = list(schema.names)
            if len(names) < 2 or meta.num_rows == 0:
                raise ProfileError(
                    f"has {meta.num_rows} rows and {len(names)} columns", where=where,
                    do="give samples in rows, an id column, then features",
                )  # fmt: skip
            self._meta = meta  # of thousands of columns: slow to read again
            self._id = _id_column(names, schema, where)
            self._rows = meta.num_rows
            self._group = max(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
            self._columns = [i for i in range(len(names)) if i != self._id]
            self._names, self._types = names, schema.types
            self.corner, self.top = names[self._id], [names[i] for i in self._columns]
        self.left = _text(self._series(self._id))
        if LINEAGE in self.top:
            self.lineage = _text(self._series(names.index(LINEAGE)))

    def is_truth(self, position: int) -> bool:
        """Whether a column holds true and false."""
        return bool(pa.types.is_boolean(self._types[self._columns[position]]))

    def _series(self, index: int) -> pd.Series:
        return pd.Series(pa.chunked_array([b[0] for b in self._batches([index])]).to_pandas())

    def _batches(self, indices: Sequence[int]) -> Iterator[list[pa.Array]]:
        """Columns by number. Arrow selects by name, so that of doubled names it gives all."""
        wanted = list(dict.fromkeys(self._names[i] for i in indices))
        rows = int(np.clip(_CELLS // max(len(wanted), 1), 1, _MOST_ROWS))
        # read ahead (pre_buffer), every row group that was read would stay in memory; and the whole column
        # chunks of a huge row group would not fit: read them piece by piece
        buffer = _BUFFER if 8 * self._group * len(wanted) > _GROUP_BYTES else 0
        try:
            with pq.ParquetFile(self.path, metadata=self._meta, buffer_size=buffer, pre_buffer=False) as file:
                for batch in file.iter_batches(rows, columns=wanted):
                    if batch.num_rows:
                        place = self._places(batch.schema.names)
                        yield [batch.column(place[i]) for i in indices]
        except (pa.ArrowException, OSError, ValueError) as e:
            raise ProfileError(f"cannot be read: {e}", where=self.where, do="copy the file again") from e

    def _places(self, given: list[str]) -> dict[int, int]:
        """Map numbers of columns in the file to places in a batch: the second of one name is the second."""
        places: dict[str, list[int]] = {}
        for place, name in enumerate(given):
            places.setdefault(name, []).append(place)
        in_file = {name: iter(found) for name, found in places.items()}
        return {i: next(in_file[n]) for i, n in enumerate(self._names) if n in in_file}

    def arrays(self, positions: Positions) -> Iterator[list[pa.Array]]:
        """Give columns in batches of whole rows."""
        yield from self._batches([self._columns[p] for p in positions] or [self._id])


def _id_column(names: list[str], schema: pa.Schema, where: str) -> int:
    if ID in names:
        return names.index(ID)
    pandas = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    index = [c for c in pandas.get("index_columns", []) if isinstance(c, str)]
    if len(index) > 1:
        raise ProfileError(
            f"has {len(index)} index columns: {preview(index)}", where=where, do=f"name the ids {ID}"
        )
    return names.index(index[0]) if index and index[0] in names else 0


class FrameTable(Table):
    """A frame in memory: ids in a column ``model_id``, in an index that is no row number, or first.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table.
    where : str
        For messages.
    """

    format = "frame"

    def __init__(self, frame: pd.DataFrame, where: str) -> None:
        super().__init__()
        self.where = where
        if isinstance(frame.index, pd.MultiIndex) or isinstance(frame.columns, pd.MultiIndex):
            raise ProfileError("has names of several levels", where=where, do="give one level")
        names = [str(c) for c in frame.columns]
        at = None
        if ID in names:
            at = names.index(ID)
        elif _counts_rows(frame.index):
            at = 0
        if len(frame) == 0 or len(names) < (1 if at is None else 2):
            raise ProfileError(
                f"has {len(frame)} rows and {len(names)} columns", where=where,
                do="give samples in rows, ids in the index, and features in columns",
            )  # fmt: skip
        self._frame = frame
        self.corner = str(frame.index.name or "") if at is None else names[at]
        ids = frame.index.to_series() if at is None else frame.iloc[:, at]
        self.left = _text(ids)
        self._columns = [i for i in range(len(names)) if i != at]
        self.top = [names[i] for i in self._columns]
        if LINEAGE in self.top:
            self.lineage = _text(frame.iloc[:, names.index(LINEAGE)])

    def is_truth(self, position: int) -> bool:
        """Whether a column holds true and false."""
        return bool(pd.api.types.is_bool_dtype(self._frame.dtypes.iloc[self._columns[position]]))

    def arrays(self, positions: Positions) -> Iterator[list[pa.Array]]:
        """Give columns, all rows at a time that fit."""
        step = int(np.clip(_CELLS // max(len(positions), 1), 1, _MOST_ROWS))
        for start in range(0, len(self._frame), step):
            rows = self._frame.iloc[start : start + step]
            if not len(positions):
                yield [pa.nulls(len(rows))]
            else:
                yield [self._array(rows.iloc[:, self._columns[p]]) for p in positions]

    def _array(self, values: pd.Series) -> pa.Array:
        if pd.api.types.is_complex_dtype(values):
            raise ProfileError(
                "holds complex numbers", where=f"{self.where}, column {values.name}", do="give real numbers"
            )
        if values.dtype == object:
            values = values.map(_cell).astype("string")
        array: Any = pa.Array.from_pandas(values)
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _counts_rows(index: pd.Index) -> bool:
    """Whether an index is no ids but row numbers, also those that JSON or CSV gave back as plain integers."""
    if isinstance(index, pd.RangeIndex):
        return True
    return index.dtype.kind == "i" and bool((index == np.arange(len(index))).all())


def _cell(value: object) -> str | None:
    """Text of a cell in a column of mixed things; a number keeps every digit."""
    return None if value is None or value is pd.NA or value != value else str(value)
