"""Mediation: paths and intervals against statsmodels and numpy loops, planted truth, level, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import bootstrap

from crossres_ml.audit.adjust import normal_scores
from crossres_ml.audit.data import OutcomeView, view_of
from crossres_ml.audit.evidence import row
from crossres_ml.audit.mediation import link_within_tissue, mediate, mediation, moments, paths
from crossres_ml.audit.resampling import accelerated_interval, summarise, two_sided_p

Study = tuple[pd.Series, pd.Series, OutcomeView, pd.Series]


def simulate(n: int, a: float, b: float, direct: float, seed: int, *, missing: bool = True) -> Study:
    """Lines of 7 lineages of unequal sizes that shift all three; different lines lack each."""
    rng = np.random.default_rng(seed)
    lines = pd.Index([f"L{i:03d}" for i in range(n)])
    lineage = pd.Series(rng.choice(list("ABCDEFG"), n, p=[0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03]), lines)
    shift = lineage.map(dict(zip("ABCDEFG", rng.normal(size=7), strict=True)))
    x = rng.normal(size=n)
    m = a * x + np.sqrt(1 - a**2) * rng.normal(size=n)
    y = b * m + direct * x + rng.normal(size=n)
    covariates = pd.DataFrame({"growth": rng.normal(size=n)}, lines)
    if missing:
        covariates.iloc[rng.random(n) < 0.2] = np.nan
    view = view_of("radiation", pd.Series(y, lines) + shift, lineage, covariates)
    table = pd.DataFrame({"x": x + shift, "m": m + shift}, lines)
    if missing:
        table["x"] = table.x.mask(rng.random(n) < 0.1)
        table["m"] = table.m.round(1).mask(rng.random(n) < 0.3)
    return table.x, table.m, view, lineage


def by_regression(x: np.ndarray, m: np.ndarray, y: np.ndarray, design: np.ndarray) -> dict[str, float]:
    """Standardise residuals, then ordinary least squares of statsmodels."""
    x, m, y = (sm.OLS(v, design).fit().resid for v in (x, m, y))
    x, m, y = (v / np.sqrt(np.mean(v**2)) for v in (x, m, y))
    first, second = sm.OLS(m, x).fit(), sm.OLS(y, np.column_stack([m, x])).fit()
    a, (b, direct) = first.params[0], second.params
    return {"a": a, "b": b, "direct": direct, "indirect": a * b, "total": sm.OLS(y, x).fit().params[0]}


@pytest.mark.parametrize("full", [False, True])
def test_paths_are_those_of_statsmodels_on_the_lines_that_have_all_three(full: bool) -> None:
    x, m, view, _ = simulate(160, 0.5, 0.4, 0.2, seed=1)
    found = mediate(x, m, view, full=full, draws=60, seed=3)
    known = (x.notna() & m.notna()).to_numpy()
    design = (view.full if full else view.tissue)[known]
    own = (x[known].to_numpy(), normal_scores(m[known].to_numpy()), view.y[known])
    expected = by_regression(*own, design)
    assert found["n"] == known.sum() < 160
    assert found["effect"] == pytest.approx(expected.pop("indirect"), abs=1e-9)
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-9)
    assert found["total"] == pytest.approx(found["direct"] + found["effect"], abs=1e-9)
    # the first path is a partial correlation, with Fisher's interval
    assert found["link_r"] == pytest.approx(found["a"], abs=1e-9)
    assert found["link_n"] == found["n"]
    t = sm.OLS(own[1], np.column_stack([own[0], design])).fit()
    assert found["link_p"] == pytest.approx(t.pvalues[0], rel=1e-6)


def test_every_draw_is_adjusted_anew_as_by_a_loop() -> None:
    x, m, view, _ = simulate(120, 0.5, 0.4, 0.2, seed=2)
    known = (x.notna() & m.notna()).to_numpy()
    values = np.column_stack([x[known], m[known], view.y[known]])
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = rng.integers(0, len(values), len(values))
        weights = np.bincount(drawn, minlength=len(values))[None, :].astype(float)
        got = paths(moments(values, view.full[known], weights))
        design = view.full[known][drawn]
        expected = by_regression(
            *values[drawn].T, design[:, design.any(axis=0)]
        )  # without lineages not drawn
        assert {k: v[0] for k, v in got.items()} == pytest.approx(expected, abs=1e-8)


def test_summary_of_draws_is_that_of_numpy_and_scipy() -> None:
    values = np.random.default_rng(4).exponential(size=40) - 0.9
    scipys = bootstrap((values,), np.mean, n_resamples=3000, method="BCa", rng=np.random.default_rng(6))
    draws = scipys.bootstrap_distribution
    found = summarise(values.mean(), draws)
    assert found["low"] == pytest.approx(np.quantile(draws, 0.025))
    assert found["mde"] == pytest.approx(2.8016 * draws.std(ddof=1), rel=1e-4)
    assert found["p"] == pytest.approx(2 * np.mean(draws <= 0))
    jackknife = np.array([np.delete(values, i).mean() for i in range(40)])
    expected = tuple(scipys.confidence_interval)
    assert accelerated_interval(values.mean(), draws, jackknife) == pytest.approx(expected, abs=1e-3)
    # skewed to the right: the whole interval lies further right than the plain percentiles
    assert accelerated_interval(values.mean(), draws, jackknife)[1] > found["high"]


def test_p_has_a_floor_and_a_ceiling() -> None:
    assert two_sided_p(np.full(99, 0.4)) == pytest.approx(0.01)
    assert two_sided_p(np.zeros(99)) == 1.0
    assert two_sided_p(np.r_[np.full(5, -1.0), np.full(95, 1.0)]) == pytest.approx(0.1)


def test_an_effect_that_many_draws_lack_has_no_interval() -> None:
    draws = np.where(np.arange(100) < 10, np.nan, 1.0)
    found = summarise(1.0, draws)
    assert found["effect"] == 1.0
    assert np.isnan([found["low"], found["high"], found["p"], found["mde"]]).all()
    assert np.isnan(list(summarise(np.nan, np.ones(50)).values())).all()
    assert np.isnan(accelerated_interval(1.0, draws, np.ones(5))).all()


def test_planted_mediation_is_found_and_its_parts_are_told_apart() -> None:
    x, m, view, lineage = simulate(600, 0.6, 0.5, 0.0, seed=7, missing=False)
    found = mediate(x, m, view, full=False, draws=999, seed=1)
    assert found["low"] > 0.15
    assert found["p"] == pytest.approx(0.001)
    assert found["direct_low"] < 0 < found["direct_high"]
    assert found["bca_low"] < found["effect"] < found["bca_high"]
    assert found["mde"] == pytest.approx(2.8 * (found["high"] - found["low"]) / 3.92, rel=0.15)
    assert link_within_tissue(x, m, lineage)["r"] == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize(("a", "low", "high"), [(0.5, 0.01, 0.11), (0.0, 0.0, 0.05)])
def test_level_without_the_second_path(a: float, low: float, high: float) -> None:
    """At a = b = 0 a product is found more rarely than the level says: known, and on the safe side."""
    p = [
        mediate(*simulate(110, a, 0.0, 0.3, seed=s, missing=False)[:3], full=False, draws=199, seed=s)["p"]
        for s in range(150)
    ]
    assert low <= np.mean(np.asarray(p) <= 0.05) <= high


def test_lineage_alone_mediates_nothing() -> None:
    """Unadjusted, three things that follow lineage look like a chain; adjusted, nothing is left."""
    x, m, view, _ = simulate(500, 0.0, 0.0, 0.0, seed=11, missing=False)
    numbers, table = mediation(x, m, view, draws=299, seed=1)
    assert numbers["raw"] > 0.05
    assert numbers["raw_p"] < 0.05
    assert numbers["p"] > 0.05
    assert numbers["full_p"] > 0.05
    assert list(table.index) == ["nothing", "tissue", "full"]
    assert row(claim="C14", **numbers)["n"] == 500


def test_same_seed_same_bytes_and_another_seed_another_interval() -> None:
    x, m, view, _ = simulate(150, 0.4, 0.3, 0.1, seed=5)
    runs = [mediation(x, m, view, draws=99, seed=s)[1] for s in (1, 1, 2)]
    assert runs[0].to_csv() == runs[1].to_csv()
    assert runs[0].loc["tissue", "low"] != runs[2].loc["tissue", "low"]
    assert runs[0].loc["tissue", "effect"] == runs[2].loc["tissue", "effect"]


def test_bad_input_gives_no_number_but_a_reason() -> None:
    x, m, view, lineage = simulate(150, 0.4, 0.3, 0.1, seed=6, missing=False)
    cases = {
        "too few": (x.iloc[:14], m),
        "0 lines": (x * np.nan, m),
        "measurement does not vary": (x * 0 + 3.3, m),
        "mediator does not vary": (x, lineage.map({k: float(i) for i, k in enumerate("ABCDEFG")})),
        "are the same": (pd.Series(normal_scores(m.to_numpy()), m.index), m),
    }
    for reason, (one, other) in cases.items():
        found = mediate(one, other, view, full=False, draws=50, seed=1)
        assert reason in found["note"]
        assert np.isnan(
            [found[k] for k in ("effect", "low", "high", "p", "mde", "a", "b_p", "bca_low")]
        ).all()


def test_an_event_of_two_lines_is_not_in_all_draws() -> None:
    x, m, view, _ = simulate(150, 0.4, 0.3, 0.1, seed=6, missing=False)
    rare = pd.Series(0.0, x.index)
    rare.iloc[[3, 70]] = 1.0
    found = mediate(rare, m, view, full=False, draws=200, seed=1)
    assert "of the draws" in found["note"]
    assert np.isfinite(found["effect"])
    assert np.isnan(found["p"])
