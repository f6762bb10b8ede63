"""The lines of the real files: 534 of 540 radiation lines have a DepMap id, the six others a reason."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crossres_ml.cohort.rna import UNSTABLE_GENES
from crossres_ml.errors import IdentityError
from crossres_ml.identity.aliases import build_aliases, name_key, read_overrides
from crossres_ml.identity.fingerprint import match_rows
from crossres_ml.identity.relatives import assign_groups, find_relatives

pytestmark = pytest.mark.data

Tables = dict[str, pd.DataFrame]
NO_MODEL = ["BT112", "BT145", "BT181", "BT189", "BT216", "BT228"]


@pytest.fixture(scope="module")
def radiation(tables: Tables) -> pd.DataFrame:
    return build_aliases(tables).resolve(tables["radiation"].cell_line)


def test_534_of_540_radiation_lines_resolve(radiation: pd.DataFrame) -> None:
    assert len(radiation) == 540
    missing = radiation[radiation.model_id.isna()]
    assert sorted(missing.index) == NO_MODEL
    assert missing.reason.str.fullmatch(
        "by hand: patient-derived brain tumour line .*; no DepMap model"
    ).all()
    assert radiation.model_id.dropna().is_unique
    assert radiation.model_id.dropna().str.fullmatch(r"ACH-\d{6}").all()


def test_ids_are_those_of_the_oracle(radiation: pd.DataFrame, reference: Path) -> None:
    """Equal but for two lines.

    The oracle looks names up without punctuation, where T.T (oesophagus) is TT (thyroid); and it
    does not know KP-N-S19s, a misspelling of KP-N-SI9s (ACH-000446 in the Cell Model Passports).
    """
    oracle = pd.read_csv(reference / "wave2c_radiation_key_to_ach.csv").set_index("radiation_key").DepMap_ID
    theirs = pd.Series(oracle.reindex(radiation.index.map(name_key)).to_numpy(), radiation.index)
    differs = radiation.model_id.fillna("") != theirs.fillna("")
    assert sorted(radiation.index[differs]) == ["KP-N-S19s", "T.T"]
    assert radiation.model_id["T.T"] == "ACH-000561"
    assert theirs["T.T"] == "ACH-001321"
    assert radiation.model_id["KP-N-S19s"] == "ACH-000446"
    assert pd.isna(theirs["KP-N-S19s"])


def test_the_two_exceptions_are_right(tables: Tables) -> None:
    models = tables["depmap_models"].set_index("model_id")
    assert models.cell_line_name["ACH-000561"] == "T.T"
    assert models.lineage["ACH-000561"].startswith("Esophagus")
    assert models.cell_line_name["ACH-001321"] == "TT"
    assert models.lineage["ACH-001321"] == "Thyroid"
    histology = tables["radiation"].set_index("cell_line")
    assert "oesophagus" in str(histology.loc["T.T", ["site", "tissue"]].to_list()).lower()
    passports = tables["sanger_models"].set_index("model_name")
    assert passports.model_id["KP-N-S19s"] == "ACH-000446"


def test_near_names_stay_apart(tables: Tables) -> None:
    aliases = build_aliases(tables)
    names = {"TT": "ACH-001321", "T.T": "ACH-000561", "KM-H2": "ACH-000815", "KMH-2": "ACH-002397"}
    assert aliases.resolve(names).model_id.to_dict() == names
    without = build_aliases(tables, read_overrides().iloc[:0])
    keyed = without.resolve(["kmh2"])
    assert pd.isna(keyed.model_id["kmh2"])
    assert "ACH-000815 and ACH-002397" in keyed.reason["kmh2"]


def test_without_one_decision_one_more_line_is_unresolved(tables: Tables, radiation: pd.DataFrame) -> None:
    overrides = read_overrides()
    less = overrides[overrides.alias != "MDA-MB-435"]
    assert len(less) == len(overrides) - 1
    without = build_aliases(tables, less).resolve(tables["radiation"].cell_line)
    gone = set(without.index[without.model_id.isna()]) - set(radiation.index[radiation.model_id.isna()])
    assert gone == {"MDA-MB-435"}
    kept = without.drop(index="MDA-MB-435").model_id
    assert kept.equals(radiation.drop(index="MDA-MB-435").model_id)


def test_every_decision_names_a_model_that_exists(tables: Tables) -> None:
    decided = read_overrides().model_id
    assert set(decided[decided != ""]) <= set(tables["depmap_models"].model_id)


def test_a_second_name_of_a_line_raises(tables: Tables) -> None:
    names = [*tables["radiation"].cell_line, "NIH:OVCAR-3", "MDA-MB-435S"]
    with pytest.raises(IdentityError, match="several names mean one line") as error:
        build_aliases(tables).resolve(names)
    assert "MDA-MB-435 = ACH-000884, MDA-MB-435S = ACH-000884" in str(error.value)


def test_screens_resolve_but_for_a_few_listed_lines(tables: Tables) -> None:
    aliases = build_aliases(tables)
    ctrp = aliases.resolve(tables["ctrp_auc"].cell_line.unique())
    missing = ctrp[ctrp.model_id.isna()]
    assert len(ctrp) == 887
    assert len(missing) == 43
    assert sorted(set(NO_MODEL) & set(missing.index)) == ["BT112", "BT145", "BT216", "BT228"]
    assert not missing.reason.str.contains(" means ").any()  # none is lost to an ambiguous name
    mutations = aliases.resolve(tables["mutation_protein_lines"].cell_line)
    assert list(mutations.index[mutations.model_id.isna()]) == ["Alexander cells"]


def test_lines_of_the_mutation_table_are_those_of_the_oracle(tables: Tables, reference: Path) -> None:
    oracle = (
        pd.read_parquet(reference / "mutations_protein_ccle1667_lines.parquet").set_index("name").DepMap_ID
    )
    ours = build_aliases(tables).resolve(tables["mutation_protein_lines"].cell_line).model_id
    both = pd.DataFrame({"ours": ours, "oracle": oracle}).dropna()
    assert len(both) == 952
    differs = both[both.ours != both.oracle]
    # the oracle looks names up without punctuation, and calls SJRH30 by an id that is now one of RH-30
    assert sorted(differs.index) == ["KM-H2", "SJRH30", "T.T"]
    assert differs.ours["KM-H2"] == "ACH-000815"
    assert differs.ours["SJRH30"] == "ACH-001189"


def test_known_relatives_share_a_group(tables: Tables, radiation: pd.DataFrame) -> None:
    ids = pd.Index(sorted(radiation.model_id.dropna()))
    aliases = build_aliases(tables)
    relatives = find_relatives(tables["depmap_models"], tables["mutation_any"], aliases, ids)
    group = assign_groups(ids, relatives)
    known = radiation.model_id
    for a, b in (("HCT-15", "DLD-1"), ("SW480", "SW620"), ("AU565", "SK-BR-3"), ("HEC-1-A", "HEC-1-B")):
        if {a, b} <= set(known.index):
            assert group[known[a]] == group[known[b]]
    assert group.value_counts().max() <= 4
    assert 0.9 < group.nunique() / len(group) < 1
    assert group[known["T.T"]] != group.get(known.get("TT", ""), "")


def test_mutations_alone_find_the_relatives(tables: Tables, radiation: pd.DataFrame) -> None:
    ids = pd.Index(sorted(radiation.model_id.dropna()))
    models = tables["depmap_models"].assign(patient_id=None)
    relatives = find_relatives(models, tables["mutation_any"], build_aliases(tables), ids)
    by_mutation = relatives[relatives.evidence.str.startswith("share")]
    found = {frozenset(p) for p in zip(by_mutation.model_id_a, by_mutation.model_id_b, strict=True)}
    patient = tables["depmap_models"].set_index("model_id").patient_id
    same = [p for p in map(sorted, found) if patient.get(p[0]) == patient.get(p[1])]
    assert len(same) >= 8  # patients that the mutations found without being told
    # HCC-1588 is LS513: DepMap has since withdrawn its id for that of LS513
    assert frozenset(("ACH-001078", "ACH-000007")) in found
    assert len(found) - len(same) <= 2


def test_anonymous_rows_are_those_of_the_oracle(tables: Tables, reference: Path) -> None:
    oracle = pd.read_csv(reference / "expression_panel795_idmatch.csv").DepMap_ID
    known = tables["rna_535"]
    for name in ("rna_kinome", "rna_100", "rna_19q2"):
        known = known.combine_first(tables[name])
    known = known.drop(columns=list(UNSTABLE_GENES))
    found = match_rows(tables["rna_795"], known).set_index("row").model_id
    assert len(tables["rna_795"]) == len(oracle) == 461
    assert len(found) == 459
    assert (found == oracle[found.index]).all()
