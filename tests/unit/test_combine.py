"""Stacks and the two ways to "both", from members that say what they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from scipy.stats import rankdata, spearmanr

from crossres_ml.errors import LeakageError
from crossres_ml.models.combine import Combination, Rule
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.resistance import FittedModel

N = 90
LINES = pd.Index([f"L{i:03d}" for i in range(N)])
FOLDS = [np.arange(N)[np.arange(N) % 3 == i] for i in range(3)]
RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=N)
SCORED = np.arange(N) % 5 != 4


class Told(FittedModel):
    """Scores lines by a feature; its cross-fitted scores are given, and its shares are the feature's."""

    def __init__(self, name: str, inner: np.ndarray, view: TrainingView, *, at: str = "a", unit: float = 1.0):
        self.at, self.unit = at, unit
        self.conclude(name, inner, view)

    def score(self, X: pd.DataFrame) -> np.ndarray:
        return X[self.at].to_numpy() * self.unit

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        return (X[[self.at]] - 1.0) * self.unit

    def parameters(self) -> dict[str, Any]:
        return {}


def make_view(y: np.ndarray = TRUTH, scored: np.ndarray = SCORED, lines: pd.Index = LINES) -> TrainingView:
    label = (y > np.quantile(y, 0.6)).astype(float)
    nothing = pd.DataFrame(index=lines)
    return TrainingView(nothing, y, label, np.arange(len(y)).astype(str), scored, y)


VIEW = make_view()
GOOD = TRUTH + RNG.normal(size=N)
FAIR = (5 - 10 * TRUTH + 15 * RNG.normal(size=N)).round(0) * -1  # another unit, ties
BAD = -TRUTH
CONSTANT = np.full(N, 3.0)
FRESH = pd.DataFrame(RNG.normal(size=(12, 3)), [f"N{i:02d}" for i in range(12)], ["a", "b", "c"])


def members(*inner: np.ndarray, view: TrainingView = VIEW) -> list[FittedModel]:
    return [Told(f"m{i}", s, view, at="abc"[i]) for i, s in enumerate(inner)]


def by_nnls(inner: Sequence[np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised scores of all lines, and the weights that the scored lines among ``rows`` give."""
    table = np.column_stack(inner)
    z = (table - table[SCORED].mean(axis=0)) / np.maximum(table[SCORED].std(axis=0), 1e-12)
    y = (TRUTH - TRUTH[SCORED].mean()) / TRUTH[SCORED].std()
    use = np.intersect1d(rows, np.flatnonzero(SCORED))
    return z, nnls(z[use], y[use])[0]


def test_weights_are_those_of_non_negative_least_squares() -> None:
    stack = Combination("sum", members(GOOD, FAIR, BAD)).fit_stack(VIEW, FOLDS, "stack")
    _, weights = by_nnls((GOOD, FAIR, BAD), np.arange(N))
    np.testing.assert_allclose(stack.weights, weights)
    assert weights[0] > 0.1
    assert weights[2] == 0  # what ranks upside down gets nothing, not a negative weight
    table = np.column_stack([GOOD, FAIR, BAD])[SCORED]
    expected = (FRESH.to_numpy() - table.mean(axis=0)) / table.std(axis=0) @ weights
    np.testing.assert_allclose(stack.score(FRESH), expected)
    assert stack.parameters() == {f"weight_m{i}": float(f"{w:.4g}") for i, w in enumerate(weights)}
    assert stack.name == "stack"


def test_stacked_scores_of_a_fold_use_the_weights_of_the_others() -> None:
    stack = Combination("sum", members(GOOD, FAIR, BAD)).fit_stack(VIEW, FOLDS, "stack")
    for rows in FOLDS:
        z, weights = by_nnls((GOOD, FAIR, BAD), np.setdiff1d(np.arange(N), rows))
        np.testing.assert_allclose(stack.cross_scores[rows], z[rows] @ weights)
    z, weights = by_nnls((GOOD, FAIR, BAD), np.arange(N))
    assert np.abs(stack.cross_scores - z @ weights).max() > 1e-3
    expected = spearmanr(stack.cross_scores[SCORED], TRUTH[SCORED]).statistic
    assert stack.inner_spearman == pytest.approx(expected)


def test_a_member_that_knows_one_fold_only_gets_no_weight_there() -> None:
    """Planted: a member equal to the truth on fold 0 and noise elsewhere does not help fold 0."""
    cheat = np.where(np.isin(np.arange(N), FOLDS[0]), 10 * TRUTH, -TRUTH)
    stack = Combination("sum", members(GOOD, cheat)).fit_stack(VIEW, FOLDS, "stack")
    z, weights = by_nnls((GOOD, cheat), np.setdiff1d(np.arange(N), FOLDS[0]))
    assert weights[1] == 0
    assert stack.weights[1] > 0
    np.testing.assert_allclose(stack.cross_scores[FOLDS[0]], z[FOLDS[0], 0] * weights[0])


def test_what_is_not_scored_has_no_say() -> None:
    wild = make_view(np.where(SCORED, TRUTH, 1e3 * RNG.normal(size=N)))
    one, two = (
        Combination("sum", members(GOOD, FAIR, view=v)).fit_stack(v, FOLDS, "s") for v in (VIEW, wild)
    )
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.calibration == two.calibration


def test_where_nothing_helps_all_count_alike() -> None:
    stack = Combination("sum", members(BAD, 2 * BAD)).fit_stack(VIEW, FOLDS, "stack")
    np.testing.assert_array_equal(stack.weights, [0.5, 0.5])


def test_a_constant_member_is_no_trouble() -> None:
    stack = Combination("sum", members(GOOD, CONSTANT)).fit_stack(VIEW, FOLDS, "stack")
    assert np.isfinite(stack.cross_scores).all()
    assert stack.weights[1] == 0
    # a new line's score is far from the constant: at weight 0 it must not matter
    alone = Combination("sum", members(GOOD)).fit_stack(VIEW, FOLDS, "stack")
    np.testing.assert_allclose(stack.score(FRESH), alone.score(FRESH))


# --- both -----------------------------------------------------------------------------------------

MORE = pd.Index([f"L{i:03d}" for i in range(N + 20)])
LATER = make_view(np.r_[TRUTH, RNG.normal(size=20)], np.ones(N + 20, dtype=bool), MORE)
BOTH = make_view(TRUTH, np.ones(N, dtype=bool))
SECOND = (np.r_[FAIR, 1e3 * np.ones(20)] / 10).round(1)


def two() -> list[FittedModel]:
    """The second knows 20 lines more, in another order."""
    order = np.random.default_rng(1).permutation(N + 20)
    return [Told("gp", GOOD, BOTH, at="a"), Told("gp", SECOND[order], LATER.take(order), at="b")]


def test_mean_rank_by_hand() -> None:
    """The share of the 201 quantiles of the lines of both that a score has passed."""
    both = Combination("mean_rank", two()).fit_both(BOTH, "mean_of_two")
    inner = np.column_stack([GOOD, SECOND[:N]])
    grid = np.linspace(0, 1, 201)
    ranks = [np.interp(FRESH[c], np.quantile(s, grid), grid) for c, s in zip("ab", inner.T, strict=True)]
    np.testing.assert_allclose(both.score(FRESH), np.mean(ranks, axis=0))
    assert both.score(FRESH * 1e6).max() <= 1
    exact = (rankdata(inner, axis=0) - 1).mean(axis=1) / (N - 1)
    np.testing.assert_allclose(both.cross_scores, exact, atol=0.02)
    assert both.parameters() == {"rule": "mean_rank"}


def test_product_by_hand() -> None:
    parts = two()
    both = Combination("product", parts).fit_both(BOTH, "product_of_two")
    first, second = (m.predict(FRESH).probability for m in parts)
    np.testing.assert_allclose(both.score(FRESH), first * second)
    inner = [m.calibration.apply(s)["probability"] for m, s in zip(parts, (GOOD, SECOND[:N]), strict=True)]
    np.testing.assert_allclose(both.cross_scores, inner[0] * inner[1])
    out = both.predict(FRESH)
    assert out.probability.between(0, 1).all()  # calibrated anew: a product is too small
    assert out.probability.mean() > (first * second).mean()


@pytest.mark.parametrize("rule", ["mean_rank", "product"])
def test_a_line_of_either_part_cannot_be_scored_as_held_out(rule: Any) -> None:
    both = Combination(rule, two()).fit_both(BOTH, "both")
    assert list(both.index) == list(LINES)
    leak = pd.DataFrame(0.0, [MORE[N + 3]], ["a", "b", "c"])
    with pytest.raises(LeakageError, match=f"1 held-out lines were trained on, such as .*{MORE[N + 3]}"):
        both.predict_held_out(pd.concat([FRESH, leak]))
    pd.testing.assert_frame_equal(both.predict_held_out(FRESH), both.predict(FRESH))


# --- shares ---------------------------------------------------------------------------------------


def test_shares_of_a_stack_add_up_to_its_score() -> None:
    stack = Combination("sum", members(GOOD, FAIR, BAD)).fit_stack(VIEW, FOLDS, "stack")
    shares = stack.explain(FRESH)
    assert list(shares.columns) == ["a", "b"]  # the third has no weight
    middle = pd.DataFrame(1.0, ["x"], ["a", "b", "c"])  # where every member's shares are 0
    expected = stack.score(FRESH) - stack.score(middle)
    np.testing.assert_allclose(shares.to_numpy().sum(axis=1), expected)
    assert stack.spread(FRESH).shape == (12,)
    assert np.isnan(stack.spread(FRESH)).all()


@pytest.mark.parametrize("rule", ["mean_rank", "product"])
def test_shares_of_both_add_up_to_its_score(rule: Rule) -> None:
    both = Combination(rule, two()).fit_both(BOTH, "both")
    shares = both.explain(FRESH)
    middle = pd.DataFrame(1.0, ["x"], ["a", "b"])  # where both members' shares are 0
    expected = both.score(FRESH) - both.score(middle)
    np.testing.assert_allclose(shares.to_numpy().sum(axis=1), expected, atol=1e-12)
    assert (shares.abs().max() > 1e-3).all()
