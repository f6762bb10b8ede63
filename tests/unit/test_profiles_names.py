"""Names of genes and features: what they lead to, and what is not guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from crossres_ml.predict.names import gene_names, recognise

HGNC = pd.DataFrame(
    [
        ("TP53", None, "p53, LFS1", "ENSG00000141510", 7157),
        ("KMT2A", "MLL", "TRX1, HRX", "ENSG00000118058", 4297),
        ("SEPTIN2", "DIFF6, SEPT2", "NEDD5", "ENSG00000168385", 4735),
        ("TXN", None, "TRX, TRX1", "ENSG00000136810", 7295),
        ("MARCHF1", "MARCH1", "RNF171", "ENSG00000145416", 55016),
        ("NOID", None, None, None, None),
        # an alias that is the current symbol of another gene
        ("CDKN2A", "CDKN2", "p16, TXN", "ENSG00000147889", 1029),
        ("OLD~withdrawn", "GONE", None, None, None),
    ],
    columns=["symbol", "previous_symbols", "synonyms", "ensembl", "entrez"],
).astype({"entrez": "Int64"})
GENES = ["TP53", "KMT2A", "SEPT2", "TXN", "NOID", "CDKN2A", "C"]
NAMES = gene_names(HGNC, GENES)
FEATURES = pd.DataFrame(index=[f"rna:{g}" for g in GENES] + ["mutation:TP53", "rppa:Akt"])


def test_names_of_genes() -> None:
    assert list(NAMES.index) == sorted(GENES)
    assert NAMES.loc["TP53"].tolist() == ["7157", "ENSG00000141510", ("LFS1", "p53"), ()]
    # the model's gene is itself an old name: the current one leads to it
    assert NAMES.loc["SEPT2"].tolist() == ["4735", "ENSG00000168385", ("DIFF6", "NEDD5", "SEPTIN2"), ()]
    assert NAMES.loc["KMT2A", "previous"] == ("HRX", "MLL")
    assert NAMES.loc["KMT2A", "ambiguous"] == NAMES.loc["TXN", "ambiguous"] == ("TRX1",)
    assert "TXN" not in NAMES.loc["CDKN2A", "previous"]
    assert NAMES.loc["NOID"].tolist() == [None, None, (), ()]
    assert NAMES.loc["C"].tolist() == [None, None, (), ()]


def test_names_survive_json() -> None:
    kept = json.loads(json.dumps(NAMES.to_dict("index")))
    back = pd.DataFrame.from_dict(kept, orient="index")
    columns = ["MLL", "ENSG00000141510.18", "TRX1"]
    assert recognise(columns, FEATURES, back) == recognise(columns, FEATURES, NAMES)


@pytest.mark.parametrize(
    ("column", "feature", "kind"),
    [
        ("TP53", "rna:TP53", "symbol"),
        (" TP53 ", "rna:TP53", "symbol"),
        ("TP53 (7157)", "rna:TP53", "SYMBOL (ENTREZ)"),
        ("C (99)", "rna:C", "SYMBOL (ENTREZ)"),
        ("MLL", "rna:KMT2A", "previous symbol"),
        ("MLL (4297)", "rna:KMT2A", "previous symbol"),
        ("SEPTIN2", "rna:SEPT2", "previous symbol"),
        ("ENSG00000141510", "rna:TP53", "Ensembl id"),
        ("ENSG00000141510.18", "rna:TP53", "Ensembl id with version"),
        ("7157", "rna:TP53", "Entrez id"),
        (7157, "rna:TP53", "Entrez id"),
        ("rna:TP53", "rna:TP53", "block:name"),
        ("mutation:TP53", "mutation:TP53", "block:name"),
        ("rppa:Akt", "rppa:Akt", "block:name"),
    ],
)
def test_kinds_of_names(column: object, feature: str, kind: str) -> None:
    found = recognise([column], FEATURES, NAMES)
    assert found.columns == {feature: (0,)}
    assert found.kinds == {kind: 1}


@pytest.mark.parametrize(
    "column", ["Tp53", "tp53", "TP53.1", "ENSG00000141510.18_PAR_Y", "GONE", "MARCH1", "mutation:A", "", "9"]
)
def test_unknown_names_are_listed(column: str) -> None:
    found = recognise([column], FEATURES, NAMES)
    assert found.columns == {}
    assert found.unmapped == [column]


def test_ambiguous_names_are_not_used() -> None:
    found = recognise(["TRX1", "TP53 (4297)"], FEATURES, NAMES)
    assert found.columns == {}
    assert found.ambiguous == {"TRX1": ["KMT2A", "TXN"], "TP53 (4297)": ["KMT2A", "TP53"]}


def test_without_a_list_of_names_only_symbols_are_found() -> None:
    columns = ["TP53", "MLL", "7157", "ENSG00000141510", "C (1)"]
    assert list(recognise(columns, FEATURES, None).columns) == ["rna:TP53", "rna:C"]


def test_the_better_name_wins_and_equal_names_are_both_kept() -> None:
    found = recognise(["p53", "ENSG00000141510.1", "TP53"], FEATURES, NAMES)
    assert found.columns == {"rna:TP53": (2,)}
    assert found.doubled == {"rna:TP53": ["p53", "ENSG00000141510.1", "TP53"]}
    found = recognise(["7157", "ENSG00000141510.1", "p53"], FEATURES, NAMES)
    assert found.columns == {"rna:TP53": (0, 1)}


def test_numbered_columns_are_no_entrez_ids() -> None:
    names = NAMES.assign(entrez=["1", "2", "3", "4", "5", "6", "7"])
    assert recognise(["1", "2", "3"], FEATURES, names).columns == {}
    assert len(recognise(["2", "7", "5"], FEATURES, names).columns) == 3


def test_dates_of_spreadsheets_are_told() -> None:
    assert recognise(["2-Sep", "1-Mar", "2023-03-01", "TP53"], FEATURES, NAMES).dates == [
        "2-Sep",
        "1-Mar",
        "2023-03-01",
    ]


@pytest.mark.data
def test_real_names_lead_to_one_gene(mirror: Path) -> None:
    from crossres_ml.sources.genesets import _hgnc

    hgnc = _hgnc({"hgnc_symbols": mirror / "hgnc_symbols.txt"})
    names = gene_names(hgnc, hgnc.symbol[~hgnc.symbol.str.contains("~")])
    leads = names.previous.explode().dropna()
    assert len(leads) > 30_000
    assert not leads.duplicated().any()
    assert not leads.isin(names.index).any()
    assert not set(names.ambiguous.explode().dropna()) & set(leads)
