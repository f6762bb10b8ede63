"""Gaussian process on a weighted sum of block kernels, weights by penalised marginal likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

# Weak log-normal prior on each weight, centred where a block explains 5 % of the variance.
_PRIOR_MEAN, _PRIOR_PRECISION = -3.0, 0.05
_WEIGHT_BOUNDS, _NOISE_BOUNDS = (np.exp(-9.0), np.exp(2.0)), (np.exp(-3.0), np.exp(1.0))
_ITERATIONS = 30


class Bases:
    """Hold the base kernels between training lines: shared by copies of a kernel, never duplicated."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __deepcopy__(self, memo: dict[int, Any]) -> Bases:
        return self


class SumOfBlocks(Kernel):  # type: ignore[misc]
    """Weighted sum of precomputed base kernels plus noise; inputs are row numbers.

    Parameters
    ----------
    bases : Bases
        Shape (kernels, lines, lines).
    weights : numpy.ndarray
        Shape (kernels,), positive.
    noise : float
        Variance of the noise, added on the diagonal.
    """

    def __init__(self, bases: Bases, weights: np.ndarray, noise: float) -> None:
        self.bases, self.weights, self.noise = bases, weights, noise

    @property
    def weights(self) -> np.ndarray:
        """Weight of each kernel."""
        return self._weights

    @weights.setter
    def weights(self, values: np.ndarray | float) -> None:
        self._weights = np.atleast_1d(values)  # scikit-learn gives the weight of a single kernel as a number

    @property
    def hyperparameter_noise(self) -> Hyperparameter:
        """Noise variance, bounded."""
        return Hyperparameter("noise", "numeric", _NOISE_BOUNDS)

    @property
    def hyperparameter_weights(self) -> Hyperparameter:
        """Weights, bounded."""
        return Hyperparameter("weights", "numeric", _WEIGHT_BOUNDS, len(self.weights))

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> Any:
        """Kernel between rows, and its gradient by log noise and log weights."""
        rows = np.asarray(X)[:, 0].astype(int)
        others = rows if Y is None else np.asarray(Y)[:, 0].astype(int)
        parts = self._between(rows, others)
        value = np.tensordot(self.weights, parts, axes=1)
        if Y is None:
            value[np.diag_indices_from(value)] += self.noise
        if not eval_gradient:
            return value
        noise = np.eye(len(rows))[None] * self.noise
        gradient = np.concatenate([noise, parts * self.weights[:, None, None]])
        return value, np.moveaxis(gradient, 0, -1)

    def _between(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Take the base kernels of some lines; of all, as in training, without a copy at each step."""
        every = np.arange(self.bases.values.shape[1])
        if np.array_equal(rows, every) and np.array_equal(others, every):
            return self.bases.values
        return np.asarray(self.bases.values[:, rows[:, None], others])

    def diag(self, X: np.ndarray) -> np.ndarray:
        """Diagonal of the kernel."""
        rows = np.asarray(X)[:, 0].astype(int)
        return np.asarray(self.weights @ self.bases.values[:, rows, rows] + self.noise)

    def is_stationary(self) -> bool:
        """Whether it depends on differences only: no."""
        return False

    def _check_bounds_params(self) -> None:
        """Do not warn: a weight at its bound is a block that says nothing, which is an answer."""

    @property
    def requires_vector_input(self) -> bool:
        """Inputs are numbers of rows."""
        return True


class BlockGP(GaussianProcessRegressor):  # type: ignore[misc]
    """scikit-learn's regressor with the likelihood of `SumOfBlocks` computed without a 4-d array.

    The parent forms lines x lines x kernels x outputs; the trace formula (Rasmussen and Williams
    2006, eq. 5.9) needs one product per kernel. Tests hold the two equal.
    """

    def log_marginal_likelihood(
        self, theta: np.ndarray | None = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Log marginal likelihood, summed over outputs, and its gradient by ``theta``."""
        if theta is None or not eval_gradient:
            return super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        kernel = self.kernel_
        if clone_kernel:
            kernel = kernel.clone_with_theta(theta)
        else:
            kernel.theta = theta
        bases = kernel.bases.values
        y = self.y_train_.reshape(len(self.y_train_), -1)
        try:
            chol = cholesky(kernel(self.X_train_), lower=True)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros_like(theta)
        inverse = cho_solve((chol, True), np.eye(len(y)))
        solved = inverse @ y
        outputs = y.shape[1]
        value = -0.5 * (y * solved).sum() - outputs * (
            np.log(np.diag(chol)).sum() + len(y) / 2 * np.log(2 * np.pi)
        )
        inner = solved @ solved.T - outputs * inverse
        by_weight = kernel.weights * (bases.reshape(len(bases), -1) @ inner.ravel())
        return value, 0.5 * np.r_[kernel.noise * np.trace(inner), by_weight]


def _optimiser(
    outputs: int, iterations: int
) -> Callable[[Any, np.ndarray, np.ndarray], tuple[np.ndarray, float]]:
    """Make an optimiser for `BlockGP`: L-BFGS on the likelihood per output and the prior on weights."""

    def optimise(objective: Any, start: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float]:
        def penalised(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = objective(theta)
            away = theta[1:] - _PRIOR_MEAN
            prior = np.r_[0.0, _PRIOR_PRECISION * away]
            return value / outputs + _PRIOR_PRECISION / 2 * (away**2).sum(), gradient / outputs + prior

        options = {"maxiter": iterations}
        found = minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return found.x, float(found.fun)

    return optimise


def fit_gp(bases: np.ndarray, y: np.ndarray, iterations: int = _ITERATIONS) -> BlockGP:
    """Learn weights and noise, and solve for the training lines.

    Parameters
    ----------
    bases : numpy.ndarray
        Base kernels of the training lines, shape (kernels, lines, lines).
    y : numpy.ndarray
        Shape (lines,) or (lines, outputs); outputs share the kernel.
    iterations : int, default 30
        Most steps of the optimiser.

    Returns
    -------
    BlockGP
        Fitted; ``kernel_.weights``, ``kernel_.noise``, ``alpha_``, ``L_``.
    """
    m = len(bases)
    kernel = SumOfBlocks(Bases(np.ascontiguousarray(bases)), np.full(m, 0.5 / m), 0.6)
    optimise = _optimiser(1 if y.ndim == 1 else y.shape[1], iterations)
    gp = BlockGP(kernel, alpha=1e-10, optimizer=optimise, normalize_y=True)
    gp.fit(np.arange(len(y), dtype=float)[:, None], y)
    return gp


def held_out_scores(gp: BlockGP, y: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Prediction of each set of training lines from the others, kernel weights kept.

    Parameters
    ----------
    gp : BlockGP
        Fitted on these lines; weights, noise and decomposition are used.
    y : numpy.ndarray
        Centred responses, shape (lines,) or (lines, outputs).
    folds : sequence of numpy.ndarray
        Row numbers of sets that together hold every line once.

    Returns
    -------
    numpy.ndarray
        Shape of ``y``. Exact for given weights (Rasmussen and Williams 2006, section 5.4.2).
    """
    inverse = cho_solve((gp.L_, True), np.eye(len(y)))
    solved = inverse @ y
    out = np.empty_like(y, dtype=float)
    for rows in folds:
        out[rows] = y[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], solved[rows])
    return out
