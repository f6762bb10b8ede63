"""The atlas and the published signatures on the real files: figures that are known from elsewhere."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import pearsonr

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import Panels
from crossres_ml.scan.atlas import Atlas, make_atlas
from crossres_ml.scan.atlas_data import AtlasData, atlas_data
from crossres_ml.scan.drug_names import find_drug
from crossres_ml.scan.signature_folds import measure_signatures
from crossres_ml.scan.signature_lists import published_signatures

pytestmark = pytest.mark.data

KNOWN = {
    "Topotecan": (0.392, 509), "SN-38": (0.366, 453), "clofarabine": (0.380, 512), "etoposide": (0.332, 504),
    "doxorubicin": (0.329, 509), "Carboplatin": (0.135, 500), "Teniposide": (0.475, 235),
}  # fmt: skip
"""Pearson correlation of CTRPv2 AUC and radiation AUC, and lines, all irradiated lines joined by name."""
RESOLVED = {
    "Topotecan": (0.387, 505), "SN-38": (0.362, 450), "clofarabine": (0.375, 508), "etoposide": (0.327, 500),
    "doxorubicin": (0.323, 505), "Carboplatin": (0.140, 496), "Teniposide": (0.475, 235),
}  # fmt: skip
"""The same without the patient-derived brain tumour lines, which have no DepMap model."""


@pytest.fixture(scope="module")
def data(tables: dict[str, pd.DataFrame], real_cohort: Cohort, panels: Panels) -> AtlasData:
    return atlas_data(tables, real_cohort, panels)


@pytest.fixture(scope="module")
def atlas(data: AtlasData) -> Atlas:
    return make_atlas(data)


def test_lines_and_drugs(data: AtlasData) -> None:
    assert (len(data.radiation), data.lines.resolved.sum()) == (540, 534)
    unresolved = set(data.lines.index[~data.lines.resolved])
    assert unresolved == {"BT112", "BT145", "BT181", "BT189", "BT216", "BT228"}
    assert unresolved & set(data.screens["ctrp"].index) == {"BT112", "BT145", "BT216", "BT228"}
    assert data.info.dataset.value_counts().to_dict() == {"ctrp": 545, "gdsc1": 265, "gdsc2": 170}


@pytest.mark.parametrize("drug", KNOWN)
def test_known_correlations(atlas: Atlas, drug: str) -> None:
    row = atlas.table.loc[f"ctrp:{drug}"]
    assert (round(row.pearson, 3), row.n) == KNOWN[drug]
    assert row.pearson_low < row.pearson < row.pearson_high


@pytest.mark.parametrize("drug", RESOLVED)
def test_lines_without_a_model_change_the_third_digit(data: AtlasData, drug: str) -> None:
    lines = data.lines.index[data.lines.resolved]
    x = data.screens["ctrp"][drug].reindex(lines).dropna()
    assert (round(pearsonr(x, data.radiation[x.index]).statistic, 3), len(x)) == RESOLVED[drug]


def test_general_factor(atlas: Atlas) -> None:
    assert round(atlas.factor["pearson"], 3) == 0.372
    assert (atlas.factor["n"], atlas.factor["drugs"]) == (520, 409)


def test_screens_agree_where_they_are_known_to(atlas: Atlas) -> None:
    rho = atlas.pairs.set_index(["a", "b"]).rho
    assert rho["ctrp:Topotecan", "gdsc2:Topotecan"] == pytest.approx(0.62, abs=0.01)
    assert abs(rho["ctrp:Platin", "gdsc1:Cisplatin"]) < 0.1  # platinum in CTRPv2 follows nothing


def test_names(atlas: Atlas) -> None:
    assert find_drug("sn38", atlas.table)[0] == ["ctrp:SN-38", "gdsc1:SN-38"]
    assert "ctrp:Platin" in find_drug("cisplatin", atlas.table)[0]


def test_signatures_can_be_scored_on_the_genome_wide_lines_only(
    tables: dict[str, pd.DataFrame], real_cohort: Cohort
) -> None:
    irradiated = real_cohort.responses.radiation.dropna().index
    found = measure_signatures(
        published_signatures(tables), real_cohort.blocks["rna"].loc[irradiated], tables["hgnc"]
    )
    assert len(found) == 41
    assert {int(m.lines.sum()) for m in found} == {201}
    assert real_cohort.lines.lineage[irradiated[found[0].lines]].nunique() < 20
    share = {m.signature.name: (len(m.genes), len(m.signature.weights)) for m in found}
    assert share["RSI (Eschrich 2009)"] == (10, 10)
    assert share["Kim 2012, 31 genes"] == (31, 31)
    assert share["IRDS (Weichselbaum 2008)"] == (47, 49)
    assert share["Buffa 2010"] == (49, 51)
