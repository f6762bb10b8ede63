"""Scores of gene sets, of transcription factors and of chromosome arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossres_ml.cohort.context import Context
from crossres_ml.cohort.rna import all_expression

MIN_REFERENCE_LINES = 50
MIN_REFERENCE_SHARE = 0.8
MIN_TARGETS = 5
MIN_ARM_GENES = 10
# Parts of the names of Reactome's sets of DNA repair and of the response to damage.
REPAIR_WORDS = (
    "BASE_EXCISION", "DNA_DAMAGE", "DNA_REPAIR", "DOUBLE_STRAND_BREAK", "END_JOINING", "EXCISION_REPAIR",
    "FANCONI", "G2_M_CHECKPOINTS", "HDR_THROUGH", "HOMOLOGOUS", "HOMOLOGY_DIRECTED",
    "IN_RESPONSE_TO_REPLICATION_STRESS", "MISMATCH_REPAIR", "TRANSLESION",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class GeneSetScorer:
    """How expression becomes scores of gene sets: the same for the cohort and for new samples.

    Attributes
    ----------
    mean, spread : pandas.Series
        Gene -> log2_tpm of the lines without any response.
    net : pandas.DataFrame
        ``source``, ``target``, ``weight``: sets with at least five of these genes.
    """

    mean: pd.Series
    spread: pd.Series
    net: pd.DataFrame

    @property
    def genes(self) -> list[str]:
        """Genes that a sample must have, all of them."""
        return list(self.mean.index)

    def score(self, expression: pd.DataFrame) -> pd.DataFrame:
        """Score samples.

        Parameters
        ----------
        expression : pandas.DataFrame
            Samples x genes (at least ``genes``), log2_tpm.

        Returns
        -------
        pandas.DataFrame
            Samples x sets, t values; NaN for samples that lack a gene.
        """
        z = (expression[self.genes].astype(float) - self.mean) / self.spread
        whole = z.notna().all(axis=1)
        sets = sorted(self.net.source.unique())
        out = pd.DataFrame(np.nan, expression.index, sets)
        if whole.any():
            out.loc[whole] = _slope_t(z[whole], self.net)[sets]
        return out


def _slope_t(z: pd.DataFrame, net: pd.DataFrame) -> pd.DataFrame:
    """Score as `activities` does; a sample to be scored must not wait for that library's import."""
    net = net[net.target.isin(z.columns)]
    adjacent = net.pivot_table("weight", "target", "source").reindex(z.columns).fillna(0.0)
    x = adjacent.to_numpy(dtype=float)
    x = x - x.mean(axis=0)
    y = z.to_numpy(dtype=float)
    y = y - y.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (y @ x) / np.outer(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=0))
        t = r * np.sqrt((len(x) - 2) / ((1 - r) * (1 + r)))
    return pd.DataFrame(t, z.index, adjacent.columns)


def reference_z(context: Context) -> tuple[pd.DataFrame, pd.Series, pd.Series] | None:
    """Expression of the cohort's lines, standardised by lines that have no response at all.

    Mean and spread of a gene come from expression lines outside the cohort, so nothing is learned
    from a line that may be held out. Only genes that most of those lines have are used, and only
    lines that have all of them: a score would otherwise tell which panel measured the line.

    Parameters
    ----------
    context : Context
        Has RNA panels.

    Returns
    -------
    tuple or None
        Lines x genes, z units, nothing missing, with the mean and the spread of each gene; None when
        there are too few lines outside.
    """
    merged = all_expression(context)[0]
    reference = merged[~merged.index.isin(context.lines.index)]
    if len(reference) < MIN_REFERENCE_LINES:
        return None
    often = np.isfinite(reference.to_numpy()).mean(axis=0) >= MIN_REFERENCE_SHARE
    reference = reference.loc[:, often].astype(float)
    mean, spread = reference.mean(), reference.std()
    context.drop(
        "genes for scores",
        int((~often).sum()),
        f"measured in under {MIN_REFERENCE_SHARE:.0%} of the {len(reference)} lines without responses",
    )
    genes = reference.columns[spread > 0]
    context.drop(
        "genes for scores", reference.shape[1] - len(genes), "the same in all lines without responses"
    )
    own: pd.DataFrame = merged.loc[merged.index.isin(context.lines.index), genes].dropna().astype(float)
    z: pd.DataFrame = (own - mean[genes]) / spread[genes]
    return z, mean[genes], spread[genes]


def activities(z: pd.DataFrame, net: pd.DataFrame) -> pd.DataFrame:
    """Score sets of genes by decoupler's univariate linear model.

    Parameters
    ----------
    z : pandas.DataFrame
        Lines x genes, nothing missing.
    net : pandas.DataFrame
        ``source``, ``target``, ``weight``; a pair stands once.

    Returns
    -------
    pandas.DataFrame
        Lines x sources with at least five of their targets among the genes: t of the slope of a
        line's expression over the weights (0 for genes that are no target).
    """
    import decoupler  # takes seconds

    scores, _ = decoupler.mt.ulm(z, net, tmin=MIN_TARGETS)
    return pd.DataFrame(scores).reindex(z.index)


def _scored(context: Context, name: str, net: pd.DataFrame) -> pd.DataFrame | None:
    if "reference_z" not in context.kept:
        context.kept["reference_z"] = reference_z(context)
    found: tuple[pd.DataFrame, pd.Series, pd.Series] | None = context.kept["reference_z"]
    if found is None or found[0].empty:
        context.drop(f"block {name}", 1, f"under {MIN_REFERENCE_LINES} expression lines without responses")
        return None
    z, mean, spread = found
    size = net[net.target.isin(z.columns)].groupby("source").target.nunique()
    few = net.source.nunique() - int((size >= MIN_TARGETS).sum())
    context.drop(f"{name} sets", few, f"fewer than {MIN_TARGETS} of their genes measured")
    known = net[net.target.isin(z.columns) & net.source.isin(size.index[size >= MIN_TARGETS])]
    context.kept[f"{name}_scorer"] = GeneSetScorer(mean, spread, known.reset_index(drop=True))
    return activities(z, net)


def read_gene_sets(context: Context) -> tuple[pd.DataFrame | None, None]:
    """Hallmark sets, and Reactome's sets of DNA repair and the response to damage."""
    sets = context.tables["gene_sets"]
    reactome = sets.gene_set[sets.collection == "reactome"].unique()
    repair = [name for name in reactome if any(word in name for word in REPAIR_WORDS)]
    sets = sets[(sets.collection == "hallmark") | sets.gene_set.isin(repair)]
    net = sets[["gene_set", "gene"]].set_axis(["source", "target"], axis=1).assign(weight=1.0)
    return _scored(context, "gene_set", net.drop_duplicates()), None


def read_factors(context: Context) -> tuple[pd.DataFrame | None, None]:
    """Transcription factors by their CollecTRI targets, signed."""
    net = context.tables["collectri"].rename(columns={"mor": "weight"})[["source", "target", "weight"]]
    return _scored(context, "tf", net.drop_duplicates(["source", "target"])), None


def read_arms(context: Context) -> tuple[pd.DataFrame, None]:
    """Mean log2 ratio of the genes of each arm of chromosomes 1 to 22 and X."""
    ratio = context.by_model("copy_number")
    place = context.tables["hgnc"].set_index("symbol").chromosome.str.extract(r"^(\d+|X)([pq])")
    arm = (place[0] + place[1]).dropna().reindex(ratio.columns).dropna()
    size = arm.value_counts()
    arm = arm[arm.map(size) >= MIN_ARM_GENES]
    context.drop("genes for arms", ratio.shape[1] - len(arm), "place on a chromosome arm not known")
    # Line by line and gene by gene, so that the order of the rows changes no last digit.
    means = ratio[arm.sort_index().index].T.groupby(arm).mean().T
    return means.astype(np.float32), None
