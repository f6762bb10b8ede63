"""A trained model as a folder: text, JSON and skops; nothing that runs code when it is loaded.

A bundle carries its own recipe: the ordered features with block, unit, training median and range,
the label rule, the calibration, the hashes of the data, and the versions. Predicting needs no
configuration.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.pipeline import Pipeline

from crossres_ml.artifacts import MANIFEST, is_intact, versions, write_json, write_manifest
from crossres_ml.cohort.labels import LabelRule
from crossres_ml.errors import BundleError, preview
from crossres_ml.models.estimators import LightGBMScore, LinearPipeline
from crossres_ml.models.resistance import ResistanceModel

FORMAT = 1
RECIPE, TREES, LINEAR = "bundle.json", "model.txt", "model.skops"
# What a skops file may contain beyond its own defaults; constant, never taken from the file.
_TRUSTED = ("numpy.dtype",)
_EPOCH = (1980, 1, 1, 0, 0, 0)


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
    model : lightgbm.Booster or sklearn.pipeline.Pipeline
        The fitted object.
    """

    recipe: dict[str, Any]
    features: pd.DataFrame
    model: Any

    @property
    def task(self) -> str:
        """Task name."""
        return str(self.recipe["task"])

    @property
    def kind(self) -> str:
        """``real`` or ``simulated``: what it was trained on."""
        return str(self.recipe["data"]["kind"])

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Score aligned profiles.

        Parameters
        ----------
        X : pandas.DataFrame
            Columns exactly the bundle's features, in order; NaN where not measured.

        Returns
        -------
        pandas.DataFrame
            ``score`` and ``probability``.

        Raises
        ------
        BundleError
            If the columns are not the bundle's features in the bundle's order: LightGBM matches
            columns by position and would say nothing.
        """
        if list(X.columns) != list(self.features.index):
            raise BundleError("columns are not the model's features in its order", do="align the table first")
        # features are float32 in training; a text file and a parquet file then give the same bits
        values = X.to_numpy(dtype=np.float32)
        if isinstance(self.model, Pipeline):
            scaled = self.model[:-1].transform(values.astype(float))
            last = self.model[-1]
            score = scaled @ np.ravel(last.coef_) + float(np.ravel(last.intercept_)[0])
        else:
            score = np.asarray(self.model.predict(values, num_threads=1))
        calibration = self.recipe["calibration"]
        probability = expit(calibration["slope"] * score + calibration["intercept"])
        return pd.DataFrame({"score": score, "probability": probability}, index=X.index)


def _feature_table(model: ResistanceModel, X: pd.DataFrame, info: pd.DataFrame) -> list[dict[str, Any]]:
    """Describe each feature from the training lines alone."""
    columns = model.estimator_.columns
    values = X[columns]
    share = model.estimator_.explain(values).abs().sum()
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
    model: ResistanceModel,
    rule: LabelRule,
    X: pd.DataFrame,
    info: pd.DataFrame,
    data: dict[str, Any],
    card: str,
) -> None:
    """Write a fitted model to a new folder.

    Parameters
    ----------
    folder : Path
        Made by this call.
    model : ResistanceModel
        Fitted.
    rule : LabelRule
        The label rule of the same training lines.
    X : pandas.DataFrame
        Training lines x features.
    info : pandas.DataFrame
        Feature table of the cohort (block, name, unit).
    data : dict
        kind, hashes, number of lines and the like; kept as it is.
    card : str
        Model card in Markdown.

    Raises
    ------
    BundleError
        If the kind of model cannot be kept.
    """
    estimator = model.estimator_
    if not isinstance(estimator, LightGBMScore | LinearPipeline):
        raise BundleError(
            f"a model of kind {estimator.name!r} cannot be kept", do="save a ridge, logistic or lightgbm"
        )
    folder.mkdir(parents=True)
    if isinstance(estimator, LightGBMScore):
        part = TREES
        (folder / TREES).write_text(estimator.booster_.model_to_string(), encoding="utf-8")
    else:
        part = LINEAR
        import skops.io  # takes seconds to import

        (folder / LINEAR).write_bytes(_canonical(skops.io.dumps(estimator.pipeline_)))
    recipe = {
        "format": FORMAT,
        "task": rule.task,
        "model": estimator.name,
        "part": part,
        "features": _feature_table(model, X, info),
        "lineages": sorted(c.split(":", 1)[1] for c in X.columns if c.startswith("lineage:")),
        "label_rule": {"quantile": rule.quantile, "cuts": rule.cuts, "grids": rule.grids},
        "calibration": {"slope": model.slope_, "intercept": model.intercept_},
        "inner_spearman": model.inner_spearman_,
        "parameters": {
            k: v
            for k, v in estimator.parameters().items()
            if v is None or isinstance(v, bool | int | float | str)
        },
        "data": data,
        "versions": versions(),
    }
    write_json(folder / RECIPE, recipe)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    write_manifest(folder, key="bundle")


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
        k for k in ("task", "part", "features", "lineages", "calibration", "data") if k not in recipe
    ]:
        raise BundleError(
            f"{RECIPE} lacks {preview(lacking)}: part of the recipe is gone",
            where=str(folder),
            do="train again",
        )
    try:
        if recipe["part"] == TREES:
            model: Any = lgb.Booster(model_str=(folder / TREES).read_text(encoding="utf-8"))
        else:
            import skops.io  # takes seconds to import

            model = skops.io.loads((folder / LINEAR).read_bytes(), trusted=list(_TRUSTED))
    except Exception as e:
        raise BundleError(
            f"{recipe['part']} cannot be loaded: {e}", where=str(folder), do="train again"
        ) from e
    return Bundle(recipe, pd.DataFrame(recipe["features"]).set_index("feature"), model)


def _canonical(raw: bytes) -> bytes:
    """Rewrite a skops file so that the same model gives the same bytes.

    skops names nodes and arrays by memory address and stamps the time; both are replaced by the
    order of appearance and a constant.
    """
    with zipfile.ZipFile(io.BytesIO(raw)) as old:
        schema = json.loads(old.read("schema.json"))
        arrays = {n: old.read(n) for n in old.namelist() if n != "schema.json"}
    seen: dict[object, int] = {}
    files: dict[str, bytes] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "__id__" in node:
                # scalars are shared or not by chance of the interpreter: each gets its own number
                key = object() if node.get("is_json") else node["__id__"]
                node["__id__"] = seen.setdefault(key, len(seen) + 1)
            if isinstance(node.get("file"), str):
                name = f"{node['__id__']}{Path(node['file']).suffix}"
                files[name] = arrays[node["file"]]
                node["file"] = name
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    files["schema.json"] = json.dumps(schema, indent=1).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        for name, content in files.items():
            new.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return out.getvalue()
