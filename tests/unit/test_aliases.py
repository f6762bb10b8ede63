"""Names lead to one model or to none with a reason, never to a guess."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crossres_ml.errors import IdentityError
from crossres_ml.identity.aliases import Aliases, build_aliases, name_key, read_overrides

NONE = pd.DataFrame(columns=["alias", "model_id", "reason"], dtype=str)
MODELS = pd.DataFrame(
    [
        ("ACH-000561", "T.T", "TT", "TT_OESOPHAGUS", 1, "SIDM1"),
        ("ACH-001321", "TT", "TT", "TT_THYROID", 2, "SIDM2"),
        ("ACH-000815", "KM-H2", "KMH2", "KMH2_HAEMATOPOIETIC_AND_LYMPHOID_TISSUE", 3, "SIDM3"),
        ("ACH-002397", "KMH-2", "KMH2", "KMH2_THYROID", 4, "SIDM4"),
        ("ACH-000001", "NIH:OVCAR-3", "NIHOVCAR3", "NIHOVCAR3_OVARY", 5, "SIDM5"),
        ("ACH-000002", "HL-60", "HL60", "HL60_BLOOD", None, None),
        ("ACH-000003", "HL 60", "HL60B", "HL60B_BLOOD", 7, "SIDM7"),
        ("ACH-000004", "A549", None, None, 7, "SIDM7"),
    ],
    columns=["model_id", "cell_line_name", "stripped_name", "ccle_name", "cosmic_id", "sanger_model_id"],
)
INFO = pd.DataFrame(
    [
        ("ACH-000001", "OVCAR3 old", "OVCAR3OLD", "X_OVARY", "OVCAR-3; OVCAR3,NIH-O", 5.0, "SIDM5"),
        ("ACH-000004", "A-549", "A549", None, "SHARED", None, None),
        ("ACH-000002", "HL-60", "HL60", None, "SHARED, only HL60", None, None),
    ],
    columns=[
        "model_id", "cell_line_name", "stripped_name", "ccle_name", "alias", "cosmic_id", "sanger_model_id",
    ],
)  # fmt: skip


def aliases(overrides: pd.DataFrame = NONE) -> Aliases:
    return build_aliases({"depmap_models": MODELS, "depmap_sample_info": INFO}, overrides)


def resolved(name: str, overrides: pd.DataFrame = NONE) -> tuple[str | None, str]:
    row = aliases(overrides).resolve([name]).loc[name]
    return (None if pd.isna(row.model_id) else row.model_id), row.reason


@pytest.mark.parametrize(
    ("name", "key"),
    [("SK-N-FI", "SKNFI"), ("T.T", "TT"), ("nci-h1299 ", "NCIH1299"), ("23132/87", "2313287"), ("β-β", "")],
)
def test_key(name: str, key: str) -> None:
    assert name_key(name) == key


@pytest.mark.parametrize(
    ("name", "model_id", "how"),
    [
        ("T.T", "ACH-000561", "name of the current DepMap model"),
        ("TT", "ACH-001321", "name of the current DepMap model"),
        ("KM-H2", "ACH-000815", "name of the current DepMap model"),
        ("KMH-2", "ACH-002397", "name of the current DepMap model"),
        ("NIHOVCAR3", "ACH-000001", "name of the current DepMap model without punctuation"),
        ("OVCAR3 old", "ACH-000001", "name in another table of models"),
        ("OVCAR-3-OLD", "ACH-000001", "name in another table of models without punctuation"),
        ("hl60b", "ACH-000003", "abbreviated name"),
        ("OVCAR3", "ACH-000001", "synonym"),
        ("only HL60", "ACH-000002", "synonym"),
        ("a-549", "ACH-000004", "name of the current DepMap model without punctuation"),
    ],
)
def test_layers(name: str, model_id: str, how: str) -> None:
    assert resolved(name) == (model_id, how)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("t-t", "ACH-000561 and ACH-001321"),
        ("KMH2", "ACH-000815 and ACH-002397"),
        ("HL60", "ACH-000002 and ACH-000003"),
        ("shared", "ACH-000002 and ACH-000004"),
    ],
)
def test_ambiguous_name_is_not_guessed(name: str, candidates: str) -> None:
    model_id, reason = resolved(name)
    assert model_id is None
    assert candidates in reason


def test_unknown_name() -> None:
    for name in ("NOPE-1", "", "---"):
        assert resolved(name) == (None, "no DepMap model has this name")


def test_decision_by_hand_comes_first() -> None:
    by_hand = pd.DataFrame(
        [("TT", "ACH-000561", "tried"), ("A549", "", "withdrawn"), ("KMH2", "ACH-000815", "the blood line")],
        columns=["alias", "model_id", "reason"],
    )
    assert resolved("TT", by_hand) == ("ACH-000561", "by hand: tried")
    assert resolved("A549", by_hand) == (None, "by hand: withdrawn")
    assert resolved("KMH2", by_hand) == ("ACH-000815", "by hand: the blood line")


def test_two_names_for_one_line_raise() -> None:
    with pytest.raises(IdentityError, match="several names mean one line: ") as error:
        aliases().resolve(["A549", "TT", "A-549", "OVCAR3", "NIH:OVCAR-3"])
    text = str(error.value)
    for pair in (
        "A549 = ACH-000004",
        "A-549 = ACH-000004",
        "OVCAR3 = ACH-000001",
        "NIH:OVCAR-3 = ACH-000001",
    ):
        assert pair in text
    assert "TT" not in text.split("where")[0]
    assert "identity_overrides.csv" in text


def test_one_name_twice_is_one_name() -> None:
    assert list(aliases().resolve(["TT", "T.T", "TT"]).index) == ["TT", "T.T"]


def test_identifiers_are_unambiguous() -> None:
    known = aliases()
    assert known.cosmic["5"] == "ACH-000001"  # 5 and 5.0 are one number
    assert "7" not in known.cosmic  # two lines claim it
    assert "SIDM7" not in known.sanger
    assert known.ccle["TT_THYROID"] == "ACH-001321"
    assert None not in known.cosmic


def test_other_tables_add_names() -> None:
    notes = pd.DataFrame({"ccle_name": ["NEW_LUNG"], "model_id": ["ACH-000004"], "name": ["Noted"]})
    passports = pd.DataFrame(
        {
            "model_name": ["Passported", "bad"], "model_id": ["ACH-000003", "not an id"],
            "cosmic_id": [99, 98], "sanger_model_id": ["SIDM99", "SIDM98"], "synonyms": ["P1;P2", None],
        }
    )  # fmt: skip
    tables = {"depmap_models": MODELS, "ccle_annotations": notes, "sanger_models": passports}
    known = build_aliases(tables, NONE)
    found = known.resolve(["Noted", "P2", "bad"])
    assert found.model_id["Noted"] == "ACH-000004"
    assert found.model_id["P2"] == "ACH-000003"
    assert pd.isna(found.model_id["bad"])
    assert known.resolve(["NEW"]).model_id["NEW"] == "ACH-000004"
    assert known.cosmic["99"] == "ACH-000003"


# --- the table of decisions -------------------------------------------------------------------------


def test_committed_decisions_are_sound() -> None:
    table = read_overrides()
    assert list(table.columns) == ["alias", "model_id", "reason"]
    decided = table.set_index("alias").model_id
    assert decided["TT"] != decided["T.T"]
    assert decided["KM-H2"] != decided["KMH-2"]
    assert (decided == "").sum() == 6


def test_bad_decisions_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text(
        "alias,model_id,reason\nA,ACH-000001,first\nA,ACH-000002,second\nB,ACH-1,short\n"
        "C,SIDM00001,of Sanger\nD,ACH-000004,\nE,,  \n"
    )
    with pytest.raises(IdentityError, match="alias 'A' twice") as error:
        read_overrides(path)
    for fault in ("'ACH-1' is no DepMap id", "'SIDM00001' is no", "alias 'D' without", "alias 'E' without"):
        assert fault in str(error.value)
    assert str(path) in str(error.value)


def test_decisions_without_a_column(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("alias,model_id\nA,ACH-000001\n")
    with pytest.raises(IdentityError, match="reason"):
        read_overrides(path)
