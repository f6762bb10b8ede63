"""A folder logged as a run: names that MLflow takes, numbers that are known, files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import json, sys
from pathlib import Path
import pandas as pd
from crossres_ml.signatures import _log
from crossres_ml.tracking import mlflow
folder, uri = Path(sys.argv[1]), f"sqlite:///{sys.argv[2]}"
table = pd.DataFrame({"name": ["RSI (Eschrich 2009)", "absent"], "way": ["as published", ""],
                      "spearman": [0.25, float("nan")], "r2": [float("nan")] * 2, "percentile": [93.0, None]})
about = {"kind": "simulated", "sets": 19, "draws": 9, "seed": 1, "champion": None, "config_hash": "c",
         "cohort_hash": "d"}
_log(table, about, folder, uri)
run = mlflow.search_runs(experiment_names=["crossres-signatures"]).iloc[0]
files = [f.path for f in mlflow.MlflowClient().list_artifacts(run.run_id, "signatures")]
print(json.dumps({"files": files, **{k: str(v) for k, v in run.items()}}))
"""


def test_a_trial_of_signatures_is_logged(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "signatures.csv").write_text("a\n1\n")
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, tmp_path / "made", tmp_path / "mlflow.db"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    run = json.loads(told.stdout.strip().splitlines()[-1])
    metrics = {k.removeprefix("metrics."): float(v) for k, v in run.items() if k.startswith("metrics.")}
    name = "RSI _Eschrich 2009_/as published"
    assert metrics == {f"{name}/spearman": 0.25, f"{name}/percentile": 93.0, "signatures": 1.0}
    assert run["files"] == ["signatures/signatures.csv"]
    assert run["tags.data"] == "SIMULATED"
    assert run["params.sets"] == "19"
    assert run["tags.mlflow.runName"] == "SIMULATED signatures, 19 random sets"
