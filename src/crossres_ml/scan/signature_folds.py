"""One fold of the trial of signatures: which genes and lines there are, scores, fits, and random sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from crossres_ml.scan.signature_lists import Signature
from crossres_ml.scan.signature_models import Pool, calibrated, published_scores, ridge, standardise_by
from crossres_ml.scan.symbols import Symbols
from crossres_ml.splits import TEST, TRAIN

MEASURED_SHARE = 0.8
"""A signature is scored on lines that have this share of its genes."""
FEWEST = 60
"""Fewest such lines with a radiation response."""
WAYS = {"published": "as published", "refitted": "re-fitted"}
_AT_ONCE = 4_000_000
"""Values of random sets that are worked on at once."""
Split = tuple[int, str, np.ndarray, np.ndarray]
"""Repeat, fold, and which lines train and are held out."""
FoldResult = list[dict[str, np.ndarray]]
"""For each signature: score and expected response of held-out lines, and skill of it and its random sets."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A signature as far as it is measured.

    Attributes
    ----------
    signature : Signature
        Which.
    genes : numpy.ndarray
        Columns of the expression table.
    weights : numpy.ndarray
        Of these genes.
    lines : numpy.ndarray
        Bool over the irradiated lines: where it can be scored.
    why_not : str
        Why it is not scored; empty where it is.
    """

    signature: Signature
    genes: np.ndarray
    weights: np.ndarray
    lines: np.ndarray
    why_not: str


def measure_signatures(
    signatures: Sequence[Signature], rna: pd.DataFrame, hgnc: pd.DataFrame | None
) -> list[Measured]:
    """Find the genes of signatures, and the lines that have enough of them.

    Parameters
    ----------
    signatures : sequence of Signature
        The lists.
    rna : pandas.DataFrame
        Irradiated lines x genes, log2(TPM + 1), NaN where not measured.
    hgnc : pandas.DataFrame, optional
        Names of genes.

    Returns
    -------
    list of Measured
        In the same order. The share is of the genes as published: a gene that is measured nowhere is missing.
        Ranks within a sample need all genes.
    """
    symbols = Symbols(rna.columns, hgnc)
    known = np.isfinite(rna.to_numpy())
    out = []
    for signature in signatures:
        weights: dict[str, float] = {}
        for gene, weight in signature.weights.items():
            if (column := symbols.find(gene)) is not None:
                weights.setdefault(column, weight)
        genes = rna.columns.get_indexer(pd.Index(list(weights)))
        need = 1.0 if signature.rule == "ranks" else MEASURED_SHARE
        lines = known[:, genes].sum(axis=1) >= need * len(signature.weights) - 1e-9
        why = f"{lines.sum()} irradiated lines have {need:.0%} of its genes; {FEWEST} are needed"
        own = Measured(
            signature,
            genes,
            np.array(list(weights.values())),
            lines,
            "" if lines.sum() >= FEWEST else why,
        )
        out.append(own)
    return out


def random_sets(pool: Pool, genes: np.ndarray, sets: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random sets; none where there are not twice as many other genes as the set has."""
    if len(np.setdiff1d(pool.genes, genes)) < 2 * len(genes):
        return np.empty((0, len(genes)), dtype=np.int32)
    return pool.draw(genes, sets, rng)


def folds_of(splits: pd.DataFrame, lines: pd.Index) -> list[Split]:
    """Folds of ``cell_line_out``, as far as their lines are among these."""
    own = splits[(splits["mode"] == "cell_line_out") & splits.model_id.isin(lines)]
    out = []
    for (repeat, fold), part in own.groupby(["repeat", "fold"], observed=True, sort=True):
        train, test = (lines.isin(part.model_id[part.role == r]) for r in (TRAIN, TEST))
        if test.any() and train.sum() > FEWEST // 2:
            out.append((int(str(repeat)), str(fold), train, test))
    return out


def run_fold(
    split: Split, values: np.ndarray, y: np.ndarray, chosen: Sequence[tuple[Measured, np.ndarray]]
) -> FoldResult:
    """Score and re-fit signatures and their random sets on one fold."""
    _, _, train, test = split
    # what a fit gets to see of held-out responses is nothing, whatever the code after this line does
    seen = np.where(train, y, np.nan)
    z = standardise_by(values, train)
    with threadpool_limits(1):
        return [
            _skills(own, np.vstack([own.genes, drawn]), values, z, (seen, y), train, test)
            for own, drawn in chosen
        ]


def _skills(
    own: Measured, sets: np.ndarray, values: np.ndarray, z: np.ndarray, y: tuple[np.ndarray, np.ndarray],
    train: np.ndarray, test: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Skill of a signature (the first set) and of random sets; ``y``: what is learned from, and the truth."""
    seen, truth = y[0], y[1][test]
    scores, expected, refitted = [], [], []
    for part in np.array_split(sets, max(1, sets.size * len(values) // _AT_ONCE)):
        own_z = z.T[part].transpose(0, 2, 1)
        raw = values.T[part].transpose(0, 2, 1) if own.signature.rule == "ranks" else own_z
        score = published_scores(raw, own_z, own.weights, own.signature.rule)
        scores.append(score[:, test])
        expected.append(calibrated(score, seen, train)[:, test])
        refitted.append(ridge(np.ascontiguousarray(own_z), seen, train)[:, test])
    out: dict[str, np.ndarray] = {}
    for way, score_parts, expected_parts in (
        ("published", scores, expected),
        ("refitted", refitted, refitted),
    ):
        score, fitted = np.concatenate(score_parts), np.concatenate(expected_parts)
        out |= {f"score_{way}": score[0], f"expected_{way}": fitted[0]}
        out[f"spearman_{way}"] = _spearman(score, truth)
        out[f"r2_{way}"] = 1 - _squares(truth - fitted) / _squares(truth - truth.mean())
    return out


def _squares(values: np.ndarray) -> Any:
    return (values**2).sum(axis=-1)


def _spearman(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman of each row with a response; 0 where a row is constant, as in `crossres_ml.evaluation`."""
    a = rankdata(scores, axis=1)
    a = a - a.mean(axis=1, keepdims=True)
    b = rankdata(y) - (len(y) + 1) / 2
    length = np.sqrt(_squares(a) * _squares(b))
    return np.asarray(np.divide(a @ b, length, out=np.zeros(len(a)), where=length > 0))
