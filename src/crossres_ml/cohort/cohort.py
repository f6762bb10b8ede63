"""The seam: one frozen object that everything after it works on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from crossres_ml.cohort.scores import GeneSetScorer
from crossres_ml.errors import CohortError, preview

RESPONSES: Mapping[str, str] = MappingProxyType(
    {
        "radiation": "area under the 9-day survival curve, Yard et al. 2016 (auc, 0 to 7)",
        "sf2": "fraction surviving 2 Gy (sf2)",
        "lq_alpha": "minus alpha of the linear-quadratic fit, where that passed its quality control (1/Gy)",
        "chemotherapy": "mean z of cytotoxic CTRPv2 AUCs (z, higher = more resistant)",
        "chemotherapy_gdsc": "mean z of GDSC ln IC50 of the same drugs (z, higher = more resistant)",
        "platinum": "mean z of GDSC platinum ln IC50 (z, higher = more resistant)",
        "general_sensitivity": "mean z of the other CTRPv2 AUCs (z, higher = more resistant)",
    }
)
DRUG_RESPONSE = "drug:"
"""Prefix of a response that is one drug of a panel: z of its measurements, higher = more resistant."""
ENTERED_BY = ("radiation", "chemotherapy", "chemotherapy_gdsc")
"""A line is in the cohort when it has one of these."""
DRUG_COLUMNS = ("drug", "dataset", "genotoxic", "panel")
LINE_COLUMNS = ("cell_line", "lineage", "subtype", "group")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Cell lines with their features and responses; sorted, aligned and read-only.

    Attributes
    ----------
    kind : {'real', 'simulated'}
        Where it comes from; the two are never mixed.
    lines : pandas.DataFrame
        Index ``model_id``; cell_line, lineage, subtype, group (relatives share one).
    blocks : mapping of str to pandas.DataFrame
        Block name -> float32 table, lines x features; missing is NaN and stays so.
    features : pandas.DataFrame
        Index ``feature`` (``block:name``); block, name, unit, provenance, caution (bool: an
        antibody that its maker has not fully validated).
    responses : pandas.DataFrame
        Lines x (`RESPONSES`, then ``drug:<name>`` for each drug of the chemotherapy and of the
        platinum panel), float64, higher = more resistant.
    drugs : pandas.DataFrame
        Lines x drug measurements, float64: ``ctrp:<drug>`` (AUC), ``gdsc1:<drug>`` and
        ``gdsc2:<drug>`` (ln IC50, micromolar). Missing is NaN. Never a feature of the same line.
    drug_info : pandas.DataFrame
        Index: columns of ``drugs``; drug, dataset, genotoxic (bool: damages DNA, or stops its
        synthesis or mitosis), panel (bool: part of the chemotherapy response).
    sources : mapping of str to str
        Source id -> sha256 of the file that was read.
    unresolved : pandas.DataFrame
        Names that could not be joined: table, alias, reason.
    dropped : pandas.DataFrame
        What was left out on purpose: what, count, reason.
    scorer : GeneSetScorer or None
        How expression became the block ``gene_set``; new samples are scored with it.
    genes : pandas.DataFrame or None
        HGNC's table of gene names: new samples may name genes otherwise.
    names : pandas.DataFrame or None
        Names of models, as `crossres_ml.identity.aliases.collect_names` gives them: a saved model knows
        its training lines again by them.
    planted : pandas.DataFrame or None
        What a simulated study knows of itself: index ``feature``; role, and the effect on ``radiation``
        and ``chemotherapy``. Shown beside results, never learned from; a real cohort has none.

    Raises
    ------
    CohortError
        If tables are not aligned, or ids, features or columns are not as stated.
    """

    kind: Literal["real", "simulated"]
    lines: pd.DataFrame
    blocks: Mapping[str, pd.DataFrame]
    features: pd.DataFrame
    responses: pd.DataFrame
    drugs: pd.DataFrame
    drug_info: pd.DataFrame
    sources: Mapping[str, str]
    unresolved: pd.DataFrame
    dropped: pd.DataFrame
    scorer: GeneSetScorer | None = None
    genes: pd.DataFrame | None = None
    names: pd.DataFrame | None = None
    planted: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise CohortError(preview(problems), do="this is a defect of the tables given, not of the data")
        frozen = {name: _read_only(table) for name, table in sorted(self.blocks.items())}
        object.__setattr__(self, "blocks", MappingProxyType(frozen))
        object.__setattr__(self, "responses", _read_only(self.responses))
        object.__setattr__(self, "drugs", _read_only(self.drugs))
        object.__setattr__(self, "sources", MappingProxyType(dict(sorted(self.sources.items()))))

    def _problems(self) -> Iterable[str]:
        index = self.lines.index
        if not index.is_unique or not index.is_monotonic_increasing:
            yield "lines are not unique and sorted"
        if missing := [c for c in LINE_COLUMNS if c not in self.lines]:
            yield f"lines lack {missing}"
        elif self.lines[["lineage", "group"]].isna().any().any():
            yield "lineage or group is missing"
        if self.planted is not None and self.kind == "real":
            yield "real lines cannot have planted effects"
        yield from self._response_problems()
        tables = {"responses": self.responses, "drugs": self.drugs, **self.blocks}
        yield from (f"{n} has other lines" for n, t in tables.items() if not t.index.equals(index))
        names = [f"{b}:{f}" for b in sorted(self.blocks) for f in self.blocks[b].columns]
        if names != list(self.features.index):
            yield "features do not follow the blocks"
        if "caution" not in self.features:
            yield "features lack caution"
        if not self.drug_info.index.equals(self.drugs.columns):
            yield "drug_info does not follow the drugs"
        if missing := [c for c in DRUG_COLUMNS if c not in self.drug_info]:
            yield f"drug_info lacks {missing}"
        for name, table in {"drugs": self.drugs, **self.blocks}.items():
            if not table.columns.is_unique or not table.columns.is_monotonic_increasing:
                yield f"features of {name} are not unique and sorted"
            if np.isinf(table.to_numpy()).any():
                yield f"{name} has infinite values"

    def _response_problems(self) -> Iterable[str]:
        names = list(self.responses.columns)
        single = names[len(RESPONSES) :]
        named = all(n.startswith(DRUG_RESPONSE) for n in single)
        if names[: len(RESPONSES)] != list(RESPONSES) or not named or single != sorted(set(single)):
            yield f"responses are {preview(names, 12)}"
        if np.isinf(self.responses.to_numpy(dtype=float)).any():
            yield "responses has infinite values"

    def matrix(self, blocks: Iterable[str], extra: Iterable[str] = ()) -> pd.DataFrame:
        """Join blocks into one table.

        Parameters
        ----------
        blocks : iterable of str
            Whole blocks.
        extra : iterable of str
            Single features of any block, ``block:name``; those that do not exist are left out.

        Returns
        -------
        pandas.DataFrame
            Lines x features, float32, columns ``block:name`` in sorted order.

        Raises
        ------
        CohortError
            If a block does not exist.
        """
        wanted = sorted(set(blocks))
        if missing := [b for b in wanted if b not in self.blocks]:
            raise CohortError(f"no block {preview(missing)}", do=f"blocks: {', '.join(self.blocks)}")
        parts = [self.blocks[b].add_prefix(f"{b}:") for b in wanted]
        for feature in sorted(set(extra)):
            block, _, name = feature.partition(":")
            if block not in wanted and feature in self.features.index:
                parts.append(self.blocks[block][[name]].add_prefix(f"{block}:"))
        return pd.concat(parts, axis=1).sort_index(axis=1)

    def coverage(self) -> pd.DataFrame:
        """Count what was measured.

        Returns
        -------
        pandas.DataFrame
            One row a block: features, lines with any value, the same among lines with each
            response, and the share of measured cells within those lines.
        """
        both = self.responses.radiation.notna() & self.responses.chemotherapy.notna()
        sets = {
            "lines": self.lines.index == self.lines.index,
            "lines_radiation": self.responses.radiation.notna(),
            "lines_chemotherapy": self.responses.chemotherapy.notna(),
            "lines_both": both,
        }
        rows = []
        for name, table in self.blocks.items():
            present = np.isfinite(table.to_numpy())
            has = present.any(axis=1)
            row: dict[str, object] = {"block": name, "features": table.shape[1]}
            row |= {k: int((has & np.asarray(v)).sum()) for k, v in sets.items()}
            row["measured_share"] = float(present[has].mean()) if has.any() else 0.0
            rows.append(row)
        return pd.DataFrame(rows).set_index("block")

    def coverage_by_line(self) -> pd.DataFrame:
        """Share of each block's features that was measured in each line.

        Returns
        -------
        pandas.DataFrame
            Lines x blocks, 0 to 1.
        """
        shares = {n: np.isfinite(t.to_numpy()).mean(axis=1) for n, t in self.blocks.items()}
        return pd.DataFrame(shares, index=self.lines.index)

    def missing(self) -> pd.DataFrame:
        """List every line that lacks a response or a whole block, with the reason.

        Returns
        -------
        pandas.DataFrame
            As `crossres_ml.cohort.missing.missing_lines` gives it.
        """
        from crossres_ml.cohort.missing import missing_lines  # it knows the blocks, which need not know this

        return missing_lines(self)

    def digest(self) -> str:
        """Hex sha256 over lines, features, drugs, and all values."""
        h = hashlib.sha256(self.kind.encode())
        for table in (self.lines, self.features.drop(columns="provenance"), self.drug_info):
            h.update(table.to_csv().encode())
        h.update("\n".join(self.responses.columns).encode())
        for table in (*self.blocks.values(), self.responses, self.drugs):
            h.update(np.ascontiguousarray(table.to_numpy()).tobytes())
        return h.hexdigest()


def _read_only(table: pd.DataFrame) -> pd.DataFrame:
    values = np.array(table.to_numpy(), order="C", copy=True)
    values.flags.writeable = False
    return pd.DataFrame(values, index=table.index, columns=table.columns, copy=False)
