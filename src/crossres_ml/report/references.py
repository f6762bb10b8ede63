"""What to cite: the publications behind the data that were read, and behind the methods."""

from __future__ import annotations

from pathlib import Path

from crossres_ml.report.summary import DataSummary
from crossres_ml.sources.registry import load_registry


def method_references() -> list[str]:
    """Give what to cite for the methods, in alphabetical order."""
    return (Path(__file__).parent / "templates" / "references.txt").read_text(encoding="utf-8").splitlines()


def data_references(data: DataSummary) -> list[str]:
    """Give what to cite for the files that were read.

    Parameters
    ----------
    data : DataSummary
        Has the files.

    Returns
    -------
    list of str
        Each once, in alphabetical order.
    """
    known = load_registry()
    return sorted({known[k].citation for k in data.source_hashes if k in known})
