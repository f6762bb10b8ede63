"""Which events count for both modalities, for one, or for opposite sides: tests, lists and their levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import stdtr, stdtrit

from crossres_ml.audit.association import benjamini_hochberg

RADIATION, CHEMOTHERAPY, DIFFERENCE = 0, 1, 2
"""Columns of t: the two responses, and the first minus the second."""
NOT_SEEN = 0.05
"""An event of one modality alone has at least this p in the other; and one below it for the difference."""
CAP = 0.05
"""P-values above it are in no list, nor counted in permutations."""


@dataclass(frozen=True)
class List:
    """A list of the scan.

    Attributes
    ----------
    name, label : str
        Name, and words.
    signs : tuple of int
        Direction in radiation and in chemotherapy, 1 = resistant; both must hold. Empty for a list of
        one modality.
    only : int
        Column of the single modality, else -1.
    """

    name: str
    label: str
    signs: tuple[int, ...] = ()
    only: int = -1


LISTS: Mapping[str, List] = MappingProxyType(
    {
        it.name: it
        for it in (
            List("both_resistant", "resistant to both", (1, 1)),
            List("both_sensitive", "sensitive to both", (-1, -1)),
            List("discordant_radiation", "resistant to radiation, sensitive to chemotherapy", (1, -1)),
            List("discordant_chemotherapy", "resistant to chemotherapy, sensitive to radiation", (-1, 1)),
            List("radiation_only", "radiation only", only=RADIATION),
            List("chemotherapy_only", "chemotherapy only", only=CHEMOTHERAPY),
        )
    }
)


@dataclass(frozen=True, eq=False)
class Tests:
    """P-values behind a list.

    Attributes
    ----------
    p : numpy.ndarray
        Per event. For two modalities: the larger of the two one-sided p-values, which tests that at
        least one of them is nothing (partial conjunction; Berger 1982, Technometrics 24:295). For one:
        its two-sided p.
    fits : numpy.ndarray
        Per event, bool: whether it may be in the list if its p passes.
    """

    p: np.ndarray
    fits: np.ndarray

    def adjusted(self) -> np.ndarray:
        """Benjamini and Hochberg's over all events."""
        return benjamini_hochberg(self.p)

    def called(self, level: float) -> np.ndarray:
        """Events of the list at a false discovery rate."""
        return np.asarray(self.fits & (np.nan_to_num(self.adjusted(), nan=1.0) < level))

    def threshold(self, level: float) -> float:
        """Largest p that is called; if there is none, the p that a single event would need."""
        passed = self.p[np.nan_to_num(self.adjusted(), nan=1.0) < level]
        return float(passed.max()) if len(passed) else float(level / max(np.isfinite(self.p).sum(), 1))


def one_sided(t: np.ndarray, df: np.ndarray, sign: int) -> np.ndarray:
    """P of a t in one direction; ``df`` per event."""
    return np.asarray(stdtr(df, -sign * t))


def run_tests(t: np.ndarray, df: np.ndarray) -> dict[str, Tests]:
    """Make the p-values of every list.

    Parameters
    ----------
    t : numpy.ndarray
        Events x 3: radiation, chemotherapy and their difference.
    df : numpy.ndarray
        Per event.

    Returns
    -------
    dict of str to Tests
        List -> its tests.
    """
    two = np.column_stack([2 * one_sided(np.abs(t[:, k]), df, 1) for k in range(3)])
    out = {}
    for name, it in LISTS.items():
        if it.signs:
            sides = [one_sided(t[:, k], df, s) for k, s in enumerate(it.signs)]
            p = np.maximum(*sides)
            out[name] = Tests(p, np.isfinite(p))
        else:
            other = CHEMOTHERAPY if it.only == RADIATION else RADIATION
            with np.errstate(invalid="ignore"):
                fits = (two[:, other] >= NOT_SEEN) & (two[:, DIFFERENCE] < NOT_SEEN)
            out[name] = Tests(two[:, it.only], fits)
    return out


@dataclass(frozen=True, eq=False)
class Candidates:
    """Small p-values of many permutations: of one list, under one null.

    Attributes
    ----------
    draw : numpy.ndarray
        Permutation of each.
    p : numpy.ndarray
        At most `CAP`.
    fits : numpy.ndarray
        Bool, as in `Tests`.
    """

    draw: np.ndarray
    p: np.ndarray
    fits: np.ndarray


def small_p(t: np.ndarray, df: np.ndarray, seen: np.ndarray) -> dict[tuple[str, str], Candidates]:
    """Find the small p-values of permuted responses.

    Parameters
    ----------
    t : numpy.ndarray
        3 x events x permutations: t of permuted radiation, of chemotherapy permuted alike, and of the
        difference; NaN as 0.
    df : numpy.ndarray
        Per event.
    seen : numpy.ndarray
        Events x 3: t as observed, NaN as 0.

    Returns
    -------
    dict of (str, str) to Candidates
        (list, null). Null ``pairs``: both permuted together. ``radiation`` and ``chemotherapy``: that one
        is permuted, the other as observed; for lists of two modalities.
    """
    edge = stdtrit(df, 1 - CAP).astype(t.dtype)[:, None]
    over = {(k, s): s * t[k] >= edge for k in (RADIATION, CHEMOTHERAPY) for s in (1, -1)}
    fixed = {(k, s): s * seen[:, k] >= edge[:, 0] for k in (RADIATION, CHEMOTHERAPY) for s in (1, -1)}
    out = {}
    for name, it in LISTS.items():
        if not it.signs:
            out[name, "pairs"] = _alone(t, df, it.only)
            continue
        r, c = ((k, s) for k, s in enumerate(it.signs))
        for null, hit in {
            "pairs": over[r] & over[c],
            "radiation": over[r] & fixed[c][:, None],
            "chemotherapy": over[c] & fixed[r][:, None],
        }.items():
            event, draw = np.nonzero(hit)
            size = [
                s * (t[k][event, draw] if null in ("pairs", own) else seen[event, k])
                for (k, s), own in ((r, "radiation"), (c, "chemotherapy"))
            ]
            p = stdtr(df[event], -np.minimum(*size).astype(float))
            out[name, null] = Candidates(draw, p, np.ones(len(p), dtype=bool))
    return out


def _alone(t: np.ndarray, df: np.ndarray, only: int) -> Candidates:
    """Small two-sided p-values of one response, and whether the other one is silent."""
    other = CHEMOTHERAPY if only == RADIATION else RADIATION
    wide = stdtrit(df, 1 - CAP / 2).astype(t.dtype)
    event, draw = np.nonzero(np.abs(t[only]) >= wide[:, None])
    beyond = stdtrit(df, 1 - NOT_SEEN / 2)[event]
    fits = (np.abs(t[other][event, draw]) <= beyond) & (np.abs(t[DIFFERENCE][event, draw]) > beyond)
    return Candidates(draw, 2 * stdtr(df[event], -np.abs(t[only][event, draw]).astype(float)), fits)


def count_called(p: np.ndarray, fits: np.ndarray, m: int, level: float) -> int:
    """Count what Benjamini and Hochberg would call, given the small p-values of m.

    Parameters
    ----------
    p, fits : numpy.ndarray
        P-values up to `CAP`, and whether each may be in the list.
    m : int
        Tests in all.
    level : float
        False discovery rate.

    Returns
    -------
    int
        Number called that fit.
    """
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] < level * np.arange(1, len(p) + 1) / m)
    return int(fits[order[: passed[-1] + 1]].sum()) if len(passed) else 0
