"""Drug response of GDSC (Sanger and MGH) in four public copies, its drugs and its line features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from crossres_ml.sources.reading import pick, read_text, to_numbers, unpivot
from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import MODEL_ID, Matrix, Table, integer, long_schema, number, text

_COLUMNS = (
    "dataset",
    "drug_id",
    "drug",
    "cell_line",
    "cosmic_id",
    "sanger_model_id",
    "model_id",
    "ln_ic50",
    "auc",
)
_DRUGS = {
    "Drug ID": "drug_id",
    "Name": "drug",
    "Synonyms": "synonyms",
    "Target name": "target_name",
    "Gene Target": "target_genes",
    "Drug Type": "drug_type",
    "Pathway": "pathway",
    "Owner": "owner",
    "Pubchem": "pubchem",
    "Chembl": "chembl",
    "Web Release": "web_release",
}


def _fitted(path: Path) -> pd.DataFrame:
    """GDSC1 with AUC; knows drug ids and line names only."""
    table = to_frame(read_r(path)["GDSC_orig_IC50_AUC"])
    names = {"CellLine": "cell_line", "Drug": "drug_id", "LN_IC50": "ln_ic50", "AUC": "auc"}
    return pick(table, names, path).assign(dataset="GDSC1_fitted")


def _v17(path: Path) -> pd.DataFrame:
    """GDSC1 release 17; knows drug ids and COSMIC ids only."""
    wide = pd.read_csv(path).set_index("COSMIC_ID")
    wide.columns = wide.columns.str.extract(r"^Drug_(\d+)_IC50$")[0].astype("int64")
    return (
        unpivot(wide, "drug_id", "ln_ic50")
        .rename(columns={"COSMIC_ID": "cosmic_id"})
        .assign(dataset="GDSC1_v17")
    )


def _v2019(path: Path) -> pd.DataFrame:
    """GDSC1 and GDSC2 of November 2019 on 484 lines; knows Sanger model ids."""
    wide = pd.read_csv(path)
    keys = {"VERSION": "dataset", "DRUG_ID": "drug_id", "DRUG_NAME": "drug"}
    wide = wide.rename(columns=keys).set_index(list(keys.values()))
    long = unpivot(wide, "sanger_model_id", "ln_ic50")
    return long.assign(dataset=long.dataset + "_2019")


def _v2022(path: Path) -> pd.DataFrame:
    """GDSC2 of 2022; knows drug names and DepMap ids, under the misleading heading COSMIC_ID."""
    wide = pd.read_csv(path).set_index("COSMIC_ID").rename_axis(index="model_id")
    return unpivot(wide, "drug", "ln_ic50").assign(dataset="GDSC2_2022")


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "gdsc1_fitted": _fitted,
    "gdsc_v17_ic50": _v17,
    "gdsc_2019_ic50": _v2019,
    "gdsc2_2022_ic50": _v2022,
}


def _response(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Union of the copies at hand; an identifier that a copy does not give stays missing.

    Names of drug ids come from the 2019 drug sheet. It lacks 112 ids of older GDSC1 drugs (for example
    11, paclitaxel): those keep their id and have no name.
    """
    parts = [read(paths[i]) for i, read in _READERS.items() if i in paths]
    out = pd.concat(parts, ignore_index=True).reindex(columns=_COLUMNS)
    out["drug_id"] = out.drug_id.astype("Int64")
    if "gdsc_2019_drugs" in paths:
        named = _drugs(paths).set_index("drug_id").drug
        out["drug"] = out.drug.fillna(out.drug_id.map(named))
    return out


def _drugs(paths: Mapping[str, Path]) -> pd.DataFrame:
    path = paths["gdsc_2019_drugs"]
    table = to_numbers(pick(read_text(path), _DRUGS, path), ["drug_id"], path)
    return table.assign(drug_id=table.drug_id.astype("Int64"))


def _features(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Tissue, microsatellite instability, and 0/1 mutations and copy-number segments of GDSC1000."""
    wide = pd.read_csv(paths["gdsc_v17_features"])
    names = {"COSMIC_ID": "cosmic_id", "TISSUE_FACTOR": "tissue", "MSI_FACTOR": "msi"}
    binary = wide.columns.difference(list(names), sort=False)
    return wide.astype(dict.fromkeys(binary, "int8")).rename(columns=names)


def _slfn11(paths: Mapping[str, Path]) -> pd.DataFrame:
    """SLFN11 on the HG-U219 array.

    Four lines were hybridised twice; the second array is marked by a COSMIC id ending in ``.1`` and is
    left out. The file ends its lines with a carriage return alone.
    """
    path = paths["slfn11_gdsc"]
    table = read_text(path, sep="\t", lineterminator="\r")
    table = pick(table, {"Cosmic id": "cosmic_id", "SLFN11": "SLFN11"}, path)
    first = table[~table.cosmic_id.str.endswith(".1")]
    return to_numbers(first, ["cosmic_id"], path).astype({"cosmic_id": "int64"}).set_index("cosmic_id")


_RESPONSES = tuple(_READERS)
TABLES = (
    Table(
        "gdsc_response",
        _RESPONSES,
        _response,
        long_schema(
            {
                "dataset": text("GDSC1_fitted|GDSC1_v17|GDSC[12]_2019|GDSC2_2022", needed=True),
                "drug_id": integer(1),
                "drug": text(),
                "cell_line": text(),
                "cosmic_id": integer(1),
                "sanger_model_id": text(r"SIDM\d{5}"),
                "model_id": text(MODEL_ID),
                "ln_ic50": number(-20, 20, needed=True),
                "auc": number(0, 1),
            },
            _COLUMNS[:-2],
        ),
        "natural logarithm of IC50 in micromolar; AUC 0-1",
        "four public copies of GDSC1 and GDSC2; higher = more resistant",
        partial=True,
        also=("gdsc_2019_drugs",),
    ),
    Table(
        "gdsc_drugs",
        ("gdsc_2019_drugs",),
        _drugs,
        long_schema(
            {
                c: {"drug_id": integer(1, needed=True), "drug": text(needed=True)}.get(c, text())
                for c in _DRUGS.values()
            },
            ["drug_id"],
        ),
        "text",
        "names, targets and pathways of the GDSC drug ids in use in 2019",
    ),
    Table(
        "gdsc_v17_features",
        ("gdsc_v17_features",),
        _features,
        pa.DataFrameSchema(
            {
                "cosmic_id": integer(1, needed=True),
                "tissue": text(needed=True),
                r"^(?:msi|.+_mut|(?:gain|loss)_cna.+)$": pa.Column("int8", pa.Check.isin([0, 1]), regex=True),
            },
            strict=True,
            coerce=True,
            unique=["cosmic_id"],
        ),
        "0/1",
        "tissue, MSI, driver mutations and recurrent copy-number segments of 988 lines",
    ),
    Table(
        "slfn11_array",
        ("slfn11_gdsc",),
        _slfn11,
        Matrix("cosmic_id", 0, 16, pattern=r"\d+"),
        "log2 RMA",
        "SLFN11 mRNA on the HG-U219 array (another platform than RNA-seq)",
    ),
)
