"""What the doctor sees: each part sound, and each part ill in its own way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

from crossres_ml import doctor
from crossres_ml.artifacts import write_manifest
from crossres_ml.cli import main
from crossres_ml.doctor import examine
from crossres_ml.sources.resolve import Look


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of runs and one model, and no data."""
    monkeypatch.setenv("CROSSRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CROSSRES_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("mlflow.db") as store:
        store.execute("CREATE TABLE runs (run_uuid TEXT)")
        store.execute("INSERT INTO runs VALUES ('a')")
    folder = tmp_path / "latest" / "models" / "radiation"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    write_manifest(folder, key="bundle")
    return tmp_path


def found(what: str, folder: Path, mirror: Path | None = None) -> tuple[str, str, str]:
    seen = {f.what: f for f in examine(folder / "latest", f"sqlite:///{folder}/mlflow.db", mirror)}
    assert len(seen) == 8
    return seen[what].state, seen[what].told, seen[what].do


def test_a_sound_machine_without_data(sound: Path) -> None:
    seen = examine(sound / "latest", "sqlite:///mlflow.db")
    assert [f.what for f in seen if f.state == "problem"] == []
    assert {f.what: f.told for f in seen}["MLflow"] == "1 runs in mlflow.db"
    state, told, do = found("data", sound)
    assert (state, "missing" in told) == ("note", True)
    assert "crossres data fetch" in do


def test_a_mirror_that_is_not_there_stops_no_other_check(sound: Path) -> None:
    state, told, _ = found("data", sound, sound / "nowhere")
    assert state == "problem"
    assert "nowhere" in told
    assert found("models", sound, sound / "nowhere")[0] == "good"


@pytest.mark.parametrize(
    ("states", "state", "word"),
    [
        (["good", "left out"], "good", "1 good, 1 left out"),
        (["good", "missing"], "problem", "1 missing"),
        (["good", "damaged"], "problem", "damaged: b"),
    ],
)
def test_data(states: list[str], state: str, word: str, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(
        [SimpleNamespace(state=s, source=SimpleNamespace(id=n)) for n, s in zip("ab", states, strict=True)]
    )

    def seen(*given: object, **more: object) -> Look:
        return next(looks)  # type: ignore[return-value]

    monkeypatch.setattr(doctor, "load_registry", lambda: {"a": 1, "b": 2})
    monkeypatch.setattr(doctor, "look", seen)
    found_state, told, _ = found("data", sound)
    assert found_state == state
    assert word in told


def test_packages(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "numpy>=99.1",
        "crossres-none>=1; python_version > '3'",
        "pandas>=1,<9",
        "ruff>=99; extra == 'dev'",
    ]
    monkeypatch.setattr(doctor, "requires", lambda name: asked)
    state, told, do = found("packages", sound)
    assert state == "problem"
    assert "is older than 99.1" in told
    assert "crossres-none is not installed" in told
    assert "pandas" not in told
    assert "ruff" not in told
    assert do == "make install"


@pytest.mark.parametrize("pair", [("1.9", "1.10"), ("2.0rc1", "2.1"), ("3.0.0", "3.0.1"), ("0.14.4", "0.15")])
def test_versions_compare_as_packaging_does(
    pair: tuple[str, str], sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for own, least in (pair, pair[::-1]):
        monkeypatch.setattr(doctor, "requires", lambda name, least=least: [f"numpy>={least}"])
        monkeypatch.setattr(doctor, "version", lambda name, own=own: own)
        assert (doctor.check_packages().state == "problem") == (Version(own) < Version(least))


def test_a_version_that_is_shut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=1,!=2.5", "pandas<3"])
    monkeypatch.setattr(doctor, "version", lambda name: {"numpy": "2.5"}.get(name, "3.1"))
    assert doctor.check_packages().told == "numpy 2.5 is not !=2.5,>=1, pandas 3.1 is not <3"


@pytest.mark.parametrize(("memory", "state"), [(2, "problem"), (8, "good")])
def test_memory(memory: int, state: str, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PHYS_PAGES": memory * 10**6, "SC_PAGE_SIZE": 1000}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert found("memory", sound)[:2] == (state, f"{memory:.1f} GB")


def test_one_processor_is_a_note(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert found("processors", sound)[:2] == ("note", "1 usable, OMP_NUM_THREADS=1")


def test_a_full_disk(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8))
    state, told, _ = found("disk", sound)
    assert (state, told.startswith("0.1 GB free in ")) == ("problem", True)


def test_a_closed_folder(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert found("disk", sound)[1].startswith("nothing can be written in")


def test_an_altered_model(sound: Path) -> None:
    (sound / "latest" / "models" / "radiation" / "bundle.json").write_text("{ }")
    state, told, _ = found("models", sound)
    assert state == "problem"
    assert "radiation: bundle.json" in told


def test_no_model_and_no_store_are_notes(sound: Path) -> None:
    shutil.rmtree(sound / "latest")
    (sound / "mlflow.db").unlink()
    assert found("models", sound)[0] == "note"
    assert found("MLflow", sound)[0] == "note"
    assert not (sound / "mlflow.db").exists()  # looking makes nothing


def test_a_store_that_is_none(sound: Path) -> None:
    (sound / "mlflow.db").write_text("hello " * 100)
    state, told, _ = found("MLflow", sound)
    assert state == "problem"
    assert "is no store of MLflow" in told
    (sound / "mlflow.db").unlink()
    sqlite3.connect(sound / "mlflow.db").close()
    (sound / "mlflow.db").touch()
    assert "no such table" in found("MLflow", sound)[1]


def test_a_server_is_not_asked(sound: Path) -> None:
    seen = {f.what: f for f in examine(sound / "latest", "http://127.0.0.1:9")}
    assert seen["MLflow"].state == "note"


@pytest.mark.parametrize(
    ("mirror", "code", "last"), [(None, 0, "nothing stands in the way"), ("no", 1, "1 problems")]
)
def test_the_command(
    mirror: str | None, code: int, last: str, sound: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    more = ["--mirror", mirror] if mirror else []
    monkeypatch.setattr(sys, "argv", ["crossres", "doctor", "--results", "latest", *more])
    with pytest.raises(SystemExit, match=str(code)):
        main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == last
    assert max(map(len, lines)) < 200
    assert sum(line[0] in "\u2713\u00b7\u2717" for line in lines) == 8
