"""Model cards say how good a model is, beside the best baseline, and what it cannot tell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from report_audit import make_audit
from report_study import as_real, make_results

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.metrics import METRICS, WITHOUT_DIRECTION
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.cards import LIMITS, Ingredients, model_card
from crossres_ml.report.summary import Interval, Summary
from crossres_ml.report.words import HAVE_NAMES, METRIC_NAMES, plain
from crossres_ml.report.words import shown as written

MADE_OF = Ingredients({"alpha": 300.0, "random_state": None}, {"rna": 1234, "profile": 30}, 217, spread=True)


@pytest.fixture(scope="module")
def summary(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> Summary:
    return make_results(tmp_path_factory.mktemp("made"), cohort, small_config, splits)


def card(summary: Summary, task: TaskName, made_of: Ingredients = MADE_OF, **changes: object) -> str:
    section = summary.tasks[task].model_copy(update=changes)
    return model_card(task, section, as_real(summary).data, made_of)


def shown(i: Interval, *, sign: bool = False) -> str:
    return written(i, 3, sign=sign, missing="not defined")


@pytest.mark.parametrize("task", TASKS)
def test_it_shows_champion_baseline_and_difference(summary: Summary, task: TaskName) -> None:
    text, section = card(summary, task), summary.tasks[task]
    own = section.models[section.champion]["cell_line_out"]
    naive = section.models[section.best_baseline]["cell_line_out"]
    differences = section.paired_difference["cell_line_out"]
    assert set(differences) == set(METRICS) - WITHOUT_DIRECTION
    assert set(METRIC_NAMES) | {"prevalence"} == set(METRICS)
    for metric, name in METRIC_NAMES.items():
        difference = shown(differences[metric], sign=True) if metric in differences else ""
        assert (
            f"| {name} | {shown(own[metric])} | {shown(naive[metric])} | {difference} |" in text.splitlines()
        )
    assert f"prevalence {section.prevalence:.2f}" in text
    assert str(summary.data.lines_both) in text
    assert LIMITS in text
    assert plain(section.champion) in text.splitlines()[0]


@pytest.mark.parametrize("task", TASKS)
def test_it_says_what_to_expect_with_less_and_further_away(summary: Summary, task: TaskName) -> None:
    lines, section = card(summary, task).splitlines(), summary.tasks[task]
    have = section.what_you_have
    assert have is not None
    assert "| measured | ridge, the rest hidden | gp, fitted anew on that alone |" in lines
    for variant, name in HAVE_NAMES.items():
        anew = shown(have.retrained[variant]["spearman"]) if variant in have.retrained else ""
        assert f"| {name} | {shown(have.hidden[variant]['spearman'])} | {anew} |" in lines
    far = section.models[section.champion]["lineage_out"]
    said = f"Spearman {shown(far['spearman'])}, AUROC {shown(far['auroc'])}."
    assert f"In a tissue that it never saw: {said}" in lines
    assert any(line.startswith("In another drug screen: ") for line in lines) == (task == "chemotherapy")


def test_it_says_what_it_is_made_of(summary: Summary) -> None:
    text = card(summary, "cross")
    assert ABOUT["ridge"] in text
    assert "Features that it was offered: predicted drug profile 30, rna 1,234." in text
    assert "| alpha | 300.0 |" in text
    assert "random state" not in text
    assert "217 training lines" in text
    slope = summary.tasks["cross"].models["ridge"]["cell_line_out"]["calibration_slope"]
    assert f"too extreme): {shown(slope)}" in text


def test_it_says_what_the_spread_means_where_there_is_one(summary: Summary) -> None:
    assert "posterior standard deviation" in card(summary, "cross")
    unsure = card(summary, "cross", Ingredients({}, {}, 1, spread=False))
    assert "has no spread" in unsure
    assert "posterior" not in unsure
    assert "| parameter |" not in unsure


def test_without_side_runs_it_says_so(summary: Summary) -> None:
    assert "Not measured in this run." in card(summary, "cross", what_you_have=None)
    have = summary.tasks["cross"].what_you_have
    assert have is not None
    alone = have.model_copy(update={"retrained": {}, "retrained_model": None})
    assert "| measured | ridge, the rest hidden |" in card(summary, "cross", what_you_have=alone).splitlines()


def test_limits_say_what_must_be_said() -> None:
    for words in ("Research use only", "Not for diagnosis", "no stroma", "need not\ncause"):
        assert words in LIMITS


def test_simulated_is_said_before_anything_else(summary: Summary) -> None:
    assert summary.data.kind == "simulated"
    simulated = model_card("cross", summary.tasks["cross"], summary.data, MADE_OF)
    assert simulated.splitlines()[2].startswith("**SIMULATED")
    assert "SIMULATED" not in card(summary, "cross")


def test_what_is_not_defined_is_said(summary: Summary) -> None:
    section = summary.tasks["cross"]
    differences = dict(section.paired_difference["cell_line_out"])
    differences["brier"] = Interval(value=None, low=None, high=None)
    differences["auroc"] = Interval(value=0.25, low=None, high=None)
    text = card(summary, "cross", paired_difference={"cell_line_out": differences})
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert rows["| Brier"].endswith("| not defined |")
    assert rows["| AUROC"].endswith("| +0.250 |")


def test_it_tells_the_claims_for_its_task(summary: Summary) -> None:
    genes = {"TP53": 0.01, "BIRC5": None}
    text = model_card("radiation", summary.tasks["radiation"], summary.data, MADE_OF, summary.audit, genes)
    lines = text.splitlines()
    counts = "1 lost after adjustment, 1 contradicted, 1 not supported, 1 underpowered, 1 not measurable."
    assert f"Of 10 claims: 5 supported, {counts}" in lines
    assert "- C01 TP53 loss: +0.30 (+0.22 to +0.38) (partial r)" in lines
    assert "Calibrated p of the named genes: TP53 .010; BIRC5 \u2013." in lines
    assert lines.index("## Claims") < lines.index("## What it is made of")
    cross = model_card("cross", summary.tasks["cross"], summary.data, MADE_OF, summary.audit, genes)
    assert "## Claims" in cross
    assert "## Claims" not in card(summary, "cross")


def test_a_closed_gate_is_said_on_the_card(summary: Summary, tmp_path: Path) -> None:
    closed = make_audit(tmp_path, gate_open=False)
    text = model_card("cross", summary.tasks["cross"], summary.data, MADE_OF, closed, {})
    assert "Controls failed: nothing is concluded on any claim." in text
    assert "Supported" not in text
    assert "withheld" not in text
