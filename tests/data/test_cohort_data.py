"""The cohort of the real files: its counts, its composite, and what must not be in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines
from crossres_ml.cohort.mutations import drop_artefacts
from crossres_ml.config import Panels, load_train_config
from crossres_ml.identity.aliases import build_aliases
from crossres_ml.splits import make_splits

pytestmark = [pytest.mark.data, pytest.mark.xdist_group("real")]

Tables = dict[str, pd.DataFrame]


def test_lines_with_responses(real_cohort: Cohort) -> None:
    has = real_cohort.responses.notna()
    assert has.radiation.sum() == 534
    assert has.chemotherapy.sum() == pytest.approx(812, abs=10)
    assert (has.radiation & has.chemotherapy).sum() == pytest.approx(506, abs=5)
    assert (has.radiation & has.chemotherapy).sum() >= 490
    blood = real_cohort.lines.lineage.isin(["Lymphoid", "Myeloid"])
    assert not has.radiation[blood].any()
    assert has.chemotherapy[blood].sum() == pytest.approx(151, abs=10)


def test_responses_agree_as_published(real_cohort: Cohort) -> None:
    both = real_cohort.responses.dropna(subset=["radiation", "chemotherapy"])
    assert both.radiation.corr(both.chemotherapy, "spearman") == pytest.approx(0.41, abs=0.02)
    known = real_cohort.responses.dropna(subset=["radiation", "sf2"])
    assert known.radiation.corr(known.sf2, "spearman") == pytest.approx(0.897, abs=0.01)
    assert (known.radiation.mean(), known.radiation.std()) == pytest.approx((3.11, 1.13), abs=0.02)


@pytest.mark.parametrize(
    ("block", "expected"),
    [("driver", 524), ("rppa", 514), ("copy_number", 524), ("rna", 525), ("mutation", 531), ("lineage", 533)],
)
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
    table = make_splits(real_cohort, config.splits, quantile=config.resistant_quantile, seed=config.seed)
    lineages = table.fold[table["mode"] == "lineage_out"].unique()
    assert 10 <= len(lineages) <= 20
    assert real_cohort.lines.group.nunique() < len(real_cohort.lines)


def test_rows_in_another_order_give_the_same_cohort(
    real_cohort: Cohort, tables: Tables, panels: Panels
) -> None:
    """All tables that feed the cohort, shuffled; the anonymous rows too."""
    shuffled = {n: t.sample(frac=1, random_state=7) for n, t in tables.items() if n != "gene_sets"}
    shuffled = {n: t if t.index.name else t.reset_index(drop=True) for n, t in shuffled.items()}
    again = build_cohort(shuffled, panels, kind="real", sources=dict(real_cohort.sources))
    pd.testing.assert_frame_equal(again.responses, real_cohort.responses, check_exact=True)
    assert again.digest() == real_cohort.digest()


def test_kind_and_sources_are_kept(real_cohort: Cohort) -> None:
    assert real_cohort.kind == "real"
    assert len(real_cohort.sources) > 50
    assert all(len(h) == 64 for h in real_cohort.sources.values())
