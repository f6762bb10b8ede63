"""Block kernels against scikit-learn and SciPy, on blocks with gaps, constants and lines never measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import zscore
from sklearn.metrics.pairwise import euclidean_distances, linear_kernel, rbf_kernel
from sklearn.preprocessing import StandardScaler

from crossres_ml.errors import CohortError
from crossres_ml.models.kernels import BlockKernels, BlockSpace, KernelSpec

RBF = KernelSpec("rna", "rbf", ("rna:",))
LINEAR = KernelSpec("rna", "linear", ("rna:",))
FILLED = KernelSpec("rna", "rbf", ("rna:",), fill="rna_array:")


def table(n: int = 40, k: int = 12, seed: int = 0, block: str = "rna") -> pd.DataFrame:
    """A complete block with ties and a pair of equal columns."""
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 2, (n, k)) * rng.uniform(0.5, 3, k)
    values[:, 1] = values[:, 0]
    values[:, 2] = values[:, 2].round()
    names = [f"{block}:G{i:02d}" for i in range(k)]
    return pd.DataFrame(values, [f"L{i:03d}" for i in range(n)], names).astype(np.float32)


def holed(x: pd.DataFrame, share: float = 0.15, seed: int = 1) -> pd.DataFrame:
    """The same with values missing, two lines without any, a constant and an empty column."""
    out = x.mask(np.random.default_rng(seed).random(x.shape) < share)
    out.iloc[[3, 7]] = np.nan
    return out.assign(**{"rna:CONSTANT": np.float32(0.1), "rna:EMPTY": np.float32(np.nan)})


def by_hand(train: pd.DataFrame, new: pd.DataFrame) -> np.ndarray:
    """Standardise by scikit-learn (which skips what is missing), clip, and put the mean into gaps."""
    scaler = StandardScaler().fit(train.astype(float))
    return np.nan_to_num(np.clip(scaler.transform(new.astype(float)), -5, 5))


def test_rbf_is_that_of_scikit_learn() -> None:
    X, fresh = table(), table(9, seed=5)
    space = BlockSpace(RBF).fit(X)
    a, b = by_hand(X, X), by_hand(X, fresh)
    assert space.columns == list(X.columns)
    assert space.scale == pytest.approx(np.median(pdist(a, "sqeuclidean")), rel=1e-9)
    pairs = euclidean_distances(a, squared=True)[np.triu_indices(len(a), 1)]
    assert space.scale == pytest.approx(np.median(pairs), rel=1e-9)
    inputs, others = space.transform(X), space.transform(fresh)
    assert inputs[1].all()
    np.testing.assert_allclose(inputs[0], a, atol=1e-9)
    np.testing.assert_allclose(others[0], b, atol=1e-9)
    gamma = 1 / space.scale
    np.testing.assert_allclose(space.kernel(inputs, None), rbf_kernel(a, gamma=gamma), atol=1e-9)
    np.testing.assert_allclose(space.kernel(others, inputs), rbf_kernel(b, a, gamma=gamma), atol=1e-9)


def test_linear_is_that_of_scikit_learn() -> None:
    X, fresh = table(), table(9, seed=5)
    space = BlockSpace(LINEAR).fit(X)
    a, b = by_hand(X, X), by_hand(X, fresh)
    inputs = space.transform(X)
    scale = (a**2).sum(axis=1).mean()
    np.testing.assert_allclose(space.kernel(inputs, None), linear_kernel(a) / scale, atol=1e-9)
    np.testing.assert_allclose(space.kernel(space.transform(fresh), inputs), linear_kernel(b, a) / scale)
    assert np.trace(space.kernel(inputs, None)) == pytest.approx(len(X))


@pytest.mark.parametrize("spec", [RBF, LINEAR], ids=["rbf", "linear"])
def test_gaps_hold_the_training_mean_and_useless_columns_go(spec: KernelSpec) -> None:
    X, fresh = holed(table()), holed(table(9, seed=5), seed=6)
    space = BlockSpace(spec).fit(X)
    used = [c for c in X.columns if c not in ("rna:CONSTANT", "rna:EMPTY")]
    assert space.columns == used
    z, measured = space.transform(fresh)
    np.testing.assert_allclose(z, by_hand(X[used], fresh[used]), atol=1e-9)
    np.testing.assert_array_equal(measured, ~fresh.index.isin(["L003", "L007"]))


def test_a_line_without_the_block_knows_only_itself() -> None:
    X = holed(table())
    kernels = BlockKernels([RBF, LINEAR]).fit(X)
    inputs = kernels.transform(X)
    rbf, linear = kernels.kernels(inputs)
    alone = np.eye(len(X))[[3, 7]]
    np.testing.assert_array_equal(rbf[[3, 7]], alone)
    np.testing.assert_array_equal(rbf[:, [3, 7]], alone.T)
    assert not linear[[3, 7]].any()
    # a new line without the block: nothing is known of it, and it is as uncertain as before
    fresh = X.iloc[[3]].set_axis(["new"])
    cross = kernels.kernels(kernels.transform(fresh), inputs)
    assert not cross.any()
    own = [s.diagonal(v)[0] for s, v in zip(kernels.spaces, kernels.transform(fresh), strict=True)]
    assert own == [1.0, 0.0]


@pytest.mark.parametrize("measured", range(5))
def test_thirty_per_cent_is_enough(measured: int) -> None:
    X = table(k=10)
    fresh = X.iloc[[0]].mask(np.arange(10)[None, :] >= measured)
    assert BlockSpace(RBF).fit(X).transform(fresh)[1][0] == (measured >= 3)


@pytest.mark.parametrize("spec", [RBF, LINEAR], ids=["rbf", "linear"])
def test_diagonal_is_that_of_the_kernel(spec: KernelSpec) -> None:
    X = holed(table())
    space = BlockSpace(spec).fit(X)
    inputs = space.transform(X)
    np.testing.assert_allclose(space.diagonal(inputs), np.diag(space.kernel(inputs, None)), atol=1e-12)


def test_kernels_have_no_negative_eigenvalue() -> None:
    """Also with lines twice and whole blocks missing: the sum must be a covariance."""
    X = holed(pd.concat([table(), table()]).set_axis([f"M{i:03d}" for i in range(80)]), share=0.5)
    kernels = BlockKernels([RBF, LINEAR]).fit(X)
    for k in kernels.kernels(kernels.transform(X)):
        np.testing.assert_allclose(k, k.T, atol=1e-12)
        assert np.linalg.eigvalsh(k).min() > -1e-10


def test_values_far_out_are_clipped_in_both_directions() -> None:
    X = table()
    space = BlockSpace(RBF).fit(X)
    fresh = X.iloc[:2].copy()
    fresh.iloc[0, 0], fresh.iloc[1, 0] = 1e6, -1e6
    z, _ = space.transform(fresh)
    np.testing.assert_array_equal(z[:, 0], [5.0, -5.0])
    wild = X.copy()
    wild.iloc[0, 3] = 1e5  # one of 40 lines cannot be further than sqrt(39) spreads
    assert BlockSpace(RBF).fit(wild).transform(wild)[0][0, 3] == 5.0


def test_second_measurement_stands_in_where_the_first_is_missing() -> None:
    X = holed(table(), share=0.3)
    second = table(seed=9, block="rna_array").add(4).drop(columns=["rna_array:G05"])
    both = X.join(second)
    space = BlockSpace(FILLED).fit(both)
    at = {c: i for i, c in enumerate(space.columns)}
    assert space.fill_columns[at["rna:G04"]] == "rna_array:G04"
    assert space.fill_columns[at["rna:G05"]] == ""
    z, measured = space.transform(both)
    for gene in ("G04", "G05"):
        first = X[f"rna:{gene}"].astype(float)
        expected = np.clip((first - first.mean()) / first.std(ddof=0), -5, 5)
        if gene == "G04":
            other = pd.Series(zscore(second["rna_array:G04"].astype(float)), X.index)
            expected = expected.fillna(other)
        np.testing.assert_allclose(z[:, at[f"rna:{gene}"]], expected.fillna(0), atol=1e-6)
    assert measured.all()  # lines 3 and 7 have the second measurement
    assert set(BlockKernels([FILLED]).fit(both).columns) == {*space.columns, *space.fill_columns} - {""}


def test_second_measurement_without_spread_says_nothing() -> None:
    """Measured in one training line: there is no z-score, and a new line's value must not count as 5."""
    X = holed(table(), share=0.3)
    once = pd.DataFrame({"rna_array:G04": np.nan, "rna_array:G06": 7.0}, X.index)
    once.iloc[0, 0] = 7.0
    space = BlockSpace(FILLED).fit(X.join(once))
    fresh = pd.DataFrame(np.nan, ["new"], X.columns).assign(**{"rna_array:G04": 7.5, "rna_array:G06": 9.0})
    z, measured = space.transform(fresh)
    assert not z.any()
    assert not measured.any()


def test_columns_are_chosen_by_spread_share_and_events() -> None:
    rng = np.random.default_rng(0)
    n = 100
    X = pd.DataFrame(
        {
            "mutation:OFTEN": np.arange(n) < 30,
            "mutation:RARE": np.arange(n) < 24,
            "mutation:ALMOST_ALL": np.arange(n) < 76,
            "rna:FLAT": rng.normal(0, 0.2, n),
            "rna:WIDE": rng.normal(0, 1, n),
            "rna:HALF": np.where(np.arange(n) < 50, rng.normal(0, 1, n), np.nan),
            "rna:LESS": np.where(np.arange(n) < 49, rng.normal(0, 1, n), np.nan),
        }
    ).astype(np.float32)
    events = KernelSpec("mutation", "rbf", ("mutation:",), min_events=25)
    assert BlockSpace(events).fit(X).columns == ["mutation:OFTEN"]
    fewer = X.assign(**{"mutation:OFTEN": X["mutation:OFTEN"].mask(np.arange(n) < 6)})
    assert BlockSpace(events).fit(fewer).columns == []  # 24 of the 94 lines that were looked at
    spread = KernelSpec("rna", "rbf", ("rna:",), min_spread=0.3, min_share=0.5)
    assert BlockSpace(spread).fit(X).columns == ["rna:WIDE", "rna:HALF"]


def test_a_common_scale_keeps_the_weight_of_components() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(50, 3)) * [4, 2, 0.5], columns=[f"profile:{i:02d}" for i in (1, 2, 3)])
    own = BlockSpace(KernelSpec("p", "rbf", ("profile:",))).fit(X).transform(X)[0]
    common = BlockSpace(KernelSpec("p", "rbf", ("profile:",), common_scale=True)).fit(X).transform(X)[0]
    np.testing.assert_allclose(own.std(axis=0), 1)
    np.testing.assert_allclose(common, (X - X.mean()) / X.iloc[:, 0].std(ddof=0))


def test_new_lines_change_nothing_that_was_learned() -> None:
    X = holed(table())
    space = BlockSpace(RBF).fit(X)
    one = space.transform(X.iloc[:5])
    together = space.transform(pd.concat([X.iloc[:5], table(30, seed=8).reindex(columns=X.columns) * 100]))
    np.testing.assert_array_equal(one[0], together[0][:5])
    np.testing.assert_array_equal(one[1], together[1][:5])


def test_columns_are_found_by_name_and_in_any_memory_order() -> None:
    X = holed(table())
    kernels = BlockKernels([RBF, LINEAR]).fit(X)
    shuffled = X[X.columns[::-1]].assign(other=1.0)
    layout = pd.DataFrame(np.asfortranarray(X.to_numpy()), X.index, X.columns)
    expected = kernels.kernels(kernels.transform(X))
    for other in (shuffled, layout):
        np.testing.assert_array_equal(kernels.kernels(kernels.transform(other)), expected)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("spec", [RBF, LINEAR], ids=["rbf", "linear"])
def test_very_few_lines(n: int, spec: KernelSpec) -> None:
    X = table(n)
    space = BlockSpace(spec).fit(X)
    assert bool(space.columns) == (n > 1)  # one line has no spread
    if n > 1:
        k = space.kernel(space.transform(X), None)
        assert np.isfinite(k).all()
        assert space.scale > 0


def test_equal_lines_and_lines_that_all_lack_the_block_have_scale_one() -> None:
    X = table()
    X.iloc[1:] = X.iloc[1].to_numpy()  # all but one alike: the median distance is 0
    space = BlockSpace(RBF).fit(X)
    assert space.scale == 1.0
    thin = table().mask(np.arange(12)[None, :] != np.arange(40)[:, None] % 12)  # one value a line
    space = BlockSpace(RBF).fit(thin)
    assert space.scale == 1.0
    np.testing.assert_array_equal(space.kernel(space.transform(thin), None), np.eye(40))


def test_kernels_without_a_feature_are_left_out_and_none_at_all_is_said() -> None:
    X = table()
    kernels = BlockKernels([RBF, KernelSpec("rppa", "rbf", ("rppa:",))]).fit(X)
    assert kernels.names == ["rna"]
    assert kernels.kernels(kernels.transform(X)).shape == (1, 40, 40)
    with pytest.raises(CohortError, match="no feature to make a kernel of in 40 lines") as error:
        BlockKernels([KernelSpec("a", "rbf", ("rppa:", "tf:"))]).fit(X)
    assert "needs one of rppa:, tf:" in str(error.value)
    empty = pd.DataFrame({"rna:A": np.nan, "rna:B": 1.0}, X.index)
    with pytest.raises(CohortError, match="no feature to make a kernel of"):
        BlockKernels([RBF]).fit(empty)
