"""The summary: what other tools rely on. Its schema refuses what it does not know."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from report_study import SIDE, make_results, saved_tables

from crossres_ml.artifacts import write_json
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.metrics import METRICS
from crossres_ml.report.summary import (
    HAVE,
    SCHEMA_VERSION,
    SkillTables,
    Summary,
    build_summary,
    summarise_both,
    summarise_task,
)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("made")
    return folder, make_results(folder, cohort, small_config, splits)


def without(tables: SkillTables, **changes: pd.DataFrame) -> SkillTables:
    return dataclasses.replace(tables, **changes)


def nearly(row: dict[str, object]) -> dict[str, object]:
    return {k: None if pd.isna(row[k]) else pytest.approx(row[k], rel=1e-9) for k in ("value", "low", "high")}


def test_it_holds_the_numbers_of_the_tables(made: tuple[Path, Summary]) -> None:
    skill, tasks = saved_tables(*made).skill, made[1].tasks
    modes = set(zip(skill.metrics.task, skill.metrics["mode"], strict=True))
    assert modes == {(t, m) for t in TASKS for m in ("cell_line_out", "lineage_out")} | {
        ("chemotherapy", "study_out")
    }
    models = {t: 6 if t == "cross" else 5 for t in TASKS}
    assert len(skill.metrics) == sum(models[t] for t, _ in modes) * len(METRICS)
    for row in skill.metrics.to_dict("records"):
        found = tasks[row["task"]].models[row["model"]][row["mode"]][row["metric"]]
        assert found.model_dump() == nearly(row)
        assert tasks[row["task"]].scored_lines[row["mode"]] == row["n"]
    champions = skill.paired[skill.paired.model == skill.paired.task.map(skill.champion)]
    for row in champions[champions.kind == "baseline"].to_dict("records"):
        section = tasks[row["task"]]
        assert section.paired_difference[row["mode"]][row["metric"]].model_dump() == nearly(row)
        assert section.paired_baseline[row["mode"]] == row["against"]
    for row in champions[champions.kind == "next"].to_dict("records"):
        section = tasks[row["task"]]
        assert section.next_difference[row["mode"]][row["metric"]].model_dump() == nearly(row)
        assert section.next_model[row["mode"]] == row["against"]
    assert (champions.kind == "next").any()
    assert set(tasks["radiation"].paired_difference["cell_line_out"]) == set(champions.metric)
    for task, section in tasks.items():
        rows = skill.metrics.query(f"task == '{task}' and mode == 'cell_line_out' and metric == 'prevalence'")
        assert section.prevalence == pytest.approx(rows.value.iloc[0], abs=1e-9)


def test_written_and_read_it_is_the_same(made: tuple[Path, Summary], tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", made[1].model_dump(mode="json"))
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    assert Summary.model_validate_json(text) == made[1]
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION == 3


def test_pooled_skill_is_the_mean_over_repeats(made: tuple[Path, Summary]) -> None:
    table = saved_tables(*made).pooled
    means = table[table.repeat.astype(str) == "mean"]
    assert len(means) == sum(len(m) for t in made[1].tasks.values() for m in t.pooled.values())
    for row in means.to_dict("records"):
        assert made[1].tasks[row["task"]].pooled[row["model"]][row["metric"]] == pytest.approx(row["value"])


def test_what_you_have_is_the_champion_hidden_and_the_side_model_anew(made: tuple[Path, Summary]) -> None:
    table = saved_tables(*made).variants
    for task, section in made[1].tasks.items():
        have = section.what_you_have
        assert have is not None
        assert have.model == section.champion == "ridge"
        assert list(have.hidden) == list(HAVE)
        assert have.retrained_model == "gp"
        assert list(have.retrained) == ["full", "rna"]
        rows = table[(table.task == task) & (table["mode"] == "cell_line_out")]
        for values, model, suffix in ((have.hidden, "ridge", ""), (have.retrained, "gp", "_retrained")):
            own = rows[rows.model == model].set_index(["variant", "metric"])
            for variant, metrics in values.items():
                for metric, found in metrics.items():
                    row = own.loc[(variant if variant == "full" else variant + suffix, metric)]
                    assert found.model_dump() == nearly(row.to_dict())


@pytest.mark.parametrize(
    ("left", "expected"), [(("gp", "lightgbm"), "gp"), (("lightgbm",), "lightgbm"), (("lineage_mean",), None)]
)
def test_another_model_stands_in_for_a_champion_without_variants(
    made: tuple[Path, Summary], left: tuple[str, ...], expected: str | None
) -> None:
    tables = saved_tables(*made)
    section = summarise_task(
        without(tables, variants=tables.variants[tables.variants.model.isin(left)]), "cross"
    )
    assert (section.what_you_have.model if section.what_you_have else None) == expected


def test_side_runs_of_the_side_models(made: tuple[Path, Summary]) -> None:
    tables = saved_tables(*made)
    for task, section in made[1].tasks.items():
        assert set(section.learning_curve) == set(section.permuted) == set(SIDE)
        own = tables.curve[tables.curve.task == task].set_index(["model", "share"])
        for model, points in section.learning_curve.items():
            assert list(points) == [25, 50, 100]
            for share, found in points.items():
                assert found.model_dump() == nearly(own.loc[(model, share)].to_dict())
        rows = tables.variants.query("variant == 'permuted' and metric == 'spearman'")
        for row in rows[rows.task == task].to_dict("records"):
            assert section.permuted[row["model"]].model_dump() == nearly(row)


def test_both_says_who_leads_and_by_how_much(made: tuple[Path, Summary]) -> None:
    both, table = made[1].both, saved_tables(*made).both
    assert both is not None
    for mode, order in both.order.items():
        models = made[1].tasks["cross"].models
        values = [models[m][mode]["spearman"].value for m in order]
        assert set(order) == {"gp", "mean_of_two"}
        assert values == sorted(values, reverse=True)
        row = table[(table["mode"] == mode) & (table.metric == "spearman")].iloc[0]
        assert (row.model, row.against) == ("mean_of_two", "gp")
        assert both.against_direct[mode]["mean_of_two"]["spearman"].model_dump() == nearly(row.to_dict())
        lead, sign = both.lead[mode]["spearman"], 1 if order[0] == "mean_of_two" else -1
        assert lead.value == pytest.approx(sign * row.value)
        assert [lead.low, lead.high] == pytest.approx(
            [row.low, row.high][::sign] if sign > 0 else [-row.high, -row.low]
        )


def test_without_side_runs_the_sections_are_empty(made: tuple[Path, Summary]) -> None:
    tables = saved_tables(*made)
    nothing = without(
        tables,
        pooled=tables.pooled.iloc[:0],
        variants=tables.variants.iloc[:0],
        curve=pd.DataFrame(),
        both=pd.DataFrame(),
    )
    section = summarise_task(nothing, "cross")
    assert section.pooled == section.learning_curve == section.permuted == {}
    assert section.what_you_have is None
    assert summarise_both(nothing) is None
    alone = without(tables, both=tables.both.assign(against="mean_of_two", model="joint_gp"))
    assert summarise_both(alone) is None


def test_a_file_of_version_1_can_be_read(made: tuple[Path, Summary]) -> None:
    raw = made[1].model_dump(mode="json") | {"schema_version": 1}
    del raw["both"]
    new = ("next_model", "next_difference", "pooled", "what_you_have", "learning_curve", "permuted")
    for task in raw["tasks"].values():
        for key in new:
            del task[key]
    old = Summary.model_validate(raw)
    assert old.tasks["cross"].models == made[1].tasks["cross"].models
    with pytest.raises(ValidationError, match="schema_version"):
        Summary.model_validate(raw | {"schema_version": 4})


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_null(made: tuple[Path, Summary], tmp_path: Path, hole: float) -> None:
    tables = saved_tables(*made)
    tables.skill.metrics.loc[0, ["value", "low", "high"]] = hole
    row = tables.skill.metrics.loc[0]
    tables.pooled.loc[tables.pooled.repeat.astype(str) == "mean", "value"] = hole
    section = summarise_task(tables, row.task)
    assert {v for metrics in section.pooled.values() for v in metrics.values()} == {None}
    found = section.models[row.model][row["mode"]][row.metric]
    assert found.model_dump() == {"value": None, "low": None, "high": None}
    write_json(tmp_path / "task.json", section.model_dump(mode="json"))
    assert "NaN" not in (tmp_path / "task.json").read_text(encoding="utf-8")


def with_key(raw: dict[str, object], where: tuple[str, ...]) -> dict[str, object]:
    """Set a value deep inside a copy."""
    out = json.loads(json.dumps(raw))
    place = out
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = "unexpected"
    return out


@pytest.mark.parametrize(
    "where",
    [
        ("more",),
        ("data", "more"),
        ("tasks", "more"),
        ("tasks", "cross", "more"),
        ("tasks", "cross", "models", "ridge", "drug_out"),
        ("tasks", "cross", "models", "ridge", "cell_line_out", "auroc", "more"),
        ("tasks", "cross", "what_you_have", "more"),
        ("tasks", "cross", "next_difference", "drug_out"),
        ("both", "more"),
        ("named_genes", "TP53", "more"),
        ("named_genes", "TP53", "cross", "more"),
        ("data", "kind"),
        ("peak_rss_mb",),
    ],
)
def test_an_unknown_key_or_a_wrong_value_is_refused(
    made: tuple[Path, Summary], where: tuple[str, ...]
) -> None:
    raw = made[1].model_dump(mode="json")
    with pytest.raises(ValidationError, match=where[-1]):
        Summary.model_validate(with_key(raw, where))


@pytest.mark.parametrize("key", ["data", "tasks", "named_genes", "timings", "peak_rss_mb"])
def test_nothing_may_be_missing(made: tuple[Path, Summary], key: str) -> None:
    raw = made[1].model_dump(mode="json")
    del raw[key]
    with pytest.raises(ValidationError, match=key):
        Summary.model_validate(raw)


def test_it_cannot_be_changed(made: tuple[Path, Summary]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        made[1].peak_rss_mb = 1.0  # type: ignore[misc]


def test_named_genes_of_all_tasks_in_order(made: tuple[Path, Summary]) -> None:
    entry = {"rank": 2.5, "of": 10, "percentile": 83.3, "sign": -1, "measurement": "rna:B", "n": 7, "p": None}
    nothing = dict.fromkeys(("rank", "of", "percentile", "sign", "measurement", "p")) | {"n": 0}
    named = {t: {"B": entry, "A": nothing} for t in TASKS}
    summary = build_summary(made[1].data, saved_tables(*made), named, {"skill": 1.23456}, 99.99)
    assert list(summary.named_genes) == ["A", "B"]
    assert summary.named_genes["B"]["cross"].model_dump() == entry
    assert summary.named_genes["A"]["cross"].model_dump() == nothing
    assert summary.timings == {"skill": 1.23}
    assert summary.peak_rss_mb == 100.0


def test_a_sign_is_a_sign(made: tuple[Path, Summary]) -> None:
    raw = made[1].model_dump(mode="json")
    raw["named_genes"]["TP53"]["cross"]["sign"] = 2
    with pytest.raises(ValidationError, match="sign"):
        Summary.model_validate(raw)
