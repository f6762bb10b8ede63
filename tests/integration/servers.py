"""Servers that tests start and stop as a user does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START, STOP = 120, 30  # seconds


@contextlib.contextmanager
def serving(
    command: Sequence[str], port_option: str, folder: Path, env: Mapping[str, str], probe: str
) -> Iterator[str]:
    """Run a server on a free port; give its address; stop it by Ctrl-C, after which nobody may listen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, port_option, str(port)], cwd=folder, env=env, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/{probe}", process, log)
        yield url
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        process.wait(STOP)
        assert _stopped(port)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _stopped(port: int) -> bool:
    end = time.monotonic() + STOP
    while time.monotonic() < end:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.2)
    return False


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"no server: {log.read_text()}")
