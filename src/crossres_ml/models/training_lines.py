"""What a saved model knows of the lines that it learned from: enough to know them again, and naive baselines.

A study on which a model is tried must not hold lines that trained it. They are known again by their id, by
any of their names, and by their expression (`crossres_ml.identity.likeness`). No response of a single line is
kept, but means by lineage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import BundleError
from crossres_ml.identity.aliases import KINDS, Aliases, aliases_of, name_key
from crossres_ml.identity.likeness import Fingerprints
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.parts import load_arrays, reads_profile, save_arrays
from crossres_ml.models.profile import DrugProfile
from crossres_ml.models.resistance import FittedModel

FILE, ARRAYS = "training_lines.json", "training_lines.npz"
PRIOR_LINES = 4
"""A lineage's share of resistant lines counts as if so many lines of the overall share were among them."""
_IDENTIFIERS = {
    "ccle": "CCLE name",
    "sanger": "Sanger id",
    "rrid": "RRID",
    "former": "former DepMap id",
    "cosmic": "COSMIC id",
}
_COSMIC = re.compile(r"(?:COSMIC(?:_?ID)?[\s:_-]*)?(\d{5,8})(?:\.0)?", re.IGNORECASE)
_NAMES = ("current", "official", "short", "synonym")


@dataclass(frozen=True, eq=False)
class TrainingLines:
    """Lines that a model learned from.

    Attributes
    ----------
    lines : pandas.Series
        model id -> name of the line, all that anything in the model has learned from: also those whose
        drug measurements taught the drug profile that it reads.
    names : pandas.DataFrame
        kind, name, model_id (see `crossres_ml.identity.aliases.collect_names`): theirs, and those of other
        models that are spelled alike.
    lineages : pandas.DataFrame
        Index: lineages; lines, mean (response, in the unit of the task's score), resistant (share).
    mean, resistant : float
        The same over all lines on which the task is scored; ``resistant`` is the prevalence.
    fingerprints : Fingerprints or None
        Their expression; None where the model reads too few genes.
    """

    lines: pd.Series
    names: pd.DataFrame
    lineages: pd.DataFrame
    mean: float
    resistant: float
    fingerprints: Fingerprints | None

    @cached_property
    def _aliases(self) -> Aliases:
        return aliases_of(self.names)

    @cached_property
    def _identifiers(self) -> dict[str, dict[str, str]]:
        out: dict[str, dict[str, str]] = {}
        for kind in _IDENTIFIERS:
            own = self.names[(self.names.kind == kind) & self.names.model_id.isin(self.lines.index)]
            if kind == "ccle":  # without its tissue it is a name, which others may share
                own = own[own.name.str.contains("_", regex=False)]
            out[kind] = dict(zip(own.name.map(name_key), own.model_id, strict=True))
        return out

    def by_name(self, names: Iterable[str]) -> pd.DataFrame:
        """Find training lines by ids and names.

        Parameters
        ----------
        names : iterable of str
            As a study spells its samples.

        Returns
        -------
        pandas.DataFrame
            Index: those that mean, or may mean, a training line; ``model_id``, ``cause`` (``training_id`` or
            ``training_name``) and ``how``. A name that two models share in the layer that decides counts if
            one of them trained: a doubt must not let a training line through.
        """
        rows = [(name, *found) for name in dict.fromkeys(names) if (found := self._find(name)) is not None]
        return pd.DataFrame(rows, columns=["name", "model_id", "cause", "how"]).set_index("name")

    def _find(self, name: str) -> tuple[str, str, str] | None:
        text = name.strip()
        if text.upper() in self.lines.index:
            return text.upper(), "training_id", "its DepMap id"
        key = name_key(text)
        if not key:
            return None
        for kind, known in self._identifiers.items():
            if kind == "cosmic":
                number = _COSMIC.fullmatch(text)
                found = known.get(number[1]) if number else None
            else:
                found = known.get(key)
            if found is not None:
                return found, "training_name", f"its {_IDENTIFIERS[kind]}"
        ids, how = self._aliases.candidates(text)
        trained = [i for i in ids if i in self.lines.index]
        if not trained:
            return None
        if len(ids) > 1:
            how += f", which may also mean {' or '.join(i for i in ids if i != trained[0])}"
        return trained[0], "training_name", how

    def by_profile(self, expression: pd.DataFrame) -> pd.DataFrame:
        """Find the training line that each sample is most like.

        Parameters
        ----------
        expression : pandas.DataFrame
            Samples x genes, log2(TPM + 1).

        Returns
        -------
        pandas.DataFrame
            As `crossres_ml.identity.likeness.Fingerprints.nearest`; nothing is known where the model has no
            fingerprints.
        """
        if self.fingerprints is None:
            nothing = {"model_id": None, "likeness": np.nan}
            return pd.DataFrame(nothing, index=expression.index)
        return self.fingerprints.nearest(expression)

    def baseline(self, lineage: pd.Series) -> pd.DataFrame:
        """Predict by lineage alone.

        Parameters
        ----------
        lineage : pandas.Series
            Lineages of samples; those that no training line has, and missing ones, get the overall mean.

        Returns
        -------
        pandas.DataFrame
            ``score`` (mean response of the lineage's training lines), ``probability`` (their share of
            resistant ones, drawn to the prevalence by `PRIOR_LINES` lines), ``known``.
        """
        spelling = {str(n).casefold(): n for n in self.lineages.index}
        own = lineage.astype("string").str.strip().str.casefold().map(spelling)
        table = self.lineages.reindex(own.to_numpy())
        n = table.lines.fillna(0).to_numpy()
        resistant = n * table.resistant.fillna(0).to_numpy() + PRIOR_LINES * self.resistant
        return pd.DataFrame(
            {
                "score": table["mean"].fillna(self.mean).to_numpy(),
                "probability": resistant / (n + PRIOR_LINES),
                "known": own.notna().to_numpy(),
            },
            index=lineage.index,
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write into a model's folder.

        Parameters
        ----------
        folder : Path
            Existing folder.

        Returns
        -------
        dict
            JSON-ready: number of lines and the files.
        """
        names: dict[str, dict[str, list[str]]] = {}
        for kind, name, model_id in self.names.itertuples(index=False):
            names.setdefault(model_id, {}).setdefault(kind, []).append(name)
        told = {
            "lines": self.lines.to_dict(),
            "names": names,
            "lineages": self.lineages.to_dict("index"),
            "mean": self.mean,
            "resistant": self.resistant,
            "genes": list(self.fingerprints.genes) if self.fingerprints else None,
            "fingerprints": list(self.fingerprints.lines) if self.fingerprints else None,
        }
        text = json.dumps(told, sort_keys=True, allow_nan=False, separators=(",", ":"))
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
        if self.fingerprints is not None:
            save_arrays(
                folder / ARRAYS, {n: getattr(self.fingerprints, n) for n in ("mean", "spread", "values")}
            )
        prints = self.fingerprints
        return {"lines": len(self.lines), "fingerprints": 0 if prints is None else len(prints.lines)}


def load_training_lines(folder: Path) -> TrainingLines:
    """Read what `TrainingLines.save` wrote.

    Parameters
    ----------
    folder : Path
        Folder of a model, verified.

    Returns
    -------
    TrainingLines
        As it was.

    Raises
    ------
    BundleError
        If a part is not there or not as it was written.
    """
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        rows = [(k, n, i) for i, kinds in told["names"].items() for k, names in kinds.items() for n in names]
        prints = None
        if told["fingerprints"] is not None:
            prints = Fingerprints(
                tuple(told["fingerprints"]), tuple(told["genes"]), **load_arrays(folder / ARRAYS)
            )
        return TrainingLines(
            pd.Series(told["lines"], dtype=object).rename_axis("model_id"),
            pd.DataFrame(rows, columns=["kind", "name", "model_id"]),
            pd.DataFrame.from_dict(told["lineages"], orient="index", columns=["lines", "mean", "resistant"]),
            float(told["mean"]),
            float(told["resistant"]),
            prints,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise BundleError(
            f"what it knows of its training lines cannot be read: {e}", where=str(folder), do="train again"
        ) from e


def describe_training(
    model: FittedModel, profile: DrugProfile | None, view: TrainingView, cohort: Cohort
) -> TrainingLines:
    """Describe the lines that a model learned from.

    Parameters
    ----------
    model : FittedModel
        Fitted.
    profile : DrugProfile or None
        The drug profile of the training lines.
    view : TrainingView
        What the model was fitted on.
    cohort : Cohort
        Where the lines are from.

    Returns
    -------
    TrainingLines
        To be saved with the model.
    """
    ids = set(view.X.index) | set(model.trained_on)
    if profile is not None and reads_profile(model):
        ids |= profile.fitted_on
    lines = cohort.lines.cell_line[cohort.lines.index.isin(ids)]
    own = pd.DataFrame(
        {"mean": view.y, "resistant": view.label, "lineage": cohort.lines.lineage[view.X.index].to_numpy()}
    )
    lineages = own.groupby("lineage").agg(
        lines=("mean", "size"), mean=("mean", "mean"), resistant=("resistant", "mean")
    )
    scored = own[view.scored]
    genes = [c for c in model.explain(view.X.iloc[:1]).columns if c.startswith("rna:")]
    known = [g.removeprefix("rna:") for g in genes if "rna" in cohort.blocks]
    expression = cohort.blocks["rna"].loc[lines.index, known] if known else pd.DataFrame(index=lines.index)
    return TrainingLines(
        lines,
        names_of(lines.index, cohort.names),
        lineages,
        float(scored["mean"].mean()),
        float(scored.resistant.mean()),
        Fingerprints.of(expression),
    )


def names_of(lines: pd.Index, names: pd.DataFrame | None) -> pd.DataFrame:
    """Keep the names that are needed to tell some lines from all others.

    Parameters
    ----------
    lines : pandas.Index
        model ids.
    names : pandas.DataFrame or None
        Of all models, as `crossres_ml.identity.aliases.collect_names` gives them.

    Returns
    -------
    pandas.DataFrame
        The same columns: names and identifiers of these lines, and names of other models with a key of
        theirs. A look-up decides on each name of these lines as with the whole table.
    """
    if names is None:
        return pd.DataFrame(columns=["kind", "name", "model_id"], dtype=str)
    names = _as_trained(lines, names)
    keys = names.name.map(name_key)
    first = names.name.str.split("_").str[0].map(name_key)
    keys = keys.where(names.kind != "ccle", first)
    own = names.model_id.isin(lines)
    called = names.kind.isin([*_NAMES, "ccle"])
    rows = names[own | (called & keys.isin(set(keys[own & called])))].assign(key=keys)
    # what a stronger layer knows with the same key, a weaker one is never asked
    rows = rows.assign(rank=rows.kind.map(KINDS.index)).sort_values(["rank", "name", "model_id"])
    weaker = rows.kind.isin(_NAMES) & rows.duplicated(["key", "model_id"])
    same_spelling = rows.duplicated(["kind", "name", "model_id"])
    rows = rows[~weaker & ~same_spelling].sort_values(["model_id", "rank", "name"], kind="stable")
    return rows[["kind", "name", "model_id"]].reset_index(drop=True)


def _as_trained(lines: pd.Index, names: pd.DataFrame) -> pd.DataFrame:
    """Give the names of a line to the id under which it trained, which DepMap may have given up since."""
    former = names[(names.kind == "former") & names.name.isin(lines) & ~names.model_id.isin(lines)]
    now: Mapping[str, str] = dict(zip(former.model_id, former.name, strict=True))
    more = former.assign(name=former.model_id, model_id=former.name)
    moved = names.assign(model_id=names.model_id.map(lambda i: now.get(i, i)))
    return pd.concat([moved[moved.name != moved.model_id], more], ignore_index=True)
