"""A folder of results for the tests of the report: real tables of the small study, made-up predictions.

Training would take a minute; the report only reads tables, so those of models are made here by code.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from report_audit import make_audit

from crossres_ml.artifacts import write_table
from crossres_ml.audit.attribution import named_genes, rank_features
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import scored_lines
from crossres_ml.cohort.missing import count_missing
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.across import across_responses
from crossres_ml.evaluation.comparisons import compare_both, learning_curve
from crossres_ml.evaluation.folds import FULL, Fold, fold_data, list_folds, task_matrix
from crossres_ml.evaluation.skill import Skill, assess, is_baseline, per_lineage, pooled
from crossres_ml.evaluation.variants import summarise_variants
from crossres_ml.models.fit import offered
from crossres_ml.report.audit_run import OUTCOME_OF
from crossres_ml.report.summary import DataSummary, SkillTables, Summary, build_summary
from crossres_ml.splits import describe_splits

SKILL = {
    "prevalence": 0.0, "lineage_mean": 0.3, "ridge": 1.5, "lightgbm": 1.0, "gp": 1.4, "mean_of_two": 0.9,
}  # fmt: skip
"""How much of the response a made-up model's score holds."""
LESS = {"no_caution": 0.9, "rna_rppa": 0.8, "rna_mutations": 0.7, "rna": 0.6, "mutations": 0.1}
"""How much of that is left with fewer measurements."""
SIDE = ("lineage_mean", "gp")
"""Models that are also fitted on less."""
DRAWS = {"draws": 100, "seed": 1}


def study_config(config: TrainConfig) -> TrainConfig:
    """The configuration of the made-up run: more models, and side runs."""
    changes = {"models": tuple(SKILL), "side_models": SIDE, "permuted": True, "learning_curve": (0.25, 0.5)}
    return TrainConfig.model_validate({**config.model_dump(), **changes, "retrained": ("rna",)})


def make_results(
    folder: Path,
    cohort: Cohort,
    config: TrainConfig,
    splits: pd.DataFrame,
    *,
    kind: str = "simulated",
    side_runs: bool = True,
    gate_open: bool = True,
) -> Summary:
    """Write every table that the report reads, and give the summary of them; the audit is made up."""
    config = study_config(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    write_table(folder / "lines.csv", cohort.lines.join(cohort.responses))
    write_table(folder / "coverage.csv", cohort.coverage())
    write_table(folder / "coverage_by_line.parquet", cohort.coverage_by_line())
    write_table(folder / "dropped_counts.csv", count_missing(cohort.missing()))
    write_table(folder / "dropped.csv", cohort.dropped)
    write_table(folder / "unresolved.csv", cohort.unresolved)
    write_table(folder / "splits.csv", describe_splits(splits, cohort))
    predictions = _predictions(cohort, config, splits)
    if not side_runs:
        predictions = predictions[predictions.variant == FULL]
    write_table(folder / "predictions.parquet", predictions)
    made = _write_skill(folder, predictions, cohort)
    X, named, tables = task_matrix(cohort, config), {}, []
    for task in TASKS:
        ranks = rank_features(_contributions(X), X, scored_lines(cohort, task))
        write_table(folder / f"shap_{task}.csv", ranks)
        named[task], table = named_genes(ranks, config.named_genes, 50)
        tables.append(table.assign(task=task, model=made.skill.champion[task]))
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
    audit = make_audit(folder / "audit", gate_open=gate_open)
    for task, outcome in OUTCOME_OF.items():
        for r in pd.read_csv(folder / "audit" / "named_genes.csv").to_dict("records"):
            if r["outcome"] == outcome and r["gene"] in named[task]:
                named[task][r["gene"]]["p"] = r["p"]
    return build_summary(data, made, named, {"held_out": 1.0}, 100.0, audit)


def _write_skill(folder: Path, predictions: pd.DataFrame, cohort: Cohort) -> SkillTables:
    made = SkillTables(
        assess(predictions, **DRAWS),
        pooled(predictions),
        summarise_variants(predictions, **DRAWS),
        learning_curve(predictions, **DRAWS),
        compare_both(predictions, **DRAWS),
    )
    champions = {t: made.skill.champion[t] for t in TASKS}
    tables = {
        "metrics": made.skill.metrics, "paired": made.skill.paired, "pooled": made.pooled,
        "variants": made.variants, "learning_curve": made.curve, "both": made.both,
        "lineages": per_lineage(predictions, **DRAWS),
        "across_responses": across_responses(predictions, cohort.responses, champions, **DRAWS),
    }  # fmt: skip
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    return made


def saved_tables(folder: Path, summary: Summary) -> SkillTables:
    """The tables of skill as they were written."""
    skill = Skill(
        pd.read_csv(folder / "metrics.csv"),
        {t: summary.tasks[t].best_baseline for t in TASKS},
        {t: summary.tasks[t].champion for t in TASKS},
        pd.read_csv(folder / "paired.csv"),
    )
    names = ("pooled", "variants", "learning_curve", "both")
    return SkillTables(skill, *(pd.read_csv(folder / f"{n}.csv") for n in names))


def without_audit(summary: Summary) -> Summary:
    """The same summary, of a run that audited nothing."""
    raw = summary.model_dump(mode="json") | {"audit": None}
    for tasks in raw["named_genes"].values():
        for entry in tasks.values():
            entry["p"] = None
    return Summary.model_validate(raw)


def as_real(summary: Summary) -> Summary:
    """The same summary, as if the data were real."""
    return summary.model_copy(update={"data": summary.data.model_copy(update={"kind": "real"})})


def _variants(name: str, fold: Fold) -> dict[str, float]:
    """What is scored in a fold by a model: variant -> how much of its skill is left."""
    if fold.variant == FULL:
        hidden = LESS if fold.mode == "cell_line_out" and not is_baseline(name) else {}
        return {FULL: 1.0, **hidden}
    left = {"permuted": 0.0, "train_25": 0.5, "train_50": 0.8, "rna_retrained": 0.7}
    return {fold.variant: left[fold.variant]} if name in SIDE else {}


def _predictions(cohort: Cohort, config: TrainConfig, splits: pd.DataFrame) -> pd.DataFrame:
    rng, X, parts = np.random.default_rng(5), task_matrix(cohort, config), []
    for fold in list_folds(cohort, splits, config):
        for task, table in fold_data(cohort, config, X, fold).truth.items():
            truth = table.rename_axis("model_id").reset_index()
            z = (truth.response - truth.response.mean()) / truth.response.std()
            for name in (n for n in config.models if offered(n, task)):
                for variant, left in _variants(name, fold).items():
                    share = SKILL[name] * left
                    score = share * z + (rng.normal(size=len(z)) if SKILL[name] else 0)
                    made = {
                        "score": score,
                        "expected": truth.response.mean() + score * truth.response.std() / 3,
                        "probability": 1 / (1 + np.exp(1 - score)),
                        "inner_spearman": SKILL[name],
                        "parameters": json.dumps({"alpha": fold.repeat}),
                    }
                    where = {"model": name, "task": task, "mode": fold.mode, "variant": variant}
                    parts.append(truth.assign(**made, **where, repeat=fold.repeat, fold=fold.fold))
    return pd.concat(parts, ignore_index=True)


def _contributions(X: pd.DataFrame) -> pd.DataFrame:
    """Fewer and fewer, so that the named genes stand here and there; the last feature none."""
    size = np.linspace(5, 0, X.shape[1])
    table = {"feature": X.columns, "sum_abs_shap": size, "covariance": np.where(size > 2, size, -size)}
    return pd.DataFrame({**table, "repeat": 0, "fold": "0", "lines": len(X)})
