"""The block-kernel process as an estimator, against scikit-learn's regressor with kernels of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Kernel, WhiteKernel

from crossres_ml.config import FeatureConfig
from crossres_ml.errors import CohortError
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.gp import GaussianProcessScore
from crossres_ml.models.kernels import BlockKernels

CONFIG = FeatureConfig(blocks=("rna",))
N, NEW = 80, 25
COMPLETE = ("rna", "rppa", "lineage")


def table(n: int, seed: int, *, gaps: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    out = {f"rna:G{i:02d}": rng.normal(4, 1.5, n) for i in range(10)}
    out |= {f"rppa:P{i}": rng.normal(0, 0.4, n).round(1) for i in range(6)}
    out |= {f"lineage:{name}": np.arange(n) % 3 == i for i, name in enumerate(("Bone", "Lung", "Skin"))}
    x = pd.DataFrame(out).astype(float)
    if gaps:
        x = x.mask((rng.random(x.shape) < 0.1) & ~x.columns.str.startswith("lineage"))
        x.loc[x.index[1::6], [f"rppa:P{i}" for i in range(6)]] = np.nan
        x = x.assign(**{f"profile:{i:02d}": rng.normal(size=n) / i for i in (1, 2, 3)})
        x = x.assign(**{"rna:EMPTY": np.nan, "rna:CONSTANT": 3.0, "mutation:RARE": np.arange(n) < 4})
    return x.astype(np.float32).set_axis([f"{seed}-{i:03d}" for i in range(n)])


def view(x: pd.DataFrame, seed: int = 0) -> TrainingView:
    rng = np.random.default_rng(seed)
    rna = x[[c for c in x if c.startswith("rna:G")]].fillna(4).to_numpy(dtype=float)
    y = 3 + np.sin(rna[:, 0]) + rna[:, 1] / 3 + 0.3 * rng.normal(size=len(x))
    groups = np.array([f"G{i // 2}" for i in range(len(x))])
    known = np.ones(len(x), dtype=bool)
    return TrainingView(x, y, (y > np.quantile(y, 0.6)).astype(float), groups, known, y)


WHOLE, GAPS = view(table(N, 1, gaps=False)), view(table(N, 1, gaps=True))
FRESH, FRESH_GAPS = table(NEW, 2, gaps=False), table(NEW, 2, gaps=True)
ON_WHOLE, ON_GAPS = (GaussianProcessScore(CONFIG, 1).fit(v) for v in (WHOLE, GAPS))
assert isinstance(ON_WHOLE, GaussianProcessScore)
assert isinstance(ON_GAPS, GaussianProcessScore)


def other_kernel(model: GaussianProcessScore) -> Kernel:
    """scikit-learn's kernels on the standardised blocks; a length of infinity leaves a column out."""
    kernel = WhiteKernel(model.gp_.kernel_.noise)
    start, total = 0, sum(len(s.columns) for s in model.machine_.kernels.spaces)
    for weight, space in zip(model.gp_.kernel_.weights, model.machine_.kernels.spaces, strict=True):
        mine = np.isin(np.arange(total), np.arange(start, start + len(space.columns)))
        start += len(space.columns)
        if space.spec.shape == "rbf":
            kernel += ConstantKernel(weight) * RBF(np.where(mine, np.sqrt(space.scale / 2), np.inf))
        else:  # scaled inputs: only this block's columns are seen by DotProduct below
            kernel += ConstantKernel(weight / space.scale) * Only(mine)
    return kernel


class Only(DotProduct):
    """Dot product of some columns."""

    def __init__(self, mine: np.ndarray) -> None:
        super().__init__(sigma_0=0.0, sigma_0_bounds="fixed")
        self.mine = mine

    def __call__(self, X, Y=None, eval_gradient=False):  # type: ignore[no-untyped-def]
        return super().__call__(X[:, self.mine], None if Y is None else Y[:, self.mine])

    def diag(self, X):  # type: ignore[no-untyped-def]
        return super().diag(X[:, self.mine])


def inputs(model: GaussianProcessScore, x: pd.DataFrame) -> np.ndarray:
    return np.hstack([z for z, _ in model.machine_.kernels.transform(x)])


def test_mean_and_spread_are_those_of_scikit_learn() -> None:
    kernel = other_kernel(ON_WHOLE)
    assert ON_WHOLE.machine_.kernels.names == list(COMPLETE)
    other = GaussianProcessRegressor(kernel, alpha=1e-10, optimizer=None, normalize_y=True)
    other.fit(inputs(ON_WHOLE, WHOLE.X), WHOLE.y)
    mean, spread = other.predict(inputs(ON_WHOLE, FRESH), return_std=True)
    np.testing.assert_allclose(ON_WHOLE.score(FRESH), mean, rtol=1e-6)
    np.testing.assert_allclose(ON_WHOLE.spread(FRESH), spread, rtol=1e-6)
    value = other.log_marginal_likelihood_value_
    assert ON_WHOLE.gp_.log_marginal_likelihood(ON_WHOLE.gp_.kernel_.theta) == pytest.approx(value, rel=1e-8)


def test_missing_blocks_are_native() -> None:
    """The same system written out: a line without a block has kernel 0 with others and 1 with itself."""
    kernel, spaces = ON_GAPS.gp_.kernel_, ON_GAPS.machine_.kernels.spaces
    assert [s.spec.name for s in spaces] == [
        "rna", "rppa", "lineage", "profile", "profile_scaled", "profile_linear",
    ]  # fmt: skip
    covariance, cross = kernel.noise * np.eye(N), np.zeros((NEW, N))
    for weight, space in zip(kernel.weights, spaces, strict=True):
        (a, seen_a), (b, seen_b) = space.transform(GAPS.X), space.transform(FRESH_GAPS)
        for i in range(N):
            for j in range(N):
                near = np.exp(-((a[i] - a[j]) ** 2).sum() / space.scale)
                k = near if space.spec.shape == "rbf" else a[i] @ a[j] / space.scale
                covariance[i, j] += weight * (k if seen_a[i] and seen_a[j] else float(
                    i == j and space.spec.shape == "rbf"))  # fmt: skip
            near = np.exp(-((b - a[i]) ** 2).sum(axis=1) / space.scale)
            k = near if space.spec.shape == "rbf" else b @ a[i] / space.scale
            cross[:, i] += weight * k * (seen_b & seen_a[i])
    expected = GAPS.y.mean() + cross @ np.linalg.solve(covariance, GAPS.y - GAPS.y.mean())
    np.testing.assert_allclose(ON_GAPS.score(FRESH_GAPS), expected, rtol=1e-7)
    assert ON_GAPS.columns == [c for c in GAPS.X.columns.sort_values()
                               if c not in ("rna:EMPTY", "rna:CONSTANT", "mutation:RARE")]  # fmt: skip


def test_cross_fitted_scores_are_those_of_refits_at_the_same_weights() -> None:
    folds = [np.arange(N)[np.arange(N) // 2 % 4 == i] for i in range(4)]
    model = GaussianProcessScore(CONFIG, 1)
    scores, fitted = model.cross_fit(GAPS, folds)
    assert fitted
    np.testing.assert_array_equal(model.score(FRESH_GAPS), ON_GAPS.score(FRESH_GAPS))
    weighted = np.tensordot(model.gp_.kernel_.weights, model.gp_.kernel_.bases.values, axes=1)
    centred = GAPS.y - GAPS.y.mean()
    for rows in folds:
        rest = np.setdiff1d(np.arange(N), rows)
        own = weighted[np.ix_(rest, rest)] + model.gp_.kernel_.noise * np.eye(len(rest))
        expected = weighted[np.ix_(rows, rest)] @ np.linalg.solve(own, centred[rest])
        np.testing.assert_allclose(scores[rows], GAPS.y.mean() + expected, rtol=1e-7)


def test_shares_add_up() -> None:
    shares = ON_GAPS.explain(FRESH_GAPS)
    assert list(shares.columns) == ON_GAPS.columns
    nothing = pd.DataFrame(np.nan, ["new"], GAPS.X.columns, dtype=np.float32)
    assert ON_GAPS.score(nothing)[0] == pytest.approx(GAPS.y.mean())
    middle = GAPS.X.mean().to_frame().T.astype(float)
    whole = FRESH_GAPS[[c for c in FRESH_GAPS if c.startswith("rppa")]].notna().mean(axis=1) > 0.3
    total = shares[whole].to_numpy().sum(axis=1)
    np.testing.assert_allclose(total, ON_GAPS.score(FRESH_GAPS[whole]) - ON_GAPS.score(middle), atol=1e-3)
    assert np.abs(total).max() > 0.3


def test_a_line_without_anything_is_as_uncertain_as_before() -> None:
    nothing = pd.DataFrame(np.nan, ["new"], WHOLE.X.columns, dtype=np.float32)
    kernel = ON_WHOLE.gp_.kernel_
    expected = WHOLE.y.std() * np.sqrt(kernel.weights[:2].sum() + kernel.noise)  # two rbf kernels
    assert ON_WHOLE.spread(nothing)[0] == pytest.approx(expected)
    assert ON_WHOLE.spread(WHOLE.X).mean() < ON_WHOLE.spread(FRESH).mean() < expected


def test_unit_of_the_response_does_not_matter() -> None:
    other = TrainingView(GAPS.X, 50 * GAPS.y - 3, GAPS.label, GAPS.groups, GAPS.scored, GAPS.sensitivity)
    model = GaussianProcessScore(CONFIG, 1).fit(other)
    np.testing.assert_allclose(model.score(FRESH_GAPS), 50 * ON_GAPS.score(FRESH_GAPS) - 3, rtol=1e-4)
    np.testing.assert_allclose(model.spread(FRESH_GAPS), 50 * ON_GAPS.spread(FRESH_GAPS), rtol=1e-3)


def test_parameters_and_centre_are_read_back() -> None:
    read = ON_GAPS.parameters()
    assert read["n_features"] == len(ON_GAPS.columns)
    assert read["noise"] == pytest.approx(ON_GAPS.gp_.kernel_.noise, rel=1e-3)
    assert read["weight_profile_linear"] == pytest.approx(ON_GAPS.gp_.kernel_.weights[-1], rel=1e-3)
    assert list(ON_GAPS.centre().index) == ["profile:01", "profile:02", "profile:03"]
    np.testing.assert_allclose(ON_GAPS.centre(), GAPS.X[ON_GAPS.centre().index].mean())
    assert ON_WHOLE.centre().empty


def test_columns_by_name_and_the_same_again() -> None:
    shuffled = FRESH_GAPS[FRESH_GAPS.columns[::-1]].assign(other=1.0)
    np.testing.assert_array_equal(ON_GAPS.score(shuffled), ON_GAPS.score(FRESH_GAPS))
    again = GaussianProcessScore(CONFIG, 2).fit(GAPS)  # nothing is random
    np.testing.assert_array_equal(again.score(FRESH_GAPS), ON_GAPS.score(FRESH_GAPS))
    np.testing.assert_array_equal(again.spread(FRESH_GAPS), ON_GAPS.spread(FRESH_GAPS))


@pytest.mark.parametrize("kept", ["rppa:", "lineage:", "profile:"])
def test_one_block_alone_will_do(kept: str) -> None:
    columns = [c for c in GAPS.X if c.startswith(kept)]
    part = TrainingView(GAPS.X[columns], GAPS.y, GAPS.label, GAPS.groups, GAPS.scored, GAPS.sensitivity)
    model = GaussianProcessScore(CONFIG, 1).fit(part)
    assert np.isfinite(model.score(FRESH_GAPS)).all()
    assert set(model.columns) == set(columns)
    assert len(BlockKernels(model.machine_.kernels.specs).fit(part.X).spaces) in (1, 3)


def test_nothing_to_learn_from_is_said() -> None:
    part = TrainingView(GAPS.X[["rna:EMPTY", "rna:CONSTANT"]], GAPS.y, GAPS.label, GAPS.groups, GAPS.scored,
                        GAPS.sensitivity)  # fmt: skip
    with pytest.raises(CohortError, match=f"no feature to make a kernel of in {N} lines"):
        GaussianProcessScore(CONFIG, 1).fit(part)
