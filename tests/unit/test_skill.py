"""Skill, its intervals and paired differences against a plain loop."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from crossres_ml.errors import CrossresError
from crossres_ml.evaluation.metrics import group_weights
from crossres_ml.evaluation.skill import assess, better, choose_champions, interval

DRAWS, SEED = 100, 5
STRENGTH = {"prevalence": 0.0, "lineage_mean": 0.4, "ridge": 1.0, "lightgbm": 1.5}
INNER = {"prevalence": 0.0, "lineage_mean": 0.9, "ridge": 0.6, "lightgbm": 0.5}


def made(n: int = 80, repeats: int = 2) -> pd.DataFrame:
    """Predictions of four models on one task: two repeats of two folds, and two lineages."""
    rng = np.random.default_rng(11)
    y = rng.normal(size=n)
    lines = pd.DataFrame(
        {
            "model_id": [f"ACH-{i:06d}" for i in range(n)],
            "label": (y > 0.4).astype(float),
            "response": y,
            "lineage": np.where(np.arange(n) % 2, "Lung", "Skin"),
            "group": [f"G{i // 2}" if i < 20 else f"G{i}" for i in range(n)],
        }
    )
    parts = []
    for mode, repeat in [*(("cell_line_out", r) for r in range(repeats)), ("lineage_out", 0)]:
        fold = (
            lines.lineage
            if mode == "lineage_out"
            else pd.Series(rng.permutation(np.arange(n) % 2)).astype(str)
        )
        for model, strength in STRENGTH.items():
            score = strength * y + rng.normal(size=n) * (model != "prevalence")
            parts.append(
                lines.assign(
                    score=score, probability=1 / (1 + np.exp(-score)), model=model,
                    inner_spearman=INNER[model], task="radiation", mode=mode, repeat=repeat, fold=fold,
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


PREDICTIONS = made()


def loop(rows: pd.DataFrame, weight: pd.Series) -> float:
    """AUROC per held-out set on lines really drawn again, averaged with the lines drawn."""
    values, sizes = [], []
    for _, fold in rows.groupby(["repeat", "fold"]):
        again = fold.loc[fold.index.repeat(weight[fold.model_id].astype(int))]
        if again.label.nunique() == 2:
            values.append(roc_auc_score(again.label, again.score))
            sizes.append(len(again))
    return float(np.average(values, weights=sizes))


def corrected(values: np.ndarray) -> list[float]:
    """Bias-corrected percentiles, spelt out with the standard library's normal distribution."""
    normal = NormalDist()
    draws = sorted(values[1:])
    share = sum((d < values[0]) + (d == values[0]) / 2 for d in draws) / len(draws)
    shift = normal.inv_cdf(min(max(share, 0.5 / len(draws)), 1 - 0.5 / len(draws)))
    return [float(np.quantile(draws, normal.cdf(2 * shift + normal.inv_cdf(p)))) for p in (0.025, 0.975)]


def select(table: pd.DataFrame, **keys: str) -> pd.DataFrame:
    for column, value in keys.items():
        table = table[table[column] == value]
    return table


@pytest.mark.parametrize("mode", ["cell_line_out", "lineage_out"])
def test_values_and_intervals_are_those_of_a_loop(mode: str) -> None:
    skill = assess(PREDICTIONS, draws=DRAWS, seed=SEED)
    lines = PREDICTIONS.drop_duplicates("model_id").sort_values("model_id")
    weights = pd.DataFrame(group_weights(lines.group.to_numpy(), DRAWS, SEED), columns=lines.model_id)
    values = {
        model: np.array([loop(select(PREDICTIONS, mode=mode, model=model), w) for _, w in weights.iterrows()])
        for model in ("lightgbm", "ridge", "lineage_mean")
    }
    for model, expected in values.items():
        (row,) = select(skill.metrics, mode=mode, model=model, metric="auroc").itertuples()
        assert row.value == pytest.approx(expected[0], abs=1e-12)
        assert (row.low, row.high) == pytest.approx(corrected(expected), abs=1e-12)
        assert row.n == 80
    difference = values["ridge"] - values["lineage_mean"]
    (row,) = select(skill.paired, mode=mode, metric="auroc").itertuples()
    assert (row.model, row.baseline) == ("ridge", "lineage_mean")
    assert row.value == pytest.approx(difference[0], abs=1e-12)
    assert (row.low, row.high) == pytest.approx(corrected(difference), abs=1e-12)


def test_spearman_is_the_mean_over_held_out_sets() -> None:
    skill = assess(PREDICTIONS, draws=DRAWS, seed=SEED)
    rows = select(PREDICTIONS, mode="cell_line_out", model="ridge")
    folds = [f for _, f in rows.groupby(["repeat", "fold"])]
    each = [stats.spearmanr(f.score, f.response).statistic for f in folds]
    (row,) = select(skill.metrics, mode="cell_line_out", model="ridge", metric="spearman").itertuples()
    assert row.value == pytest.approx(np.average(each, weights=[len(f) for f in folds]))


def test_the_inner_folds_choose_the_champion_and_no_baseline_wins() -> None:
    skill = assess(PREDICTIONS, draws=DRAWS, seed=SEED)
    value = select(skill.metrics, mode="cell_line_out", metric="auroc").set_index("model").value
    assert value["lightgbm"] > value["ridge"]  # held out, another model is better: it must not matter
    assert skill.champion == choose_champions(PREDICTIONS) == {"radiation": "ridge"}
    assert skill.best_baseline == {"radiation": "lineage_mean"}


def test_rows_in_another_order_change_nothing() -> None:
    shuffled = PREDICTIONS.sample(frac=1, random_state=3)
    one, two = (assess(p, draws=DRAWS, seed=SEED) for p in (PREDICTIONS, shuffled))
    key = ["mode", "model", "metric"]
    for name in ("metrics", "paired"):
        left, right = (getattr(s, name).sort_values(key).reset_index(drop=True) for s in (one, two))
        pdt.assert_frame_equal(left, right, rtol=1e-12)
    assert one.champion == two.champion


def test_another_seed_moves_the_interval_not_the_value() -> None:
    one, two = (assess(PREDICTIONS, draws=DRAWS, seed=s).metrics for s in (1, 2))
    pdt.assert_series_equal(one.value, two.value)
    assert (one.low != two.low).any()


def test_one_class_in_a_fold_takes_that_fold_out() -> None:
    part = select(PREDICTIONS, mode="cell_line_out").copy()
    first = (part["repeat"] == 0) & (part.fold == "0")
    part.loc[first, "label"] = 0.0
    skill = assess(part, draws=DRAWS, seed=SEED)
    (row,) = select(skill.metrics, model="ridge", metric="auroc").itertuples()
    ones = pd.Series(1, PREDICTIONS.model_id.unique())
    assert row.value == pytest.approx(loop(select(part[~first], model="ridge"), ones))


def test_constant_scores_have_no_skill() -> None:
    rows = assess(PREDICTIONS, draws=DRAWS, seed=SEED).metrics
    values = select(rows, model="prevalence", mode="cell_line_out").set_index("metric")
    assert values.value["auroc"] == 0.5
    assert values.value["spearman"] == values.value["within_lineage_spearman"] == 0
    assert values.low["auroc"] == values.high["auroc"] == 0.5


@pytest.mark.parametrize("models", [["ridge"], ["prevalence", "lineage_mean"]])
def test_models_without_a_baseline_or_without_a_challenger(models: list[str]) -> None:
    with pytest.raises(CrossresError, match="baseline"):
        assess(PREDICTIONS[PREDICTIONS.model.isin(models)], draws=DRAWS, seed=SEED)


def test_draws_around_the_value_give_plain_percentiles() -> None:
    draws = np.linspace(-1, 1, 1001)
    found = interval(np.r_[0.0, draws])
    assert (found["low"], found["high"]) == pytest.approx(np.percentile(draws, (2.5, 97.5)))
    with_gaps = np.r_[0.0, np.where(np.arange(1001) % 2, np.nan, draws)]
    assert interval(with_gaps)["low"] == pytest.approx(found["low"], abs=0.01)


def test_draws_to_one_side_move_the_interval_to_the_other() -> None:
    """Draws that lie below the value are corrected upwards."""
    rng = np.random.default_rng(1)
    draws = rng.normal(-0.5, 1, 4000)
    found = interval(np.r_[0.0, draws])
    low, high = np.percentile(draws, (2.5, 97.5))
    assert found["low"] == pytest.approx(low + 1, abs=0.15)
    assert found["high"] > high + 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.5, 0.5, 0.5], (0.5, 0.5)),
        ([0.5, np.nan, np.nan], (np.nan, np.nan)),
        ([np.nan, 0.1, 0.2], (np.nan, np.nan)),
        ([2.0, 0.1, 0.2, 0.3], None),
    ],
)
def test_interval_of_odd_draws(values: list[float], expected: tuple[float, float] | None) -> None:
    found = interval(np.array(values))
    if expected is None:  # beyond all draws: still within them
        assert 0.1 <= found["low"] <= found["high"] <= 0.3
    else:
        assert (found["low"], found["high"]) == pytest.approx(expected, nan_ok=True)


def test_each_mode_is_compared_with_its_own_best_baseline() -> None:
    turned = PREDICTIONS.copy()
    lineages = turned["mode"] == "lineage_out"
    other = {"prevalence": "lineage_mean", "lineage_mean": "prevalence"}
    turned.loc[lineages, "model"] = turned.model[lineages].replace(other)
    skill = assess(turned, draws=DRAWS, seed=SEED)
    assert skill.best_baseline == {"radiation": "lineage_mean"}
    baseline = skill.paired.groupby("mode").baseline.agg(set)
    assert baseline.to_dict() == {"cell_line_out": {"lineage_mean"}, "lineage_out": {"prevalence"}}


def test_better_knows_the_direction() -> None:
    assert better("auroc", 0.01, 0.2)
    assert not better("auroc", -0.01, 0.2)
    assert better("brier", -0.2, -0.01)
    assert not better("brier", 0.01, 0.2)
