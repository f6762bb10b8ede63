"""Measurements by hand, scopes, and a choice that sees counts only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest

from crossres_ml.audit.claims import Claims, Measurement, load_claims
from crossres_ml.audit.measure import (
    INFO_COLUMNS,
    all_measurements,
    choose,
    column_id,
    counts,
    in_scope,
    measure,
    unknown_features,
)
from crossres_ml.cohort.cohort import DRUG_COLUMNS, RESPONSES, Cohort

NAN = np.nan
LINES = [f"ACH-{i}" for i in range(6)]
RNA = {
    "A": [1.0, 2.0, 3.0, 4.0, NAN, 10.0],
    "B": [5.0, 5.0, 7.0, NAN, NAN, 9.0],
    "C": [0.0, 1.0, NAN, NAN, 2.0, 1.0],
    "FLAT": [2.0] * 6,
}
EVENTS = {
    "X": [0.0, 1.0, NAN, NAN, 2.0, 0.0],
    "Y": [0.0, 0.0, 0.0, NAN, NAN, 1.0],
    "Z": [1.0, 0.0, NAN, 1.0, NAN, 0.0],
}


def a_cohort(
    lineage: list[str] | None = None, subtype: list[str] | None = None, **blocks: dict[str, list[float]]
) -> Cohort:
    """Make a cohort of a few lines with the given blocks."""
    size = len(next(iter(next(iter(blocks.values())).values())))
    index = pd.Index([f"ACH-{i:0{len(str(size - 1))}d}" for i in range(size)], name="model_id")
    tables = {
        name: pd.DataFrame(values, index=index).sort_index(axis=1).astype("float32")
        for name, values in blocks.items()
    }
    names = [f"{b}:{c}" for b in sorted(tables) for c in tables[b].columns]
    lines = pd.DataFrame(
        {
            "cell_line": list(index),
            "lineage": lineage or ["Skin"] * size,
            "subtype": subtype or ["Melanoma"] * size,
            "group": list(index),
        },
        index=index,
    )
    responses = pd.DataFrame(dict.fromkeys(RESPONSES, 0.0), index=index)
    responses["radiation"] = np.arange(size, dtype=float)
    return Cohort(
        kind="simulated",
        lines=lines,
        blocks=tables,
        features=pd.DataFrame({"caution": False}, index=pd.Index(names, name="feature")),
        responses=responses,
        drugs=pd.DataFrame({"ctrp:X": 0.0}, index=index),
        drug_info=pd.DataFrame([["X", "ctrp", False, False]], index=["ctrp:X"], columns=list(DRUG_COLUMNS)),
        sources={},
        unresolved=pd.DataFrame(),
        dropped=pd.DataFrame(),
    )


@pytest.fixture(scope="module")
def few() -> Cohort:
    """Six lines with three genes that are measured in some."""
    return a_cohort(rna=RNA, driver=EVENTS)


def a_measurement(*features: str, **words: Any) -> Measurement:
    return Measurement(id="m", label="m", features=features, **words)


def check(cohort: Cohort, measurement: Measurement, expected: list[float]) -> None:
    values = measure(cohort, measurement)
    assert values.dtype == np.float64
    pdt.assert_index_equal(values.index, cohort.lines.index)
    np.testing.assert_allclose(values.to_numpy(), expected, rtol=1e-6)


def test_a_value_is_the_feature(few: Cohort) -> None:
    check(few, a_measurement("rna:A"), RNA["A"])
    check(few, a_measurement("rna:A", reverse=True), [-1, -2, -3, -4, NAN, -10])
    check(few, a_measurement("response:radiation"), [0, 1, 2, 3, 4, 5])


def test_a_mean_of_standardised_features(few: Cohort) -> None:
    # A: mean 4, sd sqrt(10); B: mean 6.5, sd sqrt(2.75); C: mean 1, sd sqrt(0.5)
    a, b, c = np.sqrt(10), np.sqrt(2.75), np.sqrt(0.5)
    expected = [
        (-3 / a - 1.5 / b - 1 / c) / 3,
        (-2 / a - 1.5 / b + 0) / 3,
        (-1 / a + 0.5 / b) / 2,
        NAN,  # one of three
        NAN,
        (6 / a + 2.5 / b + 0) / 3,
    ]
    check(few, a_measurement("rna:A", "rna:B", "rna:C", how="mean"), expected)
    reversed_ = [-x for x in expected]
    check(few, a_measurement("rna:A", "rna:B", "rna:C", how="mean", reverse=True), reversed_)
    check(few, a_measurement("-rna:A", "-rna:B", "-rna:C", how="mean"), reversed_)


def test_half_is_enough_for_a_mean(few: Cohort) -> None:
    a, b = np.sqrt(10), np.sqrt(2.75)
    expected = [
        (-3 / a + 1.5 / b) / 2,
        (-2 / a + 1.5 / b) / 2,
        (-1 / a - 0.5 / b) / 2,
        0,
        NAN,
        (6 / a - 2.5 / b) / 2,
    ]
    check(few, a_measurement("rna:A", "-rna:B", how="mean"), expected)


def test_a_feature_that_does_not_vary_is_not_measured(few: Cohort) -> None:
    z = (np.array(RNA["A"]) - 4) / np.sqrt(10)
    check(few, a_measurement("rna:A", "rna:FLAT", how="mean"), list(z))
    check(few, a_measurement("rna:FLAT", how="mean"), [NAN] * 6)


def test_any(few: Cohort) -> None:
    three = ("driver:X", "driver:Y", "driver:Z")
    # the third line has one of three, and not the event; the fourth has one of three, and the event
    check(few, a_measurement(*three, how="any", threshold=1), [1, 1, NAN, 1, 1, 1])
    check(few, a_measurement(*three, how="any", threshold=1, reverse=True), [0, 0, NAN, 0, 0, 0])
    check(few, a_measurement(*three, how="any", threshold=2), [0, 0, NAN, NAN, 1, 0])
    check(few, a_measurement("driver:X", "driver:Y", how="any", threshold=1), [0, 1, 0, NAN, 1, 1])
    check(few, a_measurement("driver:X", how="any", threshold=0, below=True), [1, 0, NAN, NAN, 0, 1])


def test_count(few: Cohort) -> None:
    three = ("driver:X", "driver:Y", "driver:Z")
    check(few, a_measurement(*three, how="count", threshold=1), [1, 1, NAN, NAN, NAN, 1])
    check(few, a_measurement(*three, how="count", threshold=1, reverse=True), [-1, -1, NAN, NAN, NAN, -1])
    check(
        few,
        a_measurement(*three, how="count", threshold=0, below=True),
        [np.log2(3), np.log2(3), NAN, NAN, NAN, np.log2(3)],
    )


def test_what_the_cohort_lacks_is_missing(few: Cohort) -> None:
    nothing = [NAN] * 6
    check(few, a_measurement("rna:NONE"), nothing)
    check(few, a_measurement("response:none"), nothing)
    check(few, a_measurement("rna:A", "rna:NONE", "rna:NOR", how="mean"), nothing)
    check(few, a_measurement("driver:X", "driver:NO", "driver:NOR", how="any", threshold=1), nothing)
    check(few, a_measurement("driver:X", "driver:NO", "driver:NOR", how="count", threshold=1), nothing)
    z = (np.array(RNA["A"]) - 4) / np.sqrt(10)
    check(few, a_measurement("rna:A", "rna:NONE", how="mean"), list(z))
    check(few, a_measurement("driver:X", "driver:NO", how="any", threshold=1), [0, 1, NAN, NAN, 1, 0])


def test_a_mean_over_all_lines_does_not_depend_on_the_scope() -> None:
    cohort = a_cohort(lineage=["Skin", "Skin", "Lung", "Lung", "Lung", "Bone"], rna=RNA)
    claims = claims_of(
        [{"id": "m", "label": "m", "features": ["rna:A", "rna:B"], "how": "mean"}], scopes=["lung", "all"]
    )
    values, _ = all_measurements(cohort, claims)
    whole = values["C01/m@all"]
    inside = in_scope(cohort, "lung", claims)
    pdt.assert_series_equal(values["C01/m@lung"], whole.where(inside), check_names=False)


# --- scopes ---------------------------------------------------------------------------------------

SCOPES = {
    "lung": {"label": "lung", "lineages": ["Lung", "Pleura"]},
    "adeno": {"label": "adeno", "lineages": ["Lung"], "subtypes": ["Adeno"]},
    "wild": {"label": "wild type", "feature": "driver:X", "low": 0, "high": 0},
    "wild_lung": {"label": "wild type", "feature": "driver:X", "high": 1, "lineages": ["Lung"]},
    "unknown": {"label": "unknown", "feature": "driver:NONE", "low": 0},
}


def claims_of(measurements: list[dict[str, Any]], scopes: list[str] | None = None, **words: Any) -> Claims:
    claim = {
        "id": "C01", "title": "t", "statement": "s", "scopes": scopes or ["all"],
        "measurements": measurements,
    }  # fmt: skip
    return Claims.model_validate(
        {
            "smallest": 0.15, "min_lines": 40, "min_scope_lines": 25, "min_carriers": 5,
            "covariates": ["response:general_sensitivity"], "scopes": SCOPES, "claims": [{**claim, **words}],
        }
    )  # fmt: skip


def test_scopes() -> None:
    cohort = a_cohort(
        lineage=["Lung", "Lung", "Pleura", "Skin", "Lung", "Skin"],
        subtype=["Adeno", "Squamous", "Adeno", "Adeno", "Adeno", "Melanoma"],
        driver=EVENTS,
    )
    claims = claims_of([{"id": "m", "label": "m", "features": ["driver:X"]}])
    expected = {
        "all": [1, 1, 1, 1, 1, 1],
        "lung": [1, 1, 1, 0, 1, 0],
        "adeno": [1, 0, 0, 0, 1, 0],
        "wild": [1, 0, 0, 0, 0, 1],  # not measured is out
        "wild_lung": [1, 1, 0, 0, 0, 0],
        "unknown": [0, 0, 0, 0, 0, 0],
    }
    for name, lines in expected.items():
        inside = in_scope(cohort, name, claims)
        assert inside.dtype == bool
        assert inside.tolist() == [bool(x) for x in lines], name
        pdt.assert_index_equal(inside.index, cohort.lines.index)


def test_all_measurements(few: Cohort) -> None:
    claims = claims_of(
        [
            {"id": "level", "label": "A mRNA", "features": ["rna:A"], "beside": ["cn_arm:1p"], "note": "n"},
            {"id": "event", "label": "lost", "features": ["driver:X", "driver:NO"], "how": "any",
             "threshold": 1, "valid": False, "note": "why", "outcomes": ["radiation"]},
        ],
        scopes=["wild", "all"],
        kind="mediation",
        mediators=[{"id": "between", "label": "B mRNA", "features": ["rna:B"]}],
    )  # fmt: skip
    values, info = all_measurements(few, claims)
    names = [column_id("C01", m, s) for s in ("wild", "all") for m in ("level", "event", "between")]
    assert list(values.columns) == list(info.index) == names
    assert tuple(info.columns) == INFO_COLUMNS
    np.testing.assert_array_equal(values["C01/level@wild"], [1, NAN, NAN, NAN, NAN, 10])
    np.testing.assert_array_equal(values["C01/event@all"], [0, 1, NAN, NAN, 1, 0])
    row = info.loc["C01/event@wild"]
    assert (row.claim, row.measurement, row.scope, row.label) == ("C01", "event", "wild", "lost")
    assert (bool(row.valid), bool(row.is_event), bool(row.mediator), row.note) == (False, True, False, "why")
    assert (row.outcomes, row.features_found, row.features_asked) == (("radiation",), 1, 2)
    assert info.beside["C01/level@all"] == ("cn_arm:1p",)
    assert info.mediator.tolist() == [False, False, True] * 2
    table = counts(values, info, few.lines.index[1:])
    assert table.loc["C01/event@all"].tolist() == [3, 2, 1]
    assert table.n["C01/level@all"] == 4
    assert np.isnan(table.carriers["C01/level@all"])


def test_a_count_of_one_or_none_is_no_event() -> None:
    level = [1.0] * 40 + [0.0] * 10
    cohort = a_cohort(rna={"A": level}, driver={"X": level})
    claims = claims_of([{"id": "level", "label": "l", "features": ["rna:A"]}])
    table = counts(*all_measurements(cohort, claims), cohort.lines.index)
    assert table.others.isna().all()


# --- the choice -----------------------------------------------------------------------------------


def filled(n: int, carriers: int | None = None, size: int = 60) -> list[float]:
    """Values of the first n lines; ones for the carriers among them, or 0, 1, 2, ..."""
    known = np.arange(n) if carriers is None else (np.arange(n) < carriers).astype(float)
    return [*known.astype(float), *[NAN] * (size - n)]


def chosen(columns: dict[str, tuple[list[float], dict[str, Any]]], scope: str = "all", **words: Any) -> Any:
    """Choose between measurements, each given by its values and more."""
    lineage = ["Lung"] * 60
    cohort = a_cohort(lineage=lineage, rna={name.upper(): values for name, (values, _) in columns.items()})
    measurements = [
        {"id": name, "label": name, "features": [f"rna:{name.upper()}"], **more}
        for name, (_, more) in columns.items()
    ]
    claims = claims_of(measurements, scopes=[scope] if scope == "all" else [scope, "all"])
    values, info = all_measurements(cohort, claims)
    return choose(values, info, claims, cohort.lines.index, **words).get("C01")


EVENT: dict[str, Any] = {"how": "any", "threshold": 1}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": (filled(40), {}), "b": (filled(60), {})}, "a"),  # the first that has enough
        ({"a": (filled(39), {}), "b": (filled(40), {})}, "b"),
        ({"a": (filled(39), {}), "b": (filled(38), {})}, "a"),  # none: the one with most
        ({"a": (filled(38), {}), "b": (filled(39), {})}, "b"),
        ({"a": (filled(39), {}), "b": (filled(39), {})}, "a"),
        ({"a": (filled(60), {"valid": False, "note": "no"}), "b": (filled(20), {})}, "b"),
        ({"a": (filled(60), {"valid": False, "note": "no"}), "b": (filled(19), {})}, None),
        ({"a": (filled(40, 5), EVENT), "b": (filled(60), {})}, "a"),
        ({"a": (filled(40, 4), EVENT), "b": (filled(60), {})}, "b"),
        ({"a": (filled(40, 35), EVENT), "b": (filled(60), {})}, "a"),
        ({"a": (filled(40, 36), EVENT), "b": (filled(60), {})}, "b"),  # too few without it
        ({"a": (filled(60, 3), EVENT), "b": (filled(39), {})}, "a"),  # few carriers, but most lines
        ({"a": (filled(60, 2), EVENT), "b": (filled(39), {})}, "b"),
        ({"a": (filled(60, 58), EVENT), "b": (filled(19), {})}, None),
        ({"a": (filled(60, 57), {**EVENT, "reverse": True}), "b": (filled(19), {})}, "a"),
        ({"a": (filled(0), {}), "b": (filled(0), {})}, None),
    ],
)
def test_the_choice_follows_counts(columns: dict[str, Any], expected: str | None) -> None:
    assert chosen(columns) == (None if expected is None else f"C01/{expected}@all")


def test_another_scope_asks_for_fewer_lines_and_decides_alone() -> None:
    columns = {"a": (filled(25), {}), "b": (filled(60), {})}
    assert chosen(columns, "lung") == "C01/a@lung"
    columns = {"a": (filled(24), {}), "b": (filled(25), {})}
    assert chosen(columns, "lung") == "C01/b@lung"
    assert chosen({"a": (filled(60), {})}, "unknown") is None  # all lines have it, but the scope is empty


def test_only_what_may_be_held_against_an_outcome() -> None:
    columns = {"a": (filled(60), {"outcomes": ["radiation"]}), "b": (filled(60), {"outcomes": ["platinum"]})}
    assert chosen(columns) == "C01/a@all"
    assert chosen(columns, outcome="radiation") == "C01/a@all"
    assert chosen(columns, outcome="platinum") == "C01/b@all"
    assert chosen(columns, outcome="chemotherapy") is None


def test_a_mediator_never_decides() -> None:
    cohort = a_cohort(rna={"A": filled(30), "B": filled(60)})
    claims = claims_of(
        [{"id": "a", "label": "a", "features": ["rna:A"]}],
        kind="mediation",
        mediators=[{"id": "b", "label": "b", "features": ["rna:B"]}],
    )
    values, info = all_measurements(cohort, claims)
    assert choose(values, info, claims, cohort.lines.index).to_dict() == {"C01": "C01/a@all"}


def test_only_the_given_lines_count() -> None:
    cohort = a_cohort(rna={"A": filled(40), "B": filled(60)})
    claims = claims_of([{"id": x, "label": x, "features": [f"rna:{x.upper()}"]} for x in "ab"])
    values, info = all_measurements(cohort, claims)
    lines = cohort.lines.index
    assert choose(values, info, claims, lines)["C01"] == "C01/a@all"
    assert choose(values, info, claims, lines[1:])["C01"] == "C01/b@all"


def test_a_claim_without_measurements_has_no_choice() -> None:
    cohort = a_cohort(rna={"A": filled(60)})
    claims = claims_of([], kind="not_measurable", reason="none")
    values, info = all_measurements(cohort, claims)
    assert values.shape == (60, 0)
    assert choose(values, info, claims, cohort.lines.index).empty


def test_no_outcome_is_looked_at(cohort: Cohort) -> None:
    claims = load_claims()
    order = np.random.default_rng(4).permutation(len(cohort.lines))
    responses = cohort.responses.copy()
    outcomes = ["radiation", "chemotherapy", "platinum"]
    lines = cohort.lines.index[responses[outcomes].notna().all(axis=1)]
    known = [x for x in order if cohort.lines.index[x] in lines]
    responses.loc[lines, outcomes] = responses[outcomes].iloc[known].to_numpy()
    assert not responses.equals(cohort.responses)
    other = dataclasses.replace(cohort, responses=responses)
    (values, info), (again, info_again) = all_measurements(cohort, claims), all_measurements(other, claims)
    held = [i for i in info.index if not i.startswith("C18")]  # itself a response
    pdt.assert_frame_equal(values[held], again[held])
    pdt.assert_frame_equal(info, info_again)
    pdt.assert_series_equal(choose(values, info, claims, lines), choose(again, info, claims, lines))
    assert choose(values, info, claims, lines).size > 3


def test_unknown_features(few: Cohort) -> None:
    claims = claims_of(
        [
            {
                "id": "a",
                "label": "a",
                "features": ["rna:A", "-rna:GONE"],
                "how": "mean",
                "beside": ["cn_arm:1p"],
            },
            {"id": "b", "label": "b", "features": ["response:radiation"]},
        ],
        kind="mediation",
        mediators=[{"id": "c", "label": "c", "features": ["response:gone"]}],
    )
    measurement = {"id": "m", "label": "m", "features": ["driver:GONE"]}
    control = {
        "id": "p", "label": "p", "drugs": ["ctrp:X", "ctrp:GONE", "response:radiation"],
        "measurement": measurement, "sign": 1, "folds_with": ["driver:X", "hotspot:GONE"], "expectation": "e",
    }  # fmt: skip
    null = {
        "id": "n", "label": "n", "outcome": "radiation",
        "measurement": {**measurement, "features": ["rna:Y"]},
        "expectation": "e",
    }  # fmt: skip
    raw = claims.model_dump() | {"positive_controls": [control], "null_controls": [null]}
    raw |= {"covariates": ["growth:gone", "response:general_sensitivity"]}
    assert unknown_features(few, Claims.model_validate(raw)) == [
        "cn_arm:1p", "ctrp:GONE", "driver:GONE", "driver:NONE", "growth:gone", "hotspot:GONE",
        "response:gone", "rna:GONE", "rna:Y",
    ]  # fmt: skip
