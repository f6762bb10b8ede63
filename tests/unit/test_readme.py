"""The README's numbers are those of the saved run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from report_audit import REASONS, make_audit
from report_study import as_real, make_results, without_audit

from crossres_ml.audit.verdicts import MEANING
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.report import audit_doc
from crossres_ml.report.audit_run import SYMBOLS
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


def test_claims_and_calibrated_p_stand_after_the_named_genes(made: Summary) -> None:
    lines = results_block(made).splitlines()
    gene = next(line for line in lines if line.startswith("| TP53 |"))
    assert gene.count("; p .010 |") == 3
    top = "\u25c6 supported, top driver +0.30 (+0.22 to +0.38)"
    assert f"| C01 TP53 loss | {top} | {top} | {top} |" in lines
    nothing = "\u00d7 not measurable"
    assert f"| C15 miR-451 loss | {nothing} | {nothing} | {nothing} |" in lines
    near = "\u25c6 supported\\* +0.40 (+0.20 to +0.60)"
    assert f"| C20 Mechanism 2 (I2 between tissues) | {near} | {near} | {near} |" in lines
    assert lines.index(gene) < lines.index("| claim | radiation | chemotherapy | both |")
    assert any(line.startswith("The controls passed.") for line in lines)


def test_a_closed_gate_is_said(made: Summary, tmp_path: Path) -> None:
    closed = made.model_copy(update={"audit": make_audit(tmp_path, gate_open=False)})
    assert f"**Controls failed, so nothing is concluded**: {REASONS[0]}." in results_block(closed)


def test_without_an_audit_there_is_no_table_of_claims(made: Summary) -> None:
    block = results_block(without_audit(made))
    assert "| claim |" not in block
    assert "; p ." not in block


def test_the_worked_gene_of_the_audit_is_that_of_the_saved_run() -> None:
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    assert text.count(audit_doc.BEGIN) == text.count(audit_doc.END) == 1
    assert audit_doc.worked_gene(saved()) in text


def test_the_worked_gene_is_told_step_by_step(made: Summary) -> None:
    lines = audit_doc.worked_gene(made).splitlines()
    assert lines[0] == audit_doc.BEGIN
    assert lines[-1] == audit_doc.END
    assert lines[1] == "Measured by RAD51, measured; 99 permutations; the gate was open."
    effect = "+0.01 (-0.07 to +0.09)"
    assert f"| 2. effect, adjusted for tissue (95 %) | {effect} | {effect} | {effect} |" in lines
    assert "| 4. calibrated p of its SHAP | .310 | .310 | .310 |" in lines
    assert "| 5. verdict | not supported | not supported | not supported |" in lines
    ranks = [made.named_genes["RAD51"][t] for t in TASKS]
    cells = " | ".join(f"{g.rank:,.0f} of {g.of:,}" for g in ranks)
    assert f"| 1. rank among the features of the champion | {cells} |" in lines
    assert "no audit yet" in audit_doc.worked_gene(without_audit(made))


def test_the_page_on_the_audit_knows_every_verdict() -> None:
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    for word, symbol in SYMBOLS.items():
        assert f"| &#{ord(symbol)}; | {word} |" in text
    assert set(SYMBOLS) == set(MEANING)
