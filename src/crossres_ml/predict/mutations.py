"""Mutations of new samples from a MAF or a wide table, coded as the models' training lines are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import ProfileError, preview
from crossres_ml.predict.names import Lookup
from crossres_ml.predict.sides import check_ids, choose_side
from crossres_ml.predict.tables import ID, Table, open_table
from crossres_ml.predict.units import bounds, takes_truth

GENE, SAMPLE, CLASS = "Hugo_Symbol", "Tumor_Sample_Barcode", "Variant_Classification"
BLOCKS = ("mutation", "variant", "driver", "hotspot")
BURDEN = "burden:mutated_genes"
# Names of GDC and of Oncotator. Damaging as CCLE calls it: truncating, splicing, start lost.
DAMAGING = frozenset(
    [
        "Frame_Shift_Del",
        "Frame_Shift_Ins",
        "Nonsense_Mutation",
        "Splice_Site",
        "Translation_Start_Site",
        "Start_Codon_Del",
        "Start_Codon_Ins",
        "Start_Codon_SNP",
        "De_novo_Start_OutOfFrame",
    ]
)
OTHER_CODING = frozenset(
    [
        "Missense_Mutation",
        "In_Frame_Del",
        "In_Frame_Ins",
        "Nonstop_Mutation",
        "Stop_Codon_Del",
        "Stop_Codon_Ins",
    ]
)
NOT_COUNTED = frozenset(
    [
        "Silent",
        "Intron",
        "3'UTR",
        "5'UTR",
        "3'Flank",
        "5'Flank",
        "IGR",
        "RNA",
        "lincRNA",
        "Splice_Region",
        "Targeted_Region",
        "De_novo_Start_InFrame",
    ]
)
# with fewer genes called in all samples together, it may be a panel: genes outside it were not looked at
WHOLE_EXOME_GENES = 1000
_TCGA = re.compile(r"TCGA-\w{2}-\w{4}-\d{2}")
_MISSING = -1


@dataclass(frozen=True)
class Mutations:
    """Mutations of samples.

    Attributes
    ----------
    ids : pandas.Index
        Samples that were sequenced.
    features : list of str
        ``block:name``.
    values : ndarray of float32
        ids x features; NaN where not known.
    report : dict
        JSON-ready.
    """

    ids: pd.Index
    features: list[str]
    values: np.ndarray
    report: dict[str, Any]

    def rows(self, ids: pd.Index) -> np.ndarray:
        """Values of samples, float32; NaN for a sample that was not sequenced."""
        at = self.ids.get_indexer(ids)
        out = self.values[np.where(at >= 0, at, 0)].astype(np.float32)
        out[at < 0] = np.nan
        return np.asarray(out)


def read_mutations(
    path: Path, features: pd.DataFrame, names: pd.DataFrame | None, profiles: pd.Index
) -> Mutations:
    """Read a MAF, or samples x genes of 0 and 1.

    Parameters
    ----------
    path : Path
        .maf, or any table of `open_table`; a MAF has the columns of GDC.
    features : pandas.DataFrame
        Index ``block:name``; block, unit, low, high.
    names : pandas.DataFrame or None
        As `crossres_ml.predict.names.gene_names` makes it.
    profiles : pandas.Index
        Ids of the samples that have a profile; only these are kept.

    Returns
    -------
    Mutations
        In a MAF a gene without a call is 0 in the samples that have any call; other samples are not
        known, and not wild type.

    Raises
    ------
    ProfileError
        If it cannot be read, or belongs to other samples.
    """
    table = open_table(path)
    columns = [table.corner, *table.top]
    has = [c for c in (GENE, SAMPLE, CLASS) if c in columns]
    if SAMPLE in has or len(has) > 1:
        if lacking := [c for c in (GENE, SAMPLE, CLASS) if c not in has]:
            raise ProfileError(
                f"a MAF without {preview(lacking)}", where=str(path), do="use the columns of GDC"
            )
        return _from_maf(table, features, names, profiles)
    return _from_wide(table, features, names, profiles)


def _match(given: Iterable[str], profiles: pd.Index, where: str) -> tuple[dict[str, list[str]], str]:
    """Ids of a file -> ids of profiles."""
    ids = list(given)
    exact = {i: [i] for i in ids if i in profiles}
    if exact:
        return exact, "same ids"
    short: dict[str, list[str]] = {}
    for profile in profiles:
        if match := _TCGA.match(profile):
            short.setdefault(match[0], []).append(profile)
    found = {i: short[m[0]] for i in ids if (m := _TCGA.match(i)) and m[0] in short}
    if not found:
        raise ProfileError(
            f"none of its {len(ids)} samples has a profile: {preview(ids, 4)}; "
            f"profiles: {preview(profiles, 4)}",
            where=where, do="use the same ids in both files",
        )  # fmt: skip
    return found, "sample part of TCGA barcodes"


def _compare(ids: list[str], matched: dict[str, list[str]], how: str, profiles: pd.Index) -> dict[str, Any]:
    measured = {p for found in matched.values() for p in found}
    return {
        "matched_by": how,
        "samples_with_profile": len(measured),
        "samples_without_profile": sorted(set(ids) - set(matched)),
        "profiles_not_measured": [p for p in profiles if p not in measured],
    }


def _maf_calls(table: Table, profiles: pd.Index) -> tuple[pd.DataFrame, dict[str, Any]]:
    columns = {GENE: "gene", SAMPLE: "sample", CLASS: "kind"}
    at = {c: table.top.index(c) for c in columns if c != table.corner}
    parts, start = [], 0
    for arrays in table.arrays(list(at.values())):
        part = pd.DataFrame({c: a.to_pandas().astype("str") for c, a in zip(at, arrays, strict=True)})
        part[table.corner] = table.left.iloc[start : start + len(part)].to_numpy()
        start += len(part)
        parts.append(part[list(columns)].set_axis(list(columns.values()), axis=1))
    calls = pd.concat(parts, ignore_index=True)
    calls = calls.apply(lambda c: c.str.strip().replace("", None))
    if n := int(calls[["sample", "kind"]].isna().any(axis=1).sum()):
        raise ProfileError(
            f"{n} rows without {SAMPLE} or {CLASS}", where=table.where, do="fill them, or drop the rows"
        )
    known = DAMAGING | OTHER_CODING | NOT_COUNTED
    kinds = calls.kind.value_counts()
    if not set(kinds.index) & known:
        raise ProfileError(
            f"no known {CLASS}: {preview(kinds.index)}", where=table.where,
            do=f"use the classes of GDC, such as {preview(sorted(OTHER_CODING), 3)}",
        )  # fmt: skip
    ids = list(dict.fromkeys(calls["sample"]))
    matched, how = _match(ids, profiles, table.where)
    report = {
        "format": "MAF",
        "calls": len(calls),
        "classes_not_counted": {k: int(n) for k, n in kinds.items() if k in NOT_COUNTED},
        "classes_unknown": {k: int(n) for k, n in kinds.items() if k not in known},
        "genes_called": int(calls.gene.nunique()),
        **_compare(ids, matched, how, profiles),
    }
    calls["model_id"] = calls["sample"].map(matched)
    return calls.dropna(subset="model_id").explode("model_id"), report


def _from_maf(
    table: Table, features: pd.DataFrame, names: pd.DataFrame | None, profiles: pd.Index
) -> Mutations:
    calls, report = _maf_calls(table, profiles)
    ids = pd.Index(profiles[profiles.isin(calls.model_id.unique())], name=ID)
    fill = [f for f in features.index if f.startswith(("mutation:", "variant:", "driver:"))]
    values = np.zeros((len(ids), len(fill)), dtype=np.float32)
    counted = calls[~calls.kind.isin(NOT_COUNTED)].dropna(subset="gene")
    level = np.where(counted.kind.isin(DAMAGING), 2, np.where(counted.kind.isin(OTHER_CODING), 1, _MISSING))
    genes, place = np.unique(counted.gene.to_numpy(dtype=str), return_inverse=True)
    rows = ids.get_indexer(pd.Index(counted.model_id))
    slots = {f: i for i, f in enumerate(fill)}
    mapped: set[str] = set()
    for block in ("mutation", "variant", "driver"):
        lookup = Lookup(features, names, block)
        found = [lookup.find(g, numbers=False)[0] for g in genes]
        column = np.array([slots.get(f or "", -1) for f in found], dtype=int)[place] if len(genes) else place
        mapped.update(g for g, f in zip(genes, found, strict=True) if f in slots)
        here = column >= 0
        coded = level if block == "driver" else np.minimum(level, 1)
        # a call of an unknown class leaves the gene open, unless another call decides
        order = np.argsort(coded[here], kind="stable")
        values[rows[here][order], column[here][order]] = coded[here][order]
    values[values == _MISSING] = np.nan
    whole = report["genes_called"] >= WHOLE_EXOME_GENES
    if BURDEN in features.index and whole:
        coding = counted[level > 0]
        burden = coding.groupby("model_id").gene.nunique().reindex(ids, fill_value=0)
        values = np.column_stack([values, np.log10(1 + burden.to_numpy())]).astype(np.float32)
        fill = [*fill, BURDEN]
    report |= _told(features, fill, [str(g) for g in genes if g not in mapped])
    if not whole:
        report["warning"] = (
            f"only {report['genes_called']} genes are called: if this is a panel, genes outside it count "
            "as not mutated; give a wide table with empty cells instead"
        )
    return Mutations(ids, fill, values, report)


def _told(features: pd.DataFrame, fill: list[str], unmapped: list[str]) -> dict[str, Any]:
    counts = pd.Series(fill, dtype=object).str.split(":").str[0].value_counts()
    open_ = [
        f for f in features.index if f.startswith((*(f"{b}:" for b in BLOCKS), BURDEN)) and f not in fill
    ]
    return {
        "features": {str(k): int(n) for k, n in counts.items()},
        "features_not_filled": open_,
        "genes_unmapped": unmapped,
    }


def _from_wide(
    table: Table, features: pd.DataFrame, names: pd.DataFrame | None, profiles: pd.Index
) -> Mutations:
    own = features[features.block.isin(BLOCKS)]
    side, found, because = choose_side(table, own, names, "auto", block="mutation")
    ids = check_ids(side, found, own)
    if twice := {f: n for f, n in found.doubled.items() if len(found.columns[f]) > 1}:
        told = preview(f"{f} as {preview(n)}" for f, n in twice.items())
        raise ProfileError(
            f"features given more than once: {told}", where=table.where, do="keep one column each"
        )
    fill = list(found.columns)
    limits = bounds(own.loc[fill], "log2_tpm")
    if not takes_truth(own.loc[fill]).all():
        raise ProfileError("mutations in a unit that is no state", where=table.where, do="train again")

    def convert(values: np.ndarray, which: np.ndarray, samples: slice) -> np.ndarray:
        limits.check(values, which, fill, ids[samples], table.where)
        return values.astype(np.float32)

    kept = ids.isin(profiles)
    if not kept.any():
        _match(ids, profiles, table.where)
    parts = [v[kept[s]] for s, v in side.blocks([p[0] for p in found.columns.values()], convert)]
    report = {
        "format": table.format,
        "orientation": because,
        **_compare(list(ids), {i: [i] for i in ids[kept]}, "same ids", profiles),
        **_told(features, fill, found.unmapped),
        "ambiguous": found.ambiguous,
    }
    return Mutations(ids[kept], fill, np.concatenate(parts), report)
