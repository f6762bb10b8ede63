"""Fixtures that lead to the real public files; tests that ask for them are skipped where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import MIRROR_VARIABLE, NEARBY_MIRROR, Found, resolve
from crossres_ml.sources.tables import load_tables


@pytest.fixture(scope="session")
def mirror(pytestconfig: pytest.Config) -> Path:
    """Folder with the public files."""
    folder = Path(os.environ.get(MIRROR_VARIABLE) or pytestconfig.rootpath / NEARBY_MIRROR)
    if not folder.is_dir():
        pytest.skip(f"no public files: {folder} is not there (name a folder with {MIRROR_VARIABLE})")
    return folder


def _beside(mirror: Path, name: str) -> Path:
    folder = mirror.parent / name
    if not folder.is_dir():
        pytest.skip(f"nothing to compare with: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def reference(mirror: Path) -> Path:
    """Folder with the same data as read by other programs."""
    return _beside(mirror, "reference")


@pytest.fixture(scope="session")
def gmt(mirror: Path) -> Path:
    """Folder with the gene sets in GMT form."""
    return _beside(mirror, "genesets")


@pytest.fixture(scope="session")
def found(mirror: Path) -> dict[str, Found]:
    """Every file of the mirror, verified."""
    return resolve(load_registry(), mirror=mirror)


@pytest.fixture(scope="session")
def tables(found: dict[str, Found], pytestconfig: pytest.Config) -> dict[str, pd.DataFrame]:
    """All tables; kept between runs under pytest's own cache, keyed by content."""
    return load_tables(found, pytestconfig.cache.mkdir("tables"))
