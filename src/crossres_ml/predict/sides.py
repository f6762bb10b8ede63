"""Which side of a table holds the samples; from there on both kinds of table look the same."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.names import Recognised, recognise
from crossres_ml.predict.tables import HEAD, ID, LINEAGE, Positions, Table

ORIENTATIONS = ("auto", "samples", "genes")
CLEARLY = 10  # times as many names on one side as on the other
STEP = 1024  # samples given at a time when they stand in columns
# what programs write beside genes: neither genes nor samples
_ANNOTATION = frozenset(
    [
        "chr",
        "chrom",
        "chromosome",
        "start",
        "end",
        "strand",
        "length",
        "gene_length",
        "entrez",
        "entrez_id",
        "entrez_gene_id",
        "entrezid",
        "gene_id",
        "gene_name",
        "gene_type",
        "gene_biotype",
        "biotype",
        "symbol",
        "hgnc_symbol",
        "hugo_symbol",
        "description",
        "name",
    ]
)
_SUMMARY = re.compile(r"__\w+|N_(unmapped|multimapping|noFeature|ambiguous)")
_QUANTUM = 2**20
_HIGHEST_COUNT = 1e10

Convert = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]


class Side(ABC):
    """A table seen from its samples.

    Attributes
    ----------
    table : Table
        The table.
    ids : pandas.Series
        Ids as they stand, text.
    names : list of str
        Names on the other side.
    lineage : pandas.Series or None
        Text, one a sample.
    dropped : list of str
        Columns that are neither.
    """

    table: Table
    ids: pd.Series
    names: list[str]
    lineage: pd.Series | None
    dropped: list[str]

    @abstractmethod
    def head(self, positions: Positions) -> np.ndarray:
        """Numbers of the first samples: samples x positions."""

    @abstractmethod
    def sums(self, first: bool) -> tuple[np.ndarray, int]:
        """Sum over all genes, int64 in units of 2**-20, so that no order of adding matters; their number."""

    @abstractmethod
    def blocks(self, positions: Positions, convert: Convert) -> Iterator[tuple[slice, np.ndarray]]:
        """Read samples in order, float32, samples x positions, by ``convert(values, which, samples)``."""

    def _genes(self) -> list[int]:
        return [
            i for i, n in enumerate(self.names)
            if n and ":" not in n and n not in (LINEAGE, ID) and n.casefold() not in _ANNOTATION
            and not _SUMMARY.fullmatch(n)
        ]  # fmt: skip


class RowSamples(Side):
    """Samples in rows: read by chunks."""

    def __init__(self, table: Table) -> None:
        self.table, self.ids, self.names = table, table.left, [t.strip() for t in table.top]
        self.lineage = None if table.transposed else table.lineage
        self.dropped = []

    def head(self, positions: Positions) -> np.ndarray:
        """Numbers of the first samples."""
        return self.table.head(positions)

    def sums(self, first: bool) -> tuple[np.ndarray, int]:
        """Sum over all genes, by groups of columns where the file is stored by column."""
        genes = np.array(self._genes(), dtype=int)
        step = self.table.group or max(len(genes), 1)
        size = min(HEAD, len(self.ids)) if first else len(self.ids)
        total, used = np.zeros(size, dtype=np.int64), 0
        for start in range(0, len(genes), step):
            part = genes[start : start + step]
            part = part[~self.table.words(part)]
            used += len(part)
            if not len(part):
                continue
            blocks = [(np.arange(size), self.table.head(part))] if first else self.table.cells(part)
            for rows, values in blocks:
                total[rows] += _whole(values, self.table.where).sum(axis=1)
        return total, used

    def blocks(self, positions: Positions, convert: Convert) -> Iterator[tuple[slice, np.ndarray]]:
        """Read samples in order."""
        which = np.arange(len(positions))
        for rows, values in self.table.cells(positions):
            samples = slice(int(rows[0]), int(rows[-1]) + 1)
            yield samples, convert(values, which, samples)


class ColumnSamples(Side):
    """Samples in columns: wanted genes of all samples are held, as float32."""

    def __init__(self, table: Table) -> None:
        self.table, self.names = table, [n.strip() for n in table.left.fillna("")]
        positions = np.arange(len(table.top))
        named = np.array([t.strip().casefold() in _ANNOTATION for t in table.top], dtype=bool)
        out = named | (np.zeros(len(positions), dtype=bool) if table.transposed else table.words(positions))
        self.dropped = [table.top[i] for i in positions[out]]
        self._samples = positions[~out]
        if not len(self._samples):
            raise ProfileError(
                f"has no sample: no numbers in columns {preview(table.top)}", where=table.where,
                do="give genes in rows and samples in columns",
            )  # fmt: skip
        self.ids = pd.Series(pd.array([table.top[i].strip() or None for i in self._samples], dtype="str"))
        self.lineage = table.lineage if table.transposed else self._row_of_lineage()

    def _row_of_lineage(self) -> pd.Series | None:
        if LINEAGE not in self.names:
            return None
        return pd.Series(
            pd.array(self.table.row_texts(self.names.index(LINEAGE), self._samples), dtype="str")
        )

    def _keep(self, rows: Positions) -> np.ndarray:
        keep = np.zeros(len(self.names), dtype=bool)
        keep[list(rows)] = True
        return keep

    def head(self, positions: Positions) -> np.ndarray:
        """Numbers of the first samples."""
        samples = self._samples[:HEAD]
        out = np.full((len(self.names), len(samples)), np.nan)
        for rows, values in self.table.cells(samples, self._keep(positions)):
            out[rows] = values
        return np.ascontiguousarray(out[list(positions)].T)

    def sums(self, first: bool) -> tuple[np.ndarray, int]:
        """Sum over all genes."""
        genes = self._genes()
        samples = self._samples[:HEAD] if first else self._samples
        total = np.zeros(len(samples), dtype=np.int64)
        for _, values in self.table.cells(samples, self._keep(genes)):
            total += _whole(values, self.table.where).sum(axis=0)
        return total, len(genes)

    def blocks(self, positions: Positions, convert: Convert) -> Iterator[tuple[slice, np.ndarray]]:
        """Read samples in order."""
        slot = np.full(len(self.names), -1)
        slot[list(positions)] = np.arange(len(positions))
        held = np.full((len(positions), len(self.ids)), np.nan, dtype=np.float32)
        everyone = slice(0, len(self.ids))
        for rows, values in self.table.cells(self._samples, slot >= 0):
            held[slot[rows]] = convert(np.ascontiguousarray(values.T), slot[rows], everyone).T
        for start in range(0, len(self.ids), STEP):
            samples = slice(start, min(start + STEP, len(self.ids)))
            yield samples, np.ascontiguousarray(held[:, samples].T)


def _whole(values: np.ndarray, where: str) -> np.ndarray:
    known = np.nan_to_num(values, nan=0.0)
    if known.size and (known.min() < 0 or known.max() > _HIGHEST_COUNT):
        worst = known.min() if known.min() < 0 else known.max()
        raise ProfileError(
            f"{worst:g} is no count and no TPM, and the sums over all genes need every one", where=where,
            do="keep genes, samples and counts; drop other columns",
        )  # fmt: skip
    return np.asarray(np.rint(known * _QUANTUM), dtype=np.int64)


def as_sums(total: np.ndarray) -> np.ndarray:
    """Turn sums into numbers."""
    return np.asarray(total / _QUANTUM)


def choose_side(
    table: Table, features: pd.DataFrame, names: pd.DataFrame | None, orientation: str, *, block: str = "rna"
) -> tuple[Side, Recognised, str]:
    """Find the side on which the samples stand.

    Parameters
    ----------
    table : Table
        Opened.
    features : pandas.DataFrame
        Index ``block:name``.
    names : pandas.DataFrame or None
        Other names of genes.
    orientation : {"auto", "samples", "genes"}
        What stands in the rows; ``auto`` asks which side has names of the model.
    block : str, default "rna"
        Block of a bare gene name.

    Returns
    -------
    side : Side
        The table, seen from its samples.
    found : Recognised
        What its names mean.
    because : str
        Both counts.

    Raises
    ------
    ProfileError
        If both sides, or none, have names of the model.
    """
    if orientation not in ORIENTATIONS:
        raise ProfileError(f"orientation {orientation!r}", do=f"choose one of {preview(ORIENTATIONS)}")
    left = list(table.left.fillna(""))
    by_top, by_left = (recognise(n, features, names, block=block) for n in (table.top, left))
    top, side = len(by_top.columns), len(by_left.columns)
    if table.transposed:
        because = f"{side} names of columns and {top} names of rows are features of the model"
    else:
        because = f"{top} names of columns and {side} names of rows are features of the model"
    if orientation == "auto":
        if top and side and max(top, side) < CLEARLY * min(top, side):
            raise ProfileError(
                f"it is not clear which side holds the samples: {because}", where=table.where,
                do="say --orientation samples (samples in rows) or --orientation genes (genes in rows)",
            )  # fmt: skip
        in_columns = side > top
        because = f"recognised: {because}"
    else:
        in_columns = (orientation == "genes") != table.transposed
        because = f"as told; {because}"
    found = by_left if in_columns else by_top
    if not found.columns:
        raise _none_found(table, features, because)
    return (ColumnSamples(table) if in_columns else RowSamples(table)), found, because


def _none_found(table: Table, features: pd.DataFrame, because: str) -> ProfileError:
    return ProfileError(
        f"has none of the {len(features)} features of the model: {because}; columns: {preview(table.top, 5)}"
        f"; rows: {preview(table.left.dropna().iloc[:5], 5)}",
        where=table.where,
        do="name columns as gene symbols, SYMBOL (ENTREZ), Ensembl or Entrez ids, or block:name, e.g. "
        f"{preview(features.index, 4)}",
    )


def check_ids(side: Side, found: Recognised, features: pd.DataFrame) -> pd.Index:
    """Take the ids of the samples, or refuse them.

    Parameters
    ----------
    side : Side
        The table.
    found : Recognised
        What its names mean.
    features : pandas.DataFrame
        Index ``block:name``.

    Returns
    -------
    pandas.Index
        Named ``model_id``, each id once.

    Raises
    ------
    ProfileError
        If there is no column of ids, or ids are missing or doubled.
    """
    table, ids = side.table, side.ids
    where, known = table.where, ids.dropna()
    rows = isinstance(side, RowSamples)
    if rows and table.corner != ID and _measured(table.corner, known, features):
        raise ProfileError(
            f"has no sample ids: no column {ID!r}, and the first column {table.corner!r} holds measurements",
            where=where, do=f"put the ids in the first column or in one called {ID}",
        )  # fmt: skip
    problems = []
    if n := int(ids.isna().sum()):
        problems.append(f"{n} samples without an id")
    if known.duplicated().any():
        problems.append(f"ids given more than once: {preview(known[known.duplicated()].unique())}")
    if problems:
        side_name = f"column {table.corner}" if rows else "header"
        raise ProfileError("; ".join(problems), where=f"{where}, {side_name}", do="give each sample one id")
    return pd.Index(pd.array(ids.to_numpy(dtype=object), dtype="str"), name=ID)


def _measured(corner: str, ids: pd.Series, features: pd.DataFrame) -> bool:
    """Whether the first column is no column of ids: named as a feature, or of numbers that do not count."""
    if recognise([corner], features, None).columns:
        return True
    numbers = pd.to_numeric(ids, errors="coerce")
    counting = bool((numbers % 1 == 0).all()) and not numbers.duplicated().any()
    return bool(len(ids)) and bool(numbers.notna().all()) and not counting
