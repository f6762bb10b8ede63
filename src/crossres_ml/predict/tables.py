"""Tables of other people, read by chunks: names of both sides first, then only the cells that are wanted."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossres_ml.errors import ProfileError, preview

ID = "model_id"
LINEAGE = "lineage"
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "None", "<NA>")
HEAD = 100  # rows on which types and units are judged, whatever the chunk size
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_SHOWN = 5
Positions = Sequence[int] | np.ndarray
_MISSING = pa.array(MISSING)


class Table(ABC):
    """Somebody's table before it is known which side holds the samples.

    Attributes
    ----------
    format : str
        For the report.
    where : str
        For messages.
    corner : str
        Name of the column of names.
    top : list of str
        Names of the other columns, as they stand.
    left : pandas.Series
        Names of the rows, text; missing where there is none.
    lineage : pandas.Series or None
        Text of the column `LINEAGE`, one a row.
    transposed : bool
        Whether rows of the file are columns here.
    group : int or None
        Columns to read at a time where all are needed; None: all at once.
    notes : list of str
        What was noticed on opening.
    """

    format: str
    where: str
    corner: str
    top: list[str]
    left: pd.Series
    lineage: pd.Series | None = None
    transposed = False
    group: int | None = None  # columns that may be read at a time when all are

    def __init__(self) -> None:
        self.notes: list[str] = []

    @abstractmethod
    def arrays(self, positions: Positions) -> Iterator[list[pa.Array]]:
        """Columns of the table in batches of whole rows, from the first row on."""

    def is_truth(self, position: int) -> bool:
        """Whether a column holds true and false."""
        return False

    def cells(
        self, positions: Positions, keep: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read numbers.

        Parameters
        ----------
        positions : sequence of int
            Columns, as numbers into ``top``.
        keep : ndarray of bool, optional
            Rows to read; the others may hold anything.

        Yields
        ------
        rows : ndarray of int
            Numbers into ``left``, ascending.
        values : ndarray of float64
            rows x positions; NaN where missing.

        Raises
        ------
        ProfileError
            If a cell is no finite number; names the first by row and column.
        """
        start = 0
        for arrays in self.arrays(positions):
            size = len(arrays[0])
            rows = np.arange(start, start + size)
            start += size
            if keep is not None:
                rows = rows[keep[rows]]
                chosen = pa.array(rows - (start - size))
                arrays = [a.take(chosen) for a in arrays] if len(rows) else []
            if len(rows):
                yield rows, self._numbers(arrays, positions, rows)
        self.check_length(start)

    def check_length(self, rows: int) -> None:
        """Refuse a file that ends, or goes on, elsewhere than when it was opened."""
        if rows != len(self.left):
            raise ProfileError(
                f"{rows} rows were read where {len(self.left)} were expected", where=self.where,
                do="do not change the file while it is read",
            )  # fmt: skip

    def head(self, positions: Positions, rows: int = HEAD) -> np.ndarray:
        """Numbers of the first rows."""
        parts, have = [], 0
        for _, values in self.cells(positions):
            parts.append(values)
            have += len(values)
            if have >= rows:
                break
        return np.concatenate(parts)[:rows] if parts else np.empty((0, len(positions)))

    def words(self, positions: Positions) -> np.ndarray:
        """Whether a column holds something among the first rows, and no number."""
        filled, number = np.zeros((2, len(positions)), dtype=bool)
        have = 0
        for arrays in self.arrays(positions):
            heads = [a[: HEAD - have] for a in arrays]
            filled |= [_any_value(a) for a in heads]
            number |= [_any_number(a) for a in heads]
            have += len(arrays[0])
            if have >= HEAD:
                break
        return np.asarray(filled & ~number)

    def row_texts(self, row: int, positions: Positions) -> list[str | None]:
        """Read one row as text."""
        start = 0
        for arrays in self.arrays(positions):
            if row < start + len(arrays[0]):
                cells = [a[row - start].as_py() for a in arrays]
                return [None if c is None or str(c).strip() in MISSING else str(c).strip() for c in cells]
            start += len(arrays[0])
        return [None] * len(positions)

    def _numbers(self, arrays: list[pa.Array], positions: Positions, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(arrays), len(rows)))
        texts = [i for i, a in enumerate(arrays) if is_text(a.type)]
        for i, array in enumerate(arrays):
            if not is_text(array.type):
                out[i] = _plain(array, f"{self.where}, column {self.top[positions[i]]}")
        bad: list[tuple[int, int, str]] = []
        if texts:
            flat = pa.concat_arrays([arrays[i].cast(pa.large_string()) for i in texts])
            values, wrong = _from_text(flat)
            out[texts] = values.reshape(len(texts), len(rows))
            bad = [(k % len(rows), texts[k // len(rows)], t) for k, t in wrong.items()]
        for i, r in zip(*np.nonzero(np.isinf(out)), strict=True):
            bad.append((int(r), int(i), str(arrays[i][int(r)].as_py())))
        if bad:
            self._refuse(sorted(set(bad)), rows, positions)
        return np.ascontiguousarray(out.T)

    def _refuse(self, bad: list[tuple[int, int, str]], rows: np.ndarray, positions: Positions) -> None:
        where = [
            f"{t!r} (row {self.left.iloc[rows[r]]}, column {self.top[positions[c]]})" for r, c, t in bad[:6]
        ]
        shown = preview(where + [""] * (len(bad) - len(where)), _SHOWN)
        commas = sum(bool(_COMMA.fullmatch(t.strip())) for *_, t in bad)
        do = "leave a missing value empty; drop columns of text (only lineage may be text)"
        if commas:
            do = f"{commas} of them have a comma: save with a decimal point, without thousands separators"
        raise ProfileError(f"{len(bad)} cells are no finite numbers: {shown}", where=self.where, do=do)


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text, also as a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _any_value(array: pa.Array) -> bool:
    if not is_text(array.type):
        return not pa.types.is_null(array.type)
    return any(t is not None and t.strip() not in MISSING for t in array.to_pylist())


def _any_number(array: pa.Array) -> bool:
    if is_text(array.type):
        return any(t is not None and _NUMBER.fullmatch(t.strip()) for t in array.to_pylist())
    kind = array.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _plain(array: pa.Array, where: str) -> np.ndarray:
    """Numbers of an array that is no text."""
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    allowed = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal)
    if not any(is_kind(kind) for is_kind in allowed):
        raise ProfileError(
            f"holds {kind}, not numbers", where=where, do="drop the column, or give numbers in it"
        )
    if not pa.types.is_floating(kind):
        array = array.cast(pa.float64(), safe=False)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _from_text(flat: pa.Array) -> tuple[np.ndarray, dict[int, str]]:
    """Numbers of text, rounded as Python rounds them, and the cells that are none by their place."""
    trimmed = pc.utf8_trim_whitespace(flat)
    known = pc.if_else(pc.is_in(trimmed, _MISSING.cast(trimmed.type)), None, trimmed)
    try:
        return np.asarray(pc.cast(known, pa.float64()).to_numpy(zero_copy_only=False)), {}
    except pa.ArrowInvalid:
        pass
    out, wrong = np.full(len(known), np.nan), {}
    for place, text in enumerate(known.to_pylist()):
        if text is None:
            continue
        if _NUMBER.fullmatch(text) and text.isascii():
            out[place] = float(text)
        else:
            wrong[place] = text
    return out, wrong


def open_table(source: Path | pd.DataFrame, where: str | None = None) -> Table:
    """Open a table by the suffix of its file.

    Parameters
    ----------
    source : Path or pandas.DataFrame
        .csv, .tsv, .txt (tab), each also .gz; .parquet; .h5ad; or a frame.
    where : str, optional
        For messages; by default the path.

    Returns
    -------
    Table
        Names are read, cells are not.

    Raises
    ------
    ProfileError
        If it cannot be read.
    """
    from crossres_ml.predict import delimited, stored

    if isinstance(source, pd.DataFrame):
        return stored.FrameTable(source, where or "the frame")
    where = where or str(source)
    try:
        if delimited.separator(source) is not None:
            return delimited.TextTable(source, where)
        if source.suffix == ".parquet":
            return stored.ParquetTable(source, where)
        if source.suffix == ".h5ad":
            from crossres_ml.predict.annotated import AnnotatedTable

            return AnnotatedTable(source, where)
        raise ValueError(f"suffix {source.suffix!r} is not .csv, .tsv, .txt (also .gz), .parquet or .h5ad")
    except ProfileError:
        raise
    except (OSError, ValueError, EOFError, pa.ArrowException) as e:
        raise ProfileError(
            f"cannot be read: {e}", where=where, do="check the path, the suffix and the file"
        ) from e
