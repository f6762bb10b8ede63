"""Signals of a list, against brute force with pandas and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from crossres_ml.audit.adjust import tissue_design
from crossres_ml.scan.signals import (
    SAME_SIGNAL,
    adjusted_correlations,
    clump,
    find_signals,
    signal_table,
)

Designs = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, Designs]:
    """120 lines of three lineages, 30 events in families that lineage moves too, with gaps; two designs."""
    rng = np.random.default_rng(4)
    lineage = pd.Series(rng.choice(list("abc"), 120))
    design = tissue_design(lineage)
    burdened = np.column_stack([design, rng.normal(size=120)])
    X = rng.normal(size=(120, 30)) + np.repeat(rng.normal(size=(120, 6)), 5, axis=1)
    X += 2 * design @ rng.normal(size=(3, 30))
    X[:, 28:] = rng.random((120, 2)) < 0.3
    X[rng.random(120) < 0.3, 3:12] = np.nan
    X[rng.random(120) < 0.2, 7:20] = np.nan
    return X, [(design, np.arange(20)), (burdened, np.arange(20, 30))]


@pytest.fixture(scope="module")
def slow(made: tuple[np.ndarray, Designs]) -> np.ndarray:
    """Correlations of residuals, column by column."""
    X, designs = made
    rest = pd.DataFrame(np.nan, range(120), range(30))
    for design, columns in designs:
        for c in columns:
            known = np.isfinite(X[:, c])
            rest.loc[known, c] = sm.OLS(X[known, c], design[known]).fit().resid
    return rest.corr(min_periods=30).fillna(0).to_numpy()


def test_correlations_are_those_of_residuals(made: tuple[np.ndarray, Designs], slow: np.ndarray) -> None:
    np.testing.assert_allclose(adjusted_correlations(*made), slow, atol=1e-10)


def test_few_shared_lines_are_no_correlation(made: tuple[np.ndarray, Designs]) -> None:
    X, designs = made
    X = X.copy()
    X[:60, 0], X[60:, 1] = np.nan, X[60:, 0]
    X[:, 1] = np.where(np.arange(120) < 70, X[:, 1], np.nan)
    r = adjusted_correlations(X, designs)
    assert r[0, 1] == 0
    assert np.isfinite(r).all()


def brute(r: np.ndarray, order: list[int]) -> list[int]:
    """Say the same in the plainest way."""
    left, lead = list(order), [-1] * len(r)
    while left:
        first = left[0]
        own = [e for e in left if e == first or abs(r[first, e]) >= SAME_SIGNAL]
        for e in own:
            lead[e] = first
        left = [e for e in left if e not in own]
    return lead


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_clumps_are_those_of_brute_force(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    r = np.corrcoef(rng.normal(size=(n, 3)) @ rng.normal(size=(3, 60)) + rng.normal(size=(n, 60)))
    r, order = np.atleast_2d(r), rng.permutation(n)
    lead = clump(r, order)
    assert lead.tolist() == brute(r, list(order))
    leads = np.unique(lead)
    apart = np.abs(r[np.ix_(leads, leads)]) - np.eye(len(leads))
    assert (apart < SAME_SIGNAL).all()
    shorter = order[: n // 2]  # a stricter list keeps the signals of its events
    cut = clump(r[np.ix_(shorter, shorter)], np.arange(len(shorter)))
    assert (shorter[cut] == lead[shorter]).all()


def event_rows(slow: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    p = np.round(rng.random(30) / 50, 3)  # many ties
    index = pd.Index([f"rna:G{i:02d}" for i in rng.permutation(30)], name="event")
    table = pd.DataFrame({"list_p": p, "list_rate": p * 8, "arm": "", "radiation": 0.2}, index)
    table["best_list"] = np.where(np.arange(30) % 2, "both_resistant", "radiation_only")
    table["list"] = np.where(table.list_rate < 0.05, table.best_list, "")
    return table.assign(label=table.index + "!", chemotherapy=0.1)


def test_signals_are_the_same_whatever_the_order(made: tuple[np.ndarray, Designs], slow: np.ndarray) -> None:
    X, designs = made
    table = event_rows(slow)
    found = find_signals(table, X, designs, 0.1)
    expected = pd.Series("", table.index, dtype=object)
    for name in ("both_resistant", "radiation_only"):
        own = table[(table.best_list == name) & (table.list_rate < 0.1)].sort_index()
        order = [int(i) for i in table.index.get_indexer(own.sort_values("list_p", kind="stable").index)]
        lead = brute(slow, order)
        expected.iloc[order] = [str(table.index[lead[i]]) for i in order]
    pd.testing.assert_series_equal(found, expected, check_names=False)
    assert 1 < found[found != ""].nunique() < (found != "").sum()
    mixed = np.random.default_rng(2).permutation(30)
    moved = [(d, np.flatnonzero(np.isin(mixed, c))) for d, c in designs]
    again = find_signals(table.iloc[mixed], X[:, mixed], moved, 0.1)
    pd.testing.assert_series_equal(again.sort_index(), found.sort_index())


def test_the_table_counts_every_called_event_once(made: tuple[np.ndarray, Designs], slow: np.ndarray) -> None:
    table = event_rows(slow)
    table["signal"] = find_signals(table, *made, 0.1)
    out = signal_table(table)
    assert out.events.sum() == (table["list"] != "").sum() > 0
    assert not out.duplicated(["list", "signal"]).any()
    best = table[table["list"] != ""].groupby(["list", "signal"]).list_p.min()
    assert (
        out.set_index(["list", "signal"]).list_p == best.loc[list(out.set_index(["list", "signal"]).index)]
    ).all()
    assert (signal_table(table.assign(list="")).columns == out.columns).all()
    assert signal_table(table.assign(list="")).empty
