"""An audit as files, and back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.artifacts import write_json, write_table
from crossres_ml.audit.run import Audit

TABLES = {
    "evidence": "evidence.csv", "named": "named_genes.csv", "features": "features.parquet",
    "controls": "controls.csv", "negative": "negative_controls.csv", "null": "null_controls.csv",
    "nulls": "nulls.parquet", "swarm": "swarm.parquet", "stability": "stability.csv",
    "lineages": "lineages.csv", "pooled": "pooled.csv",
}  # fmt: skip
"""Attribute of `crossres_ml.audit.run.Audit` -> file."""


def plain(value: Any) -> Any:
    """Give a number or text that JSON can hold; what is not known is null."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):
        return plain(value.item())
    return value


def write_audit(audit: Audit, folder: Path, about: dict[str, Any]) -> None:
    """Write everything that an audit found.

    Parameters
    ----------
    audit : Audit
        The audit.
    folder : Path
        Gets ``audit.csv``, ``audit.parquet`` and ``audit.json`` (verdicts, gate and what they rest on),
        `TABLES`, and a ``details_<kind>.csv`` for each other kind of claim.
    about : dict
        Hashes, seeds and draws; go into ``audit.json``.
    """
    verdicts = audit.verdicts
    write_table(folder / "audit.csv", verdicts)
    write_table(folder / "audit.parquet", verdicts)
    for name, file in TABLES.items():
        write_table(folder / file, getattr(audit, name))
    for kind, table in audit.details.items():
        write_table(folder / f"details_{kind}.csv", table)
    records = [{str(k): plain(v) for k, v in r.items()} for r in verdicts.to_dict("records")]
    gate = {"open": audit.gate.open, "reasons": list(audit.gate.reasons)}
    write_json(folder / "audit.json", {**about, "gate": gate, "verdicts": records})


def read_gate(folder: Path) -> tuple[bool, list[str]]:
    """Whether the gate was open, and why not."""
    gate = json.loads((folder / "audit.json").read_text(encoding="utf-8"))["gate"]
    return bool(gate["open"]), [str(r) for r in gate["reasons"]]


def read_verdicts(folder: Path) -> pd.DataFrame:
    """Read the table of verdicts as it was written."""
    return pd.read_parquet(folder / "audit.parquet")
