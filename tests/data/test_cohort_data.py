"""The cohort of the real files: its counts, its composite, and what must not be in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines
from crossres_ml.cohort.missing import count_missing
from crossres_ml.cohort.mutations import drop_artefacts
from crossres_ml.config import Panels, load_panels, load_train_config
from crossres_ml.identity.aliases import build_aliases
from crossres_ml.splits import make_splits

pytestmark = pytest.mark.data

Tables = dict[str, pd.DataFrame]


def test_lines_with_responses(real_cohort: Cohort) -> None:
    has = real_cohort.responses.notna()
    assert has.radiation.sum() == 534
    assert has.chemotherapy.sum() == pytest.approx(812, abs=10)
    assert (has.radiation & has.chemotherapy).sum() == pytest.approx(506, abs=5)
    assert (has.radiation & has.chemotherapy).sum() >= 490
    assert has[["radiation", "chemotherapy", "chemotherapy_gdsc"]].any(axis=1).all()
    assert has.lq_alpha.sum() == pytest.approx(498, abs=6)
    assert (has.chemotherapy_gdsc & ~has.chemotherapy).sum() > 350
    assert has.general_sensitivity.sum() > 820
    blood = real_cohort.lines.lineage.isin(["Lymphoid", "Myeloid"])
    assert not has.radiation[blood].any()
    assert has.chemotherapy[blood].sum() == pytest.approx(151, abs=10)


def test_responses_agree_as_published(real_cohort: Cohort) -> None:
    both = real_cohort.responses.dropna(subset=["radiation", "chemotherapy"])
    assert both.radiation.corr(both.chemotherapy, "spearman") == pytest.approx(0.41, abs=0.02)
    known = real_cohort.responses.dropna(subset=["radiation", "sf2"])
    assert known.radiation.corr(known.sf2, "spearman") == pytest.approx(0.897, abs=0.01)
    assert (known.radiation.mean(), known.radiation.std()) == pytest.approx((3.11, 1.13), abs=0.02)
    general = real_cohort.responses.general_sensitivity
    assert general.corr(both.radiation, "spearman") == pytest.approx(0.295, abs=0.02)
    assert general[both.index].corr(both.chemotherapy, "spearman") == pytest.approx(0.685, abs=0.05)
    gdsc = real_cohort.responses.chemotherapy_gdsc
    assert gdsc.corr(real_cohort.responses.chemotherapy, "spearman") == pytest.approx(0.66, abs=0.03)
    assert (real_cohort.responses.filter(like="drug:").corr("spearman") > 0.02).all(axis=None)


LINES_OF_THE_DESIGN = {
    "driver": 524, "rppa": 514, "copy_number": 524, "rna": 525, "mutation": 531, "lineage": 533,
    "metabolomics": 519, "progeny": 525, "chromatin": 500, "aneuploidy": 511, "signature": 532,
    "hotspot": 418, "cn_event": 230, "methylation": 324, "gene_set": 525, "tf": 525, "cn_arm": 524,
    "subtype": 533, "growth": 426, "slfn11": 372,
}  # fmt: skip


@pytest.mark.parametrize(("block", "expected"), LINES_OF_THE_DESIGN.items())
def test_coverage_is_near_the_count_of_the_design(block: str, expected: int, real_cohort: Cohort) -> None:
    assert real_cohort.coverage().lines_radiation[block] == pytest.approx(expected, abs=5)


def test_genes_by_number_of_radiation_lines(real_cohort: Cohort) -> None:
    radiation = real_cohort.responses.radiation.notna()
    n = real_cohort.blocks["rna"][radiation].notna().sum()
    # the design counts 760 with all genes of panel 795, of which only SLFN11 is taken
    assert (n >= 500).sum() == 629
    assert (n >= 200).sum() == pytest.approx(19_401, rel=0.1)
    assert n["SLFN11"] == 490
    for gene in ("TP53", "XRCC5", "NQO1", "ATM", "CDKN2A"):
        assert n[gene] > 500, gene
    for gene in ("RAD51", "ERCC1", "BIRC5"):
        assert 190 <= n[gene] <= 215, gene


def test_composite_is_that_of_an_independent_computation(
    real_cohort: Cohort, tables: Tables, panels: Panels, reference: Path
) -> None:
    """From the table that another program read, line names first, ids last."""
    oracle = pd.read_parquet(reference / "ctrpv2_auc.parquet")
    sums: dict[str, list[float]] = {}
    for drug in panels.chemotherapy.drugs:
        auc = oracle[oracle.drug == drug].groupby("cell_line").auc.mean().dropna()
        ids = build_aliases(tables).resolve(auc.index).model_id.dropna()
        auc = auc[ids.index]
        for line, z in zip(ids, (auc - auc.mean()) / auc.std(ddof=1), strict=True):
            sums.setdefault(line, []).append(z)
    expected = pd.Series({k: np.mean(v) for k, v in sums.items() if len(v) >= 8})
    ours = real_cohort.responses.chemotherapy.dropna()
    assert set(ours.index) == set(expected.index)
    np.testing.assert_allclose(ours, expected[ours.index], atol=1e-9)


def test_radiation_is_that_of_the_oracle(real_cohort: Cohort, tables: Tables, reference: Path) -> None:
    oracle = pd.read_parquet(reference / "radiation_survival.parquet").set_index("cell_line")
    ids = build_aliases(tables).resolve(oracle.index).model_id.dropna()
    ours = real_cohort.responses.loc[ids]
    np.testing.assert_allclose(ours.radiation, oracle.YardAUC[ids.index], rtol=1e-9)
    np.testing.assert_allclose(ours.sf2, oracle.SF2[ids.index], rtol=1e-9)
    np.testing.assert_allclose(
        ours.lq_alpha, -oracle.alpha.where(oracle.LQ_AUC.notna())[ids.index], rtol=1e-9
    )


def test_alpha_is_that_of_the_published_fit(real_cohort: Cohort, tables: Tables, reference: Path) -> None:
    """The fit of the paper's code, and the response curve over the doses, say the same."""
    oracle = pd.read_parquet(reference / "radiation_survival.parquet").set_index("cell_line")
    ids = build_aliases(tables).resolve(oracle.index).model_id.dropna()
    alpha = real_cohort.responses.lq_alpha[ids]
    published = oracle.LQ_Alpha[ids.index].to_numpy()
    np.testing.assert_array_equal(alpha.isna(), np.isnan(published))
    assert np.nanmax(np.abs(alpha + published)) < 0.05
    assert alpha.corr(real_cohort.responses.radiation, "spearman") > 0.9


GDSC_SOURCES = {"gdsc1": "GDSC1_v17.3", "gdsc2": "GDSC2_drpreter"}


@pytest.fixture(scope="module")
def gdsc_oracle(tables: Tables, reference: Path) -> pd.DataFrame:
    """GDSC1 and GDSC2 as another program read them, with ids by line name."""
    columns = ["source", "drug", "cell_line", "ln_ic50"]
    rows = pd.read_parquet(reference / "gdsc_response.parquet", columns=columns)
    aliases, parts = build_aliases(tables), []
    for name, source in GDSC_SOURCES.items():
        own = rows[rows.source.str.startswith(source)]
        ids = aliases.resolve(own.cell_line.dropna().unique()).model_id
        parts.append(own.assign(dataset=name, model_id=own.cell_line.map(ids)))
    return pd.concat(parts).dropna(subset=["model_id", "drug"])


def test_gdsc_measurements_are_those_of_the_oracle(real_cohort: Cohort, gdsc_oracle: pd.DataFrame) -> None:
    info = real_cohort.drug_info[real_cohort.drug_info.dataset != "ctrp"]
    checked = 0
    for column in info.index[::7]:
        own = gdsc_oracle[
            (gdsc_oracle.dataset == info.dataset[column]) & (gdsc_oracle.drug == info.drug[column])
        ]
        if own.empty:  # the oracle knows other names for some drugs
            continue
        expected = own.groupby("model_id").ln_ic50.mean()
        ours = real_cohort.drugs[column].dropna()
        shared = ours.index.intersection(expected.index)
        assert len(shared) > 0.97 * len(ours), column
        np.testing.assert_allclose(ours[shared], expected[shared], atol=1e-5, err_msg=column)
        checked += 1
    assert checked > 30


def test_gdsc_composite_is_that_of_an_independent_computation(
    real_cohort: Cohort, gdsc_oracle: pd.DataFrame
) -> None:
    """Line by line, from the drugs that the panel calls sound."""
    sound = {
        "gdsc2": ["Topotecan", "Gemcitabine", "Cytarabine", "5-Fluorouracil", "Paclitaxel", "Vincristine"],
        "gdsc1": ["SN-38", "5-Fluorouracil"],
    }
    z: dict[tuple[str, str], list[float]] = {}
    for dataset, names in sound.items():
        for drug in names:
            rows = gdsc_oracle[(gdsc_oracle.dataset == dataset) & (gdsc_oracle.drug == drug)]
            values = rows.groupby("model_id").ln_ic50.mean()
            assert len(values) > 500, (dataset, drug)
            for line, value in values.items():
                z.setdefault((str(line), drug), []).append((value - values.mean()) / values.std())
    lines: dict[str, list[float]] = {}
    for (line, _), values_ in z.items():
        lines.setdefault(line, []).append(float(np.mean(values_)))
    expected = pd.Series({k: np.mean(v) for k, v in lines.items() if len(v) >= 2})
    ours = real_cohort.responses.chemotherapy_gdsc.dropna()
    shared = ours.index.intersection(expected.index)
    assert len(shared) > 0.97 * len(ours)
    # a few names mean another line to the oracle's reader, which moves every mean a little
    np.testing.assert_allclose(ours[shared], expected[shared], atol=0.02)


def test_ctrp_measurements_are_those_of_the_oracle(
    real_cohort: Cohort, tables: Tables, reference: Path
) -> None:
    oracle = pd.read_parquet(reference / "ctrpv2_auc.parquet")
    ids = build_aliases(tables).resolve(oracle.cell_line.unique()).model_id
    wide = oracle.assign(model_id=oracle.cell_line.map(ids)).pivot_table(
        index="model_id", columns="drug", values="auc"
    )
    ours = real_cohort.drugs.filter(regex="^ctrp:")
    ours.columns = ours.columns.str.removeprefix("ctrp:")
    expected = wide.reindex(ours.index)
    np.testing.assert_allclose(ours, expected[ours.columns], rtol=1e-12)
    assert set(expected.columns[expected.notna().sum() >= 100]) == set(ours.columns)
    panel = load_panels().chemotherapy.drugs
    others = (wide - wide.mean()) / wide.std()
    others = others.drop(columns=list(panel))
    mean = others.mean(axis=1).where(others.notna().sum(axis=1) >= 50).reindex(ours.index)
    np.testing.assert_allclose(real_cohort.responses.general_sensitivity, mean, rtol=1e-9)


def test_genotoxic_drugs(real_cohort: Cohort) -> None:
    info = real_cohort.drug_info
    hit = info[info.genotoxic]
    assert 60 <= len(hit) <= 75
    assert info.panel.sum() == 14
    assert info.genotoxic[info.panel].all()
    for column in ("gdsc1:Cisplatin", "gdsc2:Oxaliplatin", "gdsc2:Temozolomide", "ctrp:Methotrexate"):
        assert info.genotoxic[column], column
    for column in ("ctrp:Platin", "gdsc1:Docetaxel", "ctrp:KU-55933", "gdsc2:Olaparib", "ctrp:tubastatin A"):
        assert not info.genotoxic[column], column
    never = load_panels().genotoxic.never
    assert set(never) <= set(info.index)


def test_chosen_gdsc_drugs_follow_ctrp_and_the_others_do_not(real_cohort: Cohort) -> None:
    """The bar of configs/panels.yaml, on both sides."""
    rho = real_cohort.drugs.corr("spearman", min_periods=150)
    sound = [
        ("gdsc2:Topotecan", "Topotecan"), ("gdsc1:SN-38", "SN-38"), ("gdsc2:Gemcitabine", "Gemcitabine"),
        ("gdsc2:Cytarabine", "cytarabine hydrochloride"), ("gdsc2:Vincristine", "vincristine"),
        ("gdsc1:5-Fluorouracil", "5-FU"), ("gdsc2:5-Fluorouracil", "5-FU"),
        ("gdsc2:Paclitaxel", "paclitaxel"),
    ]  # fmt: skip
    unsound = [
        ("gdsc1:Bleomycin (50 uM)", "bleomycin A2"), ("gdsc1:Gemcitabine", "Gemcitabine"),
        ("gdsc1:Mitomycin-C", "Mitomycin-C"), ("gdsc1:Etoposide", "etoposide"),
        ("gdsc1:Cytarabine", "cytarabine hydrochloride"), ("gdsc1:Doxorubicin", "doxorubicin"),
        ("gdsc1:id 11", "paclitaxel"), ("gdsc1:Docetaxel", "Docetaxel"), ("gdsc1:Cisplatin", "Platin"),
    ]  # fmt: skip
    for gdsc, ctrp in sound:
        assert rho.loc[gdsc, f"ctrp:{ctrp}"] >= 0.4, gdsc
    for gdsc, ctrp in unsound:
        assert rho.loc[gdsc, f"ctrp:{ctrp}"] < 0.4, gdsc


ORACLES = [
    ("progeny", "progeny_pathways"),
    ("metabolomics", "metabolomics_ccle"),
    ("chromatin", "chromatin_ccle"),
    ("methylation", "methylation_tss_cgc"),
    ("signature", "genome_signatures"),
    ("hotspot", "hotspot_mutations_25q3"),
    ("rppa", "rppa_ccle"),
    ("aneuploidy", "aneuploidy_arms"),
]


@pytest.mark.parametrize(("block", "file"), ORACLES)
def test_blocks_are_those_of_the_oracle(block: str, file: str, real_cohort: Cohort, reference: Path) -> None:
    """Tables of another program, joined by its own ids."""
    oracle = pd.read_parquet(reference / f"{file}.parquet").select_dtypes("number")
    oracle = oracle[~oracle.index.duplicated()]
    ours = real_cohort.blocks[block]
    shared = ours.columns.intersection(oracle.columns)
    assert len(shared) >= min(ours.shape[1], 39)
    lines = ours.index.intersection(oracle.index)
    measured = ours.notna().any(axis=1)
    assert len(lines) >= 0.99 * measured.sum()
    np.testing.assert_allclose(ours.loc[lines, shared], oracle.loc[lines, shared], rtol=1e-5, atol=1e-5)


def test_distrusted_pathways_are_not_there(real_cohort: Cohort) -> None:
    assert set(real_cohort.blocks["progeny"]) == {
        "Androgen", "EGFR", "Hypoxia", "JAK-STAT", "MAPK", "NFkB", "TGFb", "TNFa", "WNT", "p53",
    }  # fmt: skip


def test_events_and_growth_are_those_of_the_oracle(real_cohort: Cohort, reference: Path) -> None:
    calls = pd.read_parquet(reference / "clinical_cn_events_25q3.parquet")
    events = real_cohort.blocks["cn_event"]
    amplified = set(calls.DepMap_ID[(calls.gene == "MYC") & (calls.kind == "amplifications")])
    assert set(events.index[events["MYC amplification"] == 1]) == amplified & set(events.index)
    known = set(calls.DepMap_ID) & set(events.index)
    assert set(events.index[events.notna().any(axis=1)]) == known
    growth = real_cohort.blocks["growth"]
    ccle = pd.read_parquet(reference / "ccle_annotation_doubling_time.parquet")[
        "Doubling.Time.Calculated.hrs"
    ]
    lines = growth.index[growth.ccle.notna()]
    np.testing.assert_allclose(2 ** growth.ccle[lines], ccle[lines].clip(upper=500), rtol=1e-5)
    sanger = pd.read_parquet(reference / "growth_sanger.parquet").DOUBLING_TIME
    lines = growth.index[growth.sanger.notna()].intersection(sanger.index)
    assert len(lines) > 0.97 * growth.sanger.notna().sum()
    np.testing.assert_allclose(2 ** growth.sanger[lines], sanger[lines].clip(upper=500), rtol=1e-5)


def test_arms_and_sets_are_those_of_plain_loops(real_cohort: Cohort, tables: Tables, reference: Path) -> None:
    """From the oracle's copy numbers, places and expression."""
    places = pd.read_parquet(reference / "hgnc_symbols.parquet").set_index("symbol").chromosome.dropna()
    ratio = pd.read_parquet(reference / "copy_number_depmap19q1.parquet")
    arm = [g for g in ratio if str(places.get(g, "")).startswith("20q")]
    ours = real_cohort.blocks["cn_arm"]["20q"].dropna()
    np.testing.assert_allclose(ours, ratio.loc[ours.index, arm].mean(axis=1), atol=1e-4)
    new = pd.read_parquet(reference / "expression_panel535_depmap23q2.parquet")
    old = pd.read_parquet(reference / "expression_panel100_depmap.parquet")
    rna = new.combine_first(old).drop(columns=["U2AF1", "MIA2", "OR4C3", "OR4A5"])  # the last: always 0
    outside = rna[~rna.index.isin(real_cohort.lines.index)]
    scores = real_cohort.blocks["gene_set"].HALLMARK_G2M_CHECKPOINT.dropna()
    z = ((rna.loc[scores.index] - outside.mean()) / outside.std()).astype(float)
    sets = tables["gene_sets"]
    genes = set(sets.gene[sets.gene_set == "HALLMARK_G2M_CHECKPOINT"])
    member = np.array([g in genes for g in z], dtype=float)
    expected = [stats.linregress(member, row) for row in z.to_numpy()[:100]]
    np.testing.assert_allclose(scores[:100], [f.slope / f.stderr for f in expected], atol=0.05)


def test_only_validated_antibodies_are_without_caution(real_cohort: Cohort) -> None:
    marked = real_cohort.features[real_cohort.features.caution]
    assert set(marked.block) == {"rppa"}
    assert len(marked) == 75


def test_every_gap_of_a_response_has_a_reason(real_cohort: Cohort) -> None:
    missing = real_cohort.missing()
    counts = count_missing(missing).set_index(["what", "reason"]).lines
    gone = missing[missing.what == "response:radiation"]
    assert len(gone) == real_cohort.responses.radiation.isna().sum()
    assert counts["response:lq_alpha", "its linear-quadratic fit failed the published control"] == 40
    assert counts["response:radiation", "blood line: the radiation screen has none"] > 200
    assert counts[counts.index.get_level_values(0) == "table:radiation"].sum() == 6


def test_artefact_is_removed_and_hotspots_stay(real_cohort: Cohort, tables: Tables) -> None:
    calls = tables["mutation_protein"].rename(columns={"cell_line": "model_id"})
    n = len(tables["mutation_protein_lines"])
    kept, removed = drop_artefacts(calls, n, set(tables["hotspots"].columns))
    gone = removed.set_index(["gene", "protein_change"]).lines
    assert n == 957
    assert gone["PRKDC", "p.L1244fs"] == 836  # 727 lines with no other change of the gene, 109 with
    left = set(zip(kept.gene, kept.protein_change, strict=True))
    for change in [("BRAF", "p.V600E"), ("KRAS", "p.G12D"), ("TP53", "p.R175H"), ("TP53", "p.R273H")]:
        assert change in left
    assert ("PRKDC", "p.L1244fs") not in left
    assert not set(gone.index.get_level_values(0)) & set(tables["hotspots"].columns)
    assert {"BRAF", "KRAS", "TP53"} <= set(real_cohort.blocks["variant"].columns)


def test_variant_block_without_the_artefact(real_cohort: Cohort, tables: Tables) -> None:
    variant = real_cohort.blocks["variant"]
    calls = tables["mutation_protein"]
    for gene, lowest, highest in (
        ("PRKDC", 0.0, 0.2),
        ("TP53", 0.4, 0.8),
        ("KRAS", 0.1, 0.3),
        ("BRAF", 0.05, 0.2),
    ):
        share = variant[gene].mean() if gene in variant else 0.0
        assert lowest <= share <= highest, gene
    raw = calls[(calls.gene == "PRKDC")].cell_line.nunique() / 957
    assert raw > 0.7


def test_slfn11_is_all_that_the_anonymous_panel_gives(real_cohort: Cohort, tables: Tables) -> None:
    rna = real_cohort.features[real_cohort.features.block == "rna"]
    from_795 = rna[rna.provenance.str.contains("rna_795")]
    assert list(from_795.name) == ["SLFN11"]
    other = [n for n in ("rna_535", "rna_kinome", "rna_100", "rna_19q2") if n in tables]
    known = set().union(*(tables[n].columns for n in other)) | {"SLFN11"}
    assert set(rna.name) <= known
    dropped = real_cohort.dropped.set_index("what")
    assert dropped["count"]["rna_795 rows"] == 2
    assert dropped["count"]["rna_795 genes"] == 794


def test_no_array_value_is_in_the_rna_block(real_cohort: Cohort, tables: Tables) -> None:
    """Every value of rna is, to the bit, that of the newest sequencing panel that has the cell."""
    panels = [tables[n] for n in ("rna_535", "rna_kinome", "rna_100", "rna_19q2")]
    rna = real_cohort.blocks["rna"]
    rng = np.random.default_rng(0)
    shared = [g for g in tables["rna_rma1000"].columns if g in rna]
    some = [*rng.choice(shared, 60, replace=False), *rng.choice(rna.columns, 60, replace=False)]
    for gene in set(some) - {"SLFN11"}:
        expected = pd.Series(np.nan, rna.index, dtype=np.float32)
        for panel in panels:
            if gene in panel:
                values = panel[gene].reindex(rna.index)
                if panel is tables["rna_19q2"]:
                    values = values.drop("ACH-001163", errors="ignore").reindex(rna.index)
                expected = expected.fillna(values)
        np.testing.assert_array_equal(rna[gene], expected.to_numpy(dtype=np.float32), err_msg=gene)
    assert set(real_cohort.features.provenance[real_cohort.features.block == "rna_array"]) == {"rna_rma1000"}


def test_provenance_and_units_are_filled(real_cohort: Cohort) -> None:
    features = real_cohort.features
    assert not features.isna().any(axis=None)
    assert (features.unit.str.len() > 0).all()
    measured = pd.concat([b.notna().any().add_prefix(f"{n}:") for n, b in real_cohort.blocks.items()])
    filled = features.provenance.str.len() > 0
    assert filled[measured[measured].index].all()
    rna = features[(features.block == "rna") & filled]
    assert rna.provenance.str.fullmatch(r"rna_\w+ \(\d+\)(, rna_\w+ \(\d+\))*").all()


def test_what_is_dropped_has_a_reason(real_cohort: Cohort) -> None:
    assert (real_cohort.dropped["count"] > 0).all()
    assert (real_cohort.dropped.reason.str.len() > 10).all()
    assert set(real_cohort.unresolved.table) == {"radiation", "ctrp_auc", "gdsc_response", "mutation_protein"}
    assert (real_cohort.unresolved.reason.str.len() > 10).all()


def test_every_line_has_a_name_and_a_lineage(real_cohort: Cohort) -> None:
    """HCC-1588 (now an alias of LS513) and HUH-6-clone5 are known to CCLE and the Cell Model Passports."""
    lines = real_cohort.lines
    assert list(lines.index[(lines.lineage == "Unknown") | (lines.cell_line == lines.index)]) == []


def test_cross_resistance_is_as_frequent_as_published(real_cohort: Cohort) -> None:
    lines = scored_lines(real_cohort, "cross")
    rule = LabelRule.fit("cross", real_cohort.responses.loc[lines], 2 / 3)
    assert rule.label(real_cohort.responses.loc[lines]).mean() == pytest.approx(0.16, abs=0.02)


def test_splits_of_the_default_run_are_sound(real_cohort: Cohort) -> None:
    config = load_train_config()
    table = make_splits(real_cohort, config.splits, quantile=config.resistant_quantile)
    lineages = table.fold[table["mode"] == "lineage_out"].unique()
    assert 10 <= len(lineages) <= 20
    assert real_cohort.lines.group.nunique() < len(real_cohort.lines)


def test_rows_in_another_order_give_the_same_cohort(
    real_cohort: Cohort, tables: Tables, panels: Panels
) -> None:
    """All tables that feed the cohort, shuffled; the anonymous rows too."""
    shuffled = {n: t.sample(frac=1, random_state=7) for n, t in tables.items()}
    shuffled = {n: t if t.index.name else t.reset_index(drop=True) for n, t in shuffled.items()}
    again = build_cohort(shuffled, panels, kind="real", sources=dict(real_cohort.sources))
    pd.testing.assert_frame_equal(again.responses, real_cohort.responses, check_exact=True)
    assert again.digest() == real_cohort.digest()


def test_kind_and_sources_are_kept(real_cohort: Cohort) -> None:
    assert real_cohort.kind == "real"
    assert len(real_cohort.sources) > 50
    assert all(len(h) == 64 for h in real_cohort.sources.values())
