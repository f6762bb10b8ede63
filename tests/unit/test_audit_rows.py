"""Rows of evidence: associations column by column, and "both" by the weaker of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from crossres_ml.audit.adjust import add_covariates
from crossres_ml.audit.association import describe_correlation, partial_correlations
from crossres_ml.audit.association_rows import add_both, association_rows, both_row, with_q
from crossres_ml.audit.claims import Claim, Claims, Measurement
from crossres_ml.audit.data import OutcomeView, outcome_views
from crossres_ml.audit.evidence import COLUMNS, FLAGS, NUMBERS, WORDS, row
from crossres_ml.audit.measure import all_measurements
from crossres_ml.cohort.cohort import Cohort

NAN = np.nan


# --- a row ----------------------------------------------------------------------------------------


def test_a_row_has_every_column_and_says_nothing_that_was_not_given() -> None:
    found = row(claim="C01", effect=0.2, valid=False)
    assert tuple(found) == COLUMNS == (*WORDS, *FLAGS, *NUMBERS)
    assert (found["claim"], found["effect"], found["valid"]) == ("C01", 0.2, False)
    assert all(np.isnan(found[k]) for k in NUMBERS if k != "effect")
    assert [found[k] for k in ("decides", "claimed", "proxy", "note")] == [True, True, False, ""]


def test_a_value_without_a_column_is_refused() -> None:
    with pytest.raises(KeyError, match=r"no column of evidence: \['effct', 'q'\]"):
        row(claim="C01", effct=0.2, q=0.1)


# --- associations ---------------------------------------------------------------------------------


def measurement(name: str, feature: str, **more: Any) -> Measurement:
    return Measurement(id=name, label=f"{name}!", features=(feature,), **more)


ARM = ("copy_number:GENE0004", "copy_number:GENE0005")
CLAIMS = Claims(
    smallest=0.15, min_lines=60, min_scope_lines=20, min_carriers=5,
    covariates=("response:general_sensitivity", "progeny:PATHWAY1"),
    scopes={"wild": {"label": "wild type", "feature": "driver:TP53", "low": 0, "high": 0}},
    claims=(
        Claim(
            id="C1", title="one", statement="s", platinum=True, scopes=("all", "wild"),
            measurements=(
                measurement("rna", "rna:GENE0002"),
                measurement("arm", "copy_number:GENE0003", beside=ARM),
                measurement("event", "driver:TP53", how="any", threshold=1, outcomes=("radiation",)),
            ),
        ),
        Claim(
            id="C2", title="two", statement="s", claimed=("chemotherapy",), smallest=0.2, proxy=True,
            reason="r",
            measurements=(
                measurement("low", "rna:GENE0003", reverse=True),
                measurement("bad", "rppa:PROT001", valid=False, note="not valid"),
                measurement("absent", "rna:NOBODY"),
            ),
        ),
        Claim(id="C3", title="three", statement="s", kind="drug_classes"),
        Claim(
            id="C4", title="four", statement="s", kind="mediation",
            measurements=(measurement("x", "rna:GENE0002"),),
            mediators=(measurement("m", "rna:GENE0003"),),
        ),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(cohort: Cohort) -> tuple[pd.DataFrame, pd.DataFrame]:
    return all_measurements(cohort, CLAIMS)


@pytest.fixture(scope="module")
def views(cohort: Cohort) -> dict[str, OutcomeView]:
    return dict(outcome_views(cohort, CLAIMS))


@pytest.fixture(scope="module")
def rows(
    cohort: Cohort, measured: tuple[pd.DataFrame, pd.DataFrame], views: dict[str, OutcomeView]
) -> pd.DataFrame:
    found = [r for v in views.values() for r in association_rows(cohort, CLAIMS, *measured, v)]
    return pd.DataFrame(found)


def test_which_measurements_are_held_against_which_outcome(rows: pd.DataFrame) -> None:
    assert set(rows.claim) == {"C1", "C2"}
    asked = rows.groupby("outcome", sort=False).apply(
        lambda t: [f"{m}@{s}" for m, s in zip(t.measurement, t.scope, strict=True)]
    )
    first, second = ["rna@all", "arm@all", "event@all"], ["rna@wild", "arm@wild", "event@wild"]
    others = ["low@all", "bad@all", "absent@all"]
    assert asked["radiation"] == [*first, *second, *others]
    assert asked["chemotherapy"] == [*first[:2], *second[:2], *others]
    assert asked["platinum"] == [*first[:2], *second[:2]]


def test_rows_are_partial_correlations_of_each_column_alone(
    cohort: Cohort,
    measured: tuple[pd.DataFrame, pd.DataFrame],
    views: dict[str, OutcomeView],
    rows: pd.DataFrame,
) -> None:
    values, info = measured
    for found in rows.itertuples():
        view = views[found.outcome]
        name = f"{found.claim}/{found.measurement}@{found.scope}"
        x = values.loc[view.lines, [name]]
        full = view.full
        if beside := info.beside[name]:
            extra = [cohort.blocks["copy_number"][b.partition(":")[2]] for b in beside]
            full = add_covariates(view.full, pd.concat(extra, axis=1).loc[view.lines])
        raw, own, wide = (
            partial_correlations(x, view.y, d).loc[name] for d in (view.constant, view.tissue, full)
        )
        assert found.n == x[name].notna().sum()
        np.testing.assert_allclose([found.raw, found.raw_p], raw[["r", "p"]])
        np.testing.assert_allclose(
            [found.effect, found.low, found.high, found.p, found.mde], own[["r", "low", "high", "p", "mde"]]
        )
        np.testing.assert_allclose(
            [found.full, found.full_low, found.full_high, found.full_p], wide[["r", "low", "high", "p"]]
        )
        assert np.isnan(found.p_error)


def test_the_arm_is_adjusted_for(rows: pd.DataFrame, views: dict[str, OutcomeView]) -> None:
    arm = rows[(rows.measurement == "arm") & (rows.outcome == "radiation") & (rows.scope == "all")].iloc[0]
    other = rows[(rows.measurement == "rna") & (rows.outcome == "radiation") & (rows.scope == "all")].iloc[0]
    assert arm.full != pytest.approx(arm.effect, abs=1e-6)
    assert np.isfinite([arm.full, other.full]).all()


def test_words_flags_and_smallest_effects(rows: pd.DataFrame) -> None:
    at = rows.set_index(["claim", "measurement", "scope", "outcome"]).sort_index()
    assert at.claimed[("C1", "rna", "all", "radiation")]
    assert not at.claimed[("C2", "low", "all", "radiation")]
    assert at.claimed[("C2", "low", "all", "chemotherapy")]
    assert at.claimed[("C1", "rna", "all", "platinum")]
    assert set(at.smallest["C1"]) == {0.15}
    assert set(at.smallest["C2"]) == {0.2}
    assert at.proxy["C2"].all()
    assert not at.proxy["C1"].any()
    assert not at.valid[("C2", "bad", "all", "radiation")]
    assert at.note[("C2", "bad", "all", "radiation")] == "not valid"
    assert at.label[("C1", "event", "all", "radiation")] == "event!"


def test_carriers_are_counted_for_events_only(
    rows: pd.DataFrame, measured: tuple[pd.DataFrame, pd.DataFrame], views: dict[str, OutcomeView]
) -> None:
    event = rows[(rows.measurement == "event") & (rows.scope == "all")].iloc[0]
    x = measured[0].loc[views["radiation"].lines, "C1/event@all"]
    assert event.carriers == (x == 1).sum() > 10
    assert rows[rows.measurement != "event"].carriers.isna().all()
    wild = rows[(rows.measurement == "event") & (rows.scope == "wild")].iloc[0]
    assert wild.carriers == 0
    assert np.isnan(wild.effect)


def test_what_nobody_has_is_a_row_without_numbers(rows: pd.DataFrame) -> None:
    absent = rows[rows.measurement == "absent"]
    assert (absent.n == 0).all()
    assert absent[["raw", "effect", "p", "full", "mde"]].isna().all().all()


def test_planted_effects_come_out_with_their_sign(rows: pd.DataFrame) -> None:
    at = rows[rows.scope == "all"].set_index(["measurement", "outcome"])
    assert at.p[("rna", "radiation")] < 0.01
    assert at.effect[("rna", "radiation")] > 0
    assert at.effect[("low", "chemotherapy")] > 0  # planted -0.40, and the claim is about low values
    assert at.p[("low", "chemotherapy")] < 0.01


# --- both -----------------------------------------------------------------------------------------


def one(outcome: str, effect: float, p: float, **more: Any) -> dict[str, Any]:
    values = {
        "claim": "C", "scope": "all", "measurement": "m", "n": 400 if outcome == "radiation" else 300,
        "low": effect - 0.1, "high": effect + 0.1, "mde": 0.14, "smallest": 0.15, "raw": effect + 0.01,
        "raw_p": p / 2, "full": effect / 2, "full_p": min(1.0, 2 * p),
    }  # fmt: skip
    return row(**{**values, "outcome": outcome, "effect": effect, "p": p, **more})


NUMBERS_OF_BOTH = ("n", "effect", "low", "high", "p", "full", "full_p", "raw", "raw_p", "mde", "p_error")


@pytest.mark.parametrize(
    ("first", "second", "weaker", "p"),
    [
        ((0.3, 0.001), (0.2, 0.01), 1, 0.01),
        ((0.2, 0.001), (0.3, 0.02), 0, 0.02),  # the weaker effect need not have the larger p
        ((-0.3, 0.001), (-0.2, 0.01), 1, 0.01),
        ((-0.1, 0.3), (-0.2, 0.01), 0, 0.3),
        ((0.3, 0.001), (-0.2, 0.01), 1, 1.0),
        ((-0.3, 0.001), (0.01, 0.9), 0, 1.0),
        ((0.3, 0.001), (0.0, 0.99), 1, 1.0),
    ],
)
def test_both_is_as_strong_as_the_weaker(
    first: tuple[float, float], second: tuple[float, float], weaker: int, p: float
) -> None:
    parts = one("radiation", *first), one("chemotherapy", *second)
    found = both_row(*parts)
    assert tuple(found) == COLUMNS
    assert found["outcome"] == "both"
    assert found["p"] == p
    for name in ("n", "effect", "low", "high", "mde", "full", "raw"):
        assert found[name] == parts[weaker][name]


def test_the_fully_adjusted_and_the_raw_effect_are_joined_by_their_own_signs() -> None:
    a = one("radiation", 0.3, 0.001, full=0.1, full_p=0.03, raw=-0.1, raw_p=0.2)
    b = one("chemotherapy", 0.4, 0.001, full=-0.1, full_p=0.04, raw=-0.2, raw_p=0.01)
    found = both_row(a, b)
    assert (found["p"], found["full_p"], found["raw_p"]) == (0.001, 1.0, 0.2)
    assert found["full"] == 0.1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (one("radiation", 0.3, 0.001, p_error=0.002), one("chemotherapy", 0.2, 0.01, p_error=0.004)),
        (one("radiation", -0.3, 0.001), one("chemotherapy", 0.2, 0.01, p_error=0.004)),
        (one("radiation", 0.3, 0.001), one("chemotherapy", NAN, NAN, n=12)),
        (one("radiation", -0.3, 0.001), one("chemotherapy", NAN, NAN, n=12)),
        (one("radiation", 0.3, 0.001, full=NAN, full_p=NAN), one("chemotherapy", 0.1, 0.01)),
        (one("radiation", -0.3, 0.001, note="a"), one("chemotherapy", -0.1, 0.3, note="b")),
        (one("radiation", 0.3, 0.001, valid=False), one("chemotherapy", 0.1, 0.01, claimed=False)),
    ],
)  # fmt: skip
def test_both_does_not_depend_on_the_order(a: dict[str, Any], b: dict[str, Any]) -> None:
    first, second = both_row(a, b), both_row(b, a)
    for name in COLUMNS:
        assert first[name] == second[name] or (np.isnan(first[name]) and np.isnan(second[name]))


def test_what_one_modality_lacks_both_lacks() -> None:
    known, missing = one("radiation", 0.3, 0.001), one("chemotherapy", NAN, NAN, n=12)
    for found in (both_row(known, missing), both_row(missing, known)):
        assert found["n"] == 12
        assert np.isnan([found["effect"], found["p"], found["full"], found["full_p"], found["raw_p"]]).all()
    part = both_row(one("radiation", 0.3, 0.001, full=NAN, full_p=NAN), one("chemotherapy", 0.2, 0.01))
    assert part["p"] == 0.01
    assert np.isnan([part["full"], part["full_p"]]).all()


def test_both_is_claimed_and_valid_only_where_each_is_and_keeps_the_larger_error() -> None:
    a = one("radiation", 0.3, 0.01, p_error=0.002, claimed=False)
    b = one("chemotherapy", 0.4, 0.02, p_error=0.004)
    assert both_row(a, b)["p_error"] == 0.004
    assert both_row(a, b)["claimed"] is False
    assert both_row(b, b)["claimed"] is True
    assert both_row(a, b | {"valid": False})["valid"] is False
    assert both_row(a, b)["valid"] is True
    assert both_row(a, b | {"p_error": NAN})["p_error"] == 0.002


def test_words_and_numbers_of_both_are_of_the_same_modality() -> None:
    a = one("radiation", 0.3, 0.001, measurement="cisplatin", label="chemo response", note="of a drug")
    b = one("chemotherapy", 0.2, 0.01, measurement="auc", label="radiation response", note="of rays")
    found = both_row(a, b)
    assert (found["measurement"], found["label"], found["note"], found["n"]) == (
        "auc", "radiation response", "of rays", 300,
    )  # fmt: skip


def test_intersection_union_is_valid_when_one_modality_has_a_real_effect() -> None:
    rng = np.random.default_rng(0)
    X, e, chemotherapy = rng.normal(size=(3, 3000, 100))
    ys = {"radiation": X + e, "chemotherapy": chemotherapy}  # each row is a study of its own
    parts = {}
    for outcome, y in ys.items():
        r = np.array([np.corrcoef(x, own)[0, 1] for x, own in zip(X, y, strict=True)])
        found = describe_correlation(r, np.full(3000, 100), np.ones(3000))
        parts[outcome] = [one(outcome, *v) for v in zip(found["r"], found["p"], strict=True)]
    calls = [both_row(a, b)["p"] < 0.05 for a, b in zip(*parts.values(), strict=True)]
    assert np.mean([a["p"] < 0.05 for a in parts["radiation"]]) > 0.99
    assert np.mean(calls) == pytest.approx(0.025, abs=0.01)  # half of the level: the sign must fit too


def test_add_both_joins_by_measurement_claim_and_scope() -> None:
    rows = [
        one("radiation", 0.3, 0.001, measurement="a"),
        one("radiation", 0.2, 0.03, measurement="only radiation"),
        one("radiation", 0.1, 0.2, measurement="b"),
        one("radiation", 0.4, 0.2, measurement="a", scope="wild"),
        one("chemotherapy", 0.5, 0.02, measurement="b"),
        one("chemotherapy", 0.2, 0.04, measurement="a"),
        one("chemotherapy", 0.2, 0.04, measurement="a", claim="D"),
        one("platinum", 0.2, 0.04, measurement="a"),
    ]
    found = add_both(rows)
    assert found[: len(rows)] == rows
    both = [(r["claim"], r["scope"], r["measurement"], r["p"]) for r in found[len(rows) :]]
    assert both == [("C", "all", "a", 0.04), ("C", "all", "b", 0.2)]
    assert all(r["outcome"] == "both" for r in found[len(rows) :])


def test_add_both_joins_measurements_that_differ_by_modality_in_their_order() -> None:
    rows = [
        one("radiation", 0.3, 0.001, measurement="chemo 1"),
        one("radiation", 0.25, 0.01, measurement="chemo 2"),
        one("chemotherapy", 0.2, 0.02, measurement="rays 1"),
        one("chemotherapy", 0.35, 0.03, measurement="rays 2"),
        one("chemotherapy", 0.1, 0.5, measurement="rays 3"),
    ]
    both = add_both(rows)[len(rows) :]
    assert [(r["measurement"], r["effect"], r["p"]) for r in both] == [
        ("rays 1", 0.2, 0.02),
        ("chemo 2", 0.25, 0.03),
    ]


# --- false discovery rates ------------------------------------------------------------------------


def test_q_is_within_each_outcome_and_of_valid_measurements_only() -> None:
    rng = np.random.default_rng(0)
    rows = [one(o, 0.2, p) for o in ("radiation", "chemotherapy") for p in rng.random(12) ** 2]
    rows[3]["valid"] = rows[20]["valid"] = False
    rows[5]["p"] = NAN
    table = pd.DataFrame(rows).sample(frac=1, random_state=1)
    found = with_q(table)
    pd.testing.assert_frame_equal(found.drop(columns=["q", "q_near"]), table)
    for outcome in ("radiation", "chemotherapy"):
        own = found[(found.outcome == outcome) & found.valid & found.p.notna()]
        np.testing.assert_allclose(own.q, false_discovery_control(own.p))
    assert found.loc[[3, 20, 5], "q"].isna().all()
    assert found.q.notna().sum() == 21


def test_q_is_near_when_draws_of_others_could_move_it() -> None:
    """Two of three are analytic: the third, from draws, decides whether the second passes."""
    table = pd.DataFrame({"outcome": "radiation", "valid": True, "p": [0.001, 0.034, 0.048],
                          "p_error": [np.nan, np.nan, 0.004]})  # fmt: skip
    found = with_q(table)
    expected = false_discovery_control([0.001, 0.034, 0.048])
    assert found.q.tolist() == pytest.approx(list(expected))
    assert found.q_near.tolist() == [False, True, True]  # at .056 the third fails, and the second with it
    sure = with_q(table.assign(p_error=np.nan))
    assert not sure.q_near.any()
