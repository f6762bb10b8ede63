"""What the figures and the page of a validation may read: its saved files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.evaluation.external import MODEL
from crossres_ml.report.summary import Interval

_TEXT = {"id": str, "lineage": str, "group": str, "nearest": str, "set": str, "set_80": str}


@dataclass(frozen=True)
class ValidationRun:
    """A validation as it was saved.

    Attributes
    ----------
    folder : Path
        Folder with its tables.
    """

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """What was compared with what, counts and metrics."""
        found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
        return found

    @property
    def simulated(self) -> bool:
        """Whether the model learned from data made by code."""
        return bool(self.about["kind"] == "simulated")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row a sample that was scored."""
        empty = {c: [""] for c in ("baseline", "baseline_probability", "likeness")}
        path = self.folder / "predictions.csv"
        table = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=empty)
        return table.rename(columns={"id": "model_id"})

    @cached_property
    def excluded(self) -> pd.DataFrame:
        """One row a sample that was left out."""
        return pd.read_csv(self.folder / "excluded.csv", dtype={"id": str}, keep_default_na=False)

    def interval(self, metric: str, of: str = MODEL) -> Interval | None:
        """Give a value with its interval, where it was measured."""
        found = self.about["metrics"].get(of, {}).get(metric)
        return None if found is None else Interval(**{k: found[k] for k in ("value", "low", "high")})
