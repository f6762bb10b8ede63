"""One Gaussian process for radiation and chemotherapy together: each line informs both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from crossres_ml.models.combine import mean_percentile, percentile_grids, percentile_slopes
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.kernels import BlockKernels
from crossres_ml.models.machine import KernelMachine
from crossres_ml.models.profile import PREFIXES, DrugProfile, add_shares
from crossres_ml.models.resistance import FittedModel, ResistanceModel, inner_folds

_MOST = 0.98


class JointModel(FittedModel):
    """Two coupled Gaussian processes (intrinsic coregionalisation), ranked by the mean percentile.

    The covariance of response s of line i with response t of line j is
    r_st sum_b sqrt(w_sb w_tb) k_b(i, j), with r = 1 for s = t (Bonilla et al. 2008, NIPS 20). Kernel
    weights and noise are those of the two separate models; the coupling r is learned here.

    Attributes
    ----------
    coupling : float
        Correlation of what the two responses have in common.
    machine : KernelMachine
        Predicts both responses.
    """

    def fit(
        self, parts: Sequence[ResistanceModel], views: Sequence[TrainingView], both: TrainingView,
        folds: int, seed: int, profile: DrugProfile | None,
    ) -> JointModel:  # fmt: skip
        """Couple two fitted Gaussian processes.

        Parameters
        ----------
        parts : sequence of ResistanceModel
            Fitted Gaussian processes of radiation and chemotherapy.
        views : sequence of TrainingView
            Their training lines.
        both : TrainingView
            Training lines of the joint task.
        folds, seed : int
            Inner folds of the cross-fitted scores.
        profile : DrugProfile or None
            As the parts use it.

        Returns
        -------
        JointModel
            Itself.
        """
        with threadpool_limits(1):
            return self._fit(parts, views, both, folds, seed, profile)

    def _fit(
        self, parts: Sequence[ResistanceModel], views: Sequence[TrainingView], both: TrainingView,
        folds: int, seed: int, profile: DrugProfile | None,
    ) -> JointModel:  # fmt: skip
        from crossres_ml.models.gp import kernel_specs  # scoring does without

        self.profile = profile
        X = pd.concat([v.X for v in views]).sort_index()
        X = X[~X.index.duplicated()]
        kernels = BlockKernels(kernel_specs(parts[0].features.always)).fit(X)
        inputs = kernels.transform(X)
        bases = kernels.kernels(inputs)
        weights, noise = self._weights(parts, kernels.names)
        rows = [X.index.get_indexer(v.X.index) for v in views]
        self.means = np.array([v.y.mean() for v in views])
        self.scales = np.array([v.y.std() for v in views])
        y = np.concatenate([(v.y - m) / s for v, m, s in zip(views, self.means, self.scales, strict=True)])
        own, shared = _blocks(bases, weights, noise, rows)
        self.coupling = _learn_coupling(own, shared, y)
        factor = cho_factor(own + self.coupling * shared, lower=True)
        alpha = cho_solve(factor, y)
        self.machine = KernelMachine(
            kernels, inputs, self._coefficients(alpha, weights, rows, len(X)), self.means
        )
        self.centre = X[[c for c in kernels.columns if c.startswith(PREFIXES)]].mean()
        inverse = cho_solve(factor, np.eye(len(y)))
        groups = pd.concat([pd.Series(v.groups, v.X.index) for v in views])
        groups = groups[~groups.index.duplicated()].loc[X.index]
        inner = self._cross(inverse, alpha, y, rows, groups, both, inner_folds(both, folds, seed))
        self.grids = percentile_grids(inner)
        self.conclude("joint_gp", mean_percentile(inner, self.grids), both)
        self.trained_on = X.index
        return self

    @staticmethod
    def _weights(parts: Sequence[ResistanceModel], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        from crossres_ml.models.gp import GaussianProcessScore  # scoring does without

        found, noise = [], []
        for part in parts:
            estimator = part.estimator_
            if not isinstance(estimator, GaussianProcessScore):
                raise TypeError(f"{part.name} is no Gaussian process")
            own = dict(zip(estimator.machine_.kernels.names, estimator.gp_.kernel_.weights, strict=True))
            found.append([own.get(n, 0.0) for n in names])
            noise.append(estimator.gp_.kernel_.noise)
        return np.array(found), np.array(noise)

    def _coefficients(
        self, alpha: np.ndarray, weights: np.ndarray, rows: Sequence[np.ndarray], lines: int
    ) -> np.ndarray:
        out = np.zeros((weights.shape[1], lines, 2))
        start = 0
        for t, at in enumerate(rows):
            part = alpha[start : start + len(at)]
            for s in range(2):
                r = 1.0 if s == t else self.coupling
                mixed = r * np.sqrt(weights[s] * weights[t]) * self.scales[s]
                out[:, at, s] += mixed[:, None] * part
            start += len(at)
        return out

    def _cross(
        self, inverse: np.ndarray, alpha: np.ndarray, y: np.ndarray, rows: Sequence[np.ndarray],
        groups: pd.Series, both: TrainingView, folds: Sequence[np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """Both responses of each line of the joint task, predicted without any of it or its relatives."""
        at = groups.index.get_indexer(both.X.index)
        place = np.full((2, len(groups)), -1)
        place[0, rows[0]] = np.arange(len(rows[0]))
        place[1, rows[1]] = len(rows[0]) + np.arange(len(rows[1]))
        guess, out = np.empty(len(y)), np.empty((len(at), 2))
        for fold in folds:
            held = place[:, groups.isin(groups.iloc[at[fold]])].ravel()
            held = held[held >= 0]  # relatives may have one response only
            guess[held] = y[held] - np.linalg.solve(inverse[np.ix_(held, held)], alpha[held])
            out[fold] = guess[place[:, at[fold]]].T
        return np.asarray(out * self.scales + self.means)

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Mean percentile rank of the two predicted responses."""
        return mean_percentile(self.machine.predict(X), self.grids)

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Integrated gradients of the two predictions, each scaled so that they add up to the percentiles."""
        found = self.machine.predict(X)
        units = np.eye(2)
        shares = [self.machine.attribute(X, np.tile(unit, (len(X), 1))) for unit in units]
        factors = [
            percentile_slopes(found[:, t] - shares[t].to_numpy().sum(axis=1), found[:, t], self.grids[t]) / 2
            for t in range(2)
        ]
        total = add_shares([s.mul(f, axis=0) for s, f in zip(shares, factors, strict=True)])
        return total if self.profile is None else self.profile.hand_on(total, X, self.centre)

    def parameters(self) -> dict[str, Any]:
        """Give the coupling."""
        return {"coupling": round(self.coupling, 4), "n_features": len(self.machine.columns)}


def _blocks(
    bases: np.ndarray, weights: np.ndarray, noise: np.ndarray, rows: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Covariance within the responses, and between them at full coupling."""
    sizes = [len(r) for r in rows]
    n, first = sum(sizes), sizes[0]
    own, shared = np.zeros((n, n)), np.zeros((n, n))
    for s, (at, part) in enumerate(zip(rows, (slice(0, first), slice(first, n)), strict=True)):
        own[part, part] = np.tensordot(weights[s], bases[:, at[:, None], at], axes=1)
        own[part, part] += noise[s] * np.eye(sizes[s])
    between = np.tensordot(np.sqrt(weights[0] * weights[1]), bases[:, rows[0][:, None], rows[1]], axes=1)
    shared[:first, first:], shared[first:, :first] = between, between.T
    return own, shared


def _learn_coupling(own: np.ndarray, shared: np.ndarray, y: np.ndarray) -> float:
    def negative(r: float) -> float:
        factor = cho_factor(own + r * shared, lower=True)
        return float(y @ cho_solve(factor, y) / 2 + np.log(np.diag(factor[0])).sum())

    from scipy.optimize import minimize_scalar  # scoring does without

    found = minimize_scalar(negative, bounds=(-_MOST, _MOST), method="bounded", options={"xatol": 0.02})
    return float(found.x)
