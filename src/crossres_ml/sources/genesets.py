"""Gene names (HGNC), gene sets (MSigDB), regulons (CollecTRI, PROGENy) and radiation signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from crossres_ml.sources.reading import pick, read_text, to_numbers
from crossres_ml.sources.schema import Table, integer, long_schema, number, text

_HGNC = {
    "Approved symbol": "symbol",
    "Approved name": "name",
    "Previous symbols": "previous_symbols",
    "Synonyms": "synonyms",
    "Chromosome": "chromosome",
    "Accession numbers": "accession",
    "RefSeq IDs": "refseq",
    "Ensembl gene ID": "ensembl",
    "NCBI Gene ID": "entrez",
}
_COLLECTIONS = {f"msigdb_{c}": c for c in ("hallmark", "reactome", "kegg", "oncogenic")}
_WORKBOOKS = {"radiation_signatures_oxic": "oxic", "radiation_signatures_hypoxic": "hypoxic"}
_LISTS = {f"radsigbench_{s}": s for s in ("kim2012", "tewari", "zhang2014", "amundson2008")}
_SHEET = {"Gene": "gene", "Direction": "direction", "Weight": "weight", "EntId": "entrez", "GeneName": "name"}


def _hgnc(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Approved symbols; lists inside a cell are joined by a comma and a blank."""
    path = paths["hgnc_symbols"]
    table = to_numbers(pick(read_text(path, missing=("",), sep="\t"), _HGNC, path), ["entrez"], path)
    return table.assign(entrez=table.entrez.astype("Int64"))


def _gene_sets(paths: Mapping[str, Path]) -> pd.DataFrame:
    rows = []
    for source, collection in _COLLECTIONS.items():
        if source in paths:
            sets = json.loads(paths[source].read_text(encoding="utf-8"))
            rows += [(collection, name, gene) for name, genes in sets.items() for gene in genes]
    return pd.DataFrame(rows, columns=["collection", "gene_set", "gene"])


def _collectri(paths: Mapping[str, Path]) -> pd.DataFrame:
    path = paths["collectri"]
    return to_numbers(pick(read_text(path), {c: c for c in ("source", "target", "mor")}, path), ["mor"], path)


def _progeny_model(paths: Mapping[str, Path]) -> pd.DataFrame:
    path = paths["progeny_model"]
    names = {"source": "pathway", "target": "gene", "weight": "weight", "p_value": "p_value"}
    return to_numbers(pick(read_text(path), names, path), ["weight", "p_value"], path)


def _sheet(table: pd.DataFrame, collection: str, signature: str) -> pd.DataFrame:
    """One signature of a workbook.

    Blanks inside a symbol (``LOC64645 0``) come from copying the paper's pages and are removed. Rows
    without a symbol and symbols listed twice (several probes) add no gene and are left out.
    """
    out = table.rename(columns=_SHEET).reindex(columns=list(_SHEET.values()))
    out["gene"] = out.gene.str.replace(r"\s+", "", regex=True)
    out = out[out.gene.notna() & (out.gene != "")].drop_duplicates("gene")
    out.insert(0, "collection", collection)
    out.insert(1, "signature", signature)
    return out


def _radiation_signatures(paths: Mapping[str, Path]) -> pd.DataFrame:
    """Read published signatures of radiation response: two workbooks, a sheet each, and four lists."""
    parts = []
    for source, collection in _WORKBOOKS.items():
        if source in paths:
            # "NA" is a symbol here (an older name of XK), so pandas' words for missing are not used
            sheets = pd.read_excel(
                paths[source], sheet_name=None, dtype="str", keep_default_na=False, na_values=[""]
            )
            parts += [_sheet(table, collection, name) for name, table in sheets.items()]
    for source, signature in _LISTS.items():
        if source in paths:
            genes = paths[source].read_text(encoding="utf-8").split()
            parts.append(_sheet(pd.DataFrame({"Gene": genes}, dtype="str"), "radsigbench", signature))
    out = pd.concat(parts, ignore_index=True)
    out = to_numbers(out, ["direction", "weight", "entrez"], next(iter(paths.values())))
    return out.assign(entrez=out.entrez.astype("Int64"))


TABLES = (
    Table(
        "hgnc",
        ("hgnc_symbols",),
        _hgnc,
        long_schema(
            {
                c: {
                    "symbol": text(needed=True),
                    "ensembl": text(r"ENSG\d{11}"),
                    "entrez": integer(1),
                }.get(c, text())
                for c in _HGNC.values()
            },
            ["symbol"],
        ),
        "text",
        "approved gene symbols with previous symbols and synonyms",
    ),
    Table(
        "gene_sets",
        tuple(_COLLECTIONS),
        _gene_sets,
        long_schema(
            {
                "collection": text("|".join(_COLLECTIONS.values()), needed=True),
                "gene_set": text(needed=True),
                "gene": text(needed=True),
            },
            ["collection", "gene_set", "gene"],
        ),
        "text",
        "MSigDB 2023.2: hallmark, Reactome, KEGG and oncogenic sets",
        partial=True,
    ),
    Table(
        "collectri",
        ("collectri",),
        _collectri,
        long_schema(
            {"source": text(needed=True), "target": text(needed=True), "mor": number(-1, 1, needed=True)},
            ["source", "target"],
        ),
        "mode of regulation, -1 or 1",
        "CollecTRI: transcription factors and their targets",
    ),
    Table(
        "progeny_model",
        ("progeny_model",),
        _progeny_model,
        long_schema(
            {
                "pathway": text(needed=True),
                "gene": text(needed=True),
                "weight": number(-100, 100, needed=True),
                "p_value": number(0, 1, needed=True),
            },
            ["pathway", "gene"],
        ),
        "weights as released",
        "PROGENy: the 100 most responsive genes of 14 pathways",
    ),
    Table(
        "radiation_signatures",
        (*_WORKBOOKS, *_LISTS),
        _radiation_signatures,
        long_schema(
            {
                "collection": text("oxic|hypoxic|radsigbench", needed=True),
                "signature": text(needed=True),
                "gene": text(needed=True),
                "direction": number(-1, 1),
                "weight": number(-10, 10),
                "entrez": integer(1),
                "name": text(),
            },
            ["collection", "signature", "gene"],
        ),
        "direction -1 or 1, weight as published",
        "published signatures of the response to radiation, and of hypoxia",
        partial=True,
    ),
)
