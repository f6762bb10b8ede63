"""Expression of other platforms: recognised, brought back, and not touched where it needs nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossres_ml.errors import ProfileError
from crossres_ml.models.bundle import Bundle
from crossres_ml.models.domain import Domain
from crossres_ml.models.parts import LoadedModel
from crossres_ml.models.reference import Reference
from crossres_ml.predict.platform import MIN_BATCH, Batch, Platform, choose_platform
from crossres_ml.predict.profiles import BLOCK, Profiles
from crossres_ml.predict.score import spread_of, with_flags

GENES = [f"rna:G{i}" for i in range(120)]
LEVEL = np.random.default_rng(0).uniform(1, 9, len(GENES))
SHIFTS = {"Lung": 0.0, "Blood": 1.5, "Bone": -0.8}


def lines(n: int, seed: int, lineage: str = "Lung") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(len(lineage)).normal(size=len(GENES)) * SHIFTS[lineage]
    values = LEVEL + own + rng.normal(scale=rng.uniform(0.7, 1.3), size=(n, len(GENES)))
    return pd.DataFrame(values.clip(0, 20).astype(np.float32), columns=GENES)


TRAIN = pd.concat([lines(60, 1), lines(30, 2, "Blood"), lines(30, 3, "Bone")], ignore_index=True)
LINEAGE = np.repeat(["Lung", "Blood", "Bone"], [60, 30, 30])
REFERENCE = Reference(TRAIN, LINEAGE)


def bundle() -> Bundle:
    table = pd.DataFrame({"unit": "log2_tpm", "share": 1 / len(GENES)}, index=GENES)
    model = LoadedModel("mean", lambda X: X.mean(axis=1).to_numpy(), lambda X: X)
    domain = Domain.fit(TRAIN.to_numpy(), table.share.to_numpy(), np.arange(len(TRAIN)))
    recipe = {"task": "radiation", "data": {"kind": "real"}, "lineages": list(SHIFTS), "score_spread": 0.5}
    return Bundle(recipe, table, model, None, None, REFERENCE, domain, "")


BUNDLE = bundle()


def profiles(values: pd.DataFrame, lineage: str | None = None) -> Profiles:
    named = values.set_axis([f"s{i}" for i in range(len(values))])
    given = None if lineage is None else pd.Series(lineage, named.index, dtype="string")
    return Profiles(named, given)


def array(values: pd.DataFrame) -> pd.DataFrame:
    """Another platform: each gene has its own gain and offset, and everything is compressed."""
    rng = np.random.default_rng(11)
    gain, offset = rng.uniform(0.2, 0.5, len(GENES)), rng.uniform(3, 8, len(GENES))
    return (values * gain + offset).astype(np.float32)


def choose(values: pd.DataFrame, method: str = "auto", lineage: str | None = None) -> Platform:
    return choose_platform(method, Batch.of([profiles(values, lineage)]), [BUNDLE], "p.csv")


@pytest.mark.parametrize("lineage", list(SHIFTS))
@pytest.mark.parametrize("n", [1, 3, 12, 60])
def test_sequenced_lines_of_one_tissue_are_left_alone(lineage: str, n: int) -> None:
    values = lines(n, 20 + n, lineage)
    platform = choose(values)
    assert platform.method == "none"
    assert platform.distance["radiation"] < platform.limit["radiation"]
    assert platform.bring(values, REFERENCE) is values
    assert not platform.widened


@pytest.mark.parametrize(
    ("n", "method"), [(1, "quantile"), (MIN_BATCH - 1, "quantile"), (MIN_BATCH, "zscore")]
)
def test_another_platform_is_recognised(n: int, method: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        platform = choose(array(lines(n, 30)))
    assert platform.method == method
    assert platform.widened == (method == "quantile")
    assert "looks like another platform, normalised by" in caplog.text


def test_asking_for_none_is_done_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    values = array(lines(40, 31))
    with caplog.at_level(logging.WARNING):
        platform = choose(values, "none")
    pd.testing.assert_frame_equal(platform.bring(values, REFERENCE), values)
    assert "is not normalised" in caplog.text


def test_zscores_undo_gain_and_offset_of_each_gene() -> None:
    values = lines(200, 32)
    back = choose(array(values), lineage="Lung").bring(array(values), REFERENCE)
    lung = TRAIN[LINEAGE == "Lung"]
    np.testing.assert_allclose(back.mean(), lung.mean(), atol=0.05)
    np.testing.assert_allclose(back.std(ddof=0), lung.std(ddof=0), rtol=0.1)
    for gene in GENES[:5]:
        assert np.corrcoef(back[gene], values[gene])[0, 1] > 0.99


def test_zscores_aim_at_the_lineages_given() -> None:
    values = lines(60, 33, "Blood")
    known = choose(array(values), lineage=" blood ").bring(array(values), REFERENCE)
    unknown = choose(array(values)).bring(array(values), REFERENCE)
    truth = values.mean()
    assert ((known.mean() - truth) ** 2).mean() < 0.3 * ((unknown.mean() - truth) ** 2).mean()


def test_mixed_lineages_have_the_moments_of_the_mixture() -> None:
    mean, sd = REFERENCE.moments({"Lung": 60, "Blood": 30, "Bone": 30})
    np.testing.assert_allclose(mean, TRAIN.mean(), rtol=1e-5)
    np.testing.assert_allclose(sd, TRAIN.std(ddof=0), rtol=1e-4)


@pytest.mark.parametrize("method", ["quantile", "rank"])
def test_ranks_undo_what_is_monotone_in_a_sample(method: str) -> None:
    values = lines(6, 34)
    bent = (np.sqrt(values) * 3 + 2).astype(np.float32)
    one, other = (choose(v, method).bring(v, REFERENCE) for v in (values, bent))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_quantiles_give_each_sample_the_reference_distribution() -> None:
    values = array(lines(5, 35))
    back = choose(values, "quantile").bring(values, REFERENCE)
    target = np.sort(TRAIN.to_numpy(dtype=float), axis=1).mean(axis=0)
    for row in back.to_numpy():
        np.testing.assert_allclose(np.sort(row)[5:-5], target[5:-5], atol=0.15)


@pytest.mark.parametrize("method", ["zscore", "quantile", "rank"])
def test_gaps_stay_gaps(method: str) -> None:
    values = array(lines(40, 36))
    holes = np.random.default_rng(1).random(values.shape) < 0.3
    values = values.mask(holes)
    values.iloc[3] = np.nan
    values[GENES[7]] = np.nan
    back = choose(values, method).bring(values, REFERENCE)
    np.testing.assert_array_equal(back.isna(), values.isna())
    assert np.isfinite(back.to_numpy()[values.notna().to_numpy()]).all()


def test_a_gene_that_few_lines_have_follows_the_others() -> None:
    train = TRAIN.copy()
    train.loc[40:, GENES[0]] = np.nan
    rare = Reference(train, LINEAGE)
    assert GENES[0] not in rare.common
    values = lines(10, 37)
    for method in ("quantile", "rank"):
        back = choose(array(values), method).bring(array(values), rare)
        assert np.isfinite(back[GENES[0]]).all()


def test_a_constant_gene_becomes_the_mean() -> None:
    values = array(lines(40, 38))
    values[GENES[3]] = np.float32(5.5)
    back = choose(values, "zscore").bring(values, REFERENCE)
    np.testing.assert_allclose(back[GENES[3]], TRAIN[GENES[3]].mean(), rtol=1e-5)


def test_nothing_but_expression_is_touched() -> None:
    values = array(lines(40, 39)).assign(**{"mutation:TP53": np.float32(1)})
    back = choose(values, "zscore").bring(values, REFERENCE)
    assert (back["mutation:TP53"] == 1).all()
    assert (values[GENES] != back[GENES]).any(axis=None)


def test_samples_without_expression_are_no_platform() -> None:
    given = Profiles(pd.DataFrame({"mutation:TP53": [1.0, 0.0]}, index=["a", "b"]), None)
    platform = choose_platform("auto", Batch.of([given]), [BUNDLE], "p.csv")
    assert platform.method == "none"
    assert np.isnan(platform.distance["radiation"])


@pytest.mark.parametrize(
    ("n", "method", "fault"),
    [
        (40, "loess", r"normalisation 'loess'[\s\S]*auto, none, zscore"),
        (4, "zscore", "z-scores of 4 samples mean nothing"),
    ],
)
def test_what_cannot_be_done_is_refused(n: int, method: str, fault: str) -> None:
    with pytest.raises(ProfileError, match=fault):
        choose(lines(n, 40), method)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4))
def test_no_bit_of_the_moments_depends_on_the_chunk(size: int) -> None:
    values = lines(4 * BLOCK + 17, 41).mask(lines(4 * BLOCK + 17, 42) > 7)
    given = profiles(values, "Lung")

    def chunks(step: int) -> Iterator[Profiles]:
        for start in range(0, len(values), step):
            cut = slice(start, start + step)
            assert given.lineage is not None
            yield Profiles(given.values.iloc[cut], given.lineage.iloc[cut])

    one, other = Batch.of([given]), Batch.of(chunks(size * BLOCK))
    pd.testing.assert_series_equal(one.mean, other.mean, check_exact=True)
    pd.testing.assert_series_equal(one.sd, other.sd, check_exact=True)
    assert one.lineages == other.lineages == {"lung": len(values)}
    np.testing.assert_allclose(one.mean, values.mean(), rtol=1e-5)
    np.testing.assert_allclose(one.sd, values.astype(float).std(ddof=0), rtol=1e-6)


def scored(sd: float, n: int = 40) -> pd.DataFrame:
    score = np.random.default_rng(3).normal(scale=sd, size=n)
    percentile = np.where(np.arange(n) == 2, 99.5, 40.0)
    return pd.DataFrame({"radiation_score": score, "radiation_percentile": percentile, "trained_on": "real"})


@pytest.mark.parametrize(("sd", "n", "gone"), [(0.02, 40, True), (0.4, 40, False), (0.02, 6, False)])
def test_scores_that_hardly_differ_are_told(
    sd: float, n: int, gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    table = scored(sd, n)
    with caplog.at_level(logging.WARNING):
        spread = spread_of([table.iloc[:3], table.iloc[3:]], [BUNDLE])
    told = spread["radiation"]
    assert told["collapsed"] == gone
    assert told["sd"] == pytest.approx(table.radiation_score.std(ddof=0))
    assert ("these probabilities look calm and mean nothing" in caplog.text) == gone
    flags = with_flags(table, spread).radiation_flags
    assert flags[2] == ("outside;collapsed" if gone else "outside")
    assert flags[0] == ("collapsed" if gone else "")


def test_samples_without_expression_do_not_make_a_batch() -> None:
    values = array(lines(40, 50))
    values.iloc[2:] = np.nan
    batch = Batch.of([profiles(values, "Lung")])
    assert (batch.samples, batch.lineages) == (2, {"lung": 2})
    assert choose(values).method == "quantile"
    with pytest.raises(ProfileError, match="z-scores of 2 samples mean nothing"):
        choose(values, "zscore")


def test_a_gene_of_few_samples_has_no_zscore() -> None:
    values = array(lines(40, 51))
    values.loc[values.index[3:], GENES[4]] = np.nan
    back = choose(values, "zscore").bring(values, REFERENCE)
    assert back[GENES[4]].isna().all()
    assert back[GENES[5]].notna().all()


def test_a_lineage_with_few_measured_lines_counts_as_all() -> None:
    train = TRAIN.copy()
    train.loc[train.index[LINEAGE == "Blood"][1:], GENES[2]] = np.nan
    reference = Reference(train, LINEAGE)
    _, sd = reference.moments({"Blood": 10})
    assert sd[GENES[2]] == pytest.approx(reference.sd[GENES[2]])
    unknown = Reference(TRAIN, np.where(LINEAGE == "Blood", "", LINEAGE)).moments({"": 10})[0]
    np.testing.assert_allclose(unknown, TRAIN.mean(), rtol=1e-5)


def test_without_known_lineages_nothing_is_another_platform() -> None:
    alone = Reference(TRAIN, np.full(len(TRAIN), ""))
    other = replace(BUNDLE, reference=alone)
    platform = choose_platform("auto", Batch.of([profiles(array(lines(40, 52)))]), [other], "p.csv")
    assert platform.method == "none"
    assert platform.told()["limit"] == {"radiation": None}


def test_ranks_of_a_reference_with_lines_without_expression() -> None:
    train = TRAIN.copy()
    train.iloc[:20] = np.nan
    for i, gene in enumerate(GENES):
        train.loc[20 + i % 100, gene] = np.nan
    holes = Reference(train, LINEAGE)
    values = array(lines(5, 53))
    for method in ("quantile", "rank"):
        back = choose(values, method).bring(values, holes)
        assert np.isfinite(back.to_numpy()).all()


def test_a_reference_comes_back_as_it_was_kept() -> None:
    back = Reference.of_arrays(REFERENCE.arrays())
    pd.testing.assert_frame_equal(back.values, REFERENCE.values)
    assert back.lineage.tolist() == LINEAGE.tolist()
    assert back.furthest == REFERENCE.furthest > 0.5
