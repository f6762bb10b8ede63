"""Lines of one patient, in one group: they must never straddle a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crossres_ml.config_names import config_path
from crossres_ml.identity.aliases import Aliases

# Measured on the public calls: unrelated lines share almost no gene that is mutated in few lines,
# lines of one donor share most of theirs.
_RARE = (2, 40)
_MIN_RARE = 15
_SHARED = 0.5
# A hypermutated line holds half of any short list by chance; it does not hold a fifth of the union.
_MIN_JACCARD = 0.2


def _rare_sharers(mutations: pd.DataFrame, model_ids: pd.Index) -> pd.DataFrame:
    """Pairs of lines that share most of the genes that few lines have mutated."""
    rare = mutations.groupby("gene").model_id.transform("size").between(*_RARE)
    calls = mutations[rare & mutations.model_id.isin(model_ids)]
    lines, genes = pd.Categorical(calls.model_id), pd.Categorical(calls.gene)
    ones = coo_array((np.ones(len(calls), dtype=np.int32), (lines.codes, genes.codes))).tocsr()
    shared = (ones @ ones.T).toarray()
    total = shared.diagonal()
    smaller = np.minimum(total[:, None], total)
    union = total[:, None] + total - shared
    alike = (shared > _SHARED * smaller) & (shared >= _MIN_JACCARD * union)
    hit = np.triu(alike & (smaller >= _MIN_RARE), k=1)
    a, b = np.nonzero(hit)
    names = np.asarray(lines.categories)
    evidence = [
        f"share {shared[i, j]} of {smaller[i, j]} rarely mutated genes" for i, j in zip(a, b, strict=True)
    ]
    return pd.DataFrame({"model_id_a": names[a], "model_id_b": names[b], "evidence": evidence})


def _same_patient(models: pd.DataFrame, model_ids: pd.Index) -> pd.DataFrame:
    known = models[models.model_id.isin(model_ids) & models.patient_id.notna()].sort_values("model_id")
    first = known.groupby("patient_id").model_id.transform("first")
    pairs = known[first != known.model_id]
    return pd.DataFrame(
        {
            "model_id_a": first[pairs.index],
            "model_id_b": pairs.model_id,
            "evidence": "patient " + pairs.patient_id,
        }
    )


def _listed(aliases: Aliases, model_ids: pd.Index, path: Path | None) -> pd.DataFrame:
    table = pd.read_csv(path or config_path("relatives.csv"), dtype=str)
    ids = aliases.resolve([*table.cell_line_a, *table.cell_line_b]).model_id
    out = pd.DataFrame(
        {
            "model_id_a": ids[table.cell_line_a].to_numpy(),
            "model_id_b": ids[table.cell_line_b].to_numpy(),
            "evidence": "listed: " + table.reason,
        }
    )
    return out[out.model_id_a.isin(model_ids) & out.model_id_b.isin(model_ids)]


def find_relatives(
    models: pd.DataFrame,
    mutations: pd.DataFrame | None,
    aliases: Aliases,
    model_ids: pd.Index,
    listed: Path | None = None,
) -> pd.DataFrame:
    """List every pair of related lines with the evidence.

    Parameters
    ----------
    models : pandas.DataFrame
        ``model_id`` and ``patient_id``.
    mutations : pandas.DataFrame or None
        Long table ``model_id``, ``gene``: lines that share more than half of the shorter list, and a
        fifth of the union, of their rarely mutated genes (2 to 40 lines) count as one donor,
        whatever their names say.
    aliases : Aliases
        Resolves the names of the listed pairs.
    model_ids : pandas.Index
        Lines that matter.
    listed : Path, optional
        CSV of pairs known from the literature.

    Returns
    -------
    pandas.DataFrame
        ``model_id_a``, ``model_id_b``, ``evidence``.
    """
    parts = [_same_patient(models, model_ids), _listed(aliases, model_ids, listed)]
    if mutations is not None:
        parts.append(_rare_sharers(mutations, model_ids))
    return pd.concat(parts, ignore_index=True)


def assign_groups(model_ids: pd.Index, relatives: pd.DataFrame) -> pd.Series:
    """Give relatives one group, named after its first line.

    Parameters
    ----------
    model_ids : pandas.Index
        Lines to group.
    relatives : pandas.DataFrame
        Pairs, as `find_relatives` gives them.

    Returns
    -------
    pandas.Series
        Group per line; relatives of relatives are in the same group.
    """
    ordered = pd.Index(sorted(model_ids))
    a, b = (ordered.get_indexer(relatives[c]) for c in ("model_id_a", "model_id_b"))
    links = coo_array((np.ones(len(a)), (a, b)), shape=(len(ordered), len(ordered)))
    _, label = connected_components(links, directed=False)
    first = pd.Series(ordered, index=ordered).groupby(label).transform("first")
    return first.reindex(model_ids).rename("group")
