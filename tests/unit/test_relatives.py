"""Relatives are found by patient, by list and by mutations, and share one group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.identity.aliases import Aliases, build_aliases
from crossres_ml.identity.relatives import assign_groups, find_relatives

IDS = pd.Index([f"ACH-{i:06d}" for i in range(60)], name="model_id")
LISTED = "cell_line_a,cell_line_b,reason\nline 10,line 11,same donor\nline 12,absent,unknown line\n"


def models() -> pd.DataFrame:
    patient = [f"P{i}" for i in range(60)]
    patient[2] = patient[1] = patient[5]  # three lines of one patient
    patient[8] = patient[9] = None  # unknown patients are no relatives
    names = [f"line {i}" for i in range(60)]
    return pd.DataFrame(
        {
            "model_id": IDS, "patient_id": patient, "cell_line_name": names, "stripped_name": None,
            "ccle_name": None, "cosmic_id": None, "sanger_model_id": None,
        }
    ).astype({"stripped_name": "string", "ccle_name": "string", "sanger_model_id": "string"})  # fmt: skip


def mutations() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = {(IDS[i], f"g{g}") for i in range(60) for g in rng.choice(400, 25, replace=False)}
    rows |= {(i, f"everywhere{g}") for i in IDS for g in range(40)}
    rows = {r for r in rows if r[0] not in (IDS[20], IDS[21], IDS[30], IDS[31], IDS[40])}
    rows |= {(i, f"own{g}") for i in (IDS[20], IDS[21]) for g in range(20)}  # one donor
    rows |= {(IDS[20], f"g{g}") for g in range(5)}
    rows |= {(i, f"few{g}") for i in (IDS[30], IDS[31]) for g in range(10)}  # alike, but too few to say
    rows |= {(IDS[40], f"g{g}") for g in range(400)}  # hypermutated: holds every list
    return pd.DataFrame(sorted(rows), columns=["model_id", "gene"])


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "relatives.csv"
    path.write_text(LISTED)
    return path


@pytest.fixture
def known() -> Aliases:
    none = pd.DataFrame(columns=["alias", "model_id", "reason"], dtype=str)
    return build_aliases({"depmap_models": models()}, none)


def pairs(table: pd.DataFrame) -> set[frozenset[str]]:
    return {frozenset(p) for p in zip(table.model_id_a, table.model_id_b, strict=True)}


def test_all_three_kinds_of_evidence(known: Aliases, listed: Path) -> None:
    table = find_relatives(models(), mutations(), known, IDS, listed)
    expected = [(1, 2), (1, 5), (10, 11), (20, 21)]
    assert pairs(table) == {frozenset((IDS[a], IDS[b])) for a, b in expected}
    evidence = table.set_index("model_id_a").evidence
    assert evidence[IDS[20]] == "share 20 of 20 rarely mutated genes"
    assert evidence[IDS[10]] == "listed: same donor"
    assert set(evidence[IDS[1]]) == {"patient P5"}


def test_only_the_lines_that_matter(known: Aliases, listed: Path) -> None:
    some = IDS[[0, 1, 5, 10, 20]]
    table = find_relatives(models(), None, known, some, listed)
    assert pairs(table) == {frozenset((IDS[1], IDS[5]))}
    assert find_relatives(models(), None, known, IDS[[0, 20, 21]], listed).empty


def test_relatives_of_relatives_share_a_group() -> None:
    table = pd.DataFrame({"model_id_a": IDS[[3, 7, 50]], "model_id_b": IDS[[7, 9, 40]], "evidence": "made"})
    group = assign_groups(IDS, table)
    assert set(group[IDS[[3, 7, 9]]]) == {IDS[3]}
    assert set(group[IDS[[40, 50]]]) == {IDS[40]}
    assert group.nunique() == 60 - 3
    assert (group.drop(IDS[[3, 7, 9, 40, 50]]) == IDS.drop(IDS[[3, 7, 9, 40, 50]])).all()


def test_groups_do_not_depend_on_order() -> None:
    table = pd.DataFrame({"model_id_a": IDS[[9, 3, 7]], "model_id_b": IDS[[7, 9, 1]], "evidence": "made"})
    group = assign_groups(IDS, table)
    turned = table.rename(columns={"model_id_a": "model_id_b", "model_id_b": "model_id_a"}).iloc[::-1]
    other = assign_groups(IDS[::-1], turned)
    assert list(other.index) == list(IDS[::-1])
    assert (other[IDS] == group).all()


def test_no_relatives_at_all() -> None:
    none = pd.DataFrame(columns=["model_id_a", "model_id_b", "evidence"], dtype=str)
    assert (assign_groups(IDS, none) == IDS).all()
