"""Every measure equals scikit-learn or scipy on lines that are really drawn again, on imperfect input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from crossres_ml.evaluation.metrics import (
    METRICS,
    MIN_LINEAGE,
    auroc,
    average_precision,
    brier,
    group_weights,
    spearman,
    within_lineage,
)

RNG = np.random.default_rng(7)
N = 60


def draws() -> np.ndarray:
    """The data as they are, and draws with lines left out and lines many times."""
    counts = RNG.multinomial(N, np.full(N, 1 / N), size=6)
    few = np.zeros((1, N), dtype=int)
    few[0, [3, 4, 40, 41]] = [1, 7, 2, 1]
    return np.vstack([np.ones((1, N), dtype=int), counts, few]).astype(float)


NORMAL = RNG.normal(size=N)
SCORES = {
    "distinct": NORMAL,
    "ties": np.round(NORMAL, 0),
    "two values": (NORMAL > 0.3).astype(float),
    "constant": np.full(N, 0.25),
    "duplicates": np.tile(NORMAL[: N // 3], 3),
    "huge and tiny": NORMAL * 10.0 ** RNG.integers(-12, 12, N),
    "one outlier": np.r_[np.zeros(N - 1), 1e9],
}
RESPONSES = {
    "noise": NORMAL + RNG.normal(size=N),
    "ties": np.round(NORMAL + RNG.normal(size=N)),
    "constant": np.full(N, 3.1),
}
LABELS = {
    "balanced": (NORMAL + RNG.normal(size=N) > 0).astype(float),
    "one resistant": np.eye(N)[17],
    "none": np.zeros(N),
    "all": np.ones(N),
}
WEIGHTS = draws()
score_cases = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
label_cases = pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
response_cases = pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)


def again(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lines drawn as often as their weight says."""
    return np.repeat(values, weights.astype(int))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman of scipy; 0 where a side is constant, which scipy calls undefined."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(stats.spearmanr(a, b).statistic)


@score_cases
@label_cases
def test_auroc_is_that_of_scikit_learn(score: np.ndarray, label: np.ndarray) -> None:
    for weights, ours in zip(WEIGHTS, auroc(score, label, WEIGHTS), strict=True):
        drawn = again(label, weights)
        if len(set(drawn)) < 2:
            assert np.isnan(ours)
        else:
            assert ours == pytest.approx(sk.roc_auc_score(drawn, again(score, weights)), abs=1e-12)


@score_cases
@label_cases
def test_average_precision_is_that_of_scikit_learn(score: np.ndarray, label: np.ndarray) -> None:
    for weights, ours in zip(WEIGHTS, average_precision(score, label, WEIGHTS), strict=True):
        drawn = again(label, weights)
        if not drawn.any():
            assert np.isnan(ours)
        else:
            expected = sk.average_precision_score(drawn, again(score, weights))
            assert ours == pytest.approx(expected, abs=1e-12)


@label_cases
def test_brier_is_that_of_scikit_learn(label: np.ndarray) -> None:
    for probability in (RNG.random(N), np.round(RNG.random(N)), np.full(N, 0.33)):
        for weights, ours in zip(WEIGHTS, brier(probability, label, WEIGHTS), strict=True):
            expected = sk.brier_score_loss(again(label, weights), again(probability, weights), labels=[0, 1])
            assert ours == pytest.approx(expected, abs=1e-12)


@score_cases
@response_cases
def test_spearman_is_that_of_scipy(score: np.ndarray, response: np.ndarray) -> None:
    for weights, ours in zip(WEIGHTS, spearman(score, response, WEIGHTS), strict=True):
        expected = rank_correlation(again(score, weights), again(response, weights))
        assert ours == pytest.approx(expected, abs=1e-10)


@score_cases
@response_cases
def test_within_lineage_is_a_loop_over_lineages(score: np.ndarray, response: np.ndarray) -> None:
    lineage = np.array(["Lung"] * 30 + ["Skin"] * 20 + ["Bone"] * 6 + ["Liver"] * 4)[RNG.permutation(N)]
    for weights, ours in zip(WEIGHTS, within_lineage(score, response, WEIGHTS, lineage), strict=True):
        total = lines = 0.0
        for name in ("Lung", "Skin", "Bone"):
            w = np.where(lineage == name, weights, 0)
            if w.sum():
                total += w.sum() * rank_correlation(again(score, w), again(response, w))
                lines += w.sum()
        assert ours == pytest.approx(total / lines, abs=1e-10)


def test_small_lineages_count_for_nothing() -> None:
    lineage = np.repeat(np.arange(N // (MIN_LINEAGE - 1)), MIN_LINEAGE - 1)
    assert np.isnan(within_lineage(NORMAL, NORMAL, WEIGHTS, lineage)).all()
    lineage[:MIN_LINEAGE] = -1
    assert within_lineage(NORMAL, NORMAL, WEIGHTS[:1], lineage) == pytest.approx([1.0])


def test_a_lineage_effect_alone_is_no_skill_within_lineages() -> None:
    lineage = np.repeat(np.arange(3), 20)
    score = lineage * 10.0
    response = lineage * 5 + NORMAL
    assert spearman(score, response, WEIGHTS[:1])[0] > 0.9
    assert within_lineage(score, response, WEIGHTS[:1], lineage)[0] == 0


def test_perfect_reversed_and_chance() -> None:
    label = LABELS["balanced"]
    one = WEIGHTS[:1]
    assert auroc(label, label, one) == average_precision(label, label, one) == 1
    assert auroc(-label, label, one) == 0
    assert auroc(np.zeros(N), label, one) == 0.5
    assert average_precision(np.zeros(N), label, one) == pytest.approx(label.mean())


@pytest.mark.parametrize("name", list(METRICS))
def test_a_draw_without_lines_gives_no_finite_skill(name: str) -> None:
    """A bootstrap draw may hold no line of a small held-out lineage."""
    data = {
        "score": NORMAL, "probability": np.full(N, 0.5), "label": LABELS["balanced"],
        "response": NORMAL, "lineage": np.repeat("Lung", N),
    }  # fmt: skip
    empty = METRICS[name](data, np.zeros((1, N)))
    assert empty.shape == (1,)
    assert np.isnan(empty[0]) or empty[0] == 0


def test_groups_are_drawn_whole() -> None:
    groups = np.array(list("aabcccdefghij"))
    weights = group_weights(groups, 500, seed=1)
    assert weights.shape == (501, len(groups))
    assert (weights[0] == 1).all()
    for name in set(groups):
        inside = weights[:, groups == name]
        assert (inside == inside[:, :1]).all()
    first = np.unique(groups, return_index=True)[1]
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    # how often a group is drawn: binomial(10, 1/10)
    drawn = weights[1:, first]
    assert drawn.mean() == pytest.approx(1)
    assert drawn.var() == pytest.approx(0.9, abs=0.1)
    assert (drawn == 0).mean() == pytest.approx(0.9**10, abs=0.03)


def test_draws_follow_seed_and_group_names_alone() -> None:
    groups = RNG.integers(0, 20, N).astype(str)
    weights = group_weights(groups, 20, seed=1)
    np.testing.assert_array_equal(weights, group_weights(groups, 20, seed=1))
    assert (weights != group_weights(groups, 20, seed=2)).any()
    order = RNG.permutation(N)
    np.testing.assert_array_equal(weights[:, order], group_weights(groups[order], 20, seed=1))


def test_group_bootstrap_widens_with_relatives() -> None:
    """Ten copies of each line carry no more than the line itself."""
    label, score = LABELS["balanced"], NORMAL
    alone = auroc(score, label, group_weights(np.arange(N).astype(str), 400, 1))[1:]
    many = np.repeat(np.arange(N), 10)
    copies = auroc(score[many], label[many], group_weights(many.astype(str), 400, 1))[1:]
    assert copies.std() == pytest.approx(alone.std(), rel=0.05)
    naive = auroc(score[many], label[many], group_weights(np.arange(10 * N).astype(str), 400, 1))[1:]
    assert naive.std() < 0.5 * alone.std()
