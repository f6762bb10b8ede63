"""The claims on the real files: every feature that they name is there, and what decides in how many lines."""

from __future__ import annotations

import pandas as pd
import pytest

from crossres_ml.audit.claims import Claims, load_claims
from crossres_ml.audit.data import one_line_a_patient
from crossres_ml.audit.measure import all_measurements, choose, counts, in_scope, measure, unknown_features
from crossres_ml.cohort.cohort import Cohort

pytestmark = pytest.mark.data

ABSENT: list[str] = []
"""What the claims may name although the public files do not have it."""


@pytest.fixture(scope="module")
def claims() -> Claims:
    """The claims of the project."""
    return load_claims()


@pytest.fixture(scope="module")
def lines(real_cohort: Cohort) -> pd.Index:
    """Irradiated lines, one a patient: those with chemotherapy first, then those with most features."""
    best: dict[str, tuple[bool, int, str]] = {}
    filled = sum(t.notna().sum(axis=1) for t in real_cohort.blocks.values())
    for line in reversed(real_cohort.lines.index[real_cohort.responses.radiation.notna()]):
        own = (bool(pd.notna(real_cohort.responses.chemotherapy[line])), int(filled[line]), line)
        group = real_cohort.lines.group[line]
        if group not in best or own[:2] >= best[group][:2]:
            best[group] = own
    return pd.Index(sorted(line for _, _, line in best.values()))


@pytest.fixture(scope="module")
def measured(real_cohort: Cohort, claims: Claims) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What all claims measure."""
    return all_measurements(real_cohort, claims)


def test_every_feature_is_there(real_cohort: Cohort, claims: Claims) -> None:
    assert unknown_features(real_cohort, claims) == ABSENT


def test_scopes(real_cohort: Cohort, claims: Claims, lines: pd.Index) -> None:
    assert len(lines) == 521
    assert list(one_line_a_patient(real_cohort)) == list(lines)
    sizes = {s: int(in_scope(real_cohort, s, claims)[lines].sum()) for s in claims.scopes}
    assert sizes == {"tp53_wild_type": 135, "sarcoma": 18, "lung_adenocarcinoma": 49, "head_and_neck": 28}


def test_what_decides(measured: tuple[pd.DataFrame, pd.DataFrame], claims: Claims, lines: pd.Index) -> None:
    values, info = measured
    table = counts(values, info, lines)
    decides = choose(values, info, claims, lines, "radiation")
    assert {claim: (column.split("/")[1], int(table.n[column])) for claim, column in decides.items()} == {
        "C01": ("tp53_mutation@all", 518), "C02": ("tp53_mutation@all", 518),
        "C03": ("mdm2_copies@tp53_wild_type", 134), "C04": ("cdkn2a_deleted@all", 516),
        "C05": ("hr_score@all", 515), "C06": ("nhej_mrna@all", 199), "C07": ("ner_score@all", 515),
        "C08": ("rad51_mrna@all", 199), "C09": ("ercc1_mrna@all", 199), "C10": ("dnapk_mrna@all", 445),
        "C12": ("bcl2_proteins@all", 503), "C13": ("birc5_mrna@all", 199), "C14": ("myc_mrna@all", 517),
        "C16": ("nfkb_hallmark@all", 515), "C17": ("akt_phospho@all", 503),
        "C18": ("paclitaxel@head_and_neck", 25), "C22": ("cycle_scores@all", 515),
    }  # fmt: skip
    carriers = table.carriers.dropna()
    assert carriers["C01/tp53_mutation@all"] == 385
    assert carriers["C04/cdkn2a_deleted@all"] == 170
    assert carriers["C03/mdm2_amplified@tp53_wild_type"] == 5
    against_drugs = choose(values, info, claims, lines, "chemotherapy")
    assert against_drugs["C18"] == "C18/radiation@head_and_neck"
    assert against_drugs.drop("C18").equals(decides.drop("C18"))


def test_tp53_sources_agree_as_the_note_says(real_cohort: Cohort, lines: pd.Index) -> None:
    names = ("driver", "hotspot", "mutation", "variant")
    sources = pd.DataFrame({b: real_cohort.blocks[b].TP53[lines] for b in names})
    mutated = sources.ge(1).astype(float).where(sources.notna())
    both = mutated[["driver", "mutation"]].dropna()
    assert (len(both), int((both.driver != both.mutation).sum())) == (486, 8)
    assert int(((mutated.driver == 0) & (mutated.mutation != 1) & (mutated.hotspot == 1)).sum()) == 2
    hotspots = sources.hotspot[sources.driver == 1].dropna()
    assert (len(hotspots), int((hotspots >= 1).sum())) == (198, 181)
    assert int(((mutated.driver == 1) & (mutated.mutation == 1) & (mutated.variant == 0)).sum()) == 49
    assert not ((mutated.driver == 0) & (mutated.mutation == 0) & (mutated.variant == 1)).any()


def test_a_deep_deletion_is_where_the_mrna_ends(real_cohort: Cohort, lines: pd.Index) -> None:
    copies = real_cohort.blocks["copy_number"].CDKN2A[lines]
    mrna = real_cohort.blocks["rna"].CDKN2A[lines]
    assert not copies.between(-2.3, -1.85).any()
    assert mrna[copies <= -2].median() < 0.5
    assert mrna[copies.between(-2, -1)].median() > 5


def test_genome_wide_rna_leaves_tissues_out(real_cohort: Cohort, lines: pd.Index) -> None:
    known = real_cohort.blocks["rna"].RAD51[lines].notna()
    lineages = set(real_cohort.lines.lineage[lines][known])
    assert (int(known.sum()), len(lineages)) == (199, 15)
    assert not lineages & {
        "Lung", "Bowel", "Ovary/Fallopian Tube", "CNS/Brain", "Skin", "Pancreas", "Breast",
    }  # fmt: skip


def test_antibodies_and_their_mrna(real_cohort: Cohort) -> None:
    rna, protein = real_cohort.blocks["rna"], real_cohort.blocks["rppa"]
    ercc1 = protein["ERCC1_Caution"].corr(rna["ERCC1"])
    assert ercc1 == pytest.approx(-0.10, abs=0.04)
    assert protein["RAD51"].corr(rna["RAD51"]) > 0.4
    caution = real_cohort.features.caution
    named = {f for c in load_claims().claims for m in c.measurements for f in m.plain_features}
    named &= set(caution.index)
    assert {f for f in named if caution[f]} == {f for f in named if f.endswith("_Caution")}


def test_controls_are_measured(real_cohort: Cohort, claims: Claims) -> None:
    for control in claims.positive_controls:
        values = measure(real_cohort, control.measurement)
        for drug in control.drugs:
            if drug in real_cohort.drugs:
                assert (values.notna() & real_cohort.drugs[drug].notna()).sum() >= 100, (control.id, drug)
    for null in claims.null_controls:
        assert measure(real_cohort, null.measurement).notna().sum() > 150
