"""A small reader of R's XDR serialisation (.rda, .RData, .rds).

Why not a library: ``rdata`` reads the same files correctly but needs minutes for tables that
are mostly strings (it makes an object for every string), and stops at old S4 objects. Tests
compare this reader with ``rdata`` on every file that ``rdata`` can read.

The format is described in "R Internals", section 1.8 (Serialization Formats).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import SourceError

_NA_INT = -(2**31)
_SYM, _LIST, _CLO, _ENV, _PROM, _LANG, _SPECIAL, _BUILTIN = 1, 2, 3, 4, 5, 6, 7, 8
_CHAR, _LGL, _INT, _REAL, _CPLX, _STR, _DOT, _VEC, _EXPR = 9, 10, 13, 14, 15, 16, 17, 19, 20
_EXTPTR, _RAW, _S4 = 22, 24, 25
_ALTREP, _ATTRLIST, _ATTRLANG, _NAMESPACE, _PACKAGE, _REF = 238, 239, 240, 249, 250, 255
_CONSTANTS = {254, 253, 251, 252, 242, 241}  # NULL, global env, missing arg, unbound, empty, base
_PAIRLISTS = {_LIST, _LANG, _CLO, _PROM, _DOT, _ATTRLIST, _ATTRLANG}
_LONGEST_BLOCK = 8192  # bytes of strings that are looked at for a repeat
_LONGEST_SEQUENCE = 1 << 26  # values of a sequence that is stored as its first, step and length
_OPENERS = {b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress, b"\xfd7": lzma.decompress}


@dataclass(slots=True, eq=False)
class RObject:
    """One R value with its attributes.

    Attributes
    ----------
    value : Any
        numpy array (logical and integer with missing values as float), list of `RObject` for a
        generic vector, dict for a pairlist or environment, str for a symbol, None for NULL.
    attributes : dict of str to RObject
        R attributes, such as ``names``, ``dim``, ``levels``, or the slots of an S4 object.
    """

    value: Any
    attributes: dict[str, RObject] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The ``names`` attribute as a list (empty when there is none)."""
        found = self.attributes.get("names")
        return [] if found is None or found.value is None else list(found.value)

    def __getitem__(self, name: str) -> RObject:
        """Item of a named list, pairlist, environment, or slot of an S4 object."""
        if isinstance(self.value, dict):
            return self.value[name]  # type: ignore[no-any-return]
        if name in self.attributes and name not in self.names:
            return self.attributes[name]
        return self.value[self.names.index(name)]  # type: ignore[no-any-return]


class _Parser:
    """Recursive descent over one decompressed buffer."""

    def __init__(self, data: bytes) -> None:
        self.data, self.pos = data, 0
        self.refs: list[RObject] = []
        self.strings: dict[bytes, str] = {}

    def integer(self) -> int:
        (out,) = struct.unpack_from(">i", self.data, self.pos)
        self.pos += 4
        return int(out)

    def length(self, item: int) -> int:
        """Read a vector's length; the rest of the file must hold so many items of ``item`` bytes."""
        n = self.integer()
        if n < 0 or self.pos + n * item > len(self.data):
            raise ValueError(f"vector of length {n} with {len(self.data) - self.pos} bytes left")
        return n

    def take(self, n: int) -> bytes:
        """Read ``n`` bytes."""
        if n < 0 or self.pos + n > len(self.data):
            raise ValueError(f"{n} bytes wanted, {len(self.data) - self.pos} left")
        self.pos += n
        return self.data[self.pos - n : self.pos]

    def array(self, dtype: str) -> np.ndarray:
        kind = np.dtype(dtype)
        n = self.length(kind.itemsize)
        out = np.frombuffer(self.data, kind, n, self.pos).astype(kind.newbyteorder("="))
        self.pos += n * kind.itemsize
        return out

    def nullable(self) -> np.ndarray:
        ints = self.array(">i4")
        missing = ints == _NA_INT
        return np.where(missing, np.nan, ints) if missing.any() else ints

    def char(self) -> str | None:
        self.integer()
        n = self.integer()
        return None if n == -1 else self.text(self.take(n))

    def text(self, raw: bytes) -> str:
        known = self.strings.get(raw)
        if known is None:
            try:
                known = raw.decode("utf-8")
            except UnicodeDecodeError:
                known = raw.decode("latin-1")
            self.strings[raw] = known
        return known

    def string_vector(self) -> np.ndarray:
        """Read a STRSXP; a block of strings that repeats (long tables) is decoded once."""
        n = self.length(8)  # each string has at least its type and its length
        out = np.empty(n, dtype=object)
        data, pos, unpack = self.data, self.pos, struct.Struct(">ii").unpack_from
        start, first, i0, i = pos, b"", 0, 0
        while i < n:
            if first and data.startswith(first, pos) and data.startswith(data[start:pos], pos):
                size, period, done = pos - start, i - i0, i
                while i + period <= n and data.startswith(data[start : start + size], pos):
                    i, pos = i + period, pos + size
                    if period * 2 <= i - i0 and pos - start < 1 << 16:
                        size, period = pos - start, i - i0
                out[done:i] = np.resize(out[i0:done], i - done)
                first = b""
                continue
            flags, length = unpack(data, pos)
            end = pos + 8 + max(length, 0)
            if flags & 0xFF != _CHAR or length < -1 or end > len(data):
                raise ValueError(f"no string at byte {pos}")
            if not first or pos - start > _LONGEST_BLOCK:
                start, first, i0 = pos, data[pos:end], i
            out[i] = None if length == -1 else self.text(data[pos + 8 : end])
            i, pos = i + 1, end
        self.pos = pos
        return out

    def pairlist(self, flags: int) -> RObject:
        """Read a chain of CONS cells without recursing along it."""
        attributes: dict[str, RObject] = {}
        items: dict[str, RObject] = {}
        while True:
            kind = flags & 0xFF
            if kind not in _PAIRLISTS:
                if kind not in _CONSTANTS:
                    items[f"[[{len(items) + 1}]]"] = self.object(flags)
                break
            if flags & 0x200 or kind in (_ATTRLIST, _ATTRLANG):
                attributes.update(self.attributes())
            tag = self.object() if flags & 0x400 else None
            name = tag.value if tag is not None and isinstance(tag.value, str) else ""
            items[name or f"[[{len(items) + 1}]]"] = self.object()
            flags = self.integer()
        return RObject(items, attributes)

    def attributes(self) -> dict[str, RObject]:
        found = self.object().value
        return found if isinstance(found, dict) else {}

    def reference(self, made: RObject) -> RObject:
        self.refs.append(made)
        return made

    def environment(self) -> RObject:
        out = self.reference(RObject({}))
        self.integer()
        self.object()  # enclosure
        frame, table, attributes = self.object(), self.object(), self.object()
        if isinstance(frame.value, dict):
            out.value.update(frame.value)
        for chain in table.value or []:
            if isinstance(chain.value, dict):
                out.value.update(chain.value)
        if isinstance(attributes.value, dict):
            out.attributes.update(attributes.value)
        return out

    def altrep(self) -> RObject:
        info, state, attributes = self.object(), self.object(), self.object()
        kind = next(iter(info.value.values())).value
        if kind in ("compact_intseq", "compact_realseq"):
            n, start, step = state.value
            if not 0 <= n <= _LONGEST_SEQUENCE:
                raise ValueError(f"sequence of length {n}")
            made = RObject(start + step * np.arange(int(n)))
            if kind == "compact_intseq":
                made.value = made.value.astype(np.int32)
        elif kind.startswith("wrap_"):
            parts = state.value
            made = next(iter(parts.values())) if isinstance(parts, dict) else parts[0]
        else:
            raise ValueError(f"ALTREP class {kind!r}")
        if isinstance(attributes.value, dict):
            made = RObject(made.value, dict(attributes.value))
        return made

    def special(self, kind: int, flags: int) -> RObject | None:
        """Types that are not plain vectors; None when the type is one."""
        if kind in _CONSTANTS:
            return RObject(None)
        if kind == _REF:
            index = flags >> 8 or self.integer()
            if not 1 <= index <= len(self.refs):
                raise ValueError(f"reference {index} of {len(self.refs)}")
            return self.refs[index - 1]
        if kind == _SYM:
            return self.reference(RObject(self.object().value))
        if kind in (_NAMESPACE, _PACKAGE):
            self.integer()
            return self.reference(RObject(self.string_vector()))
        if kind == _ENV:
            return self.environment()
        if kind == _EXTPTR:
            out = self.reference(RObject(None))
            self.object(), self.object()
            out.attributes.update(self.attributes() if flags & 0x200 else {})
            return out
        if kind == _ALTREP:
            return self.altrep()
        if kind in _PAIRLISTS:
            return self.pairlist(flags)
        if kind in (_SPECIAL, _BUILTIN):
            return RObject(self.take(self.integer()).decode("ascii"))
        return None

    def object(self, flags: int | None = None) -> RObject:
        flags = self.integer() if flags is None else flags
        kind = flags & 0xFF
        if (found := self.special(kind, flags)) is not None:
            return found
        if kind == _CHAR:
            self.pos -= 4
            return RObject(self.char())
        value: Any
        if kind in (_LGL, _INT):
            value = self.nullable()
        elif kind in (_REAL, _CPLX):
            value = self.array(">f8" if kind == _REAL else ">c16")
        elif kind == _STR:
            value = self.string_vector()
        elif kind in (_VEC, _EXPR):
            value = [self.object() for _ in range(self.length(4))]
        elif kind == _RAW:
            value = self.array("u1")
        elif kind == _S4:
            value = None
        else:
            raise ValueError(f"object type {kind}")
        return RObject(value, self.attributes() if flags & 0x200 else {})


def read_r(path: Path) -> RObject:
    """Read an R data file.

    Parameters
    ----------
    path : Path
        A .rda/.RData (XDR, version 2 or 3) or .rds file, plain or compressed with gzip, bzip2, xz.

    Returns
    -------
    RObject
        For .rda/.RData a dict of the saved names; for .rds the object itself.

    Raises
    ------
    SourceError
        If the file is not R data in this format, is truncated, or has bytes left over.
    """
    raw = path.read_bytes()
    try:
        data = _OPENERS.get(raw[:2], lambda x: x)(raw)
        parser = _Parser(data)
        if data[:5] in (b"RDX2\n", b"RDX3\n"):
            parser.pos = 5
        if data[parser.pos : parser.pos + 2] != b"X\n":
            raise ValueError(f"no XDR header, first bytes {data[:8]!r}")
        parser.pos += 2
        version = parser.integer()
        parser.pos += 8
        if version == 3:  # the native encoding's name
            parser.take(parser.integer())
        elif version != 2:
            raise ValueError(f"serialisation version {version}")
        out = parser.object()
        if parser.pos != len(data):
            raise ValueError(f"{len(data) - parser.pos} bytes left over")
    except Exception as e:  # damaged bytes can say anything: wrong types, endless nesting, huge lengths
        raise SourceError(
            f"cannot be read as R data: {type(e).__name__}: {e}",
            where=str(path),
            do="delete the file and fetch it again: crossres data fetch",
        ) from e
    return out


def _column(obj: RObject) -> Any:
    levels = obj.attributes.get("levels")
    if levels is None:
        return obj.value
    codes = np.nan_to_num(np.asarray(obj.value, dtype=float), nan=0).astype(int)
    return np.append(np.asarray([None], dtype=object), levels.value)[codes]


def to_frame(obj: RObject) -> pd.DataFrame:
    """Turn an R data frame or named matrix into a pandas table.

    Parameters
    ----------
    obj : RObject
        A data.frame/tibble, or a matrix with dimnames.

    Returns
    -------
    pandas.DataFrame
        Row names become the index where R has them as text; factors become their labels.

    Raises
    ------
    SourceError
        If the object is neither.
    """
    if "dim" in obj.attributes:
        shape = tuple(int(n) for n in obj.attributes["dim"].value)
        names = obj.attributes["dimnames"].value if "dimnames" in obj.attributes else [None, None]
        index, columns = (None if n is None else n.value for n in names)
        return pd.DataFrame(np.reshape(obj.value, shape, order="F"), index=index, columns=columns)
    if not obj.names or not isinstance(obj.value, list):
        raise SourceError(f"R object is not a table (has attributes {sorted(obj.attributes)})")
    rows = obj.attributes.get("row.names")
    # R keeps automatic row numbers as c(NA, -n): only text is a real name
    index = rows.value if rows is not None and np.asarray(rows.value).dtype == object else None
    columns = {n: _column(c) for n, c in zip(obj.names, obj.value, strict=True)}
    return pd.DataFrame(columns, index=index)
