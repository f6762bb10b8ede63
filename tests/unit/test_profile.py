"""Predicted drug profiles: components against NumPy, predictions without a line's own drugs, and guards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from crossres_ml.errors import CohortError, LeakageError
from crossres_ml.models.gaussian import fit_gp
from crossres_ml.models.kernels import BlockKernels, KernelSpec
from crossres_ml.models.profile import (
    MIN_DRUGS,
    MIN_LINES,
    DrugProfile,
    _cross_fit,
    _folds,
    add_shares,
    enough_drugs,
    principal_components,
)

SPECS = (KernelSpec("rna", "rbf", ("rna:",)), KernelSpec("rppa", "rbf", ("rppa:",)))
N, DRUGS, GENOTOXIC = 90, 70, 15


@dataclasses.dataclass(frozen=True)
class Study:
    """Lines whose drugs follow their RNA; some lack a block, some have few drugs or none."""

    X: pd.DataFrame
    drugs: pd.DataFrame
    groups: np.ndarray

    def fit(self, **changes: object) -> DrugProfile:
        s = dataclasses.replace(self, **changes)
        return DrugProfile(SPECS).fit(s.X, s.drugs, np.arange(s.drugs.shape[1]) < GENOTOXIC, s.groups)


def study() -> Study:
    rng = np.random.default_rng(0)
    ids = pd.Index([f"ACH-{i:06d}" for i in range(N)], name="model_id")
    hidden = rng.normal(size=(N, 4))
    rna = hidden @ rng.normal(size=(4, 30)) + 0.5 * rng.normal(size=(N, 30))
    X = pd.DataFrame(rna, ids, [f"rna:G{i:02d}" for i in range(30)])
    rppa = pd.DataFrame(rng.normal(size=(N, 6)), ids, [f"rppa:P{i}" for i in range(6)])
    rppa.iloc[::8] = np.nan
    X = X.join(rppa).assign(**{"rna:EMPTY": np.nan, "rna:CONSTANT": 2.0}).astype(np.float32)
    drugs = hidden @ rng.normal(size=(4, DRUGS)) + rng.normal(size=(N, DRUGS))
    drugs[rng.random(drugs.shape) < 0.1] = np.nan
    drugs[np.arange(N) % 9 == 4] = np.nan  # never screened
    drugs[np.arange(N) % 9 == 5, 40:] = np.nan  # too few drugs
    drugs[:, DRUGS - 1] = np.nan  # no line of these has it
    drugs[:, DRUGS - 2] = 3.0
    drugs[N // 4 :, DRUGS - 3] = np.nan  # fewer than 30 lines have it
    groups = np.array([f"G{i // 2 if i < 30 else i}" for i in range(N)])  # pairs of relatives, then singles
    return Study(X, pd.DataFrame(drugs, ids, [f"ctrp:D{i:02d}" for i in range(DRUGS)]), groups)


STUDY = study()
KNOWN = (STUDY.drugs.notna().sum(axis=1) >= MIN_DRUGS).to_numpy()
PROFILE = STUDY.fit()
FRESH = STUDY.X.iloc[:20].set_axis([f"NEW-{i:02d}" for i in range(20)]) * np.float32(1.1)


# --- components -----------------------------------------------------------------------------------


def up_to_sign(scores: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Flip each so that it goes with the mean over drugs."""
    return np.asarray(scores * np.sign(scores.T @ z.mean(axis=1)))


def complete(lines: int = 60, drugs: int = 40, rank: int = 5, noise: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(7)
    factors = rng.normal(size=(lines, rank)) * np.linspace(3, 1, rank)
    return np.asarray(factors @ rng.normal(size=(rank, drugs)) + noise * rng.normal(size=(lines, drugs)) + 9)


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_components_of_a_complete_table_are_those_of_numpy_and_scikit_learn(shape: tuple[int, int]) -> None:
    table = complete(*shape)
    z = (table - table.mean(axis=0)) / table.std(axis=0)
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    found = principal_components(table, 6)
    np.testing.assert_allclose(found, up_to_sign((left * size)[:, :6], z), atol=1e-8)
    by_pca = PCA(6, svd_solver="full").fit_transform(z)
    np.testing.assert_allclose(found, up_to_sign(by_pca, z), atol=1e-8)
    assert (np.corrcoef(found.T, z.mean(axis=1))[-1, :-1] >= 0).all()


def test_components_with_a_fifth_missing_are_nearly_those_of_the_complete_table() -> None:
    table = complete(120, 80, rank=4, noise=0.3)
    holed = np.where(np.random.default_rng(1).random(table.shape) < 0.2, np.nan, table)
    whole, found = (principal_components(t, 4) for t in (table, holed))
    fits = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(whole.T, found.T, strict=True)]
    assert min(fits) > 0.95
    means = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)  # gaps at the mean do worse
    simple = principal_components(means, 4)
    assert subspace_angles(whole, found).max() < subspace_angles(whole, simple).max()


def test_components_do_not_follow_units_or_order_of_drugs() -> None:
    table = np.where(np.random.default_rng(2).random((60, 40)) < 0.1, np.nan, complete())
    rng = np.random.default_rng(3)
    other = (table * rng.uniform(0.1, 10, 40) + rng.normal(0, 100, 40))[:, rng.permutation(40)]
    np.testing.assert_allclose(principal_components(other, 5), principal_components(table, 5), atol=1e-6)


def test_no_more_components_than_lines_allow() -> None:
    assert principal_components(complete(5, 40), 30).shape == (5, 4)


# --- predicted profiles ---------------------------------------------------------------------------


def test_columns_that_say_nothing_are_left_out() -> None:
    """Empty, constant and rare drugs: the profile is that of a table without them."""
    kept = STUDY.drugs.iloc[:, : DRUGS - 3]
    bare = STUDY.fit(drugs=kept)
    pd.testing.assert_frame_equal(bare.cross_fitted, PROFILE.cross_fitted)
    assert PROFILE.names == [*(f"profile:{i:02d}" for i in range(1, 31)),
                             *(f"genotoxic:{i:02d}" for i in range(1, 9))]  # fmt: skip
    assert PROFILE.fitted_on == set(STUDY.X.index[KNOWN])
    assert 0 < KNOWN.sum() < N
    assert PROFILE.weights.keys() == {"rna", "rppa"}


def targets_by_hand() -> np.ndarray:
    table = STUDY.drugs[KNOWN].iloc[:, : DRUGS - 3].to_numpy()
    general, own = principal_components(table, 30), principal_components(table[:, :GENOTOXIC], 8)
    return np.hstack([general / general[:, 0].std(), own / own[:, 0].std()])


def kernel_by_hand(X: pd.DataFrame) -> np.ndarray:
    """Weighted kernel between lines and the training lines with drugs."""
    kernels = BlockKernels(SPECS).fit(STUDY.X)
    known = [(z[KNOWN], m[KNOWN]) for z, m in kernels.transform(STUDY.X)]
    return np.tensordot(list(PROFILE.weights.values()), kernels.kernels(kernels.transform(X), known), axes=1)


def noise() -> float:
    """Noise that goes with the weights."""
    kernels = BlockKernels(SPECS).fit(STUDY.X)
    known = [(z[KNOWN], m[KNOWN]) for z, m in kernels.transform(STUDY.X)]
    learned = [i for i, n in enumerate(PROFILE.names) if int(n[-2:]) <= (8 if n[0] == "p" else 4)]
    gp = fit_gp(kernels.kernels(known), targets_by_hand()[:, learned], 25)
    np.testing.assert_allclose(gp.kernel_.weights, list(PROFILE.weights.values()))
    return float(gp.kernel_.noise)


def test_prediction_is_kriging_written_out() -> None:
    targets = targets_by_hand()
    own = kernel_by_hand(STUDY.X[KNOWN])
    np.fill_diagonal(own, sum(PROFILE.weights.values()) + noise())
    expected = targets.mean(axis=0) + kernel_by_hand(FRESH) @ np.linalg.solve(own, targets - targets.mean(0))
    np.testing.assert_allclose(PROFILE.predict(FRESH), expected, atol=1e-5)
    assert PROFILE.predict(FRESH).dtypes.eq(np.float32).all()


def test_every_training_line_is_predicted_without_its_fold() -> None:
    """Each line that has drugs, or relatives with drugs, from a system that has only lines of other folds."""
    targets = targets_by_hand()
    centre = targets.mean(axis=0)
    own = kernel_by_hand(STUDY.X[KNOWN])
    np.fill_diagonal(own, sum(PROFILE.weights.values()) + noise())
    cross = kernel_by_hand(STUDY.X)
    folds, groups = _folds(STUDY.groups), STUDY.groups[KNOWN]
    without_drugs_but_kin = 0
    for i in range(N):
        related = STUDY.groups[i] in groups
        others = np.flatnonzero((folds[KNOWN] != folds[i]) | (not related))
        without_drugs_but_kin += not KNOWN[i] and related
        solved = np.linalg.solve(own[np.ix_(others, others)], targets[others] - centre)
        expected = centre + cross[i, others] @ solved
        np.testing.assert_allclose(PROFILE.cross_fitted.iloc[i], expected, atol=2e-5)
    assert without_drugs_but_kin == 2


def test_folds_keep_relatives_together_and_are_of_like_size() -> None:
    groups = np.array([f"G{i // 3:02d}" for i in range(150)])
    folds = _folds(groups)
    assert all(len(set(folds[groups == g])) == 1 for g in groups)
    assert sorted(np.bincount(folds)) == [30] * 5
    np.testing.assert_array_equal(_folds(groups[::-1]), folds[::-1])


def test_profiles_do_not_tell_noise_apart() -> None:
    """Drugs that no feature predicts: the mean of all other lines falls as a line's own value rises.

    A profile from single left-out lines would carry that back to a model (correlation -1 where
    nothing is learned); one from whole folds must not.
    """
    rng = np.random.default_rng(5)
    drugs = pd.DataFrame(rng.normal(size=(200, 60)) + rng.normal(size=(200, 1)),
                         [f"L{i:03d}" for i in range(200)])  # fmt: skip
    X = pd.DataFrame(
        rng.normal(size=(200, 20)).astype(np.float32), drugs.index, [f"rna:{i}" for i in range(20)]
    )
    found = DrugProfile(SPECS).fit(X, drugs, np.zeros(60, dtype=bool), drugs.index.to_numpy())
    own = drugs.mean(axis=1).to_numpy()
    assert np.corrcoef(own, found.cross_fitted["profile:01"])[0, 1] > -0.35


def test_drugs_of_a_fold_do_not_enter_its_prediction_at_fixed_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    gp = fit_gp(np.exp(-((x[:, None] - x) ** 2).sum(-1) / 3)[None], np.sin(x[:, :2]))
    groups = np.array([f"G{i // 3}" for i in range(40)])[rng.permutation(40)]
    targets = rng.normal(size=(40, 5))
    one = _cross_fit(gp, targets, groups)
    for name in np.unique(groups):
        changed = targets.copy()
        changed[groups == name] += rng.normal(0, 10, (int((groups == name).sum()), 5))
        two = _cross_fit(gp, changed, groups)
        np.testing.assert_allclose(one[groups == name], two[groups == name], atol=1e-9)
        assert np.abs(one - two)[groups != name].max() > 0.1


@pytest.mark.parametrize("related", [True, False])
def test_a_twin_tells_of_a_line_only_where_it_counts_as_another_patient(related: bool) -> None:
    """A planted line alike in all features and drugs, in the same group or in one of its own."""
    i = int(np.flatnonzero(KNOWN & (np.arange(N) > 30))[0])
    alone = STUDY.X.index[i]
    X = pd.concat([STUDY.X, STUDY.X.iloc[[i]].set_axis(["ACH-999999"])])
    odd = STUDY.drugs.copy()
    odd.iloc[i] += 6 * np.sign(np.random.default_rng(0).normal(size=DRUGS))  # not to be foreseen from its RNA
    drugs = pd.concat([odd, odd.iloc[[i]].set_axis(["ACH-999999"])])
    groups = np.append(STUDY.groups, STUDY.groups[i] if related else "other")
    found = STUDY.fit(X=X, drugs=drugs, groups=groups)
    own = found._targets(drugs[np.append(KNOWN, True)].to_numpy(), np.arange(DRUGS) < DRUGS - 3,
                         np.arange(DRUGS) < GENOTOXIC)  # fmt: skip
    truth = own[-1] - own.mean(axis=0)
    guess = found.cross_fitted.loc[alone].to_numpy() - own.mean(axis=0)
    alike = float(guess @ truth / (truth @ truth))
    assert (alike > 0.2) == (not related)


def test_a_line_without_drugs_does_not_hear_from_its_relatives() -> None:
    """Its profile is as wide of the truth as that of a line that was never seen."""
    i = int(np.flatnonzero(KNOWN & (np.arange(N) > 30))[0])
    X = pd.concat([STUDY.X, STUDY.X.iloc[[i]].set_axis(["ACH-999999"])])
    drugs = pd.concat([STUDY.drugs, pd.DataFrame(np.nan, ["ACH-999999"], STUDY.drugs.columns)])
    profiles = [
        STUDY.fit(X=X, drugs=drugs, groups=np.append(STUDY.groups, g)).cross_fitted
        for g in (STUDY.groups[i], "other")
    ]
    np.testing.assert_allclose(profiles[0].loc["ACH-999999"], profiles[0].iloc[i], atol=1e-5)
    assert (profiles[1].loc["ACH-999999"] - profiles[1].iloc[i]).abs().max() > 0.1


def test_held_out_lines_have_a_profile_even_without_any_feature() -> None:
    nothing = pd.DataFrame(np.nan, ["new"], STUDY.X.columns, dtype=np.float32)
    np.testing.assert_allclose(PROFILE.predict(nothing), PROFILE.machine.mean[None, :], rtol=1e-6)
    assert set(PROFILE.columns) == {c for c in STUDY.X if c not in ("rna:EMPTY", "rna:CONSTANT")}


def test_profiles_are_predicted_with_skill() -> None:
    truth = targets_by_hand()[:, 0]
    guess = PROFILE.cross_fitted.to_numpy()[KNOWN, 0]
    assert np.corrcoef(truth, guess)[0, 1] > 0.6


# --- what must not be -----------------------------------------------------------------------------


def test_predicting_a_line_that_was_learned_from_raises() -> None:
    line = STUDY.X.index[KNOWN][5]
    mixed = pd.concat([FRESH, STUDY.X.loc[[line]]])
    with pytest.raises(LeakageError, match=f"the drugs of 1 held-out lines were learned from, .*{line}"):
        PROFILE.predict(mixed)


@pytest.mark.parametrize("other", ["a line more", "a line less", "another line", "another order"])
def test_drugs_of_other_lines_than_the_features_raise(other: str) -> None:
    drugs = STUDY.drugs
    changed = {
        "a line more": pd.concat([drugs, drugs.iloc[[0]].set_axis(["ACH-999999"])]),
        "a line less": drugs.iloc[1:],
        "another line": drugs.rename(index={drugs.index[0]: "ACH-999999"}),
        "another order": drugs.iloc[::-1],
    }[other]
    with pytest.raises(LeakageError, match="drug measurements and features are of other lines"):
        STUDY.fit(drugs=changed)


def test_too_few_lines_or_drugs_are_said() -> None:
    few = STUDY.drugs.copy()
    few.iloc[MIN_LINES - 1 :, : DRUGS - MIN_DRUGS + 1] = np.nan
    assert not enough_drugs(few)
    assert enough_drugs(STUDY.drugs)
    with pytest.raises(CohortError, match=r"\d+ training lines have 50 or more drugs measured"):
        STUDY.fit(drugs=few)
    flat = STUDY.drugs.where(STUDY.drugs.isna(), 1.0)
    with pytest.raises(CohortError, match="0 drugs are measured often enough"):
        STUDY.fit(drugs=flat)


def test_few_genotoxic_drugs_give_no_genotoxic_components() -> None:
    profile = DrugProfile(SPECS).fit(STUDY.X, STUDY.drugs, np.arange(DRUGS) < 8, STUDY.groups)
    assert {n.partition(":")[0] for n in profile.names} == {"profile"}


# --- shares ---------------------------------------------------------------------------------------


def test_shares_of_components_are_handed_on_to_features() -> None:
    """Counted from the profile of the mean line, what is handed on adds up to what was given."""
    X = FRESH.drop(index=FRESH.index[[0, 8, 16]])  # these lack a block, and have a mean of their own
    profile = PROFILE.predict(X)
    everything = np.eye(len(PROFILE.names))
    centre = pd.Series(
        [
            float((PROFILE.machine.predict(X)[:, i] - PROFILE.machine.attribute(X, everything[[i] * len(X)])
                   .to_numpy().sum(axis=1)).mean())
            for i in range(len(PROFILE.names))
        ],
        PROFILE.names,
    )  # fmt: skip
    used = PROFILE.names[:5]
    slopes = np.array([1.0, -2, 0.5, 3, 1])
    shares = (profile[used] - centre[used]) * slopes
    shares["rna:G00"] = 0.25
    out = PROFILE.hand_on(shares, X.join(profile), centre)
    assert set(out.columns) == {*PROFILE.columns, "rna:G00"}
    np.testing.assert_allclose(out.to_numpy().sum(axis=1), shares.to_numpy().sum(axis=1), atol=2e-3)
    through = PROFILE.machine.attribute(X, np.tile(np.r_[slopes, np.zeros(33)], (len(X), 1)))
    through["rna:G00"] += 0.25
    np.testing.assert_allclose(out[PROFILE.columns], through[PROFILE.columns], rtol=1e-3, atol=1e-4)


def test_a_component_at_its_centre_hands_nothing_on() -> None:
    profile = PROFILE.predict(FRESH)
    shares = pd.DataFrame(0.0, FRESH.index, ["profile:01"])
    out = PROFILE.hand_on(shares, FRESH.join(profile), profile.iloc[0])
    assert np.isfinite(out.to_numpy()).all()
    assert not out.to_numpy().any()


def test_tables_of_shares_are_added_by_name() -> None:
    a = pd.DataFrame({"x": [1.0, 2], "y": [3.0, 4]})
    b = pd.DataFrame({"z": [10.0, 20], "x": [100.0, 200]})
    expected = pd.DataFrame({"x": [101.0, 202], "y": [3.0, 4], "z": [10.0, 20]})
    pd.testing.assert_frame_equal(add_shares([a, b]), expected)
    pd.testing.assert_frame_equal(add_shares([a]), a)
