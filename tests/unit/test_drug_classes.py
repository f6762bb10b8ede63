"""Drug classes: against statsmodels and loops; planted truth, level, seeds, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from crossres_ml.audit.adjust import add_covariates, normal_scores
from crossres_ml.audit.association import partial_correlations
from crossres_ml.audit.data import OutcomeView, view_of
from crossres_ml.audit.drug_classes import drug_classes, label_p, leave_one_out_mean
from crossres_ml.audit.evidence import row

Study = tuple[pd.DataFrame, pd.DataFrame, OutcomeView, pd.DataFrame]


def simulate(seed: int, *, n: int = 200, drugs: int = 30, shared: float = 0.0) -> Study:
    """A general factor in all drugs and in the outcome; ``shared`` is a second one, of one class only.

    The first third is genotoxic. Drugs lack lines of their own, and some lines lack most drugs; the last
    drug is measured in too few, and another dataset must be left out.
    """
    rng = np.random.default_rng(seed)
    lines = pd.Index([f"L{i:03d}" for i in range(n)])
    lineage = pd.Series(rng.choice(list("ABCDEF"), n, p=[0.4, 0.25, 0.15, 0.1, 0.07, 0.03]), lines)
    level = lineage.map(dict(zip("ABCDEF", rng.normal(size=6), strict=True))).to_numpy()
    general, damage = rng.normal(size=n), rng.normal(size=n)
    genotoxic = np.arange(drugs) < drugs // 3
    values = 0.6 * general[:, None] + level[:, None] + rng.normal(size=(n, drugs))
    values += shared * damage[:, None] * genotoxic
    y = 0.4 * general + shared * damage + level + rng.normal(size=n)
    names = [f"ctrp:d{i:02d}" for i in range(drugs)]
    table = pd.DataFrame(values, lines, names).mask(rng.random((n, drugs)) < 0.15).round(1)
    table.iloc[: n // 10, 3:] = np.nan
    table.loc[table[names[-1]].dropna().index[90:], names[-1]] = np.nan
    table["gdsc1:other"] = y
    info = pd.DataFrame({"genotoxic": [*genotoxic, True]}, table.columns)
    growth = pd.DataFrame({"growth": rng.normal(size=n)}, lines)
    return table, info, view_of("radiation", pd.Series(y, lines), lineage, growth), growth


def test_each_drug_is_a_partial_correlation() -> None:
    table, info, view, growth = simulate(1)
    numbers, found = drug_classes(table, info, view, covariates=growth, draws=20, seed=1)
    assert list(found.index) == list(table.columns[:29])
    assert "ctrp:d29" not in found.index
    scores = table.apply(lambda s: pd.Series(normal_scores(s.dropna().to_numpy()), s.dropna().index))
    scores = scores.reindex(table.index)[found.index]
    for design, name, p in ((view.constant, "raw", "raw_p"), (view.tissue, "r", "p")):
        expected = partial_correlations(scores, view.y, design)
        assert found[name].tolist() == pytest.approx(expected.r.tolist())
        assert found[p].tolist() == pytest.approx(expected.p.tolist())
    assert found.n.tolist() == table[found.index].notna().sum().tolist()
    mean = found.groupby("genotoxic").r.mean()
    assert numbers["effect"] == pytest.approx(mean[True] - mean[False])
    assert numbers["full"] == pytest.approx(
        found.full[found.genotoxic].mean() - found.full[~found.genotoxic].mean()
    )
    assert row(claim="C21", **numbers)["n"] == table[found.index].notna().any(axis=1).sum()


def test_full_adjustment_is_that_of_statsmodels_with_the_mean_of_the_other_drugs() -> None:
    table, info, view, growth = simulate(2)
    _, found = drug_classes(table, info, view, covariates=growth, draws=5, seed=1)
    used = table[found.index]
    z = (used - used.mean()) / used.std(ddof=0)
    for name in ("ctrp:d02", "ctrp:d20"):
        others = z.loc[:, ~found.genotoxic].drop(columns=name, errors="ignore")
        general = others.mean(axis=1).where(others.notna().sum(axis=1) >= 5)
        known = used[name].notna().to_numpy()
        general = general[known].fillna(general[known].mean())
        design = np.column_stack([add_covariates(view.tissue, growth)[known], general])
        drug = normal_scores(used[name].dropna().to_numpy())
        fit = sm.OLS(view.y[known], np.column_stack([drug, design])).fit()
        t, df = fit.tvalues[0], fit.df_resid
        assert found.full[name] == pytest.approx(t / np.sqrt(t**2 + df))
        assert found.full_p[name] == pytest.approx(fit.pvalues[0])


def test_no_drug_is_in_its_own_general_sensitivity() -> None:
    values = np.random.default_rng(3).normal(size=(12, 9))
    values[np.random.default_rng(4).random((12, 9)) < 0.2] = np.nan
    counted = np.arange(9) >= 2
    got = leave_one_out_mean(values, counted)
    z = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    for i in range(12):
        for j in range(9):
            others = [z[i, k] for k in range(9) if counted[k] and k != j and np.isfinite(z[i, k])]
            expected = np.mean(others) if len(others) >= 5 else np.nan
            assert got[i, j] == pytest.approx(expected, nan_ok=True)


def test_spread_of_the_draws_is_that_of_a_bootstrap_that_adjusts_anew() -> None:
    table, info, view, _ = simulate(5, drugs=15)
    numbers, found = drug_classes(table, info, view, draws=600, seed=1)
    scores = table[found.index].apply(
        lambda s: pd.Series(normal_scores(s.dropna().to_numpy()), s.dropna().index)
    )
    scores, rng, loop = scores.reindex(table.index), np.random.default_rng(6), []
    for _ in range(150):
        drawn = rng.integers(0, len(table), len(table))
        tissue = view.tissue[drawn]
        r = partial_correlations(scores.iloc[drawn].reset_index(drop=True), view.y[drawn], tissue).r
        loop.append(r[found.genotoxic].mean() - r[~found.genotoxic].mean())
    assert numbers["mde"] / 2.8016 == pytest.approx(np.std(loop, ddof=1), rel=0.2)
    assert numbers["high"] - numbers["low"] == pytest.approx(3.92 * np.std(loop, ddof=1), rel=0.25)


def test_planted_class_is_found_and_a_general_factor_is_not_taken_for_one() -> None:
    table, info, view, _ = simulate(7, shared=0.5)
    numbers, found = drug_classes(table, info, view, draws=299, seed=1)
    assert numbers["low"] > 0.05
    assert numbers["p"] == pytest.approx(1 / 300)
    assert numbers["full_low"] > 0.05
    assert found.general.mean() > 0.3
    assert "p = 0.0033" in numbers["note"]


def test_level_when_the_classes_are_alike() -> None:
    found = [drug_classes(*simulate(s, n=150, drugs=18)[:3], draws=99, seed=s)[0] for s in range(120)]
    for key, low in (("p", "low"), ("full_p", "full_low")):
        p = np.array([f[key] for f in found])
        assert np.isfinite([f[low] for f in found]).all()
        assert np.mean(p <= 0.05) <= 0.11


def test_labels_dealt_at_random() -> None:
    rng = np.random.default_rng(8)
    r, genotoxic = rng.normal(size=40), np.arange(40) < 10
    p = [label_p(r, rng.permutation(genotoxic), 99, s) for s in range(200)]
    assert 0.01 <= np.mean(np.asarray(p) <= 0.05) <= 0.10
    assert label_p(np.r_[r + 9 * genotoxic, np.nan], np.r_[genotoxic, True], 99, 1) == pytest.approx(0.01)


def test_same_seed_same_bytes() -> None:
    study = simulate(9)[:3]
    runs = [drug_classes(*study, draws=30, seed=s) for s in (1, 1, 2)]
    assert runs[0][0] == runs[1][0]
    assert runs[0][1].to_csv() == runs[1][1].to_csv()
    assert runs[0][0]["low"] != runs[2][0]["low"]
    assert runs[0][0]["effect"] == runs[2][0]["effect"]


def test_bad_input_gives_no_number_but_a_reason() -> None:
    table, info, view, _ = simulate(10)
    some = table.columns[info.genotoxic][:4].union(table.columns[~info.genotoxic])
    constant = table.assign(**dict.fromkeys(table.columns[:9], 1.0))
    cases = {
        "0 genotoxic": (table, info.assign(genotoxic=False)),
        "4 genotoxic and 19 other": (table[some], info.loc[some]),
        "1 genotoxic": (constant, info),
        "0 genotoxic and 0 other": (table.iloc[:99], info),
    }
    for reason, (drugs, about) in cases.items():
        numbers, _ = drug_classes(drugs, about, view, draws=10, seed=1)
        assert reason in numbers["note"]
        assert np.isnan([numbers[k] for k in ("effect", "low", "p", "mde", "raw", "full", "full_p")]).all()
