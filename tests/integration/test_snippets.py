"""Every snippet of the pages is run in a scratch folder, or stands in a table with the reason why not.

A page's snippets run in their order, in one folder that holds what a user has after a training run on the
simulated study: saved models, profiles, and a study with responses.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from markdown_it import MarkdownIt
from trained import Run, profiles
from typer.testing import CliRunner

from crossres_ml.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    p.relative_to(ROOT).as_posix()
    for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if "packages" not in p.relative_to(ROOT).parts
)
SHELL, PYTHON, SHOWN = ("sh", "bash", "console"), ("python",), ("", "text")

MINUTES = "takes minutes, and is run by its own tests on a small study"
MAKE = "would make an environment; what it calls is looked at"
SERVER = "needs a server that goes on running; test_serve.py starts one"
SPARK = "needs Spark; test_serve.py does the same by its batches"
TOLD = 'told = {"orientation": "samples", "unit": "log2_tpm", "normalise": "none"}'
NOT_RUN = {
    "make": "lists the targets",
    "make train": MINUTES,
    "make train JOBS=8": MINUTES,
    "make train CONFIG=mine.yaml": MINUTES,
    "crossres train --jobs 8": MINUTES,
    "make test": "runs this test",
    "make test ARGS=\"-k 'config or bundle or estimators or resistance or fit'\"": "runs tests",
    "make test ARGS=\"-k 'blocks or cohort or config or scan_events'\"": "runs tests",
    "make check": MAKE,
    "make audit": MINUTES,
    "crossres audit --draws 999 --seed 7": MINUTES,
    "crossres audit --claims my_claims.yaml --output artifacts/mine": MINUTES,
    "crossres compare RUN RUN": "two runs of a log; test_compare runs it",
    "make scan": MINUTES,
    "make atlas": MINUTES,
    "make report": MAKE,
    "make notebooks": MINUTES,
    "crossres scan --events events.csv": MINUTES,
    "make ui": SERVER,
    "make doctor": MAKE,
    "make predict INPUT=profiles.csv OUTPUT=scores.csv": MAKE,
    "make validate PROFILES=profiles.csv RESPONSES=responses.csv TASK=radiation MODEL=folder": MAKE,
    ". .venv/bin/activate": SERVER,
    "export MLFLOW_TRACKING_URI=sqlite:///mlflow.db": SERVER,
    "mlflow models serve -m models:/crossres/latest --env-manager local --port 5001": SERVER,
    "curl http://127.0.0.1:5001/invocations -H 'Content-Type: text/csv' --data-binary @profiles.csv": SERVER,
    "README.md: import requests": SERVER,
    f"README.md: {TOLD}": SPARK,
    f"docs/howto/scale_out.md: {TOLD}": SPARK,
}
"""Command, or page and first line of a Python snippet -> why it is not run here."""
NO_DATA = "crossres data status"
"""Finds fault with a folder without the public files, and says so by exit code 1."""


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def commands(self) -> list[str]:
        """One a line, without comments; what may be left out, in square brackets, is not."""
        text = re.sub(r"\[([^\]]*)\]", r"\1", self.text.replace("\\\n", " "))
        lines = [re.sub(r"(^|\s+)# .*", "", line).removeprefix("$ ") for line in text.splitlines()]
        return [" ".join(line.split()) for line in lines if line.strip()]

    def names(self) -> list[str]:
        """As `NOT_RUN` would name what is in it."""
        if self.language in PYTHON:
            return [f"{self.page}: {self.text.splitlines()[0]}"]
        return self.commands() if self.language in SHELL else []


def snippets(page: str) -> list[Snippet]:
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    return [
        Snippet(page, t.map[0] + 1, t.info.strip(), t.content)
        for t in tokens
        if t.type == "fence" and t.map is not None and not t.info.startswith("{")
    ]


EVERY = [snippet for page in PAGES for snippet in snippets(page)]


@pytest.fixture
def place(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a user has after a training run, as the current folder."""
    for name in [n for n in os.environ if n.startswith(("CROSSRES_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CROSSRES_OFFLINE", "1")
    monkeypatch.setenv("CROSSRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "latest").symlink_to(run.results)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    profiles(run).to_csv(tmp_path / "profiles.csv")
    study = profiles(run, 40)
    study.index = pd.Index([f"T{i}" for i in range(len(study))], name="model_id")
    study.to_csv(tmp_path / "study.csv")
    response = np.random.default_rng(1).normal(size=len(study))
    pd.DataFrame({"auc": response}, index=study.index).to_csv(tmp_path / "responses.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_shell(text: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def run_command(text: str) -> None:
    """Run a command; one of our own in this process, which saves the imports."""
    words = shlex.split(text)
    if words[0] != "crossres" or {"|", ">", "&&", ";"} & set(words):
        in_shell(text)
        return
    done = CliRunner().invoke(app, words[1:])
    allowed = (0, 1) if text == NO_DATA else (0,)
    assert done.exit_code in allowed, f"{text}\n{done.output}\n{done.exception!r}"


def run_snippet(snippet: Snippet, place: Path, known: dict[str, Any]) -> None:
    if snippet.language in SHELL:
        for text in snippet.commands():
            if text not in NOT_RUN:
                run_command(text)
    elif snippet.language in PYTHON:
        if snippet.names()[0] in NOT_RUN:
            return
        if (place / "src").is_dir():  # the page has changed the code: not that of this process
            changed = {**os.environ, "PYTHONPATH": str(place / "src")}
            subprocess.run([sys.executable, "-c", snippet.text], check=True, env=changed, timeout=300)
        else:
            exec(compile(snippet.text, f"{snippet.page}:{snippet.line}", "exec"), known)
    elif snippet.language == "diff":
        shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__"))
        (place / "change.diff").write_text(snippet.text, encoding="utf-8")
        in_shell("git apply change.diff")
    elif snippet.language == "yaml":
        assert yaml.safe_load(snippet.text)
    else:
        assert snippet.language in SHOWN, f"{snippet.page}:{snippet.line}: what is {snippet.language!r}?"


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p)])
def test_snippets_run(page: str, place: Path, run: Run) -> None:
    known: dict[str, Any] = {"__name__": "snippet", "frame": profiles(run)}
    for snippet in snippets(page):
        run_snippet(snippet, place, known)


def test_what_is_not_run_is_on_a_page() -> None:
    there = {name for snippet in EVERY for name in snippet.names()}
    assert not set(NOT_RUN) - there, "no longer on any page; take them out of NOT_RUN"
    assert NO_DATA in there


def check_options(words: list[str]) -> None:
    """Refuse a command, or an option of it, that does not exist."""
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        assert rest, f"{shlex.join(words)}: which command?"
        assert rest[0] in command.commands, f"{words[0]} has no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    strange = [w for w in rest if w.startswith("-") and w.partition("=")[0] not in options]
    assert not strange, f"{shlex.join(words)} has no option {strange}"


def check_target(words: list[str]) -> None:
    """Refuse a target that does not exist, or that calls what does not exist."""
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        if "/bin/crossres " in line:
            check_options(["crossres", *shlex.split(line)[1:]])


def check_python(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            missing = [a.name for a in node.names if importlib.util.find_spec(a.name) is None]
            assert not missing, f"no module {missing}"


@pytest.mark.parametrize("name", sorted(NOT_RUN))
def test_what_is_not_run_exists(name: str) -> None:
    for snippet in EVERY:
        if snippet.language in PYTHON and name in snippet.names():
            check_python(snippet.text)
    words = shlex.split(name)
    if words[0] == "crossres":
        check_options(words)
    elif words[0] == "make":
        check_target(words)


# --- the checks themselves --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("crossres prdict a.csv", "crossres has no command prdict"),
        ("crossres predict a.csv --outptu b.csv", r"has no option \['--outptu'\]"),
        ("crossres data", "which command"),
    ],
)
def test_a_wrong_command_is_seen(line: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check_options(shlex.split(line))


def test_a_wrong_target_is_seen() -> None:
    with pytest.raises(AssertionError, match="No rule to make target"):
        check_target(["make", "trian"])


@pytest.mark.parametrize(
    ("language", "text", "fault"),
    [
        ("sh", "crossres predict nowhere.csv --output scores.csv", "nowhere.csv"),
        ("sh", "cat nowhere.csv | head -n 1", "nowhere.csv"),
        ("diff", "--- a/src/none.py\n+++ b/src/none.py\n@@ -1 +1 @@\n-a\n+b\n", "No such file"),
        ("rust", "fn main() {}", "what is 'rust'"),
    ],
)
def test_a_wrong_snippet_is_seen(language: str, text: str, fault: str, place: Path) -> None:
    with pytest.raises(AssertionError, match=fault):
        run_snippet(Snippet("a.md", 1, language, text), place, {})
