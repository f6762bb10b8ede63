"""The Gaussian process against scikit-learn's own, SciPy's normal density, finite differences and refits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics.pairwise import rbf_kernel

from crossres_ml.models.gaussian import Bases, BlockGP, SumOfBlocks, fit_gp, held_out_scores

N = 36
RNG = np.random.default_rng(4)
PLACES = [RNG.normal(size=(N, k)) for k in (3, 5)]
PLACES[0][11] = PLACES[0][12]  # two lines alike in one block
MEASURED = np.arange(N) % 6 != 0


def make_bases() -> np.ndarray:
    """Two RBF kernels, the second not measured in every sixth line, and a linear one with zero rows."""
    whole, partial = (rbf_kernel(p, gamma=0.2) for p in PLACES)
    partial = partial * (MEASURED[:, None] & MEASURED)
    np.fill_diagonal(partial, 1.0)
    linear = PLACES[1] @ PLACES[1].T / 5 * (MEASURED[:, None] & MEASURED)
    return np.stack([whole, partial, linear])


BASES = make_bases()
ONE = np.sin(PLACES[0][:, 0] * 2) + 0.3 * RNG.normal(size=N).round(1)
SEVERAL = np.column_stack([ONE, PLACES[1] @ RNG.normal(size=5), RNG.normal(size=N).round(0)])
ROWS = np.arange(N, dtype=float)[:, None]
THETAS = [np.log([0.6, 0.2, 0.1, 0.05]), np.array([-2.9, 1.9, -8.5, -1.0]), np.array([0.9, -4.0, 0.3, -8.0])]
FOLDS = [np.arange(N)[np.arange(N) % 5 == i] for i in range(5)]


def fixed(y: np.ndarray, theta: np.ndarray, bases: np.ndarray = BASES, *, normalise: bool = True) -> BlockGP:
    """Fitted at given weights."""
    kernel = SumOfBlocks(Bases(bases), np.exp(theta[1:]), float(np.exp(theta[0])))
    gp = BlockGP(kernel, alpha=1e-10, optimizer=None, normalize_y=normalise)
    gp.fit(np.arange(len(y), dtype=float)[:, None], y)
    return gp


@pytest.mark.parametrize("theta", THETAS, ids=["middling", "at the bounds", "noisy"])
@pytest.mark.parametrize("y", [ONE, SEVERAL], ids=["one output", "three outputs"])
def test_likelihood_and_gradient_are_those_of_scikit_learn(y: np.ndarray, theta: np.ndarray) -> None:
    gp = fixed(y, THETAS[0])
    value, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
    plain, plain_gradient = GaussianProcessRegressor.log_marginal_likelihood(gp, theta, eval_gradient=True)
    assert value == pytest.approx(plain, rel=1e-7)
    np.testing.assert_allclose(gradient, plain_gradient, rtol=1e-6, atol=1e-7)
    assert gp.log_marginal_likelihood(theta) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("theta", THETAS[:1] + THETAS[2:], ids=["middling", "noisy"])
@pytest.mark.parametrize("y", [ONE, SEVERAL], ids=["one output", "three outputs"])
def test_gradient_is_that_of_finite_differences(y: np.ndarray, theta: np.ndarray) -> None:
    gp = fixed(y, THETAS[0])

    def value(at: np.ndarray) -> float:
        return float(gp.log_marginal_likelihood(at, eval_gradient=True)[0])

    gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)[1]
    np.testing.assert_allclose(gradient, approx_fprime(theta, value, 1e-6), rtol=1e-4, atol=1e-4)


def test_likelihood_is_the_normal_density() -> None:
    gp = fixed(SEVERAL, THETAS[0])
    covariance = np.tensordot(np.exp(THETAS[0][1:]), BASES, axes=1) + np.exp(THETAS[0][0]) * np.eye(N)
    z = (SEVERAL - SEVERAL.mean(axis=0)) / SEVERAL.std(axis=0)
    expected = sum(multivariate_normal.logpdf(column, cov=covariance) for column in z.T)
    assert gp.log_marginal_likelihood(THETAS[0], eval_gradient=True)[0] == pytest.approx(expected, rel=1e-8)


def test_asking_for_the_likelihood_changes_nothing() -> None:
    gp = fixed(ONE, THETAS[0])
    before, values = gp.kernel_.theta.copy(), gp.kernel_.bases.values
    gp.log_marginal_likelihood(THETAS[1], eval_gradient=True)
    gp.log_marginal_likelihood(THETAS[1])
    np.testing.assert_array_equal(gp.kernel_.theta, before)
    assert gp.kernel_.bases.values is values  # never copied: it is large


def test_a_covariance_that_cannot_be_decomposed_has_no_likelihood() -> None:
    gp = fixed(ONE, THETAS[0])
    gp.kernel_.bases = Bases(-BASES)
    value, gradient = gp.log_marginal_likelihood(THETAS[1], eval_gradient=True)
    assert value == -np.inf
    assert not gradient.any()


def penalised(theta: np.ndarray, y: np.ndarray) -> float:
    """What is minimised, written out with SciPy's density: likelihood per output and a log-normal prior."""
    covariance = np.tensordot(np.exp(theta[1:]), BASES, axes=1) + np.exp(theta[0]) * np.eye(N)
    z = (y - y.mean(axis=0)) / y.std(axis=0)
    columns = z.reshape(N, -1).T
    fit = np.mean([multivariate_normal.logpdf(c, cov=covariance) for c in columns])
    return float(-fit + 0.05 / 2 * ((theta[1:] + 3) ** 2).sum())


@pytest.mark.parametrize("y", [ONE, SEVERAL], ids=["one output", "three outputs"])
def test_weights_are_at_the_optimum_that_another_program_finds(y: np.ndarray) -> None:
    gp = fit_gp(BASES, y, iterations=200)
    bounds = [(-3, 1), *[(-9, 2)] * 3]
    start = np.log([0.6, 0.5 / 3, 0.5 / 3, 0.5 / 3])
    other = minimize(penalised, start, (y,), method="Nelder-Mead", bounds=bounds, options={"maxiter": 4000})
    assert penalised(gp.kernel_.theta, y) == pytest.approx(other.fun, abs=2e-3)
    assert penalised(gp.kernel_.theta, y) < penalised(start, y) - 0.1
    np.testing.assert_allclose(np.exp(gp.kernel_.theta), np.r_[gp.kernel_.noise, gp.kernel_.weights])


def test_a_block_that_explains_gets_weight_and_one_that_does_not_gets_none() -> None:
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(150, 2)), rng.normal(size=(150, 2))
    bases = np.stack([rbf_kernel(x, gamma=0.5), rbf_kernel(other, gamma=0.5)])
    gp = fit_gp(bases, np.sin(x[:, 0] * 2) + 0.3 * rng.normal(size=150))
    good, bad = gp.kernel_.weights
    assert good > 0.3
    assert bad < 0.02
    assert gp.kernel_.noise == pytest.approx(0.09 / 0.6, rel=0.5)


def test_predictions_and_their_spread_are_those_of_a_sum_of_rbf_kernels() -> None:
    """scikit-learn's own kernels on the concatenated blocks; a length of infinity leaves a column out."""
    rng = np.random.default_rng(2)
    fresh = [rng.normal(size=(7, p.shape[1])) for p in PLACES]
    train, new = np.hstack(PLACES), np.hstack(fresh)
    gammas, weights, noise = (0.2, 0.1), (0.7, 0.3), 0.25
    lengths = [np.where(np.arange(8) < 3, np.sqrt(0.5 / 0.2), np.inf),
               np.where(np.arange(8) < 3, np.inf, np.sqrt(0.5 / 0.1))]  # fmt: skip
    kernel = sum(
        (ConstantKernel(w) * RBF(length) for w, length in zip(weights, lengths, strict=True)),
        WhiteKernel(noise),
    )
    other = GaussianProcessRegressor(kernel, alpha=1e-10, optimizer=None, normalize_y=True).fit(train, ONE)
    mean, spread = other.predict(new, return_std=True)

    bases = np.stack([rbf_kernel(p, gamma=g) for p, g in zip(PLACES, gammas, strict=True)])
    gp = fixed(ONE, np.log([noise, *weights]), bases)
    np.testing.assert_allclose(gp.alpha_.ravel(), other.alpha_.ravel(), rtol=1e-7, atol=1e-9)
    cross = sum(
        w * rbf_kernel(f, p, gamma=g) for w, f, p, g in zip(weights, fresh, PLACES, gammas, strict=True)
    )
    np.testing.assert_allclose(ONE.mean() + ONE.std() * (cross @ gp.alpha_.ravel()), mean, rtol=1e-7)
    explained = (cross * np.linalg.solve(gp.L_.T, np.linalg.solve(gp.L_, cross.T)).T).sum(axis=1)
    np.testing.assert_allclose(ONE.std() * np.sqrt(1.0 + noise - explained), spread, rtol=1e-6)
    np.testing.assert_allclose(gp.kernel_.diag(ROWS), other.kernel_.diag(train))


def test_kernel_between_rows_and_its_gradient() -> None:
    kernel = SumOfBlocks(Bases(BASES), np.array([0.5, 0.2, 0.1]), 0.3)
    rows = ROWS[[4, 0, 9]]
    whole = np.tensordot(kernel.weights, BASES, axes=1)
    np.testing.assert_allclose(kernel(rows, ROWS), whole[[4, 0, 9]])
    value, gradient = kernel(rows, eval_gradient=True)
    np.testing.assert_allclose(value, whole[np.ix_([4, 0, 9], [4, 0, 9])] + 0.3 * np.eye(3))
    assert gradient.shape == (3, 3, 4)
    np.testing.assert_allclose(gradient[..., 0], 0.3 * np.eye(3))
    np.testing.assert_allclose(gradient[..., 2], 0.2 * BASES[1][np.ix_([4, 0, 9], [4, 0, 9])])
    assert not kernel.is_stationary()


@pytest.mark.parametrize("y", [ONE, SEVERAL], ids=["one output", "three outputs"])
@pytest.mark.parametrize(
    "folds",
    [FOLDS, [np.array([i]) for i in range(N)], [np.arange(N - 1), np.array([N - 1])]],
    ids=["five", "one by one", "all but one"],
)
def test_held_out_scores_are_those_of_refits(y: np.ndarray, folds: list[np.ndarray]) -> None:
    """Every fold predicted by a process fitted, at the same weights, on the other lines alone."""
    theta = THETAS[0]
    centred = y - y.mean(axis=0)
    closed = held_out_scores(fixed(y, theta), centred, folds)
    weighted = np.tensordot(np.exp(theta[1:]), BASES, axes=1)
    assert closed.shape == y.shape
    for rows in folds:
        rest = np.setdiff1d(np.arange(N), rows)
        gp = fixed(centred[rest], theta, BASES[:, rest[:, None], rest], normalise=False)
        refit = weighted[np.ix_(rows, rest)] @ gp.alpha_
        np.testing.assert_allclose(closed[rows], refit.reshape(closed[rows].shape), atol=1e-7)


def test_own_response_of_a_held_out_line_does_not_matter() -> None:
    gp = fixed(ONE, THETAS[0])
    changed = ONE.copy()
    changed[FOLDS[2]] += 100
    one, two = (held_out_scores(gp, y, FOLDS) for y in (ONE, changed))
    np.testing.assert_allclose(one[FOLDS[2]], two[FOLDS[2]], atol=1e-6)
    assert np.abs(one[FOLDS[1]] - two[FOLDS[1]]).max() > 1


def test_constant_response_and_few_lines() -> None:
    flat = fit_gp(BASES, np.full(N, 3.25))
    np.testing.assert_allclose(flat.alpha_, 0, atol=1e-9)
    assert flat.kernel_.noise == pytest.approx(np.exp(-3), rel=1e-6)  # nothing to explain: the lower bound
    few = fit_gp(BASES[:, :3, :3], ONE[:3])
    assert np.isfinite(few.alpha_).all()
    assert np.isfinite(held_out_scores(few, ONE[:3], [np.array([i]) for i in range(3)])).all()


def test_a_single_kernel_will_do() -> None:
    gp = fit_gp(BASES[:1], ONE)
    assert gp.kernel_.weights.shape == (1,)
    theta = gp.kernel_.theta
    value, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True)
    plain, plain_gradient = GaussianProcessRegressor.log_marginal_likelihood(gp, theta, eval_gradient=True)
    assert value == pytest.approx(plain, rel=1e-9)
    np.testing.assert_allclose(gradient, plain_gradient, atol=1e-6)


def test_the_same_again() -> None:
    one, two = (fit_gp(BASES, SEVERAL) for _ in range(2))
    np.testing.assert_array_equal(one.kernel_.theta, two.kernel_.theta)
    np.testing.assert_array_equal(one.alpha_, two.alpha_)
