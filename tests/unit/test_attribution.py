"""Ranks, percentiles and signs against a plain computation on all held-out lines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy import stats

from crossres_ml.audit.attribution import named_genes, rank_features

FEATURES = ["rna:UP", "rna:DOWN", "rna:TWIN_A", "rna:TWIN_B", "rna:NONE", "rna:ONE_FOLD", "rna:GAPS"]
N, FOLDS = 40, 4


def made() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return values, SHAP values (NaN: not offered in that fold), and the contributions made of them."""
    rng = np.random.default_rng(3)
    ids = pd.Index([f"ACH-{i:06d}" for i in range(N)])
    X = pd.DataFrame(rng.normal(size=(N, len(FEATURES))), ids, FEATURES)
    X.loc[ids[:15], "rna:GAPS"] = np.nan
    shap = pd.DataFrame(0.0, ids, FEATURES)
    shap["rna:UP"] = 0.5 * X["rna:UP"]
    shap["rna:DOWN"] = -0.8 * X["rna:DOWN"]
    shap["rna:TWIN_A"] = shap["rna:TWIN_B"] = 0.1 * X["rna:TWIN_A"]
    shap["rna:ONE_FOLD"] = np.where(np.arange(N) < N // FOLDS, 0.6 * X["rna:ONE_FOLD"], np.nan)
    shap["rna:GAPS"] = np.where(X["rna:GAPS"].notna(), 0.3 * X["rna:GAPS"], 0.01)
    parts = []
    for fold, lines in enumerate(np.array_split(ids, FOLDS)):
        for name in FEATURES:
            x, s = X.loc[lines, name], shap.loc[lines, name]
            if s.isna().any():
                continue
            seen = x.notna()
            product = ((x - x[seen].mean()) * (s - s[seen].mean()))[seen].sum()
            parts.append((0, str(fold), name, s.abs().sum(), product, len(lines)))
    columns = ["repeat", "fold", "feature", "sum_abs_shap", "covariance", "lines"]
    return X, shap, pd.DataFrame(parts, columns=columns)


X, SHAP, CONTRIBUTIONS = made()
RANKS = rank_features(CONTRIBUTIONS, X, X.index)


def test_importance_is_the_mean_over_all_held_out_lines() -> None:
    expected = SHAP.fillna(0).abs().mean()
    pdt.assert_series_equal(
        RANKS.mean_abs_shap.sort_index(), expected.sort_index(), check_names=False, rtol=1e-12
    )


def test_ranks_are_those_of_scipy_and_ties_share() -> None:
    expected = pd.Series(stats.rankdata(-SHAP.fillna(0).abs().mean()), FEATURES)
    assert RANKS["rank"].to_dict() == expected.to_dict()
    assert RANKS["rank"]["rna:TWIN_A"] == RANKS["rank"]["rna:TWIN_B"]
    assert RANKS["rank"].idxmin() == "rna:DOWN"
    assert RANKS.percentile["rna:DOWN"] == 100
    assert RANKS.percentile["rna:NONE"] == 0
    assert (RANKS.of == len(FEATURES)).all()


def test_signs() -> None:
    assert RANKS.sign.to_dict() == {
        "rna:UP": 1, "rna:DOWN": -1, "rna:TWIN_A": 1, "rna:TWIN_B": RANKS.sign["rna:TWIN_B"],
        "rna:NONE": 0, "rna:ONE_FOLD": 1, "rna:GAPS": 1,
    }  # fmt: skip
    turned = CONTRIBUTIONS.assign(covariance=-CONTRIBUTIONS.covariance)
    assert (rank_features(turned, X, X.index).sign == -RANKS.sign).all()


def test_measured_lines_are_counted() -> None:
    assert RANKS.n["rna:GAPS"] == N - 15
    assert rank_features(CONTRIBUTIONS, X, X.index[:20]).n.to_dict() == X.iloc[:20].notna().sum().to_dict()


def test_order_of_rows_does_not_matter() -> None:
    shuffled = CONTRIBUTIONS.sample(frac=1, random_state=1)
    other = rank_features(shuffled, X, X.index).loc[RANKS.index]
    pdt.assert_frame_equal(other, RANKS, rtol=1e-12)


def test_repeats_are_averaged() -> None:
    twice = pd.concat([CONTRIBUTIONS, CONTRIBUTIONS.assign(repeat=1)])
    averaged = [c for c in RANKS if c not in ("rank_low", "rank_high")]  # twice the sets, other percentiles
    pdt.assert_frame_equal(rank_features(twice, X, X.index)[averaged], RANKS[averaged])


def test_one_feature_alone() -> None:
    one = CONTRIBUTIONS[CONTRIBUTIONS.feature == "rna:UP"]
    row = rank_features(one, X, X.index).loc["rna:UP"]
    assert (row["rank"], row["of"], row["percentile"]) == (1, 1, 100)


def test_headline_is_the_first_measurement_with_enough_lines() -> None:
    genes = {"A": ["rna:ABSENT", "rna:GAPS", "rna:UP"], "B": ["rna:GAPS"], "C": ["rna:ABSENT"]}
    headline, table = named_genes(RANKS, genes, min_lines=30)
    assert headline["A"]["measurement"] == "rna:UP"  # GAPS has 25 lines
    assert headline["A"]["rank"] == RANKS["rank"]["rna:UP"]
    assert headline["B"]["measurement"] == "rna:GAPS"  # the only one there is
    assert headline["B"]["n"] == N - 15
    assert headline["C"]["rank"] is None
    assert headline["C"]["n"] == 0
    assert set(headline["C"]) == set(headline["A"])
    assert list(zip(table.gene, table.measurement, strict=True)) == [
        ("A", "rna:GAPS"), ("A", "rna:UP"), ("B", "rna:GAPS"),
    ]  # fmt: skip


@pytest.mark.parametrize("gene", ["A", "B"])
def test_headline_is_plain_numbers(gene: str) -> None:
    headline, _ = named_genes(RANKS, {"A": ["rna:UP"], "B": ["rna:NONE"]}, min_lines=1)
    kinds = {k: type(v) for k, v in headline[gene].items()}
    assert kinds == {
        "rank": float, "of": int, "percentile": float, "sign": int, "measurement": str, "n": int,
        "p": type(None),
    }  # fmt: skip


def test_range_of_ranks_over_held_out_sets() -> None:
    sets = CONTRIBUTIONS.pivot_table("sum_abs_shap", "feature", "fold").reindex(FEATURES)
    ranks = sets.fillna(0).apply(lambda s: stats.rankdata(-s))
    for feature in FEATURES:
        low, high = np.percentile(ranks.loc[feature], [5, 95])
        assert RANKS.loc[feature, ["rank_low", "rank_high"]].tolist() == pytest.approx([low, high])
    assert (RANKS.rank_low <= RANKS.rank_high).all()
    assert RANKS.rank_high["rna:ONE_FOLD"] > RANKS.rank_low["rna:ONE_FOLD"]
