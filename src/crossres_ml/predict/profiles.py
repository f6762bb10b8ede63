"""Reading and aligning a table of new profiles."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.models.bundle import Bundle

log = logging.getLogger(__name__)
ID = "model_id"
LINEAGE = "lineage"
_ENTREZ = re.compile(r"^(?P<symbol>\S+) \((?P<entrez>\d+)\)$")
_READERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
# log2(TPM + 1) cannot be negative, and one million TPM is 19.9
_HIGHEST_LOG2_TPM = 20.0
_BOUNDED = ("log2_tpm", "0/1", "0 wild type, 1 non-damaging, 2 damaging")


@dataclass(frozen=True)
class Profiles:
    """New samples as they were given, checked.

    Attributes
    ----------
    values : pandas.DataFrame
        Samples x features, float; columns ``block:name`` where a column is a feature name,
        otherwise as given.
    lineage : pandas.Series or None
        Text, when a column ``lineage`` was given.
    """

    values: pd.DataFrame
    lineage: pd.Series | None


def feature_name(column: str) -> str:
    """Name of the feature that a column means.

    Parameters
    ----------
    column : str
        ``block:name``, a gene symbol, or ``SYMBOL (ENTREZ)``.

    Returns
    -------
    str
        ``block:name``; a bare gene is its mRNA, ``rna:SYMBOL``.
    """
    text = column.strip()
    match = _ENTREZ.match(text)
    text = match["symbol"] if match else text
    return text if ":" in text else f"rna:{text}"


def read_profiles(path: Path) -> Profiles:
    """Read a table with samples in rows.

    Parameters
    ----------
    path : Path
        .csv, .tsv, .txt (tab) or .parquet. The id is the column ``model_id``, or else the first.

    Returns
    -------
    Profiles
        Checked values.

    Raises
    ------
    ProfileError
        If the file cannot be read, has no ids, ids or columns twice, or cells that are no numbers.
    """
    table = _read(path)
    where = str(path)
    if table.shape[0] == 0 or table.shape[1] < 2:
        raise ProfileError(
            f"has {table.shape[0]} samples and {table.shape[1]} columns", where=where,
            do="give samples in rows, an id column, then features; check the separator",
        )  # fmt: skip
    ids = _ids(table, where)
    body = table.drop(columns=str(ids.name)).set_axis(pd.Index(ids.to_numpy(), name=ID), axis=0)
    lineage = body.pop(LINEAGE).astype("string") if LINEAGE in body else None
    names = pd.Index([feature_name(str(c)) for c in body.columns])
    if names.has_duplicates:
        twice = names[names.duplicated()].unique()
        raise ProfileError(
            f"features given more than once: {preview(twice)}", where=where, do="keep one column each"
        )
    return Profiles(_numbers(body, where).set_axis(names, axis=1), lineage)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
        if path.suffix not in _READERS:
            raise ValueError(f"suffix {path.suffix!r} is not .csv, .tsv, .txt or .parquet")
        table = pd.read_csv(path, sep=_READERS[path.suffix], dtype=str, keep_default_na=True)
    except (OSError, ValueError, ImportError) as e:
        raise ProfileError(
            f"cannot be read: {e}", where=str(path), do="check the path, the suffix and the file"
        ) from e
    if not isinstance(table.index, pd.RangeIndex):
        raise ProfileError(
            "rows have more cells than the header has columns", where=str(path),
            do="name every column (R: write.table(..., col.names = NA)), and end no row with a separator",
        )  # fmt: skip
    header = pd.read_csv(path, sep=_READERS[path.suffix], dtype=str, header=None, nrows=1).iloc[0]
    if (twice := header[header.duplicated()]).size:
        raise ProfileError(
            f"columns given more than once: {preview(twice)}", where=str(path), do="keep one each"
        )
    return table


def _ids(table: pd.DataFrame, where: str) -> pd.Series:
    ids = table[ID] if ID in table else table.iloc[:, 0]
    if ID not in table and pd.to_numeric(ids, errors="coerce").notna().all() and not _whole(ids):
        raise ProfileError(
            f"has no sample ids: no column {ID!r}, and the first column {ids.name!r} holds measurements",
            where=where, do=f"put the ids in the first column or in one called {ID}",
        )  # fmt: skip
    text = ids.astype("string").str.strip()
    problems = []
    if (n := int((text.isna() | (text == "")).sum())) > 0:
        problems.append(f"{n} samples without an id")
    if text.dropna().duplicated().any():
        problems.append(f"ids given more than once: {preview(text[text.duplicated()].dropna().unique())}")
    if problems:
        raise ProfileError(
            "; ".join(problems), where=f"{where}, column {ids.name}", do="give each sample one id"
        )
    return text.rename(str(ids.name))


def _whole(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values)
    return bool((numbers == numbers.round()).all()) and not numbers.duplicated().any()


def _numbers(body: pd.DataFrame, where: str) -> pd.DataFrame:
    numbers = body.apply(pd.to_numeric, errors="coerce").astype(float)
    text = body.notna() & numbers.isna()
    rows, columns = np.nonzero(text.to_numpy() | np.isinf(numbers.to_numpy()))
    if len(rows):
        found = [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]
        cells = [
            f"{body.iloc[r, c]!r} (sample {body.index[r]}, column {body.columns[c]})" for r, c in found[:6]
        ]
        cells += [""] * (len(found) - len(cells))
        raise ProfileError(
            f"{len(rows)} cells are no finite numbers: {preview(cells, 5)}", where=where,
            do="leave a missing value empty; drop columns of text (only lineage may be text)",
        )  # fmt: skip
    return pd.DataFrame(numbers)


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
    units = pd.concat([b.features.unit for b in bundles])
    units = units[~units.index.duplicated()]
    problems = []
    for unit, low, high, hint in (
        ("log2_tpm", 0.0, _HIGHEST_LOG2_TPM, "expected log2(TPM + 1); counts, TPM or z-scores do not fit"),
        ("0/1", 0.0, 1.0, "expected 0 or 1"),
        ("0 wild type, 1 non-damaging, 2 damaging", 0.0, 2.0, "expected 0, 1 or 2"),
    ):
        part = profiles.values[[c for c in profiles.values if units.get(c) == unit]]
        bad = (part < low) | (part > high) | ((part % 1 != 0) & part.notna() & (unit != "log2_tpm"))
        if (columns := part.columns[bad.any()]).size:
            c = columns[0]
            worst = part.loc[bad[c], c]
            problems.append(
                f"{len(columns)} columns, such as {c} = {worst.iloc[0]:g} (sample {worst.index[0]}): {hint}"
            )
    problems += _far_from_training(profiles, bundles)
    if problems:
        raise ProfileError(
            "values outside what is possible: " + "; ".join(problems), where=where, do="convert them"
        )


def _far_from_training(profiles: Profiles, bundles: list[Bundle]) -> list[str]:
    """Values more than a whole training range beyond that range, in units without natural bounds."""
    table = pd.concat([b.features for b in bundles])
    table = table[~table.index.duplicated() & ~table.unit.isin(_BOUNDED)]
    part = profiles.values[[c for c in profiles.values if c in table.index]]
    low, high = (table[k][part.columns].astype(float) for k in ("low", "high"))
    bad = (part < low - (high - low)) | (part > high + (high - low))
    out = []
    for c in part.columns[bad.any()][:3]:
        worst = part.loc[bad[c], c]
        out.append(
            f"{c} = {worst.iloc[0]:g} (sample {worst.index[0]}): "
            f"training lines have {low[c]:g} to {high[c]:g}, in {table.unit[c]}"
        )
    return out


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
