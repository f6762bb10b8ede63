"""New profiles: opened, told what they are, and given by chunks in the model's units; then aligned."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.models.bundle import Bundle
from crossres_ml.predict.mutations import Mutations, read_mutations
from crossres_ml.predict.names import Recognised
from crossres_ml.predict.sides import RowSamples, Side, check_ids, choose_side
from crossres_ml.predict.tables import ID, LINEAGE, open_table
from crossres_ml.predict.units import LOG2_TPM, UNITS, bounds, check_types, find_unit, to_log2

__all__ = [
    "BLOCK",
    "ID",
    "LINEAGE",
    "Opened",
    "Profiles",
    "align",
    "check_units",
    "open_profiles",
    "read_profiles",
]
log = logging.getLogger(__name__)
BLOCK = 64
"""Samples scored at a time, always as many: products of another height may differ in the last bit."""
_LISTED = 1000  # ids of samples in the report; the count is always whole


@dataclass(frozen=True)
class Profiles:
    """New samples in the model's units, checked.

    Attributes
    ----------
    values : pandas.DataFrame
        Samples x features that were found, float32; columns ``block:name``.
    lineage : pandas.Series or None
        Text, when a column ``lineage`` was given.
    """

    values: pd.DataFrame
    lineage: pd.Series | None


@dataclass
class Opened:
    """A table of profiles of which names, orientation and unit are known, and cells are not yet read.

    Attributes
    ----------
    ids : pandas.Index
        Samples in input order.
    columns : pandas.Index
        Features that were found, in the order of the features given.
    report : dict
        JSON-ready: format, orientation, unit, kinds of names, and all that was left out or doubled.
        ``samples_without_values`` is filled while chunks are read.
    where : str
        Name of the table, for messages.
    """

    ids: pd.Index
    columns: pd.Index
    report: dict[str, Any]
    where: str
    _side: Side = field(repr=False)
    _found: Recognised = field(repr=False)
    _features: pd.DataFrame = field(repr=False)
    _unit: str = field(repr=False)
    _sums: np.ndarray | None = field(repr=False)
    _mutations: Mutations | None = field(repr=False)
    _whole: list[Profiles] = field(default_factory=list, repr=False)

    def chunks(self, size: int) -> Iterator[Profiles]:
        """Read the samples.

        Parameters
        ----------
        size : int
            Samples a chunk; no value depends on it.

        Yields
        ------
        Profiles
            In input order; the last may be shorter.

        Raises
        ------
        ProfileError
            If a value is no number, or impossible.
        """
        if size < 1:
            raise ProfileError(f"chunks of {size} samples", where=self.where, do="read at least 1 at a time")
        if len(self.ids) > size:
            yield from self._read(size)
            return
        # one chunk holds all: it is asked for more than once, and read once
        self._whole = self._whole or list(self._read(size))
        yield from self._whole

    def _read(self, size: int) -> Iterator[Profiles]:
        empty: dict[str, Any] = {"count": 0, "ids": []}
        self.report["samples_without_values"] = empty
        for start, values in _rebatch(self._blocks(), size):
            ids = self.ids[start : start + len(values)]
            out = pd.DataFrame(values, index=ids, columns=self.columns)
            without = ids[np.isnan(values).all(axis=1)]
            empty["count"] += len(without)
            empty["ids"].extend(without[: max(0, _LISTED - len(empty["ids"]))])
            lineage = self._side.lineage
            if lineage is not None:
                part = lineage.iloc[start : start + len(values)].to_numpy(dtype=object)
                lineage = pd.Series(part, index=ids, name=LINEAGE, dtype="string")
            yield Profiles(out, lineage)

    def _blocks(self) -> Iterator[np.ndarray]:
        """Read samples x columns, float32, in the table's own batches."""
        found = self._found.columns
        positions = [p[0] for p in found.values()]
        twins = [(i, p) for i, places in enumerate(found.values()) for p in places[1:]]
        feature = np.array([*range(len(found)), *(i for i, _ in twins)])
        names = self._side.names
        asked = [*positions, *(p for _, p in twins)]
        every = list(found)
        kept = [every[i] for i in feature]
        labels = [
            f if names[p] in (f, f.split(":", 1)[1]) else f"{f} from {names[p]}"
            for f, p in zip(kept, asked, strict=True)
        ]
        table = self._features.loc[kept]
        limits, rna = bounds(table, self._unit), (table.unit == LOG2_TPM).to_numpy()

        def convert(values: np.ndarray, which: np.ndarray, samples: slice) -> np.ndarray:
            limits.check(values, which, labels, self.ids[samples], self.where)
            linear = rna[which]
            if self._unit != LOG2_TPM and linear.any():
                sums = None if self._sums is None else self._sums[samples]
                values[:, linear] = to_log2(values[:, linear], self._unit, sums)
            if (np.abs(values) > np.finfo(np.float32).max).any():
                raise ProfileError("values beyond 3.4e38", where=self.where, do="convert them")
            return values.astype(np.float32)

        given = [*found, *(self._mutations.features if self._mutations else [])]
        order = pd.Index(given).get_indexer(self.columns)
        for samples, values in self._side.blocks(asked, convert):
            for extra, (i, p) in enumerate(twins):
                self._compare(
                    values[:, i], values[:, len(found) + extra], (names[positions[i]], names[p]), samples
                )
            values = values[:, : len(found)]
            if self._mutations is not None:
                values = np.hstack([values, self._mutations.rows(self.ids[samples])])
            yield np.ascontiguousarray(values[:, order]) if self._mutations is not None else values

    def _compare(self, one: np.ndarray, other: np.ndarray, names: tuple[str, str], samples: slice) -> None:
        differ = np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))
        if len(differ):
            r = int(differ[0])
            raise ProfileError(
                f"features given more than once: {names[0]} and {names[1]} differ in {len(differ)} samples, "
                f"{one[r]:g} and {other[r]:g} in {self.ids[samples][r]}",
                where=self.where, do="keep one column each",
            )  # fmt: skip


def _rebatch(blocks: Iterator[np.ndarray], size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut blocks of any length into blocks of one length, with the number of their first row."""
    held: list[np.ndarray] = []
    have, start = 0, 0
    for block in blocks:
        held.append(block)
        have += len(block)
        if have < size:
            continue
        joined = held[0] if len(held) == 1 else np.concatenate(held)
        whole = have - have % size
        for at in range(0, whole, size):
            yield start + at, joined[at : at + size]
        start, have, held = start + whole, have - whole, [joined[whole:]]
    if have:
        yield start, np.concatenate(held)


def open_profiles(
    path: Path | pd.DataFrame,
    features: pd.DataFrame,
    names: pd.DataFrame | None = None,
    *,
    orientation: str = "auto",
    unit: str = "auto",
    mutations: Path | None = None,
) -> Opened:
    """Open a table of profiles and find out what it holds.

    Two columns for one gene: the current symbol wins over an Ensembl or Entrez id, and this over a
    previous symbol; equally good names are one column when all their values agree, and an error when not.

    Parameters
    ----------
    path : Path or pandas.DataFrame
        As `crossres_ml.predict.tables.open_table` takes it: samples x genes or genes x samples; ids in
        ``model_id``, or else in the first column (or the index).
    features : pandas.DataFrame
        Index ``block:name`` of all models together; block, unit, median, low, high.
    names : pandas.DataFrame, optional
        Other names of genes, as `crossres_ml.predict.names.gene_names` makes it.
    orientation : {"auto", "samples", "genes"}
        What stands in the rows.
    unit : {"auto", "log2_tpm", "tpm", "counts"}
        Unit of expression; turned into log2(TPM + 1).
    mutations : Path, optional
        A MAF, or a table of 0 and 1 with the same ids.

    Returns
    -------
    Opened
        Ready to be read by chunks.

    Raises
    ------
    ProfileError
        If it cannot be read, or leaves open what it is.
    """
    if unit not in UNITS:
        raise ProfileError(f"unit {unit!r}", do=f"choose one of {preview(UNITS)}")
    table = open_table(path)
    side, found, because = choose_side(table, features, names, orientation)
    ids = check_ids(side, found, features)
    check_types(side, found, features)
    in_rows = isinstance(side, RowSamples) != table.transposed
    report: dict[str, Any] = {
        "file": table.where,
        "format": table.format,
        "notes": table.notes,
        "orientation": "samples in rows" if in_rows else "genes in rows",
        "orientation_because": because,
        "samples": len(ids),
        "features_found": len(found.columns),
        "kinds_of_names": dict(found.kinds),
        "unmapped": {"count": len(found.unmapped), "names": found.unmapped},
        "ambiguous": found.ambiguous,
        "doubled": found.doubled,
        "turned_into_dates": found.dates,
        "columns_dropped": side.dropped,
        "lineage": side.lineage is not None,
        "warnings": [],
    }
    unit, sums = find_unit(side, found, features, unit, report)
    events = None if mutations is None else read_mutations(mutations, features, names, ids)
    columns = list(found.columns)
    if events is not None:
        if both := [f for f in events.features if f in found.columns]:
            raise ProfileError(
                f"{preview(both)}: in the profiles and in {mutations}", where=table.where, do="give them once"
            )
        columns += events.features
        report["mutations"] = {"file": str(mutations), **events.report}
        report["warnings"] += [events.report["warning"]] if "warning" in events.report else []
    ordered = features.index[features.index.isin(columns)].rename(None)
    _tell(report)
    return Opened(ids, ordered, report, table.where, side, found, features, unit, sums, events)


def _tell(report: dict[str, Any]) -> None:
    """Log what was recognised, and what was not."""
    log.info(
        "%s: %s (%s); expression: %s (%s)", report["file"], report["orientation"],
        report["orientation_because"], report["unit"], report["unit_because"],
    )  # fmt: skip
    if report["doubled"]:
        shown = preview(f"{f} as {preview(n)}" for f, n in report["doubled"].items())
        log.info("%d features have several columns: %s", len(report["doubled"]), shown)
    if report["ambiguous"]:
        shown = preview(f"{n} ({preview(g)})" for n, g in report["ambiguous"].items())
        log.warning("%d names could mean several genes and are not used: %s", len(report["ambiguous"]), shown)
    if report["turned_into_dates"]:
        log.warning("names that a spreadsheet turned into dates: %s", preview(report["turned_into_dates"]))
    for text in [*report["notes"], *report["warnings"]]:
        log.warning("%s", text)


def read_profiles(
    path: Path | pd.DataFrame, features: pd.DataFrame, names: pd.DataFrame | None = None, **options: Any
) -> Profiles:
    """Read a whole table at once.

    Parameters
    ----------
    path : Path or pandas.DataFrame
        As `open_profiles` takes it.
    features : pandas.DataFrame
        As `open_profiles` takes it.
    names : pandas.DataFrame, optional
        As `open_profiles` takes it.
    **options : str or Path
        orientation, unit, mutations.

    Returns
    -------
    Profiles
        All samples.
    """
    opened = open_profiles(path, features, names, **options)
    return next(opened.chunks(len(opened.ids)))


def check_units(profiles: Profiles, bundles: list[Bundle], where: str) -> None:
    """Refuse values that cannot be in the unit that a model learned from.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundles : list of Bundle
        Models to be used.
    where : str
        Name of the table, for the message.

    Raises
    ------
    ProfileError
        Names every block with impossible values.
    """
    table = pd.concat([b.features for b in bundles])
    table = table[~table.index.duplicated()]
    columns = [str(c) for c in profiles.values if c in table.index]
    limits = bounds(table.loc[columns], LOG2_TPM)
    values = profiles.values[columns].to_numpy(dtype=float)
    limits.check(values, np.arange(len(columns)), columns, profiles.values.index, where)


def align(profiles: Profiles, bundle: Bundle) -> tuple[pd.DataFrame, list[str]]:
    """Put the columns in the model's order; features not given stay missing.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundle : Bundle
        The model.

    Returns
    -------
    X : pandas.DataFrame
        Samples x the model's features.
    missing : list of str
        The model's features that the table does not have.
    """
    wanted = bundle.features.index
    values = profiles.values
    given = wanted.intersection(values.columns)
    X = values.reindex(columns=wanted)
    if profiles.lineage is not None:
        columns = [f for f in wanted if f.startswith("lineage:") and f not in given]
        names = [f.split(":", 1)[1] for f in columns]
        lineage = _known_lineage(profiles.lineage, bundle)
        for column, name in zip(columns, names, strict=True):
            X[column] = np.where(lineage.notna(), (lineage == name).astype(float), np.nan)
        given = given.union(columns)
    return X, [f for f in wanted if f not in given]


def _known_lineage(lineage: pd.Series, bundle: Bundle) -> pd.Series:
    """Lineages in the model's spelling; one that the training lines did not have counts as not given."""
    spelling = {str(n).casefold(): str(n) for n in bundle.recipe["lineages"]}
    found = lineage.str.strip().str.casefold().map(spelling).astype(object)
    if len(unknown := sorted(set(lineage[found.isna().to_numpy()].dropna()))):
        log.warning(
            "%s: lineages not among the training lines count as not given: %s; known: %s",
            bundle.task,
            preview(unknown),
            preview(sorted(spelling.values()), 40),
        )
    return found.where(found.notna(), None)
