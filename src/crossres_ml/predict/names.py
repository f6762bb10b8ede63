"""What a column of somebody else's table means: names of genes, old and new, and names of features."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

SYMBOL = "symbol"
SYMBOL_ENTREZ = "SYMBOL (ENTREZ)"
PREVIOUS = "previous symbol"
ENSEMBL = "Ensembl id"
ENSEMBL_VERSION = "Ensembl id with version"
ENTREZ = "Entrez id"
FEATURE = "block:name"
# Of two columns for one gene the better name wins; equal ranks must agree in every value.
_RANK = {FEATURE: 0, SYMBOL: 0, SYMBOL_ENTREZ: 0, ENSEMBL: 1, ENSEMBL_VERSION: 1, ENTREZ: 1, PREVIOUS: 2}
_WITH_ENTREZ = re.compile(r"(?P<symbol>\S+) \((?P<entrez>\d+)\)")
_ENSEMBL = re.compile(r"(?P<id>ENSG\d{11})(?P<version>\.\d+)?")
_DATE = re.compile(
    r"\d{1,2}-(mar|sep|dec|oct|apr|feb|nov)|20\d\d[-/]\d\d?[-/]\d\d?( 00:00:00)?", re.IGNORECASE
)
_NUMBERED = 3


@dataclass(frozen=True)
class Recognised:
    """What the columns of a table mean.

    Attributes
    ----------
    columns : dict of str to tuple of int
        Feature -> positions of its columns. More than one: equally good names, whose values must agree.
    kinds : dict of str to int
        Kind of name -> number of columns used.
    unmapped : list of str
        Names that no model has.
    ambiguous : dict of str to list of str
        Name -> the genes that it could mean; not used.
    doubled : dict of str to list of str
        Feature -> all names that mean it, where there is more than one.
    dates : list of str
        Names that a spreadsheet seems to have turned from genes into dates.
    """

    columns: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    doubled: dict[str, list[str]] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)


def gene_names(hgnc: pd.DataFrame, genes: Iterable[str]) -> pd.DataFrame:
    """List every name by which others may call the genes of a model.

    Parameters
    ----------
    hgnc : pandas.DataFrame
        All approved genes: symbol, previous_symbols, synonyms (joined by a comma and a blank), ensembl,
        entrez.
    genes : iterable of str
        Symbols as the model has them; one that HGNC has renamed is found by its former name.

    Returns
    -------
    pandas.DataFrame
        Index ``symbol``, the genes sorted; entrez and ensembl (text or None), previous (tuple of str: other
        names that lead to this gene alone, and are no current symbol), ambiguous (tuple of str: other
        names that lead to several genes).
    """
    wanted = sorted(set(genes))
    table = hgnc[~hgnc.symbol.str.contains("~withdrawn")].set_index("symbol")
    others = _other_names(table)
    leads = {str(k): frozenset(v) for k, v in others.symbol.groupby(others["name"])}
    by_gene = {str(k): sorted(set(v)) for k, v in others["name"].groupby(others.symbol)}
    current = set(table.index)
    known, entrez, ensembl = set(wanted), table.entrez.to_dict(), table.ensembl.to_dict()
    rows = []
    for gene in wanted:
        symbol = _approved(gene, current, leads, known)
        names = by_gene.get(symbol, []) if symbol else []
        free = [n for n in names if n != gene and n not in current and n not in known]
        previous = [n for n in free if len(leads[n]) == 1]
        ids = [entrez.get(symbol), ensembl.get(symbol)]
        rows.append(
            {
                "entrez": None if pd.isna(ids[0]) else str(int(ids[0])),
                "ensembl": None if pd.isna(ids[1]) else str(ids[1]),
                "previous": tuple(sorted([*previous, symbol] if symbol and symbol != gene else previous)),
                "ambiguous": tuple(n for n in free if len(leads[n]) > 1),
            }
        )
    columns = ["entrez", "ensembl", "previous", "ambiguous"]
    return pd.DataFrame(rows, index=pd.Index(wanted, name="symbol"), columns=columns, dtype=object)


def _other_names(table: pd.DataFrame) -> pd.DataFrame:
    parts = [table[c].dropna().str.split(",").explode().str.strip() for c in ("previous_symbols", "synonyms")]
    names = pd.concat(parts)
    return pd.DataFrame({"name": names.to_numpy(), "symbol": names.index.to_numpy()}).query("name != ''")


def _approved(gene: str, current: set[str], leads: dict[str, frozenset[str]], wanted: set[str]) -> str | None:
    """Approved symbol of a model's gene, unless that is another gene of the model, or could be several."""
    if gene in current:
        return gene
    found = leads.get(gene, frozenset())
    only = next(iter(found)) if len(found) == 1 else None
    return None if only in wanted else only


class Lookup:
    """The features and all their names, turned into dictionaries."""

    def __init__(self, features: pd.DataFrame, names: pd.DataFrame | None, block: str) -> None:
        self.block = block
        self.features = set(features.index)
        self.genes = {f.removeprefix(f"{block}:") for f in self.features if f.startswith(f"{block}:")}
        self.entrez: dict[str, str] = {}
        self.ensembl: dict[str, str] = {}
        self.entrez_of: dict[str, str] = {}
        self.previous: dict[str, list[str]] = defaultdict(list)
        self.ambiguous: dict[str, list[str]] = defaultdict(list)
        if names is not None:
            self._read(names[names.index.isin(self.genes)])

    def _read(self, names: pd.DataFrame) -> None:
        for column in ("entrez", "ensembl"):
            ids = names[column].dropna().astype(str)
            ids = ids[~ids.duplicated(keep=False)]
            setattr(self, column, dict(zip(ids, ids.index, strict=True)))
        self.entrez_of = {gene: number for number, gene in self.entrez.items()}
        for column in ("previous", "ambiguous"):
            kept = getattr(self, column)
            for gene, known in names[column].items():
                for name in known:
                    kept[name].append(gene)

    def find(self, name: str, numbers: bool) -> tuple[str | None, str, list[str]]:
        """Feature, kind of name, and the genes among which nobody can choose."""
        text, number = name, None
        if match := _WITH_ENTREZ.fullmatch(name):
            text, number = match["symbol"], match["entrez"]
        if ":" in text:
            return (text if text in self.features else None), FEATURE, []
        if number is not None:
            return self._with_entrez(text, number)
        if text in self.genes:
            return f"{self.block}:{text}", SYMBOL, []
        if match := _ENSEMBL.fullmatch(text):
            kind = ENSEMBL_VERSION if match["version"] else ENSEMBL
            return self._feature(self.ensembl.get(match["id"])), kind, []
        if text.isdecimal():
            return self._feature(self.entrez.get(text) if numbers else None), ENTREZ, []
        return self._by_other_name(text)

    def _feature(self, gene: str | None) -> str | None:
        return None if gene is None else f"{self.block}:{gene}"

    def _with_entrez(self, symbol: str, number: str) -> tuple[str | None, str, list[str]]:
        by_number = self.entrez.get(number)
        if symbol in self.genes:
            own = self.entrez_of.get(symbol)
            # the symbol of one gene with the number of another: one of the two is wrong
            if own is not None and own != number:
                return None, SYMBOL_ENTREZ, sorted({symbol, by_number or f"Entrez {number}"})
            return f"{self.block}:{symbol}", SYMBOL_ENTREZ, []
        return self._feature(by_number), PREVIOUS if by_number else SYMBOL_ENTREZ, []

    def _by_other_name(self, text: str) -> tuple[str | None, str, list[str]]:
        found = self.previous.get(text, [])
        several = sorted({*found, *self.ambiguous.get(text, [])})
        if text in self.ambiguous or len(found) > 1:
            return None, PREVIOUS, several
        return self._feature(found[0] if found else None), PREVIOUS, []


def recognise(
    columns: Sequence[object], features: pd.DataFrame, names: pd.DataFrame | None, *, block: str = "rna"
) -> Recognised:
    """Find the features that names of columns mean.

    Parameters
    ----------
    columns : sequence of object
        Names as they stand in a table; blanks around them are ignored, letters are not folded.
    features : pandas.DataFrame
        Index ``block:name``.
    names : pandas.DataFrame or None
        As `gene_names` makes it; without it genes are found by symbol alone.
    block : str, default "rna"
        Block of a bare gene name.

    Returns
    -------
    Recognised
        Features in the order of ``features``.
    """
    lookup = Lookup(features, names, block)
    texts = [str(c).strip() for c in columns]
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    out = Recognised()
    numbers = not _is_numbering(texts)
    for position, text in enumerate(texts):
        feature, kind, several = lookup.find(text, numbers)
        if feature is not None:
            found[feature].append((position, kind))
        elif several:
            out.ambiguous[text] = several
        else:
            out.unmapped.append(text)
    out.dates.extend(t for t in out.unmapped if _DATE.fullmatch(t))
    for feature in features.index:
        if feature not in found:
            continue
        best = min(_RANK[kind] for _, kind in found[feature])
        used = [(p, kind) for p, kind in found[feature] if _RANK[kind] == best]
        out.columns[feature] = tuple(p for p, _ in used)
        for _, kind in used:
            out.kinds[kind] = out.kinds.get(kind, 0) + 1
        if len(found[feature]) > 1:
            out.doubled[feature] = [texts[p] for p, _ in found[feature]]
    return out


def _is_numbering(texts: Sequence[str]) -> bool:
    """Whether the numbers among names merely count (0, 1, 2 ...), so that they are no Entrez ids."""
    numbers = sorted({int(t) for t in texts if t.isdecimal()})
    return len(numbers) >= _NUMBERED and numbers[-1] - numbers[0] == len(numbers) - 1 and numbers[0] <= 1
