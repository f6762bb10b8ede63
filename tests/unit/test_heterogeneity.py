"""Effects by lineage: against scipy, statsmodels and hand formulas; planted truth, level, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from statsmodels.stats.meta_analysis import combine_effects

from crossres_ml.audit.data import OutcomeView, view_of
from crossres_ml.audit.evidence import row
from crossres_ml.audit.heterogeneity import (
    dersimonian_laird,
    heterogeneity_over,
    i2_interval,
    per_lineage,
    pool,
)

SIZES = {"A": 50, "B": 35, "C": 30, "D": 20, "E": 16, "F": 12, "G": 9, "H": 8, "I": 5}
Study = tuple[pd.DataFrame, OutcomeView, pd.Series]


def simulate(seed: int, mean: float = 0.0, sd: float = 0.0) -> Study:
    """Correlated measurements (m1 an event, m2 mostly missing), lineages of other levels and scales.

    Effects have this mean and this standard deviation between lineages.
    """
    rng = np.random.default_rng(seed)
    of = np.repeat(list(SIZES), list(SIZES.values()))
    n, lines = len(of), pd.Index([f"L{i:03d}" for i in range(len(of))])
    x = np.sqrt(0.5) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, 4)))
    effects = {k: rng.normal(mean, sd, size=4) / 2 for k in SIZES}
    y = np.array([own @ effects[k] for own, k in zip(x, of, strict=True)]) + rng.normal(size=n)
    levels = pd.DataFrame({"scale": rng.uniform(0.5, 2, 9), "level": rng.normal(size=9)}, list(SIZES))
    scale, level = levels.scale[of].to_numpy(), levels.level[of].to_numpy()
    table = pd.DataFrame(x * scale[:, None] + level[:, None], lines, ["m0", "m1", "m2", "m3"])
    table["m1"] = (x[:, 1] > 0.8).astype(float)
    table = table.mask(rng.random(table.shape) < 0.1)
    table.loc[lines[rng.random(n) < 0.4], "m2"] = np.nan
    lineage = pd.Series(of, lines)
    covariates = pd.DataFrame({"growth": rng.normal(size=n)}, lines)
    return table, view_of("radiation", pd.Series(y * scale + level, lines), lineage, covariates), lineage


def test_correlation_of_each_lineage_is_that_of_scipy_with_fishers_interval() -> None:
    table, view, lineage = simulate(1)
    found = per_lineage(table.m2.round(1), view, lineage)
    assert found.index[0] == "A"
    for name in ("A", "B", "C"):
        inside = ((lineage == name) & table.m2.notna()).to_numpy()
        expected = pearsonr(table.m2.round(1)[inside], view.y[inside])
        assert found.r[name] == pytest.approx(expected.statistic)
        ends = tuple(expected.confidence_interval())
        assert (found.low[name], found.high[name]) == pytest.approx(ends)
        assert found.n[name] == inside.sum()
    assert found.note["I"] == "fewer than 8 lines measured"
    assert found.carriers.isna().all()


def test_event_needs_three_lines_with_and_three_without() -> None:
    _, view, lineage = simulate(2)
    event = pd.Series(0.0, lineage.index)
    event[lineage.index[lineage == "A"][:2]] = 1.0
    event[lineage.index[lineage == "B"][:3]] = 1.0
    event[lineage.index[lineage == "C"][2:]] = 1.0
    found = per_lineage(event, view, lineage)
    assert found.carriers[["A", "B", "C", "D"]].tolist() == [2, 3, 28, 0]
    assert found.index[found.r.notna()].tolist() == ["B"]
    assert set(found.note[["A", "C", "D"]]) == {"fewer than 3 lines with, or without, the event"}
    assert pool(found)["note"] == "1 lineages with enough lines: nothing to compare"
    assert np.isnan(pool(found)["effect"])


@pytest.mark.parametrize(("sd", "seed"), [(0.0, 3), (0.8, 4), (1.5, 5)])
def test_pooling_is_that_of_statsmodels(sd: float, seed: int) -> None:
    table, view, lineage = simulate(seed, 0.5, sd)
    effects = per_lineage(table.m0, view, lineage)
    found, known = pool(effects), effects[effects.z.notna()]
    theirs = combine_effects(known.z.to_numpy(), known.variance.to_numpy(), method_re="dl")
    frame = theirs.summary_frame().loc["random effect"]
    assert np.arctanh(found["effect"]) == pytest.approx(frame.eff)
    assert np.arctanh([found["low"], found["high"]]) == pytest.approx(frame[["ci_low", "ci_upp"]].tolist())
    assert found["tau2"] == pytest.approx(max(theirs.tau2, 0))
    assert found["Q"] == pytest.approx(theirs.q)
    assert found["Q_p"] == pytest.approx(theirs.test_homogeneity().pvalue)
    assert found["I2"] == pytest.approx(max(theirs.i2, 0))
    means = {}
    for name in known.index:
        rest = known.drop(name)
        theirs = combine_effects(rest.z.to_numpy(), rest.variance.to_numpy(), method_re="dl")
        # theirs goes on with a variance below zero
        means[name] = theirs.mean_effect_re if theirs.tau2 > 0 else theirs.mean_effect_fe
    assert np.arctanh(found["without_low"]) == pytest.approx(min(means.values()))
    assert np.arctanh(found["without_high"]) == pytest.approx(max(means.values()))
    mean = np.arctanh(found["effect"])
    assert found["without_most"] == max(means, key=lambda k: abs(means[k] - mean))


def test_pooling_by_hand() -> None:
    z, v = np.array([0.1, 0.5, 0.9]), np.array([0.1, 0.2, 0.1])
    mean, se, tau2, q = dersimonian_laird(z, v)
    assert q == pytest.approx(10 * 0.4**2 + 10 * 0.4**2)  # weights 10, 5, 10 about .5
    assert tau2 == pytest.approx((3.2 - 2) / (25 - 225 / 25))
    w = 1 / (v + 0.075)
    assert (mean, se) == pytest.approx((0.5, w.sum() ** -0.5))


def test_interval_of_i2_is_the_published_formula() -> None:
    # Q = 40 in 11 studies: H = 2, I2 = 75 %; ln H has standard error .5 (ln 40 - ln 10) / (sqrt 80 - sqrt 19)
    se = 0.5 * np.log(4) / (np.sqrt(80) - np.sqrt(19))
    expected = [1 - 1 / (2 * np.exp(s * 1.959964 * se)) ** 2 for s in (-1, 1)]
    assert i2_interval(40.0, 10) == pytest.approx(tuple(expected), rel=1e-6)
    # below its expectation: the other formula, and nothing below zero
    low, high = i2_interval(8.0, 10)
    se = np.sqrt(1 / 18 * (1 - 1 / 243))
    assert low == 0
    assert high == pytest.approx(1 - 1 / (0.8 * np.exp(2 * 1.959964 * se)), rel=1e-6)
    assert np.isnan(i2_interval(3.0, 1)).all()


def test_total_is_the_sum_over_measurements() -> None:
    table, view, lineage = simulate(6, 0.5, 1.0)
    numbers, found = heterogeneity_over(table, view, lineage, draws=20, seed=1)
    parts = [pool(per_lineage(table[c], view, lineage)) for c in table]
    q, df = (sum(p[k] for p in parts) for k in ("Q", "df"))
    assert numbers["effect"] == pytest.approx(1 - df / q)
    assert found.Q.tolist() == pytest.approx([p["Q"] for p in parts])
    assert found.permutation_p.between(1 / 21, 1).all()
    assert row(claim="C20", **numbers)["smallest"] == 0.25


def test_planted_differences_are_found() -> None:
    numbers, _ = heterogeneity_over(*simulate(7, 0.0, 1.2), draws=199, seed=1)
    assert numbers["p"] == pytest.approx(0.005)
    assert 0.2 < numbers["low"] < numbers["effect"] < numbers["high"] < 0.95
    assert numbers["full_p"] == pytest.approx(0.005)


def test_level_when_all_lineages_share_an_effect() -> None:
    found = [heterogeneity_over(*simulate(s, 0.6 * (s % 2)), draws=59, seed=s)[0] for s in range(100)]
    p = np.array([f["p"] for f in found])
    assert np.mean(p <= 0.05) <= 0.11
    assert 0.35 < p.mean() < 0.65
    assert np.mean([f["low"] > 0 for f in found]) <= 0.08
    assert np.mean([f["effect"] >= f["mde"] for f in found]) <= 0.04


def test_another_scale_or_level_in_a_lineage_changes_nothing() -> None:
    table, view, lineage = simulate(8, 0.3, 0.8)
    moved = table.drop(columns="m1").mul(lineage.map({k: i + 1.0 for i, k in enumerate(SIZES)}), axis=0) + 7
    one = heterogeneity_over(table.drop(columns="m1"), view, lineage, draws=30, seed=1)[0]
    other = heterogeneity_over(moved, view, lineage, draws=30, seed=1)[0]
    keys = ("effect", "low", "high", "p", "mde")
    assert [one[k] for k in keys] == pytest.approx([other[k] for k in keys], abs=1e-6)


def test_same_seed_same_bytes() -> None:
    study = simulate(9, 0.3, 0.5)
    runs = [heterogeneity_over(*study, draws=30, seed=s) for s in (1, 1, 2)]
    assert runs[0][0] == runs[1][0]
    assert runs[0][1].to_csv() == runs[1][1].to_csv()
    assert runs[0][0]["mde"] != runs[2][0]["mde"]
    assert runs[0][0]["effect"] == runs[2][0]["effect"]


def test_bad_input_gives_no_number_but_a_reason() -> None:
    table, view, lineage = simulate(10)
    bad = pd.DataFrame({"constant": 1.1, "missing": np.nan, "few": table.m0.iloc[:7]}, table.index)
    numbers, found = heterogeneity_over(bad, view, lineage, draws=20, seed=1)
    assert np.isnan([numbers[k] for k in ("effect", "low", "high", "p", "mde", "full", "full_p")]).all()
    assert numbers["n"] == 0
    assert "enough lines" in numbers["note"]
    assert found.note.str.contains("nothing to compare").all()
    assert set(per_lineage(bad.constant, view, lineage).note[:3]) == {"does not vary"}
    # beside a good one, a bad one adds nothing
    both, mixed = heterogeneity_over(bad.assign(good=table.m0), view, lineage, draws=20, seed=1)
    alone, _ = heterogeneity_over(table[["m0"]], view, lineage, draws=20, seed=1)
    assert both["effect"] == pytest.approx(alone["effect"])
    assert mixed.permutation_p.notna().tolist() == [False, False, False, True]
