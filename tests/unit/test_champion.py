"""The alias ``champion`` moves only to what is shown to be better; runs are found, or refused in words."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_comparisons import predictions

from crossres_ml.evaluation.two_runs import DIFFERENCE, compare_runs

CODE = """
import json, logging, sys
from pathlib import Path
import pandas as pd
from crossres_ml.errors import CrossresError
from crossres_ml.tracking import compare, mlflow
from crossres_ml.tracking.registry import offer_champion
from crossres_ml.tracking.runs import log_predictions
folder = Path(sys.argv[1])
uri = f"sqlite:///{folder / 'mlflow.db'}"
mlflow.set_tracking_uri(uri)
place = mlflow.create_experiment("crossres-radiation", artifact_location=(folder / "files").as_uri())
mlflow.set_experiment(experiment_id=place)
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
log = logging.getLogger("crossres_ml")
log.setLevel(logging.INFO)
log.addHandler(Keep())
client = mlflow.MlflowClient()
client.create_registered_model("m")
ids, aliases, notes = {}, [], []
for name in ("first", "equal", "worse", "by_chance", "better", "elsewhere", "bare"):
    with mlflow.start_run(run_name=name) as run:
        if name != "bare":
            log_predictions(pd.read_parquet(folder / f"{name}.parquet"))
    version = client.create_model_version("m", str(folder), run.info.run_id).version
    offer_champion("m", version)
    ids[name] = run.info.run_id
    aliases.append(client.get_registered_model("m").aliases["champion"])
    notes.append(client.get_model_version("m", version).description)
with mlflow.start_run(run_name="first"):
    log_predictions(pd.read_parquet(folder / "other_task.parquet"))
    other = mlflow.active_run().info.run_id
with mlflow.start_run(run_name="classes", tags={"mlflow.parentRunId": ids["bare"]}):
    log_predictions(pd.read_parquet(folder / "first.parquet"))
client.log_param(ids["bare"], "resistant_quantile", 0.5)
def tried(first, second, where=uri):
    try:
        done = compare(first, second, where)
    except CrossresError as error:
        return str(error)
    return [done.task, done.first.run_id, done.second.run_id, list(done.found.values.metric.unique()),
            done.found.of("spearman", "first minus second")["value"]]
pairs = {
    "by id": (ids["better"], ids["first"]), "by prefix and name": (ids["better"][:12], "worse"),
    "no run": ("nobody", "worse"), "two of a name": ("first", "worse"), "tasks": (other, "worse"),
    "bare": ("worse", "bare"), "same": ("worse", ids["worse"]), "empty": ("", "worse"),
    "other classes": ("worse", "classes"),
}
told = {k: tried(*v) for k, v in pairs.items()}
told["no store"] = tried("a", "b", f"sqlite:///{folder / 'none.db'}")
told["no such store"] = tried("a", "b", "nonsense://a")
(folder / "text.db").write_text("no database at all, but a text that is long enough")
told["text"] = tried("a", "b", f"sqlite:///{folder / 'text.db'}")
found = {"aliases": aliases, "notes": notes, "said": said, "told": told, "ids": ids, "other": other}
print(json.dumps(found | {"made": (folder / "none.db").exists()}))
"""


def by_chance(first: pd.DataFrame) -> pd.DataFrame:
    """A run that is above the first, but by no more than chance."""
    for seed in range(50):
        noise = np.random.default_rng(seed).normal(size=len(first))
        other = first.assign(score=first.score + 0.5 * noise)
        difference = compare_runs(other, first, ("spearman",)).of("spearman", DIFFERENCE)
        if difference["low"] < 0 < difference["value"]:
            return other
    raise AssertionError("no noise helps by chance")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("runs")
    shares = {"first": 0.5, "worse": 0.0, "better": 3.0}
    table = predictions({m: {"full": s} for m, s in shares.items()}, task="radiation").assign(parameters="{}")
    for name in shares:
        table[table.model == name].to_parquet(folder / f"{name}.parquet")
    first = table[table.model == "first"]
    first.to_parquet(folder / "equal.parquet")
    by_chance(first).to_parquet(folder / "by_chance.parquet")
    best = table[table.model == "better"]
    best.assign(model_id="X" + best.model_id, score=best.response).to_parquet(folder / "elsewhere.parquet")
    first.assign(task="cross").to_parquet(folder / "other_task.parquet")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def test_champion_moves_only_to_what_is_shown_to_be_better(found: dict[str, list[str]]) -> None:
    assert [int(v) for v in found["aliases"]] == [1, 1, 1, 1, 5, 5, 5]
    first, equal, worse, chance, better, elsewhere, bare = found["said"]
    assert first == "m: version 1 is the first champion"
    assert equal == (
        "m: version 1 stays champion: version 2 minus version 1 is +0.000 (+0.000 to +0.000) in Spearman on "
        "90 held-out lines, which does not lie above 0"
    )
    assert worse.startswith("m: version 1 stays champion: version 3 minus version 1 is -0.")
    assert chance.startswith("m: version 1 stays champion: version 4 minus version 1 is +0.0")
    assert chance.endswith("which does not lie above 0")
    assert better.startswith("m: version 5 is the champion now: version 5 minus version 1 is +0.")
    assert better.endswith("which is above 0")
    assert elsewhere.startswith("m: version 5 stays champion: version 6 cannot be compared with it: 0 lines")
    assert "version 7 cannot be compared with it: the run has no held-out predictions" in bare
    for said, note in zip(found["said"], found["notes"], strict=True):
        assert note == f"When it was registered: {said.removeprefix('m: ')}."


def test_runs_are_found_by_id_prefix_and_name(found: dict[str, dict[str, list[object]]]) -> None:
    told, ids = found["told"], found["ids"]
    task, *pair, metrics, value = told["by id"]
    assert (task, pair) == ("radiation", [ids["better"], ids["first"]])
    assert metrics == ["spearman", "auroc"]
    assert isinstance(value, float)
    assert value > 0.2
    assert told["by prefix and name"][1:3] == [ids["better"], ids["worse"]]
    assert told["other classes"][3] == ["spearman"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("no run", "no run is called 'nobody'"),
        ("empty", "no run is called ''"),
        ("two of a name", "several runs are called 'first':"),
        ("tasks", "the runs are of different tasks: cross and radiation"),
        ("bare", "the run has no held-out predictions"),
        ("same", "both are the same run"),
        ("no store", "none.db is not there"),
        ("no such store", "MLflow does not answer"),
        ("text", "text.db is no store of MLflow"),
    ],
)
def test_what_cannot_be_compared_is_said(found: dict[str, dict[str, str]], case: str, expected: str) -> None:
    said = found["told"][case]
    assert isinstance(said, str), said
    assert expected in said
    assert "  do:    " in said


def test_all_runs_of_a_name_are_listed_and_no_store_is_made(found: dict[str, dict[str, str]]) -> None:
    said = found["told"]["two of a name"]
    assert found["ids"]["first"] in said
    assert str(found["other"]) in said
    assert "crossres-radiation" in said
    assert found["made"] is False
