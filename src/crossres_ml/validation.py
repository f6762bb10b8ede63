"""External validation: a saved model tried on an independent study whose responses were measured."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.artifacts import (
    Finished,
    is_current,
    publish,
    refuse_foreign,
    run_key,
    sha256,
    versions,
    write_json,
    write_manifest,
    write_table,
)
from crossres_ml.audit.save import plain
from crossres_ml.config_names import TASKS, config_path
from crossres_ml.errors import BundleError, ValidationError, preview
from crossres_ml.evaluation.external import MODEL, measure
from crossres_ml.identity.likeness import ALIKE
from crossres_ml.models.bundle import Bundle
from crossres_ml.models.conformal import half_error, prediction_set
from crossres_ml.models.training_lines import TrainingLines
from crossres_ml.predict.independent import CAUSES, score_study
from crossres_ml.predict.profiles import Opened, open_profiles
from crossres_ml.predict.responses import Responses, read_responses
from crossres_ml.predict.score import find_bundles

log = logging.getLogger(__name__)
LEAST = 10
DRAWS, SEED = 1000, 2016
_REPORTED = ("orientation", "unit", "platform", "features_found", "warnings")


@dataclass(frozen=True)
class Study:
    """What a user gives of an independent study.

    Attributes
    ----------
    profiles, responses : Path
        As `crossres_ml.predict.profiles.open_profiles` and
        `crossres_ml.predict.responses.read_responses` take them.
    column : str or None
        Column of the response.
    higher : {"resistant", "sensitive"}
        What a higher response means; of classes, what 1 means.
    orientation, unit, normalise : str
        Of the profiles.
    mutations : Path or None
        Beside the profiles.
    """

    profiles: Path
    responses: Path
    column: str | None = None
    higher: str = "resistant"
    orientation: str = "auto"
    unit: str = "auto"
    normalise: str = "auto"
    mutations: Path | None = None


@dataclass(frozen=True)
class Validated(Finished):
    """A finished validation."""

    @property
    def metrics(self) -> pd.DataFrame:
        """Table of `crossres_ml.evaluation.external.measure`."""
        return pd.read_csv(self.folder / "metrics.csv")

    @property
    def excluded(self) -> pd.DataFrame:
        """Samples that were left out: id, cause, reason, training_line, training_name, likeness."""
        return pd.read_csv(self.folder / "excluded.csv", dtype={"id": str, "likeness": float})

    @property
    def about(self) -> dict[str, Any]:
        """What was compared with what, and the counts."""
        found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
        return found


def validate(
    study: Study,
    task: str,
    model: str | None = None,
    *,
    output: Path,
    draws: int = DRAWS,
    seed: int = SEED,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Validated:
    """Predict a study and hold the predictions against its responses; do nothing when that is current.

    Parameters
    ----------
    study : Study
        Profiles and responses.
    task : str
        Task.
    model : str, optional
        As `crossres_ml.predict.score.find_bundles` takes it; of several models, that of the task.
    output : Path
        Folder; replaced only when the new one is complete. Gets ``metrics.csv``, ``metrics.json``,
        ``predictions.csv``, ``excluded.csv``, ``figures/`` and ``report.html``.
    draws : int, default `DRAWS`
        Draws behind the intervals.
    seed : int, default `SEED`
        Seed of the draws.
    progress : callable, optional
        Called with samples done and in total.
    announce : callable, optional
        Called with the kind of data that the model learned from.

    Returns
    -------
    Validated
        Where it is.

    Raises
    ------
    ValidationError
        If task or responses cannot be used, or fewer than ten samples, or one class only, remain.
    BundleError
        If there is no such model, or it does not know its training lines.
    ProfileError
        If the profiles cannot be scored.
    """
    if task not in TASKS or study.higher not in ("resistant", "sensitive"):
        raise ValidationError(
            f"task {task!r}, higher {study.higher!r}", where="--task, --higher",
            do=f"tasks: {', '.join(TASKS)}; higher means resistant or sensitive",
        )  # fmt: skip
    bundle = _bundle(task, model)
    announce(bundle.kind)
    known = bundle.training_lines
    measured = read_responses(study.responses, task, study.column)
    refuse_foreign(output)
    about = _about(study, measured, bundle, draws, seed)
    key = run_key(validation=about)
    if is_current(output, key):
        return Validated(output, bundle.kind, fresh=False)
    opened = open_profiles(
        study.profiles, bundle.features, bundle.names, orientation=study.orientation, unit=study.unit,
        mutations=study.mutations,
    )  # fmt: skip
    table, excluded = score_study(opened, measured, bundle, study.normalise, progress)
    table, told = _with_classes(table, measured, study.higher, bundle, excluded)
    widened = bool(opened.report["platform"]["prediction_sets_widened"])
    continuous = not measured.classes
    found = measure(table, known.resistant, continuous=continuous, draws=draws, seed=seed, widened=widened)
    about |= told | _counts(table, excluded, opened, known)
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work, ignore_errors=True)
    _write(work, table, excluded, found, about, measured)
    write_manifest(work, key)
    publish(work, output)
    return Validated(output, bundle.kind, fresh=True)


def _bundle(task: str, model: str | None) -> Bundle:
    bundles = find_bundles(model or task)
    own = [b for b in bundles if b.task == task]
    if not own:
        raise BundleError(
            f"no model of {task} there, but of {preview(b.task for b in bundles)}", where=str(model),
            do="name its folder with --model, or another task with --task",
        )  # fmt: skip
    return own[0]


def _about(study: Study, measured: Responses, bundle: Bundle, draws: int, seed: int) -> dict[str, Any]:
    """Everything that decides the result."""
    files = {"profiles": study.profiles, "responses": study.responses, "mutations": study.mutations}
    return {
        "task": bundle.task, "kind": bundle.kind, "model": bundle.digest, "trained_on": bundle.recipe["data"],
        "files": {k: None if p is None else {"name": p.name, "sha256": sha256(p)} for k, p in files.items()},
        "column": measured.column, "higher": study.higher, "grouped_by": measured.grouped_by,
        "overrides": sha256(config_path("identity_overrides.csv")),
        "orientation": study.orientation, "unit": study.unit, "normalise": study.normalise,
        "draws": draws, "seed": seed,
    }  # fmt: skip


def _with_classes(
    table: pd.DataFrame, measured: Responses, higher: str, bundle: Bundle, excluded: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Turn responses into classes; refuse a study of which too little is left."""
    left = excluded.cause.value_counts()
    lost = "; ".join(f"{left[c]} {t}" for c, t in CAUSES.items() if c in left)
    do = "give more samples that did not train the model (excluded: " + (lost or "none") + ")"
    if len(table) < LEAST:
        raise ValidationError(
            f"{len(table)} samples remain, and at least {LEAST} are needed",
            where=f"task {bundle.task}",
            do=do,
        )
    resistance = table.response if higher == "resistant" else -table.response
    told: dict[str, Any] = {"classes": measured.classes, "cut": None, "quantile": None}
    if measured.classes:
        label = table.response if higher == "resistant" else 1 - table.response
    else:
        quantile = float(bundle.recipe["label_rule"]["quantile"])
        if bundle.task == "cross":  # resistant to both are fewer than those above either quantile
            quantile = 1 - bundle.training_lines.resistant
        cut = float(np.quantile(resistance, quantile))
        label = (resistance >= cut).astype(float)
        told |= {"cut": cut if higher == "resistant" else -cut, "quantile": quantile}
    if label.nunique() < 2:
        raise ValidationError(
            f"all {len(table)} samples that remain are {'resistant' if label.iloc[0] else 'sensitive'}",
            where=f"column {measured.column}", do=do,
        )  # fmt: skip
    return table.assign(label=label, resistance=resistance), told


def _counts(
    table: pd.DataFrame, excluded: pd.DataFrame, opened: Opened, known: TrainingLines
) -> dict[str, Any]:
    left = excluded.cause.value_counts()
    unchecked = int(table.likeness.isna().sum())
    if unchecked:
        log.warning(
            "%d of %d samples have too few of the model's genes to be compared with its training lines by "
            "expression", unchecked, len(table),
        )  # fmt: skip
    return {
        "samples": len(table), "resistant": int(table.label.sum()), "groups": int(table.group.nunique()),
        "in_profiles": len(opened.ids), "excluded": {c: int(left.get(c, 0)) for c in CAUSES},
        "not_compared_by_expression": unchecked, "training_lines": len(known.lines),
        "training_prevalence": known.resistant, "lineage_baseline": bool(table.baseline.notna().all()),
        "unknown_lineage": int((~table.known_lineage).sum()),
        "profiles_report": {k: opened.report[k] for k in _REPORTED},
        "alike": ALIKE, "versions": versions(),
    }  # fmt: skip


def _write(
    folder: Path,
    table: pd.DataFrame,
    excluded: pd.DataFrame,
    found: pd.DataFrame,
    about: dict[str, Any],
    measured: Responses,
) -> None:
    """Write tables, figures and the page."""
    from crossres_ml.report.validation_page import write_validation_page  # heavy

    widened = about["profiles_report"]["platform"]["prediction_sets_widened"]
    p = table.p_resistant.to_numpy(), table.p_sensitive.to_numpy()
    sets = {
        name: prediction_set(*p, half_error(confidence) if widened else confidence)
        for name, confidence in (("set", 0.9), ("set_80", 0.8))
    }
    columns = ["response", "label", "probability", "score", "baseline", "baseline_probability", "group",
               "lineage", "nearest", "likeness"]  # fmt: skip
    write_table(folder / "predictions.csv", table[columns].assign(**sets).rename_axis("id"))
    write_table(folder / "excluded.csv", excluded)
    write_table(folder / "metrics.csv", found)
    metrics: dict[str, dict[str, Any]] = {}
    for row in found.to_dict("records"):
        own = {k: plain(row[k]) for k in ("value", "low", "high", "n")}
        metrics.setdefault(str(row["of"]), {})[str(row["metric"])] = own
    write_json(folder / "metrics.json", {**about, "metrics": metrics})
    write_validation_page(folder)
    value = metrics[MODEL]["auroc"]["value"]
    log.info("%s: %d samples scored, AUROC %.3f", measured.column, len(table), value)
