"""All tables, and their reading through a cache of parquet files."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cache as memo
from pathlib import Path

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib.externals.loky import get_reusable_executor

from crossres_ml.errors import CrossresError, SchemaError, SourceError, preview
from crossres_ml.sources import (
    ccle,
    ctrp,
    depmap,
    depmap_matrices,
    gdsc,
    genesets,
    reading,
    rfile,
    sanger,
    schema,
    signatures,
    yard,
)
from crossres_ml.sources.resolve import Found
from crossres_ml.sources.schema import Matrix, Table

__all__ = ["TABLES", "Table", "load_tables"]

log = logging.getLogger(__name__)

_MODULES = (yard, ctrp, gdsc, sanger, depmap, depmap_matrices, ccle, signatures, genesets)
TABLES: dict[str, Table] = {t.name: t for module in _MODULES for t in module.TABLES}

_LAYOUT = b"crossres_transposed"
# What a reader may raise on content that it does not expect; anything else is a fault of the program.
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, EOFError, zlib.error)


def load_tables(
    found: Mapping[str, Found], cache: Path, names: Iterable[str] | None = None, jobs: int = 2
) -> dict[str, pd.DataFrame]:
    """Read tables, from the cache where it holds what the same files and readers gave before.

    Parameters
    ----------
    found : mapping of str to Found
        The files at hand by registry id, verified.
    cache : Path
        Folder of the cache; made when needed.
    names : iterable of str, optional
        Tables wanted; all by default. One without its files is left out.
    jobs : int, default 2
        Processes for what the cache does not hold.

    Returns
    -------
    dict of str to pandas.DataFrame
        In the order of `TABLES`; units are told by ``TABLES[name].unit``.

    Raises
    ------
    SourceError
        If a name is unknown, or files cannot be read; names all of them.
    SchemaError
        If tables break their schema; names all of them.
    """
    wanted = set(TABLES if names is None else names)
    if unknown := sorted(wanted - TABLES.keys()):
        raise SourceError(f"no table {preview(unknown)}", do=f"one of: {preview(TABLES, len(TABLES))}")
    plan: dict[str, dict[str, Found]] = {}
    for name in TABLES:
        if name in wanted and (files := _files(TABLES[name], found)):
            plan[name] = files
    keys = {name: _key(TABLES[name], files) for name, files in plan.items()}
    out = {name: _cached(cache, TABLES[name], key) for name, key in keys.items()}
    cold = [name for name, frame in out.items() if frame is None]
    if cold:
        log.info("reading %d tables from their files: %s", len(cold), ", ".join(cold))
        paths = {n: {i: f.path for i, f in plan[n].items()} for n in cold}
        largest_first = sorted(cold, key=lambda n: -sum(p.stat().st_size for p in paths[n].values()))
        work = (joblib.delayed(_read_into_cache)(n, paths[n], cache, keys[n]) for n in largest_first)
        errors = joblib.Parallel(n_jobs=min(jobs, len(cold)))(work)
        if jobs > 1:  # idle workers would keep their memory for minutes
            get_reusable_executor().shutdown()
        told = dict(zip(largest_first, errors, strict=True))
        _raise_all(told[name] for name in cold)
        out.update({name: _fresh(cache, TABLES[name], keys[name]) for name in cold})
    return {name: frame for name, frame in out.items() if frame is not None}


def _files(table: Table, found: Mapping[str, Found]) -> dict[str, Found]:
    """List the table's files at hand; empty when it cannot be read from them."""
    main = [i for i in table.sources if i in found]
    if len(main) < (1 if table.partial else len(table.sources)):
        missing = [i for i in table.sources if i not in found]
        log.info("table %s left out: no file %s", table.name, preview(missing))
        return {}
    return {i: found[i] for i in (*main, *table.also) if i in found}


@memo
def _code_hash(module: str) -> str:
    digest = hashlib.sha256()
    for name in (module, reading.__name__, rfile.__name__, schema.__name__):
        digest.update(Path(str(sys.modules[name].__file__)).read_bytes())
    return digest.hexdigest()


def _key(table: Table, files: Mapping[str, Found]) -> str:
    """Everything that the content depends on: input bytes, readers' code, pandas' release."""
    parts = {
        "files": {i: f.sha256 for i, f in files.items()},
        "code": _code_hash(table.read.__module__),
        "pandas": pd.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _read_into_cache(name: str, paths: dict[str, Path], cache: Path, key: str) -> CrossresError | None:
    """Read one table and store it; an error is handed back so that all can be told at once."""
    table = TABLES[name]
    try:
        frame = table.validate(table.read(paths))
    except CrossresError as error:
        return error
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        return SourceError(
            f"table {name} cannot be read: {type(error).__name__}: {error}",
            where=preview(str(p) for p in paths.values()),
            do="fetch the files again: crossres data fetch",
        )
    _store(cache, table, key, frame)
    return None


def _raise_all(results: Iterable[CrossresError | None]) -> None:
    errors = [e for e in results if e is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kind = SchemaError if all(isinstance(e, SchemaError) for e in errors) else SourceError
        what = "\n".join(f"{e.what} [{e.where}]" for e in errors)
        raise kind(f"{len(errors)} tables cannot be used:\n{what}", do=errors[0].do)


def _store(cache: Path, table: Table, key: str, frame: pd.DataFrame) -> None:
    """Write ``<name>-<key>-<content hash>.parquet`` and remove what older files gave.

    A matrix with more columns than rows is stored turned: parquet is slow with many columns.
    """
    turned = isinstance(table.schema, Matrix) and frame.shape[1] > frame.shape[0]
    data = pa.Table.from_pandas(frame.T if turned else frame)
    if turned:
        data = data.replace_schema_metadata({**data.schema.metadata, _LAYOUT: b"1"})
    buffer = io.BytesIO()
    pq.write_table(data, buffer, compression="zstd", compression_level=1)
    content = buffer.getvalue()
    cache.mkdir(parents=True, exist_ok=True)
    old = list(cache.glob(f"{table.name}-*-*.parquet"))
    target = cache / f"{table.name}-{key}-{hashlib.sha256(content).hexdigest()[:20]}.parquet"
    handle, temporary = tempfile.mkstemp(dir=cache, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(temporary, target)
    for path in old:
        if path != target:
            path.unlink(missing_ok=True)


def _cached(cache: Path, table: Table, key: str) -> pd.DataFrame | None:
    """Load the stored table, or None when there is none or its bytes are not what was written."""
    for path in cache.glob(f"{table.name}-{key}-*.parquet"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest()[:20] != path.stem.rpartition("-")[2]:
            log.warning("cached table %s is damaged and is read again", path.name)
            continue
        data = pq.read_table(pa.BufferReader(content))
        frame: pd.DataFrame = data.to_pandas()
        if _LAYOUT in data.schema.metadata:
            frame = frame.T
        anonymous = isinstance(table.schema, Matrix) and table.schema.index is None
        return frame.reset_index(drop=True) if anonymous else frame
    return None


def _fresh(cache: Path, table: Table, key: str) -> pd.DataFrame:
    frame = _cached(cache, table, key)
    if frame is None:
        raise SourceError(f"table {table.name} was read but is not in the cache", where=str(cache))
    return frame
