"""The README's numbers are those of the saved run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from report_study import as_real, make_results

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TASKS, TrainConfig
from crossres_ml.report.readme import BEGIN, END, RECORD, results_block
from crossres_ml.report.summary import Summary
from crossres_ml.report.words import DASH, HAVE_NAMES, number, plain, shown

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("auroc", "spearman", "r2", "average_precision")


def saved() -> Summary:
    return Summary.model_validate_json((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> Summary:
    """A made-up run with everything that a run can have, as if its data were real."""
    return as_real(make_results(tmp_path_factory.mktemp("made"), cohort, small_config, splits))


def test_the_readme_shows_the_saved_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert results_block(saved()) in text


def test_another_number_would_be_seen() -> None:
    summary = saved()
    data = summary.data.model_copy(update={"lines_both": summary.data.lines_both + 1})
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert results_block(summary.model_copy(update={"data": data})) not in text


def test_simulated_numbers_are_refused() -> None:
    summary = saved()
    data = summary.data.model_copy(update={"kind": "simulated"})
    with pytest.raises(ValueError, match="no results to publish"):
        results_block(summary.model_copy(update={"data": data}))


def test_skill_stands_under_the_best_baseline_of_its_mode(made: Summary) -> None:
    lines = results_block(made).splitlines()
    names = {"cell_line_out": "cell line out", "lineage_out": "lineage out", "study_out": "study out"}
    for task, section in made.tasks.items():
        for mode, difference in section.paired_difference.items():
            rows = []
            for model, role in ((section.paired_baseline[mode], ""), (section.champion, " (champion)")):
                values = section.models[model][mode]
                cells = " | ".join(shown(values[m]) for m in METRICS)
                first = f"| {task} | {names[mode]} ({section.scored_lines[mode]}) | {plain(model)}{role}"
                rows.append(f"{first} | {cells}; {number(values['prevalence'].value)} |")
            cells = " | ".join(shown(difference[m], sign=True) for m in METRICS)
            rows.append(f"| | | *difference, paired* | {cells} |")
            at = lines.index(rows[0])
            assert lines[at : at + 3] == rows
    assert sum("study out" in line for line in lines) == 2


def test_what_you_have_is_a_row_for_each_kind_of_measurement(made: Summary) -> None:
    lines = results_block(made).splitlines()
    for variant, name in HAVE_NAMES.items():
        cells = []
        for task in TASKS:
            have = made.tasks[task].what_you_have
            assert have is not None
            anew = shown(have.retrained[variant]["spearman"]) if variant in have.retrained else DASH
            cells.append(f"{shown(have.hidden[variant]['spearman'])} / {anew}")
        assert f"| {name} | {' | '.join(cells)} |" in lines
    assert any("cross: ridge); after the stroke, gp fitted anew" in line for line in lines)


def test_pooled_skill_stands_beside_the_record(made: Summary) -> None:
    lines = results_block(made).splitlines()
    assert RECORD == {"radiation": (0.244, 0.246), "chemotherapy": (0.369, 0.465), "cross": (0.394, 0.288)}
    for task, (forest, net) in RECORD.items():
        own = made.tasks[task].pooled["ridge"]
        numbers = " | ".join(f"{own[m]:.3f}" for m in ("spearman", "auroc", "r2"))
        assert f"| {task} | {forest:.3f} | {net:.3f} | ridge | {numbers} |" in lines
    assert any(line.startswith("R2 = 0.01 (-0.05 to 0.09)") for line in lines)


def test_both_says_who_leads(made: Summary) -> None:
    both = made.both
    assert both is not None
    first, second = map(plain, both.order["cell_line_out"])
    lead = shown(both.lead["cell_line_out"]["spearman"], sign=True)
    assert f"{first} minus {second}: {lead}." in results_block(made).splitlines()


def test_what_a_run_lacks_is_left_out(made: Summary) -> None:
    raw = made.model_dump(mode="json") | {"schema_version": 1, "both": None}
    for task in raw["tasks"].values():
        task |= {"what_you_have": None, "pooled": {}}
        for modes in task["models"].values():
            for metrics in modes.values():
                del metrics["r2"]
    block = results_block(Summary.model_validate(raw))
    for words in ("drevalpy", "with what you have", '"Both"'):
        assert words in results_block(made)
        assert words not in block
    assert f" | {DASH} | " in block  # R2


def test_without_models_fitted_anew_there_is_one_value_a_cell(made: Summary) -> None:
    raw = made.model_dump(mode="json")
    for task in raw["tasks"].values():
        task["what_you_have"] |= {"retrained_model": None, "retrained": {}}
        task["what_you_have"]["hidden"]["rna"]["spearman"] = {"value": None, "low": None, "high": None}
    block = results_block(Summary.model_validate(raw))
    assert "fitted anew" not in block
    assert " / " not in block
    assert f"| RNA | {DASH} |" not in block  # a row without any number
    assert "| RNA + mutations | 0." in block
