"""Reading a YAML file into a checked model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from crossres_ml.errors import ConfigError

_T = TypeVar("_T", bound=BaseModel)


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as e:
        raise ConfigError(f"is not UTF-8 text: {e}", where=str(path), do="save it as UTF-8") from e
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", where=str(path), do="check the path") from e
    except yaml.YAMLError as e:
        raise ConfigError(f"is not YAML: {e}", where=str(path), do="mend the syntax") from e


def validate_file(kind: type[_T], path: Path, **overrules: Any) -> _T:
    """Read a YAML file and check it against a model.

    Parameters
    ----------
    kind : type
        The model.
    path : Path
        The file.
    **overrules
        Values that take the place of the file's.

    Returns
    -------
    pydantic.BaseModel
        Of this kind.

    Raises
    ------
    ConfigError
        If the file cannot be read or has an unknown key or bad value; all are named at once.
    """
    raw = _load(path)
    if isinstance(raw, dict):
        raw |= overrules
    try:
        return kind.model_validate(raw)
    except ValidationError as e:
        lines = [
            f"{'.'.join(map(str, x['loc'])) or '(top)'}: {x['msg']} (got {x['input']!r:.60})"
            for x in e.errors()
        ]
        known = ", ".join(kind.model_fields)
        raise ConfigError(
            "invalid configuration:\n    " + "\n    ".join(lines), where=str(path), do=f"known keys: {known}"
        ) from e
