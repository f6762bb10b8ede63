"""The summary: what other tools rely on. Its schema refuses what it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from report_study import make_results

from crossres_ml.artifacts import write_json
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TASKS, TrainConfig
from crossres_ml.evaluation.metrics import METRICS
from crossres_ml.evaluation.skill import Skill
from crossres_ml.report.summary import SCHEMA_VERSION, Summary, build_summary, summarise_task


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("made")
    return folder, make_results(folder, cohort, small_config, splits)


def saved_skill(made: tuple[Path, Summary]) -> Skill:
    tasks = made[1].tasks
    return Skill(
        pd.read_csv(made[0] / "metrics.csv"),
        {t: tasks[t].best_baseline for t in TASKS},
        {t: tasks[t].champion for t in TASKS},
        pd.read_csv(made[0] / "paired.csv"),
    )


def nearly(row: dict[str, object]) -> dict[str, object]:
    return {k: None if pd.isna(row[k]) else pytest.approx(row[k], rel=1e-9) for k in ("value", "low", "high")}


def test_it_holds_the_numbers_of_the_tables(made: tuple[Path, Summary]) -> None:
    skill, tasks = saved_skill(made), made[1].tasks
    modes = set(zip(skill.metrics.task, skill.metrics["mode"], strict=True))
    assert modes >= {(t, m) for t in TASKS for m in ("cell_line_out", "lineage_out")}
    assert len(skill.metrics) == len(modes) * 4 * len(METRICS)  # 4 models
    for row in skill.metrics.to_dict("records"):
        found = tasks[row["task"]].models[row["model"]][row["mode"]][row["metric"]]
        assert found.model_dump() == nearly(row)
        assert tasks[row["task"]].scored_lines[row["mode"]] == row["n"]
    champions = skill.paired[skill.paired.model == skill.paired.task.map(skill.champion)]
    for row in champions[champions.kind == "baseline"].to_dict("records"):
        section = tasks[row["task"]]
        assert section.paired_difference[row["mode"]][row["metric"]].model_dump() == nearly(row)
        assert section.paired_baseline[row["mode"]] == row["against"]
    assert set(tasks["radiation"].paired_difference["cell_line_out"]) == set(champions.metric)
    for task, section in tasks.items():
        rows = skill.metrics.query(f"task == '{task}' and mode == 'cell_line_out' and metric == 'prevalence'")
        assert section.prevalence == pytest.approx(rows.value.iloc[0], abs=1e-9)


def test_written_and_read_it_is_the_same(made: tuple[Path, Summary], tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", made[1].model_dump(mode="json"))
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    assert Summary.model_validate_json(text) == made[1]
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION == 1


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_null(made: tuple[Path, Summary], tmp_path: Path, hole: float) -> None:
    skill = saved_skill(made)
    skill.metrics.loc[0, ["value", "low", "high"]] = hole
    row = skill.metrics.loc[0]
    section = summarise_task(skill, row.task)
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
    summary = build_summary(made[1].data, saved_skill(made), named, {"skill": 1.23456}, 99.99)
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
