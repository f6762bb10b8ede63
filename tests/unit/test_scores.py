"""Scores of gene sets, factors and arms by hand, and that nothing in them is learned from the cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy import stats

from crossres_ml.cohort.blocks import build_blocks
from crossres_ml.cohort.context import Context
from crossres_ml.cohort.scores import activities, read_arms, read_factors, read_gene_sets, reference_z
from crossres_ml.identity.aliases import build_aliases

RNG = np.random.default_rng(12)
INSIDE = [f"ACH-{i:06d}" for i in range(20)]
OUTSIDE = [f"ACH-{i:06d}" for i in range(500, 580)]
GENES = [f"G{i:02d}" for i in range(60)]


def expression() -> pd.DataFrame:
    ids = pd.Index([*INSIDE, *OUTSIDE], name="model_id")
    return pd.DataFrame(RNG.normal(5, 2, (100, 60)).astype(np.float32), ids, GENES)


def context(**tables: pd.DataFrame) -> Context:
    models = pd.DataFrame(
        {
            "model_id": INSIDE, "cell_line_name": INSIDE, "stripped_name": "", "ccle_name": "",
            "cosmic_id": 0, "sanger_model_id": "",
        }
    )  # fmt: skip
    none = pd.DataFrame(columns=["alias", "model_id", "reason"], dtype=str)
    lines = pd.DataFrame({"lineage": "Lung", "subtype": "Unknown"}, pd.Index(INSIDE, name="model_id"))
    return Context({"depmap_models": models, **tables}, build_aliases({"depmap_models": models}, none), lines)


def reference(made: Context) -> pd.DataFrame:
    found = reference_z(made)
    assert found is not None
    return found[0]


def by_hand(y: np.ndarray, weight: np.ndarray) -> float:
    """T of the slope of y over the weights."""
    fit = stats.linregress(weight, y)
    return float(fit.slope / fit.stderr)


def test_activities_are_the_slopes_of_plain_regressions() -> None:
    z = pd.DataFrame(RNG.normal(size=(6, 60)), INSIDE[:6], GENES)
    net = pd.DataFrame(
        [("UP", g, 1.0) for g in GENES[:9]]
        + [("MIXED", g, w) for g, w in zip(GENES[5:15], [1.0, -1.0] * 5, strict=True)]
        + [("SMALL", g, 1.0) for g in GENES[:4]],
        columns=["source", "target", "weight"],
    )
    got = activities(z, net)
    assert sorted(got) == ["MIXED", "UP"]
    for name in got:
        own = net[net.source == name].set_index("target").weight.reindex(GENES, fill_value=0.0)
        for line in z.index:
            assert got.loc[line, name] == pytest.approx(by_hand(z.loc[line].to_numpy(), own.to_numpy()))
    shuffled = activities(z, net.sample(frac=1, random_state=2))
    pdt.assert_frame_equal(shuffled[got.columns], got, check_exact=True)


def test_standardised_by_lines_outside_the_cohort_alone() -> None:
    panel = expression()
    z = reference(context(rna_535=panel))
    outside = panel.loc[OUTSIDE].astype(float)
    expected = (panel.loc[INSIDE].astype(float) - outside.mean()) / outside.std()
    pdt.assert_frame_equal(z, expected, check_names=False)
    poisoned = panel.copy()
    poisoned.loc[INSIDE[1:]] = 1000
    again = reference(context(rna_535=poisoned))
    pdt.assert_series_equal(again.loc[INSIDE[0]], z.loc[INSIDE[0]])


def test_genes_of_few_reference_lines_are_left_out_and_said() -> None:
    panel = expression()
    panel.loc[OUTSIDE[:20], "G07"] = np.nan  # measured in 75 %
    panel.loc[OUTSIDE[:16], "G08"] = np.nan  # in 80 %
    panel["G09"] = np.float32(3)
    panel.loc[INSIDE[4], "G10"] = np.nan
    made = context(rna_535=panel)
    z = reference(made)
    assert [g for g in GENES if g not in z] == ["G07", "G09"]
    assert list(z.index) == [i for i in INSIDE if i != INSIDE[4]]
    assert made.dropped == [
        ("genes for scores", 1, "measured in under 80% of the 80 lines without responses"),
        ("genes for scores", 1, "the same in all lines without responses"),
    ]


def test_without_lines_outside_there_are_no_scores() -> None:
    sets = pd.DataFrame({"collection": "hallmark", "gene_set": "HALLMARK_A", "gene": GENES[:9]})
    made = context(rna_535=expression().loc[[*INSIDE, *OUTSIDE[:49]]], gene_sets=sets)
    blocks, _ = build_blocks(made)
    assert "gene_set" not in blocks
    assert ("block gene_set", 1, "under 50 expression lines without responses") in made.dropped


def sets_table() -> pd.DataFrame:
    sets = {
        ("hallmark", "HALLMARK_A"): GENES[:8],
        ("reactome", "REACTOME_DNA_REPAIR"): GENES[8:14],
        ("reactome", "REACTOME_MUSCLE_CONTRACTION"): GENES[:30],
        ("kegg", "KEGG_MISMATCH_REPAIR"): GENES[:30],
        ("hallmark", "HALLMARK_FOREIGN"): ["X1", "X2", "X3", "X4", "X5", "X6"],
    }
    rows = [(c, s, g) for (c, s), genes in sets.items() for g in genes]
    return pd.DataFrame(rows, columns=["collection", "gene_set", "gene"])


def test_hallmark_and_repair_sets_alone() -> None:
    made = context(rna_535=expression(), gene_sets=sets_table())
    values, provenance = read_gene_sets(made)
    assert provenance is None
    assert values is not None
    assert sorted(values) == ["HALLMARK_A", "REACTOME_DNA_REPAIR"]
    assert ("gene_set sets", 1, "fewer than 5 of their genes measured") in made.dropped
    z = reference(context(rna_535=made.tables["rna_535"]))
    member = np.isin(GENES, GENES[8:14]).astype(float)
    for line in INSIDE:
        expected = by_hand(z.loc[line].to_numpy(), member)
        assert values.loc[line, "REACTOME_DNA_REPAIR"] == pytest.approx(expected)


def test_new_samples_are_scored_as_the_cohort_was() -> None:
    panel = expression()
    made = context(rna_535=panel, gene_sets=sets_table())
    values, _ = read_gene_sets(made)
    assert values is not None
    scorer = made.kept["gene_set_scorer"]
    samples = panel.loc[INSIDE[:5]].rename(index=str.lower).assign(FOREIGN=1.0)
    samples.iloc[1, 3] = np.nan
    scores = scorer.score(samples)
    assert scores.iloc[1].isna().all()
    whole = [0, 2, 3, 4]
    np.testing.assert_allclose(scores.iloc[whole], values.iloc[whole][list(scores)])
    alone = scorer.score(samples.iloc[[2]])  # one sample is scored as among others
    np.testing.assert_allclose(alone, scores.iloc[[2]])
    assert scorer.score(samples.iloc[[1]]).isna().all(axis=None)


def test_factors_keep_the_sign_of_their_targets() -> None:
    panel = expression()
    net = pd.DataFrame({"source": "F", "target": GENES[:8], "mor": [1.0] * 4 + [-1.0] * 4})
    panel.loc[INSIDE[0], GENES[:4]], panel.loc[INSIDE[0], GENES[4:8]] = 12, -2
    panel.loc[INSIDE[1], GENES[:4]], panel.loc[INSIDE[1], GENES[4:8]] = -2, 12
    values, _ = read_factors(context(rna_535=panel, collectri=pd.concat([net, net])))
    assert values is not None
    assert values.F[INSIDE[0]] > 3
    assert values.F[INSIDE[1]] < -3


def test_scores_are_made_once_from_one_standardisation() -> None:
    net = pd.DataFrame({"source": "F", "target": GENES[:8], "mor": 1.0})
    made = context(rna_535=expression(), collectri=net, gene_sets=sets_table())
    blocks, features = build_blocks(made)
    assert {"gene_set", "tf"} <= set(blocks)
    assert [d[0] for d in made.dropped].count("genes for scores") <= 1
    assert features.provenance["tf:F"] == "rna_535, collectri"
    assert features.unit["tf:F"] == "t value"


def test_arms_are_means_of_their_genes() -> None:
    genes = [f"P{i}" for i in range(12)] + [f"Q{i}" for i in range(10)] + ["M", "N", "Y1"]
    places = ["17p13.1"] * 12 + ["Xq21"] * 10 + ["mitochondria", "17", "Yp11.2"]
    hgnc = pd.DataFrame({"symbol": genes, "chromosome": places})
    ratio = pd.DataFrame(
        RNG.normal(size=(20, 25)).astype(np.float32), pd.Index(INSIDE, name="model_id"), genes
    )
    ratio["UNKNOWN"] = np.float32(5)
    ratio.iloc[2, :12] = np.nan
    ratio.iloc[3, :6] = np.nan
    made = context(copy_number=ratio, hgnc=hgnc)
    arms, _ = read_arms(made)
    assert sorted(arms) == ["17p", "Xq"]
    expected = [np.nan if i == 2 else np.nanmean(ratio.iloc[i, :12]) for i in range(20)]
    np.testing.assert_allclose(arms["17p"], expected, rtol=1e-5)
    np.testing.assert_allclose(arms.Xq, ratio.iloc[:, 12:22].mean(axis=1), rtol=1e-5)
    assert made.dropped == [("genes for arms", 4, "place on a chromosome arm not known")]


def test_arms_need_places() -> None:
    ratio = pd.DataFrame({"A": np.float32(1)}, pd.Index(INSIDE, name="model_id"))
    made = context(copy_number=ratio)
    blocks, _ = build_blocks(made)
    assert "copy_number" in blocks
    assert ("block cn_arm", 1, "no table hgnc") in made.dropped
