"""How far a sample lies from the lines that a model learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.linalg import eigh

_COMPONENTS, _LINES_A_COMPONENT = 20, 10
_FOLDS = 5
_PATTERNS = 1024  # of gaps remembered: 3 MB


@dataclass(frozen=True, eq=False)
class Domain:
    """Mahalanobis distance under probabilistic PCA (Tipping & Bishop 1999, J R Stat Soc B 61:611).

    Features are standardised by the training lines and weighted by the root of their share of the model's
    SHAP values: what the model does not read says nothing about where it may be trusted. The distance is
    that of the features that were measured, over what they add up to in held-out training lines: gaps
    alone send few away (of sound lines with mutations alone a tenth is beyond the 99th percentile).

    Attributes
    ----------
    centre, weight : numpy.ndarray
        Shape (features,): mean, and root of the share over the standard deviation.
    components : numpy.ndarray
        Shape (components, features).
    variance : numpy.ndarray
        Shape (components,): variance along each.
    noise : float
        Variance along every other direction.
    expected : numpy.ndarray
        Shape (features,): what each adds to the squared distance of held-out training lines.
    held_out : numpy.ndarray
        Distances of training lines to fits without them and their relatives; sorted.
    """

    centre: np.ndarray
    weight: np.ndarray
    components: np.ndarray
    variance: np.ndarray
    noise: float
    expected: np.ndarray
    held_out: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray, share: np.ndarray, groups: np.ndarray) -> Domain:
        """Learn from the training lines.

        Parameters
        ----------
        X : numpy.ndarray
            Shape (lines, features), NaN where not measured.
        share : numpy.ndarray
            Shape (features,): of the model's total absolute SHAP value.
        groups : numpy.ndarray
            Shape (lines,): relatives share one.

        Returns
        -------
        Domain
            Ready to judge.
        """
        from sklearn.model_selection import GroupKFold  # scoring does without

        folds = list(GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(X, groups=groups))
        apart = [(_fit(X[a], share)._parts(X[b]), ~np.isnan(X[b])) for a, b in folds]
        parts, known = (np.concatenate(p) for p in zip(*apart, strict=True))
        expected = np.maximum(parts.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)
        whole = replace(_fit(X, share), expected=expected)
        return replace(whole, held_out=np.sort(_over(parts.sum(axis=1), known, expected)))

    def distance(self, X: np.ndarray) -> np.ndarray:
        """Measure samples.

        Parameters
        ----------
        X : numpy.ndarray
            Shape (samples, features), NaN where not measured.

        Returns
        -------
        numpy.ndarray
            Shape (samples,): squared distance, over that expected of held-out training lines by the features
            that were measured; NaN where nothing was.
        """
        z, along, factors = self._solved(X)
        whole = ((z * z).sum(axis=1) - (along * factors).sum(axis=1)) / self.noise
        return _over(whole, ~np.isnan(X), self.expected)

    def _parts(self, X: np.ndarray) -> np.ndarray:
        """Split the squared distance among the measured features."""
        z, _, factors = self._solved(X)
        return np.asarray(z * (z - factors @ self._loads.T) / self.noise)

    def _solved(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give weighted deviations, their lengths along the loads, and the factors behind these."""
        known = ~np.isnan(X)
        z = np.where(known, X - self.centre, 0.0) * self.weight
        along = z @ self._loads
        patterns = np.packbits(known, axis=1)
        which = np.zeros(len(patterns), dtype=int)
        if (patterns != patterns[:1]).any():  # most often all samples lack the same: no need to sort
            patterns, which = np.unique(patterns, axis=0, return_inverse=True)
        inner = np.stack([self._inner(p.tobytes()) for p in patterns[: which.max() + 1]])
        factors = np.linalg.solve(inner[which.ravel()], along[..., None])[..., 0]
        return z, along, np.asarray(factors)

    @cached_property
    def _loads(self) -> np.ndarray:
        return np.asarray(self.components.T * np.sqrt(self.variance - self.noise))

    @cached_property
    def _inner(self) -> Callable[[bytes], np.ndarray]:
        # samples of one table mostly lack the same features
        return lru_cache(_PATTERNS)(self._covariance)

    def _covariance(self, pattern: bytes) -> np.ndarray:
        """Woodbury: the covariance of what was measured is loads loads' + noise I on these features."""
        mask = np.unpackbits(np.frombuffer(pattern, np.uint8), count=len(self.centre)).astype(bool)
        part = self._loads[mask]
        return np.asarray(part.T @ part + self.noise * np.eye(part.shape[1]))

    def percentile(self, X: np.ndarray) -> np.ndarray:
        """Place samples among the training lines.

        Parameters
        ----------
        X : numpy.ndarray
            Shape (samples, features), NaN where not measured.

        Returns
        -------
        numpy.ndarray
            Shape (samples,): share in percent of held-out training lines that lie nearer.
        """
        far = self.distance(X)
        below = np.searchsorted(self.held_out, far, side="left") * (100.0 / len(self.held_out))
        return np.where(np.isnan(far), np.nan, below)

    def arrays(self) -> dict[str, np.ndarray]:
        """Describe what must be kept, as arrays."""
        return {k: np.atleast_1d(v) for k, v in asdict(self).items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Domain:
        """Rebuild what `arrays` described."""
        return cls(
            arrays["centre"], arrays["weight"], arrays["components"], arrays["variance"],
            float(arrays["noise"][0]), arrays["expected"], arrays["held_out"],
        )  # fmt: skip


def _fit(X: np.ndarray, share: np.ndarray) -> Domain:
    measured = ~np.isnan(X)
    count = np.maximum(measured.sum(axis=0), 1)
    centre = np.where(measured, X, 0.0).sum(axis=0) / count
    deviation = np.where(measured, X - centre, 0.0)
    sd = np.sqrt((deviation**2).sum(axis=0) / count)
    weight = np.where(sd > 0, np.sqrt(share) / np.where(sd > 0, sd, 1.0), 0.0)
    if not weight.any():  # a model that reads nothing: every sample is as near as any other
        return Domain(centre, weight, np.zeros((1, len(share))), np.ones(1), 1.0, share, np.empty(0))
    kept = max(1, min(_COMPONENTS, len(X) // _LINES_A_COMPONENT, int((weight > 0).sum()) - 1))
    z = deviation * weight
    # lines are fewer than features: the principal axes come out of lines x lines in a tenth of the time
    found, along = eigh(z @ z.T, subset_by_index=[len(z) - kept, len(z) - 1])
    found = np.maximum(found[::-1], 1e-12)
    components = (z.T @ along[:, ::-1] / np.sqrt(found)).T
    left = max(((z**2).sum() - found.sum()) / max(int((weight > 0).sum()) - kept, 1), 1e-12)
    noise = float(left / (len(z) - 1))
    variance = np.maximum(found / (len(z) - 1), noise)
    return Domain(centre, weight, components, variance, noise, share, np.empty(0))


def _over(squared: np.ndarray, known: np.ndarray, expected: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(squared / (known @ expected))
