"""Text tables: strict about their shape, for a row that slips by one column is a row of wrong numbers."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv

from crossres_ml.errors import ProfileError
from crossres_ml.predict.tables import ID, LINEAGE, MISSING, Positions, Table

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".maf": "\t"}
_WORDS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "blank"}
_BLOCK = 2 << 20  # of text, which takes some fifty times that in memory while it is parsed
_BYTES_A_CELL = 64  # a row must fit in a block
_ENCODINGS = ("utf-8", "cp1252")
_SLIPPED = re.compile(
    r"(Row #(?P<row>\d+): )?Expected (?P<expected>\d+) columns, got (?P<got>\d+)(?P<text>.*)"
)
_WINDOWS = "is not UTF-8; read as Windows-1252"


def separator(path: Path) -> str | None:
    """Separator that the suffix of a text file stands for, ``.gz`` aside; None for other files."""
    name = path.name.removesuffix(".gz")
    return _SEPARATORS.get(Path(name).suffix)


class TextTable(Table):
    """A delimited file; every pass reads it from the start.

    Parameters
    ----------
    path : Path
        With a suffix that `separator` knows.
    where : str
        For messages.
    """

    def __init__(self, path: Path, where: str) -> None:
        super().__init__()
        self.path, self.where = path, where
        self.format = path.name.removeprefix(path.name.split(".")[0]).lstrip(".") or path.suffix.lstrip(".")
        self.separator = separator(path) or ","
        self._skip, header = self._read_header()
        self._width = len(header)
        self._id = header.index(ID) if ID in header else 0
        self.corner = header[self._id]
        self._columns = [i for i in range(self._width) if i != self._id]
        self.top = [header[i] for i in self._columns]
        self._read_left(header)

    def _stream(self) -> IO[bytes]:
        if self.path.suffix == ".gz":
            return gzip.open(self.path)  # type: ignore[return-value]
        return self.path.open("rb")

    def _read_header(self) -> tuple[int, list[str]]:
        """Bytes before the first row, and the names in the header."""
        with self._stream() as f:
            comments, line, following = _first_lines(f, self.where)
        if line.startswith(codecs.BOM_UTF8):
            line = line[len(codecs.BOM_UTF8) :]
            comments += len(codecs.BOM_UTF8)
        skip = comments + len(line)
        text = self._decode(line)
        if "\x00" in text:
            raise self._error("is no text, or text in UTF-16", "save as UTF-8 text")
        body = text.rstrip("\r\n")
        if "\r" in body:
            raise self._error(
                "ends its lines with carriage returns alone", "save with line feeds (Unix or Windows)"
            )
        header = [c.strip() for c in _split(body, self.separator, self.where)]
        if len(header) < 2:
            raise self._error(f"has 1 column: {body[:60]!r}", self._other_separator(body))
        if not following:
            raise self._error("has 0 samples: a header and nothing else", "give rows below the header")
        return skip, header

    def _decode(self, raw: bytes) -> str:
        self._encoding = _ENCODINGS[0]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._use_windows()
            return raw.decode("cp1252", errors="replace")

    def _use_windows(self) -> None:
        self._encoding = _ENCODINGS[1]
        self.notes.append(_WINDOWS)

    def _error(self, what: str, do: str) -> ProfileError:
        return ProfileError(what, where=self.where, do=do)

    def _other_separator(self, line: str) -> str:
        counts = {s: len(line.split(s)) for s in _WORDS if s != self.separator}
        best = max(counts, key=lambda s: counts[s])
        if counts[best] < 2:
            return f"give an id column, then features, separated by a {_WORDS[self.separator]}"
        suffix = {",": "name it .csv", "\t": "name it .tsv"}.get(best, "save it with commas or tabs")
        return (
            f"it was split at the {_WORDS[self.separator]}; a {_WORDS[best]} would give "
            f"{counts[best]} columns: {suffix}"
        )

    def _read_left(self, header: list[str]) -> None:
        wanted = {"left": self._id}
        if LINEAGE in header and header.index(LINEAGE) != self._id:
            wanted["lineage"] = header.index(LINEAGE)
        parts = []
        try:
            parts = [pa.Table.from_batches([b]) for b in self._batches(list(wanted.values()))]
        except pa.ArrowInvalid as e:
            if "UTF8" not in str(e) or self._encoding != _ENCODINGS[0]:
                raise
            self._use_windows()
            parts = [pa.Table.from_batches([b]) for b in self._batches(list(wanted.values()))]
        table = pa.concat_tables(parts).rename_columns(list(wanted)).to_pandas()
        text = {c: table[c].astype("str").str.strip() for c in table}
        self.left = text["left"].mask(text["left"].isin(MISSING))
        if "lineage" in text:
            self.lineage = text["lineage"].mask(text["lineage"].isin(MISSING))
        self._check_lines()

    def _check_lines(self) -> None:
        """As many lines as rows: an open quotation mark would swallow the rows that follow it."""
        with self._stream() as f, io.TextIOWrapper(f, encoding="latin-1", newline=None) as text:
            f.seek(self._skip)
            lines = sum(1 for line in text if line != "\n")
        if lines != len(self.left):
            raise self._error(
                f"has {lines} lines below the header but {len(self.left)} rows: a quotation mark "
                "is not closed, or a cell holds a line break",
                "close it, or save without line breaks in cells",
            )

    def _batches(self, columns: Sequence[int]) -> Iterator[pa.RecordBatch]:
        names = [str(i) for i in range(self._width)]
        chosen = [str(i) for i in columns]
        block = max(_BLOCK, _BYTES_A_CELL * self._width)
        try:
            with self._stream() as f:
                f.seek(self._skip)
                yield from pa_csv.open_csv(
                    f,
                    read_options=pa_csv.ReadOptions(
                        use_threads=False, block_size=block, column_names=names, encoding=self._encoding
                    ),
                    parse_options=pa_csv.ParseOptions(delimiter=self.separator, newlines_in_values=False),
                    convert_options=pa_csv.ConvertOptions(
                        include_columns=chosen, column_types=dict.fromkeys(chosen, pa.string())
                    ),
                )
        except (EOFError, gzip.BadGzipFile, zlib.error) as e:
            raise self._error(f"cannot be read: cut off or damaged: {e}", "copy the file again") from e
        except pa.ArrowInvalid as e:
            # a handler of such rows cannot be given bytes that are no UTF-8, so the message is read
            if slip := _SLIPPED.search(str(e)):
                raise self._slipped(slip) from e
            raise

    def _slipped(self, row: re.Match[str]) -> ProfileError:
        number = f"row {row['row']} below the header: " if row["row"] else ""
        counts = f"{row['got']} cells under {row['expected']} columns: {row['text'][2:60]!r}"
        if int(row["got"]) > int(row["expected"]):
            return self._error(
                f"{number}more cells than the header has columns: {counts}",
                "name every column (R: write.table(..., col.names = NA)), end no row with a separator, and "
                "quote cells that hold one",
            )
        return self._error(
            f"{number}fewer cells than the header: {counts}", "copy the file again, or fill the row"
        )

    def arrays(self, positions: Positions) -> Iterator[list[pa.Array]]:
        """Give columns as text, in batches."""
        # one column at least must be parsed for the number of rows to be known
        columns = [self._columns[p] for p in positions]
        try:
            for batch in self._batches(columns or [self._id]):
                if batch.num_rows:
                    yield batch.columns
        except (pa.ArrowException, ValueError, OSError) as e:
            raise self._error(f"cannot be read: {e}", "save as UTF-8 text with commas or tabs") from e


def _first_lines(f: IO[bytes], where: str) -> tuple[int, bytes, bool]:
    """Bytes of blank lines and comments before the header, the header, and whether anything follows."""
    before = 0
    line = f.readline()
    if line[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise ProfileError("is text in UTF-16", where=where, do="save as UTF-8 text")
    while line and (not line.strip() or line.startswith(b"#")):
        before += len(line)
        line = f.readline()
    if not line:
        raise ProfileError("cannot be read: it is empty", where=where, do="give a header and rows")
    return before, line, any(rest.strip() for rest in f)


def _split(line: str, separator: str, where: str) -> list[str]:
    limit = csv.field_size_limit(len(line) + 1)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as e:
        raise ProfileError(
            f"the header cannot be read: {e}", where=where, do="close the quotation marks in the header"
        ) from e
    finally:
        csv.field_size_limit(limit)
