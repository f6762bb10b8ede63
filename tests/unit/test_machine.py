"""A kernel machine against loops, its shares against shap, and its files to the bit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from crossres_ml.models.kernels import BlockKernels, KernelSpec
from crossres_ml.models.machine import KernelMachine

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

SPECS = (
    KernelSpec("rna", "rbf", ("rna:",), fill="rna_array:"),
    KernelSpec("rppa", "rbf", ("rppa:",)),
    KernelSpec("one", "rbf", ("rna:G00",)),
    KernelSpec("lineage", "linear", ("lineage:",)),
)
N, OUTPUTS = 50, 3


def table(n: int, seed: int) -> pd.DataFrame:
    """Blocks with gaps, ties, lines without a block, a constant and an empty column."""
    rng = np.random.default_rng(seed)
    out = {f"rna:G{i:02d}": rng.normal(5, 1 + i / 4, n) for i in range(6)}
    out |= {f"rna_array:G{i:02d}": rng.normal(9, 2, n) for i in range(1, 4)}
    out |= {f"rppa:P{i}": rng.normal(0, 0.3, n).round(1) for i in range(5)}
    x = pd.DataFrame(out)
    x = x.mask(rng.random(x.shape) < 0.15)
    x.loc[x.index[1::7], [c for c in x if c.startswith("rppa:")]] = np.nan
    x.loc[x.index[2::9], [c for c in x if c.startswith("rna:")]] = np.nan
    for i, name in enumerate(("Bone", "Lung", "Skin")):
        x[f"lineage:{name}"] = (np.arange(n) % 3 == i).astype(float)
    x["rppa:EMPTY"], x["rna:CONSTANT"] = np.nan, 1.5
    return x.astype(np.float32).set_axis([f"{seed}-{i:03d}" for i in range(n)])


def machine(X: pd.DataFrame, specs: tuple[KernelSpec, ...] = SPECS, outputs: int = OUTPUTS) -> KernelMachine:
    kernels = BlockKernels(specs).fit(X)
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(len(kernels.spaces), len(X), outputs))
    return KernelMachine(kernels, kernels.transform(X), coefficients, rng.normal(size=outputs))


X, FRESH = table(N, 1), table(20, 2)
MACHINE = machine(X)
WEIGHTS = np.random.default_rng(3).normal(size=(len(FRESH), OUTPUTS))


def at_mean(found: KernelMachine, fresh: pd.DataFrame) -> np.ndarray:
    """Prediction at the mean training profile, each line lacking the blocks that it lacks."""
    out = np.tile(found.mean, (len(fresh), 1))
    parts = zip(found.kernels.spaces, found.inputs, found.coefficients, strict=True)
    for space, known, a in parts:
        z, measured = space.transform(fresh)
        out += space.kernel((np.zeros_like(z), measured), known) @ a
    return out


def test_prediction_is_a_sum_over_kernels_and_training_lines() -> None:
    expected = np.tile(MACHINE.mean, (len(FRESH), 1))
    for b, space in enumerate(MACHINE.kernels.spaces):
        new, known = space.transform(FRESH), MACHINE.inputs[b]
        for i in range(N):
            one = space.kernel(new, (known[0][[i]], known[1][[i]]))
            expected += one * MACHINE.coefficients[b, i]
    np.testing.assert_allclose(MACHINE.predict(FRESH), expected, atol=1e-10)


def test_shares_add_up_to_the_prediction_minus_that_at_the_mean_profile() -> None:
    difference = ((MACHINE.predict(FRESH) - at_mean(MACHINE, FRESH)) * WEIGHTS).sum(axis=1)
    shares = MACHINE.attribute(FRESH, WEIGHTS)
    assert list(shares.columns) == MACHINE.columns
    assert np.abs(difference).max() > 1
    np.testing.assert_allclose(shares.to_numpy().sum(axis=1), difference, rtol=1e-3, atol=1e-3)


def test_shares_add_up_far_from_the_training_lines() -> None:
    """At the end of the clip, where the path is longest."""
    far = FRESH.where(FRESH.isna(), FRESH.mean() + 1e3 * np.sign(FRESH - FRESH.mean()))
    difference = MACHINE.predict(far) - at_mean(MACHINE, far)
    for s in range(OUTPUTS):
        shares = MACHINE.attribute(far, np.eye(OUTPUTS)[[s] * len(far)])
        size = np.abs(difference[:, s]).max()
        np.testing.assert_allclose(shares.to_numpy().sum(axis=1), difference[:, s], atol=0.02 * size)


def test_what_is_not_measured_has_no_share() -> None:
    shares = MACHINE.attribute(FRESH, WEIGHTS)
    missing = FRESH[MACHINE.columns].isna().to_numpy()
    assert missing.any(axis=0).sum() > 8
    assert not shares.to_numpy()[missing].any()


def test_a_second_measurement_has_the_share_only_where_the_first_is_missing() -> None:
    shares = MACHINE.attribute(FRESH, WEIGHTS)
    for gene in ("G01", "G02", "G03"):
        first = FRESH[f"rna:{gene}"].notna()
        assert not shares.loc[first, f"rna_array:{gene}"].any()
        stands_in = ~first & FRESH[f"rna_array:{gene}"].notna()
        assert stands_in.any()
        assert (shares.loc[stands_in, f"rna_array:{gene}"] != 0).all()


def test_linear_shares_are_exact() -> None:
    found = machine(X, SPECS[3:], 1)
    space, (z_known, _), a = found.kernels.spaces[0], found.inputs[0], found.coefficients[0, :, 0]
    z, _ = space.transform(FRESH)
    expected = z * (a @ z_known) / space.scale
    np.testing.assert_allclose(found.attribute(FRESH, np.ones((20, 1)))[space.columns], expected, atol=1e-12)
    np.testing.assert_allclose(expected.sum(axis=1), found.predict(FRESH)[:, 0] - found.mean[0], atol=1e-12)


def test_shares_of_an_additive_function_are_shapley_values() -> None:
    """Where every feature has a kernel of its own, shap's enumeration finds the same values."""
    rng = np.random.default_rng(5)
    names = ["rna:A", "rna:B", "rna:C", "rna:D"]
    train = pd.DataFrame(rng.normal(size=(40, 4)) * [1, 2, 3, 0.5], columns=names)
    train["rna:B"] = train["rna:B"].round()
    specs = tuple(KernelSpec(n, "linear" if n == "rna:D" else "rbf", (n,)) for n in names)
    found = machine(train, specs, 1)
    new = pd.DataFrame(rng.normal(size=(8, 4)) * [1, 2, 3, 0.5], columns=names)

    def score(values: np.ndarray) -> np.ndarray:
        return found.predict(pd.DataFrame(values, columns=names))[:, 0]

    explainer = shap.KernelExplainer(score, train.mean().to_numpy()[None, :])
    explained = explainer.shap_values(new.to_numpy(), silent=True)
    shares = found.attribute(new, np.ones((8, 1)))
    assert np.abs(explained).max() > 1
    np.testing.assert_allclose(shares[names], explained, rtol=1e-3, atol=2e-3)


def test_shares_of_two_symmetric_features_are_those_of_shap() -> None:
    """Inside one kernel features interact: shares need not be Shapley values, but for symmetric ones are."""
    values = np.array([[1.0, 1], [-1, -1], [1, -1], [-1, 1]])
    train = pd.DataFrame(values, columns=["rna:A", "rna:B"])
    kernels = BlockKernels((KernelSpec("rna", "rbf", ("rna:",)),)).fit(train)
    found = KernelMachine(
        kernels, kernels.transform(train), np.array([[[1.0], [-2], [0.5], [0.5]]]), np.zeros(1)
    )
    new = pd.DataFrame({"rna:A": [0.7, -1.2], "rna:B": [0.7, -1.2]})
    explainer = shap.KernelExplainer(
        lambda v: found.predict(pd.DataFrame(v, columns=train.columns))[:, 0], np.zeros((1, 2))
    )
    explained = explainer.shap_values(new.to_numpy(), silent=True)
    np.testing.assert_allclose(found.attribute(new, np.ones((2, 1))), explained, atol=1e-4)


def test_variance_is_that_of_the_formula_and_never_negative() -> None:
    weights, noise = np.array([0.5, 0.3, 0.1, 0.2]), 0.1
    whole = np.tensordot(weights, MACHINE.kernels.kernels(MACHINE.inputs), axes=1)
    precision = np.linalg.inv(whole + noise * np.eye(N))
    new = MACHINE.kernels.transform(FRESH)
    cross = np.tensordot(weights, MACHINE.kernels.kernels(new, MACHINE.inputs), axes=1)
    own = np.tensordot(weights, MACHINE.kernels.kernels(new), axes=1)
    expected = np.diag(own - cross @ precision @ cross.T)
    found = MACHINE.predict_with_variance(FRESH, weights, lambda k: precision @ k.T)[1]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert (found > 0).all()
    assert MACHINE.predict_with_variance(X, weights, lambda k: precision @ k.T)[1].max() < found.max()
    nothing = pd.DataFrame(np.nan, ["new"], X.columns)
    unknown = MACHINE.predict_with_variance(nothing, weights, lambda k: precision @ k.T)[1]
    np.testing.assert_allclose(unknown, weights[:3].sum())  # three rbf kernels, as before any data


def test_state_goes_through_json_and_arrays_to_the_bit() -> None:
    told, arrays = MACHINE.state()
    copies = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    again = KernelMachine.from_state(json.loads(json.dumps(told)), copies)
    np.testing.assert_array_equal(again.predict(FRESH), MACHINE.predict(FRESH))
    pd.testing.assert_frame_equal(again.attribute(FRESH, WEIGHTS), MACHINE.attribute(FRESH, WEIGHTS))
    assert again.columns == MACHINE.columns
    assert again.kernels.names == MACHINE.kernels.names


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_of_the_table_does_not_matter(order: str) -> None:
    other = pd.DataFrame(np.array(FRESH.to_numpy(), order=order), FRESH.index, FRESH.columns)
    np.testing.assert_array_equal(MACHINE.predict(other), MACHINE.predict(FRESH))
    train = pd.DataFrame(np.array(X.to_numpy(), order=order), X.index, X.columns)
    again = KernelMachine(BlockKernels(SPECS).fit(train), [], MACHINE.coefficients, MACHINE.mean)
    again.inputs = again.kernels.transform(train)
    np.testing.assert_array_equal(again.predict(FRESH), MACHINE.predict(FRESH))
    for one, two in zip(again.kernels.spaces, MACHINE.kernels.spaces, strict=True):
        assert (one.scale, list(one.mean), list(one.spread)) == (two.scale, list(two.mean), list(two.spread))


def test_columns_are_found_by_name() -> None:
    shuffled = FRESH[FRESH.columns[::-1]].assign(other=1.0)
    np.testing.assert_array_equal(MACHINE.predict(shuffled), MACHINE.predict(FRESH))
    pd.testing.assert_frame_equal(MACHINE.attribute(shuffled, WEIGHTS), MACHINE.attribute(FRESH, WEIGHTS))
