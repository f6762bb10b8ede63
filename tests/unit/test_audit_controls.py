"""Controls: planted and shuffled associations, lost adjustments, null controls, and what closes the gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import kstest

from crossres_ml.audit.adjust import normal_scores, tissue_design
from crossres_ml.audit.association import partial_correlations
from crossres_ml.audit.claims import Claims, Control, Measurement, NullControl, load_claims
from crossres_ml.audit.controls import (
    CONFOUNDED,
    INFLATION,
    MAX_CONFOUNDED,
    MIN_CONTROL_LINES,
    NULL_LEVEL,
    TOP,
    Gate,
    judge_controls,
    lineage_outcomes,
    lineage_share,
    many_p,
    negative_controls,
    null_controls,
    positive_control,
)
from crossres_ml.audit.data import OutcomeView, one_line_a_patient, outcome_views
from crossres_ml.audit.matched import FEWEST_MATCHED, MATCHED, appearance, matched_percentile
from crossres_ml.audit.matrix import adjusted_matrix
from crossres_ml.cohort.cohort import DRUG_COLUMNS, Cohort
from crossres_ml.config import FeatureConfig

NAN = np.nan
RULES = FeatureConfig(blocks=("rna", "driver"), min_coverage=0.5, min_events=5)
DRUG, DRIVER = "ctrp:PLANTED", "rna:GENE0010"


def all_features(cohort: Cohort) -> pd.DataFrame:
    table = pd.concat({b: cohort.blocks[b] for b in ("rna", "driver")}, axis=1)
    return table.set_axis([f"{b}:{c}" for b, c in table.columns], axis=1).astype(float)


def with_drug(cohort: Cohort, values: pd.Series) -> Cohort:
    drugs = cohort.drugs.assign(**{DRUG: values}).sort_index(axis=1)
    info = pd.DataFrame([["PLANTED", "ctrp", False, False]], [DRUG], list(DRUG_COLUMNS))
    known = cohort.drug_info.drop(DRUG, errors="ignore")
    return dataclasses.replace(cohort, drugs=drugs, drug_info=pd.concat([known, info]).loc[drugs.columns])


@pytest.fixture(scope="module")
def planted(cohort: Cohort) -> Cohort:
    """A drug that kills where GENE0010 is high, with a level of each lineage; some lines lack it."""
    rng = np.random.default_rng(0)
    x = cohort.blocks["rna"]["GENE0010"].astype(float)
    shift = cohort.lines.lineage.map(lambda name: len(name) % 5)
    y = -(x - x.mean()) / x.std() + 2 * shift + rng.normal(size=len(x))
    return with_drug(cohort, y.mask(rng.random(len(x)) < 0.15))


def control(**more: Any) -> Control:
    values = {
        "id": "c", "label": "planted", "drugs": (DRUG,), "sign": -1, "expectation": "made",
        "measurement": Measurement(id="m", label="GENE0010", features=(DRIVER,)),
    }  # fmt: skip
    return Control(**(values | more))


def run(cohort: Cohort, drug: str = DRUG, **more: Any) -> dict[str, Any]:
    return positive_control(cohort, all_features(cohort), control(**more), drug, RULES)


# --- positive controls ----------------------------------------------------------------------------


def test_a_planted_association_is_recovered_on_one_line_a_patient(planted: Cohort) -> None:
    found = run(planted)
    known = planted.drugs[DRUG].dropna().index
    groups = planted.lines.group[known]
    lines = known[~groups.duplicated()]
    assert found["recovered"] is True
    assert found["reason"] == ""
    assert (found["rank_association"], found["rank_shap"]) == (1, 1)
    assert found["n"] == len(lines) < len(known)
    assert found["effect"] < -0.4
    x = planted.blocks["rna"].loc[lines, ["GENE0010"]].astype(float)
    y = normal_scores(planted.drugs.loc[lines, DRUG].to_numpy())
    own = partial_correlations(x, y, tissue_design(planted.lines.lineage[lines])).iloc[0]
    np.testing.assert_allclose(
        [found[k] for k in ("effect", "low", "high", "p")], own[["r", "low", "high", "p"]]
    )


def test_codings_of_the_same_event_count_as_one(planted: Cohort) -> None:
    alone, folded = run(planted), run(planted, folds_with=("rna:GENE0011", "rna:GENE0012", "rna:NOBODY"))
    assert folded["of"] == alone["of"] - 2
    twin = Measurement(id="m", label="weak", features=("rna:GENE0300",))
    other = run(planted, measurement=twin, folds_with=(DRIVER,))
    assert (other["rank_association"], other["rank_shap"]) == (1, 1)  # of the better coding
    assert other["effect"] > -0.4  # but the effect is that of the measurement
    assert run(planted, measurement=twin)["rank_association"] > 1


def test_the_wrong_sign_is_not_recovered_whatever_the_rank(planted: Cohort) -> None:
    found = run(planted, sign=1)
    assert (found["rank_association"], found["rank_shap"], found["recovered"]) == (1, 1, False)
    turned = with_drug(planted, -planted.drugs[DRUG])
    assert run(turned)["recovered"] is False
    assert run(turned, sign=1)["recovered"] is True
    backwards = Measurement(id="m", label="low", features=(DRIVER,), reverse=True)
    assert run(planted, measurement=backwards, sign=1)["recovered"] is True


def shuffled(cohort: Cohort, seed: int) -> Cohort:
    """The same features of other lines: what a wrong join of names would do."""
    order = np.random.default_rng(seed).permutation(len(cohort.lines))
    blocks = {b: t.iloc[order].set_axis(t.index, axis=0) for b, t in cohort.blocks.items()}
    return dataclasses.replace(cohort, blocks=blocks)


def test_shuffled_ids_are_seen(planted: Cohort) -> None:
    found = [run(shuffled(planted, seed)) for seed in range(6)]
    assert sum(f["recovered"] for f in found) == 0
    assert np.median([f["rank_association"] for f in found]) > TOP
    assert not judge_controls(pd.DataFrame(found), fine(), pd.DataFrame()).open


def test_unknown_drugs_and_few_lines_are_said(planted: Cohort) -> None:
    for name in ("ctrp:NOTHING", "response:mood", "radiation", "drug:SN-38", "PLANTED"):
        assert run(planted, name)["reason"] == "no such drug in these data"
    few = with_drug(planted, planted.drugs[DRUG].where(np.arange(len(planted.lines)) < 99))
    assert "fewer than 100" in run(few)["reason"]
    missing = Measurement(id="m", label="nothing", features=("rna:NOBODY",))
    assert run(planted, measurement=missing)["reason"] == f"0 lines, fewer than {MIN_CONTROL_LINES}"
    assert "recovered" not in run(few)


@pytest.mark.parametrize("name", ["response:radiation", "response:chemotherapy", "response:drug:Cisplatin"])
def test_a_response_stands_on_the_irradiated_lines_that_have_it(planted: Cohort, name: str) -> None:
    column = name.removeprefix("response:")
    lines = planted.responses[column][one_line_a_patient(planted)].dropna().index
    assert len(lines) >= MIN_CONTROL_LINES
    found = run(planted, name)
    assert found["n"] == len(lines)
    y = normal_scores(planted.responses.loc[lines, column].to_numpy())
    x = planted.blocks["rna"].loc[lines, ["GENE0010"]].astype(float)
    own = partial_correlations(x, y, tissue_design(planted.lines.lineage[lines])).iloc[0]
    np.testing.assert_allclose([found["effect"], found["p"]], own[["r", "p"]])


# --- many outcomes at once ------------------------------------------------------------------------


def ragged(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(4)
    tissue = tissue_design(pd.Series(rng.choice(list("ABCDE"), n, p=[0.4, 0.3, 0.2, 0.06, 0.04])))
    X = rng.normal(size=(n, 9)) + tissue @ rng.normal(size=(tissue.shape[1], 9))
    X[:, 1] = X[:, 1].round()
    X[rng.random(n) < 0.5, 2:5] = NAN
    X[:, 5] = tissue[:, 0]
    X[:, 6] = 0.1
    X[13:, 7] = NAN
    X[:, 8] = NAN
    return X, tissue, rng.normal(size=(n, 4)) + tissue @ rng.normal(size=(tissue.shape[1], 4)), rng


def test_many_p_is_that_of_each_outcome_alone() -> None:
    X, tissue, Y, _ = ragged()
    Y[:, 3] = np.where(np.isfinite(X[:, 2]), 0.7, Y[:, 3])  # nothing to explain where column 2 was measured
    found = many_p(X, tissue, Y)
    for column, y in enumerate(Y.T):
        np.testing.assert_allclose(
            found[:, column], partial_correlations(pd.DataFrame(X), y, tissue).p, rtol=1e-9
        )
    assert np.isnan(found[5:]).all()
    assert list(np.isnan(found[2])) == [False, False, False, True]


def test_lineage_share_is_the_r2_of_a_regression() -> None:
    X, tissue, _, _ = ragged()
    found = lineage_share(X, tissue)
    for column in (0, 1, 2, 3, 5, 7):
        seen = np.isfinite(X[:, column])
        design = tissue[seen][:, tissue[seen].any(axis=0)]
        assert found[column] == pytest.approx(sm.OLS(X[seen, column], design).fit().rsquared)
    assert found[5] == pytest.approx(1)
    assert np.isnan(found[[6, 8]]).all()


@pytest.mark.parametrize("r2", [0.0, 0.25, 0.7])
def test_simulated_outcomes_follow_tissue_as_far_as_asked(r2: float) -> None:
    rng = np.random.default_rng(0)
    tissue = tissue_design(pd.Series(np.repeat(list("ABCDEFGH"), 50)))
    Y = lineage_outcomes(tissue, 60, rng, r2)
    assert Y.shape == (400, 60)
    np.testing.assert_allclose(np.sort(Y, axis=0)[:, 0], np.sort(normal_scores(np.arange(400.0))))
    assert lineage_share(Y, tissue).mean() == pytest.approx(r2, abs=0.04)


# --- negative controls ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def radiation(cohort: Cohort) -> OutcomeView:
    return outcome_views(cohort, load_claims())["radiation"]


@pytest.fixture(scope="module")
def features(cohort: Cohort) -> pd.DataFrame:
    return all_features(cohort)


def negative_of(features: pd.DataFrame, view: OutcomeView, tissue: np.ndarray, seed: int = 0) -> pd.DataFrame:
    matrix = adjusted_matrix(features, pd.DataFrame(index=features.index), view, RULES)
    return negative_controls(features, matrix, tissue, draws=100, seed=seed)


def fine() -> pd.DataFrame:
    """Negative controls that pass."""
    rows = [
        {"outcome": o, "method": m, "false_positives": 0.05, "confounded": 0.055, "tissue_feature": 0.2,
         "inflation": 0.98}
        for o in ("permuted", "tissue only") for m in ("association", "linear SHAP")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def good(**more: Any) -> pd.DataFrame:
    """A positive control that passes."""
    row = {"control": "c", "label": "planted", "drug": DRUG, "gate": True, "reason": "", "n": 300,
           "effect": -0.3, "rank_association": 1.0, "rank_shap": 4.0, "of": 500,
           "recovered": True}  # fmt: skip
    return pd.DataFrame([row | more])


def test_the_adjusted_matrix_holds_its_level(
    cohort: Cohort, features: pd.DataFrame, radiation: OutcomeView
) -> None:
    tissue = cohort.blocks["lineage"].loc[radiation.lines].to_numpy(dtype=float)
    table = negative_of(features, radiation, tissue)
    assert list(table.outcome) == ["permuted", "permuted", "tissue only", "tissue only"]
    assert list(table.method) == ["association", "linear SHAP"] * 2
    for name in ("false_positives", "confounded"):
        np.testing.assert_allclose(table[name], 0.05, atol=0.02)
    assert table.inflation.between(*INFLATION).all()
    assert judge_controls(good(), table, pd.DataFrame()) == Gate(open=True, reasons=())
    pd.testing.assert_frame_equal(negative_of(features, radiation, tissue), table)
    assert not negative_of(features, radiation, tissue, seed=1).equals(table)


def test_an_adjustment_that_lost_its_lineages_closes_the_gate(
    cohort: Cohort, features: pd.DataFrame, radiation: OutcomeView
) -> None:
    tissue = cohort.blocks["lineage"].loc[radiation.lines].to_numpy(dtype=float)
    lost = OutcomeView("radiation", radiation.lines, radiation.y, radiation.constant, radiation.constant)
    table = negative_of(features, lost, tissue).set_index(["outcome", "method"])
    assert (table.loc["tissue only", "confounded"] > 2 * MAX_CONFOUNDED).all()
    assert (table.loc["tissue only", "tissue_feature"] > 0.3).all()
    np.testing.assert_allclose(table.loc["permuted", "false_positives"], 0.05, atol=0.02)
    gate = judge_controls(good(), table.reset_index(), pd.DataFrame())
    assert not gate.open
    assert sum("tissue only: " in r and "false positives" in r for r in gate.reasons) == 2


def test_lineages_that_were_mixed_up_close_the_gate(
    cohort: Cohort, features: pd.DataFrame, radiation: OutcomeView
) -> None:
    tissue = cohort.blocks["lineage"].loc[radiation.lines].to_numpy(dtype=float)
    order = np.random.default_rng(0).permutation(len(radiation.lines))
    mixed = dataclasses.replace(radiation, tissue=radiation.tissue[order])
    assert not judge_controls(good(), negative_of(features, mixed, tissue), pd.DataFrame()).open


def test_the_features_that_follow_tissue_most_are_the_ones_watched(
    cohort: Cohort, features: pd.DataFrame, radiation: OutcomeView
) -> None:
    """Only the confounded ones err when only they carry tissue."""
    rng = np.random.default_rng(0)
    tissue = cohort.blocks["lineage"].loc[features.index].to_numpy(dtype=float)
    names = [f"rna:X{i:03d}" for i in range(200)]
    made = pd.DataFrame(rng.normal(size=(len(features), 200)), features.index, names)
    made.iloc[:, 40 : 40 + CONFOUNDED] += 2 * tissue @ rng.normal(size=(tissue.shape[1], CONFOUNDED))
    lost = OutcomeView("radiation", radiation.lines, radiation.y, radiation.constant, radiation.constant)
    rows = cohort.blocks["lineage"].loc[radiation.lines].to_numpy(dtype=float)
    table = negative_of(made, lost, rows).set_index(["outcome", "method"]).loc["tissue only"]
    assert (table.confounded > 0.2).all()
    own = 0.9 * 0.05 + 0.1 * table.confounded
    np.testing.assert_allclose(table.false_positives, own, atol=0.015)


# --- null controls --------------------------------------------------------------------------------


def test_null_controls_speak_are_quiet_or_were_not_measured(cohort: Cohort, radiation: OutcomeView) -> None:
    def null(name: str, feature: str) -> NullControl:
        measurement = Measurement(id=name, label=name, features=(feature,))
        return NullControl(id=name, label=name, outcome="radiation", measurement=measurement, expectation="-")

    controls = null("driver", "rna:GENE0002"), null("nothing", "rna:GENE0400"), null("absent", "rna:NOBODY")
    claims = load_claims().model_copy(update={"null_controls": controls})
    table = null_controls(cohort, claims, {"radiation": radiation})
    own = partial_correlations(
        cohort.blocks["rna"].loc[radiation.lines, ["GENE0002", "GENE0400"]], radiation.y, radiation.tissue
    )
    np.testing.assert_allclose(table.p[:2], own.p)
    np.testing.assert_allclose(table.effect[:2], own.r)
    assert own.p["GENE0002"] < NULL_LEVEL < own.p["GENE0400"]
    assert list(table.quiet) == [False, True, None]
    assert len(null_controls(cohort, claims.model_copy(update={"null_controls": ()}), {})) == 0
    gate = judge_controls(good(), fine(), table)
    assert len(gate.reasons) == 1
    assert gate.reasons[0].startswith("driver: p = ")
    assert judge_controls(good(), fine(), table.iloc[1:]).open


# --- the gate -------------------------------------------------------------------------------------


def changed(**more: float) -> pd.DataFrame:
    table = fine()
    for name, value in more.items():
        table.loc[2, name] = value
    return table


NONE = pd.DataFrame()
JUST_OVER = float(np.nextafter(MAX_CONFOUNDED, 1))


@pytest.mark.parametrize(
    ("positive", "negative", "reason"),
    [
        (NONE, fine(), "no positive control could be run"),
        (good(reason="no such drug in these data"), fine(), "no positive control could be run"),
        (good(gate=False), fine(), "no positive control could be run"),
        (good(recovered=False), fine(), r"planted: not recovered (ctrp:PLANTED: partial r -0.30, rank 1 by"),
        (good(), changed(inflation=0.79), "association, tissue only: lambda_GC 0.79 outside (0.8, 1.1)"),
        (good(), changed(inflation=1.11), "association, tissue only: lambda_GC 1.11 outside (0.8, 1.1)"),
        (good(), changed(inflation=NAN), "association, tissue only: lambda_GC nan outside (0.8, 1.1)"),
        (good(), changed(confounded=0.08), "association, tissue only: 0.080 false positives, over 0.07"),
        (good(), changed(false_positives=0.08), "association, tissue only: 0.080 false positives, over 0.07"),
        (good(), changed(confounded=JUST_OVER), "association, tissue only: 0.070 false positives, over 0.07"),
    ],
)
def test_each_reason_closes_the_gate(positive: pd.DataFrame, negative: pd.DataFrame, reason: str) -> None:
    gate = judge_controls(positive, negative, NONE)
    assert not gate.open
    assert len(gate.reasons) == 1
    assert gate.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    "negative",
    [
        changed(inflation=0.8),
        changed(inflation=1.1),
        changed(confounded=MAX_CONFOUNDED),
        changed(tissue_feature=1),
    ],
)
def test_the_borders_leave_it_open(negative: pd.DataFrame) -> None:
    assert judge_controls(good(), negative, NONE) == Gate(open=True, reasons=())


def test_one_screen_that_recovers_is_enough_and_other_controls_do_not_help() -> None:
    failed, passed = good(recovered=False, drug="gdsc1:X"), good()
    unmeasured = good(drug="gdsc2:X", reason="12 lines, fewer than 100", recovered=None)
    assert judge_controls(pd.concat([failed, passed, unmeasured]), fine(), NONE).open
    other = good(label="other", recovered=False)
    gate = judge_controls(pd.concat([failed, passed, other]), fine(), NONE)
    assert [r.partition(":")[0] for r in gate.reasons] == ["other"]
    reported = good(label="only reported", recovered=False, gate=False)
    assert judge_controls(pd.concat([passed, reported]), fine(), NONE).open


def test_all_reasons_are_said_at_once() -> None:
    null = pd.DataFrame([{"label": "Y genes", "p": 0.0001, "quiet": False}])
    gate = judge_controls(good(recovered=False), changed(inflation=2.0, confounded=0.5), null)
    assert len(gate.reasons) == 4


# --- features that look like a measurement --------------------------------------------------------


def test_a_random_feature_stands_anywhere_among_those_like_it(
    features: pd.DataFrame, radiation: OutcomeView
) -> None:
    look = appearance(features, radiation)
    often = [f for f in look.index[look.coverage > 0.9] if f.startswith("rna:")]
    chosen = np.random.default_rng(0).choice(often, 80, replace=False)
    found = [matched_percentile(features, look, radiation, features[f], "rna", seed=0)[0] for f in chosen]
    assert np.mean(found) == pytest.approx(50, abs=12)
    assert kstest(np.array(found) / 100, "uniform").pvalue > 0.005
    driver, number = matched_percentile(features, look, radiation, features["rna:GENE0002"], "rna", seed=0)
    assert number > 0.9 * MATCHED
    assert driver > 95


def test_those_taken_are_the_most_alike_and_counted_by_hand(
    features: pd.DataFrame, radiation: OutcomeView
) -> None:
    pool = features.filter(like="driver:").iloc[:, -44:]
    look = appearance(pool, radiation)
    own = pool.loc[radiation.lines]
    assert look.loc["driver:TP53", "coverage"] == own["driver:TP53"].notna().mean()
    assert look.loc["driver:TP53", "spread"] == pytest.approx(np.log(own["driver:TP53"].std()), abs=1e-6)
    x = features["rna:GENE0002"]
    found, number = matched_percentile(pool, look, radiation, x, "driver", seed=0)
    mine = appearance(x.to_frame(), radiation).iloc[0]
    far = ((look - mine).abs() / look.std().clip(lower=1e-9)).sum(axis=1)
    taken = far.sort_values().index[:22]
    r = partial_correlations(own[taken], radiation.y, radiation.tissue).r.abs().dropna()
    r_own = partial_correlations(x[radiation.lines].to_frame(), radiation.y, radiation.tissue).r.abs().iloc[0]
    assert number == len(r) >= FEWEST_MATCHED
    assert found == pytest.approx(100 * (r < r_own).mean())


def _too_small(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return features.filter(like="driver:").iloc[:, : FEWEST_MATCHED - 1], features[DRIVER]


def _rarely_measured(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return features.filter(like="driver:"), features[DRIVER].where(np.arange(len(features)) % 3 == 0)


def _constant(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return features.filter(like="driver:"), features[DRIVER] * 0 + 1


@pytest.mark.parametrize("case", [_too_small, _rarely_measured, _constant])
def test_no_percentile_without_enough_to_compare(
    features: pd.DataFrame,
    radiation: OutcomeView,
    case: Callable[[pd.DataFrame], tuple[pd.DataFrame, pd.Series]],
) -> None:
    pool, x = case(features)
    found, _ = matched_percentile(pool, appearance(pool, radiation), radiation, x, "driver", seed=0)
    assert np.isnan(found)


def test_features_that_nobody_has_do_not_spoil_the_likeness(
    features: pd.DataFrame, radiation: OutcomeView
) -> None:
    pool = features.filter(like="driver:")
    wider = pool.assign(**{f"driver:NOBODY{i}": NAN for i in range(30)})
    for name in (DRIVER, "rna:GENE0002"):
        plain, found = (
            matched_percentile(t, appearance(t, radiation), radiation, features[name], "driver", seed=0)
            for t in (pool, wider)
        )
        assert found == plain


def test_claims_of_the_project_name_controls_that_gate() -> None:
    claims: Claims = load_claims()
    assert sum(c.gate for c in claims.positive_controls) >= 3
    assert claims.null_controls
