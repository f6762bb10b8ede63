"""A fitted kernel machine: mean plus kernels to the training lines times coefficients.

Gaussian processes of one response, of a whole drug profile, and of two coupled responses all
predict in this one form, so that they are saved, loaded and explained alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.models.kernels import BlockKernels, BlockSpace, KernelSpec

# Gauss-Legendre nodes on the path from the mean profile to the line; 8 leave an error below 1e-4.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)
_SPACE_ARRAYS = ("mean", "spread", "fill_mean", "fill_spread")


@dataclass
class KernelMachine:
    """f(x) = mean + sum over kernels b and training lines i of k_b(x, x_i) coefficients[b, i].

    Attributes
    ----------
    kernels : BlockKernels
        Fitted spaces.
    inputs : list of tuple
        Standardised training inputs of each kernel, as `BlockKernels.transform` gives them.
    coefficients : numpy.ndarray
        Shape (kernels, training lines, outputs).
    mean : numpy.ndarray
        Shape (outputs,).
    """

    kernels: BlockKernels
    inputs: list[tuple[np.ndarray, np.ndarray]]
    coefficients: np.ndarray
    mean: np.ndarray

    @property
    def columns(self) -> list[str]:
        """Features used."""
        return self.kernels.columns

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict all outputs.

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features (at least ``columns``).

        Returns
        -------
        numpy.ndarray
            Shape (lines, outputs).
        """
        return self._mean(self.kernels.kernels(self.kernels.transform(X), self.inputs))

    def _mean(self, cross: np.ndarray) -> np.ndarray:
        out = np.tile(self.mean, (len(cross[0]), 1))
        for k, a in zip(cross, self.coefficients, strict=True):
            out += k @ a
        return out

    def predict_with_variance(
        self, X: pd.DataFrame, weights: np.ndarray, solve: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict, with the posterior variance relative to that of the response, noise left out.

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features.
        weights : numpy.ndarray
            Weight of each kernel.
        solve : callable
            Kernel rows (new lines x training lines) -> inverse covariance times their transpose.

        Returns
        -------
        predicted : numpy.ndarray
            As `predict`.
        variance : numpy.ndarray
            Shape (lines,).
        """
        new = self.kernels.transform(X)
        parts = self.kernels.kernels(new, self.inputs)
        cross = np.tensordot(weights, parts, axes=1)
        own = np.zeros(len(X))
        for weight, space, value in zip(weights, self.kernels.spaces, new, strict=True):
            own += weight * space.diagonal(value)
        return self._mean(parts), np.asarray(own - (cross.T * solve(cross)).sum(axis=0))

    def attribute(self, X: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
        """Share a weighted sum of outputs among features by integrated gradients.

        The path runs straight from the mean training profile to the line; what is not measured
        stays so along it. The shares of a line add up to its prediction minus that of the mean
        profile (Aumann-Shapley values; Sundararajan et al. 2017, ICML, axiom of completeness).

        Parameters
        ----------
        X : pandas.DataFrame
            Lines x features.
        weights : numpy.ndarray
            Shape (lines, outputs): weight of each output in each line's sum.

        Returns
        -------
        pandas.DataFrame
            Lines x ``columns``.
        """
        shares = np.zeros((len(X), len(self.columns)))
        at = {c: i for i, c in enumerate(self.columns)}
        parts = zip(self.kernels.spaces, self.inputs, self.coefficients, strict=True)
        for space, known, a in parts:
            values = _integrated(space, space.transform(X), known, weights @ a.T)
            shares[:, [at[c] for c in space.columns]] += values
            if filled := [j for j, c in enumerate(space.fill_columns) if c]:
                main = [space.columns[j] for j in filled]
                moved = np.where(np.isfinite(X[main].to_numpy(dtype=float)), 0.0, values[:, filled])
                shares[:, [at[c] for c in main]] -= moved
                shares[:, [at[space.fill_columns[j]] for j in filled]] += moved
        return pd.DataFrame(shares, X.index, self.columns)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Describe what must be kept.

        Returns
        -------
        description : dict
            JSON-ready.
        arrays : dict of str to numpy.ndarray
            By name.
        """
        spaces = [
            {
                "spec": {**vars(s.spec), "prefixes": list(s.spec.prefixes), "always": list(s.spec.always)},
                "columns": s.columns,
                "fill_columns": s.fill_columns,
                "scale": s.scale,
            }
            for s in self.kernels.spaces
        ]
        arrays = {"coefficients": self.coefficients, "mean": self.mean}
        for i, (space, (z, measured)) in enumerate(zip(self.kernels.spaces, self.inputs, strict=True)):
            arrays |= {f"{i}_{n}": getattr(space, n) for n in _SPACE_ARRAYS}
            arrays |= {f"{i}_z": z, f"{i}_measured": measured}
        return {"spaces": spaces}, arrays

    @classmethod
    def from_state(cls, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> KernelMachine:
        """Rebuild what `state` described.

        Parameters
        ----------
        description : dict
            First part of `state`.
        arrays : dict of str to numpy.ndarray
            Second part.

        Returns
        -------
        KernelMachine
            Predicts the same bits.
        """
        kernels = BlockKernels(())
        inputs = []
        for i, told in enumerate(description["spaces"]):
            fields: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in told["spec"].items()
            }
            spec = KernelSpec(**fields)
            space = BlockSpace(spec)
            space.columns, space.fill_columns = list(told["columns"]), list(told["fill_columns"])
            space.scale = float(told["scale"])
            for name in _SPACE_ARRAYS:
                setattr(space, name, arrays[f"{i}_{name}"])
            kernels.spaces.append(space)
            inputs.append((arrays[f"{i}_z"], arrays[f"{i}_measured"]))
        return cls(kernels, inputs, arrays["coefficients"], arrays["mean"])


def _integrated(
    space: BlockSpace,
    new: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    coefficients: np.ndarray,
) -> np.ndarray:
    """Average gradient along the path times the distance; ``coefficients`` is lines x training lines."""
    (z, measured), (z_known, measured_known) = new, known
    live = coefficients * (measured[:, None] & measured_known)
    if space.spec.shape == "linear":
        return np.asarray(live @ z_known / space.scale * z)
    gradient = np.zeros_like(z)
    squares = (z_known**2).sum(axis=1)
    cross = z @ z_known.T
    own = (z**2).sum(axis=1)[:, None]
    for node, weight in zip((_NODES + 1) / 2, _NODE_WEIGHTS / 2, strict=True):
        distance = np.maximum(node**2 * own - 2 * node * cross + squares, 0.0)
        c = live * np.exp(-distance / space.scale)
        gradient += weight * (-2 / space.scale) * (c.sum(axis=1)[:, None] * (node * z) - c @ z_known)
    return np.asarray(gradient * z)
