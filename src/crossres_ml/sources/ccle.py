"""CCLE (Broad Institute): annotation, protein, metabolites, chromatin, methylation, array, mutations."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from crossres_ml.sources.reading import pick, read_text, to_numbers, unpivot
from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import MODEL_ID, Matrix, Table, long_schema, number, text

_ANNOTATIONS = {
    "CCLE_ID": "ccle_name",
    "depMapID": "model_id",
    "Name": "name",
    "type": "type",
    "type_refined": "type_refined",
    "tcga_code": "tcga_code",
    "PATHOLOGIST_ANNOTATION": "pathologist_annotation",
    "Site_Primary": "site_primary",
    "Histology": "histology",
    "Hist_Subtype1": "histology_subtype",
    "Pathology": "pathology",
    "Gender": "sex",
    "Age": "age",
    "inferred_ethnicity": "inferred_ethnicity",
    "Characteristics": "growth_characteristics",
    "Growth.Medium": "growth_medium",
    "Supplements": "supplements",
    "Doubling.Time.from.Vendor": "doubling_time_vendor",
    "Doubling.Time.Calculated.hrs": "doubling_time_hours",
    "mutRate": "mutation_rate",
}
_STATUS = {"WT": 0.0, "NonDamagingVariant": 1.0, "DamagingVariant": 2.0}
_SUFFIX = "_Variant_Status"
# Form of a protein change -> class, tried in order.
_CLASSES = (
    ("splice", r"p\..+_splice"),
    ("frameshift", r"p\..+fs"),
    ("nonsense", r"p\.[A-Z]\d+\*"),
    ("stop_loss", r"p\.\*\d+[A-Z]+"),
    ("silent", r"p\.([A-Z*])\d+\1"),
    ("missense", r"p\.[A-Z]\d+[A-Z]"),
    ("inframe_deletion", r"p\.[A-Z*]+\d+del"),
    ("inframe_insertion", r"p\.\d+_\d+ins[A-Z*]+"),
    ("inframe_indel", r"p\.\d+_\d+[A-Z*]+>[A-Z*]+"),
)


def _annotations(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Annotation of 2018. The vendor's doubling time is free text ("~ 30 hrs") and stays so."""
    path = paths["ccle_annotations_2018"]
    table = pick(read_text(path, sep="\t"), _ANNOTATIONS, path)
    return to_numbers(table, ["age", "doubling_time_hours", "mutation_rate"], path)


def _wide_csv(path: Path, index: str, drop: tuple[str, ...] = ()) -> pd.DataFrame:
    """Wide csv with the ids in column ``index``; cells may be padded with blanks; no id: left out."""
    table = pd.read_csv(path, skipinitialspace=True).rename(columns={"Unnamed: 0": ""})
    table = table.drop(columns=list(drop))
    return table[table[index].notna()].set_index(index)


def _rppa(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Reverse-phase protein arrays; ``_Caution`` in a name: the antibody is not fully validated."""
    return _wide_csv(paths["ccle_rppa"], "")


def _metabolomics(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Metabolites; one line (OC315_OVARY) has no DepMap id in the file and is left out."""
    return _wide_csv(paths["ccle_metabolomics"], "DepMap_ID", ("CCLE_ID",))


def _chromatin(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Histone marks; a mark that was not measured is missing."""
    return _wide_csv(paths["ccle_chromatin"], "BroadID", ("CellLineName",))


def _methylation(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Promoter methylation; a 0 may stand for "not measured", because the file has no missing values."""
    return _wide_csv(paths["ccle_methylation_tss"], "")


def _rma1000(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Affymetrix U133+2 expression of 2012: another platform, never to be merged with RNA-seq.

    R put an X before the names that begin with a digit (``X143B_BONE``); it is taken off.
    """
    table = to_frame(read_r(paths["ccle2012_rma_1000"])["CCLE_small"]).T
    return table.set_axis(table.index.str.replace(r"^X(?=\d)", "", regex=True), axis=0)


def _driver_status(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Class of each driver gene in each line: cells are ``WT_TP53``, ``DamagingVariant_TP53``, ``NA``.

    "Damaging" is truncating, so TP53 missense hotspots are class 1. A gene with one and the same
    variant class in every line (CYSLTR2, HRAS, RAC1, RRAS2) is a fault of the file and is left out.
    """
    path = paths["ccle_driver_status"]
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        long = read_text(member, sep="\t")
    long = long[long.variable.str.endswith(_SUFFIX)]
    wide = long.pivot(index="SampleName", columns="variable", values="value")  # noqa: PD010 - a pair given twice must raise
    wide.columns = wide.columns.str.removesuffix(_SUFFIX)
    wide.index = wide.index.str.replace(r"^ACH\.(\d{6})\..*$", r"ACH-\1", regex=True)
    known = wide.apply(lambda c: c.str.removesuffix(f"_{c.name}"))
    status: pd.DataFrame = known.apply(lambda c: c.map(_STATUS).where(c.isin([*_STATUS]) | c.isna(), c))
    faulty = status.eq(status.iloc[0]).all() & status.iloc[0].ne(0)
    return status.loc[:, ~faulty].rename_axis(columns=None)


def _protein_calls(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Hybrid-capture assay of CCLE as genes x lines of text; a line that was not profiled is all NA."""
    profiles = read_r(paths["ccle_hybrid_capture"])["CCLEsmall"]["molecularProfiles"]
    assays = profiles["mutation"]["assays"]["data"]["listData"]
    calls = to_frame(assays["exprs"])
    return calls.loc[:, calls.notna().any()]


def variant_class(changes: pd.Series) -> pd.Series:
    """Class of protein changes, from how they are written.

    Parameters
    ----------
    changes : pandas.Series of str
        Such as ``p.A59T``, ``p.L883fs``, ``p.R446*``, ``p.E749_splice``, ``p.A264A``.

    Returns
    -------
    pandas.Series of str
        splice, frameshift, nonsense, stop_loss, silent, missense, inframe_deletion,
        inframe_insertion, inframe_indel or other.
    """
    out = pd.Series("other", index=changes.index, dtype="str")
    for name, form in reversed(_CLASSES):
        out = out.mask(changes.str.fullmatch(form), name)
    return out


def _protein(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Distinct protein changes, one a row; a cell can hold several (``p.A1V///p.R2*``), or ``wt``."""
    calls = _protein_calls(paths).T
    calls = calls.where(calls != "wt").rename_axis(index="cell_line")
    changes = unpivot(calls, "gene", "protein_change")
    changes["protein_change"] = changes.protein_change.str.split("///")
    changes = changes.explode("protein_change").drop_duplicates(ignore_index=True)
    kinds = pd.Series(changes.protein_change.unique())
    return changes.assign(
        variant_class=changes.protein_change.map(pd.Series(variant_class(kinds).to_numpy(), kinds))
    )


def _protein_lines(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Lines that were profiled, mutated or not."""
    return pd.DataFrame({"cell_line": np.asarray(_protein_calls(paths).columns)})


_KINDS = "|".join([*(name for name, _ in _CLASSES), "other"])

TABLES = (
    Table(
        "ccle_annotations",
        ("ccle_annotations_2018",),
        _annotations,
        long_schema(
            {
                c: {
                    "ccle_name": text(needed=True),
                    "model_id": text(MODEL_ID),
                    "age": number(0, 120),
                    "doubling_time_hours": number(1, 2000),
                    "mutation_rate": number(0, 1e5),
                }.get(c, text())
                for c in _ANNOTATIONS.values()
            },
            ["ccle_name"],
        ),
        "age in years; mutation rate as released (per megabase of coding sequence, not stated)",
        "CCLE annotation of 26 December 2018, with calculated doubling times",
    ),
    Table(
        "rppa",
        ("ccle_rppa",),
        _rppa,
        Matrix("ccle_name", -15, 15),
        "log2, median-centred",
        "214 proteins and phosphoproteins by reverse-phase array",
    ),
    Table(
        "metabolomics",
        ("ccle_metabolomics",),
        _metabolomics,
        Matrix("model_id", 0, 15, pattern=MODEL_ID),
        "log10 peak area, normalised as released",
        "225 metabolites",
    ),
    Table(
        "chromatin",
        ("ccle_chromatin",),
        _chromatin,
        Matrix("model_id", -20, 20, missing=True, pattern=MODEL_ID),
        "log2 fold change as released",
        "42 combinations of histone marks",
    ),
    Table(
        "methylation",
        ("ccle_methylation_tss",),
        _methylation,
        Matrix("model_id", 0, 1, pattern=MODEL_ID),
        "fraction methylated",
        "808 promoters of 581 cancer genes by RRBS",
    ),
    Table(
        "rna_rma1000",
        ("ccle2012_rma_1000",),
        _rma1000,
        Matrix("ccle_name", 0, 16),
        "log2 RMA",
        "1,000 genes on an Affymetrix array, CCLE 2012",
    ),
    Table(
        "driver_status",
        ("ccle_driver_status",),
        _driver_status,
        Matrix("model_id", 0, 2, missing=True, pattern=MODEL_ID),
        "0 wild type, 1 non-damaging, 2 damaging variant",
        "variant class of 295 driver genes",
    ),
    Table(
        "mutation_protein",
        ("ccle_hybrid_capture",),
        _protein,
        long_schema(
            {
                "cell_line": text(needed=True),
                "gene": text(needed=True),
                "protein_change": text(r"p\..+", needed=True),
                "variant_class": text(_KINDS, needed=True),
            },
            ["cell_line", "gene", "protein_change"],
        ),
        "text",
        "protein changes in 1,667 genes by hybrid capture; artefacts included",
    ),
    Table(
        "mutation_protein_lines",
        ("ccle_hybrid_capture",),
        _protein_lines,
        long_schema({"cell_line": text(needed=True)}, ["cell_line"]),
        "text",
        "lines profiled by hybrid capture",
    ),
)
