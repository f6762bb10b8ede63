"""Where files come from, and every way in which getting one goes wrong. Only 127.0.0.1 is ever asked."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from crossres_ml.errors import SourceError
from crossres_ml.sources import download as download_module
from crossres_ml.sources import resolve as resolve_module
from crossres_ml.sources.download import (
    UnreachableError,
    UnwritableError,
    download,
    file_hashes,
    network_reachable,
)
from crossres_ml.sources.registry import Source
from crossres_ml.sources.resolve import Found, NoDataError, cache_folder, look, places, resolve

CONTENT = {"one": b"alpha,beta\n1,2\n", "two": b"second file\n", "big": b"large " * 9000, "own": b"joined"}


class Server(ThreadingHTTPServer):
    """A file server that can be told to misbehave; counts what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.release = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def gets(self) -> list[str]:
        return [line.split("/")[1] for line in self.asked if line.startswith("GET")]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self.server.asked.append(f"HEAD {self.path}")
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        name = self.path.strip("/")
        faults = self.server.faults.get(name, [])
        fault = (faults.pop(0) if len(faults) > 1 else faults[0]) if faults else "none"
        body = CONTENT[name]
        if fault.isdigit():
            self.send_response(int(fault))
            self.end_headers()
            return
        sent = {"truncated": body[:5], "wrong": b"<html>", "stalled": body[:5]}.get(fault, body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if fault != "wrong" else len(sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
        if fault == "stalled":
            self.server.release.wait(20)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as it:
        thread = threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield it
        it.release.set()
        it.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An empty folder to stand in, an empty cache, no variable of the user's, no pause between tries."""
    for name in ("CROSSRES_MIRROR", "CROSSRES_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download_module, "WAITS_SECONDS", (0.0, 0.0))
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    caplog.set_level(logging.INFO, logger="crossres_ml")


@pytest.fixture
def registry(server: Server) -> dict[str, Source]:
    return make_registry(server.base)


def make_registry(base: str) -> dict[str, Source]:
    def source(name: str, **fields: object) -> Source:
        body = CONTENT[name]
        sha256 = hashlib.sha256(body).hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        known = {"url": base + name, "bytes": len(body), "sha256": sha256, "git_blob_sha1": blob}
        text = dict.fromkeys(("publisher", "release", "citation", "licence"), "x")
        return Source.model_validate({"id": name, "file": f"{name}.csv", **text, **known, **fields})

    remote = {"status": "remote_only", "bytes": None, "sha256": None}
    local = {"status": "local_only", "url": None, "git_blob_sha1": None}
    return {
        "one": source("one"),
        "two": source("two"),
        "big": source("big", **remote),
        "own": source("own", **local),
    }


@pytest.fixture
def unreachable(registry: dict[str, Source]) -> dict[str, Source]:
    """The same sources behind a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return make_registry(f"http://127.0.0.1:{port}/")


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.csv").write_bytes(CONTENT[name])
    return folder


def origins(found: dict[str, Found]) -> dict[str, str]:
    for item in found.values():
        assert hashlib.sha256(item.path.read_bytes()).hexdigest() == item.sha256
        assert item.path.read_bytes() == CONTENT[item.id]
    return {key: item.origin for key, item in found.items()}


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "sources"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- hashes -----------------------------------------------------------------------------------------


def test_git_blob_sha1_is_git_s_own(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    sha256, blob = file_hashes(path)
    assert blob == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object of that file
    assert sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"


def test_both_hashes_must_agree(registry: dict[str, Source], tmp_path: Path) -> None:
    fill(tmp_path, "one")
    for field, digits in (("sha256", 64), ("git_blob_sha1", 40)):
        source = registry["one"].model_copy(update={field: "0" * digits})
        got = look(source, [resolve_module.Place("mirror", tmp_path)])
        assert got.state == "damaged"
        assert "expected 000" in got.problem


# --- order ------------------------------------------------------------------------------------------


def test_mirror_comes_first_and_nothing_is_downloaded(
    registry: dict[str, Source], server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = fill(tmp_path / "named", *CONTENT)
    assert origins(resolve(registry, mirror=mirror)) == dict.fromkeys(CONTENT, "mirror")
    assert server.asked == []
    assert [r.message for r in caplog.records] == [
        f"data: 4 of 4 files: 4 from the mirror {mirror}, 0 from the cache {tmp_path}/cache/sources, "
        "0 downloaded"
    ]


def test_argument_wins_over_variable_over_nearby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache" / "sources"
    assert [p.folder for p in places()] == [cache]
    nearby = fill(tmp_path / "shared" / "data" / "mirror")
    assert [p.folder for p in places()] == [nearby, cache]
    variable = fill(tmp_path / "variable")
    monkeypatch.setenv("CROSSRES_MIRROR", str(variable))
    assert [p.folder for p in places()] == [variable, cache]
    argument = fill(tmp_path / "argument")
    assert [p.folder for p in places(argument)] == [argument, cache]


def test_cache_folder_of_the_user_without_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSRES_CACHE")
    assert cache_folder().name == "crossres-ml"


@pytest.mark.parametrize("by", ["--mirror", "CROSSRES_MIRROR"])
def test_named_mirror_must_exist(
    by: str, registry: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "shared" / "data" / "mirror", *CONTENT)
    named = tmp_path / "gone"
    if by == "CROSSRES_MIRROR":
        monkeypatch.setenv(by, str(named))
    with pytest.raises(SourceError, match=rf"gone' does not exist\n  where: {by}"):
        resolve(registry, mirror=named if by == "--mirror" else None)


def test_files_come_from_three_places(registry: dict[str, Source], server: Server, tmp_path: Path) -> None:
    mirror = fill(tmp_path / "named", "one")
    fill(tmp_path / "cache" / "sources", "two")
    found = resolve(registry, mirror=mirror)
    assert origins(found) == {"one": "mirror", "two": "cache", "big": "download"}
    assert server.gets() == ["big"]
    assert origins(resolve(registry, mirror=mirror))["big"] == "cache"
    assert server.gets() == ["big"], "the second time nothing is fetched"


def test_only_the_wanted_are_looked_for(registry: dict[str, Source], server: Server, tmp_path: Path) -> None:
    assert origins(resolve(registry, ids=["two"])) == {"two": "download"}
    assert server.gets() == ["two"]
    with pytest.raises(SourceError, match=r"unknown source ids: nine, onee\n.*did you mean one"):
        resolve(registry, ids=["onee", "two", "nine"])


# --- the network ------------------------------------------------------------------------------------


def test_network_is_asked_for_once(
    registry: dict[str, Source], server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert origins(resolve(registry)) == {"one": "download", "two": "download", "big": "download"}
    assert [line for line in server.asked if line.startswith("HEAD")] == ["HEAD /one"]
    assert cached(tmp_path) == ["big.csv", "one.csv", "two.csv"]
    assert "3 downloaded" in caplog.text
    assert "1 optional files left out: 1 without a public address" in caplog.text


def test_no_network_leaves_optional_files_out(
    unreachable: dict[str, Source], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = fill(tmp_path / "named", "one", "two")
    assert set(resolve(unreachable, mirror=mirror)) == {"one", "two"}
    assert "2 optional files left out: 1 out of reach (no network), 1 without a public address" in caplog.text


def test_nothing_at_all_is_its_own_error(unreachable: dict[str, Source], tmp_path: Path) -> None:
    with pytest.raises(
        NoDataError, match=r"no mirror, nothing in the cache, no network(.|\n)*CROSSRES_MIRROR"
    ):
        resolve(unreachable)
    assert cached(tmp_path) == []


def test_a_mirror_without_the_files_is_not_no_data(unreachable: dict[str, Source], tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"2 needed files are missing:\n    one \(one.csv\)\n    two"
    ) as caught:
        resolve(unreachable, mirror=fill(tmp_path / "empty"))
    assert not isinstance(caught.value, NoDataError)


def test_some_files_are_not_no_data(unreachable: dict[str, Source], tmp_path: Path) -> None:
    fill(tmp_path / "cache" / "sources", "one")
    with pytest.raises(SourceError, match=r"1 needed files are missing:\n    two \(two.csv\)") as caught:
        resolve(unreachable)
    assert not isinstance(caught.value, NoDataError)


def test_network_can_be_forbidden(
    registry: dict[str, Source], server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("CROSSRES_OFFLINE", "1")
    resolve(registry, mirror=fill(tmp_path / "named", "one", "two"))
    assert server.asked == []
    assert "1 not looked for (CROSSRES_OFFLINE is set)" in caplog.text


def test_hanging_name_look_up_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = threading.Event(), time.monotonic()

    def hang(*args: object, **kwargs: object) -> None:
        release.wait(30)
        raise socket.gaierror("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert network_reachable("http://host.invalid/", wait=0.3) is False
    assert time.monotonic() - begun < 5
    release.set()
    for thread in threading.enumerate():
        if thread.name == "network-probe":
            thread.join(10)


def test_longest_wait_for_the_network_is_within_15_seconds() -> None:
    assert download_module.PROBE_SECONDS <= 15


def test_any_answer_means_network(server: Server) -> None:
    assert network_reachable(server.base + "no-such-file")


# --- faults of a download ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "429", "truncated", "wrong"])
def test_passing_fault_is_tried_again(
    fault: str, registry: dict[str, Source], server: Server, tmp_path: Path
) -> None:
    server.faults["one"] = [fault, "none"]
    assert origins(resolve(registry, ids=["one"])) == {"one": "download"}
    assert server.gets() == ["one", "one"]
    assert cached(tmp_path) == ["one.csv"]


def test_pauses_grow(registry: dict[str, Source], server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download_module, "WAITS_SECONDS", (1.0, 3.0, 9.0))
    monkeypatch.setattr(download_module.time, "sleep", pauses.append)
    server.faults["one"] = ["503", "503", "503", "none"]
    assert set(resolve(registry, ids=["one"])) == {"one"}
    assert pauses == [1.0, 3.0, 9.0]


@pytest.mark.parametrize(
    ("fault", "message", "tries"),
    [
        ("503", "503 Server Error", 3),
        ("404", "404 Client Error", 1),
        ("truncated", "download failed.*IncompleteRead", 3),
        (
            "wrong",
            r"wrong content: sha256 expected [0-9a-f]{64}, got [0-9a-f]{64} \(6 bytes instead of 12\)",
            3,
        ),
    ],
)
def test_lasting_fault_is_reported(
    fault: str, message: str, tries: int, registry: dict[str, Source], server: Server, tmp_path: Path
) -> None:
    server.faults["two"] = [fault]
    with pytest.raises(SourceError, match=rf"1 needed files are missing:\n    two \(two\.csv\): .*{message}"):
        resolve(registry)
    assert server.gets().count("two") == tries
    assert cached(tmp_path) == ["big.csv", "one.csv"], "the others are kept, and no part of two.csv"


def test_all_failed_files_are_named(registry: dict[str, Source], server: Server) -> None:
    server.faults |= {"one": ["404"], "two": ["wrong"]}
    with pytest.raises(
        SourceError, match=r"2 needed files are missing:\n    one .*404.*\n    two .*wrong content"
    ):
        resolve(registry)


def test_failed_optional_file_is_left_out_with_the_reason(
    registry: dict[str, Source], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults["big"] = ["wrong"]
    assert set(resolve(registry)) == {"one", "two"}
    assert "1 not downloaded" in caplog.text
    assert "big left out: wrong content: git blob sha1 expected" in caplog.text


def test_lost_network_stops_the_downloads(
    unreachable: dict[str, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(source: Source, folder: Path) -> tuple[Path, str]:
        tried.append(source.id)
        raise UnreachableError("connection failed")

    monkeypatch.setattr(resolve_module, "network_reachable", lambda url: True)
    monkeypatch.setattr(resolve_module, "download", refuse)
    with pytest.raises(NoDataError, match="no network"):
        resolve(unreachable)
    assert tried == ["one"]


def test_refused_connection_is_unreachable(unreachable: dict[str, Source], tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"connection failed\n  where: one.csv from http://127.0.0.1"):
        download(unreachable["one"], tmp_path)


def test_unwritable_folder_is_said(registry: dict[str, Source], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(
        UnwritableError, match=r"one.csv cannot be written.*\n  where:.*\n  do: .*CROSSRES_CACHE"
    ):
        resolve(registry)


# --- interruption -----------------------------------------------------------------------------------


def test_interrupt_leaves_nothing(
    registry: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: object, url: str, path: str, pooch: object) -> None:
        Path(path).write_bytes(CONTENT["one"][:4])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", half)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        resolve(registry, ids=["one"])
    assert cached(tmp_path) == []


def test_killed_process_leaves_no_file_of_that_name(
    registry: dict[str, Source], server: Server, tmp_path: Path
) -> None:
    server.faults["one"] = ["stalled", "none"]
    code = (
        "import sys; from pathlib import Path; from crossres_ml.sources.registry import Source; "
        "from crossres_ml.sources.download import download; "
        "download(Source.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    folder = tmp_path / "cache" / "sources"
    command = [sys.executable, "-c", code, registry["one"].model_dump_json(), str(folder)]
    with subprocess.Popen(command) as process:
        wait_until(lambda: server.gets() == ["one"] and cached(tmp_path) != [])
        os.kill(process.pid, signal.SIGKILL)
    assert all(name.endswith(".part") for name in cached(tmp_path))
    server.release.set()
    assert origins(resolve(registry, ids=["one"])) == {"one": "download"}


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


# --- damaged files at hand --------------------------------------------------------------------------


def test_damaged_files_of_a_mirror_are_named_at_once_and_never_used(
    registry: dict[str, Source], server: Server, tmp_path: Path
) -> None:
    mirror = fill(tmp_path / "named", *CONTENT)
    (mirror / "two.csv").write_bytes(b"second fil3\n")
    (mirror / "own.csv").write_bytes(b"")
    with pytest.raises(SourceError, match="2 files are not what the registry says") as caught:
        resolve(registry, mirror=mirror)
    text = str(caught.value)
    expected, got = registry["two"].sha256, hashlib.sha256(b"second fil3\n").hexdigest()
    assert f"{mirror}/two.csv: sha256 expected {expected}, got {got} (12 bytes as expected)" in text
    assert f"{mirror}/own.csv: sha256 expected {registry['own'].sha256}" in text
    assert "do:    replace these files" in text
    assert (mirror / "two.csv").read_bytes() == b"second fil3\n", "a mirror is never written to"
    assert server.gets() == []


def test_damaged_cache_is_fetched_again(
    registry: dict[str, Source], server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = fill(tmp_path / "cache" / "sources", "one", "two")
    (cache / "one.csv").write_bytes(b"half")
    assert origins(resolve(registry, ids=["one", "two"])) == {"one": "download", "two": "cache"}
    assert "one.csv is damaged and is fetched again: sha256 expected" in caplog.text


def test_damaged_cache_stays_until_a_good_file_is_there(
    registry: dict[str, Source], server: Server, tmp_path: Path
) -> None:
    cache = fill(tmp_path / "cache" / "sources", "two")
    (cache / "one.csv").write_bytes(b"half")
    server.faults["one"] = ["503"]
    with pytest.raises(SourceError, match=r"1 needed files are missing:\n    one \(one.csv\): .*503"):
        resolve(registry, ids=["one", "two"])
    assert (cache / "one.csv").read_bytes() == b"half"


def test_damaged_cache_without_network_is_an_error(unreachable: dict[str, Source], tmp_path: Path) -> None:
    cache = fill(tmp_path / "cache" / "sources", "two")
    (cache / "one.csv").write_bytes(b"half")
    with pytest.raises(SourceError, match=r"1 files are not what.*\n.*one.csv: sha256 expected"):
        resolve(unreachable)


def test_quick_look_compares_sizes_only(registry: dict[str, Source], tmp_path: Path) -> None:
    mirror = fill(tmp_path / "named", "one", "two")
    (mirror / "one.csv").write_bytes(b"half")
    (mirror / "two.csv").write_bytes(b"second fil3\n")
    states = {k: look(s, places(mirror), read=False) for k, s in registry.items()}
    assert {k: it.state for k, it in states.items()} == {
        "one": "damaged",
        "two": "good",
        "big": "left out",
        "own": "left out",
    }
    assert states["one"].problem == "4 bytes instead of 15"
    assert look(registry["two"], places(mirror)).state == "damaged"
