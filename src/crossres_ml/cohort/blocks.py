"""Feature blocks: the one place that lists what a line can be described by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossres_ml.cohort.context import Context
from crossres_ml.cohort.mutations import read_cn_event, read_mutation, read_variant
from crossres_ml.cohort.rna import RNA_PANELS, read_rna
from crossres_ml.cohort.scores import read_arms, read_factors, read_gene_sets

Values = tuple[pd.DataFrame | None, pd.Series | None]
Reader = Callable[[Context], Values]

# Scored on uncentred expression: against scores of centred expression PI3K is reversed (rho -0.86) and
# the others do not agree (0.00, -0.29, 0.06).
DISTRUSTED_PATHWAYS = ("PI3K", "Trail", "VEGF", "Estrogen")
CREDIBLE_HOURS = (10.0, 500.0)
MIN_SUBTYPE_LINES = 6
CAUTION = "_Caution"
NOT_SCORED = "lacks genes of the RNA panels that most lines have"


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
        Context -> (values indexed by model_id, provenance per feature or None); no values when
        the tables do not suffice, of which the context then says why.
    needs : tuple of str
        Tables without any of which it is left out too.
    absent : str
        Why a line has no value at all; by default, that it is in none of the tables.
    """

    name: str
    unit: str
    tables: tuple[str, ...]
    build: Reader
    needs: tuple[str, ...] = ()
    absent: str = ""


def _burden(context: Context) -> Values:
    counts = context.tables["mutation_any"].groupby("model_id").gene.nunique()
    return pd.DataFrame({"mutated_genes": np.log10(1 + counts)}), None


def _lineage(context: Context) -> Values:
    return pd.get_dummies(context.lines.lineage, dtype=np.float32), None


def _subtype(context: Context) -> Values:
    """Subtypes as three catalogues draw them; a line that a catalogue does not know is missing there."""
    known = {"oncotree": context.lines.subtype.replace("Unknown", pd.NA)}
    sources = (
        ("depmap22q2", "depmap_sample_info", "lineage_subtype"),
        ("ccle", "ccle_annotations", "type_refined"),
    )
    for name, table, column in sources:
        if table in context.tables and column in context.tables[table]:
            rows = context.tables[table].dropna(subset=["model_id", column]).drop_duplicates("model_id")
            known[name] = rows.set_index("model_id")[column].reindex(context.lines.index)
    parts = []
    for name, subtype in known.items():
        counts = subtype.value_counts()
        often = counts.index[counts >= MIN_SUBTYPE_LINES]
        context.drop(
            f"{name} subtypes", len(counts) - len(often), f"fewer than {MIN_SUBTYPE_LINES} lines have it"
        )
        dummies = pd.get_dummies(subtype, dtype=np.float32).reindex(columns=often)
        parts.append(dummies.where(subtype.notna(), axis=0).add_prefix(f"{name} "))
    return pd.concat(parts, axis=1), None


def _slfn11(context: Context) -> Values:
    wide = context.by_model("slfn11_array", context.aliases.cosmic)
    return wide.set_axis([f"{c}_array" for c in wide], axis=1), None


def _progeny(context: Context) -> Values:
    wide = context.by_model("progeny")
    out = [p for p in DISTRUSTED_PATHWAYS if p in wide]
    context.drop("progeny pathways", len(out), "do not agree with scores of centred expression")
    return wide.drop(columns=out), None


def _signature(context: Context) -> Values:
    present = [t for t in ("global_signatures", "hrd_scores") if t in context.tables]
    return pd.concat([context.by_model(t) for t in present], axis=1), None


def _growth(context: Context) -> Values:
    """Doubling times; two laboratories agree little (rho 0.34), so they stay two features.

    Slower than 500 hours is as good as not growing and becomes 500; faster than 10 is no human cell.
    """
    hours = {}
    if "ccle_annotations" in context.tables:
        rows = context.tables["ccle_annotations"].dropna(subset=["model_id", "doubling_time_hours"])
        hours["ccle"] = rows.set_index("model_id").doubling_time_hours
    if "sanger_growth" in context.tables:
        rows = context.tables["sanger_growth"].dropna(subset=["doubling_time_hours"])
        ids = rows.sanger_model_id.map(context.aliases.sanger).astype("string")
        ids = ids.fillna(rows.cosmic_id.astype("string").map(context.aliases.cosmic))
        known = ids.notna().to_numpy()
        hours["sanger"] = pd.Series(rows.doubling_time_hours[known].to_numpy(), ids[known].to_numpy())
    fastest, slowest = CREDIBLE_HOURS
    for name, values in hours.items():
        context.drop(f"{name} doubling times", int((values < fastest).sum()), f"under {fastest:g} hours")
        values = values[~values.index.duplicated()]
        hours[name] = values.where(values >= fastest).clip(upper=slowest)
    return pd.DataFrame(hours).transform(np.log2), None


def _wide(table: str, ids: str | None = None) -> Reader:
    def build(context: Context) -> Values:
        found = getattr(context.aliases, ids) if ids else None
        return context.by_model(table, found), None

    return build


BLOCKS: tuple[Block, ...] = (
    Block("rna", "log2_tpm", RNA_PANELS, read_rna),
    Block("rna_array", "log2 RMA", ("rna_rma1000",), _wide("rna_rma1000", "ccle")),
    Block("slfn11", "log2 RMA", ("slfn11_array",), _slfn11),
    Block("gene_set", "t value", RNA_PANELS, read_gene_sets, ("gene_sets",), NOT_SCORED),
    Block("tf", "t value", RNA_PANELS, read_factors, ("collectri",), NOT_SCORED),
    Block("progeny", "t value", ("progeny",), _progeny),
    Block("rppa", "log2, median-centred", ("rppa",), _wide("rppa", "ccle")),
    Block("metabolomics", "log10 intensity", ("metabolomics",), _wide("metabolomics")),
    Block("chromatin", "log2 ratio", ("chromatin",), _wide("chromatin")),
    Block("methylation", "methylated share", ("methylation",), _wide("methylation")),
    Block("mutation", "0/1", ("mutation_any",), read_mutation),
    Block("variant", "0/1", ("mutation_protein",), read_variant),
    Block("driver", "0 wild type, 1 non-damaging, 2 damaging", ("driver_status",), _wide("driver_status")),
    Block("hotspot", "0 none, 1 mutated, 2 homozygous", ("hotspots",), _wide("hotspots")),
    Block("burden", "log10(1 + genes)", ("mutation_any",), _burden),
    Block("copy_number", "log2 ratio", ("copy_number",), _wide("copy_number")),
    Block("cn_arm", "mean log2 ratio", ("copy_number",), read_arms, ("hgnc",)),
    Block("cn_event", "0/1", ("clinical_cn",), read_cn_event, absent="no event: has none, or not sequenced"),
    Block("aneuploidy", "arms -1, 0, +1; scores as released", ("aneuploidy",), _wide("aneuploidy")),
    Block("signature", "as released", ("global_signatures", "hrd_scores"), _signature),
    Block("growth", "log2 hours", ("ccle_annotations", "sanger_growth"), _growth),
    Block("lineage", "0/1", ("depmap_models",), _lineage),
    Block("subtype", "0/1", ("depmap_models",), _subtype),
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
        Index ``feature``; block, name, unit, provenance, caution.
    """
    blocks: dict[str, pd.DataFrame] = {}
    info = []
    for block in sorted(BLOCKS, key=lambda b: b.name):
        present = [t for t in block.tables if t in context.tables]
        lacking = [t for t in block.needs if t not in context.tables]
        if not present or lacking:
            missing = " and ".join(lacking) if lacking else " or ".join(block.tables)
            context.drop(f"block {block.name}", 1, f"no table {missing}")
            continue
        values, provenance = block.build(context)
        if values is None:
            continue
        values = values.reindex(context.lines.index).sort_index(axis=1).astype(np.float32)
        values.columns = values.columns.astype(str)
        blocks[block.name] = values
        where = (
            provenance[values.columns].to_numpy()
            if provenance is not None
            else ", ".join([*present, *block.needs])
        )
        info.append(
            pd.DataFrame(
                {"block": block.name, "name": values.columns, "unit": block.unit, "provenance": where},
                index=pd.Index(f"{block.name}:" + values.columns, name="feature"),
            )
        )
    features = pd.concat(info)
    return blocks, features.assign(caution=features.name.str.contains(CAUTION, regex=False))
