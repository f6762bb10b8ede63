"""The champions fitted on all their lines and kept, each with its card and the data's sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.heldout import fit_final
from crossres_ml.models.bundle import save_bundle
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.resistance import FittedModel
from crossres_ml.models.training_lines import describe_training
from crossres_ml.predict.names import gene_names
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.cards import Ingredients, model_card
from crossres_ml.report.summary import DataSummary, NamedGene, SkillTables, summarise_task


def _ingredients(model: FittedModel, view: TrainingView) -> Ingredients:
    blocks = Counter(str(c).split(":")[0] for c in view.X.columns)
    sure = bool(np.isfinite(model.spread(view.X.head(1))).all())
    return Ingredients(model.parameters(), blocks, len(view.X), sure)


def save_final_models(
    cohort: Cohort,
    config: TrainConfig,
    tables: SkillTables,
    data: DataSummary,
    folder: Path,
    *,
    audit: AuditSummary | None,
    named: Mapping[TaskName, Mapping[str, Mapping[str, object]]],
    datasheet: str,
) -> None:
    """Fit the champion of each task on all its lines and keep it.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    tables : SkillTables
        Name the champions and say how good they are.
    data : DataSummary
        Goes into the bundles.
    folder : Path
        Gets a folder a task.
    audit : AuditSummary or None
        Verdicts on the claims, for the cards.
    named : mapping
        Task -> named gene -> entry with its calibrated ``p``, for the cards.
    datasheet : str
        What the data are, in Markdown; goes into the bundles.
    """
    final = fit_final(cohort, config, {t: tables.skill.champion[t] for t in TASKS})
    names = None if cohort.genes is None else gene_names(cohort.genes, cohort.features.name.unique())
    for task, model in final.models.items():
        view = final.views[task]
        facts = {**data.model_dump(mode="json"), "training_lines": len(view.X)}
        genes = {g: NamedGene.model_validate(entry).p for g, entry in named[task].items()}
        made_of = _ingredients(model, view)
        card = model_card(task, summarise_task(tables, task), data, made_of, audit, genes)
        save_bundle(
            folder / task,
            model,
            final.profile,
            cohort.scorer,
            final.rules[task],
            view.X,
            cohort.features,
            facts,
            card,
            names,
            cohort.lines,
            describe_training(model, final.profile, view, cohort),
            datasheet,
        )
