"""What blocks are built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from crossres_ml.identity.aliases import Aliases


@dataclass
class Context:
    """What a block is built from; blocks add to ``dropped`` and ``unresolved``, and keep what they share."""

    tables: Mapping[str, pd.DataFrame]
    aliases: Aliases
    lines: pd.DataFrame
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    unresolved: list[pd.DataFrame] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)

    def drop(self, what: str, count: int, reason: str) -> None:
        """Note that something was left out on purpose."""
        if count:
            self.dropped.append((what, count, reason))

    def by_model(self, table: str, ids: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Wide table indexed by model_id; other identifiers go through ``ids`` or by name."""
        kept = self.tables[table]
        if kept.index.name != "model_id":
            found = pd.Series(kept.index, index=kept.index).astype(str)
            model_ids = found.map(ids) if ids is not None else self.resolve(table, found)
            self.drop(f"{table} rows", int(model_ids.isna().sum()), f"{kept.index.name} of no DepMap model")
            kept = kept[model_ids.notna().to_numpy()]
            kept = kept.set_axis(pd.Index(model_ids.dropna(), name="model_id"), axis=0)
        twice = kept.index.duplicated()
        self.drop(f"{table} rows", int(twice.sum()), "second profile of one line")
        return kept[~twice]

    def resolve(self, table: str, names: pd.Series) -> pd.Series:
        """Resolve names and note those that cannot be."""
        found = self.aliases.resolve(names)
        open_ = found[found.model_id.isna()]
        if len(open_):
            rows = open_.reset_index()[["alias", "reason"]]
            self.unresolved.append(rows.assign(table=table)[["table", "alias", "reason"]])
        return names.map(found.model_id)
