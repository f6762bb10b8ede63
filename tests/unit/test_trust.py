"""Calibration error and coverage: against counts by other means, on what is right and what is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crossres_ml.evaluation.trust import calibration_error, calibration_table, coverage_table
from crossres_ml.models.conformal import Conformal


def rows(n: int, *, distort: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Held-out lines whose probabilities are right, or drawn too far from a half."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.05, 0.95, n)
    label = (rng.random(n) < truth).astype(float)
    odds = np.log(truth / (1 - truth)) * distort
    known = rng.uniform(0.05, 0.95, 6000)
    conformal = Conformal.fit(known, (rng.random(6000) < known).astype(float))
    probability = 1 / (1 + np.exp(-odds))
    return pd.DataFrame(
        {
            "model_id": [f"L{i}" for i in range(n)], "group": [f"G{i // 2}" for i in range(n)],
            "lineage": np.where(np.arange(n) % 3 == 0, "Lung", "Bone"), "task": "radiation", "repeat": 0,
            "fold": "0", "score": odds, "probability": probability, "label": label,
            **conformal.p_values(probability),
        }
    )  # fmt: skip


def test_error_is_that_of_bins_of_equal_size() -> None:
    table = rows(1000, distort=2.5)
    bins = pd.qcut(table.probability, 10)
    by_hand = table.groupby(bins, observed=True).apply(
        lambda b: abs(b.probability.mean() - b.label.mean()) * len(b) / len(table)
    )
    found = calibration_error(table.probability.to_numpy(), table.label.to_numpy())
    assert found == pytest.approx(by_hand.sum(), abs=1e-3)


def test_a_line_counted_twice_is_two_lines() -> None:
    table = rows(60)
    p, y = table.probability.to_numpy(), table.label.to_numpy()
    weights = np.where(np.arange(60) < 30, 2.0, 1.0)
    twice = np.r_[np.arange(30), np.arange(60)]
    assert calibration_error(p, y, weights) == pytest.approx(calibration_error(p[twice], y[twice]), abs=0.03)


def test_right_probabilities_are_told_from_wrong_ones() -> None:
    right, wrong = (calibration_table(rows(900, distort=d), 100, 1).loc["radiation"] for d in (1.0, 4.0))
    assert right.after == pytest.approx(right.perfect, abs=0.02)
    assert wrong.low > 2 * wrong.perfect
    assert right.low < right.after < right.high
    assert right.lines == 900


@pytest.mark.parametrize(("n", "seed"), [(60, 1), (120, 6), (300, 5)])
def test_the_interval_of_a_small_error_holds_it(n: int, seed: int) -> None:
    told = calibration_table(rows(n, seed=seed), 100, 1).loc["radiation"]
    assert 0 <= told.low < told.after < told.high


def test_a_score_is_no_probability() -> None:
    table = rows(900)
    table["label"] = (np.random.default_rng(1).random(900) < 0.15).astype(float)
    table["probability"] = 0.15
    told = calibration_table(table, 20, 1).loc["radiation"]
    assert told.before > 0.3
    assert told.after < 0.05


def test_sets_of_exchangeable_lines_are_covered() -> None:
    told = coverage_table(rows(2000, seed=4)).set_index(["of", "confidence"])
    for confidence in (0.8, 0.9):
        for part in ("all lines", "resistant", "sensitive", "Lung", "Bone"):
            assert told.covered[part, confidence] == pytest.approx(confidence, abs=0.05)
        assert told.loc[("all lines", confidence), ["one", "both", "none"]].sum() == pytest.approx(1)
    n, share = told.lines["Lung", 0.9], told.covered["Lung", 0.9]
    ci = binomtest(round(share * n), n).proportion_ci()
    assert (told.low["Lung", 0.9], told.high["Lung", 0.9]) == (ci.low, ci.high)


def test_sets_that_fail_are_seen() -> None:
    table = rows(1000, seed=5)
    table["label"] = 1 - table.label
    told = coverage_table(table).set_index(["of", "confidence"])
    assert told.high["all lines", 0.9] < 0.9


def test_few_lines_of_a_lineage_are_not_shown() -> None:
    table = rows(100)
    table.loc[:9, "lineage"] = "Eye"
    assert "Eye" not in set(coverage_table(table).of)
