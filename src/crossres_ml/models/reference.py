"""Expression of the training lines, kept beside a model: what another platform is brought back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

_SOUND = 0.5  # of the training lines measured: fewer are too few to rank a gene among the others
_FEWEST = 5  # training lines of a lineage whose mean is believed
_CLIP = 5.0  # one broken gene must not decide what a platform is
_FLOOR = 0.05  # standard deviation in log2 units below which a gene says nothing about a platform


@dataclass(frozen=True, eq=False)
class Reference:
    """Training lines x genes, log2(TPM + 1).

    Attributes
    ----------
    values : pandas.DataFrame
        Training lines x ``rna:`` features, float32; NaN where not measured.
    lineage : numpy.ndarray
        Lineage of each line, text; "" where unknown.
    """

    values: pd.DataFrame
    lineage: np.ndarray

    @cached_property
    def mean(self) -> pd.Series:
        """Mean of each gene."""
        return self.values.mean().astype(float)

    @cached_property
    def sd(self) -> pd.Series:
        """Standard deviation of each gene."""
        return self.values.std(ddof=0).astype(float)

    @cached_property
    def common(self) -> pd.Index:
        """Genes measured in half of the lines or more: they carry ranks and distances."""
        return self.values.columns[self.values.notna().mean().to_numpy() >= _SOUND]

    def moments(self, mixture: Mapping[str, int]) -> tuple[pd.Series, pd.Series]:
        """Mean and standard deviation that lines of these lineages, in these numbers, are expected to have.

        Parameters
        ----------
        mixture : mapping of str to int
            Lineage -> samples. Genes that fewer than five training lines of a lineage have, and samples
            without lineage (""), count as all lines together.

        Returns
        -------
        mean, sd : pandas.Series
            Of each gene; by the law of total variance.
        """
        total = sum(mixture.values())
        mean, square = 0.0 * self.mean, 0.0 * self.mean
        for name, count in mixture.items():
            part = self.values[(self.lineage == name) & (name != "")]
            enough = part.notna().sum() >= _FEWEST
            own = part.mean().astype(float).where(enough, self.mean)
            spread = part.var(ddof=0).astype(float).where(enough, self.sd**2)
            mean = mean + own * (count / total)
            square = square + (spread + own**2) * (count / total)
        return mean, (square - mean**2).clip(lower=0.0) ** 0.5

    def distance(self, mean: pd.Series) -> float:
        """Say how far the mean of a batch lies from that of the training lines.

        Parameters
        ----------
        mean : pandas.Series
            Mean of each gene over the batch; NaN where not measured.

        Returns
        -------
        float
            Root mean square over the common genes of the difference in standard deviations of the training
            lines, each cut at five; NaN if no common gene was measured.
        """
        genes = self.common[(self.sd[self.common] > _FLOOR).to_numpy()]
        z = ((mean.reindex(genes) - self.mean[genes]) / self.sd[genes]).clip(-_CLIP, _CLIP).dropna()
        return float(np.sqrt((z**2).mean())) if len(z) else float("nan")

    @cached_property
    def furthest(self) -> float:
        """Distance of the training lineage furthest from the mean of all lines; infinite if none is known."""
        parts = [self.values[self.lineage == n] for n in np.unique(self.lineage) if n]
        means = [p.mean().astype(float).where(p.notna().sum() >= _FEWEST) for p in parts]
        found = [d for d in map(self.distance, means) if np.isfinite(d)]
        return max(found, default=float("inf"))

    def arrays(self) -> dict[str, np.ndarray]:
        """Describe what must be kept, as arrays."""
        genes = self.values.columns.to_numpy(dtype=str)
        return {
            "genes": genes,
            "values": self.values.to_numpy(np.float32),
            "lineage": self.lineage.astype(str),
            "furthest": np.array([self.furthest]),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Reference:
        """Rebuild what `arrays` described."""
        reference = cls(pd.DataFrame(arrays["values"], columns=arrays["genes"]), arrays["lineage"])
        vars(reference)["furthest"] = float(arrays["furthest"][0])  # a sample need not wait for it
        return reference
