"""The log of a training: descriptions, champions in the registry, and runs compared by the command."""

from __future__ import annotations

import pandas as pd
import pytest
from test_train_predict import in_mlflow
from trained import Run, crossres

from crossres_ml.report.summary import Summary

TASKS = ("radiation", "chemotherapy", "cross")


@pytest.fixture(scope="module")
def logged(run: Run) -> dict[str, dict[str, object]]:
    """Experiments and registered models."""
    code = (
        "client = mlflow.MlflowClient()\n"
        "models = {m.name: m for m in client.search_registered_models()}\n"
        "about = {n: {'description': m.description, 'aliases': {k: int(v) for k, v in m.aliases.items()}}\n"
        "         for n, m in models.items()}\n"
        "for name in models:\n"
        "    version = client.get_model_version(name, '1')\n"
        "    about[name] |= {'note': version.description, 'tags': version.tags, 'run': version.run_id}\n"
        "    info = mlflow.models.get_model_info(f'models:/{name}/1')\n"
        "    about[name]['signature'] = info.signature is not None\n"
        "found = [e for e in mlflow.search_experiments() if e.name != 'Default']\n"
        "files = {r.info.run_id: [f.path for f in client.list_artifacts(r.info.run_id)]\n"
        "         for r in client.search_runs([e.experiment_id for e in found])}\n"
        "notes = {e.name: e.tags.get('mlflow.note.content', '') for e in found}\n"
        "runs = {r.info.run_id: [r.info.run_name, r.data.tags] for r in\n"
        "        client.search_runs([e.experiment_id for e in found])}\n"
        "print(json.dumps({'models': about, 'experiments': notes, 'runs': runs, 'files': files}))\n"
    )
    return in_mlflow(run, code)  # type: ignore[return-value]


def test_each_task_has_its_champion_in_the_registry(logged: dict[str, dict]) -> None:  # type: ignore[type-arg]
    models = logged["models"]
    assert set(models) == {"crossres-simulated", *(f"crossres-{t}-simulated" for t in TASKS)}
    assert models["crossres-simulated"]["aliases"] == {}
    for task in TASKS:
        model = models[f"crossres-{task}-simulated"]
        assert model["aliases"] == {"champion": 1}
        assert model["signature"]
        assert "SIMULATED" in model["description"]
        assert model["note"].endswith("When it was registered: version 1 is the first champion.")
        _, tags = logged["runs"][model["run"]]
        assert tags["role"] == "champion"
        assert model["tags"]["cohort_hash"] == tags["cohort_hash"]


def test_everything_is_described(run: Run, logged: dict[str, dict]) -> None:  # type: ignore[type-arg]
    assert all(logged["experiments"].values())
    summary = Summary.model_validate_json((run.results / "summary.json").read_text())
    for name, tags in logged["runs"].values():
        if "model" in tags:
            assert tags["mlflow.note.content"].endswith("held-out lines).")
        elif "champion" in tags:
            task = name.split()[1].removesuffix(":")
            section = summary.tasks[task]
            own = section.models[section.champion]["cell_line_out"]["spearman"]
            assert (
                f"Spearman {own.value:.2f} ({own.low:.2f} to {own.high:.2f})" in tags["mlflow.note.content"]
            )
            assert "SIMULATED" in tags["mlflow.note.content"]


def test_every_run_of_a_task_has_its_own_predictions(logged: dict[str, dict]) -> None:  # type: ignore[type-arg]
    for run_id, (_, tags) in logged["runs"].items():
        if "model" in tags or "champion" in tags:
            assert "predictions.parquet" in logged["files"][run_id]
        if "champion" in tags:
            assert {"report.html", "MODEL_CARD.md", "DATASHEET.md", "figures"} <= set(logged["files"][run_id])


def test_the_command_compares_two_runs(run: Run) -> None:
    code = (
        "runs = mlflow.search_runs(experiment_names=['crossres-radiation'])\n"
        "print(json.dumps(dict(zip(runs['tags.mlflow.runName'], runs.run_id))))\n"
    )
    ids = {name: str(i) for name, i in in_mlflow(run, code).items()}  # type: ignore[attr-defined]
    done = crossres("compare", ids["ridge"][:10], ids["lineage_mean"], folder=run.folder)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    metrics = pd.read_csv(run.results / "metrics.csv")
    own = metrics[(metrics.task == "radiation") & (metrics["mode"] == "cell_line_out")]
    value = own.pivot_table(index="model", columns="metric", values="value")
    difference = value.spearman["ridge"] - value.spearman["lineage_mean"]
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("Spearman"))
    assert row.split()[1] == f"{value.spearman['ridge']:.3f}"
    assert f"{difference:+.3f} (" in row
    assert "crossres ui" in done.stdout
    assert "SIMULATED" in done.stdout


@pytest.mark.parametrize(
    ("pair", "expected"),
    [(("ridge", "gp"), "several runs are called 'ridge':"), (("nobody", "gp"), "no run is called 'nobody'")],
)
def test_the_command_refuses_in_words(run: Run, pair: tuple[str, str], expected: str) -> None:
    done = crossres("compare", *pair, folder=run.folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert "Traceback" not in done.stderr
    assert "crossres ui" in done.stderr
