"""Every measure equals scikit-learn or scipy on lines that are really drawn again, on imperfect input."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn import metrics as sk

from crossres_ml.evaluation.calibration import calibration_slope
from crossres_ml.evaluation.metrics import (
    LOWER_IS_BETTER,
    METRICS,
    MIN_LINEAGE,
    WITHOUT_DIRECTION,
    HeldOut,
    auroc,
    average_precision,
    bottom_fifth_resistant,
    brier,
    by_lineage,
    group_weights,
    pearson,
    r2,
    residual_spearman,
    spearman,
    top_fifth_resistant,
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


def test_skill_of_one_lineage_is_that_of_the_lineage_alone() -> None:
    lineage = np.array(["Lung"] * 30 + ["Skin"] * 20 + ["Bone"] * 6 + ["Liver"] * 4)[RNG.permutation(N)]
    score, response = SCORES["ties"], RESPONSES["noise"]
    found = by_lineage(score, response, WEIGHTS, lineage, least=6)
    assert list(found) == ["Bone", "Lung", "Skin"]
    for name, (value, size) in found.items():
        inside = lineage == name
        np.testing.assert_allclose(value, spearman(score[inside], response[inside], WEIGHTS[:, inside]))
        np.testing.assert_array_equal(size, WEIGHTS[:, inside].sum(axis=1))
    assert by_lineage(score, response, WEIGHTS, lineage, least=31) == {}


@score_cases
@response_cases
def test_pearson_is_that_of_scipy(score: np.ndarray, response: np.ndarray) -> None:
    for weights, ours in zip(WEIGHTS, pearson(score, response, WEIGHTS), strict=True):
        a, b = again(score, weights), again(response, weights)
        expected = 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else stats.pearsonr(a, b).statistic
        assert ours == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_pearson_and_r2_of_values_far_from_zero(offset: float) -> None:
    a, b = NORMAL + offset, RESPONSES["noise"] + offset
    expected = [stats.pearsonr(again(a, w), again(b, w)).statistic for w in WEIGHTS]
    np.testing.assert_allclose(pearson(a, b, WEIGHTS), expected, atol=1e-8)
    expected = [sk.r2_score(again(b, w), again(a, w)) for w in WEIGHTS]
    np.testing.assert_allclose(r2(a, b, WEIGHTS), expected, rtol=1e-6)


@score_cases
def test_r2_is_that_of_scikit_learn(score: np.ndarray) -> None:
    for response in (RESPONSES["noise"], RESPONSES["ties"]):
        for weights, ours in zip(WEIGHTS, r2(score, response, WEIGHTS), strict=True):
            drawn = again(response, weights)
            if np.ptp(drawn) == 0:
                assert np.isnan(ours)
            else:
                assert ours == pytest.approx(sk.r2_score(drawn, again(score, weights)), rel=1e-9)


def test_r2_of_a_mean_is_no_skill_and_of_a_constant_response_not_defined() -> None:
    response = RESPONSES["noise"]
    assert r2(np.full(N, response.mean()), response, WEIGHTS[:1])[0] == pytest.approx(0)
    assert (r2(np.full(N, response.mean() + 1), response, WEIGHTS) < 0).all()
    assert np.isnan(r2(NORMAL, RESPONSES["constant"], WEIGHTS)).all()
    one_line_drawn = 5 * np.eye(N)[:3]
    assert np.isnan(r2(NORMAL, response, one_line_drawn)).all()
    assert (pearson(NORMAL, response, one_line_drawn) == 0).all()


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


PROBABILITIES = {
    "too extreme": logistic(4 * NORMAL),
    "too timid": logistic(0.3 * NORMAL - 1),
    "ties": np.round(logistic(NORMAL), 1),
    "0 and 1": np.where(RNG.random(N) < 0.3, np.round(logistic(NORMAL)), logistic(NORMAL)),
    "nearly all the same": np.where(RNG.random(N) < 0.8, 1e-9, logistic(NORMAL)),
    "against the class": logistic(-NORMAL),
}


@pytest.mark.parametrize("probability", PROBABILITIES.values(), ids=PROBABILITIES)
@pytest.mark.parametrize("seed", range(3))
def test_calibration_slope_is_that_of_statsmodels(probability: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = (NORMAL + 2 * rng.normal(size=N) > 0.5).astype(float)
    weights = np.vstack([WEIGHTS[:1], rng.multinomial(N, np.full(N, 1 / N), size=8)]).astype(float)
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    x = sm.add_constant(np.log(clipped / (1 - clipped)))
    for w, ours in zip(weights, calibration_slope(probability, label, weights), strict=True):
        drawn = sm.GLM(again(label, w), again_rows(x, w), family=sm.families.Binomial())
        assert ours == pytest.approx(drawn.fit(maxiter=200, tol=1e-13).params[1], rel=1e-6, abs=1e-8)


def again_rows(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.repeat(rows, weights.astype(int), axis=0)


@pytest.mark.parametrize("name", ["one resistant", "none", "all"])
def test_no_slope_for_one_class_or_a_perfect_threshold(name: str) -> None:
    label = LABELS[name]
    assert np.isnan(calibration_slope(np.where(label == 1, 0.9, 0.2), label, WEIGHTS)).all()


def test_no_slope_where_a_threshold_parts_the_classes() -> None:
    probability = np.array([0.1, 0.2, 0.3, 0.3, 0.4, 0.5])
    one = np.ones((1, 6))
    for label in ([0, 0, 0, 0, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]):  # the last two tie at .3
        assert np.isnan(calibration_slope(probability, np.array(label, dtype=float), one)[0])
    overlap = np.array([0, 0, 1, 0, 0, 1], dtype=float)
    assert np.isfinite(calibration_slope(probability, overlap, one)[0])
    without_the_first_resistant = np.array([[1, 1, 0, 1, 1, 1]], dtype=float)
    assert np.isnan(calibration_slope(probability, overlap, without_the_first_resistant)[0])
    assert np.isnan(calibration_slope(np.full(6, 0.3), overlap, one)[0])


def test_calibrated_probabilities_have_slope_one() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=20_000)
    label = (rng.random(len(x)) < logistic(x)).astype(float)
    slopes = [calibration_slope(logistic(k * x), label, np.ones((1, len(x))))[0] for k in (1, 2, 0.5)]
    assert slopes == pytest.approx([1, 0.5, 2], rel=0.08)


@score_cases
def test_residual_spearman_is_that_of_scipy_without_the_holes(score: np.ndarray) -> None:
    for share in (0.0, 0.1, 0.8):
        residual = np.where(RNG.random(N) < share, np.nan, RESPONSES["noise"].round(1))
        known = np.isfinite(residual)
        for weights, ours in zip(WEIGHTS, residual_spearman(score, residual, WEIGHTS), strict=True):
            drawn = [again(v[known], weights[known]) for v in (score, residual)]
            if not len(drawn[0]):
                assert np.isnan(ours)
            else:
                assert ours == pytest.approx(rank_correlation(*drawn), abs=1e-10)
    assert np.isnan(residual_spearman(score, np.full(N, np.nan), WEIGHTS)).all()


def highest_fifth(score: np.ndarray, label: np.ndarray) -> float:
    """Go down from the highest score; of lines that tie, take as many as there is room for."""
    room, resistant = len(score) / 5, 0.0
    for value in sorted(set(score), reverse=True):
        tied = label[score == value]
        taken = min(room, len(tied))
        resistant += taken * float(np.mean(tied))
        room -= taken
    return resistant / (len(score) / 5)


@score_cases
@label_cases
def test_fifths_are_those_of_a_walk_down_the_scores(score: np.ndarray, label: np.ndarray) -> None:
    tops, bottoms = (f(score, label, WEIGHTS) for f in (top_fifth_resistant, bottom_fifth_resistant))
    for weights, top, bottom in zip(WEIGHTS, tops, bottoms, strict=True):
        drawn, classes = again(score, weights), again(label, weights)
        assert top == pytest.approx(highest_fifth(drawn, classes), abs=1e-12)
        assert bottom == pytest.approx(highest_fifth(-drawn, classes), abs=1e-12)


def test_fifths_by_hand() -> None:
    label = np.array([1, 0, 0, 1, 0, 0, 0, 1, 1, 1], dtype=float)
    one = np.ones((1, 10))
    assert top_fifth_resistant(np.arange(10.0), label, one)[0] == 1
    assert bottom_fifth_resistant(np.arange(10.0), label, one)[0] == 0.5
    tied = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 3], dtype=float)  # the second of the top is one of four
    assert top_fifth_resistant(tied, label, one)[0] == pytest.approx((1 + 2 / 4) / 2)
    assert bottom_fifth_resistant(tied, label, one)[0] == pytest.approx((1 + 1 / 4) / 2)
    assert top_fifth_resistant(np.zeros(10), label, one)[0] == pytest.approx(0.5)
    seven = np.ones((1, 7))  # a fifth is 1.4 lines: the second counts in part
    assert top_fifth_resistant(np.arange(7.0), np.eye(7)[6], seven)[0] == pytest.approx(1 / 1.4)
    assert bottom_fifth_resistant(np.arange(7.0), np.eye(7)[1], seven)[0] == pytest.approx(0.4 / 1.4)


DATA = {
    "score": NORMAL, "expected": NORMAL / 2, "probability": np.full(N, 0.5), "label": LABELS["balanced"],
    "top_third": LABELS["balanced"], "response": NORMAL, "residual": np.r_[np.nan, NORMAL[1:]],
    "lineage": np.repeat("Lung", N),
}  # fmt: skip


@pytest.mark.parametrize("name", list(METRICS))
def test_a_draw_without_lines_gives_no_finite_skill(name: str) -> None:
    """A bootstrap draw may hold no line of a small held-out lineage."""
    empty = METRICS[name](HeldOut(DATA, np.zeros((1, N))))
    assert empty.shape == (1,)
    assert np.isnan(empty[0]) or empty[0] == 0


def test_all_measures_of_a_set_are_the_single_ones() -> None:
    """What is computed once for all measures is what each computes by itself."""
    data = DATA | {
        "score": SCORES["ties"], "response": RESPONSES["noise"], "probability": PROBABILITIES["ties"],
        "top_third": (RESPONSES["noise"] > 0.4).astype(float),
        "lineage": np.array(["Lung"] * 33 + ["Skin"] * 27),
    }  # fmt: skip
    score, response, label, lineage = (data[k] for k in ("score", "response", "label", "lineage"))
    single = {
        "auroc": auroc(score, label, WEIGHTS),
        "average_precision": average_precision(score, label, WEIGHTS),
        "brier": brier(data["probability"], label, WEIGHTS),
        "spearman": spearman(score, response, WEIGHTS),
        "within_lineage_spearman": within_lineage(score, response, WEIGHTS, lineage),
        "pearson": pearson(data["expected"], response, WEIGHTS),
        "r2": r2(data["expected"], response, WEIGHTS),
        "calibration_slope": calibration_slope(data["probability"], label, WEIGHTS),
        "auroc_top_third": auroc(score, data["top_third"], WEIGHTS),
        "residual_spearman": residual_spearman(score, data["residual"], WEIGHTS),
        "top_fifth_resistant": top_fifth_resistant(score, label, WEIGHTS),
        "bottom_fifth_resistant": bottom_fifth_resistant(score, label, WEIGHTS),
    }
    assert set(single) == set(METRICS) - {"prevalence"}
    held_out = HeldOut(data, WEIGHTS)
    for name, expected in single.items():
        np.testing.assert_allclose(METRICS[name](held_out), expected, atol=1e-12, err_msg=name)


def test_a_set_of_one_lineage_is_measured_as_within_it() -> None:
    few = np.vstack([WEIGHTS, np.zeros((1, N))])
    expected = within_lineage(NORMAL, RESPONSES["noise"], few, DATA["lineage"])
    found = METRICS["within_lineage_spearman"](HeldOut(DATA | {"response": RESPONSES["noise"]}, few))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found[-1])
    small = {k: v[: MIN_LINEAGE - 1] for k, v in DATA.items()}
    assert np.isnan(METRICS["within_lineage_spearman"](HeldOut(small, np.ones((1, MIN_LINEAGE - 1)))))[0]


def test_every_direction_is_that_of_a_metric() -> None:
    assert set(METRICS) > LOWER_IS_BETTER | WITHOUT_DIRECTION
    assert not LOWER_IS_BETTER & WITHOUT_DIRECTION


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
