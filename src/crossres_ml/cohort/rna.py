"""Expression: the union of the RNA-seq panels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossres_ml.cohort.context import Context
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


def all_expression(context: Context) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Read log2 TPM of every gene of any RNA-seq panel, made once; the newer release wins.

    Parameters
    ----------
    context : Context
        Has at least one of `RNA_PANELS`.

    Returns
    -------
    merged : pandas.DataFrame
        All lines, also those outside the cohort, x genes; float32.
    panels : dict of str to pandas.DataFrame
        What it was merged from, newest first.
    """
    if "expression" not in context.kept:
        panels: dict[str, pd.DataFrame] = {}
        for name in RNA_PANELS:
            if name in context.tables and name != "rna_795":
                panels[name] = _sound(context, name)
        if "rna_795" in context.tables and panels:
            panels["rna_795"] = _name_rna_795(context, list(panels.values()))
        ordered = {n: panels[n] for n in RNA_PANELS if n in panels}
        context.kept["expression"] = (_overlay(list(ordered.values())), ordered)
    merged, panels = context.kept["expression"]
    return merged, panels


def _sound(context: Context, name: str) -> pd.DataFrame:
    """Take a panel without the lines and genes that other releases contradict."""
    panel = context.by_model(name)
    for (table, model_id), reason in MISLABELLED.items():
        if table == name and model_id in panel.index:
            context.drop(f"{name} line {model_id}", 1, reason)
            panel = panel.drop(index=model_id)
    bad = [g for g in UNSTABLE_GENES if g in panel]
    for gene in bad:
        context.drop(f"{name} gene {gene}", 1, UNSTABLE_GENES[gene])
    return panel.drop(columns=bad)


def _lines_with(panel: pd.DataFrame, lines: pd.Index) -> pd.Series:
    """Count the lines for which the panel has a gene."""
    own = panel.to_numpy()[panel.index.isin(lines)]
    return pd.Series(np.isfinite(own).sum(axis=0), panel.columns)


def read_rna(context: Context) -> tuple[pd.DataFrame, pd.Series]:
    """Expression of the cohort's lines.

    Parameters
    ----------
    context : Context
        Has at least one of `RNA_PANELS`.

    Returns
    -------
    values : pandas.DataFrame
        Lines x genes, log2 TPM, float32.
    provenance : pandas.Series
        Gene -> the panels that measured it, with their numbers of the cohort's lines.
    """
    everything, panels = all_expression(context)
    merged = everything.reindex(context.lines.index)
    parts = pd.DataFrame({n: _lines_with(p, merged.index) for n, p in panels.items()}, index=merged.columns)
    provenance = (
        parts.fillna(0)
        .astype(int)
        .apply(lambda row: ", ".join(f"{n} ({c})" for n, c in row.items() if c), axis=1)
    )
    return merged, provenance
