"""Feature blocks: the one place that lists what a line can be described by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crossres_ml.identity.aliases import Aliases
from crossres_ml.identity.fingerprint import match_rows

# Newest release first. Panel 795 comes without line names and may have been selected with
# radiation responses in view, so only SLFN11 is taken from it, by name, on prior knowledge.
RNA_PANELS = ("rna_535", "rna_kinome", "rna_795", "rna_100", "rna_19q2")
RNA_795_GENES = ("SLFN11",)
UNSTABLE_GENES = {
    "U2AF1": "r = 0.40 between DepMap releases",
    "MIA2": "r = 0.47 between DepMap releases",
    "OR4C3": "r = 0.53 between DepMap releases",
}
MISLABELLED = {("rna_19q2", "ACH-001163"): "disagrees with release 22Q2 (r = 0.77 where others have 0.996)"}
MIN_MUTATED_LINES = 5
ARTEFACT_SHARE = 0.05


@dataclass
class Context:
    """What a block is built from; blocks add to ``dropped`` and ``unresolved``."""

    tables: Mapping[str, pd.DataFrame]
    aliases: Aliases
    lines: pd.DataFrame
    dropped: list[tuple[str, int, str]] = field(default_factory=list)
    unresolved: list[pd.DataFrame] = field(default_factory=list)

    def drop(self, what: str, count: int, reason: str) -> None:
        """Note that something was left out on purpose."""
        if count:
            self.dropped.append((what, count, reason))

    def by_model(self, table: str, ids: Mapping[str, str] | None = None) -> pd.DataFrame:
        """Wide table indexed by model_id; other identifiers go through ``ids`` or by name."""
        wide = self.tables[table]
        if wide.index.name == "model_id":
            return wide
        found = pd.Series(wide.index, index=wide.index).astype(str)
        model_ids = found.map(ids) if ids is not None else self.resolve(table, found)
        self.drop(f"{table} rows", int(model_ids.isna().sum()), f"{wide.index.name} of no DepMap model")
        kept = wide[model_ids.notna().to_numpy()]
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


@dataclass(frozen=True)
class Block:
    """A named group of features in one unit.

    Attributes
    ----------
    name : str
        Prefix of its features.
    unit : str
        Unit of its values.
    tables : tuple of str
        Source tables; the block is left out when none of them is there.
    build : callable
        Context -> (values indexed by model_id, provenance per feature or None).
    """

    name: str
    unit: str
    tables: tuple[str, ...]
    build: Callable[[Context], tuple[pd.DataFrame, pd.Series | None]]


def _name_rna_795(context: Context, others: list[pd.DataFrame]) -> pd.DataFrame:
    anonymous = context.tables["rna_795"]
    known = _overlay(others)
    matches = match_rows(anonymous, known)
    context.drop(
        "rna_795 rows",
        len(anonymous) - len(matches),
        "anonymous row not recognised by its values beyond doubt",
    )
    named = anonymous.loc[matches.row, [g for g in RNA_795_GENES if g in anonymous]]
    context.drop("rna_795 genes", anonymous.shape[1] - named.shape[1], "panel perhaps selected by response")
    return named.set_axis(pd.Index(matches.model_id, name="model_id"), axis=0)


def _overlay(panels: list[pd.DataFrame]) -> pd.DataFrame:
    """Union of panels; where two have a value, the earlier in the list wins."""
    lines = pd.Index(sorted(set().union(*(p.index for p in panels))), name="model_id")
    genes = pd.Index(sorted(set().union(*(p.columns for p in panels))))
    out = np.full((len(lines), len(genes)), np.nan, dtype=np.float32)
    for panel in reversed(panels):
        at = np.ix_(lines.get_indexer(panel.index), genes.get_indexer(panel.columns))
        values = panel.to_numpy(dtype=np.float32)
        out[at] = np.where(np.isfinite(values), values, out[at])
    return pd.DataFrame(out, index=lines, columns=genes)


def _rna(context: Context) -> tuple[pd.DataFrame, pd.Series]:
    panels: dict[str, pd.DataFrame] = {}
    for name in RNA_PANELS:
        if name not in context.tables or name == "rna_795":
            continue
        panel = context.tables[name]
        for (table, model_id), reason in MISLABELLED.items():
            if table == name and model_id in panel.index:
                context.drop(f"{name} line {model_id}", 1, reason)
                panel = panel.drop(index=model_id)
        bad = [g for g in UNSTABLE_GENES if g in panel]
        for gene in bad:
            context.drop(f"{name} gene {gene}", 1, UNSTABLE_GENES[gene])
        panels[name] = panel.drop(columns=bad)
    if "rna_795" in context.tables and panels:
        panels["rna_795"] = _name_rna_795(context, list(panels.values()))
    ordered = {n: panels[n] for n in RNA_PANELS if n in panels}
    merged = _overlay(list(ordered.values())).reindex(context.lines.index)
    parts = pd.DataFrame(
        {n: p.loc[p.index.isin(merged.index)].notna().sum() for n, p in ordered.items()}, index=merged.columns
    )
    provenance = (
        parts.fillna(0)
        .astype(int)
        .apply(lambda row: ", ".join(f"{n} ({c})" for n, c in row.items() if c), axis=1)
    )
    return merged, provenance


def _mutation(context: Context) -> tuple[pd.DataFrame, None]:
    calls = context.tables["mutation_any"]
    profiled = context.lines.index.intersection(list(calls.model_id.unique()))
    calls = calls[calls.model_id.isin(profiled)]
    counts = calls.gene.value_counts()
    often = counts.index[counts >= MIN_MUTATED_LINES]
    context.drop(
        "mutation genes", len(counts) - len(often), f"mutated in fewer than {MIN_MUTATED_LINES} lines"
    )
    return _indicator(calls[calls.gene.isin(often)], profiled), None


def _indicator(calls: pd.DataFrame, profiled: pd.Index) -> pd.DataFrame:
    lines = pd.Categorical(calls.model_id, categories=profiled)
    genes = pd.Categorical(calls.gene, categories=sorted(calls.gene.unique()))
    out = np.zeros((len(profiled), len(genes.categories)), dtype=np.float32)
    out[lines.codes, genes.codes] = 1
    return pd.DataFrame(out, index=profiled, columns=pd.Index(genes.categories))


def drop_artefacts(
    calls: pd.DataFrame, n_lines: int, hotspot_genes: set[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove changes too frequent to be somatic mutations.

    A protein change seen in more than 5 % of the profiled lines, in a gene without known hotspots,
    is an alignment artefact or a polymorphism (PRKDC p.L1244fs: 836 of 957 lines).

    Parameters
    ----------
    calls : pandas.DataFrame
        ``model_id``, ``gene``, ``protein_change``.
    n_lines : int
        Profiled lines.
    hotspot_genes : set of str
        Genes whose recurrent changes are real.

    Returns
    -------
    kept, removed : pandas.DataFrame
        The calls that stay; the changes removed with their number of lines.
    """
    counts = calls.groupby(["gene", "protein_change"]).model_id.nunique().rename("lines").reset_index()
    removed = counts[(counts.lines > ARTEFACT_SHARE * n_lines) & ~counts.gene.isin(hotspot_genes)]
    marked = calls.merge(removed[["gene", "protein_change"]], how="left", indicator=True)
    return calls[(marked._merge == "left_only").to_numpy()], removed


def _variant(context: Context) -> tuple[pd.DataFrame, None]:
    lines = context.tables["mutation_protein_lines"].cell_line
    model_ids = context.resolve("mutation_protein", lines)
    calls = context.tables["mutation_protein"].copy()
    calls["model_id"] = calls.cell_line.map(pd.Series(model_ids.to_numpy(), index=lines))
    hotspots = set(context.tables["hotspots"].columns) if "hotspots" in context.tables else set()
    kept, removed = drop_artefacts(calls.dropna(subset="model_id"), len(lines), hotspots)
    context.drop(
        "mutation_protein changes",
        len(removed),
        f"in over {ARTEFACT_SHARE:.0%} of lines and no hotspot gene: artefact or polymorphism",
    )
    profiled = context.lines.index.intersection(list(model_ids.dropna()))
    return _indicator(kept[kept.model_id.isin(profiled)], profiled), None


def _burden(context: Context) -> tuple[pd.DataFrame, None]:
    counts = context.tables["mutation_any"].groupby("model_id").gene.nunique()
    return pd.DataFrame({"mutated_genes": np.log10(1 + counts)}), None


def _lineage(context: Context) -> tuple[pd.DataFrame, None]:
    return pd.get_dummies(context.lines.lineage, dtype=np.float32), None


def _slfn11(context: Context) -> tuple[pd.DataFrame, None]:
    wide = context.by_model("slfn11_array", context.aliases.cosmic)
    return wide.set_axis([f"{c}_array" for c in wide], axis=1), None


def _wide(table: str, ids: str | None = None) -> Callable[[Context], tuple[pd.DataFrame, None]]:
    def build(context: Context) -> tuple[pd.DataFrame, None]:
        found = getattr(context.aliases, ids) if ids else None
        return context.by_model(table, found), None

    return build


BLOCKS: tuple[Block, ...] = (
    Block("rna", "log2_tpm", RNA_PANELS, _rna),
    Block("rna_array", "log2 RMA", ("rna_rma1000",), _wide("rna_rma1000", "ccle")),
    Block("slfn11", "log2 RMA", ("slfn11_array",), _slfn11),
    Block("mutation", "0/1", ("mutation_any",), _mutation),
    Block("variant", "0/1", ("mutation_protein",), _variant),
    Block("driver", "0 wild type, 1 non-damaging, 2 damaging", ("driver_status",), _wide("driver_status")),
    Block("burden", "log10(1 + genes)", ("mutation_any",), _burden),
    Block("rppa", "log2, median-centred", ("rppa",), _wide("rppa", "ccle")),
    Block("copy_number", "log2 ratio", ("copy_number",), _wide("copy_number")),
    Block("lineage", "0/1", ("depmap_models",), _lineage),
)


def build_blocks(context: Context) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Build every block whose tables are there.

    Parameters
    ----------
    context : Context
        Tables, aliases and the cohort's lines.

    Returns
    -------
    blocks : dict of str to pandas.DataFrame
        float32, cohort lines x sorted features.
    features : pandas.DataFrame
        Index ``feature``; block, name, unit, provenance.
    """
    blocks: dict[str, pd.DataFrame] = {}
    info = []
    for block in sorted(BLOCKS, key=lambda b: b.name):
        present = [t for t in block.tables if t in context.tables]
        if not present:
            context.drop(f"block {block.name}", 1, f"no table {' or '.join(block.tables)}")
            continue
        values, provenance = block.build(context)
        values = values.reindex(context.lines.index).sort_index(axis=1).astype(np.float32)
        values.columns = values.columns.astype(str)
        blocks[block.name] = values
        where = provenance[values.columns].to_numpy() if provenance is not None else ", ".join(present)
        info.append(
            pd.DataFrame(
                {"block": block.name, "name": values.columns, "unit": block.unit, "provenance": where},
                index=pd.Index(f"{block.name}:" + values.columns, name="feature"),
            )
        )
    return blocks, pd.concat(info)
