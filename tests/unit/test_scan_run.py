"""The whole scan on a simulated study: what is planted is found, tables are whole, bad input is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossres_ml.audit.claims import Claims, load_claims
from crossres_ml.audit.data import one_line_a_patient
from crossres_ml.cohort.cohort import DRUG_RESPONSE, RESPONSES, Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.errors import CohortError, SchemaError
from crossres_ml.scan.events import collect_events
from crossres_ml.scan.frame import both_frame, single_frame
from crossres_ml.scan.lineages import event_lineages
from crossres_ml.scan.run import Scan, scan, scan_drugs
from crossres_ml.scan.save import write_scan
from crossres_ml.scan.table import rate_at
from crossres_ml.scan.user import read_events
from crossres_ml.scan.words import answer

SETTINGS = ScanConfig(permutations=100, min_lines=60, top=3)


@pytest.fixture(scope="module")
def claims() -> Claims:
    return load_claims()


def both_lines(cohort: Cohort) -> pd.Index:
    lines = one_line_a_patient(cohort)
    return lines[cohort.responses.chemotherapy[lines].notna().to_numpy()]


@pytest.fixture(scope="module")
def user(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns of a user: one that is resistance itself, and several that cannot be scanned."""
    lines = cohort.lines.index
    both = cohort.responses[["radiation", "chemotherapy"]].rank(pct=True).mean(axis=1)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "model_id": lines,
            "BOTH": (both > 0.6).astype(int),
            "LEVEL": both + rng.normal(scale=0.2, size=len(lines)),
            "ONE": (lines == both_lines(cohort)[5]).astype(int),
            "FLAT": 1,
            "FEW": np.where(np.arange(len(lines)) < 20, rng.normal(size=len(lines)), np.nan),
            "TEXT": "yes",
        }
    )
    path = tmp_path_factory.mktemp("events") / "events.csv"
    pd.concat([table, pd.DataFrame({"model_id": ["ACH-NEVER"], "BOTH": [1]})]).to_csv(path, index=False)
    return read_events(path, lines)


@pytest.fixture(scope="module")
def found(cohort: Cohort, claims: Claims, user: tuple[pd.DataFrame, pd.DataFrame]) -> Scan:
    return scan(cohort, claims, SETTINGS, seed=1, user=user)


def test_what_is_planted_for_both_comes_first(found: Scan) -> None:
    first = found.table.sort_values("list_p").index[0]
    assert first in ("user:BOTH", "user:LEVEL")
    row = found.table.loc["user:BOTH"]
    assert row["list"] == "both_resistant"
    assert row.by_bh
    assert row.radiation > 0
    assert row.chemotherapy > 0
    assert row.radiation_low < row.radiation < row.radiation_high
    assert not row.burden_adjusted


def test_every_row_has_its_numbers(found: Scan) -> None:
    numbers = [
        "radiation",
        "radiation_p",
        "chemotherapy",
        "chemotherapy_p",
        "list_p",
        "list_rate",
        "both_mde",
    ]
    assert found.table[numbers].notna().all().all()
    assert found.drugs[["effect", "low", "high", "p", "q"]].notna().all().all()
    assert not found.skipped.reason.isna().any()
    assert set(found.table["list"]) - {""} <= set(found.table.best_list)
    called = found.table[found.table["list"] != ""]
    assert (called.list_rate < SETTINGS.level).all()


def test_difference_of_an_event_is_the_gap_between_its_sides(
    found: Scan, cohort: Cohort, claims: Claims
) -> None:
    row = found.table.loc["user:BOTH"]
    share = row.carriers / row.n
    assert row.radiation_difference == pytest.approx(row.radiation / np.sqrt(share * (1 - share)), rel=1e-6)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("user:ONE", "1 lines with it and"),
        ("user:FLAT", "is the same in all lines"),
        ("user:FEW", "fewer than 30"),
        ("user:TEXT", "has values that are not numbers"),
        ("user:(line ACH-NEVER)", "model_id is not in the cohort"),
    ],
)
def test_what_cannot_be_scanned_is_told(found: Scan, event: str, reason: str) -> None:
    assert reason in found.skipped.set_index("event").reason[event]
    assert event not in found.table.index


def test_known_pairs_without_their_drug_say_so(found: Scan) -> None:
    assert (found.known.reason != "").any()
    assert found.known.reason.isna().sum() == 0


def test_files_are_whole(found: Scan, tmp_path: Path) -> None:
    write_scan(found, tmp_path, {"seed": 1}, level=0.05, top=3)
    about = json.loads((tmp_path / "scan.json").read_text())
    assert about["events"] == len(found.table)
    assert len(about["lists"]) == 12
    assert any("Resistant to both" in s for s in about["answer"])
    assert pd.read_csv(tmp_path / "scan.csv", index_col="event").loc["user:BOTH", "list"] == "both_resistant"
    pd.testing.assert_index_equal(pd.read_parquet(tmp_path / "scan.parquet").index, found.table.index)


def test_an_event_of_one_lineage_is_marked(cohort: Cohort, claims: Claims) -> None:
    frame = both_frame(cohort, claims)
    of = cohort.lines.lineage[frame.lines]
    first = of.value_counts().index[0]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(frame.lines), 2))
    resistance = frame.Y[:, :2].mean(axis=1)
    one = np.where(of == first, 3 * resistance, 0) + noise[:, 0]
    X = pd.DataFrame({"one": one, "all": resistance + noise[:, 1]}, frame.lines)
    kinds = pd.Series("level", X.columns)
    effects, pooled = event_lineages(X, kinds, frame, of, np.zeros(2, dtype=bool))
    marks = pooled.set_index(["event", "response"]).carried_by
    assert marks["one", "radiation"] == first
    assert marks["all", "radiation"] == marks["all", "chemotherapy"] == ""
    own = effects[(effects.event == "all") & (effects.response == "radiation") & (effects.note == "")]
    assert (own.n >= 8).all()
    assert own.effect.between(own.low, own.high).all()


def test_a_response_that_does_not_vary_is_refused(make_cohort: Callable[..., Cohort], claims: Claims) -> None:
    responses = pd.DataFrame(1.0, range(40), list(RESPONSES))
    with pytest.raises(CohortError, match="radiation and chemotherapy does not vary"):
        both_frame(make_cohort(["a"] * 40, range(40), responses), claims)
    with pytest.raises(CohortError, match="20 lines; the scan needs 30"):
        both_frame(make_cohort(["a"] * 20, range(20)), claims)
    cohort = make_cohort(["a"] * 40, range(40), responses)
    assert single_frame(cohort, claims, cohort.responses.sf2) == "1 different values in 40 lines"
    assert single_frame(cohort, claims, cohort.responses.sf2[:3]) == "3 lines, fewer than 30"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("id,A\nx,1\n", "no column model_id among id, A"),
        ("model_id\nACH-000001\n", "no column beside model_id"),
        ("model_id,A\nX,1\nX,0\n", "stands twice: X; no model_id is in the cohort: X"),
        ("model_id,A,A\nACH-000001,1,0\n", "columns stand twice: A"),
        ("model_id,A\n,1\n,0\n", "no model_id is in the cohort: all are empty"),
        ("", "cannot be read"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=match):
        read_events(path, pd.Index(["ACH-000001"]))


def test_rate_beyond_what_was_counted_is_one() -> None:
    expected = pd.DataFrame(
        {"list": "both_resistant", "null": "pairs", "p": [0.001, 0.01], "count": [0.01, 1.0]}
    )
    rate = rate_at(np.array([0.0001, 0.001, 0.005, 0.01, 0.02]), expected, "both_resistant")
    np.testing.assert_allclose(rate, [1, 0.01, 0.01, 0.5, 1])
    assert (rate_at(np.array([0.5]), expected, "both_sensitive") == 1).all()


def test_signals_are_counted_in_lists_and_sentences(found: Scan) -> None:
    table, rows = found.table, found.lists
    own = rows[(rows.list == "both_resistant") & (rows.level == 0.05)].iloc[0]
    called = table[table["list"] == "both_resistant"]
    assert 1 <= own.signals <= own.seen == len(called)
    assert own.signals == (found.signals.list == "both_resistant").sum() == called.signal.nunique()
    assert called.loc[called.signal.unique(), "signal"].eq(called.signal.unique()).all()
    # two events that are both made of resistance itself are one signal
    assert called.signal["user:BOTH"] == called.signal["user:LEVEL"]
    assert (table.signal[table.list_rate >= 0.1] == "").all()
    assert any(f"{own.signals:.0f} independent signals" in s for s in answer(found, 0.05))


def test_text_and_truth_values_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    text = "model_id\tTRUE\tGAP\tTEXT\n ACH-1\tTrue\t1\t1\nACH-2 \tFalse\t\tlow\n\tTrue\t0\t0\n"
    path.write_text(text)
    values, skipped = read_events(path, pd.Index(["ACH-2", "ACH-1", "ACH-3"]))
    assert list(values) == ["TRUE", "GAP"]
    np.testing.assert_array_equal(values.to_numpy(), [[0, np.nan], [1, 1], [np.nan, np.nan]])
    assert skipped.event.tolist() == ["user:TEXT", "user:(no line)"]


def test_a_flat_response_is_refused_and_a_flat_drug_is_skipped(cohort: Cohort, claims: Claims) -> None:
    flat = replace(cohort, responses=cohort.responses.assign(chemotherapy=1.0))
    with pytest.raises(CohortError, match="chemotherapy does not vary"):
        scan(flat, claims, SETTINGS, seed=1)
    drug = next(r for r in cohort.responses if str(r).startswith(DRUG_RESPONSE))
    known = cohort.responses[drug].notna()
    one = replace(
        cohort, responses=cohort.responses.assign(**{str(drug): known.map({True: 1.0, False: np.nan})})
    )
    lines = both_lines(cohort)
    events = collect_events(one, lines, SETTINGS)
    drugs, skipped = scan_drugs(one, claims, events, 1)
    assert str(drug).removeprefix(DRUG_RESPONSE) not in set(drugs.drug)
    assert re.search(f"^{drug}: 1 different values in", skipped.reason[skipped.block == drug].iloc[0])
    assert drugs.effect.notna().all()
