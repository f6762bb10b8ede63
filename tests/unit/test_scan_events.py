"""Events of the scan: coding, counts, folding, and a reason for everything that is skipped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crossres_ml.cohort.blocks import BLOCKS
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.scan.events import CODINGS, NOT_EVENTS, Events, collect_events
from crossres_ml.scan.segments import fold_neighbours, places_of

N = 140
SETTINGS = ScanConfig(min_carriers=10, min_lines=100)


@pytest.fixture(scope="module")
def hgnc() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["A", "B", "C", "D", "E", "NOWHERE", "NEW"],
            "chromosome": ["17q12", "17q21.2", "17q25", "17p13.1", "8q24.21", "mitochondria", "17q12"],
            "previous_symbols": [None, "OLDB", None, "TWICE", "TWICE", None, "A, OLDNEW"],
        }
    )


@pytest.fixture(scope="module")
def events(make_cohort: Callable[..., Cohort], hgnc: pd.DataFrame) -> Events:
    rng = np.random.default_rng(1)
    status = rng.choice([0, 1, 2], N, p=[0.6, 0.2, 0.2]).astype(np.float32)
    only_damaging = np.where(status == 1, 0, status)
    hit = np.r_[np.ones(30), np.zeros(N - 30)].astype(np.float32)
    few = np.where(np.arange(N) < 40, rng.normal(size=N), np.nan)
    copies = rng.normal(scale=0.3, size=N)
    near = copies + rng.normal(scale=0.02, size=N)
    level = rng.normal(size=N)
    blocks = {
        "driver": {"D1": status, "D2": only_damaging},
        "mutation": {"M1": hit, "M2": hit, "RARE": (np.arange(N) < 9) * 1.0, "NONE": np.zeros(N)},
        "copy_number": {
            "A": copies, "B": near, "C": rng.normal(size=N), "D": copies, "OLDNEW": near, "NOWHERE": copies,
            "ZZ": copies,
        },
        "rna": {"R1": level, "R2": level, "FEW": few, "ZERO": np.where(np.arange(N) < 5, level, 0.0)},
        "rppa": {"P_Caution": level},
        "growth": {"sanger": level},
        "lineage": {"a": hit},
    }  # fmt: skip
    frames = {b: pd.DataFrame(c).sort_index(axis=1).astype(np.float32) for b, c in blocks.items()}
    cohort = make_cohort(["a"] * N, list(range(N)), blocks=frames)
    own = cohort.features.assign(caution=cohort.features.name.str.contains("_Caution"))
    object.__setattr__(cohort, "features", own)
    return collect_events(cohort, cohort.lines.index, SETTINGS, places=places_of(hgnc))


def reason(events: Events, name: str) -> str:
    return str(events.skipped.set_index("event").reason[name])


def test_every_block_is_scanned_or_said_not_to_be() -> None:
    assert {c.block for c in CODINGS} | set(NOT_EVENTS) == {b.name for b in BLOCKS}
    assert not {c.block for c in CODINGS} & set(NOT_EVENTS)


def test_codings_of_a_driver_are_two_events_unless_they_are_equal(events: Events) -> None:
    table = events.table
    row = table.loc["driver:D1 any"]
    assert row.carriers + row.others == row.n == N
    # "damaging" of both genes are the same lines, and so is "any" of the second: one row names all
    row = table.loc["driver:D1 damaging"]
    assert row.same_as == "driver:D2 damaging; driver:D2 any"
    assert row.members == 3


def test_equal_columns_are_one_row_that_names_all(events: Events) -> None:
    row = events.table.loc["mutation:M1"]
    assert (row.same_as, row.members, row.features) == ("mutation:M2", 2, "mutation:M1; mutation:M2")
    assert "mutation:M2" not in events.table.index
    assert row.burden_adjusted
    # a level of another block with the same values is folded too, and is cautioned only if all are
    level = events.table.loc["rna:R1"]
    assert level.same_as == "rna:R2; rppa:P_Caution"
    assert not level.caution


def test_neighbours_are_one_segment(events: Events) -> None:
    segments = events.table[events.table.block == "cn_segment"]
    one = segments[segments.members == 3].iloc[0]
    assert set(one.features.split("; ")) == {"copy_number:A", "copy_number:B", "copy_number:OLDNEW"}
    assert one.arm == "17q"
    assert "17q12-q21.2" in one.label
    values = events.values[one.name]
    assert values.std() == pytest.approx(0.3, abs=0.1)
    # the same copies on another arm are another segment
    assert "17p" in set(segments.arm)


def test_everything_else_has_a_reason(events: Events) -> None:
    assert reason(events, "mutation:RARE") == "9 lines with it and 131 without, fewer than 10"
    assert reason(events, "mutation:NONE") == "is the same in all lines that have it measured"
    assert reason(events, "rna:FEW") == "measured in 40 lines with both responses, fewer than 100"
    assert reason(events, "rna:ZERO") == "5 lines differ from its most common value, fewer than 10"
    assert reason(events, "copy_number:NOWHERE") == "place on a chromosome not known"
    assert reason(events, "growth:(all)") == "is what effects are adjusted for"
    assert not events.skipped.reason.isna().any()
    assert list(events.values.columns) == list(events.table.index)


def test_a_previous_symbol_of_two_genes_has_no_place(hgnc: pd.DataFrame) -> None:
    places = places_of(hgnc)
    assert places.arm["OLDB"] == "17q"
    assert places.arm["A"] == "17q"
    assert "TWICE" not in places.arm
    assert "NOWHERE" not in places.arm


def test_folding_without_places_goes_by_correlation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    X = np.column_stack([x, x + rng.normal(scale=0.1, size=50), -x, rng.normal(size=50)])
    X[3, 1] = np.nan
    folds, unplaced = fold_neighbours(X, list("abcd"), None)
    assert [f.columns.tolist() for f in folds] == [[0, 1], [2], [3]]
    assert len(unplaced) == 0
    assert {f.arm for f in folds} == {""}


def test_the_simulated_cohort_has_events(cohort: Cohort) -> None:
    found = collect_events(cohort, cohort.lines.index, SETTINGS)
    assert {"mutation", "rna", "rppa"} <= set(found.table.block)
    named = set(found.table.features.str.split("; ").explode()) - {""}
    assert named <= set(cohort.features.index)
