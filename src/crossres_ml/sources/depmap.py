"""DepMap (Broad Institute): models, mutations, subtypes, copy-number events, genome signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.sources.reading import pick, read_text, to_numbers
from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import MODEL_ID, Matrix, Table, integer, long_schema, number, text

_MODELS = {
    "ModelID": "model_id",
    "PatientID": "patient_id",
    "CellLineName": "cell_line_name",
    "StrippedCellLineName": "stripped_name",
    "CCLEName": "ccle_name",
    "ModelIDAlias": "model_id_alias",
    "OncotreeLineage": "lineage",
    "OncotreePrimaryDisease": "primary_disease",
    "OncotreeSubtype": "subtype",
    "OncotreeCode": "oncotree_code",
    "Sex": "sex",
    "Age": "age",
    "AgeCategory": "age_category",
    "PatientRace": "race",
    "PrimaryOrMetastasis": "primary_or_metastasis",
    "SampleCollectionSite": "collection_site",
    "PatientTreatmentStatus": "treatment_status",
    "ModelType": "model_type",
    "GrowthPattern": "growth_pattern",
    "OnboardedMedia": "medium",
    "EngineeredModel": "engineered",
    "ModelSubtypeFeatures": "subtype_features",
    "RRID": "rrid",
    "COSMICID": "cosmic_id",
    "SangerModelID": "sanger_model_id",
}
_SAMPLES = {
    "DepMap_ID": "model_id",
    "patient_id": "patient_id",
    "cell_line_name": "cell_line_name",
    "stripped_cell_line_name": "stripped_name",
    "CCLE_Name": "ccle_name",
    "alias": "alias",
    "parent_depmap_id": "parent_model_id",
    "COSMICID": "cosmic_id",
    "Sanger_Model_ID": "sanger_model_id",
    "RRID": "rrid",
    "lineage": "lineage",
    "lineage_subtype": "lineage_subtype",
    "lineage_sub_subtype": "lineage_sub_subtype",
    "lineage_molecular_subtype": "lineage_molecular_subtype",
    "primary_disease": "primary_disease",
    "Subtype": "subtype",
    "sex": "sex",
    "age": "age",
    "primary_or_metastasis": "primary_or_metastasis",
    "default_growth_pattern": "growth_pattern",
    "Cellosaurus_issues": "cellosaurus_issues",
}
_RRID = r"CVCL_[A-Z0-9]{4}"
_AGES_IN_WORDS = ["Adult", "Pediatric", "Fetus"]
_SIGNATURES = ("MSIScore", "LoHFraction", "WGD", "CIN", "Ploidy", "Aneuploidy")


def _models(paths: Mapping[str, Path]) -> pd.DataFrame:
    """One row per model; an RRID that is none (``VCL_7146``, a slip of the pen) is missing here."""
    path = paths["depmap25q3_models"]
    out = pick(read_text(path, missing=("",)), _MODELS, path)
    out = to_numbers(out, ["age", "cosmic_id"], path)
    out["rrid"] = out.rrid.where(out.rrid.str.fullmatch(_RRID))
    return out.assign(cosmic_id=out.cosmic_id.astype("Int64"))


def _sample_info(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Release 22Q2, restricted by its publisher to the 1,086 screened lines.

    Empty text is missing, and so is an age in words (``Adult``, ``Pediatric``, ``Fetus``).
    """
    path = paths["depmap22q2_sample_info"]
    out = pick(to_frame(read_r(path)["myinfo"]), _SAMPLES, path)
    words = out.columns[out.dtypes != "float64"]
    out[words] = out[words].astype("str").replace("", None)
    out["age"] = out.age.replace(_AGES_IN_WORDS, None)
    out = to_numbers(out, ["age", "cosmic_id"], path)
    return out.assign(cosmic_id=out.cosmic_id.astype("Int64"))


def _mutated_genes(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Pairs of model and gene with a call of any class (perhaps silent ones too: the class is not given).

    The file has a row per mutation; a gene that is mutated twice in a line is one pair here.
    """
    path = paths["depmap_mutated_genes"]
    table = pick(to_frame(read_r(path)["mynewmut"]), {"DepMap_ID": "model_id", "gene": "gene"}, path)
    return table.drop_duplicates(ignore_index=True)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _hotspots(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Hotspot mutations: 0 none, 1 mutated, 2 with summed allele fractions above 0.95 (no wild type left).

    The file lists mutated lines only. Which lines were profiled, and so have 0, is taken from the
    subtype file of the same release and author.
    """
    genes = _json(paths["depmap25q3_hotspots"])["geneData"]
    profiled = list(_json(paths["depmap25q3_inferred_subtypes"])["byCellLine"])
    columns = {g: pd.Series(d["mutations"], dtype="float64") for g, d in genes.items()}
    mutated = pd.DataFrame(columns)
    return mutated.reindex(pd.Index(profiled).union(mutated.index, sort=False)).fillna(0)


def _inferred_subtypes(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Hotspots, fusions and losses of function of tumour suppressors, 0/1; MSI.

    Losses combine deletion, mutation and absent expression, so they see the homozygous deletions that
    mutation tables miss. The author's file does not tell "no" from "not known": both are 0.
    """
    data = _json(paths["depmap25q3_inferred_subtypes"])
    kinds = (
        ("hotspots", "hotspots", "hotspot"),
        ("fusions", "fusions", "fusion"),
        ("lofGenes", "lof", "LoF"),
    )
    lines = data["byCellLine"]
    out = {
        f"{label} {event}": [int(event in found.get(key, ())) for found in lines.values()]
        for listed, key, label in kinds
        for event in data[listed]
    }
    out["MSI"] = [int(found["msi"]) for found in lines.values()]
    return pd.DataFrame(out, index=list(lines))


def _clinical_cn(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Amplifications of 33 oncogenes (relative copy number >= 3), deletions of 14 suppressors (<= 0.5).

    A line that is absent has no such event or no whole-genome sequence: the file does not tell which.
    """
    lines = _json(paths["depmap25q3_clinical_cn"])["byCellLine"]
    rows = [
        (model_id, event["gene"], event["cn"], event["tier"], kind)
        for model_id, kinds in lines.items()
        for kind, events in kinds.items()
        for event in events
    ]
    return pd.DataFrame(rows, columns=["model_id", "gene", "relative_cn", "tier", "kind"])


def _global_signatures(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Genome-wide scores of each model's default sequencing entry (the others are repeats)."""
    path = paths["depmap25q3_global_signatures"]
    names = {"ModelID": "model_id", "IsDefaultEntryForModel": "default", **{s: s for s in _SIGNATURES}}
    table = to_numbers(pick(read_text(path), names, path), _SIGNATURES, path)
    return table[table.default == "Yes"].drop(columns="default").set_index("model_id")


_SPECIAL = {
    "model_id": text(MODEL_ID, needed=True),
    "parent_model_id": text(MODEL_ID),
    "age": number(0, 120),
    "cosmic_id": integer(1),
    "stripped_name": text(needed=True),
    "sanger_model_id": text(r"SIDM\d{5}"),
    "rrid": text(_RRID),
}

TABLES = (
    Table(
        "depmap_models",
        ("depmap25q3_models",),
        _models,
        long_schema({c: _SPECIAL.get(c, text()) for c in _MODELS.values()}, ["model_id"]),
        "age in years",
        "Model.csv of DepMap 25Q3: names, identifiers, patient and annotation of every model",
    ),
    Table(
        "depmap_sample_info",
        ("depmap22q2_sample_info",),
        _sample_info,
        long_schema({c: _SPECIAL.get(c, text()) for c in _SAMPLES.values()}, ["model_id"]),
        "age in years",
        "sample_info of DepMap 22Q2",
    ),
    Table(
        "mutation_any",
        ("depmap_mutated_genes",),
        _mutated_genes,
        long_schema(
            {"model_id": text(MODEL_ID, needed=True), "gene": text(needed=True)}, ["model_id", "gene"]
        ),
        "pairs",
        "genes with any mutation call, distinct pairs",
    ),
    Table(
        "hotspots",
        ("depmap25q3_hotspots", "depmap25q3_inferred_subtypes"),
        _hotspots,
        Matrix("model_id", 0, 2, "int8", pattern=MODEL_ID),
        "0 none, 1 mutated, 2 homozygous",
        "hotspot mutations of 49 genes, DepMap 25Q3",
    ),
    Table(
        "inferred_subtypes",
        ("depmap25q3_inferred_subtypes",),
        _inferred_subtypes,
        Matrix("model_id", 0, 1, "int8", pattern=MODEL_ID),
        "0/1",
        "molecular subtypes inferred by DepMap 25Q3",
    ),
    Table(
        "clinical_cn",
        ("depmap25q3_clinical_cn",),
        _clinical_cn,
        long_schema(
            {
                "model_id": text(MODEL_ID, needed=True),
                "gene": text(needed=True),
                "relative_cn": number(0, 1000, needed=True),
                "tier": text("amp|strong_amp|del|deep_del", needed=True),
                "kind": text("amplifications|deletions", needed=True),
            },
            ["model_id", "gene"],
        ),
        "copy number relative to the genome's mean (1 = diploid)",
        "focal copy-number events of clinically known genes, DepMap 25Q3",
    ),
    Table(
        "global_signatures",
        ("depmap25q3_global_signatures",),
        _global_signatures,
        Matrix("model_id", 0, 100, "float64", missing=True, pattern=MODEL_ID),
        "scores as released",
        "microsatellite instability, loss of heterozygosity, genome doubling, ploidy, DepMap 25Q3",
    ),
)
