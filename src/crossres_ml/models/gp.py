"""Block-kernel Gaussian process as an estimator, alone and coupled over two responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_solve

from crossres_ml.models.estimators import Estimator, TrainingView
from crossres_ml.models.gaussian import fit_gp, held_out_scores
from crossres_ml.models.kernels import BlockKernels, KernelSpec
from crossres_ml.models.machine import KernelMachine
from crossres_ml.models.profile import PREFIXES

MOLECULAR = (
    KernelSpec("rna", "rbf", ("rna:",), fill="rna_array:", min_spread=0.3, min_share=0.5),
    KernelSpec("rppa", "rbf", ("rppa:",)),
    KernelSpec("progeny", "rbf", ("progeny:",)),
    KernelSpec("gene_set", "rbf", ("gene_set:",)),
    KernelSpec("mutation", "rbf", ("mutation:",), min_events=20, min_event_share=0.05),
    KernelSpec("slfn11", "rbf", ("rna:SLFN11", "slfn11:")),
    KernelSpec("lineage", "linear", ("lineage:", "subtype:")),
)
"""Kernels of measured features: the blocks that helped, each with a weight of its own."""


def _profile_kernels(name: str) -> tuple[KernelSpec, ...]:
    prefix = (f"{name}:",)
    return (
        KernelSpec(name, "rbf", prefix, common_scale=True),
        KernelSpec(f"{name}_scaled", "rbf", prefix),
        KernelSpec(f"{name}_linear", "linear", prefix, common_scale=True),
    )


PROFILE = (*_profile_kernels("profile"), *_profile_kernels("genotoxic"))
"""Kernels of the predicted drug profile; left out where the table has none."""


def kernel_specs(always: tuple[str, ...]) -> tuple[KernelSpec, ...]:
    """All kernels of a task.

    Parameters
    ----------
    always : tuple of str
        Features that are offered however few lines have them.

    Returns
    -------
    tuple of KernelSpec
        Of measured features and of the predicted profile.
    """
    return (*(replace(s, always=always) for s in MOLECULAR), *PROFILE)


class GaussianProcessScore(Estimator):
    """Gaussian process with one kernel per block of features and per predicted drug profile."""

    name = "gp"
    uses_profile = True

    def fit(self, view: TrainingView) -> Estimator:
        """Learn kernel weights and noise by penalised marginal likelihood."""
        kernels = BlockKernels(kernel_specs(self.features.always)).fit(view.X)
        inputs = kernels.transform(view.X)
        self.gp_ = fit_gp(kernels.kernels(inputs), view.y)
        self.scale_ = float(np.std(view.y))
        weights, centre = self.gp_.kernel_.weights, float(np.mean(view.y))
        coefficients = weights[:, None, None] * (self.gp_.alpha_ * self.scale_)[None, :, None]
        self.machine_ = KernelMachine(kernels, inputs, coefficients, np.array([centre]))
        self.columns = self.machine_.columns
        self._centre = view.X[[c for c in self.columns if c.startswith(PREFIXES)]].mean()
        return self

    def centre(self) -> pd.Series:
        """Training mean of the predicted drug profile."""
        return self._centre

    def cross_fit(self, view: TrainingView, folds: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
        """Score every fold from the others in closed form; kernel weights are those of all lines."""
        self.fit(view)
        centre = float(np.mean(view.y))
        return centre + held_out_scores(self.gp_, view.y - centre, folds), True

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Posterior mean, in units of the response."""
        return np.asarray(self.machine_.predict(X)[:, 0])

    def score_and_spread(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean, and posterior standard deviation of the response, noise included."""
        kernel, chol = self.gp_.kernel_, self.gp_.L_
        mean, variance = self.machine_.predict_with_variance(
            X, kernel.weights, lambda k: cho_solve((chol, True), k.T)
        )
        return mean[:, 0], np.asarray(self.scale_ * np.sqrt(np.maximum(variance + kernel.noise, 0.0)))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Integrated gradients from the mean training profile (see `KernelMachine.attribute`)."""
        return self.machine_.attribute(X, np.ones((len(X), 1)))

    def parameters(self) -> dict[str, Any]:
        """Kernel weights and noise, relative to the variance of the response."""
        kernel = self.gp_.kernel_
        names = [f"weight_{n}" for n in self.machine_.kernels.names]
        found = dict(zip(names, (float(f"{w:.4g}") for w in kernel.weights), strict=True))
        return {**found, "noise": float(f"{kernel.noise:.4g}"), "n_features": len(self.columns)}
