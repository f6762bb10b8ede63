"""Published signatures of radiation response and hypoxia, as far as the public files list them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from crossres_ml.models.baselines import RSI

Rule = Literal["ranks", "weights", "signs", "equal"]
RULES: Mapping[Rule, str] = {
    "ranks": "published weights of the ranks among the genes of a sample",
    "weights": "published weights of z",
    "signs": "published signs of z",
    "equal": "mean z",
}
SIGNATURE_TABLES = ("radiation_signatures", "gene_sets", "collectri", "hgnc")
RADIATION, HYPOXIA, OTHER = "radiation response", "hypoxia", "other"
_NCI60 = "derived in NCI-60 lines, some of which are among the scored lines or related to them"
# Name in the public files -> name here, and whether a high score is said to mean resistance (1) or nothing
# is said (0). Lists that are not here keep their name.
_KNOWN: Mapping[str, tuple[str, int, str]] = {
    "Weichselbaum_2008": ("IRDS (Weichselbaum 2008)", 1, ""),
    "HanSang_2012": ("Kim 2012, 31 genes", 0, _NCI60),
    "kim2012": ("Kim 2012, 31 genes", 0, _NCI60),
    "amundson2008": ("Amundson 2008 (RadSigBench)", 0, _NCI60),
    "Amundson_2008": ("Amundson 2008 (RadiationGeneSigDB)", 0, _NCI60),
    "tewari": ("Tewari 2009", 0, ""),
    "zhang2014": ("Zhang 2014", 0, _NCI60),
    "Abazeed_2013": (
        "Abazeed 2013",
        0,
        "may rest on the radiation assay of these very lines: not independent of the response",
    ),
    "Buffa_2010": ("Buffa 2010", 1, ""),
    "Winter_2007": ("Winter 2007", 1, ""),
    "Toustrup_2011": ("Toustrup 2011", 1, ""),
    "Eustace_2013": ("Eustace 2013", 1, ""),
    "Ragnum_2015": ("Ragnum 2015", 1, ""),
    "Fieldbo_2016": ("Fjeldbo 2016", 1, ""),
    "Lendahl_2009": ("Lendahl 2009", 1, ""),
    "Sorensen_2010": ("Sorensen 2010", 1, ""),
    "CatherineWest_2017_Bladded": ("West 2017, bladder", 1, ""),
    "CatherineWest_2018_PrCa": ("West 2018, prostate", 1, ""),
}
_FROM_SETS = {
    "HALLMARK_HYPOXIA": ("hallmark hypoxia", HYPOXIA),
    "REACTOME_NFE2L2_REGULATING_ANTI_OXIDANT_DETOXIFICATION_ENZYMES": ("NRF2 targets, Reactome", OTHER),
}
_REGULON = "NFE2L2"


@dataclass(frozen=True)
class Signature:
    """A published list of genes.

    Attributes
    ----------
    name : str
        What it is called.
    weights : mapping of str to float
        Gene as published -> its weight; 1 where the public file gives none.
    rule : str
        One of `RULES`: how a score is made of it.
    kind : str
        ``radiation response``, ``hypoxia`` or ``other``.
    expected : int
        1 where a high score is said to mean resistance, 0 where nothing is said of it.
    listed : tuple of str
        Where the public files list it.
    note : str
        What speaks against taking its result at face value.
    """

    name: str
    weights: Mapping[str, float]
    rule: Rule
    kind: str
    expected: int
    listed: tuple[str, ...] = field(default=())
    note: str = ""


def published_signatures(tables: Mapping[str, pd.DataFrame]) -> list[Signature]:
    """List the signatures of the public files; lists of the same genes are one.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        `SIGNATURE_TABLES`, as far as they are there.

    Returns
    -------
    list of Signature
        The radiosensitivity index first, then those of radiation response, of hypoxia, and targets of NRF2.
    """
    out = [
        Signature("RSI (Eschrich 2009)", RSI, "ranks", RADIATION, 1, ("TorresRoca_2005",), _NCI60),
        *_of_workbooks(tables.get("radiation_signatures")),
        *_of_sets(tables.get("gene_sets")),
    ]
    if "collectri" in tables:
        own = tables["collectri"]
        own = own[own.source == _REGULON]
        weights = dict(zip(own.target.astype(str), own.mor.astype(float), strict=True))
        out.append(Signature("NRF2 targets, CollecTRI", weights, "signs", OTHER, 1, ("collectri",)))
    order = {RADIATION: 0, HYPOXIA: 1, OTHER: 2}
    return sorted((s for s in out if s.weights), key=lambda s: order[s.kind])


def _of_workbooks(table: pd.DataFrame | None) -> list[Signature]:
    found: dict[frozenset[str], Signature] = {}
    if table is None:
        return []
    for (collection, listed), rows in table.groupby(["collection", "signature"], sort=True):
        if listed == "TorresRoca_2005":  # the index itself, with two genes under loose names
            continue
        name, expected, note = _KNOWN.get(str(listed), (str(listed).replace("_", " "), 0, ""))
        kind = HYPOXIA if collection == "hypoxic" else RADIATION
        weights, rule = _weights(rows)
        # a direction in the file says how a gene changes, not what it does to survival
        own = Signature(name, weights, rule, kind, expected, (str(listed),), note)
        genes = frozenset(weights)
        if genes in found:
            first = found[genes]
            own = Signature(
                first.name,
                first.weights,
                first.rule,
                kind,
                first.expected,
                (*first.listed, str(listed)),
                note,
            )
        found[genes] = own
    return list(found.values())


def _weights(rows: pd.DataFrame) -> tuple[dict[str, float], Rule]:
    for column, rule in (("weight", "weights"), ("direction", "signs")):
        if rows[column].notna().all():
            return dict(zip(rows.gene.astype(str), rows[column].astype(float), strict=True)), rule  # type: ignore[return-value]
    return dict.fromkeys(rows.gene.astype(str), 1.0), "equal"


def _of_sets(table: pd.DataFrame | None) -> list[Signature]:
    if table is None:
        return []
    out = []
    for listed, (name, kind) in _FROM_SETS.items():
        genes = table.gene[table.gene_set == listed].astype(str)
        out.append(Signature(name, dict.fromkeys(genes, 1.0), "equal", kind, 1, (listed,)))
    return out
