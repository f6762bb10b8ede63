"""A trained model as a folder: text, JSON and arrays; nothing that runs code when it is loaded.

A bundle carries its own recipe: the ordered features with block, unit, training median and range,
the label rule, the calibration, the hashes of the data, and the versions. Predicting needs no
configuration.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.artifacts import MANIFEST, is_intact, sha256, versions, write_json, write_manifest
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.cohort.scores import GeneSetScorer
from crossres_ml.errors import BundleError, preview
from crossres_ml.models.conformal import Conformal
from crossres_ml.models.domain import Domain
from crossres_ml.models.parts import (
    load_arrays,
    load_model,
    load_profile,
    load_scorer,
    reads_profile,
    save_arrays,
    save_model,
    save_profile,
    save_scorer,
    unused,
)
from crossres_ml.models.profile import PREFIXES, DrugProfile
from crossres_ml.models.reference import Reference
from crossres_ml.models.resistance import FittedModel
from crossres_ml.models.training_lines import TrainingLines, load_training_lines

FORMAT = 4
RECIPE = "bundle.json"
_REFERENCE, _DOMAIN = "reference.npz", "domain.npz"


@dataclass(frozen=True)
class Bundle:
    """A loaded model of one task.

    Attributes
    ----------
    recipe : dict
        Content of ``bundle.json``.
    features : pandas.DataFrame
        Index ``feature`` in the order that the model expects; block, name, unit, median, low,
        high (training lines), share (of the total absolute SHAP value on the training lines).
    model : FittedModel
        The fitted model.
    profile : DrugProfile or None
        Predicts the drug profile that the model reads.
    scorer : GeneSetScorer or None
        Scores gene sets of samples that come with expression.
    reference : Reference
        Expression of the training lines.
    domain : Domain
        Says how far samples lie from the training lines.
    digest : str
        Hash of the folder's manifest, which holds the hashes of its files.
    folder : Path or None
        Where it was loaded from.
    """

    recipe: dict[str, Any]
    features: pd.DataFrame
    model: FittedModel
    profile: DrugProfile | None
    scorer: GeneSetScorer | None
    reference: Reference
    domain: Domain
    digest: str
    folder: Path | None = None

    @cached_property
    def training_lines(self) -> TrainingLines:
        """Lines that it learned from; read when asked for, for a prediction needs none of it."""
        if self.folder is None or not self.recipe.get("training"):
            do = "train again with crossres train"
            raise BundleError("does not say which lines it was trained on", where=str(self.folder), do=do)
        return load_training_lines(self.folder)

    @property
    def task(self) -> str:
        """Task name."""
        return str(self.recipe["task"])

    @property
    def kind(self) -> str:
        """``real`` or ``simulated``: what it was trained on."""
        return str(self.recipe["data"]["kind"])

    @property
    def by_itself(self) -> bool:
        """Whether no bit of a sample's score depends on which samples are scored with it."""
        return self.model.by_itself and self.profile is None and self.scorer is None

    def with_gene_sets(self, X: pd.DataFrame) -> pd.DataFrame:
        """Score the gene sets of samples that have all their genes, where no score is given.

        Parameters
        ----------
        X : pandas.DataFrame
            Columns exactly the bundle's features.

        Returns
        -------
        pandas.DataFrame
            The same columns.
        """
        if self.scorer is None:
            return X
        whole = X[[f"rna:{g}" for g in self.scorer.genes]].notna().all(axis=1)
        if not X.loc[whole, X.columns.str.startswith("gene_set:")].isna().any(axis=None):
            return X
        scores = self.scorer.score(X.rename(columns=lambda c: c.removeprefix("rna:"))).add_prefix("gene_set:")
        return X.fillna(scores.astype(np.float32))

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Score aligned profiles.

        Parameters
        ----------
        X : pandas.DataFrame
            Columns exactly the bundle's features, in order; NaN where not measured.

        Returns
        -------
        pandas.DataFrame
            ``score``, ``probability``, ``expected`` response, its ``spread`` (NaN where the model has
            none), and the conformal ``p_resistant`` and ``p_sensitive``.

        Raises
        ------
        BundleError
            If the columns are not the bundle's features in the bundle's order.
        """
        if list(X.columns) != list(self.features.index):
            raise BundleError("columns are not the model's features in its order", do="align the table first")
        return self.model.predict(self._with_profile(X))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Share scores among features.

        Parameters
        ----------
        X : pandas.DataFrame
            Columns exactly the bundle's features, in order; NaN where not measured.

        Returns
        -------
        pandas.DataFrame
            Samples x features of the model.
        """
        return self.model.explain(self._with_profile(X))

    def _with_profile(self, X: pd.DataFrame) -> pd.DataFrame:
        # features are float32 in training; a text file and a parquet file then give the same bits
        values = self.with_gene_sets(X.astype(np.float32))
        return values if self.profile is None else values.join(self.profile.predict(values))

    @property
    def names(self) -> pd.DataFrame | None:
        """Other names of the model's genes, as `crossres_ml.predict.names.gene_names` makes them."""
        told = self.recipe.get("names")
        if not told:
            return None
        table = pd.DataFrame(told).set_index("symbol")
        return table.assign(**{c: table[c].map(tuple) for c in ("previous", "ambiguous")})


def _feature_table(
    shares: pd.DataFrame, X: pd.DataFrame, info: pd.DataFrame, scorer: GeneSetScorer | None
) -> list[dict[str, Any]]:
    """Describe each feature from the training lines alone."""
    needed = {*shares.columns, *(f"rna:{g}" for g in (scorer.genes if scorer else []))}
    columns = [c for c in X.columns if c in needed and not c.startswith(PREFIXES)]
    values = X[columns]
    share = shares.reindex(columns=columns, fill_value=0.0).abs().sum()
    share = share / share.sum() if share.sum() > 0 else share
    table = info.loc[columns, ["block", "name", "unit"]].assign(
        median=values.median(), low=values.min(), high=values.max(), share=share
    )
    numbers = ["median", "low", "high", "share"]
    table[numbers] = table[numbers].astype(float).round(8)
    rows = table.to_dict("index")
    return [{"feature": f, **{str(k): v for k, v in rows[f].items()}} for f in columns]


def save_bundle(
    folder: Path,
    model: FittedModel,
    profile: DrugProfile | None,
    scorer: GeneSetScorer | None,
    rule: LabelRule,
    X: pd.DataFrame,
    info: pd.DataFrame,
    data: dict[str, Any],
    card: str,
    names: pd.DataFrame | None = None,
    lines: pd.DataFrame | None = None,
    trained: TrainingLines | None = None,
    datasheet: str | None = None,
) -> None:
    """Write a fitted model to a new folder.

    Parameters
    ----------
    folder : Path
        Made by this call.
    model : FittedModel
        Fitted.
    profile : DrugProfile or None
        The drug profile of the training lines; kept if the model reads it.
    scorer : GeneSetScorer or None
        How the training lines' gene sets were scored.
    rule : LabelRule
        The label rule of the same training lines.
    X : pandas.DataFrame
        Training lines x features, the profile's components included.
    info : pandas.DataFrame
        Feature table of the cohort (block, name, unit).
    data : dict
        kind, hashes, number of lines and the like; kept as it is.
    card : str
        Model card in Markdown.
    names : pandas.DataFrame, optional
        Other names of genes, as `crossres_ml.predict.names.gene_names` makes them.
    lines : pandas.DataFrame, optional
        ``lineage`` and ``group`` of the training lines; without it, lines of unknown lineage, unrelated.
    trained : TrainingLines, optional
        The lines that it learned from; without them it cannot be validated on another study.
    datasheet : str, optional
        What the data are, in Markdown.

    Raises
    ------
    BundleError
        If the kind of model cannot be kept.
    """
    folder.mkdir(parents=True)
    try:
        recipe = _write_parts(folder, model, profile if reads_profile(model) else None, scorer, X, info)
        _write_surroundings(folder, recipe["features"], X, lines)
    except BaseException:
        shutil.rmtree(folder)
        raise
    recipe |= {
        "format": FORMAT,
        "training": None if trained is None else trained.save(folder),
        "task": rule.task,
        "lineages": sorted(c.split(":", 1)[1] for c in X.columns if c.startswith("lineage:")),
        "label_rule": {"quantile": rule.quantile, "cuts": rule.cuts, "grids": rule.grids},
        "conformal": model.conformal.state(),
        "names": _names_of(recipe["features"], names),
        "score_spread": float(np.std(model.cross_scores)),
        "inner_spearman": model.inner_spearman,
        "parameters": {
            k: v
            for k, v in model.parameters().items()
            if v is None or isinstance(v, bool | int | float | str)
        },
        "data": data,
        "versions": versions(),
    }
    write_json(folder / RECIPE, recipe)
    for name, text in (("MODEL_CARD.md", card), ("DATASHEET.md", datasheet)):
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    write_manifest(folder, key="bundle")


def _names_of(features: list[dict[str, Any]], names: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Keep the other names of the genes that the model reads."""
    if names is None:
        return []
    genes = {f["name"] for f in features}
    own = names[names.index.isin(genes)].rename_axis("symbol").reset_index()
    return [
        {str(k): list(v) if isinstance(v, tuple) else v for k, v in r.items()} for r in own.to_dict("records")
    ]


def _write_parts(
    folder: Path, model: FittedModel, profile: DrugProfile | None, scorer: GeneSetScorer | None,
    X: pd.DataFrame, info: pd.DataFrame,
) -> dict[str, Any]:  # fmt: skip
    told = {"model": save_model(model, folder)}
    shares = model.explain(X).drop(columns=list(unused(model)))
    reads = any(c.startswith("gene_set:") for c in shares.columns)
    if scorer is not None and not (reads and {f"rna:{g}" for g in scorer.genes} <= set(X.columns)):
        scorer = None  # without all of its genes among the features no new sample can be scored
    return told | {
        "profile": None if profile is None else save_profile(profile, folder),
        "gene_sets": None if scorer is None else save_scorer(scorer, folder),
        "features": _feature_table(shares, X, info, scorer),
    }


def _write_surroundings(
    folder: Path, features: list[dict[str, Any]], X: pd.DataFrame, lines: pd.DataFrame | None
) -> None:
    """Keep what the training lines look like, and how far one of them lies from the others."""
    names = [f["feature"] for f in features]
    share = np.array([f["share"] for f in features])
    lineage = np.full(len(X), "") if lines is None else lines.loc[X.index, "lineage"].fillna("").to_numpy(str)
    groups = np.arange(len(X)) if lines is None else lines.loc[X.index, "group"].to_numpy()
    expression = X[[f["feature"] for f in features if f["block"] == "rna"]].astype(np.float32)
    save_arrays(folder / _REFERENCE, Reference(expression.reset_index(drop=True), lineage).arrays())
    domain = Domain.fit(X[names].astype(np.float32).to_numpy(dtype=float), share, groups)
    save_arrays(folder / _DOMAIN, domain.arrays())


def load_bundle(folder: Path) -> Bundle:
    """Load and verify a bundle.

    Parameters
    ----------
    folder : Path
        As `save_bundle` made it.

    Returns
    -------
    Bundle
        Ready to predict.

    Raises
    ------
    BundleError
        If a part is missing, altered, of another format, or contains types that are not allowed.
    """
    if not (folder / MANIFEST).is_file() or not (folder / RECIPE).is_file():
        raise BundleError(
            "is not a model folder", where=str(folder), do="name a folder that crossres train made"
        )
    if bad := is_intact(folder):
        raise BundleError(
            f"parts are missing or were altered: {preview(bad)}",
            where=str(folder),
            do="train again, or copy the folder again",
        )
    recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    if recipe.get("format") != FORMAT:
        raise BundleError(
            f"format {recipe.get('format')!r}, this version reads {FORMAT}",
            where=str(folder),
            do="train again",
        )
    if lacking := [
        k
        for k in ("task", "model", "profile", "gene_sets", "features", "lineages", "data", "conformal")
        if k not in recipe
    ]:
        raise BundleError(
            f"{RECIPE} lacks {preview(lacking)}: part of the recipe is gone",
            where=str(folder),
            do="train again",
        )
    try:
        profile = load_profile(recipe["profile"], folder) if recipe["profile"] else None
        model = load_model(recipe["model"], folder, profile)
        model.conformal = Conformal.from_state(recipe["conformal"])
        scorer = load_scorer(recipe["gene_sets"], folder) if recipe["gene_sets"] else None
        reference = Reference.of_arrays(load_arrays(folder / _REFERENCE))
        domain = Domain.of_arrays(load_arrays(folder / _DOMAIN))
    except Exception as e:
        raise BundleError(f"the model cannot be loaded: {e}", where=str(folder), do="train again") from e
    features = pd.DataFrame(recipe["features"]).set_index("feature")
    digest = sha256(folder / MANIFEST)
    return Bundle(recipe, features, model, profile, scorer, reference, domain, digest, folder)
