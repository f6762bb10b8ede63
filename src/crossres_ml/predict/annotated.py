"""AnnData files: observations x variables, dense or sparse, never read whole unless stored gene by gene."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.tables import LINEAGE, MISSING, Positions, Table

_CELLS = 2_000_000


class AnnotatedTable(Table):
    """``X`` of an .h5ad file with the names of ``obs`` and ``var``.

    Parameters
    ----------
    path : Path
        The file.
    where : str
        For messages.
    """

    format = "h5ad"

    def __init__(self, path: Path, where: str) -> None:
        super().__init__()
        self.path, self.where = path, where
        try:
            with h5py.File(path, "r") as file:
                self._read_names(file)
        except (KeyError, TypeError, AttributeError, RuntimeError) as e:
            raise self._error(f"cannot be read: no AnnData file of a known form: {e}") from e

    def _error(self, what: str) -> ProfileError:
        return ProfileError(what, where=self.where, do="write it again with anndata 0.8 or later")

    def _read_names(self, file: h5py.File) -> None:
        obs, var = (self._names(file[k]) for k in ("obs", "var"))
        X = file["X"]
        kind = X.attrs.get("encoding-type", "array") if isinstance(X, h5py.Group) else "array"
        if kind not in ("array", "csr_matrix", "csc_matrix"):
            raise self._error(f"cannot be read: X is stored as {kind!r}")
        shape = tuple(int(n) for n in (X.attrs["shape"] if isinstance(X, h5py.Group) else X.shape))
        if shape != (len(obs), len(var)):
            raise self._error(f"cannot be read: X is {shape}, its names are {(len(obs), len(var))}")
        if 0 in shape:
            raise self._error(f"has {shape[0]} samples and {shape[1]} columns")
        self._check_type((X["data"] if isinstance(X, h5py.Group) else X).dtype)
        # a matrix that is compressed by column is, row by row, its own transpose
        self.transposed = kind == "csc_matrix"
        self._sparse = kind != "array"
        left, top = (var, obs) if self.transposed else (obs, var)
        self.left, self.top, self.corner = left, [str(t) for t in top], "index"
        if LINEAGE in file["obs"]:
            from anndata.io import read_elem

            self.lineage = _clean(pd.Series(np.asarray(read_elem(file["obs"][LINEAGE]), dtype=object)))
        if other := sorted(k for k in ("raw", "layers") if k in file and len(file[k])):
            self.notes.append(f"X was read; {preview(other)} was not")

    def _check_type(self, dtype: np.dtype[Any]) -> None:
        if dtype.kind not in "fiub":
            raise self._error(f"X holds {dtype}, not real numbers")
        self._truth = dtype.kind == "b"

    @staticmethod
    def _names(group: h5py.Group) -> pd.Series:
        from anndata.io import read_elem

        names = np.asarray(read_elem(group[group.attrs["_index"]]), dtype=object)
        return _clean(pd.Series(names))

    def is_truth(self, position: int) -> bool:
        """Whether X holds true and false."""
        return self._truth

    def arrays(self, positions: Positions) -> Iterator[list[pa.Array]]:
        """Give columns of X in batches of whole rows."""
        chosen = np.asarray(positions, dtype=int)
        step = max(1, _CELLS // max(len(self.top), 1))
        try:
            with h5py.File(self.path, "r") as file:
                for start in range(0, len(self.left), step):
                    rows = slice(start, min(start + step, len(self.left)))
                    block = self._dense(file["X"], rows)[:, chosen].astype(float)
                    yield [pa.array(c) for c in block.T] or [pa.nulls(rows.stop - rows.start)]
        except (OSError, KeyError, RuntimeError, ValueError, IndexError) as e:
            raise self._error(f"cannot be read: {e}") from e

    def _dense(self, X: Any, rows: slice) -> np.ndarray:
        if not self._sparse:
            return np.asarray(X[rows])
        from scipy import sparse

        pointers = X["indptr"][rows.start : rows.stop + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        shape = (rows.stop - rows.start, len(self.top))
        parts = (X["data"][part], X["indices"][part], pointers - pointers[0])
        matrix = sparse.csr_matrix(parts, shape=shape)
        matrix.check_format()
        return np.asarray(matrix.toarray())


def _clean(values: pd.Series) -> pd.Series:
    out = values.map(lambda v: v.decode() if isinstance(v, bytes) else v).astype("str").str.strip()
    return out.mask(out.isin(MISSING))
