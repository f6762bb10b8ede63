"""Units of new profiles: recognised from the values, said, turned into the model's, held to its bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.names import Recognised
from crossres_ml.predict.sides import RowSamples, Side, as_sums

LOG2_TPM = "log2_tpm"
UNITS = ("auto", LOG2_TPM, "tpm", "counts")
# log2(TPM + 1) cannot be negative, and one million TPM is 19.9
HIGHEST = {LOG2_TPM: 20.0, "tpm": 1.01e6, "counts": 1e10}
_RANGES = 5.0  # sound held-out lines lie up to two training ranges beyond; other units lie much further
_LARGE_SUM = 1e5  # a sequenced library has at least that many reads in genes
_WHOLE_NUMBERS = 100  # so many whole numbers above zero are no logarithms
_MOST_GENES = 10_000
_MILLION = (0.5e6, 1.15e6)  # sums of TPM over most genes; panels without some classes of genes have less
_TOP_SHARE, _LEAST_TOP = 0.1, 20
_LN, _LOG10, _DOUBLE = 0.8, 0.5, 1.5
_STATES = {
    "0/1": (1.0, "expected 0 or 1"),
    "0 wild type, 1 non-damaging, 2 damaging": (2.0, "expected 0, 1 or 2"),
    "0 none, 1 mutated, 2 homozygous": (2.0, "expected 0, 1 or 2"),
}
_HINTS = {
    LOG2_TPM: "expected log2(TPM + 1); z-scores and log2 ratios do not fit, and TPM or counts need --unit",
    "tpm": "expected TPM, 0 to 1,000,000",
    "counts": "expected counts, 0 or more",
}

Sums = Callable[[], tuple[np.ndarray, int]]


def recognise_unit(head: np.ndarray, sums: Sums, where: str) -> tuple[str, str]:
    """Recognise the unit of expression from the first samples.

    Up to 20 everything is log2(TPM + 1), unless 100 numbers or more above zero are all whole. Above,
    whole numbers whose sum over all genes is at least 100,000 are counts, and numbers whose sum over
    all genes is near a million (or below, when fewer than 10,000 genes are there) are TPM.

    Parameters
    ----------
    head : ndarray of float
        First samples x genes of the model, NaN where missing.
    sums : callable
        Gives the sum over all genes of each of these samples, and the number of genes.
    where : str
        For messages.

    Returns
    -------
    unit : {"log2_tpm", "tpm", "counts"}
        The unit.
    because : str
        The numbers behind it.

    Raises
    ------
    ProfileError
        If the values leave it open.
    """
    known = head[np.isfinite(head)]
    if not known.size:
        return LOG2_TPM, "recognised: no value among the first samples"
    top, whole = float(known.max()), bool((known == np.rint(known)).all())
    above = int((known > 0).sum())
    if top <= HIGHEST[LOG2_TPM]:
        if whole and above >= _WHOLE_NUMBERS:
            raise _open(
                f"all {above} values above zero are whole numbers up to {top:g}: counts, or rounded", where
            )
        return LOG2_TPM, f"recognised: highest value {top:g}"
    total, genes = sums()
    if not genes:
        raise _open(f"highest value {top:g}, and no other gene to add up", where)
    middle = float(np.median(total))
    told = f"highest value {top:g}, median sum over {genes} genes {middle:.4g}"
    if whole:
        if middle >= _LARGE_SUM:
            return "counts", f"recognised: whole numbers, {told}"
        raise _open(f"whole numbers, too few for counts of a library: {told}", where)
    low = _MILLION[0] if genes >= _MOST_GENES else 0.0
    if low <= middle <= _MILLION[1]:
        return "tpm", f"recognised: {told}"
    raise _open(f"linear, but not TPM, which sum to a million, and no whole numbers: {told}", where)


def _open(what: str, where: str) -> ProfileError:
    return ProfileError(
        f"the unit of expression is not clear: {what}", where=where,
        do="say --unit log2_tpm, tpm or counts (FPKM times a million over the sample's sum is TPM)",
    )  # fmt: skip


def to_log2(values: np.ndarray, unit: str, sums: np.ndarray | None) -> np.ndarray:
    """Turn expression into log2(TPM + 1).

    Parameters
    ----------
    values : ndarray of float64
        Samples x genes.
    unit : {"log2_tpm", "tpm", "counts"}
        Unit of the values.
    sums : ndarray of float or None
        Sum over all genes of each sample; for counts.

    Returns
    -------
    ndarray of float64
        log2(TPM + 1); of counts log2(counts per million + 1), for lengths of genes are not known. A
        sample without a single count has no value.
    """
    if unit == LOG2_TPM:
        return values
    if unit == "counts":
        library = np.where(sums > 0, sums, np.nan) if sums is not None else np.nan
        values = values / np.asarray(library)[:, None] * 1e6
    return np.asarray(np.log2(np.ascontiguousarray(values) + 1))


@dataclass(frozen=True)
class Bounds:
    """Lowest and highest possible value of each feature, as it is given.

    Attributes
    ----------
    low, high : ndarray of float
        Bounds; infinite where there is none.
    whole : ndarray of bool
        Whether only whole numbers are possible.
    hint : list of str
        What was expected.
    """

    low: np.ndarray
    high: np.ndarray
    whole: np.ndarray
    hint: list[str]

    def check(
        self, values: np.ndarray, which: np.ndarray, names: Sequence[str], ids: pd.Index, where: str
    ) -> None:
        """Refuse impossible values.

        Parameters
        ----------
        values : ndarray of float
            Samples x features.
        which : ndarray of int
            Numbers of these features among the bounds.
        names : sequence of str
            Names of all features of the bounds, as they are to be told.
        ids : pandas.Index
            Samples.
        where : str
            For messages.

        Raises
        ------
        ProfileError
            Counts the columns and shows the first value of some.
        """
        bad = (values < self.low[which]) | (values > self.high[which])
        if (whole := self.whole[which]).any():
            part = values[:, whole]
            bad[:, whole] |= np.isfinite(part) & (part != np.rint(part))
        if not bad.any():
            return
        told: dict[str, list[str]] = {}
        for c in np.flatnonzero(bad.any(axis=0)):
            r = int(np.flatnonzero(bad[:, c])[0])
            f = int(which[c])
            told.setdefault(self.hint[f], []).append(f"{names[f]} = {values[r, c]:g} (sample {ids[r]})")
        parts = [f"{len(t)} columns, such as {', '.join(t[:3])}: {hint}" for hint, t in told.items()]
        raise ProfileError(
            "values outside what is possible: " + "; ".join(parts[:6]), where=where, do="convert them"
        )


def bounds(features: pd.DataFrame, unit: str) -> Bounds:
    """Set the bounds of features.

    Parameters
    ----------
    features : pandas.DataFrame
        unit, low, high (of the training lines) per feature.
    unit : str
        Unit in which expression is given.

    Returns
    -------
    Bounds
        Natural bounds where the unit has them; else five training ranges beyond the training range.
    """
    low, high = (features[c].to_numpy(dtype=float, copy=True) for c in ("low", "high"))
    low, high = low - _RANGES * (high - low), high + _RANGES * (high - low)
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    kinds = features.unit.to_numpy(dtype=object)
    hint = [
        f"training lines have {a:g} to {b:g}, in {u}"
        for a, b, u in zip(features.low.astype(float), features.high.astype(float), kinds, strict=True)
    ]
    whole = np.zeros(len(features), dtype=bool)
    for i, kind in enumerate(kinds):
        if kind == LOG2_TPM:
            low[i], high[i], hint[i] = 0.0, HIGHEST[unit], _HINTS[unit]
        elif kind in _STATES:
            low[i], high[i], whole[i] = 0.0, _STATES[kind][0], True
            hint[i] = _STATES[kind][1]
    return Bounds(low, high, whole, hint)


def takes_truth(features: pd.DataFrame) -> pd.Series:
    """Whether a feature may be given as true and false."""
    return features.unit.isin(list(_STATES))


def other_logarithm(head: np.ndarray, medians: np.ndarray) -> str | None:
    """Say when values look like another logarithm, or a multiple, of what the training lines have.

    The genes of the highest tenth by training median (20 at least) are compared: median of a sample
    over median of the training medians, and of that the median over samples. log10 is 0.30 of log2,
    ln 0.69; below 0.5 and 0.8 this is said, and above 1.5 too. It proves nothing.

    Parameters
    ----------
    head : ndarray of float
        First samples x genes, in log2(TPM + 1).
    medians : ndarray of float
        Training medians of the genes.

    Returns
    -------
    str or None
        A sentence with the numbers.
    """
    known = np.flatnonzero(np.isfinite(medians))
    count = int(len(known) * _TOP_SHARE)
    if count < _LEAST_TOP or not len(head):
        return None
    top = known[np.argsort(-medians[known], kind="stable")[:count]]
    expected = float(np.median(medians[top]))
    ratio = float((pd.DataFrame(head[:, top]).median(axis=1) / expected).median()) if expected > 0 else np.nan
    kind = "log10" if ratio < _LOG10 else "natural logarithms" if ratio < _LN else "a multiple"
    if not np.isfinite(ratio) or _LN <= ratio <= _DOUBLE:
        return None
    return (
        f"the {count} genes that are highest in the training lines have {ratio:.2f} of their value there: "
        f"perhaps {kind} of log2(TPM + 1), or another platform"
    )


def check_types(side: Side, found: Recognised, features: pd.DataFrame) -> None:
    """Refuse true and false where a measurement belongs.

    Parameters
    ----------
    side : Side
        The table.
    found : Recognised
        What its names mean.
    features : pandas.DataFrame
        unit per feature.

    Raises
    ------
    ProfileError
        Naming the columns.
    """
    allowed = takes_truth(features)
    rows = isinstance(side, RowSamples)
    bad = [
        side.names[p] for f, places in found.columns.items() for p in places
        if rows and not allowed[f] and side.table.is_truth(p)
    ]  # fmt: skip
    if bad:
        raise ProfileError(
            f"{len(bad)} columns hold true and false: {preview(bad)}",
            where=side.table.where,
            do="give numbers",
        )


def find_unit(
    side: Side, found: Recognised, features: pd.DataFrame, unit: str, report: dict[str, Any]
) -> tuple[str, np.ndarray | None]:
    """Find the unit of expression, and for counts the sum over all genes of each sample.

    Parameters
    ----------
    side : Side
        The table.
    found : Recognised
        What its names mean.
    features : pandas.DataFrame
        unit and median per feature.
    unit : str
        As told, or ``auto``.
    report : dict
        Gets unit, unit_because and warnings.

    Returns
    -------
    unit : str
        Unit of the values.
    sums : ndarray of float or None
        Sum of each sample.
    """
    units = features["unit"].to_dict()
    genes = [f for f in found.columns if units[f] == LOG2_TPM]
    if not genes:
        report |= {"unit": None, "unit_because": "no expression"}
        return LOG2_TPM, None
    where = side.table.where
    head = side.head([found.columns[f][0] for f in genes])

    def first_sums() -> tuple[np.ndarray, int]:
        total, count = side.sums(first=True)
        return as_sums(total), count

    because = "as told"
    if unit == "auto":
        unit, because = recognise_unit(head, first_sums, where)
    sums = None
    if unit == "counts":
        total, count = side.sums(first=False)
        sums = as_sums(total)
        because += (
            f"; turned into log2(CPM + 1) with the sum over {count} genes: lengths of genes are not known"
        )
    report |= {"unit": unit, "unit_because": because}
    medians = features["median"][genes].to_numpy(dtype=float)
    if unit == LOG2_TPM and (doubt := other_logarithm(head, medians)):
        report["warnings"].append(doubt)
    return unit, sums
