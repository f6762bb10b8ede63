"""Drug response of CTRPv2 (Broad Institute, 2015) as published AUCs, and its drugs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.sources.reading import pick, read_text, unpivot
from crossres_ml.sources.rfile import read_r, to_frame
from crossres_ml.sources.schema import Table, long_schema, number, text

# The drug list spells nine drugs otherwise than the response table; tipifarnib, one row with its
# target written twice, stands for the two preparations that were screened.
_RESPONSE_NAMES = {
    "Tamoxifen": ("tamoxifen",),
    "Doxorubicin": ("doxorubicin",),
    "Cytarabine": ("cytarabine hydrochloride",),
    "MLN4924": ("MLN-4924",),
    "tipifarnib": ("tipifarnib-P1", "tipifarnib-P2"),
    "Bleomycin": ("bleomycin A2",),
    "temsirolimus": ("Temsirolimus",),
    "BIRB 0796": ("BIRB-796",),
    "lapatinib": (
        "N-{3-Chloro-4-[(3-fluorobenzyl)oxy]phenyl}-6-[5-({[2-(methylsulfonyl)ethyl]amino}methyl)"
        "-2-furyl]-4-quinazolinamine",
    ),
}


def _auc(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Area under the viability curve, 0 (all dead) to about 30; pairs not measured are left out."""
    wide = to_frame(read_r(paths["ctrpv2_auc"])["CTRPv2auc"])
    return unpivot(wide.rename_axis(index="drug"), "cell_line", "auc")


def _drugs(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Targets and classes, one row per drug of the response table, under its name there.

    The file ends its lines with a carriage return alone and has two empty columns.
    """
    path = paths["ctrpv2_drug_classes"]
    names = {
        "Drugs": "drug",
        "Targets": "targets",
        "Class": "drug_class",
        "PossibleGDSC1000Class": "gdsc_class",
    }
    table = pick(read_text(path, sep="\t", lineterminator="\r"), names, path)
    table["drug"] = table.drug.map(lambda name: _RESPONSE_NAMES.get(name, (name,)))
    return table.explode("drug", ignore_index=True)


TABLES = (
    Table(
        "ctrp_auc",
        ("ctrpv2_auc",),
        _auc,
        long_schema(
            {"drug": text(needed=True), "cell_line": text(needed=True), "auc": number(0, 32, needed=True)},
            ["drug", "cell_line"],
        ),
        "AUC over log2 dose, as published",
        "545 drugs on 887 lines; higher = more resistant",
    ),
    Table(
        "ctrp_drugs",
        ("ctrpv2_drug_classes",),
        _drugs,
        long_schema(
            {"drug": text(needed=True), "targets": text(), "drug_class": text(), "gdsc_class": text()},
            ["drug"],
        ),
        "text",
        "targets and mechanism of the CTRPv2 drugs",
    ),
)
