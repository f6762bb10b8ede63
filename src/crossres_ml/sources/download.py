"""Fetch one pinned file: temporary file, check, move; and find out whether there is a network."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import time
from pathlib import Path

from crossres_ml.errors import SourceError
from crossres_ml.sources.registry import Source

log = logging.getLogger(__name__)

OFFLINE_VARIABLE = "CROSSRES_OFFLINE"
PROBE_SECONDS = 10.0
"""Longest wait for a sign of the network, name look-up included."""
WAITS_SECONDS = (1.0, 3.0, 9.0)
"""Pauses between the tries of one file."""
CONNECT_READ_SECONDS = (10, 60)
LASTING_STATUS = frozenset({400, 401, 403, 404, 405, 410, 451})
"""HTTP answers that another try does not change."""


class UnreachableError(SourceError):
    """The address did not answer at all."""


class UnwritableError(SourceError):
    """The cache folder or its disk does not take the file."""


def offline() -> bool:
    """Whether the user forbids the network: ``CROSSRES_OFFLINE`` is set to anything but 0.

    Returns
    -------
    bool
        True when no address may be asked.
    """
    return os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")


def network_reachable(url: str, wait: float | None = None) -> bool:
    """Ask once whether the server of an address answers, whatever it answers.

    A name look-up can hang far beyond any time-out of the HTTP library, so the question is put in
    a thread of its own, which is left behind when it takes too long.

    Parameters
    ----------
    url : str
        Any address on that server.
    wait : float, optional
        Longest wait in seconds; `PROBE_SECONDS` by default.

    Returns
    -------
    bool
        False also when the network is forbidden (see `offline`).
    """
    if offline():
        return False
    wait = PROBE_SECONDS if wait is None else wait
    answered: list[bool] = []

    def ask() -> None:
        import requests

        try:
            requests.head(url, timeout=wait, allow_redirects=False).close()
            answered.append(True)
        except (OSError, UnicodeError) as error:  # requests' own errors are OSErrors
            log.debug("no answer from %s: %s", url, error)

    thread = threading.Thread(target=ask, daemon=True, name="network-probe")
    thread.start()
    thread.join(wait)
    return bool(answered)


def file_hashes(path: Path) -> tuple[str, str]:
    """Return the sha256 and the git blob sha1 of a file, read once.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of str
        Two lower-case hexadecimal digests.
    """
    plain = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            plain.update(chunk)
            blob.update(chunk)
    return plain.hexdigest(), blob.hexdigest()


def difference(source: Source, path: Path) -> tuple[str, str]:
    """Compare a file with its registry entry.

    Parameters
    ----------
    source : Source
        What the file should be.
    path : Path
        The file.

    Returns
    -------
    sha256 : str
        Of the file's content.
    problem : str
        Empty when the file is right, otherwise what was expected and what was got.
    """
    sha256, blob = file_hashes(path)
    pairs = (("sha256", source.sha256, sha256), ("git blob sha1", source.git_blob_sha1, blob))
    for kind, expected, got in pairs:
        if expected is not None and expected != got:
            size = path.stat().st_size
            sizes = f"{size:,} bytes"
            if source.bytes is not None:
                sizes += " as expected" if size == source.bytes else f" instead of {source.bytes:,}"
            return sha256, f"{kind} expected {expected}, got {got} ({sizes})"
    return sha256, ""


def download(source: Source, folder: Path) -> tuple[Path, str]:
    """Fetch a file into a folder; it gets its name only when its content is right.

    Parameters
    ----------
    source : Source
        A source with an address.
    folder : Path
        Made when it is not there. A file of the same name is replaced, and stays until then.

    Returns
    -------
    path : Path
        The file in the folder.
    sha256 : str
        Of its content.

    Raises
    ------
    UnreachableError
        If the server could not be reached, after all tries.
    UnwritableError
        If the folder or its disk does not take the file.
    SourceError
        If the server refused, or sent something else than the registry promises, after all tries.
    """
    for wait in WAITS_SECONDS:
        try:
            return _try_once(source, folder)
        except SourceError as error:
            if _is_lasting(error):
                raise
            log.info("%s: %s; next try in %.0f s", source.file, error.what, wait)
            time.sleep(wait)
    return _try_once(source, folder)


def _is_lasting(error: SourceError) -> bool:
    if isinstance(error, UnwritableError):
        return True
    response = getattr(error.__cause__, "response", None)
    return response is not None and response.status_code in LASTING_STATUS


def _try_once(source: Source, folder: Path) -> tuple[Path, str]:
    import pooch
    import requests

    where = f"{source.file} from {source.url}"
    part: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{source.file}.", suffix=".part", dir=folder)
        os.close(handle)
        part = Path(name)
        # stream=False: pooch does not close a streamed answer that fails, and the files are small
        fetch = pooch.HTTPDownloader(timeout=CONNECT_READ_SECONDS, stream=False)
        fetch(source.url, str(part), None)
        sha256, problem = difference(source, part)
        if problem:
            raise SourceError(f"wrong content: {problem}", where=where)
        part.chmod(0o644)  # mkstemp makes files that only their owner can read
        os.replace(part, folder / source.file)
    except requests.ConnectionError as error:
        raise UnreachableError("connection failed", where=where) from error
    except requests.RequestException as error:
        raise SourceError(f"download failed: {error}", where=where) from error
    except OSError as error:
        raise UnwritableError(
            f"{source.file} cannot be written: {error.strerror}",
            where=str(folder),
            do="free or choose another folder with the environment variable CROSSRES_CACHE",
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return folder / source.file, sha256
