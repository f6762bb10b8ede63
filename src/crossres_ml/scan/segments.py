"""Where genes lie, and which neighbours have the same copy number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

TOGETHER = 0.9
"""Mean correlation from which neighbours are one segment."""


@dataclass(frozen=True)
class Places:
    """Where genes lie.

    Attributes
    ----------
    arm : mapping of str to str
        Gene -> chromosome arm: ``17q``.
    band : mapping of str to str
        Gene -> band on it: ``12``.
    """

    arm: Mapping[str, str]
    band: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Fold:
    """Columns that are one segment.

    Attributes
    ----------
    columns : numpy.ndarray
        Column numbers.
    lead : int
        The one that goes best with the others; gives its name.
    arm : str
        Chromosome arm.
    where : str
        Arm with the first and last band: ``17q12-q21.2``.
    """

    columns: np.ndarray
    lead: int
    arm: str
    where: str


def places_of(hgnc: pd.DataFrame) -> Places:
    """Read arms and bands from the HGNC table, also under the previous symbols of a gene.

    Parameters
    ----------
    hgnc : pandas.DataFrame
        ``symbol``, ``chromosome`` (``17q12``), ``previous_symbols`` (joined by commas or bars).

    Returns
    -------
    Places
        A previous symbol that is, or was, another gene's too is left out.
    """
    parts = hgnc.chromosome.str.extract(r"^(\d+|X|Y)([pq])(\d[\d.]*)?")
    known = parts[0].notna()
    table = pd.DataFrame(
        {"gene": hgnc.symbol, "arm": parts[0] + parts[1], "band": parts[2].fillna(""),
         "old": hgnc.previous_symbols}
    )[known]  # fmt: skip
    old = table.assign(gene=table.old.fillna("").astype(str).str.split(r"[,|]\s*")).explode("gene")
    old["gene"] = old.gene.str.strip()
    old = old[(old.gene != "") & ~old.gene.isin(hgnc.symbol) & ~old.gene.duplicated(keep=False)]
    both = pd.concat([table, old]).drop_duplicates("gene").set_index("gene")
    return Places(dict(zip(both.index, both.arm, strict=True)), dict(zip(both.index, both.band, strict=True)))


def fold_neighbours(X: np.ndarray, genes: list[str], places: Places | None) -> tuple[list[Fold], np.ndarray]:
    """Group genes of one arm by average linkage of 1 - r, cut at 1 - `TOGETHER`.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x genes; NaN where not measured.
    genes : list of str
        Their symbols.
    places : Places or None
        Where they lie; None: all count as neighbours.

    Returns
    -------
    folds : list of Fold
        In the order of arms.
    unplaced : numpy.ndarray
        Columns of genes of unknown place; in no fold.
    """
    arms = np.array([places.arm.get(g, "") if places else "?" for g in genes], dtype=object)
    folds = []
    for arm in sorted(set(arms) - {""}, key=_order):
        columns = np.flatnonzero(arms == arm)
        r = _correlations(X[:, columns])
        for own in _clusters(r):
            lead = own[np.argmax(r[np.ix_(own, own)].sum(axis=1))]
            bands = [places.band.get(genes[c], "") for c in columns[own]] if places else []
            folds.append(
                Fold(columns[own], int(columns[lead]), "" if arm == "?" else arm, _where(arm, bands))
            )
    return folds, np.flatnonzero(arms == "")


def _correlations(X: np.ndarray) -> np.ndarray:
    """Correlations; what is missing takes the mean of its column."""
    mean = np.nanmean(X, axis=0, dtype=float)
    centred = np.where(np.isfinite(X), X - mean, 0.0)
    norm = np.sqrt((centred**2).sum(axis=0))
    centred = centred / np.where(norm > 0, norm, 1.0)
    return np.asarray(centred.T @ centred)


def _clusters(r: np.ndarray) -> list[np.ndarray]:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(r) == 1:
        return [np.array([0])]
    apart = np.clip(1 - r, 0, 2)
    np.fill_diagonal(apart, 0)
    label = fcluster(linkage(squareform(apart, checks=False), "average"), 1 - TOGETHER, "distance")
    order = {c: i for i, c in enumerate(dict.fromkeys(label))}
    return [np.flatnonzero(label == c) for c in order]


def _order(arm: str) -> tuple[int, str]:
    number = arm.rstrip("pq")
    return (int(number) if number.isdigit() else 99, arm)


def _where(arm: str, bands: list[str]) -> str:
    """Say an arm with the bands that a segment spans: 17q12-q21.2."""
    if arm == "?":
        return "place unknown"
    known = sorted({float(b) for b in bands if b})
    if not known:
        return arm
    first, last = f"{known[0]:g}", f"{known[-1]:g}"
    return f"{arm}{first}" if first == last else f"{arm}{first}-{arm[-1]}{last}"
