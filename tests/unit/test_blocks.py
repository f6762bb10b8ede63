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
