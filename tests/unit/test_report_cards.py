"""Model cards say how good a model is, beside the best baseline, and what it cannot tell."""

from __future__ import annotations

import pandas as pd
import pytest
from report_study import make_results

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TASKS, TaskName, TrainConfig
from crossres_ml.evaluation.metrics import METRICS, WITHOUT_DIRECTION
from crossres_ml.report.cards import LIMITS, model_card
from crossres_ml.report.summary import Interval, Summary


@pytest.fixture(scope="module")
def summary(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> Summary:
    return make_results(tmp_path_factory.mktemp("made"), cohort, small_config, splits)


def card(summary: Summary, task: TaskName, **changes: object) -> str:
    return model_card(
        task, summary.tasks[task].model_copy(update=changes), summary.data.model_copy(update={"kind": "real"})
    )


def shown(i: Interval) -> str:
    return f"{i.value:.3f} ({i.low:.3f} to {i.high:.3f})"


@pytest.mark.parametrize("task", TASKS)
def test_it_shows_champion_baseline_and_difference(summary: Summary, task: TaskName) -> None:
    text, section = card(summary, task), summary.tasks[task]
    own = section.models[section.champion]["cell_line_out"]
    naive = section.models[section.best_baseline]["cell_line_out"]
    differences = section.paired_difference["cell_line_out"]
    assert set(differences) == set(METRICS) - WITHOUT_DIRECTION
    for metric, difference in differences.items():
        row = f"| {metric} | {shown(own[metric])} | {shown(naive[metric])} | {shown(difference)} |"
        assert row in text.splitlines()
    assert f"prevalence {section.prevalence:.2f}" in text
    assert str(summary.data.lines_both) in text
    assert LIMITS in text
    assert section.champion in text.splitlines()[0]


def test_limits_say_what_must_be_said() -> None:
    for words in ("Research use only", "Not for diagnosis", "no stroma", "need not\ncause"):
        assert words in LIMITS


def test_simulated_is_said_before_anything_else(summary: Summary) -> None:
    assert summary.data.kind == "simulated"
    simulated = model_card("cross", summary.tasks["cross"], summary.data)
    assert simulated.splitlines()[2].startswith("**SIMULATED")
    assert "SIMULATED" not in card(summary, "cross")


def test_what_is_not_defined_is_said(summary: Summary) -> None:
    section = summary.tasks["cross"]
    differences = dict(section.paired_difference["cell_line_out"])
    differences["brier"] = Interval(value=None, low=None, high=None)
    differences["auroc"] = Interval(value=0.25, low=None, high=None)
    text = card(summary, "cross", paired_difference={"cell_line_out": differences})
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert rows["| brier"].endswith("| not defined |")
    assert rows["| auroc"].endswith("| 0.250 |")
