"""Scan, atlas and signatures as commands on a small simulated study: files, page, log, and bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from crossres_ml.artifacts import is_intact
from crossres_ml.config_names import config_path

HOSTILE = "<script>alert(1)</script>"


def crossres(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, as a user does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROSSRES_", "MLFLOW_"))}
    env = {**clean, "CROSSRES_OFFLINE": "1", "CROSSRES_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "crossres_ml", args[0], "--config", "small.yaml", *args[1:]],
        cwd=folder, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def write_config(folder: Path) -> None:
    settings = yaml.safe_load(config_path("smoke.yaml").read_text(encoding="utf-8"))
    settings |= {"simulated_lines": 220, "scan": {"permutations": 60, "min_lines": 60, "top": 3}}
    (folder / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def write_events(folder: Path) -> None:
    """Columns of a user, good and bad; line ids of the simulated study are known from its numbering."""
    ids = [f"ACH-{900000 + i}" for i in range(220)]
    rng = np.random.default_rng(0)
    n, every = len(ids), np.arange(220)
    table = pd.DataFrame(
        {
            "model_id": ids,
            "NOT_A_GENE": rng.normal(size=n),
            "RAD51": (rng.random(n) < 0.3).astype(int),
            HOSTILE: rng.normal(size=n),
            "ONE": (every == 7).astype(int),
            "FLAT": 1,
            "ALMOST_FLAT": np.where(every == 7, 2.0, 0.5),
            "FEW": np.where(every < 20, rng.normal(size=n), np.nan),
            "EMPTY": np.nan,
            "CELLS": ["high" if i % 7 == 0 else "1" for i in every],
            "INFINITE": np.where(every == 3, np.inf, 1.5 * every),
        }
    )
    foreign = pd.DataFrame({"model_id": ["ACH-NEVER", None], "RAD51": [1, 1]})
    pd.concat([table, foreign]).to_csv(folder / "events.csv", index=False)


@dataclass(frozen=True)
class Done:
    folder: Path
    output: dict[str, subprocess.CompletedProcess[str]]

    @property
    def scan(self) -> Path:
        return self.folder / "artifacts" / "scan"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("scanned")
    write_config(folder)
    write_events(folder)
    output = {
        "scan": crossres(folder, "scan", "--events", "events.csv"),
        "atlas": crossres(folder, "atlas"),
        "signatures": crossres(folder, "signatures", "--sets", "19"),
    }
    for told in output.values():
        assert told.returncode == 0, told.stderr
    return Done(folder, output)


@pytest.mark.parametrize("command", ["scan", "atlas", "signatures"])
def test_simulated_is_said_first_and_last(done: Done, command: str) -> None:
    lines = done.output[command].stdout.strip().splitlines()
    assert lines[0].startswith("SIMULATED")
    assert lines[-1].startswith("SIMULATED")


def test_each_is_logged_with_its_files(done: Done) -> None:
    code = (
        "import json, mlflow\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "out = {}\n"
        "for what in ('scan', 'atlas', 'signatures'):\n"
        "    runs = mlflow.search_runs(experiment_names=[f'crossres-{what}'])\n"
        "    run = {k: str(v) for k, v in runs.iloc[0].items()}\n"
        "    files = [f.path for f in mlflow.MlflowClient().list_artifacts(run['run_id'], what)]\n"
        "    out[what] = {'runs': len(runs), 'files': files, **run}\n"
        "print(json.dumps(out))\n"
    )
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=done.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    runs = json.loads(told.stdout.strip().splitlines()[-1])
    for what, run in runs.items():
        assert run["runs"] == 1
        assert run["tags.data"] == "SIMULATED"
        assert run["tags.mlflow.runName"].startswith(f"SIMULATED {what}, ")
        about = json.loads((done.folder / "artifacts" / what / f"{what}.json").read_text())
        assert run["tags.cohort_hash"] == about["cohort_hash"]
        kept = {p.name for p in (done.folder / "artifacts" / what).iterdir()} - {"manifest.json"}
        assert {Path(f).name for f in run["files"]} == kept
    lists = pd.read_csv(done.scan / "lists.csv")
    own = lists[(lists.list == "both_resistant") & (lists.level == 0.05)].iloc[0]
    assert float(runs["scan"]["metrics.both_resistant/signals_5"]) == own.signals
    assert float(runs["scan"]["metrics.events"]) == len(pd.read_parquet(done.scan / "scan.parquet"))
    assert runs["scan"]["params.permutations"] == "60"
    factor = json.loads((done.folder / "artifacts/atlas/atlas.json").read_text())["general_factor"]
    assert float(runs["atlas"]["metrics.general_factor/pearson"]) == pytest.approx(factor["pearson"])


def test_again_nothing_is_done(done: Done) -> None:
    again = crossres(done.folder, "scan", "--events", "events.csv")
    assert again.returncode == 0, again.stderr
    assert "nothing has changed" in again.stdout
    assert is_intact(done.scan) == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("user:ONE", r"1 lines with it and \d+ without, fewer than 10"),
        ("user:FLAT", "is the same in all lines that have it measured"),
        ("user:ALMOST_FLAT", "1 lines differ from its most common value, fewer than 10"),
        ("user:FEW", r"measured in \d+ lines with both responses, fewer than 30"),
        ("user:EMPTY", "measured in 0 lines with both responses, fewer than 30"),
        ("user:CELLS", "has values that are not numbers"),
        ("user:INFINITE", "has values that are not numbers"),
        ("user:(line ACH-NEVER)", "model_id is not in the cohort"),
        ("user:(no line)", "model_id is empty in 1 rows"),
    ],
)
def test_what_cannot_be_scanned_is_told_with_the_reason(done: Done, event: str, reason: str) -> None:
    skipped = pd.read_csv(done.scan / "skipped.csv").set_index("event")
    assert re.fullmatch(reason, str(skipped.reason[event]))
    assert event not in pd.read_parquet(done.scan / "scan.parquet").index
    page = (done.scan / "report.html").read_text(encoding="utf-8")
    assert f"{event}</th><td>{skipped.reason[event]}</td>" in page


def test_what_can_be_scanned_has_all_its_numbers(done: Done) -> None:
    table = pd.read_parquet(done.scan / "scan.parquet")
    assert {"user:NOT_A_GENE", "user:RAD51", f"user:{HOSTILE}"} <= set(table.index)
    of_some = ("carriers", "others", "_difference", "_arm", "_arm_p")
    numbers = table.select_dtypes("number")
    numbers = numbers[[c for c in numbers if not str(c).endswith(of_some)]]
    assert numbers.notna().all().all()
    assert np.isfinite(
        table.loc["user:RAD51", ["radiation_difference", "chemotherapy_difference"]].astype(float)
    ).all()


class Page(HTMLParser):
    """Tags of a page; one that is closed wrongly raises."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(done: Done) -> None:
    text = (done.scan / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert text.count('class="band"') == 1
    assert "SIMULATED" in text[:600]
    assert HOSTILE not in text
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) == 3
    assert all(str(a["src"]).startswith("data:image/png") and len(str(a["alt"])) > 40 for a in images)
    assert all(a.get("scope") for tag, a in page.tags if tag == "th")
    places = [str(a["href"]) for tag, a in page.tags if tag == "a"]
    ids = {f"#{a['id']}" for tag, a in page.tags if tag == "section"}
    assert {p for p in places if p.startswith("#")} == ids
    beside = {p for p in places if not p.startswith("#")}
    assert beside == {p.name for p in done.scan.iterdir()} - {"report.html", "manifest.json", "figures"}
    words = re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S)
    assert not re.search(r"\b(nan|None|inf|NaT)\b", words)
    for sentence in json.loads((done.scan / "scan.json").read_text())["answer"]:
        assert sentence.split(";")[0].split("'")[0] in words


def test_a_bad_table_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "mine.csv").write_text("model_id,A,B\nX,1,0\nX,0,1\n", encoding="utf-8")
    for name, message in (
        ("mine.csv", "model_id stands twice: X; no model_id is in"),
        ("no.csv", "no such file"),
    ):
        told = crossres(tmp_path, "scan", "--events", name)
        assert told.returncode == 2
        assert message in told.stderr
        assert name in told.stderr
        assert "Traceback" not in told.stderr
        assert not (tmp_path / "artifacts").exists()
        assert not (tmp_path / "mlflow.db").exists()
