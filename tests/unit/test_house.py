"""The house rules that a short test can hold, and a test that the checks themselves see a breach.

They are there to keep the house easy to live in: where one makes the code worse, change it here and say why.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "crossres_ml"

FLOW = (
    "sources",
    "identity",
    "cohort",
    "splits",
    "models",
    "predict",
    "evaluation",
    "audit",
    "scan",
    "report",
)
"""Packages in the order in which data flow; each may import itself and what stands before it."""
FOUNDATION = ("errors", "logs", "config", "config_files", "config_names", "artifacts")
"""Modules that any package may import; they import no package."""
AGAINST_THE_FLOW = {"sources/simulated.py": "cohort"}
"""The simulated study is a source that gives a whole Cohort."""
ONLY_IN = {"mlflow": ("tracking.py",), "shap": ("audit/", "report/"), "matplotlib": ("audit/", "report/")}
RUNS_CODE_ON_LOADING = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
LOADERS = {"joblib.load", "pd.read_pickle", "pandas.read_pickle", "torch.load"}
LONGEST_PIPELINE, LONGEST_MODULE, LONGEST_FUNCTION = 60, 400, 60

Breach = tuple[int, str]


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def check_direction(where: str, tree: ast.Module) -> Iterator[Breach]:
    """Imports follow the flow of the data."""
    own = where.split("/")[0] if "/" in where else ""
    for line, name in imports(tree):
        if name.startswith("."):
            yield line, f"relative import {name}: write the full name"
        parts = name.split(".")
        if parts[0] != PACKAGE or len(parts) < 2:
            continue
        other = parts[1]
        if other in FLOW:
            if where.removesuffix(".py") in FOUNDATION:
                yield line, f"{where} is a foundation and imports {other}"
            elif own in FLOW and FLOW.index(other) > FLOW.index(own) and AGAINST_THE_FLOW.get(where) != other:
                yield line, f"{own} imports {other}, which comes after it"
        elif own in FLOW and other not in (*FOUNDATION, "__version__"):
            yield line, f"{own} imports {other}: a package knows neither the command line nor the tracking"


def check_places(where: str, tree: ast.Module) -> Iterator[Breach]:
    """A few libraries are used in one place only."""
    for line, name in imports(tree):
        allowed = ONLY_IN.get(name.split(".")[0])
        if allowed and not where.startswith(allowed):
            yield line, f"{name} is imported outside {' and '.join(allowed)}"


def check_loading(where: str, tree: ast.Module) -> Iterator[Breach]:
    """Nothing is loaded in a way that runs the file's own code."""
    for line, name in imports(tree):
        if name.split(".")[0] in RUNS_CODE_ON_LOADING or name in LOADERS:
            yield line, f"{name} runs code that is in the file it loads"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in LOADERS:
                yield node.lineno, f"{ast.unparse(node.func)} runs code that is in the file it loads"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield node.lineno, "allow_pickle runs code that is in the file it loads"


def check_print(where: str, tree: ast.Module) -> Iterator[Breach]:
    """The library logs; it does not print."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            yield node.lineno, "print: use logging, or typer.echo in the command line"


def check_lengths(where: str, tree: ast.Module) -> Iterator[Breach]:
    """Functions stay short. The docstring does not count: a documented function is no worse for it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            said = ast.get_docstring(node) is not None
            doc = (first.end_lineno or 0) - first.lineno + 1 if said else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - doc
            if length > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {length} lines, more than {LONGEST_FUNCTION}"


def check_size(text: str, longest: int) -> Iterator[Breach]:
    """Files stay short."""
    lines = len(text.splitlines())
    if lines > longest:
        yield lines, f"{lines} lines, more than {longest}"


def check_raises(where: str, tree: ast.Module) -> Iterator[Breach]:
    """A test of an error says which error."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("pytest.raises", "pytest.warns"):
            continue
        if not any(keyword.arg == "match" for keyword in node.keywords):
            yield node.lineno, "pytest.raises without match="


FOREIGN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(work|root|home|Users)/",  # somebody's machine
            "--(extra-)?" + "index-url" + "|^" + "index-url" + "|find-" + "links",  # somebody's registry
        ]
    )
)


def check_foreign(text: str) -> Iterator[Breach]:
    """No file names a place that only one machine has."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := FOREIGN.search(line):
            yield number, f"{found.group()!r} is a place that only one machine has"


CHECKS = (check_direction, check_places, check_loading, check_print, check_lengths)


def tell(path: Path, breaches: list[Breach]) -> None:
    assert not breaches, "\n" + "\n".join(f"{path.relative_to(ROOT)}:{n}: {what}" for n, what in breaches)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def tracked_files() -> list[Path]:
    """Text files that belong to the project; without git (a source archive) there is nothing to ask."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in (".png", ".svg", ".parquet")]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", python_files("src"), ids=name)
def test_library(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    where = path.relative_to(ROOT / "src" / PACKAGE).as_posix()
    tree = ast.parse(text)
    breaches = [breach for check in CHECKS for breach in check(where, tree)]
    tell(path, breaches + list(check_size(text, LONGEST_MODULE)))


@pytest.mark.parametrize("path", python_files("pipelines"), ids=name)
def test_pipeline(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tell(path, [*check_size(text, LONGEST_PIPELINE), *check_loading(name(path), ast.parse(text))])


@pytest.mark.parametrize("path", python_files("tests"), ids=name)
def test_tests(path: Path) -> None:
    tell(path, list(check_raises(name(path), ast.parse(path.read_text(encoding="utf-8")))))


@pytest.mark.parametrize("path", tracked_files(), ids=name)
def test_no_place_that_only_one_machine_has(path: Path) -> None:
    tell(path, list(check_foreign(path.read_text(encoding="utf-8"))))


def test_something_is_checked() -> None:
    assert len(python_files("src")) > 10
    assert python_files("pipelines")


# --- the checks themselves --------------------------------------------------------------------------

LONG = "def f():\n" + "    x = 1\n" * 60


@pytest.mark.parametrize(
    ("where", "code", "expected"),
    [
        (
            "cohort/a.py",
            "import os\nfrom crossres_ml.models.b import c",
            "2: cohort imports models, which comes",
        ),
        ("cohort/a.py", "def f():\n    import crossres_ml.report", "2: cohort imports report"),
        ("cohort/a.py", "from crossres_ml import models", "1: cohort imports models"),
        (
            "cohort/a.py",
            "from crossres_ml.tracking import log",
            "1: cohort imports tracking: a package knows",
        ),
        ("cohort/a.py", "from . import labels", "1: relative import"),
        ("config.py", "from crossres_ml.sources.registry import Source", "1: config.py is a foundation"),
        ("sources/a.py", "from crossres_ml.cohort.cohort import Cohort", "1: sources imports cohort"),
        ("models/a.py", "import mlflow.sklearn", "1: mlflow.sklearn is imported outside tracking.py"),
        ("predict/a.py", "def f():\n    import shap", "2: shap is imported outside audit/ and report/"),
        (
            "cli.py",
            "from matplotlib import pyplot",
            "1: matplotlib.pyplot is imported outside audit/ and report/",
        ),
        ("models/a.py", "import pickle", "1: pickle runs code"),
        ("models/a.py", "from joblib import load", "1: joblib.load runs code"),
        ("models/a.py", "import joblib\njoblib.load('a')", "2: joblib.load runs code"),
        ("models/a.py", "np.load('a', allow_pickle=True)", "1: allow_pickle runs code"),
        ("models/a.py", "x = 1\nprint(x)", "2: print"),
        ("models/a.py", LONG, "1: f has 61 lines, more than 60"),
    ],
)
def test_breach_is_seen(where: str, code: str, expected: str) -> None:
    tree = ast.parse(code)
    said = [f"{line}: {what}" for check in CHECKS for line, what in check(where, tree)]
    assert len(said) == 1
    assert said[0].startswith(expected)


@pytest.mark.parametrize(
    ("where", "code"),
    [
        (
            "models/a.py",
            "from crossres_ml.cohort.cohort import Cohort\nfrom crossres_ml.errors import preview",
        ),
        ("sources/simulated.py", "from crossres_ml.cohort.cohort import Cohort"),
        ("cli.py", "from crossres_ml.report import html\nfrom crossres_ml.tracking import log"),
        ("tracking.py", "import mlflow"),
        ("audit/a.py", "import shap, matplotlib.pyplot"),
        ("models/a.py", "from joblib import Parallel\nnp.load('a', allow_pickle=False)"),
        ("models/a.py", "def f():\n    '''Say.\n" + "\n" * 50 + "    '''\n" + "    x = 1\n" * 50),
    ],
)
def test_what_is_allowed_is_no_breach(where: str, code: str) -> None:
    tree = ast.parse(code)
    assert [breach for check in CHECKS for breach in check(where, tree)] == []


@pytest.mark.parametrize(
    "line", ["open('/wo" + "rk/a')", "see /ro" + "ot/.cache", "pip --extra-" + "index-url x"]
)
def test_foreign_place_is_seen(line: str) -> None:
    assert [number for number, _ in check_foreign("fine\n" + line)] == [2]


def test_ordinary_paths_are_not_foreign() -> None:
    assert (
        list(check_foreign("../shared/work/x https://a.org/home/b tests/work/ --no-emit-index-" + "url"))
        == []
    )


def test_long_file_and_vague_error_are_seen() -> None:
    assert list(check_size("x\n" * 61, LONGEST_PIPELINE)) == [(61, "61 lines, more than 60")]
    vague = ast.parse("with pytest.raises(ValueError):\n    f()")
    assert list(check_raises("test_a.py", vague)) == [(1, "pytest.raises without match=")]


def test_message_names_file_and_line() -> None:
    with pytest.raises(AssertionError, match=r"tests/unit/test_house\.py:7: too long"):
        tell(Path(__file__).resolve(), [(7, "too long")])
