"""One kernel per block of features: what a Gaussian process needs to know about two lines.

A line in which a block was not measured has kernel 0 with every other line and 1 with itself, so
that nothing is imputed and a missing block says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossres_ml.errors import CohortError

_CLIP = 5.0
_MEASURED = 0.3
_SPREAD = 1e-6


@dataclass(frozen=True)
class KernelSpec:
    """How a block becomes a kernel.

    Attributes
    ----------
    name : str
        Name of the kernel.
    shape : {'rbf', 'linear'}
        Squared-exponential in the squared distance, or scaled dot product.
    prefixes : tuple of str
        Columns that begin with one of these belong to it.
    fill : str
        Prefix of a second measurement of the same genes; its z-score stands in where the first is
        missing (``rna_array:`` for ``rna:``).
    min_spread : float
        Features that vary less over the training lines are left out.
    min_events : int
        For 0/1 blocks: least number of lines with and without the event.
    min_event_share : float
        The same as a share of the lines in which the event was looked for.
    min_share : float
        Least share of training lines in which a feature is measured.
    common_scale : bool
        Scale all features by the spread of the first, not each by its own: keeps the weight of
        principal components.
    always : tuple of str
        Columns that are kept however few lines have them.
    """

    name: str
    shape: str
    prefixes: tuple[str, ...]
    fill: str = ""
    min_spread: float = _SPREAD
    min_events: int = 0
    min_event_share: float = 0.0
    min_share: float = 0.0
    common_scale: bool = False
    always: tuple[str, ...] = ()


class BlockSpace:
    """Standardised inputs of one kernel; mean, spread, length scale come from the training lines.

    Parameters
    ----------
    spec : KernelSpec
        Which columns, which shape.

    Attributes
    ----------
    columns : list of str
        Columns used.
    """

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec
        self.columns: list[str] = []

    def fit(self, X: pd.DataFrame) -> BlockSpace:
        """Learn columns, mean, spread and length scale.

        Parameters
        ----------
        X : pandas.DataFrame
            Training lines x features.

        Returns
        -------
        BlockSpace
            Itself; ``columns`` is empty when no feature fits.
        """
        spec = self.spec
        main = candidates(X, spec)
        self.columns = main
        self.fill_columns = _partners(main, spec, X.columns)
        raw = X[main].to_numpy(dtype=float)
        self.mean, self.spread = _moments(raw)
        fill = _take(X, self.fill_columns)
        self.fill_mean, self.fill_spread = _moments(fill)
        constant = self.fill_spread <= _SPREAD  # has no z-score: measured in one line, say
        fill[:, constant] = np.nan
        self.fill_columns = [n if ok else "" for n, ok in zip(self.fill_columns, ~constant, strict=True)]
        seen = np.isfinite(raw) | np.isfinite(fill)
        keep = (self.spread > spec.min_spread) & (seen.mean(axis=0) >= max(spec.min_share, 1 / len(X)))
        keep |= np.isin(main, spec.always) & (self.spread > _SPREAD)
        self._keep(np.flatnonzero(keep))
        if self.columns:
            if spec.common_scale:
                self.spread = np.full(len(self.columns), self.spread[0])
            z, measured = self.transform(X)
            self.scale = _scale(z[measured], spec.shape)
        return self

    def _keep(self, at: np.ndarray) -> None:
        self.columns = [self.columns[i] for i in at]
        self.fill_columns = [self.fill_columns[i] for i in at]
        for name in ("mean", "spread", "fill_mean", "fill_spread"):
            setattr(self, name, getattr(self, name)[at])

    def _filled(self, raw: np.ndarray, fill: np.ndarray) -> np.ndarray:
        z = _standardise(raw, self.mean, self.spread)
        second = _standardise(fill, self.fill_mean, self.fill_spread)
        return np.asarray(np.where(np.isfinite(z), z, second))

    def transform(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Standardise.

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features.

        Returns
        -------
        z : numpy.ndarray
            Lines x ``columns``, clipped at +-5; 0 (the training mean) where not measured.
        measured : numpy.ndarray
            True where at least 30 % of the block was measured.
        """
        z = self._filled(X[self.columns].to_numpy(dtype=float), _take(X, self.fill_columns))
        measured = np.isfinite(z).mean(axis=1) >= _MEASURED
        return np.nan_to_num(z), measured

    def kernel(self, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
        """Kernel between two sets of lines.

        Parameters
        ----------
        a, b : tuple
            As `transform` gives them; ``b`` None means the same lines as ``a``.

        Returns
        -------
        numpy.ndarray
            Shape (lines of a, lines of b).
        """
        z, measured = a
        z2, measured2 = a if b is None else b
        if self.spec.shape == "linear":
            k = z @ z2.T / self.scale
        else:
            k = np.exp(-_squared_distance(z, z2) / self.scale)
        k *= measured[:, None] & measured2
        if b is None and self.spec.shape == "rbf":
            np.fill_diagonal(k, 1.0)
        return np.asarray(k)

    def diagonal(self, a: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Kernel of each line with itself.

        Parameters
        ----------
        a : tuple
            As `transform` gives it.

        Returns
        -------
        numpy.ndarray
            Shape (lines,).
        """
        z, measured = a
        if self.spec.shape == "rbf":
            return np.ones(len(z))  # what was not measured is as uncertain as before
        return np.asarray(measured * (z**2).sum(axis=1) / self.scale)


def candidates(X: pd.DataFrame, spec: KernelSpec) -> list[str]:
    """List the columns of a block that have enough events; cheap, before anything is standardised.

    Parameters
    ----------
    X : pandas.DataFrame
        Training lines x features.
    spec : KernelSpec
        Says how many events are enough.

    Returns
    -------
    list of str
        Columns, in order.
    """
    main = [c for c in X.columns if c.startswith(spec.prefixes)]
    if not spec.min_events and not spec.min_event_share:
        return main
    raw = X[main].to_numpy()
    n = np.isfinite(raw).sum(axis=0)
    events = n - (raw == 0).sum(axis=0)
    least = np.maximum(spec.min_events, spec.min_event_share * n)
    enough = np.minimum(events, n - events) >= np.maximum(least, 1)
    return [c for c, ok in zip(main, enough | np.isin(main, spec.always), strict=True) if ok]


def _partners(main: Sequence[str], spec: KernelSpec, columns: pd.Index) -> list[str]:
    """Name the second measurement of each column; an empty name where there is none."""
    if not spec.fill:
        return [""] * len(main)
    have = set(columns)
    names = [spec.fill + c.split(":", 1)[1] for c in main]
    return [n if n in have else "" for n in names]


def _take(X: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    out = np.full((len(X), len(names)), np.nan)
    at = [i for i, n in enumerate(names) if n]
    if at:
        out[:, at] = X[[names[i] for i in at]].to_numpy(dtype=float)
    return out


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = np.isfinite(values)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0).sum(axis=0) / n
    spread = np.sqrt(np.where(seen, (values - mean) ** 2, 0).sum(axis=0) / n)
    return mean, spread


def _standardise(values: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip((values - mean) / np.maximum(spread, _SPREAD), -_CLIP, _CLIP))


def _squared_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(d, 0.0))


def _scale(z: np.ndarray, shape: str) -> float:
    """Median squared distance of pairs (rbf), or mean squared length (linear)."""
    if shape == "linear":
        value = float((z**2).sum(axis=1).mean()) if len(z) else 1.0
    else:
        above = np.triu_indices(len(z), 1)
        value = float(np.median(_squared_distance(z, z)[above])) if len(z) > 1 else 1.0
    return value if value > 0 else 1.0


class BlockKernels:
    """All kernels of a model.

    Parameters
    ----------
    specs : sequence of KernelSpec
        Kernels wanted; one without features in the training lines is left out.
    """

    def __init__(self, specs: Sequence[KernelSpec]) -> None:
        self.specs = tuple(specs)
        self.spaces: list[BlockSpace] = []

    def fit(self, X: pd.DataFrame) -> BlockKernels:
        """Learn all spaces on training lines.

        Parameters
        ----------
        X : pandas.DataFrame
            Training lines x features.

        Returns
        -------
        BlockKernels
            Itself.

        Raises
        ------
        CohortError
            If no kernel has a feature.
        """
        fitted = [BlockSpace(s).fit(X) for s in self.specs]
        self.spaces = [s for s in fitted if s.columns]
        if not self.spaces:
            wanted = ", ".join(p for s in self.specs for p in s.prefixes)
            raise CohortError(
                f"no feature to make a kernel of in {len(X)} lines", do=f"needs one of {wanted}"
            )
        return self

    @property
    def names(self) -> list[str]:
        """Names of the kernels, in order."""
        return [s.spec.name for s in self.spaces]

    @property
    def columns(self) -> list[str]:
        """Columns used by any kernel, each once, sorted."""
        used = {c for s in self.spaces for c in (*s.columns, *s.fill_columns) if c}
        return sorted(used)

    def transform(self, X: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
        """Standardised inputs of every kernel."""
        return [s.transform(X) for s in self.spaces]

    def kernels(
        self,
        a: Sequence[tuple[np.ndarray, np.ndarray]],
        b: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> np.ndarray:
        """Stack the base kernels.

        Parameters
        ----------
        a, b : sequence
            As `transform` gives them; ``b`` None means the same lines as ``a``.

        Returns
        -------
        numpy.ndarray
            Shape (kernels, lines of a, lines of b).
        """
        pairs = zip(self.spaces, a, [None] * len(a) if b is None else b, strict=True)
        return np.stack([s.kernel(u, v) for s, u, v in pairs])
