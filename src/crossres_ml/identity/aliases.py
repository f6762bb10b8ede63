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

from crossres_ml.config import config_path
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

    def _look_up(self, name: str) -> tuple[str | None, str]:
        for (text, keyed), layer in zip(_LAYERS, self.layers, strict=True):
            found = layer.get(name_key(name) if keyed else name, ())
            if len(found) == 1:
                return found[0], text
            if found:
                return None, f"{text} means {' and '.join(found)}"
        return None, "no DepMap model has this name"


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


def build_aliases(tables: Mapping[str, pd.DataFrame], overrides: pd.DataFrame | None = None) -> Aliases:
    """Collect the names of all tables that describe models.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        ``depmap_models`` is needed; ``depmap_sample_info``, ``ccle_annotations`` and
        ``sanger_models`` are used when present.
    overrides : pandas.DataFrame, optional
        As `read_overrides` gives it.

    Returns
    -------
    Aliases
        The look-up.
    """
    models = tables["depmap_models"]
    current = _pairs(models.cell_line_name, models.model_id)
    official = [current]
    short = [_pairs(models.stripped_name, models.model_id)]
    ccle = [_pairs(models.ccle_name, models.model_id)]
    cosmic = [_pairs(_number(models.cosmic_id), models.model_id)]
    sanger = [_pairs(models.sanger_model_id, models.model_id)]
    synonyms: list[pd.DataFrame] = []
    if (info := tables.get("depmap_sample_info")) is not None:
        official.append(_pairs(info.cell_line_name, info.model_id))
        short.append(_pairs(info.stripped_name, info.model_id))
        ccle.append(_pairs(info.ccle_name, info.model_id))
        cosmic.append(_pairs(_number(info.cosmic_id), info.model_id))
        sanger.append(_pairs(info.sanger_model_id, info.model_id))
        synonyms.append(_split(info.alias, info.model_id))
    if (notes := tables.get("ccle_annotations")) is not None:
        official.append(_pairs(notes.name, notes.model_id))
        ccle.append(_pairs(notes.ccle_name, notes.model_id))
    if (passports := tables.get("sanger_models")) is not None:
        official.append(_pairs(passports.model_name, passports.model_id))
        cosmic.append(_pairs(_number(passports.cosmic_id), passports.model_id))
        sanger.append(_pairs(passports.sanger_model_id, passports.model_id))
        synonyms.append(_split(passports.synonyms, passports.model_id))
    short.extend(p.assign(name=p.name.str.split("_").str[0]) for p in list(ccle))
    layers = (
        _index([current], keys=False),
        _index([current], keys=True),
        _index(official, keys=False),
        _index(official, keys=True),
        _index(short, keys=True),
        _index([*official, *synonyms], keys=True),
    )
    decided = read_overrides() if overrides is None else overrides
    return Aliases(layers, _ids(cosmic), _ids(sanger), _ids(ccle), decided)


def _split(names: pd.Series, ids: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"name": _texts(names).str.split(r"[,;]", regex=True), "model_id": ids.to_numpy()})
    table = table.explode("name", ignore_index=True)
    return _pairs(table.name, table.model_id)
