"""Whether this machine can do the work, and what to do where not. Changes nothing and asks no network."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from crossres_ml.artifacts import MANIFEST, is_intact
from crossres_ml.errors import CrossresError, preview
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import cache_folder, look, places

State = Literal["good", "note", "problem"]
PACKAGE = "crossres-ml"
LEAST_MEMORY, LEAST_DISK = 4.0, 2.0
"""GB: a default run on two cores took 3.1 of memory; results, MLflow and data take under 1 of disk."""
_GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
        Its name.
    state : {"good", "note", "problem"}
        A note stops nothing.
    told : str
        What was found, with the numbers.
    do : str
        What to do; empty where there is nothing to do.
    """

    what: str
    state: State
    told: str
    do: str = ""


def examine(results: Path, tracking_uri: str, mirror: Path | None = None) -> list[Finding]:
    """Look at everything that a run needs.

    Parameters
    ----------
    results : Path
        Folder of results.
    tracking_uri : str
        Where MLflow keeps the runs.
    mirror : Path, optional
        Folder that holds the data files.

    Returns
    -------
    list of Finding
        In the order in which they matter. A check that fails by itself is a problem, and stops no other.
    """
    checks: dict[str, Callable[[], Finding]] = {
        "Python": check_python, "packages": check_packages, "processors": check_processors,
        "memory": check_memory, "disk": lambda: check_disk(Path()), "data": lambda: check_data(mirror),
        "models": lambda: check_models(results), "MLflow": lambda: check_store(tracking_uri),
    }  # fmt: skip
    return [_safely(what, check) for what, check in checks.items()]


def _safely(what: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except CrossresError as error:
        return Finding(what, "problem", error.what, error.do)
    except (OSError, sqlite3.Error) as error:
        return Finding(what, "problem", str(error), "mend this first")


def check_python() -> Finding:
    """Say which Python runs, and from which environment."""
    return Finding("Python", "good", f"{sys.version.split()[0]}, {sys.executable}")


def check_packages() -> Finding:
    """Compare what is installed with what the project asks for."""
    asked = [Requirement(r) for r in requires(PACKAGE) or []]
    asked = [r for r in asked if r.marker is None or r.marker.evaluate({"extra": ""})]
    if bad := [told for r in asked if (told := _wrong(r))]:
        return Finding("packages", "problem", preview(bad), "make install")
    return Finding("packages", "good", f"{len(asked)} present, new enough; {PACKAGE} {version(PACKAGE)}")


def _wrong(asked: Requirement) -> str:
    """Say what is wrong with an installed package; nothing where it is as asked for."""
    try:
        own = version(asked.name)
    except PackageNotFoundError:
        return f"{asked.name} is not installed"
    if asked.specifier.contains(own, prereleases=True):
        return ""
    least = [
        s.version for s in asked.specifier if s.operator == ">=" and not s.contains(own, prereleases=True)
    ]
    return f"{asked.name} {own} is " + (f"older than {least[0]}" if least else f"not {asked.specifier}")


def check_processors() -> Finding:
    """Count the processors that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if k in os.environ}
    told = f"{usable} usable" + "".join(f", {k}={v}" for k, v in limits.items())
    if usable < 2:
        return Finding("processors", "note", told, "a default run takes twice as long as on two")
    return Finding("processors", "good", told)


def check_memory() -> Finding:
    """Say how much memory there is."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Finding("memory", "note", "this system does not say", f"a run needs {LEAST_MEMORY:g} GB")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GB
    told = f"{total:.1f} GB"
    if total < LEAST_MEMORY:
        return Finding(
            "memory", "problem", told, f"{LEAST_MEMORY:g} GB are needed to train; prediction needs 0.5"
        )
    return Finding("memory", "good", told)


def check_disk(folder: Path) -> Finding:
    """Say how much room there is for results and for the cache of data.

    Parameters
    ----------
    folder : Path
        Where results go.

    Returns
    -------
    Finding
        A problem under `LEAST_DISK`, or where nothing can be written.
    """
    cache = cache_folder()
    free = {p: shutil.disk_usage(_existing(p)).free / _GB for p in (folder.resolve(), cache)}
    told = ", ".join(f"{n:.1f} GB free in {p}" for p, n in free.items())
    if closed := [str(p) for p in free if not os.access(_existing(p), os.W_OK)]:
        do = "work in a folder of yours; CROSSRES_CACHE names another cache"
        return Finding("disk", "problem", f"nothing can be written in {preview(closed)}", do)
    if min(free.values()) < LEAST_DISK:
        do = f"make room: {LEAST_DISK:g} GB are needed"
        return Finding("disk", "problem", told, do)
    return Finding("disk", "good", told)


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def check_data(mirror: Path | None) -> Finding:
    """Count the data files at hand, by name and size.

    Parameters
    ----------
    mirror : Path or None
        Folder that holds the data files.

    Returns
    -------
    Finding
        A problem where a file is damaged or only some of the needed ones are there; a note where there is
        none, for they can be fetched, and without them a simulated study stands in.
    """
    where = places(mirror)
    looks = [look(source, where, read=False) for source in load_registry().values()]
    counts = Counter(it.state for it in looks)
    told = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    told += " in " + ", ".join(str(p.folder) for p in where)
    if damaged := [it.source.id for it in looks if it.state == "damaged"]:
        do = "remove them, then crossres data fetch"
        return Finding("data", "problem", f"damaged: {preview(damaged)}; {told}", do)
    if not counts["missing"]:
        return Finding("data", "good", told, "crossres data verify compares their content too")
    if not counts["good"]:
        do = "crossres data fetch; make train fetches too, and simulates where it cannot"
        return Finding("data", "note", told, do)
    return Finding("data", "problem", told, "crossres data fetch, or complete the mirror")


def check_models(results: Path) -> Finding:
    """Say which trained models are there, and whether they are whole.

    Parameters
    ----------
    results : Path
        Folder of results.

    Returns
    -------
    Finding
        A problem where a model was altered.
    """
    folders = sorted(p.parent for p in (results / "models").glob(f"*/{MANIFEST}"))
    if not folders:
        return Finding("models", "note", f"none in {results}", "make train")
    if bad := [f"{f.name}: {preview(parts)}" for f in folders if (parts := is_intact(f))]:
        do = "train again, or copy the folder again"
        return Finding("models", "problem", f"missing or altered parts, {preview(bad)}", do)
    return Finding("models", "good", f"{preview(f.name for f in folders)} in {results}")


def check_store(uri: str) -> Finding:
    """Say whether MLflow's store can be used.

    Parameters
    ----------
    uri : str
        Where MLflow keeps the runs.

    Returns
    -------
    Finding
        A note where it is made by the first run, or is a server, which is not asked.
    """
    if not uri.startswith("sqlite:///"):
        return Finding("MLflow", "note", f"{uri} is not asked", "make ui shows whether it answers")
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return Finding("MLflow", "note", f"{path} is not there yet", "the first training run makes it")
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
        try:
            runs = store.execute("SELECT count(*) FROM runs").fetchone()[0]
        except sqlite3.DatabaseError as error:
            do = "move the file away: the next run makes a new one; or give --tracking-uri"
            return Finding("MLflow", "problem", f"{path} is no store of MLflow: {error}", do)
    if not os.access(path, os.W_OK):
        return Finding("MLflow", "problem", f"{path} cannot be written", "give --tracking-uri")
    return Finding("MLflow", "good", f"{runs} runs in {path}", "make ui")
