"""Expression from another platform: how far it is from the training lines', and how it is brought back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.models.bundle import Bundle
from crossres_ml.models.reference import Reference
from crossres_ml.predict.profiles import BLOCK, Profiles

log = logging.getLogger(__name__)
METHODS = ("auto", "none", "zscore", "quantile", "rank")
MIN_BATCH, LEAST_BATCH = 30, 5
"""Samples from which moments are trusted, and below which they are refused."""
_MARGIN = 1.25  # over the training lineage that is furthest: sequenced lines of one tissue are not a platform
_GRID = np.linspace(0.0, 1.0, 513)


@dataclass(frozen=True, eq=False)
class Batch:
    """Moments of the expression of all samples that came together.

    Attributes
    ----------
    samples : int
        How many have any expression.
    count, mean, sd : pandas.Series
        Of each ``rna:`` feature: samples that have it, and their moments (NaN where none has it).
    lineages : dict of str to int
        Lower-case lineage -> samples with expression; "" where not given.
    """

    samples: int
    count: pd.Series
    mean: pd.Series
    sd: pd.Series
    lineages: dict[str, int]

    @classmethod
    def of(cls, parts: Iterable[Profiles]) -> Batch:
        """Summarise samples that come by chunks.

        Parameters
        ----------
        parts : iterable of Profiles
            In input order, all of one size, a multiple of `BLOCK`; the last may be shorter.

        Returns
        -------
        Batch
            Of all of them.

        Raises
        ------
        ProfileError
            If there is none.
        """
        columns: pd.Index | None = None
        lineages: Counter[str] = Counter()
        samples = 0
        for part in parts:
            values = part.values.loc[:, part.values.columns.str.startswith("rna:")]
            if columns is None:
                columns, shift = values.columns, np.nan_to_num(values.iloc[0].to_numpy(dtype=float))
                count, total, square = np.zeros((3, len(columns)))
            # the first sample is taken off: squares of what is left lose no digits;
            # always as many samples at a time: no sum depends on the size of a chunk
            rest = values.to_numpy(dtype=float) - shift
            for start in range(0, len(rest), BLOCK):
                rows = rest[start : start + BLOCK]
                known = ~np.isnan(rows)
                samples += int(known.any(axis=1).sum())
                rows[~known] = 0.0
                count += known.sum(axis=0)
                total += rows.sum(axis=0)
                square += (rows * rows).sum(axis=0)
            told = pd.Series("", values.index) if part.lineage is None else part.lineage.fillna("")
            told = told[values.notna().any(axis=1).to_numpy()]
            lineages.update(str(n).strip().casefold() for n in told)
        if columns is None:
            raise ProfileError("has no sample", do="give at least one")
        n = np.where(count > 0, count, np.nan)
        sd = np.sqrt(np.maximum(square / n - (total / n) ** 2, 0.0))
        mean = pd.Series(shift + total / n, columns)
        return cls(samples, pd.Series(count, columns), mean, pd.Series(sd, columns), dict(lineages))


@dataclass(frozen=True, eq=False)
class Platform:
    """What is done to the expression of one batch.

    Attributes
    ----------
    method : str
        One of `METHODS` but ``auto``.
    because : str
        Why, with the numbers behind it.
    distance, limit : dict of str to float
        Task -> distance of the batch from the training lines, and the largest that one platform explains.
    batch : Batch
        What it was decided on.
    """

    method: str
    because: str
    distance: dict[str, float]
    limit: dict[str, float]
    batch: Batch

    @property
    def far(self) -> bool:
        """Whether the batch looks like another platform."""
        return any(self.distance[t] > self.limit[t] for t in self.distance)

    @property
    def widened(self) -> bool:
        """Whether prediction sets are made at half the error: the batch does not tell its own scale."""
        return self.method in ("quantile", "rank") or (
            self.method == "zscore" and self.batch.samples < MIN_BATCH
        )

    def bring(self, X: pd.DataFrame, reference: Reference) -> pd.DataFrame:
        """Bring expression to the training lines' platform.

        Parameters
        ----------
        X : pandas.DataFrame
            Samples x features of a model.
        reference : Reference
            The model's.

        Returns
        -------
        pandas.DataFrame
            The same table with other ``rna:`` values; NaN stays NaN, and so are z-scores of a gene that
            fewer than `LEAST_BATCH` samples have.
        """
        if self.method == "none":
            return X
        genes = reference.values.columns
        values = X[genes].to_numpy(dtype=float)
        if self.method == "zscore":
            values = _zscore(values, genes, reference, self.batch)
        else:
            given = self.batch.count.reindex(genes, fill_value=0.0).to_numpy() > 0
            values = _by_ranks(values, given, reference, self.method)
        out = X.copy()
        out[genes] = np.clip(values, 0.0, 20.0).astype(np.float32)
        return out

    def told(self) -> dict[str, Any]:
        """Describe the decision, JSON-ready."""
        return {
            "method": self.method, "because": self.because, "samples": self.batch.samples,
            "distance": {k: finite(v) for k, v in self.distance.items()},
            "limit": {k: finite(v) for k, v in self.limit.items()},
            "prediction_sets_widened": self.widened,
        }  # fmt: skip


def choose_platform(method: str, batch: Batch, bundles: Sequence[Bundle], where: str) -> Platform:
    """Decide how a batch is normalised.

    ``auto`` leaves a batch as it is when its mean is about as far from that of the training lines as a
    sequenced batch of one tissue may be: 1.25 x the root of the furthest lineage's squared distance plus
    one over the number of samples. Otherwise it takes z-scores of `MIN_BATCH` samples or more, quantiles of
    fewer.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    batch : Batch
        The samples.
    bundles : sequence of Bundle
        Models.
    where : str
        Name of the table, for messages.

    Returns
    -------
    Platform
        The decision.

    Raises
    ------
    ProfileError
        If the method is unknown, or the samples are too few for it.
    """
    if method not in METHODS:
        raise ProfileError(f"normalisation {method!r}", where=where, do=f"choose one of {preview(METHODS)}")
    if method == "zscore" and batch.samples < LEAST_BATCH:
        raise ProfileError(
            f"z-scores of {batch.samples} samples mean nothing",
            where=where, do=f"give {LEAST_BATCH} or more (better {MIN_BATCH}), or use quantile",
        )  # fmt: skip
    distance = {b.task: b.reference.distance(batch.mean) for b in bundles}
    by_chance = max(batch.samples, 1) ** -0.5
    limit = {b.task: _MARGIN * float(np.hypot(b.reference.furthest, by_chance)) for b in bundles}
    far = [t for t in distance if distance[t] > limit[t]]
    numbers = ", ".join(f"{t} {distance[t]:.2f} (limit {limit[t]:.2f})" for t in distance)
    told = f"distance to the training lines' mean expression, in their sd: {numbers}"
    if method != "auto":
        if method == "none" and far:
            log.warning("%s: looks like another platform and is not normalised: %s", where, told)
        return Platform(method, f"asked for; {told}", distance, limit, batch)
    chosen = "none" if not far else "zscore" if batch.samples >= MIN_BATCH else "quantile"
    if far:
        log.warning("%s: looks like another platform, normalised by %s: %s", where, chosen, told)
    return Platform(chosen, f"auto; {told}", distance, limit, batch)


def _zscore(values: np.ndarray, genes: pd.Index, reference: Reference, batch: Batch) -> np.ndarray:
    """Give the batch the mean and spread that training lines of its lineages have."""
    spelt = {str(n).casefold(): str(n) for n in np.unique(reference.lineage) if n}
    mixture: Counter[str] = Counter()
    for name, count in batch.lineages.items():
        mixture[spelt.get(name, "")] += count
    mean, sd = reference.moments(mixture)
    own_mean, own_sd = batch.mean.reindex(genes).to_numpy(), batch.sd.reindex(genes).to_numpy()
    z = np.divide(values - own_mean, own_sd, out=np.zeros_like(values), where=own_sd > 1e-6)
    out = mean[genes].to_numpy() + z * sd[genes].to_numpy()
    few = batch.count.reindex(genes, fill_value=0.0).to_numpy() < LEAST_BATCH
    return np.where(np.isnan(values) | few, np.nan, out)


def _by_ranks(values: np.ndarray, given: np.ndarray, reference: Reference, method: str) -> np.ndarray:
    """Normalise each sample by itself, from the ranks of its genes among those that most lines have."""
    carry = given & reference.values.columns.isin(reference.common)
    out = np.full_like(values, np.nan)
    target, width = _learned(reference, carry.tobytes(), method)
    if not len(target):
        return out
    for i, row in enumerate(values):
        if np.isnan(row[carry]).all():
            continue
        place = _places(row[carry], row)
        if method == "quantile":
            out[i] = np.interp(place, _GRID, target)
        else:
            z = np.divide(place - target, width, out=np.zeros_like(place), where=width > 1e-6)
            out[i] = reference.mean.to_numpy() + reference.sd.to_numpy() * z
    out[np.isnan(values)] = np.nan
    return out


@lru_cache(16)  # chunks of one table ask for the same
def _learned(reference: Reference, carried: bytes, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean quantiles of the training lines, or mean and spread of each gene's place among the others."""
    carry = np.frombuffer(carried, dtype=bool)
    lines = reference.values.to_numpy(dtype=float)
    whole = lines[~np.isnan(lines[:, carry]).any(axis=1)]
    lines = whole if len(whole) else lines[~np.isnan(lines[:, carry]).all(axis=1)]
    if not carry.any() or not len(lines):
        return np.array([]), np.array([])
    if method == "quantile":
        table = pd.DataFrame([_quantiles(line[carry]) for line in lines])
    else:
        table = pd.DataFrame([_places(line[carry], line) for line in lines])
    return table.mean().to_numpy(), table.std(ddof=0).to_numpy()


def _quantiles(values: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    return np.quantile(known, _GRID) if len(known) else np.full(len(_GRID), np.nan)


def _places(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Place values among the sample's common genes, 0 to 1; ties share the middle."""
    known = np.sort(among[~np.isnan(among)])
    below, up_to = (np.searchsorted(known, known, side=s) for s in ("left", "right"))
    place = np.interp(values, known, (below + up_to) / 2 / max(len(known), 1))
    return np.where(np.isnan(values), np.nan, place)


def finite(value: float) -> float | None:
    """Give a number that JSON can hold: None where there is none."""
    return value if np.isfinite(value) else None
