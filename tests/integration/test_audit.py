"""The audit on a small simulated study: what it leaves, interrupted, repeated, and with bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from crossres_ml.artifacts import MANIFEST, is_intact
from crossres_ml.audit.claims import load_claims
from crossres_ml.audit.verdicts import MEANING
from crossres_ml.config_names import config_path
from crossres_ml.report.audit_summary import AuditSummary

DRAWS = 50  # two chunks: an interrupted audit has something to go on with


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "crossres_ml", "audit", *args]


def environment(folder: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROSSRES_", "MLFLOW_"))}
    return {**clean, "CROSSRES_OFFLINE": "1", "CROSSRES_CACHE": str(folder / "cache")}


def audit(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a user does."""
    return subprocess.run(
        command("--config", "small.yaml", *args),
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def write_config(folder: Path) -> None:
    settings = yaml.safe_load(config_path("smoke.yaml").read_text(encoding="utf-8"))
    small = {"draws": DRAWS, "background": 30, "simulations": 20, "bootstrap": 99, "stability": 2}
    (folder / "small.yaml").write_text(yaml.safe_dump(settings | {"audit": small}), encoding="utf-8")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("audited")
    write_config(folder)
    first = audit(folder)
    assert first.returncode == 0, first.stderr
    return folder, first


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an audit but the manifest, which names them."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_simulated_is_said_and_the_truth_stands_beside(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, first = done
    lines = first.stdout.strip().splitlines()
    assert lines[0].startswith("SIMULATED")
    assert lines[-1].startswith("SIMULATED")
    verdicts = pd.read_csv(folder / "artifacts/audit/audit.csv")
    planted = verdicts[verdicts.claim.str.startswith("P")]
    assert len(planted) > 20
    assert (
        planted[planted.outcome != "platinum"].planted.str.contains("driver|none|twin|lineage|control").all()
    )


def test_every_claim_has_a_verdict_in_every_outcome(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    verdicts = pd.read_csv(done[0] / "artifacts/audit/audit.csv")
    for claim in load_claims().claims:
        own = verdicts[verdicts.claim == claim.id]
        assert set(own.outcome) >= {"radiation", "chemotherapy", "both"}
        assert own.verdict.isin(list(MEANING)).all()
        assert own.sentence.str.startswith(f"{claim.id} ").all()


def test_all_files_are_there_and_the_summary_keeps_its_contract(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder = done[0] / "artifacts/audit"
    assert is_intact(folder) == []
    names = set(contents(folder))
    wanted = {"audit.csv", "audit.parquet", "audit.json", "evidence.csv", "nulls.parquet", "controls.csv"}
    assert names >= {*wanted, "summary.json", MANIFEST}
    summary = AuditSummary.model_validate_json((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary.claims_hash == load_claims().digest()
    told = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert told["gate"]["open"] is summary.gate_open
    assert told["kind"] == "simulated"
    nulls = pd.read_parquet(folder / "nulls.parquet")
    assert sorted(set(nulls.draw)) == [-1, *range(DRAWS)]


def test_again_nothing_is_done(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = done[0]
    before = {p: p.stat().st_mtime_ns for p in (folder / "artifacts").rglob("*") if p.is_file()}
    again = audit(folder)
    assert again.returncode == 0, again.stderr
    assert "nothing has changed" in again.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (folder / "artifacts").rglob("*") if p.is_file()}


def test_killed_it_goes_on_and_gives_the_same_bytes(
    done: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    write_config(tmp_path)
    process = subprocess.Popen(
        command("--config", "small.yaml", "--jobs", "1"), cwd=tmp_path, env=environment(tmp_path),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 300
        while not list(tmp_path.glob("artifacts/.audit-*/draws/*/*.parquet")):
            assert process.poll() is None, "it ended before a chunk of draws was kept"
            assert time.monotonic() < until, "no chunk of draws was kept"
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "artifacts/audit").exists()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("artifacts/.audit-*/draws/*/*.parquet")}
    again = audit(tmp_path, "--jobs", "2")
    assert again.returncode == 0, again.stderr
    assert kept
    assert contents(tmp_path / "artifacts/audit") == contents(done[0] / "artifacts/audit")
    assert not list(tmp_path.glob("artifacts/.audit-*"))


def test_it_is_logged(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    code = (
        "import json, mlflow\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "runs = mlflow.search_runs(experiment_names=['crossres-audit'])\n"
        "print(json.dumps({k: str(v) for k, v in runs.iloc[0].items()}))\n"
    )
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=done[0], capture_output=True, text=True, check=True
    )
    run = json.loads(told.stdout.strip().splitlines()[-1])
    assert run["tags.data"] == "SIMULATED"
    assert run["tags.claims_hash"] == load_claims().digest()
    assert run["params.draws"] == str(DRAWS)
    assert float(run["metrics.controls"]) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smallest": 2}, "smallest: Input should be less than 1"),
        ({"claim": []}, "claim: Extra inputs are not permitted"),
        ({"covariates": ["response:nonsense"]}, "none of the covariates is there"),
    ],
)
def test_bad_claims_are_told_and_nothing_is_written(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_config(tmp_path)
    claims = yaml.safe_load(config_path("claims.yaml").read_text(encoding="utf-8")) | change
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    told = audit(tmp_path, "--claims", "claims.yaml")
    assert told.returncode == 2
    assert message in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "artifacts/audit").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("dear diary", encoding="utf-8")
    told = audit(tmp_path, "--output", "mine")
    assert told.returncode == 2
    assert "not a folder of results" in told.stderr
    assert contents(tmp_path / "mine") == {"notes.txt": b"dear diary"}
