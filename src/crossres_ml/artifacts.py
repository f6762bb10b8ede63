"""Files that the program writes: atomically, with hashes, so that a stage knows whether it is current."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossres_ml.errors import CrossresError

MANIFEST = "manifest.json"
_PACKAGES = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write to a temporary file beside ``path`` and move it there when all went well.

    Parameters
    ----------
    path : Path
        Final place; its folder is made.

    Yields
    ------
    Path
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys; NaN is refused, for no reader agrees on it."""
    with atomic(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as .csv, .tsv or .parquet, by its suffix; a plain row number is not written."""
    index = not isinstance(table.index, pd.RangeIndex)
    with atomic(path) as part:
        if path.suffix == ".parquet":
            table.to_parquet(part, index=index)
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            table.to_csv(part, sep=separator, float_format="%.10g", lineterminator="\n", index=index)


def rewrite_block(page: Path, block: str, begin: str, end: str) -> None:
    """Put a block, its markers included, in the place of that between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    with atomic(page) as part:
        part.write_text(text.split(begin)[0] + block + text.split(end)[1], encoding="utf-8")


def sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def code_digest() -> str:
    """Hex sha256 over the package's source and templates: other code, other result."""
    h = hashlib.sha256()
    root = Path(__file__).resolve().parent
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in (".py", ".j2")):
        h.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return h.hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package and of the libraries that decide numbers."""
    return {p: version(p) for p in ("crossres-ml", *_PACKAGES)}


def run_key(**parts: Any) -> str:
    """Hash of everything that decides a result.

    Parameters
    ----------
    **parts
        JSON-able values.

    Returns
    -------
    str
        Hex sha256, including code and library versions.
    """
    text = json.dumps({**parts, "code": code_digest(), "versions": versions()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(folder: Path, key: str) -> None:
    """Seal a folder: the key of its inputs and the hash of each file."""
    files = {str(p.relative_to(folder)): sha256(p) for p in _files(folder)}
    write_json(folder / MANIFEST, {"key": key, "files": files})


def is_intact(folder: Path) -> list[str]:
    """Name the sealed files that are missing or altered (empty when all are well).

    Parameters
    ----------
    folder : Path
        A folder with a manifest.

    Returns
    -------
    list of str
        Relative names; the manifest itself when it cannot be read.
    """
    files = _manifest(folder).get("files")
    if not isinstance(files, dict):
        return [MANIFEST]
    return [f for f, h in files.items() if not (folder / f).is_file() or sha256(folder / f) != h]


def is_current(folder: Path, key: str) -> bool:
    """Whether a folder was made from these inputs and no file of it was lost or altered."""
    return _manifest(folder).get("key") == key and not is_intact(folder)


def _manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest; empty when there is none that can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)


def refuse_foreign(final: Path) -> None:
    """Raise when a place for results is taken by something that this program did not make.

    Parameters
    ----------
    final : Path
        Where results are to go.

    Raises
    ------
    CrossresError
        If a file is there, or a folder without a manifest that is not empty.
    """
    if final.is_file() or (final.is_dir() and not (final / MANIFEST).is_file() and any(final.iterdir())):
        raise CrossresError(
            "is not a folder of results and is not empty",
            where=str(final),
            do="name another folder with --output",
        )


def publish(work: Path, final: Path) -> None:
    """Move a finished folder to its final place, replacing the previous one.

    Parameters
    ----------
    work : Path
        Finished folder on the same file system.
    final : Path
        Its place; `refuse_foreign` holds.
    """
    refuse_foreign(final)
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(work, final)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Finished:
    """A folder that a command has made, or found current.

    Attributes
    ----------
    folder : Path
        The folder.
    kind : str
        ``real`` or ``simulated``.
    fresh : bool
        False when the folder was current and nothing was run.
    """

    folder: Path
    kind: str
    fresh: bool


@dataclass(frozen=True)
class FoldStore:
    """Finished folds of one run key.

    Attributes
    ----------
    folder : Path
        Holds two parquet files a fold; the second is written last and marks the fold as done.
    """

    folder: Path

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.shap.parquet", self.folder / f"{name}.parquet"

    def has(self, name: str) -> bool:
        """Whether the fold is finished and can be read back."""
        try:
            for path in self._paths(name):
                pq.read_metadata(path)
        except (OSError, pa.ArrowInvalid):
            return False
        return True

    def save(self, name: str, result: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        """Keep a finished fold: predictions and contributions."""
        contributions, predictions = self._paths(name)
        write_table(contributions, result[1])
        write_table(predictions, result[0])

    def load(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Read a finished fold back."""
        contributions, predictions = self._paths(name)
        return pd.read_parquet(predictions), pd.read_parquet(contributions)


@contextmanager
def timed(stages: dict[str, float], name: str, clock: Callable[[], float]) -> Iterator[None]:
    """Add the seconds that a block takes to ``stages[name]``."""
    start = clock()
    yield
    stages[name] = stages.get(name, 0.0) + clock() - start
