"""Names of drugs: which of them mean one compound, across screens and spellings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import pandas as pd

from crossres_ml.identity.aliases import name_key

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "Platin": ("Cisplatin",),
    "5-FU": ("5-Fluorouracil", "Fluorouracil"),
    "cytarabine hydrochloride": ("Cytarabine",),
    "bleomycin A2": ("Bleomycin",),
    "tipifarnib-P1": ("Tipifarnib",),
    "tipifarnib-P2": ("Tipifarnib",),
    "ABT-888": ("Veliparib",),
    "VX-680": ("Tozasertib",),
    "Nutlin-3a (-)": ("Nutlin-3a",),
    "9H-Purin-2-amine, 9-beta-D-arabinofuranosyl-6-methoxy-": ("Nelarabine",),
    "(3beta)-17-(3-Pyridinyl)androsta-5,16-dien-3-ol": ("Abiraterone",),
    "4-[4-({[4-Chloro-3-(trifluoromethyl)phenyl]carbamoyl}amino)phenoxy]-N-methyl-2-pyridinecarboxamide": (
        "Sorafenib",
    ),
    "Imidazo[5,1-d]-1,2,3,5-tetrazine-8-carboxamide, 3,4-dihydro-3-methyl-4-oxo-": ("Temozolomide",),
    "2H-1,3,2-Oxazaphosphorin-2-amine, N,N-bis(2-chloroethyl)tetrahydro-, 2-oxide": ("Cyclophosphamide",),
    "5-({4-[(2,3-Dimethyl-2H-indazol-6-yl)(methyl)amino]-2-pyrimidinyl}amino)-2-methylbenzenesulfonamide": (
        "Pazopanib",
    ),
    "1-Propanesulfonamide, N-[3-[[5-(4-chlorophenyl)-1H-pyrrolo[2,3-b]pyridin-3-yl]carbonyl]-"
    "2,4-difluorophenyl]-": ("Vemurafenib", "PLX4032"),
    "2-Propenamide, N-hydroxy-3-[3-[(phenylamino)sulfonyl]phenyl]-, (2E)-": ("Belinostat",),
    "N-{3-Chloro-4-[(3-fluorobenzyl)oxy]phenyl}-6-[5-({[2-(methylsulfonyl)ethyl]amino}methyl)-2-furyl]"
    "-4-quinazolinamine": ("Lapatinib",),
    "O~3~-[(2R)-2,6-Dihydroxy-2-(2-methoxy-2-oxoethyl)-6-methylheptanoyl]cephalotaxine": ("Omacetaxine",),
    "Oleana-1,9(11)-dien-28-oic acid, 2-cyano-3,12-dioxo-, methyl ester": ("Bardoxolone methyl",),
}
"""Names in use for drugs that a screen lists by a systematic name, a salt or a code."""
_NEAREST = 5
_CUTOFF = 0.5


def other_names(drugs: Iterable[str], gdsc_drugs: pd.DataFrame | None = None) -> dict[str, tuple[str, ...]]:
    """Collect the other names of drugs.

    Parameters
    ----------
    drugs : iterable of str
        Names as a screen spells them.
    gdsc_drugs : pandas.DataFrame, optional
        GDSC's list: drug and synonyms (joined by commas).

    Returns
    -------
    dict of str to tuple of str
        Drug -> its other names, empty for most.
    """
    listed: dict[str, list[str]] = {}
    if gdsc_drugs is not None and "synonyms" in gdsc_drugs:
        taken = {name_key(d) for d in gdsc_drugs.drug}  # a synonym that is another drug's name is a mistake
        for drug, synonyms in gdsc_drugs[["drug", "synonyms"]].dropna().itertuples(index=False):
            own = listed.setdefault(name_key(drug), [])
            own += [s.strip() for s in str(synonyms).split(",") if name_key(s) and name_key(s) not in taken]
    out = {}
    for drug in drugs:
        names = [*OTHER_NAMES.get(drug, ()), *listed.get(name_key(drug), ())]
        distinct = {name_key(n): n for n in names if name_key(n) != name_key(drug)}
        out[drug] = tuple(distinct.values())
    return out


def same_compound(info: pd.DataFrame) -> pd.DataFrame:
    """Pair measurements of one compound in different screens.

    Parameters
    ----------
    info : pandas.DataFrame
        Index: measurements; drug, dataset, other_names (tuples of str).

    Returns
    -------
    pandas.DataFrame
        a, b: measurements of different datasets that share a name, case and punctuation apart; each
        pair once, in the order of ``info``.
    """
    keys = [_keys(d, o) for d, o in zip(info.drug, info.other_names, strict=True)]
    owners: dict[str, list[int]] = {}
    for at, own in enumerate(keys):
        for key in own:
            owners.setdefault(key, []).append(at)
    dataset = info.dataset.to_numpy()
    pairs = {
        (i, j) for own in owners.values() for i in own for j in own if i < j and dataset[i] != dataset[j]
    }
    names = info.index
    return pd.DataFrame([(names[i], names[j]) for i, j in sorted(pairs)], columns=["a", "b"])


def find_drug(name: str, info: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Look a drug up without regard to case and punctuation.

    Parameters
    ----------
    name : str
        What somebody typed: a drug, or ``dataset:drug``.
    info : pandas.DataFrame
        As `same_compound`.

    Returns
    -------
    found : list of str
        Measurements that have this name, first those that are called so; empty when there are none.
    nearest : list of str
        Names that look like it, when nothing was found.
    """
    key = name_key(name)
    called = [m for m, d in zip(info.index, info.drug, strict=True) if key in (name_key(m), name_key(d))]
    also = [
        m
        for m, d, o in zip(info.index, info.drug, info.other_names, strict=True)
        if key in _keys(d, o) and m not in called
    ]
    if key and (called or also):
        return called + also, []
    spoken: dict[str, str] = {}
    for drug, others in zip(info.drug, info.other_names, strict=True):
        for n in (drug, *others):
            spoken.setdefault(name_key(n), n)
    inside = [n for k, n in spoken.items() if len(key) > 2 and key in k]
    close = [spoken[k] for k in difflib.get_close_matches(key, list(spoken), _NEAREST, _CUTOFF)]
    return [], list(dict.fromkeys([*sorted(inside, key=len), *close]))[:_NEAREST]


def _keys(drug: str, others: Iterable[str]) -> set[str]:
    return {name_key(drug), *map(name_key, others)} - {""}
