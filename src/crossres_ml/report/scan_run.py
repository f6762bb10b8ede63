"""What the figures and the page of a scan may read: its saved files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.scan.both import LISTS, NOT_SEEN, RADIATION

SIDES = ("radiation", "chemotherapy")
_TEXT = (
    "arm",
    "beyond_arm",
    "carried_by",
    "event",
    "list",
    "reason",
    "recovered",
    "same_as",
    "signal",
    "with_it",
)
"""Columns that may be empty from top to bottom: these read as numbers."""


@dataclass(frozen=True)
class ScanRun:
    """A scan as it was saved.

    Attributes
    ----------
    folder : Path
        Folder with its tables.
    """

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """Counts, hashes, settings and the answer."""
        found: dict[str, Any] = json.loads((self.folder / "scan.json").read_text(encoding="utf-8"))
        return found

    @property
    def simulated(self) -> bool:
        """Whether the data were made by code."""
        return bool(self.about["kind"] == "simulated")

    @property
    def level(self) -> float:
        """False discovery rate of the lists."""
        return float(self.about["settings"]["level"])

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row an event."""
        return pd.read_parquet(self.folder / "scan.parquet")

    def csv(self, name: str) -> pd.DataFrame:
        """Read a table; text that is not there is empty."""
        table = pd.read_csv(self.folder / name)
        for c in table:
            if c in _TEXT or not pd.api.types.is_numeric_dtype(table[c]):
                table[c] = table[c].astype(object).where(table[c].notna(), "")
        return table

    def called(self, name: str) -> pd.DataFrame:
        """Events of a list, the best first."""
        own = self.events[self.events["list"] == name]
        return own.sort_index().sort_values("list_p", kind="stable")

    def volcano(self, name: str) -> pd.DataFrame:
        """Effect and p of all events for one list.

        Parameters
        ----------
        name : str
            The list.

        Returns
        -------
        pandas.DataFrame
            Index: events; effect (of the modality of the list; of two, the one with the larger p), p (that
            of the list), called. Events that do not fit the list are left out.
        """
        events, it = self.events, LISTS[name]
        if it.signs:
            sides = np.column_stack(
                [np.where(events[s] * sign > 0, events[f"{s}_p"] / 2, 1 - events[f"{s}_p"] / 2)
                 for s, sign in zip(SIDES, it.signs, strict=True)]
            )  # fmt: skip
            worse = sides.argmax(axis=1)
            effect = np.where(worse == RADIATION, events.radiation, events.chemotherapy)
            out = pd.DataFrame({"effect": effect, "p": sides.max(axis=1)}, events.index)
            fits = out.p < 0.5
        else:
            own, other = SIDES if it.only == RADIATION else SIDES[::-1]
            out = pd.DataFrame({"effect": events[own], "p": events[f"{own}_p"]})
            fits = (events[f"{other}_p"] >= NOT_SEEN) & (events.p_difference < NOT_SEEN)
        return out.assign(called=events["list"] == name)[fits & out.p.notna()]

    def shown_lineage_by_lineage(self, most: int) -> list[str]:
        """Name the first event of the first signals, list by list in turns; of none, the nearest to both."""
        signals = self.csv("signals.csv")
        if not len(signals):
            near = self.events[self.events.best_list == "both_resistant"]
            return [str(e) for e in near.sort_values("list_p", kind="stable").index[: most // 2]]
        turn = signals.groupby("list").cumcount()
        order = signals.assign(turn=turn).sort_values("turn", kind="stable")
        return [str(e) for e in order.signal[:most]]
