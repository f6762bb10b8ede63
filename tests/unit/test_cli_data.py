"""`crossres data ...` as a user meets it: what is printed, and the exit code."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from crossres_ml import cli
from crossres_ml.errors import ConfigError
from crossres_ml.sources import registry as registry_module

CONTENT = {"one": b"alpha\n", "two": b"beta\n", "rare": b"gamma\n"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of three files, an empty cache, no network, and a folder without a mirror nearby."""
    files = [
        {"id": name, "file": f"{name}.csv", "path": name, "bytes": len(body),
         "sha256": hashlib.sha256(body).hexdigest(),
         "status": "remote_only" if name == "rare" else "mirrored"}
        for name, body in CONTENT.items()
    ]  # fmt: skip
    text = dict.fromkeys(("publisher", "release", "citation", "licence"), "A lab")
    collection = text | {"base": "http://127.0.0.1:9/", "files": files}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"collections": [collection]}))
    monkeypatch.setattr(registry_module, "config_path", lambda name: tmp_path / name)
    monkeypatch.setenv("CROSSRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CROSSRES_OFFLINE", "1")
    monkeypatch.delenv("CROSSRES_MIRROR", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def crossres(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["crossres", "--quiet", *map(str, words)])
    with pytest.raises(SystemExit, match=r"^\d+$") as stopped:
        cli.main()
    out, err = capsys.readouterr()
    return int(str(stopped.value.code)), out, err


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.csv").write_bytes(CONTENT[name])
    return folder


def rows(out: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in out.splitlines() if line.split()[0] in CONTENT}


@pytest.mark.parametrize("command", ["status", "verify", "fetch"])
def test_complete_mirror(
    command: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(place / "mirror", *CONTENT)
    code, out, err = crossres(capsys, monkeypatch, "data", command, "--mirror", mirror)
    assert (code, err) == (0, "")
    assert rows(out)["two"] == ["two", "A", "lab", "5", "mirror", "good"]
    assert out.splitlines()[0] == f"mirror: {mirror}"
    assert out.splitlines()[-1] == "3 sources: 3 good, 0 damaged, 0 missing, 0 left out"


@pytest.mark.parametrize("command", ["status", "verify", "fetch"])
def test_missing_files_give_exit_code_1(
    command: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place / "cache" / "sources", "one")
    code, out, err = crossres(capsys, monkeypatch, "data", command)
    assert code == 1
    assert rows(out)["one"][-2:] == ["cache", "good"]
    assert rows(out)["two"][-2:] == ["-", "missing"]
    assert rows(out)["rare"][-3:] == ["-", "left", "out"]
    assert out.splitlines()[-1] == "3 sources: 1 good, 0 damaged, 1 missing, 1 left out"
    assert ("1 needed files are missing:\n    two (two.csv)" in err) == (command == "fetch")


def test_optional_files_may_be_absent(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSRES_MIRROR", str(fill(place / "mirror", "one", "two")))
    for command in ("status", "verify", "fetch"):
        assert crossres(capsys, monkeypatch, "data", command)[0] == 0


@pytest.mark.parametrize(("command", "code"), [("status", 0), ("verify", 1), ("fetch", 1)])
def test_changed_content_is_found_by_reading(
    command: str, code: int, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(place / "mirror", *CONTENT)
    (mirror / "one.csv").write_bytes(b"alphA\n")
    got, out, err = crossres(capsys, monkeypatch, "data", command, "--mirror", mirror)
    assert got == code
    if code:
        expected = hashlib.sha256(CONTENT["one"]).hexdigest()
        assert rows(out)["one"][-1] == "damaged"
        assert f"damaged: {mirror}/one.csv: sha256 expected {expected}, got " in out
    assert ("are not what the registry says" in err) == (command == "fetch")


def test_truncated_file_is_found_by_its_size(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(place / "mirror", *CONTENT)
    (mirror / "one.csv").write_bytes(b"al")
    code, out, _ = crossres(capsys, monkeypatch, "data", "status", "--mirror", mirror)
    assert code == 1
    assert "one.csv: 2 bytes instead of 6" in out


@pytest.mark.parametrize("command", ["status", "verify", "fetch"])
def test_wrong_mirror_is_a_message_and_exit_code_2(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = crossres(capsys, monkeypatch, "data", command, "--mirror", "/no/such/folder")
    assert (code, out) == (2, "")
    assert err.startswith(
        "error: the mirror folder '/no/such/folder' does not exist\n  where: --mirror\n  do:"
    )
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (ConfigError("wrong", do="mend it"), 2, "error: wrong\n  do:    mend it\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_and_interrupts_become_exit_codes(
    raised: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*args: object) -> None:
        raise raised

    monkeypatch.setattr("crossres_ml.sources.resolve.places", fail)
    got, _, err = crossres(capsys, monkeypatch, "data", "verify")
    assert (got, err) == (code, message)


def test_unforeseen_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("crossres_ml.sources.resolve.places", fail)
    monkeypatch.setattr(sys, "argv", ["crossres", "data", "status"])
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['crossres', sys.argv[1]]\n"
        "from crossres_ml.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'pandas', 'numpy', 'pooch', 'requests', 'yaml', 'pydantic', 'mlflow', 'lightgbm', 'shap'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for option, word in (("--help", "Usage: crossres"), ("--version", "crossres ")):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert word in done.stdout


def test_predicting_imports_nothing_that_only_training_needs_and_what_follows_may(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['crossres', 'predict', 'none.csv', '--output', 'scores.csv']\n"
        "HEAVY = ('sklearn.', 'yaml', 'mlflow', 'statsmodels', 'matplotlib', 'pandera')\n"
        "from crossres_ml.cli import main\n"
        "from crossres_ml.predict import stream\n"
        "def look(*given, **more):\n"
        "    import lightgbm\n"
        "    print([m for m in sys.modules if m.startswith(HEAVY)], lightgbm.Booster.__name__)\n"
        "    raise KeyboardInterrupt\n"
        "stream.predict_file = look\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code)\n"
        "import sklearn.base\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, ["[] Booster", "130"]), done.stderr


def test_ctrl_c_during_a_fetch_ends_with_130(place: Path) -> None:
    """The real thing: a process that waits for a server which never answers."""
    code = (
        "import socket, sys, pathlib; from crossres_ml import cli; from crossres_ml.sources import registry\n"
        "folder = pathlib.Path(sys.argv.pop())\n"
        "registry.config_path = lambda name: folder / name\n"
        "cli.main()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (place / "sources.yaml").read_text()
        (place / "sources.yaml").write_text(
            text.replace("127.0.0.1:9", f"127.0.0.1:{silent.getsockname()[1]}")
        )
        command = [sys.executable, "-c", code, "data", "fetch", str(place)]
        environment = os.environ | {"CROSSRES_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            connection.close()
    assert process.returncode == 130
    assert "Traceback" not in err
