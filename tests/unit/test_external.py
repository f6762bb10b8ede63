"""Measures of an independent study, against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from crossres_ml.evaluation.calibration import BINS, calibration_error, error_by_chance
from crossres_ml.evaluation.external import (
    BEYOND_LINEAGE,
    BEYOND_PREVALENCE,
    BY_CHANCE,
    ERROR,
    LINEAGE,
    MODEL,
    PREVALENCE,
    coverage,
    measure,
)
from crossres_ml.evaluation.metrics import group_weights
from crossres_ml.models.conformal import Conformal


def study(n: int = 90, *, seed: int = 1) -> pd.DataFrame:
    """Samples with ties in every column, uneven lineages and groups of one to three."""
    rng = np.random.default_rng(seed)
    resistance = np.round(rng.normal(size=n), 1)
    score = np.round(0.6 * resistance + rng.normal(size=n), 1)
    probability = np.round(1 / (1 + np.exp(-2 * score)), 2)
    lineage = rng.choice(["Lung", "Skin", "Bone"], n, p=[0.6, 0.3, 0.1])
    naive = pd.Series(lineage).map({"Lung": 0.2, "Skin": -0.1, "Bone": 0.0}).to_numpy()
    known = Conformal.fit(rng.random(60), rng.integers(0, 2, 60))
    table = {
        "label": (resistance >= np.quantile(resistance, 2 / 3)).astype(float),
        "resistance": resistance,
        "probability": probability,
        "score": score,
        "group": [f"P{i}" for i in rng.integers(0, n // 2, n)],
        "lineage": lineage,
        "baseline": naive,
        "baseline_probability": 0.3 + naive,
    }
    return pd.DataFrame(table | known.p_values(probability), index=[f"S{i}" for i in range(n)])


def measured(table: pd.DataFrame, *, continuous: bool = True, draws: int = 200) -> pd.DataFrame:
    found = measure(table, 0.3, continuous=continuous, draws=draws, seed=4)
    return found.set_index(["of", "metric"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_values_are_those_of_other_software(seed: int) -> None:
    table = study(seed=seed)
    found = measured(table).value
    for of, score, probability in (
        (MODEL, table.score, table.probability),
        (LINEAGE, table.baseline, table.baseline_probability),
    ):
        assert found[of, "auroc"] == pytest.approx(roc_auc_score(table.label, score))
        assert found[of, "average_precision"] == pytest.approx(average_precision_score(table.label, score))
        assert found[of, "spearman"] == pytest.approx(spearmanr(score, table.resistance).statistic)
        assert found[of, "brier"] == pytest.approx(brier_score_loss(table.label, probability))
    constant = np.full(len(table), 0.3)
    assert found[PREVALENCE, "brier"] == pytest.approx(brier_score_loss(table.label, constant))
    assert found[PREVALENCE, "average_precision"] == pytest.approx(table.label.mean())
    assert found[PREVALENCE, "auroc"] == 0.5


@pytest.mark.parametrize("metric", ["auroc", "average_precision", "spearman", "brier", ERROR])
def test_differences_are_differences_on_the_same_draws(metric: str) -> None:
    table = study()
    found = measured(table)
    value = found.value
    assert value[BEYOND_LINEAGE, metric] == pytest.approx(value[MODEL, metric] - value[LINEAGE, metric])
    same = table.assign(baseline=table.score, baseline_probability=table.probability)
    row = measured(same).loc[(BEYOND_LINEAGE, metric)]
    assert (row.value, row.low, row.high) == (0, 0, 0)  # paired: no draw tells a model from itself
    brier = value[MODEL, "brier"] - value[PREVALENCE, "brier"]
    assert value[BEYOND_PREVALENCE, "brier"] == pytest.approx(brier)


def test_intervals_draw_whole_groups() -> None:
    """Every sample three times over is no more than the samples, if the group says so."""
    table = study(60).assign(group=[f"P{i}" for i in range(60)])
    thrice = pd.concat([table] * 3)
    for metric in ("auroc", "spearman", "brier"):
        one, three = (measured(t).loc[(MODEL, metric)] for t in (table, thrice))
        assert three.low == pytest.approx(one.low, abs=1e-9)
        assert three.high == pytest.approx(one.high, abs=1e-9)
        blind = measured(thrice.assign(group=[f"Q{i}" for i in range(180)])).loc[(MODEL, metric)]
        assert blind.high - blind.low < 0.8 * (one.high - one.low)


def test_classes_have_no_rank_correlation() -> None:
    found = measured(study(), continuous=False)
    assert not [m for _, m in found.index if "spearman" in m]
    assert {of for of, _ in found.index} == {MODEL, LINEAGE, PREVALENCE, BEYOND_LINEAGE, BEYOND_PREVALENCE}


def test_without_lineages_there_is_no_lineage_baseline() -> None:
    table = study().assign(lineage="", baseline=np.nan, baseline_probability=np.nan)
    found = measured(table)
    assert {of for of, _ in found.index} == {MODEL, PREVALENCE, BEYOND_PREVALENCE}
    assert (MODEL, "within_lineage_spearman") not in found.index


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_calibration_error_is_that_of_scikit_learns_bins(seed: int) -> None:
    table = study(200, seed=seed)
    p, y = table.probability.to_numpy(), table.label.to_numpy()
    # scikit-learn closes its bins on the right, so that probabilities on an edge are moved off it
    p = np.where(np.isclose(p * BINS % 1, 0) & (p > 0), p - 0.005, p)
    observed, predicted = calibration_curve(y, p, n_bins=BINS, strategy="uniform")
    counts = np.histogram(p, np.linspace(0, 1, BINS + 1))[0]
    expected = np.average(np.abs(observed - predicted), weights=counts[counts > 0])
    ones = np.ones((1, len(p)))
    assert calibration_error(p, y, ones)[0] == pytest.approx(expected)
    doubled = group_weights(np.arange(len(p)), 3, 0)
    for w, found in zip(doubled, calibration_error(p, y, doubled), strict=True):
        rows = np.repeat(np.arange(len(p)), w.astype(int))
        assert found == pytest.approx(calibration_error(p[rows], y[rows], np.ones((1, len(rows))))[0])


@pytest.mark.parametrize(("n", "seed"), [(60, 7), (150, 5), (300, 1)])
def test_the_interval_of_a_small_calibration_error_holds_it(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = study(n, seed=seed)
    table["label"] = (rng.random(n) < table.probability).astype(float)  # as calibrated as can be
    table["group"] = table.index
    row = measured(table).loc[(MODEL, ERROR)]
    assert 0 <= row.low < row.value < row.high


def test_calibration_error_at_the_ends() -> None:
    ends = np.array([0.0, 0.0, 1.0, 1.0])
    ones = np.ones((1, 4))
    assert calibration_error(ends, ends, ones)[0] == 0
    assert calibration_error(ends, 1 - ends, ones)[0] == 1
    assert np.isnan(calibration_error(ends, ends, np.zeros((1, 4)))[0])


def test_error_by_chance_falls_with_the_samples_and_is_met_by_true_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(4000)
    few, many = (error_by_chance(p[:n], 200, 1) for n in (50, 4000))
    assert few > 4 * many
    y = (rng.random(4000) < p).astype(float)
    assert calibration_error(p, y, np.ones((1, 4000)))[0] < 2 * many
    row = measured(study()).loc[(MODEL, BY_CHANCE)]
    assert row.value == error_by_chance(study().probability.to_numpy(), 200, 4)


def test_coverage_has_the_exact_interval_of_scipy() -> None:
    table = study()
    found = {r["metric"]: r for r in coverage(table)}
    label = table.label == 1
    held = (table.p_resistant > 0.2).where(label, table.p_sensitive > 0.2)
    both = (table.p_resistant > 0.2) & (table.p_sensitive > 0.2)
    neither = (table.p_resistant <= 0.2) & (table.p_sensitive <= 0.2)
    for name, hits in {
        "coverage_80": held,
        "coverage_80_resistant": held[label],
        "coverage_80_sensitive": held[~label],
        "abstains_80": both,
        "empty_80": neither,
    }.items():
        row = found[name]
        exact = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="exact")
        assert (row["value"], row["n"]) == (pytest.approx(hits.mean()), len(hits))
        assert (row["low"], row["high"]) == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert found["coverage_90"]["value"] >= found["coverage_80"]["value"]
