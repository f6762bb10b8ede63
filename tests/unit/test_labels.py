"""Responses and classes against plain loops; the rule is learned from the lines given, and from no other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy import stats

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.drugs import panel_drugs, panel_response
from crossres_ml.cohort.labels import LabelRule, scored_lines, training_lines
from crossres_ml.config import DrugPanel
from crossres_ml.errors import CohortError

RNG = np.random.default_rng(2)


def panel(**changes: object) -> DrugPanel:
    plain = {
        "table": "ctrp_auc", "value": "auc", "drugs": ("A", "B", "C"), "min_drugs": 2, "reason": "made",
    }  # fmt: skip
    return DrugPanel.model_validate(plain | changes)


def gdsc(**changes: object) -> DrugPanel:
    return panel(table="gdsc_response", value="ln_ic50", **changes)


def composite(table: pd.DataFrame, drugs: DrugPanel) -> pd.Series:
    return panel_response(panel_drugs(table, drugs), drugs)


def screen() -> pd.DataFrame:
    """Lines that miss drugs, are measured twice, or not at all; a drug of no panel; a constant drug."""
    rows = [
        (f"ACH-{line:06d}", drug, RNG.normal(10, 2))
        for line in range(40)
        for drug in "ABCX"
        if RNG.random() < 0.7
    ]
    rows += [
        ("ACH-000003", "A", 30.0),
        ("ACH-000003", "A", 1.0),
        (None, "A", 5.0),
        ("ACH-000004", "B", np.nan),
    ]
    rows += [(f"ACH-{line:06d}", "K", 7.0) for line in range(40)]
    return pd.DataFrame(rows, columns=["model_id", "drug", "auc"])


def plain(table: pd.DataFrame, drugs: str, least: int) -> dict[str, float]:
    """The composite as a loop."""
    values: dict[str, dict[str, list[float]]] = {d: {} for d in drugs}
    for row in table.itertuples():
        if row.drug in drugs and isinstance(row.model_id, str) and not np.isnan(row.auc):
            values[row.drug].setdefault(row.model_id, []).append(row.auc)
    z: dict[str, list[float]] = {}
    for lines in values.values():
        means = {line: np.mean(v) for line, v in lines.items()}
        sd = np.std(list(means.values()), ddof=1)
        for line, value in means.items():
            if sd > 0:
                z.setdefault(line, []).append((value - np.mean(list(means.values()))) / sd)
    return {line: float(np.mean(v)) for line, v in z.items() if len(v) >= least}


@pytest.mark.parametrize("least", [1, 2, 3])
def test_composite_is_that_of_a_loop(least: int) -> None:
    table = screen()
    ours = composite(table, panel(min_drugs=least))
    assert ours.to_dict() == pytest.approx(plain(table, "ABC", least))
    shuffled = composite(table.sample(frac=1, random_state=1), panel(min_drugs=least))
    pdt.assert_series_equal(ours, shuffled)


def test_constant_drug_says_nothing() -> None:
    table = screen()
    with_constant = composite(table, panel(drugs=("A", "B", "C", "K")))
    pdt.assert_series_equal(with_constant, composite(table, panel()))


def test_datasets_are_standardised_apart_and_averaged() -> None:
    table = screen().dropna()
    wide = table.rename(columns={"auc": "ln_ic50"})
    shifted = [wide.assign(dataset="one"), wide.assign(dataset="two", ln_ic50=wide.ln_ic50 * 3 - 50)]
    foreign = wide.assign(dataset="three", ln_ic50=RNG.normal(size=len(table)))
    both = composite(pd.concat([*shifted, foreign]), gdsc(datasets=("one", "two")))
    pdt.assert_series_equal(both, composite(table, panel()), rtol=1e-12)


def test_missing_drugs_are_all_named() -> None:
    with pytest.raises(CohortError, match=r"no drug \['Y', 'Z'\] in ctrp_auc"):
        composite(screen(), panel(drugs=("A", "Y", "Z")))


# --- the rule ---------------------------------------------------------------------------------------

RESPONSES = pd.DataFrame(
    {"radiation": RNG.normal(3, 1, 200), "chemotherapy": RNG.normal(0, 1, 200)},
    [f"ACH-{i:06d}" for i in range(200)],
)
RESPONSES.iloc[:10, 0] = np.nan
RESPONSES.iloc[5:20, 1] = np.nan
RESPONSES.iloc[30:60, 0] = 3.0  # ties


def test_one_response() -> None:
    rule = LabelRule.fit("radiation", RESPONSES, 2 / 3)
    known = RESPONSES.radiation.dropna()
    assert rule.cuts == {"radiation": np.quantile(known, 2 / 3)}
    label = rule.label(RESPONSES)
    assert label[known.index].equals((known >= rule.cuts["radiation"]).astype(float).rename("label"))
    assert label[RESPONSES.radiation.isna()].isna().all()
    pdt.assert_series_equal(rule.score(RESPONSES), RESPONSES.radiation, check_names=False)


def test_cross_needs_both() -> None:
    rule = LabelRule.fit("cross", RESPONSES, 2 / 3)
    both = RESPONSES.dropna()
    assert rule.cuts == {n: np.quantile(both[n], 2 / 3) for n in RESPONSES}
    expected = (both >= pd.Series(rule.cuts)).all(axis=1)
    label, score = rule.label(RESPONSES), rule.score(RESPONSES)
    assert (label[both.index] == expected).all()
    assert label.notna().sum() == score.notna().sum() == len(both)
    assert 0.05 < label.mean() < 0.2


def test_cross_score_is_the_mean_percentile() -> None:
    rule = LabelRule.fit("cross", RESPONSES, 2 / 3)
    both = RESPONSES.dropna()
    ranks = [[stats.percentileofscore(both[n], v, kind="mean") / 100 for v in both[n]] for n in both]
    np.testing.assert_allclose(rule.score(both), np.mean(ranks, axis=0), atol=0.08)
    plain_ = both[both.radiation != 3.0]
    far = [np.mean(r) for r in zip(*ranks, strict=True)]
    far = pd.Series(far, both.index)[plain_.index]
    np.testing.assert_allclose(rule.score(plain_), far, atol=0.01)
    extreme = pd.DataFrame({"radiation": [-9.0, 99.0], "chemotherapy": [-99.0, 99.0]})
    assert list(rule.score(extreme)) == [0.0, 1.0]


def test_held_out_responses_change_nothing() -> None:
    train, held_out = RESPONSES.iloc[:150], RESPONSES.iloc[150:]
    for task in ("radiation", "chemotherapy", "cross"):
        rule = LabelRule.fit(task, train, 2 / 3)
        rule.label(held_out * 100)
        rule.score(held_out * 100)
        assert rule == LabelRule.fit(task, RESPONSES.iloc[:150].sample(frac=1, random_state=1), 2 / 3)
        assert rule != LabelRule.fit(task, RESPONSES, 2 / 3)


def test_too_few_lines() -> None:
    with pytest.raises(CohortError, match="only 9 training lines have radiation and chemotherapy"):
        LabelRule.fit("cross", RESPONSES.dropna().iloc[:9], 2 / 3)


def test_constant_response_is_all_resistant() -> None:
    constant = RESPONSES.assign(radiation=3.0)
    rule = LabelRule.fit("radiation", constant, 2 / 3)
    assert set(rule.label(constant)) == {1.0}


def test_lines_of_a_task(cohort: Cohort) -> None:
    has = cohort.responses.notna()
    assert set(training_lines(cohort, "chemotherapy")) == set(has.index[has.chemotherapy])
    assert set(scored_lines(cohort, "chemotherapy")) == set(has.index[has.chemotherapy & has.radiation])
    assert set(training_lines(cohort, "radiation")) == set(has.index[has.radiation])
    assert set(scored_lines(cohort, "radiation")) == set(has.index[has.radiation])
    assert set(scored_lines(cohort, "cross")) == set(training_lines(cohort, "cross"))
    assert set(scored_lines(cohort, "cross")) == set(has.index[has.chemotherapy & has.radiation])
