"""Variants are compared with the full model on the same held-out lines, against a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from crossres_ml.errors import SchemaError
from crossres_ml.evaluation.draws import interval, line_weights
from crossres_ml.evaluation.metrics import METRICS
from crossres_ml.evaluation.skill import assess
from crossres_ml.evaluation.variants import COLUMNS, summarise_variants

DRAWS, SEED, N = 100, 3, 60
KNOWN = {"full": 1.0, "rna": 0.6, "train_25": 0.3, "permuted": 0.0}
"""How much of the response the score of a variant holds."""


def made() -> pd.DataFrame:
    """Two models, two repeats of three folds; ``ridge`` with variants, most of them on one repeat."""
    rng = np.random.default_rng(6)
    y = rng.normal(size=N)
    parts = []
    for repeat in range(2):
        fold = pd.Series(rng.permutation(np.arange(N) % 3)).astype(str)
        for model in ("prevalence", "ridge"):
            for variant, known in KNOWN.items():
                if variant != "full" and (model != "ridge" or (repeat and variant != "rna")):
                    continue
                response = rng.permutation(y) if variant == "permuted" else y
                score = known * y + 0.5 * rng.normal(size=N)
                parts.append(
                    pd.DataFrame(
                        {
                            "model_id": [f"ACH-{i:06d}" for i in range(N)],
                            "group": [f"G{i // 2}" for i in range(N)],
                            "lineage": "Lung", "response": response, "residual": response,
                            "label": (response > 0.4) * 1.0, "top_third": (response > 0.4) * 1.0,
                            "score": score, "expected": score, "probability": 1 / (1 + np.exp(1 - score)),
                            "model": model, "variant": variant, "repeat": repeat, "fold": fold,
                            "task": "radiation", "mode": "cell_line_out", "inner_spearman": 0.2,
                        }
                    )
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


PREDICTIONS = made()
FOUND = summarise_variants(PREDICTIONS, draws=DRAWS, seed=SEED)


def loop(rows: pd.DataFrame, weight: pd.Series, metric: str) -> float:
    values, sizes = [], []
    for _, fold in rows.groupby(["repeat", "fold"]):
        again = fold.loc[fold.index.repeat(weight[fold.model_id].astype(int))]
        values.append(
            stats.spearmanr(again.score, again.response).statistic
            if metric == "spearman"
            else r2_score(again.response, again.expected)
        )
        sizes.append(len(again))
    return float(np.average(values, weights=sizes))


@pytest.mark.parametrize("metric", ["spearman", "r2"])
@pytest.mark.parametrize("variant", ["rna", "train_25", "permuted"])
def test_values_and_differences_are_those_of_a_loop(variant: str, metric: str) -> None:
    ridge = PREDICTIONS[PREDICTIONS.model == "ridge"]
    own, full = ridge[ridge.variant == variant], ridge[ridge.variant == "full"]
    full = full[full["repeat"].isin(own["repeat"].unique())]
    weights = line_weights(own, DRAWS, SEED)
    mine, theirs = (np.array([loop(r, w, metric) for _, w in weights.items()]) for r in (own, full))
    (row,) = FOUND[(FOUND.variant == variant) & (FOUND.metric == metric)].to_dict("records")
    assert row["n"] == N
    assert {k: row[k] for k in ("value", "low", "high")} == pytest.approx(interval(mine))
    assert row["full"] == pytest.approx(theirs[0])
    difference = interval(mine - theirs)
    assert row["difference"] == pytest.approx(difference["value"])
    assert [row["difference_low"], row["difference_high"]] == pytest.approx(
        [difference["low"], difference["high"]]
    )


def test_a_row_for_each_variant_and_metric_of_a_model_that_has_variants() -> None:
    assert tuple(FOUND.columns) == COLUMNS
    rows = set(zip(FOUND.model, FOUND.variant, FOUND.metric, strict=True))
    assert rows == {("ridge", v, m) for v in KNOWN for m in METRICS}
    assert len(FOUND) == len(rows)


def test_the_full_model_is_given_on_all_lines_of_its_variants() -> None:
    full = FOUND[FOUND.variant == "full"].set_index("metric")
    metrics = assess(PREDICTIONS, draws=DRAWS, seed=SEED).metrics
    expected = metrics[metrics.model == "ridge"].set_index("metric")
    columns = ["n", "value", "low", "high"]
    pdt.assert_frame_equal(full[columns], expected[columns], rtol=1e-12, check_index_type=False)
    assert full[["full", "difference", "difference_low", "difference_high"]].isna().all(axis=None)


def test_less_is_less_and_permuted_labels_are_chance() -> None:
    value = FOUND[FOUND.metric == "spearman"].set_index("variant")
    assert value.value["full"] > value.value["rna"] > value.value["train_25"]
    assert value.difference_high["train_25"] < 0
    assert value.low["permuted"] < 0 < value.high["permuted"]


def test_lines_that_a_variant_lacks_are_left_out_of_both_sides() -> None:
    lost = (PREDICTIONS.variant == "rna") & (PREDICTIONS.model_id < "ACH-000020")
    found = summarise_variants(PREDICTIONS[~lost], draws=DRAWS, seed=SEED)
    (row,) = found[(found.variant == "rna") & (found.metric == "r2")].to_dict("records")
    full = PREDICTIONS[(PREDICTIONS.variant == "full") & (PREDICTIONS.model == "ridge")]
    full = full[full.model_id >= "ACH-000020"]
    assert row["n"] == N - 20
    assert row["full"] == pytest.approx(loop(full, pd.Series(1, full.model_id.unique()), "r2"))


def test_rows_in_another_order_and_more_processes_change_nothing() -> None:
    shuffled = PREDICTIONS.sample(frac=1, random_state=1)
    found = summarise_variants(shuffled, draws=DRAWS, seed=SEED, jobs=2)
    pdt.assert_frame_equal(found, FOUND, rtol=1e-12)


def test_no_variants_give_an_empty_table() -> None:
    found = summarise_variants(PREDICTIONS[PREDICTIONS.variant == "full"], draws=DRAWS, seed=SEED)
    assert tuple(found.columns) == COLUMNS
    assert found.empty


def test_a_variant_without_its_full_model_is_refused() -> None:
    lost = (PREDICTIONS.variant == "full") & (PREDICTIONS.model == "ridge") & (PREDICTIONS.fold == "1")
    with pytest.raises(SchemaError, match=r"variants of ridge are scored where the full model is not.*ACH-"):
        summarise_variants(PREDICTIONS[~lost], draws=DRAWS, seed=SEED)


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(SchemaError, match="columns are missing: residual"):
        summarise_variants(PREDICTIONS.drop(columns="residual"), draws=DRAWS, seed=SEED)
