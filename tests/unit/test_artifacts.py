"""What the program writes is whole or not there, and damage is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pandas.testing as pdt
import pytest

from crossres_ml import artifacts
from crossres_ml.artifacts import (
    MANIFEST,
    FoldStore,
    atomic,
    is_current,
    is_intact,
    publish,
    run_key,
    sha256,
    timed,
    versions,
    write_json,
    write_manifest,
    write_table,
)
from crossres_ml.errors import CrossresError

TABLE = pd.DataFrame({"x": [1.5, 2.5]}, index=pd.Index(["a", "b"], name="line"))


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def sealed(folder: Path, key: str = "k") -> Path:
    write_table(folder / "t.csv", TABLE)
    write_json(folder / "sub" / "a.json", {"b": 1})
    write_manifest(folder, key)
    return folder


def test_atomic_replaces_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for content in ("one", "two"):
        with atomic(path) as part:
            assert part.parent == path.parent
            assert part.suffix == ".txt"
            part.write_text(content)
        assert path.read_text() == content
    assert names(tmp_path) == ["new/a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def fail() -> None:
        with atomic(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        fail()
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"new": float("nan")})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"new": object()})
    assert json.loads(path.read_text()) == {"old": 1}
    assert names(tmp_path) == ["a.json"]


def test_kill_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from crossres_ml.artifacts import atomic\n"
        "with atomic(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert all(n == "a.txt" or n.startswith(".a.txt.") for n in names(tmp_path))


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_json(tmp_path / "a.json", 1)
    assert names(tmp_path) == []


def test_json_is_sorted_and_tables_come_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    assert (tmp_path / "a.json").read_text().index('"a"') < (tmp_path / "a.json").read_text().index('"b"')
    write_table(tmp_path / "t.parquet", TABLE)
    pdt.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), TABLE)
    write_table(tmp_path / "t.csv", TABLE)
    assert (tmp_path / "t.csv").read_bytes() == b"line,x\na,1.5\nb,2.5\n"


def test_sealed_folder_is_current_for_its_key_only(tmp_path: Path) -> None:
    sealed(tmp_path)
    assert is_intact(tmp_path) == []
    assert is_current(tmp_path, "k")
    assert not is_current(tmp_path, "other")
    assert not is_current(tmp_path / "none", "k")


def test_sealing_twice_gives_the_same_manifest(tmp_path: Path) -> None:
    sealed(tmp_path)
    first = (tmp_path / MANIFEST).read_bytes()
    write_manifest(tmp_path, "k")
    assert (tmp_path / MANIFEST).read_bytes() == first
    assert json.loads(first)["files"]["sub/a.json"] == sha256(tmp_path / "sub" / "a.json")


@pytest.mark.parametrize("name", ["t.csv", "sub/a.json"])
def test_altered_and_missing_files_are_named(tmp_path: Path, name: str) -> None:
    sealed(tmp_path)
    raw = bytearray((tmp_path / name).read_bytes())
    raw[3] ^= 1
    (tmp_path / name).write_bytes(raw)
    assert is_intact(tmp_path) == [name]
    assert not is_current(tmp_path, "k")
    (tmp_path / name).unlink()
    assert is_intact(tmp_path) == [name]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_manifest_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert is_intact(tmp_path) == [MANIFEST]
    assert not is_current(tmp_path, "k")


@pytest.mark.parametrize("content", ['{"files": {}}', '{"files": null}', '{"files": []}'])
def test_manifest_of_another_shape_is_not_current(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert not is_current(tmp_path, "k")


def test_publish_moves_and_replaces(tmp_path: Path) -> None:
    final = tmp_path / "latest"
    for content in ("one", "two"):
        work = tmp_path / "work"
        write_json(work / "a.json", content)
        write_manifest(work, content)
        publish(work, final)
        assert is_current(final, content)
    assert names(tmp_path) == ["latest/a.json", f"latest/{MANIFEST}"]


def test_publish_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    publish(sealed(tmp_path / "work"), tmp_path / "latest")
    assert is_current(tmp_path / "latest", "k")


def test_publish_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    home = tmp_path / "thesis"
    home.mkdir()
    (home / "chapter.txt").write_text("years of work")
    with pytest.raises(CrossresError, match="is not a folder of results and is not empty"):
        publish(sealed(tmp_path / "work"), home)
    assert names(home) == ["chapter.txt"]
    assert is_current(tmp_path / "work", "k")


def test_publish_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "latest").write_text("a file")
    with pytest.raises(CrossresError, match="latest"):
        publish(sealed(tmp_path / "work"), tmp_path / "latest")
    assert (tmp_path / "latest").read_text() == "a file"


def test_publish_clears_what_a_killed_run_left(tmp_path: Path) -> None:
    sealed(tmp_path / ".latest.old", "older")
    sealed(tmp_path / "latest", "old")
    publish(sealed(tmp_path / "work", "new"), tmp_path / "latest")
    assert [p.name for p in tmp_path.iterdir()] == ["latest"]
    assert is_current(tmp_path / "latest", "new")


def test_run_key_follows_inputs_code_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    key = run_key(config="a", data={"x": 1, "y": 2})
    assert run_key(data={"y": 2, "x": 1}, config="a") == key
    assert run_key(config="b", data={"x": 1, "y": 2}) != key
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "code_digest", lambda: "other code")
        assert run_key(config="a", data={"x": 1, "y": 2}) != key
    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "versions", lambda: versions() | {"lightgbm": "0"})
        assert run_key(config="a", data={"x": 1, "y": 2}) != key


def test_fold_is_done_only_when_both_parts_are_there(tmp_path: Path) -> None:
    store = FoldStore(tmp_path)
    other = TABLE.assign(y=1).reset_index()
    assert not store.has("fold")
    store.save("fold", (TABLE, other))
    assert store.has("fold")
    predictions, contributions = store.load("fold")
    pdt.assert_frame_equal(predictions, TABLE)
    pdt.assert_frame_equal(contributions, other)
    for path in sorted(tmp_path.iterdir()):
        raw = path.read_bytes()
        path.unlink()
        assert not store.has("fold")
        path.write_bytes(raw)


def test_fold_that_fails_to_be_written_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, os.strerror(28))

    store = FoldStore(tmp_path)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        store.save("fold", (TABLE, TABLE))
    assert not store.has("fold")
    assert names(tmp_path) == []


def test_time_is_added_up() -> None:
    ticks = iter([0.0, 2.0, 10.0, 13.0])
    stages: dict[str, float] = {}
    for _ in range(2):
        with timed(stages, "read", lambda: next(ticks)):
            pass
    assert stages == {"read": 5.0}


def test_a_damaged_fold_is_run_again(tmp_path: Path) -> None:
    store = FoldStore(tmp_path)
    table = pd.DataFrame({"a": [1.0, 2.0]})
    store.save("one", (table, table))
    assert store.has("one")
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        assert not store.has("one")
        path.write_bytes(whole)
    assert store.has("one")
