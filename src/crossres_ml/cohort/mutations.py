"""Mutations and copy-number events: calls -> lines x genes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossres_ml.cohort.context import Context

MIN_MUTATED_LINES = 5
ARTEFACT_SHARE = 0.05


def read_mutation(context: Context) -> tuple[pd.DataFrame, None]:
    """Any coding mutation of a gene; 0 only for lines that have a call at all."""
    calls = context.tables["mutation_any"]
    profiled = context.lines.index.intersection(list(calls.model_id.unique()))
    calls = calls[calls.model_id.isin(profiled)]
    counts = calls.gene.value_counts()
    often = counts.index[counts >= MIN_MUTATED_LINES]
    context.drop(
        "mutation genes", len(counts) - len(often), f"mutated in fewer than {MIN_MUTATED_LINES} lines"
    )
    return indicator(calls[calls.gene.isin(often)], profiled), None


def indicator(calls: pd.DataFrame, profiled: pd.Index) -> pd.DataFrame:
    """0/1 table of the genes that are called in each profiled line.

    Parameters
    ----------
    calls : pandas.DataFrame
        ``model_id`` (all profiled) and ``gene``.
    profiled : pandas.Index
        Lines for which no call means 0.

    Returns
    -------
    pandas.DataFrame
        ``profiled`` x sorted genes, float32.
    """
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


def read_variant(context: Context) -> tuple[pd.DataFrame, None]:
    """Protein-changing calls of the 1,667-gene capture panel, without artefacts."""
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
    return indicator(kept[kept.model_id.isin(profiled)], profiled), None


def read_cn_event(context: Context) -> tuple[pd.DataFrame, None]:
    """Focal amplifications and deletions of clinically known genes; missing where a line has none."""
    # The table lists events alone: a line without one may not have been sequenced, so it is not 0.
    calls = context.tables["clinical_cn"]
    calls = calls.assign(gene=calls.gene + " " + calls.kind.str.removesuffix("s"))
    profiled = context.lines.index.intersection(list(calls.model_id.unique()))
    calls = calls[calls.model_id.isin(profiled)]
    counts = calls.groupby("gene").model_id.nunique()
    often = counts.index[counts >= MIN_MUTATED_LINES]
    context.drop("copy-number events", len(counts) - len(often), f"in fewer than {MIN_MUTATED_LINES} lines")
    return indicator(calls[calls.gene.isin(often)], profiled), None
