"""Find each public file: a mirror, the local cache, or its pinned address; never a file that is not right."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from crossres_ml.errors import SourceError, preview
from crossres_ml.sources.download import (
    OFFLINE_VARIABLE,
    UnreachableError,
    UnwritableError,
    difference,
    download,
    network_reachable,
    offline,
)
from crossres_ml.sources.registry import Source

log = logging.getLogger(__name__)

MIRROR_VARIABLE = "CROSSRES_MIRROR"
CACHE_VARIABLE = "CROSSRES_CACHE"
NEARBY_MIRROR = Path("../shared/data/mirror")
"""A mirror that is used without being asked for, relative to the current folder."""

_HOW_TO_GET = (
    f"name a folder with the files ({MIRROR_VARIABLE} or --mirror), or connect and run: crossres data fetch"
)

Origin = Literal["mirror", "cache", "download"]


class NoDataError(SourceError):
    """Not one real file can be reached: no mirror, nothing in the cache, no network."""


@dataclass(frozen=True)
class Found:
    """A file at hand whose content is what the registry says.

    Attributes
    ----------
    id : str
        The source.
    path : Path
        The file.
    sha256 : str
        Of its content.
    origin : {"mirror", "cache", "download"}
        Where it came from.
    """

    id: str
    path: Path
    sha256: str
    origin: Origin


@dataclass(frozen=True)
class Place:
    """A folder in which files are looked for by name."""

    origin: Origin
    folder: Path


@dataclass(frozen=True)
class Look:
    """What looking for one source on this machine gave.

    Attributes
    ----------
    source : Source
        What was looked for.
    place : Place or None
        Where a file of that name is; None when it is nowhere.
    sha256 : str
        Of its content; empty when it was not read.
    problem : str
        Empty, or what makes the file unusable.
    """

    source: Source
    place: Place | None
    sha256: str = ""
    problem: str = ""

    @property
    def path(self) -> Path | None:
        """The file, if there is one."""
        return self.place.folder / self.source.file if self.place else None

    @property
    def state(self) -> Literal["good", "damaged", "missing", "left out"]:
        """One word for the outcome."""
        if self.place is not None:
            return "damaged" if self.problem else "good"
        return "missing" if self.source.required else "left out"


def cache_folder() -> Path:
    """Return the folder for downloads and derived tables.

    Returns
    -------
    Path
        The environment variable ``CROSSRES_CACHE``, or the user's cache folder. It may not exist yet.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("crossres-ml", appauthor=False))


def places(mirror: Path | None = None) -> list[Place]:
    """List the folders to look in, in order.

    Parameters
    ----------
    mirror : Path, optional
        A folder named by the user; by default the environment variable ``CROSSRES_MIRROR``, or
        else ``../shared/data/mirror`` if that exists.

    Returns
    -------
    list of Place
        The mirror, if any, and the cache.

    Raises
    ------
    SourceError
        If the folder that the user named does not exist.
    """
    named, by = (mirror, "--mirror") if mirror else (os.environ.get(MIRROR_VARIABLE), MIRROR_VARIABLE)
    folder = Path(named).expanduser() if named else NEARBY_MIRROR
    if named and not folder.is_dir():
        raise SourceError(
            f"the mirror folder {str(folder)!r} does not exist",
            where=by,
            do="name the folder that holds the files, or leave it out to use the cache and the network",
        )
    found = [Place("mirror", folder.resolve())] if folder.is_dir() else []
    return [*found, Place("cache", cache_folder() / "sources")]


def look(source: Source, where: Sequence[Place], *, read: bool = True) -> Look:
    """Look for one source; the first folder with a file of its name decides.

    Parameters
    ----------
    source : Source
        What to look for.
    where : sequence of Place
        Folders in order.
    read : bool, default True
        Whether to compare the content's hash, or (quick) its size only.

    Returns
    -------
    Look
        The outcome.
    """
    for place in where:
        path = place.folder / source.file
        if not path.is_file():
            continue
        try:
            if read:
                sha256, problem = difference(source, path)
                return Look(source, place, sha256, problem)
            size = path.stat().st_size
            wrong = source.bytes is not None and size != source.bytes
            return Look(source, place, "", f"{size:,} bytes instead of {source.bytes:,}" if wrong else "")
        except OSError as error:
            return Look(source, place, "", f"cannot be read: {error.strerror}")
    return Look(source, None)


def resolve(
    registry: Mapping[str, Source], *, mirror: Path | None = None, ids: Iterable[str] | None = None
) -> dict[str, Found]:
    """Bring together all the files that can be had, each one verified.

    Parameters
    ----------
    registry : mapping of str to Source
        See `crossres_ml.sources.registry.load_registry`.
    mirror : Path, optional
        See `places`.
    ids : iterable of str, optional
        The sources wanted; all by default.

    Returns
    -------
    dict of str to Found
        In the registry's order, without the optional sources that cannot be had.

    Raises
    ------
    NoDataError
        If there is no mirror, nothing in the cache, and no network.
    SourceError
        If a needed file is missing, a file is damaged, or an id is unknown; names all of them.
    """
    wanted = _wanted(registry, ids)
    where = places(mirror)
    looks = [look(source, where) for source in wanted]
    found = {it.source.id: _found(it) for it in looks if it.state == "good"}
    absent = [it for it in looks if it.state != "good"]
    online = _online(absent)
    damaged = [it for it in absent if it.state == "damaged"]
    _refuse_damaged([it for it in damaged if not (online and _fetchable(it))])
    for it in damaged:
        log.warning("data: %s is damaged and is fetched again: %s", it.path, it.problem)
    fetched, failures = _fetch(
        [it.source for it in absent if _fetchable(it)] if online else [], where[-1].folder
    )
    found |= fetched
    _report(wanted, found, where, failures)
    missing = [source for source in wanted if source.required and source.id not in found]
    cut_off = not online or any(isinstance(error, UnreachableError) for error in failures.values())
    if missing and not found and cut_off and len(where) == 1:
        raise NoDataError(
            "no real data can be reached: no mirror, nothing in the cache, no network",
            where=f"cache {where[-1].folder}",
            do=_HOW_TO_GET,
        )
    _refuse_missing(missing, failures)
    return {source.id: found[source.id] for source in wanted if source.id in found}


def _wanted(registry: Mapping[str, Source], ids: Iterable[str] | None) -> list[Source]:
    if ids is None:
        return list(registry.values())
    asked = set(ids)
    unknown = sorted(asked - set(registry))
    if unknown:
        near = sorted({match for name in unknown for match in get_close_matches(name, registry, n=2)})
        raise SourceError(
            f"unknown source ids: {preview(unknown)}",
            do=f"did you mean {preview(near)}?" if near else "see: crossres data status",
        )
    return [source for key, source in registry.items() if key in asked]


def _found(it: Look) -> Found:
    assert it.place is not None
    return Found(it.source.id, it.place.folder / it.source.file, it.sha256, it.place.origin)


def _fetchable(it: Look) -> bool:
    """Whether a download may take the file's place: the cache is ours, a mirror is not."""
    return it.source.url is not None and (it.place is None or it.place.origin == "cache")


def _online(absent: Sequence[Look]) -> bool:
    """Find out once, and only when there is something to fetch."""
    url = next((it.source.url for it in absent if _fetchable(it)), None)
    return url is not None and network_reachable(url)


def _fetch(sources: Sequence[Source], folder: Path) -> tuple[dict[str, Found], dict[str, SourceError]]:
    """Download what has an address; stop when the network goes away or the disk is full."""
    from tqdm import tqdm

    found: dict[str, Found] = {}
    failures: dict[str, SourceError] = {}
    quiet = not (sources and sys.stderr.isatty())
    with tqdm(sources, unit="file", desc="downloading", disable=quiet) as bar:
        for source in bar:
            bar.set_postfix_str(source.file)
            try:
                found[source.id] = Found(source.id, *download(source, folder), "download")
            except UnwritableError:
                raise
            except SourceError as error:
                failures[source.id] = error
                if isinstance(error, UnreachableError):
                    break
    return found, failures


def _report(
    wanted: Sequence[Source],
    found: Mapping[str, Found],
    where: Sequence[Place],
    failures: Mapping[str, SourceError],
) -> None:
    """Say in one line where the files come from, and in one how many are left out."""
    counts = Counter(item.origin for item in found.values())
    parts = [f"{counts[place.origin]} from the {place.origin} {place.folder}" for place in where]
    log.info(
        "data: %d of %d files: %s, %d downloaded",
        len(found),
        len(wanted),
        ", ".join(parts),
        counts["download"],
    )
    absent = [source for source in wanted if not source.required and source.id not in found]
    if absent:
        reasons = Counter(_reason(source, failures) for source in absent)
        said = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        log.info("data: %d optional files left out: %s", len(absent), said)
    for source in absent:
        if source.id in failures:
            log.warning("data: %s left out: %s", source.id, failures[source.id].what)


def _reason(source: Source, failures: Mapping[str, SourceError]) -> str:
    if source.url is None:
        return "without a public address"
    if source.id in failures:
        return "not downloaded"
    return f"not looked for ({OFFLINE_VARIABLE} is set)" if offline() else "out of reach (no network)"


def _refuse_damaged(bad: Sequence[Look]) -> None:
    if bad:
        lines = "\n".join(f"    {it.path}: {it.problem}" for it in bad)
        raise SourceError(
            f"{len(bad)} files are not what the registry says, and are not used:\n{lines}",
            do="replace these files by the originals, or delete them and run: crossres data fetch",
        )


def _refuse_missing(missing: Sequence[Source], failures: Mapping[str, SourceError]) -> None:
    if missing:
        lines = "\n".join(
            f"    {source.id} ({source.file})"
            + (f": {failures[source.id].what}" if source.id in failures else "")
            for source in missing
        )
        raise SourceError(
            f"{len(missing)} needed files are missing:\n{lines}",
            do=_HOW_TO_GET,
        )
