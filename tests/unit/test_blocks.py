"""Feature blocks: what is merged, what is left out, and that both are said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossres_ml.cohort import rna as rna_module
from crossres_ml.cohort.blocks import BLOCKS, build_blocks
from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.context import Context
from crossres_ml.cohort.mutations import drop_artefacts
from crossres_ml.config import Panels
from crossres_ml.identity.aliases import build_aliases
from crossres_ml.sources.simulated import SimulatedStudy

Tables = dict[str, pd.DataFrame]
IDS = [f"ACH-{i:06d}" for i in range(40)]
RNG = np.random.default_rng(8)


def wide(values: np.ndarray, ids: list[str], columns: list[str], name: str = "model_id") -> pd.DataFrame:
    return pd.DataFrame(values.astype(np.float32), pd.Index(ids, name=name), columns)


def context(tables: Tables) -> Context:
    models = pd.DataFrame(
        {
            "model_id": IDS, "cell_line_name": [f"line {i}" for i in range(40)], "stripped_name": "",
            "ccle_name": [f"L{i}_LUNG" for i in range(40)], "cosmic_id": range(40), "sanger_model_id": "",
        }
    )  # fmt: skip
    none = pd.DataFrame(columns=["alias", "model_id", "reason"], dtype=str)
    aliases = build_aliases({"depmap_models": models}, none)
    lines = pd.DataFrame(
        {"lineage": ["Lung", "Skin"] * 20, "subtype": "Unknown"}, pd.Index(IDS, name="model_id")
    )
    return Context({"depmap_models": models, **tables}, aliases, lines)


def reasons(made: Context) -> dict[str, tuple[int, str]]:
    return {what: (count, reason) for what, count, reason in made.dropped}


def test_the_newest_release_wins_and_gaps_are_filled() -> None:
    new = wide(np.array([[1, np.nan], [2, 3]]), IDS[:2], ["A", "B"])
    old = wide(np.array([[10, 20, 30], [11, 21, 31]]), [IDS[0], IDS[2]], ["A", "B", "C"])
    made = context({"rna_535": new, "rna_19q2": old})
    built, features = build_blocks(made)
    rna = built["rna"].iloc[:4]
    expected = [[1, 20, 30], [2, 3, np.nan], [11, 21, 31], [np.nan] * 3]
    np.testing.assert_array_equal(rna, np.array(expected, dtype=np.float32))
    assert features.provenance["rna:A"] == "rna_535 (2), rna_19q2 (2)"
    assert features.provenance["rna:C"] == "rna_19q2 (2)"
    assert features.unit["rna:A"] == "log2_tpm"


def test_missing_stays_missing_and_float32() -> None:
    made = context({"rna_535": wide(np.array([[1.0, np.nan]]), IDS[:1], ["A", "B"])})
    rna = build_blocks(made)[0]["rna"]
    assert rna.dtypes.eq(np.float32).all()
    assert rna.isna().to_numpy().sum() == 79


def test_unstable_genes_and_mislabelled_lines_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rna_module, "MISLABELLED", {("rna_19q2", IDS[1]): "another line"})
    panel = wide(RNG.normal(size=(3, 3)), IDS[:3], ["A", "MIA2", "U2AF1"])
    made = context({"rna_19q2": panel})
    rna = build_blocks(made)[0]["rna"]
    assert list(rna.columns) == ["A"]
    assert rna.A.notna().tolist()[:3] == [True, False, True]
    told = reasons(made)
    assert told["rna_19q2 gene U2AF1"] == (1, "r = 0.40 between DepMap releases")
    assert told[f"rna_19q2 line {IDS[1]}"] == (1, "another line")


def test_only_slfn11_is_taken_from_the_anonymous_panel() -> None:
    values = RNG.normal(5, 2, (30, 20))
    genes = [f"G{i:02d}" for i in range(20)]
    known = wide(values, IDS[:30], genes)
    order = RNG.permutation(30)
    anonymous = pd.DataFrame(values[order] + 0.02, columns=genes).assign(SLFN11=order + 0.5, OTHER=1.0)
    anonymous.loc[30] = RNG.normal(5, 2, 22)  # a line that nothing else knows
    made = context({"rna_535": known, "rna_795": anonymous})
    built, features = build_blocks(made)
    rna = built["rna"]
    assert list(rna.columns) == [*genes, "SLFN11"]
    np.testing.assert_array_equal(rna.SLFN11.iloc[:30], np.arange(30) + 0.5)
    assert rna.SLFN11.iloc[30:].isna().all()
    np.testing.assert_array_equal(rna[genes].iloc[:30], known)
    assert features.provenance["rna:SLFN11"] == "rna_795 (30)"
    assert not features.provenance[[f"rna:{g}" for g in genes]].str.contains("795").any()
    told = reasons(made)
    assert told["rna_795 rows"][0] == 1
    assert told["rna_795 genes"] == (21, "panel perhaps selected by response")


def test_anonymous_panel_alone_gives_nothing() -> None:
    made = context({"rna_535": wide(RNG.normal(size=(30, 20)), IDS[:30], [f"G{i}" for i in range(20)])})
    without = build_blocks(made)[0]["rna"]
    assert "SLFN11" not in without


def test_array_panel_stays_apart() -> None:
    array = wide(np.array([[8.0], [9.0]]), ["L0_LUNG", "L3_LUNG"], ["A"], "ccle_name")
    rna = wide(np.array([[1.0]]), IDS[1:2], ["A"])
    built, features = build_blocks(context({"rna_535": rna, "rna_rma1000": array}))
    assert built["rna"].A.notna().sum() == 1
    assert built["rna_array"].A.iloc[[0, 3]].tolist() == [8.0, 9.0]
    assert features.unit["rna_array:A"] == "log2 RMA"


def test_rows_of_no_model_and_second_profiles_are_said() -> None:
    table = wide(np.arange(4.0)[:, None], ["0", "7", "99", "98"], ["SLFN11"], "cosmic_id")
    made = context({"slfn11_array": table})
    built, features = build_blocks(made)
    assert list(features.index[features.block == "slfn11"]) == ["slfn11:SLFN11_array"]
    assert built["slfn11"].SLFN11_array.iloc[[0, 7]].tolist() == [0.0, 1.0]
    assert reasons(made)["slfn11_array rows"] == (2, "cosmic_id of no DepMap model")


def test_mutations_zero_only_where_profiled() -> None:
    calls = [(i, "COMMON") for i in IDS[:6]] + [(i, "RARE") for i in IDS[6:10]] + [("ACH-999999", "RARE")]
    made = context({"mutation_any": pd.DataFrame(calls, columns=["model_id", "gene"])})
    built, _ = build_blocks(made)
    table = built["mutation"]
    assert list(table.columns) == ["COMMON"]
    assert table.COMMON.iloc[:10].tolist() == [1.0] * 6 + [0.0] * 4
    assert table.COMMON.iloc[10:].isna().all()
    assert reasons(made)["mutation genes"][0] == 1
    np.testing.assert_allclose(built["burden"].mutated_genes.iloc[:10], np.log10(2))
    assert built["burden"].mutated_genes.iloc[10:].isna().all()


def test_artefacts_are_removed_and_hotspots_kept() -> None:
    changes = [
        ("PRKDC", "p.L1244fs", 30),
        ("TP53", "p.R175H", 8),
        ("OTHER", "p.A1B", 5),
        ("OTHER", "p.A2B", 6),
    ]
    calls = pd.DataFrame(
        [(i, gene, change) for gene, change, n in changes for i in range(n)],
        columns=["model_id", "gene", "protein_change"],
    )
    again = pd.concat([calls, calls.iloc[-6:]])  # a call twice counts once
    kept, removed = drop_artefacts(again, 100, {"TP53"})
    assert set(zip(removed.gene, removed.protein_change, removed.lines, strict=True)) == {
        ("PRKDC", "p.L1244fs", 30), ("OTHER", "p.A2B", 6),
    }  # fmt: skip
    assert set(kept.protein_change) == {"p.R175H", "p.A1B"}  # exactly 5 % stays
    assert len(kept) == 13
    nothing, _ = drop_artefacts(calls.iloc[:0], 100, set())
    assert nothing.empty


def test_distrusted_pathways_are_left_out() -> None:
    table = wide(np.arange(12.0).reshape(2, 6), IDS[:2], ["p53", "PI3K", "VEGF", "Trail", "Estrogen", "WNT"])
    made = context({"progeny": table})
    progeny = build_blocks(made)[0]["progeny"]
    assert list(progeny) == ["WNT", "p53"]
    assert progeny.iloc[1].tolist() == [11.0, 6.0]
    assert reasons(made)["progeny pathways"][0] == 4


def test_signatures_of_either_table() -> None:
    scores = wide(np.array([[20.0], [3.0]]), IDS[:2], ["MSIScore"])
    hrd = wide(np.array([[63.0]]), IDS[1:2], ["hrdsum_summary"])
    signature = build_blocks(context({"global_signatures": scores, "hrd_scores": hrd}))[0]["signature"]
    assert signature.iloc[:2].fillna(-1).to_numpy().tolist() == [[20.0, -1.0], [3.0, 63.0]]
    alone = build_blocks(context({"hrd_scores": hrd}))[0]["signature"]
    assert list(alone) == ["hrdsum_summary"]


def test_copy_number_events_are_zero_only_beside_another() -> None:
    calls = [(i, "CDKN2B", "deletions") for i in IDS[:6]] + [(i, "MYC", "amplifications") for i in IDS[4:9]]
    calls += [(IDS[20], "ALK", "amplifications"), ("ACH-999999", "MYC", "amplifications")]
    table = pd.DataFrame(calls, columns=["model_id", "gene", "kind"])
    made = context({"clinical_cn": table})
    events = build_blocks(made)[0]["cn_event"]
    assert list(events) == ["CDKN2B deletion", "MYC amplification"]
    assert events["MYC amplification"].iloc[:9].tolist() == [0.0] * 4 + [1.0] * 5
    assert events.iloc[20].tolist() == [0.0, 0.0]
    assert events.iloc[9:20].isna().all(axis=None)
    assert reasons(made)["copy-number events"] == (1, "in fewer than 5 lines")


def test_growth_is_log2_hours_of_two_laboratories() -> None:
    notes = pd.DataFrame(
        {
            "model_id": [IDS[0], IDS[1], IDS[2], None],
            "name": "", "ccle_name": "", "doubling_time_hours": [32.0, 979.0, np.nan, 64.0],
        }
    )  # fmt: skip
    sanger = pd.DataFrame(
        {
            "sanger_model_id": "", "cosmic_id": pd.array([0, 3, 4, 77], dtype="Int64"),
            "doubling_time_hours": [64.0, 1.9, 22_000.0, 50.0],
        }
    )  # fmt: skip
    made = context({"ccle_annotations": notes, "sanger_growth": sanger})
    growth = build_blocks(made)[0]["growth"]
    np.testing.assert_allclose(growth.ccle.iloc[:3], [5, np.log2(500), np.nan], rtol=1e-6)
    np.testing.assert_allclose(growth.sanger.iloc[[0, 3, 4]], [6, np.nan, np.log2(500)], rtol=1e-6)
    assert growth.notna().sum().tolist() == [2, 2]
    assert reasons(made)["sanger doubling times"] == (1, "under 10 hours")


def test_subtypes_of_at_least_six_lines() -> None:
    made = context({})
    made.lines["subtype"] = ["A"] * 6 + ["B"] * 5 + ["Unknown"] * 29
    notes = pd.DataFrame({"model_id": IDS[:8], "type_refined": "x", "name": "", "ccle_name": ""})
    made.tables = {**made.tables, "ccle_annotations": notes.assign(doubling_time_hours=np.nan)}
    subtype = build_blocks(made)[0]["subtype"]
    assert list(subtype) == ["ccle x", "oncotree A"]
    assert subtype["oncotree A"].iloc[:11].tolist() == [1.0] * 6 + [0.0] * 5
    assert subtype["oncotree A"].iloc[11:].isna().all()
    assert subtype["ccle x"].iloc[:8].tolist() == [1.0] * 8
    assert subtype["ccle x"].iloc[8:].isna().all()
    assert reasons(made)["oncotree subtypes"] == (1, "fewer than 6 lines have it")


def test_a_table_that_has_a_line_twice_gives_its_first_row() -> None:
    twice = wide(np.array([[1.0], [2.0], [3.0]]), [IDS[0], IDS[0], IDS[1]], ["A"])
    made = context({"metabolomics": twice, "rna_535": twice})
    built, _ = build_blocks(made)
    for name in ("metabolomics", "rna"):
        assert built[name].A.iloc[:2].tolist() == [1.0, 3.0]
    assert reasons(made)["metabolomics rows"] == (1, "second profile of one line")
    assert reasons(made)["rna_535 rows"] == (1, "second profile of one line")


def test_antibodies_that_are_not_validated_are_marked() -> None:
    names = ["Bad_Caution", "CD20 _Caution", "Good", "x_caution"]
    table = wide(np.zeros((1, 4)), ["L0_LUNG"], names, "ccle_name")
    features = build_blocks(context({"rppa": table}))[1]
    assert features.caution.dtype == bool
    assert sorted(features.index[features.caution]) == ["rppa:Bad_Caution", "rppa:CD20 _Caution"]


@pytest.mark.parametrize(
    ("block", "table"),
    [
        ("metabolomics", "metabolomics"),
        ("chromatin", "chromatin"),
        ("methylation", "methylation"),
        ("aneuploidy", "aneuploidy"),
        ("hotspot", "hotspots"),
    ],
)
def test_plain_tables_come_as_they_are(block: str, table: str) -> None:
    values = wide(np.array([[2.0, np.nan], [0.0, 1.0]]), IDS[3:5], ["b", "a"])
    built, features = build_blocks(context({table: values}))
    pd.testing.assert_frame_equal(built[block].loc[IDS[3:5]], values[["a", "b"]])
    assert built[block].notna().any(axis=1).sum() == 2
    assert features.provenance[f"{block}:a"] == table


def test_a_block_without_tables_is_left_out_and_said() -> None:
    made = context({})
    built, _ = build_blocks(made)
    assert list(built) == ["lineage", "subtype"]
    assert reasons(made)["block copy_number"] == (1, "no table copy_number")
    assert {b.name for b in BLOCKS} - set(built) == {
        what.split()[1] for what in reasons(made) if what.startswith("block ")
    }


def test_lineage_is_one_of_its_columns() -> None:
    lineage = build_blocks(context({}))[0]["lineage"]
    assert (lineage.sum(axis=1) == 1).all()
    assert list(lineage.columns) == ["Lung", "Skin"]


def test_optional_tables_are_optional(study: SimulatedStudy, panels: Panels) -> None:
    needed = {n: study.tables[n] for n in ("depmap_models", "radiation", "ctrp_auc")}
    small = build_cohort(needed, panels, kind="simulated", sources={})
    assert list(small.blocks) == ["lineage", "subtype"]
    assert small.responses.platinum.isna().all()
