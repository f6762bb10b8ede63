"""Verdicts: every branch at its border, and what they do not look at."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from crossres_ml.audit.verdicts import LEVEL, MEANING, Verdict, Word, decide

NAN = np.nan
ABOVE, BELOW = np.nextafter(LEVEL, 1), np.nextafter(LEVEL, 0)

CLEAR: dict[str, Any] = {
    "effect": 0.3, "low": 0.2, "high": 0.4, "q": 0.001, "p": 0.0005, "p_error": NAN, "full": 0.25,
    "full_p": 0.002, "mde": 0.12, "smallest": 0.15, "shap_q": NAN, "shap_p": NAN, "shap_p_error": NAN,
}  # fmt: skip
"""Supported, without a SHAP value."""
NOTHING = CLEAR | {"effect": 0.01, "high": 0.1, "q": 0.8, "p": 0.7, "full": 0.0, "full_p": 0.9}
"""Not supported."""

OPPOSITE = CLEAR | {"effect": -0.3, "full": -0.25}

CASES: list[tuple[str, dict[str, Any], Verdict]] = [
    # not measurable
    ("no effect", CLEAR | {"effect": NAN}, Verdict("not measurable")),
    ("no q", CLEAR | {"q": NAN}, Verdict("not measurable")),
    ("infinite effect", CLEAR | {"effect": np.inf}, Verdict("not measurable")),
    # supported
    ("clear", CLEAR, Verdict("supported")),
    ("q just under", CLEAR | {"q": BELOW}, Verdict("supported")),
    ("full p just under", CLEAR | {"full_p": BELOW}, Verdict("supported")),
    ("small but sure", CLEAR | {"effect": 0.01, "full": 0.01, "mde": 0.9}, Verdict("supported")),
    ("tiny full effect", CLEAR | {"full": 1e-9}, Verdict("supported")),
    ("p alone decides nothing", CLEAR | {"p": 0.9}, Verdict("supported")),
    # top driver
    ("shap q just under", CLEAR | {"shap_q": BELOW}, Verdict("supported", top_driver=True)),
    ("shap q at the level", CLEAR | {"shap_q": LEVEL}, Verdict("supported")),
    ("no driver unless supported", NOTHING | {"shap_q": 0.001}, Verdict("not supported")),
    ("no driver if lost", CLEAR | {"full_p": 0.5, "shap_q": 0.001}, Verdict("lost after adjustment")),
    ("no driver if contradicted", OPPOSITE | {"shap_q": 0.001}, Verdict("contradicted")),
    # lost after adjustment
    ("full p at the level", CLEAR | {"full_p": LEVEL}, Verdict("lost after adjustment")),
    ("full p just over", CLEAR | {"full_p": ABOVE}, Verdict("lost after adjustment")),
    ("full effect turned", CLEAR | {"full": -0.25}, Verdict("lost after adjustment")),
    ("full effect is zero", CLEAR | {"full": 0.0}, Verdict("lost after adjustment")),
    # contradicted
    ("opposite", OPPOSITE, Verdict("contradicted")),
    ("opposite, q just under", OPPOSITE | {"q": BELOW}, Verdict("contradicted")),
    ("opposite, then lost", OPPOSITE | {"full_p": LEVEL}, Verdict("contradicted", weak=True)),
    ("opposite, then turned", OPPOSITE | {"full": 0.25}, Verdict("contradicted", weak=True)),
    # not supported, underpowered
    ("nothing", NOTHING, Verdict("not supported")),
    ("q at the level", CLEAR | {"q": LEVEL, "high": 0.1}, Verdict("not supported")),
    ("q just over", CLEAR | {"q": ABOVE}, Verdict("underpowered")),
    ("opposite, not significant", NOTHING | {"effect": -0.2, "high": -0.01}, Verdict("not supported")),
    ("mde exactly smallest", NOTHING | {"mde": 0.15}, Verdict("not supported")),
    ("mde just over", NOTHING | {"mde": np.nextafter(0.15, 1)}, Verdict("underpowered")),
    ("high exactly smallest", NOTHING | {"high": 0.15}, Verdict("underpowered")),
    ("high just under", NOTHING | {"high": np.nextafter(0.15, 0)}, Verdict("not supported")),
    ("no interval", NOTHING | {"high": NAN}, Verdict("underpowered")),
    ("no mde", NOTHING | {"mde": NAN}, Verdict("underpowered")),
    ("another smallest", NOTHING | {"smallest": 0.1}, Verdict("underpowered")),
    ("nothing, without full effect", NOTHING | {"full": NAN, "full_p": NAN}, Verdict("not supported")),
]  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_verdict_for_every_case(row: dict[str, Any], expected: Verdict) -> None:
    assert decide(row, gate_open=True) == expected


@pytest.mark.parametrize(("row", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_closed_gate_withholds_all_but_what_was_not_measured(
    row: dict[str, Any], expected: Verdict
) -> None:
    unmeasured = expected.word == "not measurable"
    assert decide(row, gate_open=False) == (expected if unmeasured else Verdict("withheld"))


def test_every_word_is_reached_and_has_a_meaning() -> None:
    reached = {decide(row, gate_open=gate).word for _, row, _ in CASES for gate in (True, False)}
    assert reached == set(get_args(Word)) == set(MEANING)


def test_flags_are_plain_truth_values() -> None:
    row = {k: np.float64(v) for k, v in CLEAR.items()} | {
        "shap_q": np.float64(0.01),
        "p_error": np.float64(0.0001),
    }
    found = decide(row, gate_open=True)
    assert all(type(v) is bool for v in (found.weak, found.top_driver, found.borderline))


# --- borderline -----------------------------------------------------------------------------------

DRAWN = CLEAR | {"p": 0.02, "p_error": 0.001, "q": 0.04, "full_p": 0.001}
"""q is twice p, so its error is 0.002, and two of them reach from 0.046 to 0.054."""
FLAT = NOTHING | {"p": 0.7, "p_error": 0.01}

LOST = DRAWN | {"full_p": 0.5, "shap_q": 0.049, "shap_p": 0.01, "shap_p_error": 0.01}

SHAP_NEAR = {"shap_q": 0.048, "shap_p": 0.012, "shap_p_error": 0.001}

NEAR: list[tuple[str, dict[str, Any], bool]] = [
    ("q far under", DRAWN | {"q": 0.04}, False),
    ("q within two errors under", DRAWN | {"q": 0.0462, "p": 0.0231}, True),
    ("q two and a half errors under", DRAWN | {"q": 0.045, "p": 0.0225}, False),
    ("q within two errors over", DRAWN | {"q": 0.0538, "p": 0.0269}, True),
    ("q two and a half errors over", DRAWN | {"q": 0.055, "p": 0.0275}, False),
    ("without draws nothing is", DRAWN | {"q": BELOW, "p_error": NAN}, False),
    ("an error of zero is no error", DRAWN | {"q": BELOW, "p_error": 0.0}, False),
    ("shap without draws", CLEAR | {"shap_q": BELOW, "shap_p": 0.01}, False),
    ("shap q near moves the driver, not the word", CLEAR | SHAP_NEAR, False),
    ("q that other draws could move", CLEAR | {"q_near": True}, True),
    ("q that others could not move", CLEAR | {"q_near": False}, False),
    ("shap q far", CLEAR | {"shap_q": 0.03, "shap_p": 0.01, "shap_p_error": 0.001}, False),
    ("shap is not asked when lost", LOST, False),
    ("high near smallest", FLAT | {"high": 0.136}, True),
    ("high near smallest, over", FLAT | {"high": 0.164}, True),
    ("high not near", FLAT | {"high": 0.134, "mde": 0.1}, False),
    ("mde near smallest", FLAT | {"mde": 0.164}, True),
    ("mde not near", FLAT | {"mde": 0.17}, False),
    ("high near, without draws", NOTHING | {"high": 0.149}, False),
    ("mde near, without draws", NOTHING | {"mde": 0.149}, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [(SHAP_NEAR, True), ({**SHAP_NEAR, "shap_q": 0.052, "shap_p": 0.013}, True), ({"shap_q": 0.03}, False)],
)
def test_driver_is_borderline_by_its_own_draws(changes: dict[str, Any], expected: bool) -> None:
    assert decide(CLEAR | changes, gate_open=True).driver_borderline is expected
    assert not decide(CLEAR | {"q": ABOVE} | changes, gate_open=True).driver_borderline


@pytest.mark.parametrize(("row", "expected"), [c[1:] for c in NEAR], ids=[c[0] for c in NEAR])
def test_borderline_only_within_two_errors_of_what_draws_decide(row: dict[str, Any], expected: bool) -> None:
    assert decide(row, gate_open=True).borderline is expected


def draws_error(p: float, draws: int = 999) -> float:
    return float(np.sqrt(p * (1 - p) / draws))


@pytest.mark.parametrize(("full_p", "expected"), [(0.044, True), (0.056, True), (0.03, False), (0.08, False)])
def test_a_fully_adjusted_p_near_the_level_is_borderline_by_its_own_error(
    full_p: float, expected: bool
) -> None:
    """The error of a small p is small; that of a p of .05 from the same draws is .007."""
    row = CLEAR | {"p": 0.002, "q": 0.004, "p_error": draws_error(0.002), "full_p": full_p}
    assert decide(row, gate_open=True).borderline is expected
