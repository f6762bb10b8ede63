"""Names and identifiers -> DepMap ``model_id``.

A name is looked up in layers, and the first layer that knows it decides: hand-made decisions,
names of the current DepMap models, names in other tables of models (each first letter by letter,
then without punctuation and case), abbreviated names, synonyms. A name that means two models in
the deciding layer is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crossres_ml.config_names import config_path
from crossres_ml.errors import IdentityError, preview

_MODEL_ID = re.compile(r"ACH-\d{6}")
_LAYERS = (
    ("name of the current DepMap model", False),
    ("name of the current DepMap model without punctuation", True),
    ("name in another table of models", False),
    ("name in another table of models without punctuation", True),
    ("abbreviated name", True),
    ("synonym", True),
)
KINDS = ("current", "official", "short", "ccle", "synonym", "cosmic", "sanger", "rrid", "former")
"""Kinds of names and identifiers, as `collect_names` tells them apart."""


def name_key(name: object) -> str:
    """Upper-case letters and digits of a name: ``'SK-N-FI'`` -> ``'SKNFI'``.

    Parameters
    ----------
    name : object
        Any cell-line name.

    Returns
    -------
    str
        The key; different lines can share one (TT and T.T do).
    """
    return re.sub(r"[^A-Z0-9]", "", str(name).upper())


def read_overrides(path: Path | None = None) -> pd.DataFrame:
    """Read the hand-made decisions.

    Parameters
    ----------
    path : Path, optional
        CSV with alias, model_id (empty: known to have none), reason.

    Returns
    -------
    pandas.DataFrame
        The table, text only.

    Raises
    ------
    IdentityError
        If an alias occurs twice, an id is not a DepMap id, or a reason is missing.
    """
    path = path or config_path("identity_overrides.csv")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if lacking := [c for c in ("alias", "model_id", "reason") if c not in table]:
        raise IdentityError(f"columns are missing: {preview(lacking)}", where=str(path), do="add them")
    bad = [
        *(f"alias {a!r} twice" for a in table.alias[table.alias.duplicated()]),
        *(f"{i!r} is no DepMap id" for i in table.model_id if i and not _MODEL_ID.fullmatch(i)),
        *(f"alias {a!r} without a reason" for a in table.alias[table.reason.str.strip() == ""]),
    ]
    if bad:
        raise IdentityError(preview(bad), where=str(path), do="mend these rows")
    return table


@dataclass(frozen=True)
class Aliases:
    """What is known about names and identifiers of DepMap models.

    Attributes
    ----------
    layers : tuple of dict
        For each layer of names: name or key -> sorted tuple of model ids.
    cosmic, sanger, ccle : dict
        Identifier -> model_id, unambiguous ones only.
    overrides : pandas.DataFrame
        Hand-made decisions.
    """

    layers: tuple[Mapping[str, tuple[str, ...]], ...]
    cosmic: Mapping[str, str]
    sanger: Mapping[str, str]
    ccle: Mapping[str, str]
    overrides: pd.DataFrame

    def resolve(self, names: Iterable[str]) -> pd.DataFrame:
        """Resolve cell-line names.

        Parameters
        ----------
        names : iterable of str
            Names as a publisher spells them; duplicates are resolved once.

        Returns
        -------
        pandas.DataFrame
            Index ``alias``; ``model_id`` (missing when unresolved) and ``reason``.

        Raises
        ------
        IdentityError
            If two of the names mean one model.
        """
        decided = self.overrides.set_index("alias")
        rows = []
        for name in dict.fromkeys(names):
            if name in decided.index:
                model_id, reason = decided.loc[name, ["model_id", "reason"]]
                rows.append((name, model_id or None, f"by hand: {reason}"))
            else:
                rows.append((name, *self._look_up(name)))
        out = pd.DataFrame(rows, columns=["alias", "model_id", "reason"]).set_index("alias")
        known = out.model_id.dropna()
        if (twice := known[known.duplicated(keep=False)].sort_values()).size:
            raise IdentityError(
                "several names mean one line: " + preview(f"{a} = {m}" for a, m in twice.items()),
                where="configs/identity_overrides.csv",
                do="decide there which of the names is meant",
            )
        return out

    def candidates(self, name: str) -> tuple[tuple[str, ...], str]:
        """Look a name up without deciding.

        Parameters
        ----------
        name : str
            As a publisher spells it.

        Returns
        -------
        ids : tuple of str
            Models that it may mean; more than one where it is never guessed, none where it is unknown.
        how : str
            What knows it.
        """
        if len(row := self.overrides[self.overrides.alias == name]):
            return tuple(i for i in row.model_id if i), f"by hand: {row.reason.iloc[0]}"
        return self._first(name)

    def _first(self, name: str) -> tuple[tuple[str, ...], str]:
        for (text, keyed), layer in zip(_LAYERS, self.layers, strict=True):
            if found := layer.get(name_key(name) if keyed else name, ()):
                return found, text
        return (), "no DepMap model has this name"

    def _look_up(self, name: str) -> tuple[str | None, str]:
        found, text = self._first(name)
        if len(found) > 1:
            return None, f"{text} means {' and '.join(found)}"
        return (found[0] if found else None), text


def _texts(values: pd.Series) -> pd.Series:
    text = values.astype("string").str.strip()
    return text.where(text != "")


def _pairs(names: pd.Series, ids: pd.Series) -> pd.DataFrame:
    out = pd.DataFrame({"name": _texts(names).to_numpy(), "model_id": _texts(ids).to_numpy()}).dropna()
    return out[out.model_id.str.fullmatch(_MODEL_ID.pattern)].drop_duplicates()


def _index(pairs: Iterable[pd.DataFrame], *, keys: bool) -> dict[str, tuple[str, ...]]:
    table = pd.concat(pairs, ignore_index=True)
    names = table.name.map(name_key) if keys else table.name
    return {str(k): tuple(sorted(set(ids))) for k, ids in table.model_id.groupby(names) if k}


def _ids(pairs: Iterable[pd.DataFrame]) -> dict[str, str]:
    return {k: v[0] for k, v in _index(pairs, keys=False).items() if len(v) == 1}


def _number(values: pd.Series) -> pd.Series:
    """COSMIC ids as text without the ``.0`` that a float column gives them."""
    return pd.to_numeric(values, errors="coerce").astype("Int64").astype("string")


def collect_names(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Collect every name and identifier of the tables that describe models.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        ``depmap_models`` is needed; ``depmap_sample_info``, ``ccle_annotations`` and
        ``sanger_models`` are used when present.

    Returns
    -------
    pandas.DataFrame
        kind, name, model_id; each once. Kinds of names: ``current`` (of the current DepMap models),
        ``official`` (in other tables), ``short`` (stripped), ``synonym``; of identifiers: ``ccle``,
        ``cosmic``, ``sanger``, ``rrid``, ``former`` (ids that DepMap gave up).
    """
    models = tables["depmap_models"]
    parts = [("current", _pairs(models.cell_line_name, models.model_id)), *_columns(models)]
    if "model_id_alias" in models:
        parts.append(("former", _split(models.model_id_alias, models.model_id)))
    if (info := tables.get("depmap_sample_info")) is not None:
        parts.append(("official", _pairs(info.cell_line_name, info.model_id)))
        parts += [*_columns(info), ("synonym", _split(info.alias, info.model_id))]
    if (notes := tables.get("ccle_annotations")) is not None:
        parts.append(("official", _pairs(notes.name, notes.model_id)))
        parts.append(("ccle", _pairs(notes.ccle_name, notes.model_id)))
    if (passports := tables.get("sanger_models")) is not None:
        parts.append(("official", _pairs(passports.model_name, passports.model_id)))
        parts += [("cosmic", _pairs(_number(passports.cosmic_id), passports.model_id))]
        parts += [("sanger", _pairs(passports.sanger_model_id, passports.model_id))]
        parts += [("synonym", _split(passports.synonyms, passports.model_id))]
        if "rrid" in passports:
            parts.append(("rrid", _pairs(passports.rrid, passports.model_id)))
    table = pd.concat([pairs.assign(kind=kind) for kind, pairs in parts], ignore_index=True)
    return table[["kind", "name", "model_id"]].drop_duplicates(ignore_index=True)


def _columns(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Names and identifiers that the two DepMap tables spell alike."""
    ids = table.model_id
    found = [
        ("short", _pairs(table.stripped_name, ids)),
        ("ccle", _pairs(table.ccle_name, ids)),
        ("cosmic", _pairs(_number(table.cosmic_id), ids)),
        ("sanger", _pairs(table.sanger_model_id, ids)),
    ]
    return [*found, ("rrid", _pairs(table.rrid, ids))] if "rrid" in table else found


def aliases_of(names: pd.DataFrame, overrides: pd.DataFrame | None = None) -> Aliases:
    """Order names into layers.

    Parameters
    ----------
    names : pandas.DataFrame
        As `collect_names` gives them, or the part of them that concerns some models.
    overrides : pandas.DataFrame, optional
        As `read_overrides` gives it.

    Returns
    -------
    Aliases
        The look-up.
    """
    of = {kind: names.loc[names.kind == kind, ["name", "model_id"]] for kind in KINDS}
    official = [of["current"], of["official"]]
    first = of["ccle"].assign(name=of["ccle"].name.str.split("_").str[0])
    layers = (
        _index([of["current"]], keys=False),
        _index([of["current"]], keys=True),
        _index(official, keys=False),
        _index(official, keys=True),
        _index([of["short"], first], keys=True),
        _index([*official, of["synonym"]], keys=True),
    )
    decided = read_overrides() if overrides is None else overrides
    cosmic, sanger, ccle = (_ids([of[kind]]) for kind in ("cosmic", "sanger", "ccle"))
    return Aliases(layers, cosmic, sanger, ccle, decided)


def build_aliases(tables: Mapping[str, pd.DataFrame], overrides: pd.DataFrame | None = None) -> Aliases:
    """Collect the names of all tables that describe models.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        As `collect_names` takes them.
    overrides : pandas.DataFrame, optional
        As `read_overrides` gives it.

    Returns
    -------
    Aliases
        The look-up.
    """
    return aliases_of(collect_names(tables), overrides)


def _split(names: pd.Series, ids: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"name": _texts(names).str.split(r"[,;]", regex=True), "model_id": ids.to_numpy()})
    table = table.explode("name", ignore_index=True)
    return _pairs(table.name, table.model_id)
