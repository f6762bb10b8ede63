"""Lines are known again by their expression, on another scale too, and others are not taken for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossres_ml.identity.likeness import ALIKE, GENES, LEAST_GENES, STUDY, Fingerprints, _correlations

LINES, WIDE = 120, 400


@pytest.fixture(scope="module")
def everyone() -> pd.DataFrame:
    """Lines of four tissues that differ in 30 programmes and in themselves; 40 of them are not known."""
    rng = np.random.default_rng(7)
    programmes = rng.normal(size=(30, WIDE))
    tissue = rng.normal(size=(4, 30))[rng.integers(0, 4, LINES + 40)]
    own = tissue + 0.3 * rng.normal(size=tissue.shape)
    spread = rng.uniform(0.5, 2, WIDE)
    x = 6 + spread * (0.15 * own @ programmes + 0.6 * rng.normal(size=(LINES + 40, WIDE)))
    ids = [f"ACH-{i:06d}" for i in range(LINES + 40)]
    return pd.DataFrame(np.clip(x, 0, None), ids, [f"G{i:03d}" for i in range(WIDE)]).astype(np.float32)


@pytest.fixture(scope="module")
def prints(everyone: pd.DataFrame) -> Fingerprints:
    found = Fingerprints.of(everyone.iloc[:LINES])
    assert found is not None
    return found


def again(known: pd.DataFrame, noise: float = 0.2) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return np.clip(known + rng.normal(0, noise, known.shape), 0, None)  # type: ignore[no-any-return]


def test_a_line_measured_again_is_found_and_another_is_not(
    everyone: pd.DataFrame, prints: Fingerprints
) -> None:
    twice = prints.nearest(again(everyone.iloc[:10]))  # too few for a scale of their own
    assert list(twice.model_id) == list(everyone.index[:10])
    assert (twice.likeness > 0.9).all()
    new = prints.nearest(everyone.iloc[LINES:])
    assert new.likeness.max() < 0.6 < ALIKE


def test_lines_of_one_tissue_are_more_alike_before_what_they_share_is_taken_out(
    everyone: pd.DataFrame, prints: Fingerprints
) -> None:
    z = (everyone - everyone.mean()) / everyone.std()
    plain = np.corrcoef(z.to_numpy())[LINES:, :LINES].max(axis=1)
    beyond = prints.nearest(everyone.iloc[LINES:]).likeness
    assert np.median(plain) > np.median(beyond) + 0.2


def test_another_platform_is_standardised_by_itself(everyone: pd.DataFrame, prints: Fingerprints) -> None:
    rng = np.random.default_rng(9)
    slope, shift = rng.uniform(0.3, 0.7, WIDE), rng.normal(3, 2, WIDE)
    study = again(everyone.iloc[: STUDY + 20]) * slope + shift
    found = prints.nearest(study)
    assert list(found.model_id) == list(study.index)
    assert (found.likeness > ALIKE).mean() > 0.9
    few = prints.nearest(study.iloc[: STUDY - 1])  # has no scale of its own yet
    assert (few.likeness > ALIKE).mean() < 0.1


def test_no_order_and_no_company_matters_where_the_reference_is_the_scale(
    everyone: pd.DataFrame, prints: Fingerprints
) -> None:
    some = again(everyone.iloc[:6])
    whole = prints.nearest(some)
    turned = prints.nearest(some.iloc[::-1, ::-1])
    pd.testing.assert_frame_equal(turned.loc[whole.index], whole)
    alone = pd.concat([prints.nearest(some.iloc[[i]]) for i in range(len(some))])
    pd.testing.assert_frame_equal(alone, whole)


def test_gaps_are_left_out_and_too_few_genes_are_told(everyone: pd.DataFrame, prints: Fingerprints) -> None:
    some = again(everyone.iloc[:6])
    holes = some.mask(np.random.default_rng(1).random(some.shape) < 0.3)
    assert list(prints.nearest(holes).model_id) == list(some.index)
    few = some[list(prints.genes[: LEAST_GENES - 1])]
    told = prints.nearest(few)
    assert told.likeness.isna().all()
    assert told.model_id.isna().all()
    assert prints.nearest(some.iloc[:0]).empty


def test_a_constant_profile_is_like_nobody(prints: Fingerprints) -> None:
    flat = pd.DataFrame(prints.mean[None], ["flat"], list(prints.genes))
    assert prints.nearest(flat).likeness.iloc[0] < ALIKE


def test_values_are_kept_to_a_thirtieth_of_a_standard_deviation(
    everyone: pd.DataFrame, prints: Fingerprints
) -> None:
    own = everyone.loc[list(prints.lines), list(prints.genes)]
    z = ((own - own.mean()) / own.std()).clip(-4, 4)
    assert len(prints.genes) == GENES
    assert prints.values.nbytes == LINES * GENES
    np.testing.assert_allclose(prints.values / 31, z, atol=0.5 / 31 + 1e-5)
    chosen = everyone.iloc[:LINES].std().nlargest(GENES).index
    assert set(prints.genes) == set(chosen)


def test_too_little_expression_gives_no_fingerprints(everyone: pd.DataFrame) -> None:
    assert Fingerprints.of(everyone.iloc[:LINES, : LEAST_GENES - 1]) is None
    assert Fingerprints.of(everyone.iloc[:29]) is None
    assert Fingerprints.of(everyone.iloc[:LINES] * np.nan) is None
    assert Fingerprints.of(pd.DataFrame(index=everyone.index)) is None
    seldom = everyone.iloc[:LINES].copy()
    seldom.iloc[60:, 50:] = np.nan  # half of the lines have them, no more
    seldom.iloc[59:, 150:] = np.nan
    found = Fingerprints.of(seldom)
    assert found is not None
    assert len(found.genes) == 150


def test_correlations_are_those_of_pandas_over_shared_genes() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(4, 300)), rng.normal(size=(5, 300)) + 2
    a[rng.random(a.shape) < 0.2] = np.nan
    b[rng.random(b.shape) < 0.3] = np.nan
    b[4, 50:] = np.nan  # shares too few
    found = _correlations(a, b)
    expected = pd.DataFrame(np.vstack([a, b]).T).corr().to_numpy()[:4, 4:]
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1e-12)
    assert (found[:, 4] == -1).all()
