"""Errors that say what is wrong, with the values, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class CrossresError(Exception):
    """Base of every error that a user can cause and mend.

    Parameters
    ----------
    what : str
        What is wrong, with the offending values.
    where : str, optional
        The file, column or option concerned.
    do : str, optional
        What the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if do:
            lines.append(f"  do:    {do}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild the error on the far side of a process pool."""
        return _rebuild, (type(self), self.what, self.where, self.do)


def _rebuild(kind: type[CrossresError], what: str, where: str, do: str) -> CrossresError:
    return kind(what, where=where, do=do)


class ConfigError(CrossresError):
    """A configuration file or option cannot be used."""


class SourceError(CrossresError):
    """A data file is missing, damaged, or not what the registry says."""


class SchemaError(CrossresError):
    """A table does not have the columns, types or ranges that it must have."""


class IdentityError(CrossresError):
    """A cell-line name or identifier cannot be used as it stands."""


class CohortError(CrossresError):
    """A cohort cannot be built from the tables given."""


class LeakageError(CrossresError):
    """Something measured on a held-out line would reach the training lines."""


class BundleError(CrossresError):
    """A saved model is damaged, altered, or of another version."""


class ProfileError(CrossresError):
    """A table of new profiles cannot be scored."""


class ValidationError(CrossresError):
    """Predictions cannot be held against the responses given."""


class RunError(CrossresError):
    """A logged run cannot be found, or two cannot be compared."""


def preview(values: Iterable[object], limit: int = 8) -> str:
    """Join the first values for a message and count the others.

    Parameters
    ----------
    values : iterable
        What to show; shown in the given order.
    limit : int, default 8
        How many to spell out.

    Returns
    -------
    str
        For example ``"A, B, C ... and 4 more"``.
    """
    items = [str(v) for v in values]
    shown = ", ".join(items[:limit])
    return f"{shown} ... and {len(items) - limit} more" if len(items) > limit else shown
