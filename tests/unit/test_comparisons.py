"""Ways to "both" and the learning curve: against single folds measured by scipy, on made-up predictions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from crossres_ml.errors import SchemaError
from crossres_ml.evaluation.comparisons import APPROACHES, BOTH_METRICS, compare_both, learning_curve

DRAWS = {"draws": 100, "seed": 3}
SCORES = {"spearman": "response", "auroc": "label", "average_precision": "label"}


def predictions(
    models: dict[str, dict[str, float]], *, task: str = "cross", repeats: int = 2
) -> pd.DataFrame:
    """Model -> variant -> how much of the response its score holds; variants but full on the first repeat."""
    rng, lines = np.random.default_rng(4), [f"L{i:02d}" for i in range(90)]
    response = pd.Series(rng.normal(size=90), lines)
    parts = []
    for repeat in range(repeats):
        fold_of = rng.permutation(90) % 3
        for model, variants in models.items():
            for variant, share in variants.items():
                if variant != "full" and repeat:
                    continue
                score = share * response + rng.normal(size=90)
                made = pd.DataFrame(
                    {"model_id": lines, "score": score.to_numpy(), "response": response.to_numpy()}
                )
                parts.append(
                    made.assign(model=model, variant=variant, repeat=repeat, fold=fold_of.astype(str))
                )
    table = pd.concat(parts, ignore_index=True)
    label = (table.response > 0.4).astype(float)
    return table.assign(
        task=task, mode="cell_line_out", label=label, top_third=label, expected=table.score, probability=0.5,
        residual=table.response, lineage="A", group=table.model_id, inner_spearman=0.0,
    )  # fmt: skip


def by_hand(rows: pd.DataFrame, metric: str) -> float:
    """Mean over held-out sets, large ones counting more."""
    measure = {
        "spearman": lambda p: spearmanr(p.score, p.response).statistic,
        "auroc": lambda p: roc_auc_score(p.label, p.score),
        "average_precision": lambda p: average_precision_score(p.label, p.score),
    }[metric]
    sets = [p for _, p in rows.groupby(["repeat", "fold"])]
    return float(np.average([measure(p) for p in sets], weights=[len(p) for p in sets]))


def test_every_pair_of_ways_is_compared_on_the_same_sets() -> None:
    ways = dict(zip(APPROACHES, (0.5, 1.0, 0.9, 0.2, 1.5), strict=True))
    table = predictions({m: {"full": s, "permuted": 0.0} for m, s in ways.items()} | {"ridge": {"full": 2.0}})
    out = compare_both(table, **DRAWS)
    assert list(zip(out.against, out.model, strict=True))[::3] == list(combinations(APPROACHES, 2))
    full = table[table.variant == "full"]
    for row in out.to_dict("records"):
        expected = [by_hand(full[full.model == row[k]], row["metric"]) for k in ("model", "against")]
        assert row["value"] == pytest.approx(expected[0] - expected[1])
        assert row["low"] < row["value"] < row["high"]
    assert set(out.metric) == set(BOTH_METRICS)


def test_one_way_alone_and_other_tasks_are_not_compared() -> None:
    assert compare_both(predictions({"gp": {"full": 1.0}, "ridge": {"full": 1.0}}), **DRAWS).empty
    both = {"gp": {"full": 1.0}, "stack": {"full": 1.0}}
    assert compare_both(predictions(both, task="radiation"), **DRAWS).empty


def test_all_shares_of_a_learning_curve_are_measured_on_the_same_sets() -> None:
    table = predictions(
        {
            "gp": {"full": 2.0, "train_25": 0.3, "train_50": 1.0, "permuted": 0.0, "rna_retrained": 0.5},
            "ridge": {"full": 1.0},
        }
    )
    out = learning_curve(table, **DRAWS)
    assert list(out.share) == [25, 50, 100]
    assert set(out.model) == {"gp"}
    assert set(out.n) == {90}
    names = {25: "train_25", 50: "train_50", 100: "full"}
    first = table[(table.model == "gp") & (table.repeat == 0)]
    for row in out.to_dict("records"):
        own = first[first.variant == names[row["share"]]]
        assert row["value"] == pytest.approx(by_hand(own, "spearman"))
        assert row["low"] < row["value"] < row["high"]


def test_without_shares_there_is_no_curve() -> None:
    out = learning_curve(predictions({"gp": {"full": 1.0, "permuted": 0.0}}), **DRAWS)
    assert out.empty
    assert list(out) == ["task", "model", "share", "n", "value", "low", "high"]


@pytest.mark.parametrize("measure", [compare_both, learning_curve])
def test_a_score_that_is_no_number_is_refused(measure: object) -> None:
    table = predictions({"gp": {"full": 1.0}})
    table.loc[0, "score"] = np.nan
    with pytest.raises(SchemaError, match="score is not finite"):
        measure(table, **DRAWS)  # type: ignore[operator]
