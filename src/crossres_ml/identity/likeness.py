"""Lines recognised by their expression, also when measured again, under another name, or on another platform.

Lines of one tissue look alike: standardised gene by gene, two of them reach a correlation of 0.95, and that
is what one line reaches when it is measured twice. So what lines have in common is taken out first: the 20
leading directions of the reference lines. `ALIKE` was then chosen from the public data (300 genes):

- the same 288 lines in another release of the RNA-seq: 0.91 or more;
- the same 129 lines on an expression array (Affymetrix, RMA), standardised by the array's own lines: median
  0.86, above 0.7 in 95 % (in one tissue of 30 lines: in all), above 0.8 in 81 %; the nearest other line stays
  below 0.37;
- different lines of different patients, RNA-seq: the nearest of some 950 others is above 0.7 for 1.9 % of the
  lines, above 0.8 for none; one tissue's 99.9th percentile of pairs is 0.56. The pairs above 0.7 are
  fibroblasts, small round cell sarcomas, and leukaemias of one kind.

At 0.7 one sample in fifty is left out although it is new; a higher value would let training lines through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

ALIKE = 0.7
GENES, LEAST_GENES, LEAST_LINES = 300, 100, 30
COMMON = 20
STUDY = 20
"""Samples from which on a study is standardised by itself too: other platforms have other scales."""
_CLIP, _STEPS, _MISSING = 4.0, 31.0, -128  # 4 * 31 fits in a byte
_RIDGE = 1e-3
_LEAST_OF_A_GENE = 10


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Expression of reference lines, small enough to travel with a model.

    Attributes
    ----------
    lines : tuple of str
        model ids.
    genes : tuple of str
        Genes without a prefix.
    mean, spread : numpy.ndarray
        Shape (genes,): of the reference lines, log2(TPM + 1).
    values : numpy.ndarray
        Shape (lines, genes), int8: standardised values in steps of 1/31, cut off at 4; -128 where not
        measured.
    """

    lines: tuple[str, ...]
    genes: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, expression: pd.DataFrame) -> Fingerprints | None:
        """Take the fingerprints of reference lines.

        Parameters
        ----------
        expression : pandas.DataFrame
            Lines x genes, log2(TPM + 1); NaN where not measured.

        Returns
        -------
        Fingerprints or None
            Of the most variable genes that half of the lines have, and of the lines that have half of
            these; None if fewer than 100 genes or 30 lines are left.
        """
        measured = expression.notna()
        own = expression[measured.any(axis=1)]
        own = own.loc[:, own.notna().mean() >= 0.5] if len(own) else own.iloc[:, :0]
        varied = own.std().sort_values(ascending=False, kind="stable").iloc[:GENES]
        genes = sorted(varied.index[varied > 0])
        own = own.loc[own[genes].notna().sum(axis=1) >= max(LEAST_GENES, len(genes) / 2), genes]
        if len(genes) < LEAST_GENES or len(own) < LEAST_LINES:
            return None
        mean, spread = own.mean().to_numpy(dtype=np.float32), own.std().to_numpy(dtype=np.float32)
        z = (own.to_numpy(dtype=float) - mean) / spread
        steps = np.round(np.clip(z, -_CLIP, _CLIP) * _STEPS)
        values = np.where(np.isfinite(z), steps, _MISSING).astype(np.int8)
        return cls(tuple(map(str, own.index)), tuple(map(str, genes)), mean, spread, values)

    def nearest(self, expression: pd.DataFrame) -> pd.DataFrame:
        """Find for each sample the reference line that it is most like.

        Parameters
        ----------
        expression : pandas.DataFrame
            Samples x genes, any of `genes`, log2(TPM + 1) or another logarithmic unit.

        Returns
        -------
        pandas.DataFrame
            Index as given; ``model_id`` and ``likeness`` (correlation beyond what reference lines have in
            common; the higher one of standardising by the reference and, from 20 samples on, by the study
            itself); missing where fewer than 100 of the genes were measured.
        """
        places = [i for i, g in enumerate(self.genes) if g in expression]
        x = expression[[self.genes[i] for i in places]].to_numpy(dtype=float)
        best = np.full(len(x), np.nan)
        who = np.zeros(len(x), dtype=int)
        enough = np.isfinite(x).sum(axis=1) >= LEAST_GENES
        if enough.any():
            known = np.where(self.values == _MISSING, np.nan, self.values / _STEPS)[:, places]
            common = self._common()[places]
            reference = _beyond(known, common)
            for z in self._standardised(x[enough], places):
                r = _correlations(_beyond(np.clip(z, -_CLIP, _CLIP), common), reference)
                first = r.argmax(axis=1)
                value = r[np.arange(len(r)), first]
                higher = ~(value <= best[enough])
                best[enough] = np.where(higher, value, best[enough])
                who[enough] = np.where(higher, first, who[enough])
        names = np.array(self.lines, dtype=object)[who]
        found = pd.DataFrame({"model_id": names, "likeness": best}, expression.index)
        return found.assign(model_id=found.model_id.where(found.likeness.notna()))

    def _common(self) -> np.ndarray:
        """Directions in which the reference lines differ most, genes x directions."""
        z = np.where(self.values == _MISSING, 0.0, self.values / _STEPS)
        count = min(COMMON, len(self.lines) // 10, len(self.genes) // 10)
        return np.asarray(np.linalg.eigh(z.T @ z)[1][:, ::-1][:, :count])

    def _standardised(self, x: np.ndarray, places: list[int]) -> Iterator[np.ndarray]:
        yield (x - self.mean[places]) / self.spread[places]
        if len(x) >= STUDY:
            seen = np.isfinite(x)
            n = seen.sum(axis=0)
            filled = np.where(seen, x, 0.0)
            mean = filled.sum(axis=0) / np.maximum(n, 1)
            squares = (np.where(seen, x - mean, 0.0) ** 2).sum(axis=0)
            spread = np.sqrt(squares / np.maximum(n - 1, 1))
            good = (n >= _LEAST_OF_A_GENE) & (spread > 0)
            yield np.where(good, (x - mean) / np.where(good, spread, 1.0), np.nan)


def _beyond(z: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Take common directions out of each row, by its measured genes."""
    out = np.full(z.shape, np.nan)
    small = _RIDGE * np.eye(common.shape[1])
    for i, row in enumerate(z):
        seen = np.isfinite(row)
        if seen.sum() >= LEAST_GENES:
            own = common[seen]
            out[i, seen] = row[seen] - own @ np.linalg.solve(own.T @ own + small, own.T @ row[seen])
    return out


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of rows over the genes that both have; -1 where these are too few or constant."""
    seen_a, seen_b = np.isfinite(a).astype(float), np.isfinite(b).astype(float)
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    n = seen_a @ seen_b.T
    at = np.maximum(n, 1)
    sum_a, sum_b = a @ seen_b.T, seen_a @ b.T
    within_a, within_b = (a**2) @ seen_b.T - sum_a**2 / at, seen_a @ (b**2).T - sum_b**2 / at
    size = np.sqrt(np.maximum(within_a, 0)) * np.sqrt(np.maximum(within_b, 0))
    good = (n >= LEAST_GENES) & (size > 1e-9)
    return np.where(good, (a @ b.T - sum_a * sum_b / at) / np.where(good, size, 1.0), -1.0)
