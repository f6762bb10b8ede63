"""What figures, pages and cards may read of an audit, and the words and symbols that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.audit.evidence import PARTIAL_R
from crossres_ml.report.audit_summary import AuditSummary

OUTCOME_TITLES: Mapping[str, str] = {
    "radiation": "Radiation", "chemotherapy": "Chemotherapy", "both": "Both", "platinum": "Platinum",
}  # fmt: skip
OUTCOME_OF: Mapping[str, str] = {"radiation": "radiation", "chemotherapy": "chemotherapy", "cross": "both"}
"""Task -> outcome of the audit."""
SYMBOLS: Mapping[str, str] = {
    "supported": "\u25c6",
    "lost after adjustment": "\u25c7",
    "contradicted": "\u25bc",
    "not supported": "\u25a0",
    "underpowered": "\u25cb",
    "not measurable": "\u00d7",
    "withheld": "\u25b3",
}
"""A sign for each verdict, so that colour never stands alone."""
BORDERLINE, NOT_CLAIMED = "*", "\u2020"
_UNITS = (
    ("indirect effect", "indirect effect"),
    ("difference in held-out Spearman", "difference in Spearman"),
    ("I2", "I2 between tissues"),
    ("difference in mean partial r", "difference in mean r"),
)


@dataclass(frozen=True)
class AuditRun:
    """An audit as it was saved.

    Attributes
    ----------
    folder : Path
        Folder with its tables.
    summary : AuditSummary
        Its summary.
    simulated : bool
        Whether the data were made by code.
    """

    folder: Path
    summary: AuditSummary
    simulated: bool

    def csv(self, name: str) -> pd.DataFrame:
        """Read a table; one without any column is empty."""
        try:
            return pd.read_csv(self.folder / name)
        except pd.errors.EmptyDataError:
            return pd.DataFrame()

    def parquet(self, name: str) -> pd.DataFrame:
        """Read a table."""
        return pd.read_parquet(self.folder / name)

    def verdicts(self) -> pd.DataFrame:
        """Read one row a claim and outcome, in the order of the file of claims."""
        return self.parquet("audit.parquet")

    def genes(self) -> list[str]:
        """Name the genes that are always shown."""
        return list(dict.fromkeys(self.csv("named_genes.csv").get("gene", [])))


def said(verdict: Mapping[str, Any]) -> str:
    """Write a verdict with what qualifies it.

    Parameters
    ----------
    verdict : mapping
        verdict, weak, top_driver, borderline, claimed.

    Returns
    -------
    str
        ``*`` stands for borderline, a dagger for an outcome of which the review does not speak.
    """
    more = ", weakly" * bool(verdict["weak"]) + ", top driver" * bool(verdict["top_driver"])
    return (
        f"{verdict['verdict']}{more}"
        f"{BORDERLINE * bool(verdict['borderline'])}{NOT_CLAIMED * (not verdict['claimed'])}"
    )


def short_unit(unit: str) -> str:
    """Write the unit of an effect in few words."""
    return "partial r" if unit == PARTIAL_R else next((s for u, s in _UNITS if unit.startswith(u)), unit)
