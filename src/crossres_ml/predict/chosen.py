"""Single samples out of many: found by id before the work starts, explained, and named as files."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.profiles import ID, Profiles

TOP = 10
"""Features of a chosen sample where no other number is asked for."""
_CLOSE, _LONGEST = 3, 60
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASHED = re.compile(r".*-[0-9a-f]{8}", re.IGNORECASE)


@dataclass(frozen=True)
class Chosen:
    """What is known of chosen samples.

    Attributes
    ----------
    samples : tuple of str
        Their ids, each once, as they were asked for.
    scores : pandas.DataFrame
        Their rows of `crossres_ml.predict.score.score_profiles`, index ``model_id``.
    shares : pandas.DataFrame
        Their rows of `crossres_ml.predict.score.explain_profiles`.
    """

    samples: tuple[str, ...]
    scores: pd.DataFrame
    shares: pd.DataFrame


def check_chosen(wanted: Sequence[str], ids: pd.Index, where: str) -> None:
    """Refuse samples that a table does not have.

    Parameters
    ----------
    wanted : sequence of str
        Ids asked for.
    ids : pandas.Index
        Ids of the table.
    where : str
        Name of the table, for the message.

    Raises
    ------
    ProfileError
        Names every unknown id, and the ids that come close to it.
    """
    unknown = [w for w in dict.fromkeys(wanted) if w not in ids]
    if unknown:
        raise ProfileError(
            f"no such sample: {preview(_with_close(w, ids) for w in unknown)}", where=where,
            do=f"give ids as they stand there, such as {preview(ids[:_CLOSE], _CLOSE)}",
        )  # fmt: skip


def _with_close(wanted: str, ids: pd.Index) -> str:
    folded = {str(i).casefold(): str(i) for i in ids}
    close = difflib.get_close_matches(wanted.casefold(), folded, _CLOSE)
    return f"{wanted!r} (close: {', '.join(folded[c] for c in close)})" if close else repr(wanted)


def only(part: Profiles, wanted: Sequence[str]) -> Profiles | None:
    """Give the chosen samples of some profiles, or None where there is none of them."""
    mine = part.values.index.isin(list(wanted))
    if not mine.any():
        return None
    return Profiles(part.values[mine], None if part.lineage is None else part.lineage[mine])


def pick(parts: Iterable[Sequence[pd.DataFrame]], wanted: Sequence[str]) -> Chosen:
    """Collect chosen samples.

    Parameters
    ----------
    parts : iterable of (scores, shares)
        Tables of some samples each, ids in a column ``model_id``.
    wanted : sequence of str
        Ids, all of them in the tables.

    Returns
    -------
    Chosen
        Their rows.
    """
    found = [[t[t[ID].isin(list(wanted))] for t in part if ID in t] for part in parts]
    kept = [f for f in found if len(f[0])]
    scores, shares = (pd.concat(tables, ignore_index=True) for tables in zip(*kept, strict=True))
    return Chosen(tuple(dict.fromkeys(wanted)), scores.set_index(ID), shares)


def file_names(samples: Sequence[str]) -> dict[str, str]:
    """Turn ids into parts of names of files.

    Parameters
    ----------
    samples : sequence of str
        Ids, each once.

    Returns
    -------
    dict of str to str
        Id -> a name of letters, digits, ``._-``. An id that had to be changed or shortened, that differs
        from another by case alone, or that looks like such a name, ends with a piece of its hash, so that
        two ids never share a file.
    """
    seen = pd.Series([s.casefold() for s in samples], index=list(samples), dtype=object)
    shared = set(seen[seen.duplicated(keep=False)].index)
    out = {}
    for sample in samples:
        plain = _PLAIN.fullmatch(sample) and len(sample) <= _LONGEST and not _HASHED.fullmatch(sample)
        if plain and sample not in shared:
            out[sample] = sample
        else:
            stem = re.sub(r"[^A-Za-z0-9._-]+", "_", sample)[:_LONGEST]
            out[sample] = f"{stem}-{hashlib.sha256(sample.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return out
