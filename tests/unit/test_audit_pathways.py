"""Single events against pathways: against scikit-learn and statsmodels; planted truth, level, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from crossres_ml.audit.adjust import tissue_design
from crossres_ml.audit.data import OutcomeView, view_of
from crossres_ml.audit.evidence import row
from crossres_ml.audit.pathways import (
    ALPHAS,
    adjust,
    assign_folds,
    predict_held_out,
    ridge_predictions,
    single_against_pathways,
)

Study = tuple[pd.DataFrame, pd.DataFrame, OutcomeView, pd.Series]


def simulate(seed: int, *, n: int = 160, event: float = 0.0, path: float = 0.0) -> Study:
    """Twelve events and eight scores of two processes, some missing; lineage moves scores and outcome.

    The last nine lines lack all events. ``event`` is the effect of e3 alone, ``path`` of the processes.
    """
    rng = np.random.default_rng(seed)
    lines = pd.Index([f"L{i:03d}" for i in range(n)])
    lineage = pd.Series(rng.choice(list("ABCDE"), n, p=[0.4, 0.3, 0.15, 0.1, 0.05]), lines)
    level = lineage.map(dict(zip("ABCDE", rng.normal(size=5), strict=True))).to_numpy()
    events = (rng.random((n, 12)) < rng.uniform(0.05, 0.4, 12)).astype(float)
    process = rng.normal(size=(n, 2))
    scores = process @ rng.normal(size=(2, 8)) + rng.normal(size=(n, 8)) + level[:, None]
    y = event * events[:, 3] / events[:, 3].std() + path * process.sum(axis=1) / np.sqrt(2)
    singles = pd.DataFrame(events, lines, [f"e{i}" for i in range(12)]).mask(rng.random((n, 12)) < 0.05)
    singles.iloc[-9:] = np.nan
    pathways = pd.DataFrame(scores, lines, [f"p{i}" for i in range(8)]).mask(rng.random((n, 8)) < 0.05)
    growth = pd.DataFrame({"growth": rng.normal(size=n)}, lines)
    view = view_of("radiation", pd.Series(y + level + rng.normal(size=n), lines), lineage, growth)
    return singles, pathways, view, pd.Series(lines, lines)


def test_adjustment_is_learnt_on_training_lines_alone() -> None:
    singles, _, view, _ = simulate(1)
    X, train = singles.to_numpy(), np.random.default_rng(0).random(len(singles)) < 0.75
    fitted = adjust(X, view.tissue, train)
    for j in (0, 3, 7):
        lines = train & np.isfinite(X[:, j])
        fit = sm.OLS(X[lines, j], view.tissue[lines]).fit()
        expected = (X[:, j] - view.tissue @ fit.params) / np.sqrt(np.mean(fit.resid**2))
        assert fitted.values[:, j] == pytest.approx(np.nan_to_num(expected))
    # whatever the held-out lines hold, nothing of the training lines moves
    other = np.where(train[:, None], X, 50.0)
    assert np.array_equal(adjust(other, view.tissue, train).values[train], fitted.values[train])


def test_a_lineage_that_no_training_line_has_gets_the_training_mean() -> None:
    lineage = pd.Series(["A"] * 10 + ["B"] * 10 + ["C"] * 10)
    X = np.random.default_rng(1).normal(size=(30, 1))
    train = np.arange(30) < 20
    fitted = adjust(X, tissue_design(lineage), train)
    rest = X[:20, 0] - np.repeat([X[:10].mean(), X[10:20].mean()], 10)
    assert fitted.values[20:, 0] == pytest.approx((X[20:, 0] - X[:20].mean()) / rest.std())


def test_an_event_of_two_lines_or_of_one_lineage_is_not_used() -> None:
    lineage = pd.Series(["A"] * 20 + ["B"] * 20)
    X = np.zeros((40, 4))
    X[[1, 30], 0] = 1
    X[20:, 1] = 1
    X[[1, 2, 30], 2] = 1
    X[:, 3] = np.nan
    fitted = adjust(X, tissue_design(lineage), np.ones(40, dtype=bool))
    assert fitted.usable.tolist() == [False, False, True, False]
    assert not fitted.values[:, [0, 1, 3]].any()


@pytest.mark.parametrize(("lines", "features"), [(80, 15), (40, 120)])
def test_ridge_is_that_of_scikit_learn(lines: int, features: int) -> None:
    rng = np.random.default_rng(2)
    X, test = rng.normal(size=(lines, features)), rng.normal(size=(13, features))
    Y = X[:, :3] @ rng.normal(size=(3, 6)) * [0, 0.1, 0.3, 0.5, 1, 3] + rng.normal(size=(lines, 6))
    got = ridge_predictions(X, test, Y)
    for k in range(6):
        theirs = RidgeCV(ALPHAS, fit_intercept=False).fit(X, Y[:, k])
        assert got[:, k] == pytest.approx(theirs.predict(test), abs=1e-8)


def test_held_out_predictions_are_those_of_a_loop_and_outcomes_do_not_touch_each_other() -> None:
    singles, pathways, view, groups = simulate(3, event=0.5)
    s, p, fold = (
        singles.to_numpy(),
        pathways.to_numpy(),
        assign_folds(groups.to_numpy(), 5, np.random.default_rng(4)),
    )
    Y = np.column_stack([view.y, np.random.default_rng(5).normal(size=len(view.y))])
    held, residual, chosen = predict_held_out(s, p, Y, view.tissue, fold)
    alone, _, _ = predict_held_out(s, p, Y[:, 1:], view.tissue, fold)
    train, test = fold != 2, fold == 2
    outcome = adjust(Y[:, :1], view.tissue, train).values[:, 0]
    x = adjust(s, view.tissue, train).values
    r = [abs(np.corrcoef(x[train, j], outcome[train])[0, 1]) for j in range(12)]
    best = int(np.argmax(r))
    slope = sm.OLS(outcome[train], x[train, best]).fit().params[0]
    assert chosen[2]["single"] == best == 3
    assert held["best_single"][test, 0] == pytest.approx(slope * x[test, best])
    assert residual[test, 0] == pytest.approx(outcome[test])
    for method, values in held.items():
        assert values[:, 1] == pytest.approx(alone[method][:, 0])


def test_skill_is_the_mean_spearman_of_the_repeats_on_lines_with_both() -> None:
    singles, pathways, view, groups = simulate(6, path=0.4)
    numbers, table = single_against_pathways(singles, pathways, view, groups, repeats=1, draws=20, seed=8)
    part = singles.notna().mean(axis=1).ge(0.5).to_numpy()
    assert numbers["n"] == part.sum() == 151
    rng = np.random.default_rng([8, 0xF01D])
    for _ in range(200):
        rng.permutation(151)
    fold = assign_folds(groups[part].to_numpy(dtype=object).astype(str), 5, rng)
    X = (singles[part].to_numpy(), pathways[part].to_numpy())
    held, residual, _ = predict_held_out(*X, view.y[part][:, None], view.tissue[part], fold)
    tissue = table[table.adjusted == "tissue"]
    for method, values in held.items():
        assert tissue.skill[method] == pytest.approx(spearmanr(values[:, 0], residual[:, 0]).statistic)
    assert numbers["effect"] == pytest.approx(tissue.skill["all_pathways"] - tissue.skill["best_single"])
    assert row(claim="C19", unit="Spearman", **numbers)["n"] == 151


def test_planted_event_and_planted_processes_are_told_apart() -> None:
    event, table = single_against_pathways(*simulate(4, n=300, event=0.9), repeats=3, draws=199, seed=1)
    assert event["high"] < 0
    assert table[table.adjusted == "tissue"].chosen["best_single"] == "e3"
    path, table = single_against_pathways(*simulate(3, path=0.7), repeats=3, draws=199, seed=1)
    assert path["low"] > 0.1
    assert path["p"] == pytest.approx(0.005)
    own = table[table.adjusted == "full"]
    assert own.low["all_pathways"] > 0.2
    assert own.skill["all_pathways"] > own.skill["best_pathway"]


def test_level_when_nothing_can_be_foretold() -> None:
    found = [
        single_against_pathways(*simulate(s, n=110), folds=4, repeats=1, draws=99, seed=s) for s in range(80)
    ]
    for key in ("p", "full_p"):
        assert np.mean([f[0][key] <= 0.05 for f in found]) <= 0.12
    # lineage alone is foretold by the scores where it is not adjusted for
    assert np.mean([f[0]["raw_p"] <= 0.05 for f in found]) > 0.2


def test_groups_stay_together_and_folds_are_even() -> None:
    groups = np.repeat([f"G{i}" for i in range(40)], np.random.default_rng(1).integers(1, 5, 40))
    fold = assign_folds(groups, 5, np.random.default_rng(2))
    assert pd.Series(fold).groupby(groups).nunique().max() == 1
    assert np.ptp(np.bincount(fold, minlength=5)) <= 2


def test_same_seed_same_bytes() -> None:
    study = simulate(9)
    runs = [single_against_pathways(*study, repeats=1, draws=30, seed=s) for s in (1, 1, 2)]
    assert runs[0][0] == runs[1][0]
    assert runs[0][1].to_csv() == runs[1][1].to_csv()
    assert runs[0][0]["effect"] != runs[2][0]["effect"]


def test_bad_input_gives_no_number_but_a_reason() -> None:
    singles, pathways, view, groups = simulate(10)
    rare = singles * 0.0
    rare.iloc[[3, 50]] = 1.0
    cases = {
        "59 lines": (singles.iloc[:59], pathways),
        "0 lines": (singles, pathways.iloc[:, :0]),
        "no single event varies": (rare, pathways),
        "no pathway varies": (singles, pathways * 0 + 2),
    }
    for reason, (one, other) in cases.items():
        numbers, _ = single_against_pathways(one, other, view, groups, draws=10, seed=1)
        assert reason in numbers["note"]
        assert np.isnan([numbers[k] for k in ("effect", "low", "p", "mde", "raw", "full", "full_p")]).all()
