"""Mutations: coded as in training; what was not looked at stays open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.errors import ProfileError
from crossres_ml.predict.mutations import read_mutations
from crossres_ml.predict.profiles import open_profiles

UNITS = {
    "rna": "log2_tpm",
    "mutation": "0/1",
    "variant": "0/1",
    "driver": "0 wild type, 1 non-damaging, 2 damaging",
    "hotspot": "0 none, 1 mutated, 2 homozygous",
    "burden": "log10(1 + genes)",
}
NAMES_ = ["rna:A", "mutation:A", "mutation:B", "variant:A", "driver:A", "driver:B", "hotspot:A"]
INDEX = [*NAMES_, "burden:mutated_genes"]
BLOCKS = [f.split(":")[0] for f in INDEX]
FEATURES = pd.DataFrame(
    {"block": BLOCKS, "unit": [UNITS[b] for b in BLOCKS], "median": 1.0, "low": 0.0, "high": 3.0}, index=INDEX
)
NAMES = pd.DataFrame(
    {
        "entrez": [None, None],
        "ensembl": [None, None],
        "previous": [("OLDA",), ()],
        "ambiguous": [(), ("AMB",)],
    },
    index=["A", "B"],
)
IDS = pd.Index(["x", "y", "z"])
HEADER = "#version 2.4\nHugo_Symbol\tEntrez_Gene_Id\tVariant_Classification\tTumor_Sample_Barcode\n"


def maf(folder: Path, *calls: str, name: str = "m.maf") -> Path:
    path = folder / name
    path.write_text(HEADER + "".join("\t".join([c.split()[0], "0", *c.split()[1:]]) + "\n" for c in calls))
    return path


def read(path: Path, ids: pd.Index = IDS) -> tuple[pd.DataFrame, dict[str, object]]:
    found = read_mutations(path, FEATURES, NAMES, ids)
    return pd.DataFrame(found.rows(ids), ids, found.features), found.report


def test_classes_are_coded_as_in_training(tmp_path: Path) -> None:
    path = maf(
        tmp_path,
        "A Missense_Mutation x",
        "OLDA Frame_Shift_Del x",
        "B Silent x",
        "B Missense_Mutation y",
        "B 3'UTR y",
        "Q Nonsense_Mutation y",
        "A Strange y",
        "AMB Missense_Mutation y",
        "A Missense_Mutation other",
    )
    values, report = read(path)
    nan = np.nan
    expected = {
        "mutation:A": [1, nan, nan],
        "mutation:B": [0, 1, nan],
        "variant:A": [1, nan, nan],
        "driver:A": [2, nan, nan],
        "driver:B": [0, 1, nan],
    }
    pd.testing.assert_frame_equal(values, pd.DataFrame(expected, IDS, dtype=np.float32))
    assert report["samples_without_profile"] == ["other"]
    assert report["profiles_not_measured"] == ["z"]
    assert report["classes_not_counted"] == {"Silent": 1, "3'UTR": 1}
    assert report["classes_unknown"] == {"Strange": 1}
    assert report["genes_unmapped"] == ["AMB", "Q"]
    assert report["features_not_filled"] == ["hotspot:A", "burden:mutated_genes"]
    assert "only 5 genes are called: if this is a panel" in str(report["warning"])


def test_an_unknown_class_leaves_open_what_no_other_call_decides(tmp_path: Path) -> None:
    values, _ = read(maf(tmp_path, "A Strange x", "A Splice_Site x", "B Strange x", "B Silent y"))
    assert values.loc["x"].tolist()[:4] == pytest.approx([1, np.nan, 1, 2], nan_ok=True)
    assert values.loc["y", "mutation:B"] == 0


def test_burden_counts_genes_of_an_exome(tmp_path: Path) -> None:
    calls = [f"g{i} Missense_Mutation x" for i in range(1200)] + ["g0 Nonsense_Mutation x", "g0 Silent y"]
    values, report = read(maf(tmp_path, *calls))
    assert values["burden:mutated_genes"].tolist() == pytest.approx([np.log10(1201), 0, np.nan], nan_ok=True)
    assert "warning" not in report


def test_barcodes_of_one_tcga_sample_meet(tmp_path: Path) -> None:
    ids = pd.Index(["TCGA-AA-0001-01A-11R", "TCGA-AA-0001-11A-11R"])
    values, report = read(maf(tmp_path, "A Silent TCGA-AA-0001-01A-21D"), ids)
    assert values["mutation:A"].tolist() == pytest.approx([0, np.nan], nan_ok=True)
    assert report["matched_by"] == "sample part of TCGA barcodes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "A\t0\tMissense_Mutation\tq\n",
            "none of its 1 samples has a profile: q; profiles: x, y, z",
        ),
        (HEADER + "A\t0\tmissense\tx\n", "no known Variant_Classification: missense"),
        (HEADER + "A\t0\tSilent\t\n", "1 rows without Tumor_Sample_Barcode"),
        (HEADER.replace("Variant_Classification", "Class") + "A\t0\tx\tx\n", "a MAF without Variant_Class"),
        (HEADER, "0 samples: a header"),
    ],
)
def test_bad_mafs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.maf"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message):
        read(path)


def test_a_wide_table_says_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,A,OLDA,driver:B\nz,1,1,2\nx,,0,0\nq,0,0,0\n")
    values, report = read(path)
    assert values["mutation:A"].tolist() == pytest.approx([np.nan, np.nan, 1], nan_ok=True)
    assert values["driver:B"].tolist() == pytest.approx([0, np.nan, 2], nan_ok=True)
    assert report["samples_without_profile"] == ["q"]
    assert report["profiles_not_measured"] == ["y"]
    path.write_text("id,A\nx,2\n")
    with pytest.raises(ProfileError, match=r"mutation:A = 2 \(sample x\): expected 0 or 1"):
        read(path)
    path.write_text("id,A\nq,1\n")
    with pytest.raises(ProfileError, match="none of its 1 samples has a profile"):
        read(path)


def test_mutations_stand_beside_the_profiles(tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("id,A\nx,1\ny,2\nz,3\n")
    path = maf(tmp_path, "A Missense_Mutation y", "B Silent z")
    opened = open_profiles(table, FEATURES, NAMES, mutations=path)
    values = pd.concat([c.values for c in opened.chunks(2)])
    assert list(values) == NAMES_[:6]
    assert values["rna:A"].tolist() == [1, 2, 3]
    assert values["mutation:A"].tolist() == pytest.approx([np.nan, 1, 0], nan_ok=True)
    assert opened.report["mutations"]["features"] == {"mutation": 2, "driver": 2, "variant": 1}
    table.write_text("id,A,mutation:A\nx,1,0\ny,2,1\n")
    with pytest.raises(ProfileError, match="mutation:A: in the profiles and in"):
        open_profiles(table, FEATURES, NAMES, mutations=path)
