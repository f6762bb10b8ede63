"""DepMap (Broad Institute): gene expression by RNA sequencing, five public extracts; copy number.

Genes are named by symbol as each file has them. No file has a symbol twice (the five that both 795
files hold are one measurement, taken once); one that did would break the schema, because nothing
here could tell which column is meant. Genes and lines that disagree between releases are not
dropped by the readers: the cohort does that, with its reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.errors import SchemaError, preview
from crossres_ml.sources.reading import gene_symbols, pivot
from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import MODEL_ID, Matrix, Reader, Table

_LOG2_TPM = "log2_tpm"
_TISSUES = (
    "adrenal_cortex",
    "autonomic_ganglia",
    "biliary_tract",
    "bone",
    "cervix",
    "endometrium",
    "fibroblast",
    "kidney",
    "liver",
    "oesophagus",
    "placenta",
    "pleura",
    "primary",
    "prostate",
    "salivary_gland",
    "small_intestine",
    "stomach",
    "testis",
    "thyroid",
    "unknown",
    "upper_aerodigestive_tract",
    "urinary_tract",
    "uvea",
    "breast",
    "central_nervous_system",
    "haematopoietic_and_lymphoid_tissue",
    "large_intestine",
    "lung",
    "ovary",
    "pancreas",
    "skin",
    "soft_tissue",
)
_PANEL_795 = ("depmap22q2_expression_795a", "depmap22q2_expression_795b")
# Losses reach log2 ratios of -33 because a log of almost no copies is taken; below -3 (an eighth of
# the copies) all are the same event, a homozygous loss, and the rest is noise.
CN_FLOOR = -3.0


def _rna_535(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release 23Q2, 535 cancer genes; columns are named ``SYMBOL_Exp``."""
    table = to_frame(read_r(paths["depmap23q2_expression_535"])["expression"]).set_index("ModelID")
    return table.rename(columns=lambda c: c.removesuffix("_Exp"))


def _rna_kinome(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release 22Q2, 549 kinases, stored long."""
    path = paths["depmap22q2_kinome_expression"]
    table = read_r(path)["mynewexp"]
    return pivot(table["DepMap_ID"].value, table["gene"].value, table["TPM"].value, path)


def _rna_100(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release of January 2022, the first 100 genes by Ensembl id, stored long."""
    path = paths["depmap_expression_100"]
    table = read_r(path)["expression"]
    return pivot(table["depmap_id"].value, table["gene_name"].value, table["rna_expression"].value, path)


def _rna_19q2(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release 19Q2, all protein-coding genes, one file per tissue, stored long; sorted by line."""
    parts = []
    for path in paths.values():
        table = read_r(path)
        values = table["gene_expression"].value
        parts.append(pivot(table["dep_map_id"].value, table["gene"].value, values, path))
    genes = sorted(set().union(*(p.columns for p in parts)))
    return pd.concat([p.reindex(columns=genes) for p in parts]).sort_index()


def _rna_795(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Two files of 400 genes on the same 461 lines in the same order, without line names.

    The five genes that are in both are equal in all rows, which shows that the order is the same;
    they are taken once. Columns are named ``SYMBOL (ENTREZ)``.
    """
    left, right = (pd.read_csv(paths[i]) for i in _PANEL_795)
    shared = left.columns.intersection(right.columns)
    unlike = [c for c in shared if len(left) != len(right) or not (left[c] == right[c]).all()]
    if unlike or not len(shared):
        raise SchemaError(
            f"the files' rows are not the same lines: {preview(unlike) or 'no column'} in common differ",
            where=" and ".join(_PANEL_795),
        )
    out = pd.concat([left, right.drop(columns=shared)], axis=1)
    return out.set_axis(gene_symbols(out.columns), axis=1)


def _copy_number(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release 19Q1, log2 of relative copy number, losses cut at `CN_FLOOR`."""
    table = pd.read_parquet(paths["depmap19q1_copy_number"])
    return table.clip(lower=CN_FLOOR)


def _expression(
    name: str, sources: tuple[str, ...], read: Reader, about: str, *, partial: bool = False
) -> Table:
    schema = Matrix("model_id", 0, 20, pattern=MODEL_ID)
    return Table(name, sources, read, schema, _LOG2_TPM, about, partial)


TABLES = (
    _expression(
        "rna_535",
        ("depmap23q2_expression_535",),
        _rna_535,
        "RNA-seq of 535 cancer genes, DepMap 23Q2",
    ),
    _expression(
        "rna_kinome",
        ("depmap22q2_kinome_expression",),
        _rna_kinome,
        "RNA-seq of 549 kinases, DepMap 22Q2",
    ),
    _expression(
        "rna_100",
        ("depmap_expression_100",),
        _rna_100,
        "RNA-seq of the first 100 genes by Ensembl id, DepMap of January 2022",
    ),
    _expression(
        "rna_19q2",
        tuple(f"depmap19q2_expression_{t}" for t in _TISSUES),
        _rna_19q2,
        "RNA-seq of all protein-coding genes, DepMap 19Q2, tissues with a small file",
        partial=True,
    ),
    Table(
        "rna_795",
        _PANEL_795,
        _rna_795,
        Matrix(None, 0, 20),
        _LOG2_TPM,
        "RNA-seq of 795 genes, DepMap 22Q2, rows without line names",
    ),
    Table(
        "copy_number",
        ("depmap19q1_copy_number",),
        _copy_number,
        Matrix("model_id", CN_FLOOR, 12, missing=True, pattern=MODEL_ID),
        "log2 ratio",
        "gene copy number, DepMap 19Q1; losses cut at -3",
    ),
)
