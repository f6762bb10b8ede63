"""For any lines, groups and lineages: splits do not leak, rules are monotone, measures ignore row order."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from crossres_ml.cohort.cohort import RESPONSES, Cohort
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.config import SplitConfig
from crossres_ml.evaluation.metrics import METRICS, HeldOut
from crossres_ml.splits import EXCLUDED, TEST, TRAIN, cell_line_out, check_splits, lineage_out

quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 2**32 - 1)
MakeCohort = Callable[..., Cohort]


def random_cohort(make_cohort: MakeCohort, seed: int) -> Cohort:
    """Make lines with skewed lineages, relatives across lineages, and responses with gaps."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 120))
    lineage = rng.choice(["Lung", "Skin", "Bone", "Liver"], n, p=[0.5, 0.3, 0.15, 0.05])
    group = rng.integers(0, int(n * rng.uniform(0.5, 2)), n)
    responses = pd.DataFrame(rng.normal(size=(n, len(RESPONSES))).round(1), columns=list(RESPONSES))
    responses = responses.mask(rng.random(responses.shape) < 0.15)
    return make_cohort(lineage, group, responses)


@given(seed=SEEDS, folds=st.integers(2, 5))
@quick
def test_lines_are_tested_once_and_groups_never_straddle(
    make_cohort: MakeCohort, seed: int, folds: int
) -> None:
    cohort = random_cohort(make_cohort, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer members than folds
        table = cell_line_out(cohort, SplitConfig(seed=seed % 1000, folds=folds, repeats=2), quantile=0.6)
    check_splits(table, cohort)
    tested = table[table.role == TEST]
    assert (tested.groupby(["repeat", "model_id"]).size() == 1).all()
    assert len(tested) == 2 * len(cohort.lines)
    sides = table.assign(group=cohort.lines.group[table.model_id].to_numpy())
    roles = sides.groupby(["repeat", "fold", "group"]).role.agg(lambda r: len(set(r)))
    assert (roles == 1).all()


@given(seed=SEEDS, least=st.integers(2, 30))
@quick
def test_held_out_lineages_share_neither_lineage_nor_donor(
    make_cohort: MakeCohort, seed: int, least: int
) -> None:
    cohort = random_cohort(make_cohort, seed)
    table = lineage_out(cohort, SplitConfig(lineage_min_lines=least))
    check_splits(table, cohort)
    group, lineage = cohort.lines.group, cohort.lines.lineage
    for name, part in table.groupby("fold"):
        roles = part.set_index("model_id").role
        train, excluded = (roles.index[roles == r] for r in (TRAIN, EXCLUDED))
        donors = set(group[lineage == name])
        assert not set(group[train]) & donors
        assert set(group[excluded]) <= donors
        assert not (lineage[train] == name).any()
        assert len(roles) == len(cohort.lines)


@given(seed=SEEDS, quantile=st.floats(0.05, 0.95))
@quick
@pytest.mark.parametrize("task", ["radiation", "cross"])
def test_rule_is_monotone_and_learned_from_training_lines(task: str, seed: int, quantile: float) -> None:
    rng = np.random.default_rng(seed)
    responses = pd.DataFrame(rng.normal(size=(60, 2)).round(1), columns=["radiation", "chemotherapy"])
    train, held_out = responses.iloc[:40], responses.iloc[40:]
    rule = LabelRule.fit(task, train, quantile)
    poisoned = pd.concat([train, held_out * 1000 + 7])
    again = LabelRule.fit(task, poisoned.iloc[:40], quantile)
    assert again == rule
    higher = responses + rng.uniform(0, 2, responses.shape)
    assert (rule.label(higher) >= rule.label(responses)).all()
    assert (rule.score(higher) >= rule.score(responses) - 1e-12).all()
    resistant = rule.label(train).mean()
    assert resistant <= 1 - quantile + 0.5  # ties may all be on one side
    if task == "radiation":
        assert resistant >= 1 - quantile - 1 / 40
    pdt.assert_series_equal(rule.label(held_out), rule.label(responses).iloc[40:])


RANK_MEASURES = (
    "auroc", "auroc_top_third", "average_precision", "bottom_fifth_resistant", "residual_spearman",
    "spearman", "top_fifth_resistant", "within_lineage_spearman",
)  # fmt: skip


def random_set(seed: int, n: int) -> dict[str, np.ndarray]:
    """Make the columns of a held-out set: ties, holes in the residual, at times one class only."""
    rng = np.random.default_rng(seed)
    response = rng.normal(size=n).round(1)
    return {
        "score": rng.normal(size=n).round(1), "expected": (response + rng.normal(size=n)).round(2),
        "probability": rng.random(n).round(2), "response": response,
        "label": (rng.random(n) < 0.4).astype(float), "top_third": (rng.random(n) < 0.4).astype(float),
        "residual": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n).round(1)),
        "lineage": rng.choice(["a", "b"], n),
    }  # fmt: skip


@given(seed=SEEDS, n=st.integers(3, 40))
@quick
def test_measures_ignore_the_order_of_rows(seed: int, n: int) -> None:
    rng, data = np.random.default_rng(seed), random_set(seed, n)
    weights = rng.integers(0, 3, (4, n)).astype(float)
    weights[:, 0] = 1
    order = rng.permutation(n)
    shuffled = {k: v[order] for k, v in data.items()}
    one, two = HeldOut(data, weights), HeldOut(shuffled, weights[:, order])
    for name, function in METRICS.items():
        np.testing.assert_allclose(function(one), function(two), rtol=1e-7, atol=1e-9, err_msg=name)


@given(seed=SEEDS, n=st.integers(3, 40))
@quick
def test_a_weight_is_a_line_that_is_there_again(seed: int, n: int) -> None:
    """Weights start at 1: a lineage is large or small by its lines, and not by how they are drawn."""
    rng, data = np.random.default_rng(seed), random_set(seed, n)
    assume(min(np.unique(data["lineage"], return_counts=True)[1]) >= 5)
    weights = rng.integers(1, 4, n)
    again = {k: np.repeat(v, weights) for k, v in data.items()}
    one, two = HeldOut(data, weights[None].astype(float)), HeldOut(again, np.ones((1, weights.sum())))
    for name, function in METRICS.items():
        np.testing.assert_allclose(function(one), function(two), rtol=1e-7, atol=1e-9, err_msg=name)


@given(seed=SEEDS, n=st.integers(3, 30), factor=st.floats(0.01, 100))
@quick
def test_ranking_measures_ignore_the_scale_of_scores(seed: int, n: int, factor: float) -> None:
    data, ones = random_set(seed, n), np.ones((1, n))
    scaled = data | {"score": np.arctan(data["score"] * factor) + 3}
    assume(len(set(scaled["score"])) == len(set(data["score"])))
    one, two = HeldOut(data, ones), HeldOut(scaled, ones)
    for name in RANK_MEASURES:
        np.testing.assert_allclose(METRICS[name](one), METRICS[name](two), atol=1e-12, err_msg=name)
    turned = HeldOut(data | {"score": -data["score"]}, ones)
    np.testing.assert_allclose(METRICS["auroc"](one), 1 - METRICS["auroc"](turned), atol=1e-12)
    np.testing.assert_allclose(METRICS["spearman"](one), -METRICS["spearman"](turned), atol=1e-12)
    top, bottom = METRICS["top_fifth_resistant"], METRICS["bottom_fifth_resistant"]
    np.testing.assert_allclose(top(one), bottom(turned), atol=1e-12)


@given(seed=SEEDS, n=st.integers(3, 40), factor=st.floats(0.1, 10), shift=st.floats(-100, 100))
@quick
def test_r2_is_at_most_the_square_of_pearson(seed: int, n: int, factor: float, shift: float) -> None:
    data = random_set(seed, n)
    weights = np.vstack([np.ones(n), np.random.default_rng(seed).integers(0, 3, (3, n))])
    one = HeldOut(data, weights)
    r = METRICS["pearson"](one)
    moved = HeldOut(data | {"expected": data["expected"] * factor + shift}, weights)
    np.testing.assert_allclose(METRICS["pearson"](moved), r, atol=1e-7)
    for held_out in (one, moved):
        explained = METRICS["r2"](held_out)
        known = np.isfinite(explained)
        assert (explained[known] <= r[known] ** 2 + 1e-9).all()


@given(seed=SEEDS)
@quick
def test_matrix_is_aligned(make_cohort: MakeCohort, seed: int) -> None:
    """Every cell of the joined table is the cell of its block, line and name."""
    rng = np.random.default_rng(seed)
    n = 20
    blocks = {}
    for name in rng.permutation(["rna", "rppa", "driver"]):
        columns = sorted({f"F{i:02d}" for i in rng.integers(0, 40, 8)})
        values = rng.normal(size=(n, len(columns))).astype(np.float32)
        blocks[str(name)] = pd.DataFrame(values, columns=columns).mask(rng.random(values.shape) < 0.2)
    cohort = make_cohort(["Lung"] * n, range(n), None, blocks)
    some = [str(b) for b in rng.permutation(list(blocks))[:2]]
    extra = [f"{b}:{t.columns[0]}" for b, t in blocks.items()]
    X = cohort.matrix(some, extra)
    wanted = sorted({f"{b}:{f}" for b in some for f in blocks[b]} | set(extra))
    assert list(X.columns) == wanted
    assert X.index.equals(cohort.lines.index)
    for column in X:
        block, name = column.split(":")
        np.testing.assert_array_equal(X[column].to_numpy(), blocks[block][name].to_numpy())
