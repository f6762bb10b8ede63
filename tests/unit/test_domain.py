"""How far samples lie from training lines: against scikit-learn, with gaps, and on what is far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.decomposition import PCA

from crossres_ml.models import domain
from crossres_ml.models.domain import Domain

RNG = np.random.default_rng(7)
LOADINGS = RNG.normal(size=(4, 60))


def lines(n: int, seed: int) -> np.ndarray:
    """Draw lines that follow four factors, as expression does."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)) @ LOADINGS + rng.normal(scale=0.5, size=(n, 60))


TRAIN = lines(200, 1)
EQUAL = np.full(60, 1 / 60)
DOMAIN = Domain.fit(TRAIN, EQUAL, np.arange(200))


def test_distance_is_the_likelihood_of_probabilistic_pca() -> None:
    standard = (TRAIN - TRAIN.mean(0)) / TRAIN.std(0) * np.sqrt(EQUAL)
    pca = PCA(20, svd_solver="full").fit(standard)
    new = lines(30, 2)
    likelihood = pca.score_samples((new - TRAIN.mean(0)) / TRAIN.std(0) * np.sqrt(EQUAL))
    constant = DOMAIN.expected.sum() * DOMAIN.distance(new) / 2 + likelihood
    np.testing.assert_allclose(constant, constant[0], rtol=1e-9)


def test_lines_like_the_training_lines_fill_all_percentiles() -> None:
    places = DOMAIN.percentile(lines(400, 3))
    assert kstest(places / 100, "uniform").statistic < 0.12
    assert (places > 99).mean() < 0.05


def test_gaps_are_left_out_as_of_a_normal_distribution() -> None:
    standard = (TRAIN - TRAIN.mean(0)) / TRAIN.std(0) * np.sqrt(EQUAL)
    covariance = PCA(20, svd_solver="full").fit(standard).get_covariance()
    new = lines(5, 12)
    new[np.random.default_rng(13).random(new.shape) < 0.5] = np.nan
    z = (new - TRAIN.mean(0)) / TRAIN.std(0) * np.sqrt(EQUAL)
    for row, far in zip(z, DOMAIN.distance(new), strict=True):
        known = ~np.isnan(row)
        square = row[known] @ np.linalg.inv(covariance[np.ix_(known, known)]) @ row[known]
        assert far == pytest.approx(square / DOMAIN.expected[known].sum(), rel=1e-9)


def test_a_weighty_feature_that_is_not_given_changes_little() -> None:
    """Features do not add alike: what is rare and what weighs much must not be counted by heads."""
    train, new = lines(200, 14), lines(400, 15)
    rng = np.random.default_rng(16)
    train[:, :10], new[:, :10] = rng.random((200, 10)) < 0.05, rng.random((400, 10)) < 0.05
    share = np.r_[np.full(10, 0.001), rng.dirichlet(np.full(50, 0.3)) * 0.99]
    domain = Domain.fit(train, share, np.arange(200))
    for gone in (slice(0, 10), slice(10, 30)):
        part = new.copy()
        part[:, gone] = np.nan
        assert (domain.percentile(part) > 99).mean() < 0.08


def test_gaps_neither_bring_near_nor_send_away() -> None:
    new = lines(400, 4)
    new[np.random.default_rng(5).random(new.shape) < 0.4] = np.nan
    assert 30 < np.median(DOMAIN.percentile(new)) < 75


@pytest.mark.parametrize(
    "far",
    [
        pytest.param(lambda x: 3 * x, id="scaled"),
        pytest.param(lambda x: x + 4, id="shifted"),
        pytest.param(lambda x: x[:, ::-1], id="columns in another order"),
        pytest.param(lambda x: np.zeros_like(x) + 9, id="constant"),
    ],
)
def test_what_is_no_such_line_is_far(far: object) -> None:
    assert (DOMAIN.percentile(far(lines(50, 6))) > 99).mean() > 0.95  # type: ignore[operator]


def test_what_the_model_does_not_read_says_nothing() -> None:
    share = np.r_[np.full(30, 1 / 30), np.zeros(30)]
    domain = Domain.fit(TRAIN, share, np.arange(200))
    new = lines(20, 8)
    other = new.copy()
    other[:, 30:] = 1e6
    np.testing.assert_array_equal(domain.distance(new), domain.distance(other))


def test_relatives_do_not_judge_each_other() -> None:
    twins = np.repeat(lines(60, 9), 2, axis=0)
    together = Domain.fit(twins, EQUAL, np.repeat(np.arange(60), 2))
    alone = Domain.fit(twins, EQUAL, np.arange(120))
    assert together.expected.sum() > 1.1 * alone.expected.sum()


def test_nothing_measured_has_no_distance() -> None:
    assert np.isnan(DOMAIN.percentile(np.full((2, 60), np.nan))).all()


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(30)))
def test_company_and_order_do_not_matter(order: list[int]) -> None:
    new = lines(30, 10)
    np.testing.assert_allclose(DOMAIN.distance(new[order]), DOMAIN.distance(new)[order], rtol=1e-10)


def test_forgotten_gaps_are_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "_PATTERNS", 2)
    rng = np.random.default_rng(3)
    new = np.where(rng.random((12, 60)) < 0.2, np.nan, lines(12, 10))
    few = replace(DOMAIN)
    np.testing.assert_array_equal(few.distance(new), DOMAIN.distance(new))
    np.testing.assert_array_equal(few.distance(new[::-1])[::-1], few.distance(new))
    assert few._inner.cache_info().currsize == 2  # type: ignore[attr-defined]
