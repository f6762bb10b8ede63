"""What the atlas works on: the irradiated lines, and everything that was screened on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.drugs import GDSC_DATASETS, describe_drugs, widen
from crossres_ml.config import Panels
from crossres_ml.identity.aliases import Aliases, build_aliases
from crossres_ml.scan.drug_names import other_names

ATLAS_TABLES = ("radiation", "ctrp_auc", "gdsc_response", "ctrp_drugs", "gdsc_drugs")
NAME_TABLES = ("depmap_models", "depmap_sample_info", "ccle_annotations", "sanger_models")
"""What tells which line a name means."""
UNKNOWN, OTHER, MIXTURE = "not classified", "other", "mixture"
# The class of CTRPv2's list in the words of GDSC's, where the two differ or one is misspelt.
_CLASS_WORDS = {
    "chromain  histone acetylation": "chromatin histone acetylation",
    "chromatin  histone methylation": "chromatin histone methylation",
    "chromatin  other": "chromatin other",
    "pi3k signaling": "PI3K/MTOR signaling",
    "tor signaling": "PI3K/MTOR signaling",
    "igfr signaling": "IGF1R signaling",
    "thymidylate synthetase": "DNA replication",
    "other, kinases": OTHER,
}


@dataclass(frozen=True, eq=False)
class AtlasData:
    """Radiation and drugs on the same lines.

    Attributes
    ----------
    radiation : pandas.Series
        AUC of every irradiated line, 0 to 7. The index is the model id, or the name of a line that
        has none.
    lines : pandas.DataFrame
        The same index: lineage, group (relatives share one), resolved (bool: has a model id).
    screens : mapping of str to pandas.DataFrame
        ``ctrp`` (AUC), ``gdsc1`` and ``gdsc2`` (ln IC50): all lines x drugs, NaN where not measured.
    info : pandas.DataFrame
        Index ``dataset:drug``: drug, dataset, genotoxic, panel, other_names, targets, mechanism,
        drug_class.
    """

    radiation: pd.Series
    lines: pd.DataFrame
    screens: Mapping[str, pd.DataFrame]
    info: pd.DataFrame


def atlas_data(tables: Mapping[str, pd.DataFrame], cohort: Cohort, panels: Panels) -> AtlasData:
    """Join radiation and drug screens by line, also lines that have no DepMap model.

    The cohort has model ids only. Four patient-derived brain tumour lines without one were both
    irradiated and screened in CTRPv2 by the same institute under the same names: they belong in here.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        `ATLAS_TABLES`, GDSC's as far as they are there, and `NAME_TABLES`.
    cohort : Cohort
        Gives lineage and relatives.
    panels : Panels
        Say which drugs are genotoxic.

    Returns
    -------
    AtlasData
        Every drug of every screen, also those measured in a few lines only.
    """
    aliases = build_aliases(tables)
    rows = tables["radiation"]
    key = _keys(rows.cell_line, aliases)
    radiation = pd.Series(rows.auc.to_numpy(dtype=float), pd.Index(rows.cell_line.map(key), name="line"))
    ctrp = tables["ctrp_auc"]
    screens = {"ctrp": widen(ctrp.assign(model_id=ctrp.cell_line.map(_keys(ctrp.cell_line, aliases))), "auc")}
    if "gdsc_response" in tables:
        gdsc = tables["gdsc_response"]
        for name, dataset in GDSC_DATASETS.items():
            if len(own := _named(gdsc[gdsc.dataset == dataset], aliases)):
                screens[name] = widen(own, "ln_ic50")
    columns = [f"{n}:{d}" for n, table in screens.items() for d in table.columns]
    info = describe_drugs(columns, tables, panels).rename_axis("measurement")
    return AtlasData(radiation, _lines(radiation.index, cohort), screens, _described(info, tables))


def _keys(names: pd.Series, aliases: Aliases) -> pd.Series:
    """Name -> model id, or the name itself where it has none."""
    found = aliases.resolve(names.unique()).model_id
    return found.astype("str").where(found.notna(), pd.Series(found.index, found.index)).astype("str")


def _named(rows: pd.DataFrame, aliases: Aliases) -> pd.DataFrame:
    """Rows of GDSC whose line has a model id, given or by name."""
    ids = rows.model_id.astype("string")
    names = pd.Series(rows.cell_line[ids.isna()].dropna().unique(), dtype="str")
    if len(names):
        ids = ids.fillna(rows.cell_line.map(aliases.resolve(names).model_id).astype("string"))
    return rows.assign(model_id=ids).dropna(subset="model_id")


def _lines(index: pd.Index, cohort: Cohort) -> pd.DataFrame:
    """Lineage and relatives; what is not known of a line is not guessed, and it has no relatives."""
    known = cohort.lines[["lineage", "group"]].reindex(index)
    group = known.group.fillna(pd.Series(index, index).astype(str))
    lineage, resolved = known.lineage.fillna("Unknown"), known.lineage.notna()
    return pd.DataFrame({"lineage": lineage, "group": group, "resolved": resolved})


def _described(info: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Add other names, targets, mechanism and class to the list of measurements."""
    named = other_names(info.drug.unique(), tables.get("gdsc_drugs"))
    info = info.assign(other_names=info.drug.map(named))
    ctrp = info.dataset == "ctrp"
    for column, own, gdsc in (
        ("targets", "targets", "target_name"),
        ("mechanism", "drug_class", ""),
        ("drug_class", "gdsc_class", "pathway"),
    ):
        first = _column(tables.get("ctrp_drugs"), own, info.drug)
        info[column] = first.where(ctrp, _column(tables.get("gdsc_drugs"), gdsc, info.drug))
    info["drug_class"] = [drug_class(c, d) for c, d in zip(info.drug_class, info.drug, strict=True)]
    return info


def _column(table: pd.DataFrame | None, column: str, drugs: pd.Series) -> pd.Series:
    if table is None or column not in table:
        return pd.Series("", drugs.index)
    known = table.dropna(subset=["drug", column]).drop_duplicates("drug").set_index("drug")[column]
    return drugs.map(known).fillna("").astype(str)


def drug_class(text: str, drug: str) -> str:
    """Class of a drug in the words of GDSC.

    Parameters
    ----------
    text : str
        Class as a list of drugs gives it; empty where it gives none.
    drug : str
        The drug: one of several compounds (``a:b (2:1 mol/mol)``) is a mixture, whatever its class.

    Returns
    -------
    str
        With a small letter first, unless it begins with an abbreviation.
    """
    if "mol/mol" in drug:
        return MIXTURE
    words = text.strip()
    words = words if words[1:2].isupper() else words[:1].lower() + words[1:]
    return _CLASS_WORDS.get(words.lower(), words) or UNKNOWN
