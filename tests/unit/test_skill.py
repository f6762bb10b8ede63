"""Skill, its intervals and paired differences against a plain loop."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from crossres_ml.config_names import TASKS
from crossres_ml.errors import CrossresError, SchemaError
from crossres_ml.evaluation.draws import check_predictions, draw_metrics, interval, line_weights
from crossres_ml.evaluation.metrics import METRICS, group_weights
from crossres_ml.evaluation.skill import (
    assess,
    better,
    choose_champions,
    is_baseline,
    per_lineage,
    pooled,
)

DRAWS, SEED = 100, 5
STRENGTH = {"prevalence": 0.0, "lineage_mean": 0.4, "ridge": 1.0, "lightgbm": 1.5}
INNER = {"prevalence": 0.0, "lineage_mean": 0.9, "ridge": 0.6, "lightgbm": 0.5}


def made(n: int = 80, repeats: int = 2) -> pd.DataFrame:
    """Predictions of four models on one task: two repeats of two folds, and two lineages.

    Every seventh line has no general sensitivity, and one more line in twenty is resistant to one
    modality only.
    """
    rng = np.random.default_rng(11)
    y = rng.normal(size=n)
    lines = pd.DataFrame(
        {
            "model_id": [f"ACH-{i:06d}" for i in range(n)],
            "label": ((y > 0.4) & (np.arange(n) % 20 > 0)).astype(float),
            "top_third": (y > 0.4).astype(float),
            "response": y,
            "residual": np.where(np.arange(n) % 7, y + rng.normal(size=n), np.nan),
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
                    score=score, expected=score / 2 + 0.1, probability=1 / (1 + np.exp(-score)),
                    model=model, inner_spearman=INNER[model], task="radiation", mode=mode,
                    repeat=repeat, fold=fold, variant="full",
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
    (row,) = select(skill.paired, mode=mode, metric="auroc", kind="baseline", model="ridge").itertuples()
    assert row.against == "lineage_mean"
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
    one.paired["metric"] += one.paired.kind
    two.paired["metric"] += two.paired.kind
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


def test_a_mode_without_a_baseline_and_an_empty_table() -> None:
    lost = (PREDICTIONS["mode"] == "lineage_out") & PREDICTIONS.model.isin(["prevalence", "lineage_mean"])
    with pytest.raises(CrossresError, match=r"(?s)one baseline.*models of radiation lineage_out"):
        assess(PREDICTIONS[~lost], draws=DRAWS, seed=SEED)
    with pytest.raises(CrossresError, match="empty table of predictions"):
        assess(PREDICTIONS.iloc[:0], draws=DRAWS, seed=SEED)


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
    baseline = select(skill.paired, kind="baseline").groupby("mode").against.agg(set)
    assert baseline.to_dict() == {"cell_line_out": {"lineage_mean"}, "lineage_out": {"prevalence"}}


def test_better_knows_the_direction() -> None:
    assert better("auroc", 0.01, 0.2)
    assert not better("auroc", -0.01, 0.2)
    assert better("brier", -0.2, -0.01)
    assert not better("brier", 0.01, 0.2)
    assert better("bottom_fifth_resistant", -0.2, -0.01)


def test_a_model_is_compared_with_the_next_lower_one() -> None:
    """By Spearman in that mode, among the models that are no baselines."""
    third = select(PREDICTIONS, model="prevalence").assign(model="elastic_net")
    table = pd.concat([PREDICTIONS, third], ignore_index=True)
    skill = assess(table, draws=DRAWS, seed=SEED)
    rows = select(skill.paired, mode="cell_line_out", metric="spearman")
    found = {(r.kind, r.model, r.against) for r in rows.itertuples()}
    assert found == {
        ("baseline", "lightgbm", "lineage_mean"),
        ("baseline", "ridge", "lineage_mean"),
        ("baseline", "elastic_net", "lineage_mean"),
        ("next", "lightgbm", "ridge"),
        ("next", "ridge", "elastic_net"),
    }
    values = select(skill.metrics, mode="cell_line_out", metric="spearman").set_index("model").value
    for row in rows.itertuples():
        assert row.value == pytest.approx(values[row.model] - values[row.against])
    directed = set(METRICS) - {"prevalence", "calibration_slope"}
    assert skill.paired.groupby(["mode", "kind", "model"]).metric.agg(set).map(directed.__eq__).all()


def test_only_the_full_variant_counts() -> None:
    other = select(PREDICTIONS, model="ridge").assign(variant="rna", score=0.0, inner_spearman=-1.0)
    table = pd.concat([other, PREDICTIONS], ignore_index=True)
    one, two = (assess(t, draws=DRAWS, seed=SEED) for t in (PREDICTIONS, table))
    pdt.assert_frame_equal(one.metrics, two.metrics)
    pdt.assert_frame_equal(one.paired, two.paired)
    better_inside = other.assign(model="lightgbm", inner_spearman=0.99)
    assert choose_champions(pd.concat([better_inside, table])) == one.champion == two.champion
    pdt.assert_frame_equal(pooled(table), pooled(PREDICTIONS))
    lineages = [per_lineage(t, draws=DRAWS, seed=SEED) for t in (table, PREDICTIONS)]
    pdt.assert_frame_equal(*lineages)


def test_modes_that_are_absent_are_left_out_and_studies_are_a_mode() -> None:
    study = select(PREDICTIONS, mode="cell_line_out")
    study = study[study["repeat"] == 0].assign(mode="study_out", task="chemotherapy")
    lines = select(PREDICTIONS, mode="cell_line_out")
    table = pd.concat([study, lines, lines.assign(task="chemotherapy")], ignore_index=True)
    skill = assess(table, draws=DRAWS, seed=SEED)
    for rows in (skill.metrics, skill.paired):
        assert set(zip(rows.task, rows["mode"], strict=True)) == {
            ("radiation", "cell_line_out"),
            ("chemotherapy", "cell_line_out"),
            ("chemotherapy", "study_out"),
        }
    assert list(skill.best_baseline) == list(skill.champion) == ["radiation", "chemotherapy"]
    left, right = (
        select(skill.metrics, task=t, mode="cell_line_out").drop(columns="task").reset_index(drop=True)
        for t in ("radiation", "chemotherapy")
    )
    pdt.assert_frame_equal(left, right)  # the draws follow the lines, not the task


def test_processes_change_nothing() -> None:
    table = pd.concat([PREDICTIONS.assign(task=t) for t in TASKS], ignore_index=True)
    one, two = (assess(table, draws=DRAWS, seed=SEED, jobs=n) for n in (1, 2))
    pdt.assert_frame_equal(one.metrics, two.metrics, check_exact=True)
    pdt.assert_frame_equal(one.paired, two.paired, check_exact=True)
    assert (one.champion, one.best_baseline) == (two.champion, two.best_baseline)


def test_calibration_slope_is_that_of_all_lines_of_a_repeat() -> None:
    rows = select(PREDICTIONS, mode="cell_line_out", model="ridge")
    slopes = []
    for _, part in rows.groupby("repeat"):
        x = sm.add_constant(np.log(part.probability / (1 - part.probability)))
        slopes.append(sm.GLM(part.label, x, family=sm.families.Binomial()).fit(tol=1e-12).params.iloc[-1])
    found = select(assess(PREDICTIONS, draws=DRAWS, seed=SEED).metrics, metric="calibration_slope")
    found = select(found, mode="cell_line_out").set_index("model")
    assert found.value["ridge"] == pytest.approx(np.mean(slopes))
    assert found.low["ridge"] < found.value["ridge"] < found.high["ridge"]
    assert found.loc["prevalence", ["value", "low", "high"]].isna().all()


def test_a_probability_that_tells_only_the_training_set_has_no_slope() -> None:
    table = PREDICTIONS.copy()
    naive = table.model == "prevalence"
    table.loc[naive, "probability"] = np.where(table.fold[naive].isin(["0", "Lung"]), 0.3, 0.35)
    found = select(assess(table, draws=DRAWS, seed=SEED).metrics, model="prevalence")
    assert found[found.metric == "calibration_slope"].value.isna().all()


def test_measures_can_be_chosen() -> None:
    rows = select(PREDICTIONS, mode="cell_line_out")
    weights = line_weights(rows, DRAWS, SEED)
    everything = draw_metrics(rows, weights)
    for chosen in (("spearman",), ("calibration_slope",), ("r2", "calibration_slope")):
        some = draw_metrics(rows, weights, chosen)
        assert set(some) == {(m, k) for m in STRENGTH for k in chosen}
        for key, values in some.items():
            np.testing.assert_array_equal(values, everything[key])


def test_pooled_measures_are_those_of_all_lines_of_a_repeat() -> None:
    found = pooled(PREDICTIONS)
    assert set(found["repeat"]) == {"0", "1", "mean"}
    value = found.set_index(["model", "repeat", "metric"]).value.sort_index()
    rows = select(PREDICTIONS, mode="cell_line_out", model="lightgbm")
    for repeat, part in rows.groupby("repeat"):
        expected = {
            "spearman": stats.spearmanr(part.expected, part.response).statistic,
            "pearson": stats.pearsonr(part.expected, part.response).statistic,
            "r2": r2_score(part.response, part.expected),
            "auroc": roc_auc_score(part.label, part.expected),
            "auroc_top_third": roc_auc_score(part.top_third, part.expected),
            "average_precision": average_precision_score(part.label, part.expected),
            "prevalence": part.label.mean(),
        }
        assert value["lightgbm", str(repeat)].to_dict() == pytest.approx(expected)
    means = (value["lightgbm", "0"] + value["lightgbm", "1"]) / 2
    assert value["lightgbm", "mean"].to_dict() == pytest.approx(means.to_dict())
    assert set(found.model) == set(STRENGTH)
    assert (found.n == 80).all()


def test_skill_of_each_lineage_is_that_of_a_loop() -> None:
    rare = PREDICTIONS.copy()
    rare.loc[rare.model_id < "ACH-000009", "lineage"] = "Bone"  # nine lines: too few
    found = per_lineage(rare, draws=DRAWS, seed=SEED)
    assert set(found.lineage) == {"Lung", "Skin"}
    assert set(found.model) == {"ridge", "lightgbm"}
    rows = select(rare, mode="cell_line_out", model="ridge", lineage="Skin")
    lines = rare.drop_duplicates("model_id").sort_values("model_id")
    weights = pd.DataFrame(group_weights(lines.group.to_numpy(), DRAWS, SEED), columns=lines.model_id)
    values = []
    for _, weight in weights.iterrows():
        again = rows.loc[rows.index.repeat(weight[rows.model_id].astype(int))]
        values.append(
            np.mean([stats.spearmanr(p.expected, p.response)[0] for _, p in again.groupby("repeat")])
        )
    (row,) = select(found, model="ridge", lineage="Skin").itertuples()
    assert row.n == rows.model_id.nunique()
    assert row.value == pytest.approx(values[0])
    assert (row.low, row.high) == pytest.approx(corrected(np.array(values)), abs=1e-9)


def test_no_lineage_is_large_enough() -> None:
    rare = PREDICTIONS.assign(lineage=PREDICTIONS.model_id)
    found = per_lineage(rare, draws=DRAWS, seed=SEED)
    assert list(found.columns) == ["task", "model", "lineage", "n", "value", "low", "high"]
    assert found.empty


def test_baselines_are_known_by_name() -> None:
    assert is_baseline("prevalence")
    assert not any(is_baseline(m) for m in ("ridge", "stack", "mean_of_two", "joint_gp", ""))


def spoiled(column: str, value: object) -> pd.DataFrame:
    table = PREDICTIONS.astype({column: object}) if isinstance(value, str) else PREDICTIONS.copy()
    table.loc[3, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (PREDICTIONS.drop(columns=["expected", "variant"]), "columns are missing: variant, expected"),
        (spoiled("score", np.nan), "score is not finite in 1 rows: radiation prevalence ACH-000003"),
        (spoiled("expected", np.inf), "expected is not finite"),
        (spoiled("probability", np.nan), "probability is not finite"),
        (spoiled("response", np.nan), "response is not finite"),
        (spoiled("residual", -np.inf), "residual is infinite in 1 rows"),
        (spoiled("label", 0.5), r"label is neither 0 nor 1: 0\.5"),
        (spoiled("top_third", 2.0), r"top_third is neither 0 nor 1: 2\.0"),
        (pd.concat([PREDICTIONS, PREDICTIONS.iloc[:2]]), "scored twice in one held-out set: radiation prev"),
        (spoiled("score", np.nan).assign(label=3.0), r"(?s)score is not finite.*label is neither"),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused(table: pd.DataFrame, match: str) -> None:
    for function in (check_predictions, pooled):
        with pytest.raises(SchemaError, match=match):
            function(table)
    for measure in (assess, per_lineage):
        with pytest.raises(SchemaError, match=match):
            measure(table, draws=DRAWS, seed=SEED)
