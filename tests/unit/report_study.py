"""A folder of results for the tests of the report: real tables of the small study, made-up predictions.

Training would take a minute; the report only reads tables, so those of models are made here by code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from crossres_ml.artifacts import write_table
from crossres_ml.audit.attribution import named_genes, rank_features
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import scored_lines
from crossres_ml.config import TASKS, TrainConfig
from crossres_ml.evaluation.folds import FULL, fold_data, list_folds, task_matrix
from crossres_ml.evaluation.skill import assess
from crossres_ml.report.summary import DataSummary, Summary, build_summary
from crossres_ml.splits import describe_splits

SKILL = {"prevalence": 0.0, "lineage_mean": 0.3, "ridge": 1.5, "lightgbm": 1.0}
"""How much of the response a made-up model's score holds."""


def make_results(
    folder: Path, cohort: Cohort, config: TrainConfig, splits: pd.DataFrame, *, kind: str = "simulated"
) -> Summary:
    """Write every table that the report reads, and give the summary of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    write_table(folder / "lines.csv", cohort.lines.join(cohort.responses))
    write_table(folder / "coverage.csv", cohort.coverage())
    write_table(folder / "dropped.csv", cohort.dropped)
    write_table(folder / "unresolved.csv", cohort.unresolved)
    write_table(folder / "splits.csv", describe_splits(splits, cohort))
    predictions = _predictions(cohort, config, splits)
    write_table(folder / "predictions.parquet", predictions)
    skill = assess(predictions, draws=100, seed=1)
    write_table(folder / "metrics.csv", skill.metrics)
    write_table(folder / "paired.csv", skill.paired)
    X, named, tables = task_matrix(cohort, config), {}, []
    for task in TASKS:
        ranks = rank_features(_contributions(X), X, scored_lines(cohort, task))
        write_table(folder / f"shap_{task}.csv", ranks)
        named[task], table = named_genes(ranks, config.named_genes, 50)
        tables.append(table.assign(task=task, model=skill.champion[task]))
    write_table(folder / "named_genes.csv", pd.concat(tables, ignore_index=True))
    known = cohort.responses[["radiation", "chemotherapy"]].notna()
    data = DataSummary(
        kind=kind,
        config_hash="c" * 64,
        cohort_hash="d" * 64,
        source_hashes={"a_file": "e" * 64},
        lines=len(known),
        lines_radiation=int(known.radiation.sum()),
        lines_chemotherapy=int(known.chemotherapy.sum()),
        lines_both=int(known.all(axis=1).sum()),
        unresolved_radiation=[],
    )
    return build_summary(data, skill, named, {"held_out": 1.0}, 100.0)


def _predictions(cohort: Cohort, config: TrainConfig, splits: pd.DataFrame) -> pd.DataFrame:
    rng, X, parts = np.random.default_rng(5), task_matrix(cohort, config), []
    for fold in list_folds(cohort, splits, config):
        if fold.variant != FULL:
            continue
        for task, table in fold_data(cohort, config, X, fold).truth.items():
            truth = table.rename_axis("model_id").reset_index()
            z = (truth.response - truth.response.mean()) / truth.response.std()
            for name in config.models:
                score = SKILL[name] * (z + rng.normal(size=len(z))) if SKILL[name] else 0 * z
                made = {
                    "score": score,
                    "expected": truth.response.mean() + score * truth.response.std() / 3,
                    "probability": 1 / (1 + np.exp(1 - score)),
                    "inner_spearman": SKILL[name],
                }
                where = {"model": name, "task": task, "mode": fold.mode, "variant": FULL}
                parts.append(truth.assign(**made, **where, repeat=fold.repeat, fold=fold.fold))
    return pd.concat(parts, ignore_index=True)


def _contributions(X: pd.DataFrame) -> pd.DataFrame:
    """Fewer and fewer, so that the named genes stand here and there; the last feature none."""
    size = np.linspace(5, 0, X.shape[1])
    table = {"feature": X.columns, "sum_abs_shap": size, "covariance": np.where(size > 2, size, -size)}
    return pd.DataFrame({**table, "repeat": 0, "fold": "0", "lines": len(X)})
