"""The registry: which public files the programme reads, and how a copy is known to be right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from crossres_ml.config_names import config_path
from crossres_ml.errors import ConfigError, preview

Status = Literal["mirrored", "remote_only", "local_only"]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Source(BaseModel):
    r"""One public file, pinned by its address and by the hash of its content.

    Attributes
    ----------
    id : str
        The name by which the programme asks for the file.
    file : str
        File name in a mirror and in the cache.
    publisher, release, citation : str
        Whose data these are, which release, and what to cite.
    licence : str
        As stated by the repository that holds the copy; ``"not stated"`` where it states none.
    url : str or None
        Address of one fixed version; None when there is no public address.
    bytes : int or None
        Size, where known.
    sha256, git_blob_sha1 : str or None
        Lower-case hexadecimal digests, of which at least one is known. The second is git's own:
        sha1 of ``b"blob <bytes>\0"`` followed by the content.
    status : {"mirrored", "remote_only", "local_only"}
        Needed; fetched when the network is there; used when a mirror has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    publisher: Text
    release: Text
    citation: Text
    licence: Text
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    bytes: Annotated[int, Field(ge=0)] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    git_blob_sha1: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    status: Status = "mirrored"

    @model_validator(mode="after")
    def _hash_and_address(self) -> Source:
        if self.sha256 is None and self.git_blob_sha1 is None:
            raise ValueError("needs sha256 or git_blob_sha1")
        if (self.url is None) != (self.status == "local_only"):
            raise ValueError("needs an address (path) unless its status is local_only, which has none")
        return self

    @property
    def required(self) -> bool:
        """Whether nothing can be done without the file."""
        return self.status == "mirrored"


def load_registry(path: Path | None = None) -> dict[str, Source]:
    """Read the registry of sources.

    Parameters
    ----------
    path : Path, optional
        A YAML file of collections; by default the ``sources.yaml`` that comes with the programme.

    Returns
    -------
    dict of str to Source
        By id, in the file's order.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or has entries that cannot be used; names all of them.
    """
    path = path or config_path("sources.yaml")
    sources: list[Source] = []
    problems: list[str] = []
    for entry in _entries(path):
        try:
            sources.append(Source.model_validate(entry))
        except ValidationError as error:
            problems += [f"{entry.get('id', 'no id')}: {_say(detail)}" for detail in error.errors()]
    for field in ("id", "file"):
        counts = Counter(getattr(source, field) for source in sources)
        problems += [f"{field} {value!r} is there {n} times" for value, n in counts.items() if n > 1]
    if not sources and not problems:
        problems = ["no source in it"]
    if problems:
        raise ConfigError(
            f"the registry has {len(problems)} wrong entries: {preview(problems)}",
            where=str(path),
            do="correct these entries; the head of configs/sources.yaml says what each field is",
        )
    return {source.id: source for source in sources}


def _say(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else str(detail["msg"])


def _entries(path: Path) -> list[dict[str, Any]]:
    """Give each file the fields of its collection, and its address."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = []
        for collection in document["collections"]:
            shared = {k: v for k, v in collection.items() if k not in ("files", "base")}
            for file in collection["files"]:
                entry = shared | {k: v for k, v in file.items() if k != "path"}
                if "path" in file:
                    entry["url"] = collection["base"] + file["path"]
                entries.append(entry)
    except OSError as error:
        raise ConfigError(f"the registry cannot be read: {error.strerror}", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))
        raise ConfigError(f"the registry is not YAML: {reason}", where=str(path)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"the registry is not a list of collections with files: {type(error).__name__} {error}",
            where=str(path),
            do="give it the shape of configs/sources.yaml",
        ) from error
    return entries
