"""Level and power of the lists on simulated responses: a small version of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossres_ml.audit.adjust import tissue_design
from crossres_ml.scan.calibrate import ROLES, Settings, calibrate_scan, simulate_pair, summarise_scan


@pytest.fixture(scope="module")
def ground() -> tuple[np.ndarray, np.ndarray]:
    """300 lines of five lineages, 150 events: levels, rare events, gaps, some that follow lineage."""
    rng = np.random.default_rng(0)
    lineage = rng.choice(list("abcde"), 300, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    design = tissue_design(pd.Series(lineage))
    X = rng.normal(size=(300, 150)) + 0.7 * rng.normal(size=(300, 1))
    X[:, 100:130] = rng.random((300, 30)) < rng.uniform(0.05, 0.4, 30)
    X[:, 130:] += 2 * design @ rng.normal(size=(5, 20))
    X[rng.random(300) < 0.2, 20:60] = np.nan
    return X, design


@pytest.fixture(scope="module")
def table(ground: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    settings = Settings(studies=40, strengths=(0.0, 0.25), draws=100, events=150, seed=3)
    return summarise_scan(calibrate_scan(*ground, settings))


def test_rate_of_false_ones_is_kept_for_both(table: pd.DataFrame) -> None:
    own = table[(table.list == "both_resistant") & (table.by == "benjamini_hochberg")]
    assert len(own) == 4
    assert (own.fdr <= own.level + 2 * own.fdr_error.clip(lower=0.02)).all()


def test_what_is_planted_is_found(table: pd.DataFrame) -> None:
    own = table[(table.strength > 0) & (table.level == 0.1) & (table.list == "both_resistant")]
    power = own.set_index("by").power
    assert power["permutations"] >= power["benjamini_hochberg"] > 0.2


def test_events_that_follow_lineage_are_called_no_more_often(table: pd.DataFrame) -> None:
    assert (table.confounded < 0.09).all()


def test_a_pair_has_what_was_planted(ground: tuple[np.ndarray, np.ndarray]) -> None:
    X, design = ground
    planted = dict(zip(ROLES, np.array([[100], [101], [102], [103]]), strict=True))  # independent events
    rng = np.random.default_rng(5)
    draws = [simulate_pair(X, design, planted, 0.4, rng) for _ in range(40)]
    r = np.mean([np.corrcoef(np.c_[X[:, 100:104], Y], rowvar=False)[:4, 4:] for Y in draws], axis=0)
    wanted = 0.4 * np.array([it[1:3] for it in ROLES.values()])
    assert np.abs(r - wanted).max() < 0.15
