"""The whole way on a small simulated study: train, read, predict, and what happens when things go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trained import Run, crossres, profiles, small_config

from crossres_ml.report.summary import Summary


def test_simulated_is_said_first_and_last(run: Run) -> None:
    lines = run.first.stdout.strip().splitlines()
    assert lines[0].startswith("SIMULATED")
    assert lines[-1].startswith("SIMULATED")
    for task in ("radiation", "chemotherapy", "cross"):
        assert "SIMULATED" in (run.results / "models" / task / "MODEL_CARD.md").read_text()
    assert "SIMULATED" in (run.results / "report.html").read_text()


def test_summary_keeps_its_contract(run: Run) -> None:
    raw = json.loads((run.results / "summary.json").read_text())
    summary = Summary.model_validate(raw)
    assert summary.data.kind == "simulated"
    for task in summary.tasks.values():
        for modes in task.models.values():
            auroc = modes["cell_line_out"]["auroc"]
            assert auroc.value is not None
            assert 0 <= auroc.value <= 1
        assert not task.champion.startswith(("prevalence", "lineage", "mutation"))
    assert set(summary.named_genes) == {"TP53", "RAD51", "ERCC1", "BIRC5"}
    assert {"cohort", "held_out", "skill", "shap", "final_models", "audit", "report", "tracking"} <= set(
        summary.timings
    )
    assert summary.peak_rss_mb > 50
    assert summary.audit is not None
    assert set(summary.audit.claims["C01"]) == {"radiation", "chemotherapy", "both"}
    assert all(tasks["radiation"].p is not None for tasks in summary.named_genes.values())


def test_second_run_changes_nothing(run: Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.results.rglob("*") if p.is_file()}
    again = crossres("train", "--config", str(run.config), folder=run.folder)
    assert again.returncode == 0, again.stderr
    assert "nothing has changed" in again.stdout
    assert before == {p: p.stat().st_mtime_ns for p in run.results.rglob("*") if p.is_file()}


def test_the_summary_holds_what_the_side_runs_measured(run: Run) -> None:
    summary = Summary.model_validate_json((run.results / "summary.json").read_text())
    assert summary.both is not None
    assert set(summary.both.order["cell_line_out"]) == {"gp", "stack", "mean_of_two"}
    for task in summary.tasks.values():
        assert {50, 100} == set(task.learning_curve["ridge"]) == set(task.learning_curve["lineage_mean"])
        assert task.what_you_have is not None
        assert set(task.what_you_have.hidden) >= {"full", "rna", "mutations", "rna_rppa", "no_caution"}
        assert set(task.what_you_have.retrained) == {"full", "rna"}
        assert task.pooled[task.champion]["spearman"] is not None
    assert "study_out" in summary.tasks["chemotherapy"].models["ridge"]
    report = (run.results / "report.html").read_text()
    for section in ("have", "both", "skill", "far", "checks", "genes", "data", "limits"):
        assert f'<section id="{section}">' in report
    figures = {p.stem for p in (run.results / "figures").iterdir()}
    assert figures >= {"skill", "paired", "have", "both", "lineages", "learning_curve", "coverage"}
    card = (run.results / "models" / "cross" / "MODEL_CARD.md").read_text()
    assert "| RNA + RPPA (protein) |" in card


def in_mlflow(run: Run, code: str) -> list[dict[str, str]]:
    """Run code that prints a line of JSON, with MLflow looking at the run's log."""
    script = f"import json, mlflow\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=run.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, str]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_runs_are_in_mlflow(run: Run) -> None:
    runs = in_mlflow(
        run,
        "runs = mlflow.search_runs(search_all_experiments=True)\n"
        "keep = [c for c in runs if c.startswith(('metrics.', 'tags.', 'params.', 'experiment_id'))]\n"
        "print(json.dumps([{k: str(v) for k, v in r.items()} for r in runs[keep].to_dict('records')]))\n",
    )
    parents = [r for r in runs if r.get("tags.mlflow.parentRunId") in ("None", "nan")]
    children = [r for r in runs if r not in parents]
    audits = [r for r in parents if "tags.claims_hash" in r and r["tags.claims_hash"] not in ("None", "nan")]
    assert len(audits) == 1
    served = [r for r in parents if r["tags.mlflow.runName"] == "SIMULATED all tasks"]
    assert len(served) == 1
    parents = [r for r in parents if r not in audits + served]
    assert len(parents) == 3
    assert len(children) == 7 + 7 + 8  # models for both alone
    assert {r["tags.data"] for r in runs} == {"SIMULATED"}
    ridge = next(r for r in children if r["tags.model"] == "ridge")
    assert "alpha" in str({k for k, v in ridge.items() if v != "nan"})
    summary = Summary.model_validate_json((run.results / "summary.json").read_text())
    logged = sorted(float(r["metrics.cell_line_out/auroc"]) for r in parents)
    champions = (t.models[t.champion]["cell_line_out"]["auroc"].value for t in summary.tasks.values())
    assert logged == pytest.approx(sorted(v for v in champions if v is not None))


def test_mlflow_children_are_compared_on_the_same_names(run: Run) -> None:
    experiments = in_mlflow(
        run,
        "out, client = [], mlflow.MlflowClient()\n"
        "for e in mlflow.search_experiments(filter_string=\"name LIKE 'crossres-%'\"):\n"
        "    runs = client.search_runs([e.experiment_id], order_by=['metrics.spearman DESC'])\n"
        "    parent = next(r for r in runs if 'mlflow.parentRunId' not in r.data.tags)\n"
        "    for r in (r for r in runs if r is not parent):\n"
        "        points = client.get_metric_history(r.info.run_id, 'learning_curve/spearman')\n"
        "        made = [m.model_id for m in (r.outputs.model_outputs if r.outputs else [])]\n"
        "        files = [f.path for f in client.list_artifacts(parent.info.run_id, 'figures')]\n"
        "        found = {'task': e.name, 'tags': r.data.tags, 'metrics': r.data.metrics, 'figures': files}\n"
        "        out.append(found | {'models': len(made), 'curve': {p.step: p.value for p in points}})\n"
        "print(json.dumps(out))\n",
    )
    summary = Summary.model_validate_json((run.results / "summary.json").read_text())
    for name, task in summary.tasks.items():
        children = [c for c in experiments if c["task"] == f"crossres-{name}"]
        values = [c["metrics"]["spearman"] for c in children]
        assert values == sorted(values, reverse=True)
        assert {c["tags"]["model"] for c in children} == set(task.models)
        for child in children:
            model, metrics = child["tags"]["model"], child["metrics"]
            for metric in ("spearman", "auroc", "average_precision"):
                expected = task.models[model]["cell_line_out"][metric].value
                assert metrics[metric] == metrics[f"cell_line_out/{metric}"] == pytest.approx(expected)
            assert metrics["pooled/spearman"] == pytest.approx(task.pooled[model]["spearman"])
            curve = {str(s): pytest.approx(i.value) for s, i in task.learning_curve.get(model, {}).items()}
            assert child["curve"] == curve
            assert child["models"] == (child["tags"]["role"] == "champion") == (model == task.champion)
            assert {"figures/skill.png", "figures/learning_curve.png"} <= set(child["figures"])
        assert task.what_you_have is not None
        hidden = next(c for c in children if c["tags"]["model"] == task.what_you_have.model)["metrics"]
        expected = task.what_you_have.hidden["rna"]["spearman"].value
        assert hidden["have/rna/spearman"] == pytest.approx(expected)


def test_predict_is_the_same_whatever_the_order_and_format(run: Run) -> None:
    table = profiles(run).astype("float32")
    table.to_csv(run.folder / "p.csv")
    table[table.columns[::-1]].to_csv(run.folder / "reversed.tsv", sep="\t")
    table.reset_index().to_parquet(run.folder / "p.parquet")
    renamed = {
        c: f"{c.removeprefix('rna:')} (1{i})" for i, c in enumerate(table.columns) if c.startswith("rna:")
    }
    table.rename(columns=renamed).to_csv(run.folder / "entrez.csv")
    out = []
    for i, name in enumerate(("p.csv", "reversed.tsv", "p.parquet", "entrez.csv")):
        done = crossres("predict", name, "--output", f"scores{i}.csv", folder=run.folder)
        assert done.returncode == 0, done.stderr
        assert "SIMULATED" in done.stderr
        out.append((run.folder / f"scores{i}.csv").read_bytes())
    assert len(set(out)) == 1
    scores = pd.read_csv(run.folder / "scores0.csv")
    assert list(scores.model_id) == list(table.index)
    for task in ("radiation", "chemotherapy", "cross"):
        assert scores[f"{task}_probability"].between(0, 1).all()
        assert np.ptp(scores[f"{task}_score"]) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_id,TP53\nx,high\n", "'high' (row x, column TP53)"),
        ("TP53,RAD51\n1.5,2.5\n3.5,4.5\n", "has no sample ids"),
        ("model_id,NOTAGENE\nx,1\n", "none of the"),
    ],
)
def test_predict_refuses_bad_input_without_a_trace(run: Run, text: str, message: str) -> None:
    (run.folder / "bad.csv").write_text(text)
    done = crossres("predict", "bad.csv", "--output", "bad_scores.csv", folder=run.folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run.folder / "bad_scores.csv").exists()


def test_predict_refuses_an_altered_model(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "models"
    shutil.copytree(run.results / "models", copy)
    recipe = copy / "cross" / "bundle.json"
    recipe.write_text(recipe.read_text().replace('"quantile": 0.6', '"quantile": 0.7'))
    profiles(run).to_csv(run.folder / "p.csv")
    done = crossres("predict", "p.csv", "--model", str(copy), "--output", "x.csv", folder=run.folder)
    assert done.returncode == 2
    assert "bundle.json" in done.stderr
    assert "altered" in done.stderr


def test_a_killed_run_leaves_nothing_half_done_and_goes_on(run: Run, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROSSRES_", "MLFLOW_"))}
    command = [sys.executable, "-m", "crossres_ml", "train", "--config", str(config)]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**clean, "CROSSRES_OFFLINE": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    finished = tmp_path / "artifacts"
    try:
        while process.poll() is None and len(list(finished.rglob("*.shap.parquet"))) < 3:
            pass
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    assert not (finished / "latest").exists()
    kept = len(list(finished.rglob("*.shap.parquet")))
    done = crossres("train", "--config", str(config), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert kept >= 3
    for name in (
        "predictions.parquet",
        "metrics.json",
        "models/cross/bundle.json",
        "shap_radiation.csv",
        "figures/shap.png",
    ):
        assert (finished / "latest" / name).read_bytes() == (run.results / name).read_bytes(), name


def test_bytes_do_not_depend_on_the_hash_seed(run: Run, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    done = crossres(
        "train", "--config", str(config), "--jobs", "1", folder=tmp_path, env={"PYTHONHASHSEED": "7"}
    )
    assert done.returncode == 0, done.stderr
    other = tmp_path / "artifacts" / "latest"
    names = [p.relative_to(run.results) for p in run.results.rglob("*") if p.is_file()]
    timed = {"summary.json", "seconds.csv", "manifest.json"}  # they tell times
    different = [
        str(n)
        for n in names
        if str(n) not in timed and (run.results / n).read_bytes() != (other / n).read_bytes()
    ]
    assert different == []


def test_real_data_are_not_replaced_when_asked_for(tmp_path: Path) -> None:
    done = crossres("train", "--data", "real", folder=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts").exists()


def test_unknown_config_keys_are_named(tmp_path: Path) -> None:
    config = small_config(tmp_path, lambda_=3, models=[])
    done = crossres("train", "--config", str(config), folder=tmp_path)
    assert done.returncode == 2
    assert "lambda_" in done.stderr
    assert "models" in done.stderr
    assert "Traceback" not in done.stderr
