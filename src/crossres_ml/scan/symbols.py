"""Old and new names of genes: what a signature of years ago calls a gene that is measured today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd


class Symbols:
    """Finds measured genes by any of their names.

    Parameters
    ----------
    measured : iterable of str
        Genes as the expression table names them.
    hgnc : pandas.DataFrame, optional
        symbol, previous_symbols, synonyms (joined by a comma and a blank). Without it only the very names
        are found.
    """

    def __init__(self, measured: Iterable[str], hgnc: pd.DataFrame | None = None) -> None:
        self.measured = frozenset(measured)
        self._layers: list[Mapping[str, frozenset[str]]] = []
        if hgnc is not None:
            renamed, called = _pairs(hgnc, "previous_symbols"), _pairs(hgnc, "synonyms")
            # a table may be older than the list, or newer: look both ways before asking for nicknames
            both_ways = pd.concat([renamed, renamed.rename(columns={"old": "new", "new": "old"})])
            self._layers = [_index(both_ways), _index(called)]

    def find(self, gene: str) -> str | None:
        """Find the measured gene that a name means.

        Parameters
        ----------
        gene : str
            Approved, former or other symbol.

        Returns
        -------
        str or None
            The name in the expression table; None when it has none, or the name could mean several.
        """
        if gene in self.measured:
            return gene
        for layer in self._layers:
            found = layer.get(gene.upper(), frozenset()) & self.measured
            if found:
                return next(iter(found)) if len(found) == 1 else None
        return None


def _pairs(hgnc: pd.DataFrame, column: str) -> pd.DataFrame:
    known = hgnc.dropna(subset=column)
    names = known.set_index("symbol")[column].str.split(", ").explode().str.strip()
    return pd.DataFrame({"old": names.to_numpy(), "new": names.index.to_numpy()})


def _index(pairs: pd.DataFrame) -> Mapping[str, frozenset[str]]:
    grouped = pairs.new.groupby(pairs.old.str.upper())
    return {str(k): frozenset(v) for k, v in grouped}
