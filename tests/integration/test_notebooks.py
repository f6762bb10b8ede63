"""The notebooks: in step with their scripts, no outputs, no functions; and run on a simulated study."""

from __future__ import annotations

import ast
import base64
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pytest
from jupytext.compare import compare_notebooks
from matplotlib import image
from trained import Run

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
NAMES = ["01_data", "02_train_and_compare", "03_named_genes", "04_scan_and_atlas", "05_predict"]
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)


def code_cells(book: Any) -> Iterator[Any]:
    yield from (c for c in book.cells if c.cell_type == "code")


def defined(code: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(code)) if isinstance(node, DEFINES)]


def test_there_are_five_pairs() -> None:
    assert [p.stem for p in SCRIPTS] == NAMES
    assert sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb")) == NAMES


@each
def test_pair_is_in_step(script: Path) -> None:
    compare_notebooks(jupytext.read(script.with_suffix(".ipynb")), jupytext.read(script), "py:percent")


@each
def test_no_output_is_committed(script: Path) -> None:
    book = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    assert [c.source for c in code_cells(book) if c.outputs or c.execution_count is not None] == []


@each
def test_nothing_is_defined(script: Path) -> None:
    assert defined(script.read_text(encoding="utf-8")) == []


def test_a_definition_is_seen() -> None:
    assert defined("x = 1\ndef f(): ...\nclass A: ...\ng = lambda: 1") == [2, 3, 4]


def test_without_results_the_script_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "pipelines" / "notebooks.py"), f"--results={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no finished run")
    assert "make train" in done.stderr


# --- run on the trained study ---------------------------------------------------------------------


def figures(cell: Any) -> list[np.ndarray]:
    """Images of a cell, as arrays."""
    pngs = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
    return [image.imread(io.BytesIO(base64.b64decode(png)), format="png") for png in pngs]


def shown(book: Any) -> str:
    """Everything that the cells wrote, as text."""
    outputs = [o for c in code_cells(book) for o in c.outputs]
    kinds = ("text/markdown", "text/plain", "text/html")
    texts = [str(o.get("data", {}).get(kind, "")) for o in outputs for kind in kinds]
    return "\n".join([*texts, *(o.text for o in outputs if o.output_type == "stream")])


@pytest.fixture(scope="module")
def executed(run: Run) -> Path:
    """Copies of the notebooks with their outputs; the scan and the atlas are made on the way."""
    command = [sys.executable, str(ROOT / "pipelines" / "notebooks.py")]
    done = subprocess.run(
        [*command, *(f"--{n}={run.folder / 'artifacts' / f}" for n, f in
                     (("results", "latest"), ("scan", "scan"), ("atlas", "atlas"), ("output", "notebooks")))],
        cwd=run.folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return run.folder / "artifacts" / "notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_ends_with_a_figure(executed: Path, name: str) -> None:
    book = nbformat.read(executed / f"{name}.ipynb", as_version=4)
    cells = list(code_cells(book))
    assert all(c.execution_count for c in cells)
    wrong = [o for c in cells for o in c.outputs if o.get("name") == "stderr" or o.output_type == "error"]
    assert wrong == []
    assert "# SIMULATED" in shown(book)
    last = figures(cells[-1])
    assert len(last) == 1
    ink = (last[0][..., :3].min(axis=2) < 0.9).mean()
    assert 0.01 < ink < 0.6
    assert min(last[0].shape[:2]) > 300


def test_notebooks_say_what_they_are_for(executed: Path) -> None:
    books = {n: shown(nbformat.read(executed / f"{n}.ipynb", as_version=4)) for n in NAMES}
    assert "best baseline" in books["02_train_and_compare"]
    assert "The gate is open." in books["03_named_genes"]
    assert "are of the same data" in books["04_scan_and_atlas"]
    assert "the unit of expression is not clear" in books["05_predict"]
    assert "is under 0.25" in books["05_predict"]
    for gene in ("TP53", "RAD51", "ERCC1", "BIRC5"):
        assert f"gene {gene}" in books["03_named_genes"]
