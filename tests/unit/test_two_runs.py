"""Two runs compared: differences by hand, on the same sets or not, and pairs that are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from test_comparisons import by_hand, predictions

from crossres_ml.errors import RunError
from crossres_ml.evaluation.two_runs import DIFFERENCE, FIRST, SECOND, compare_runs

QUICK = {"draws": 200, "seed": 1}


def pair(first: float = 1.0, second: float = 0.3, **more: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two models with so much of the response in their scores."""
    table = predictions({"gp": {"full": first}, "ridge": {"full": second}}, **more)
    return table[table.model == "gp"], table[table.model == "ridge"]


def test_difference_is_that_of_the_held_out_sets_and_has_an_interval() -> None:
    one, two = pair()
    found = compare_runs(one, two, **QUICK)
    for metric in ("spearman", "auroc"):
        first, second = by_hand(one, metric), by_hand(two, metric)
        assert found.of(metric, FIRST)["value"] == pytest.approx(first)
        assert found.of(metric, SECOND)["value"] == pytest.approx(second)
        difference = found.of(metric, DIFFERENCE)
        assert difference["value"] == pytest.approx(first - second)
        assert difference["low"] < difference["value"] < difference["high"]
    assert found.of("spearman", DIFFERENCE)["low"] > 0
    assert (found.lines, found.groups, found.notes) == (90, 90, ())
    back = compare_runs(two, one, **QUICK).of("spearman", DIFFERENCE)
    assert back["low"] == pytest.approx(-found.of("spearman", DIFFERENCE)["high"])


def test_a_run_does_not_differ_from_itself() -> None:
    one, _ = pair()
    assert compare_runs(one, one, **QUICK).of("spearman", DIFFERENCE) == {"value": 0, "low": 0, "high": 0}


def test_relatives_in_either_run_are_drawn_together() -> None:
    one, two = pair()
    lines = sorted(one.model_id.unique())
    first = dict(zip(lines, np.repeat(lines[::3], 3), strict=True))  # threes, named after the first line
    last = dict(zip(lines, np.repeat(lines[2::3], 3), strict=True))  # the same threes under other names
    apart = compare_runs(one, two, **QUICK)
    for other in (two.model_id, two.model_id.map(last)):
        a, b = one.assign(group=one.model_id.map(first)), two.assign(group=other)
        for found in (compare_runs(a, b, **QUICK), compare_runs(b, a, **QUICK)):
            assert found.groups == 30
            assert found.lines == 90
            assert found.of("spearman", DIFFERENCE)["low"] != apart.of("spearman", DIFFERENCE)["low"]


def test_one_repeat_is_compared_with_the_same_repeat_alone() -> None:
    one, two = pair()
    again = two[two.repeat == 1].assign(repeat=0)  # the same sets under another number
    found = compare_runs(one, again, ("spearman",), **QUICK)
    assert found.notes == ()
    assert found.of("spearman", FIRST)["value"] == pytest.approx(by_hand(one[one.repeat == 1], "spearman"))


def test_lines_of_one_run_only_are_left_out_and_said() -> None:
    one, two = pair()
    few = two[two.model_id >= "L20"]
    found = compare_runs(one, few, ("spearman",), **QUICK)
    assert found.lines == 70
    assert found.notes == ("lines held out in one run only are left out: 20 of the first, 0 of the second",)
    expected = by_hand(one[one.model_id >= "L20"], "spearman") - by_hand(few, "spearman")
    assert found.of("spearman", DIFFERENCE)["value"] == pytest.approx(expected)


def test_other_sets_are_said_and_ranked_within_their_own() -> None:
    one, two = pair()
    fold = (two.model_id.str[1:].astype(int) % 4).astype(str)
    found = compare_runs(one, two.assign(fold=fold), ("spearman",), **QUICK)
    assert found.notes == ("the held-out sets differ: each run's lines are ranked within its own sets",)
    sets = [p for _, p in two.assign(fold=fold).groupby(["repeat", "fold"])]
    rho = [spearmanr(p.score, p.response).statistic for p in sets]
    expected = np.average(rho, weights=[len(p) for p in sets])
    assert found.of("spearman", SECOND)["value"] == pytest.approx(expected)


def test_percentile_ranks_may_be_learned_on_other_lines_but_not_be_others() -> None:
    one, two = pair(task="cross")
    found = compare_runs(one, two.assign(response=two.response + 0.01 * two.score), **QUICK)
    assert found.notes == ("percentile ranks of the responses were learned on other training lines",)
    with pytest.raises(RunError, match=r"90 of 90 lines have another response in the other run \(r = -1"):
        compare_runs(one, two.assign(response=-two.response), **QUICK)


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = pair(task="radiation")
    with pytest.raises(RunError, match="different tasks: radiation and chemotherapy"):
        compare_runs(one, two.assign(task="chemotherapy"), **QUICK)
    with pytest.raises(RunError, match=r"29 lines are held out in both runs, of 90 and 29; at least 30"):
        compare_runs(one, two[two.model_id >= "L61"], **QUICK)
    with pytest.raises(RunError, match="0 lines are held out in both"):
        compare_runs(one, two.assign(model_id="X" + two.model_id), **QUICK)
    other = two.response.where(two.model_id != "L07", two.response + 0.01)
    with pytest.raises(RunError, match=r"1 of 90 lines have another response .*: L07"):
        compare_runs(one, two.assign(response=other), **QUICK)
