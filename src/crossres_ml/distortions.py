"""What damaged profiles do to predictions: held-out lines, spoilt in known ways, scored by saved models."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.artifacts import is_current, publish, refuse_foreign, run_key, write_manifest, write_table
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.config_names import TASKS
from crossres_ml.errors import ProfileError
from crossres_ml.evaluation.folds import FoldData, fold_data, list_folds, task_matrix
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.gather import gather_cohort, plan_data
from crossres_ml.models.bundle import save_bundle
from crossres_ml.predict.names import gene_names
from crossres_ml.predict.predictor import Predictor
from crossres_ml.splits import make_splits

MODEL = "gp"
"""One model stands for all: it takes missing blocks as they are, and is the largest part of the champions."""
METHODS = ("none", "auto")
Distortion = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def _on_expression(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Distortion:
    def distort(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        out = frame.copy()
        genes = frame.columns[frame.columns.str.startswith("rna:")]
        out[genes] = np.maximum(change(frame[genes].to_numpy(dtype=float), rng), 0.0)
        return out

    return distort


def _bent(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pass each sample's values through a monotone curve of its own."""
    highest = np.nanmax(values, axis=1, keepdims=True)
    return np.asarray(highest * (values / highest) ** rng.uniform(0.4, 2.5, (len(values), 1)))


def _array(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each gene a gain and an offset of its own, as probes of an array have."""
    genes = values.shape[1]
    return values * rng.uniform(0.2, 0.6, genes) + rng.uniform(2.0, 8.0, genes)


def _without_genes(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    genes = frame.columns[frame.columns.str.startswith("rna:")].to_numpy()
    return frame.drop(columns=list(rng.choice(genes, int(0.3 * len(genes)), replace=False)))


def _without_blocks(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    block = frame.columns.str.split(":", n=1).str[0]
    blocks = np.unique(block.to_numpy(dtype=str))
    gone = rng.choice(blocks, len(blocks) // 2, replace=False)
    return frame.loc[:, ~block.isin(gone)]


def _only_expression(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.loc[:, frame.columns.str.startswith("rna:")]


def _expression_and_mutations(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.loc[:, frame.columns.str.startswith(("rna:", "mutation:"))]


def _mutations(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.loc[:, frame.columns.str.startswith("mutation:")]


def _without_slfn11(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.loc[:, ~frame.columns.str.contains("SLFN11")]


DISTORTIONS: Mapping[str, Distortion] = {
    "as measured": lambda frame, rng: frame,
    "a curve of its own for each sample": _on_expression(_bent),
    "each gene its own gain and offset": _on_expression(_array),
    "values doubled": _on_expression(lambda v, rng: 2 * v),
    "log10 instead of log2": _on_expression(lambda v, rng: v * np.log10(2)),
    "30 % of the genes missing": _without_genes,
    "half of the blocks missing": _without_blocks,
    "expression alone": _only_expression,
    "expression and mutations": _expression_and_mutations,
    "mutations alone": _mutations,
    "without SLFN11": _without_slfn11,
}


def measure_distortions(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    mirror: Path | None = None,
    folds: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Score held-out lines that were spoilt in known ways.

    Parameters
    ----------
    config : TrainConfig
        Says which data, and how models are fitted.
    panels : Panels
        Drug panels.
    output : Path
        Folder; gets ``distortions.csv``: distortion, normalise, task, fold, and what `_measure` found.
    mirror : Path, optional
        Folder with the public files.
    folds : int, optional
        Only so many of the first repeat's folds.
    progress : callable, optional
        Called with folds done and in total.

    Returns
    -------
    Path
        The table.
    """
    plan = plan_data(config, mirror)
    refuse_foreign(output)
    key = run_key(config=config.digest(), panels=panels.model_dump(mode="json"), sources=plan.sources,
                  kind=plan.kind, folds=folds, made="distortions")  # fmt: skip
    table = output / "distortions.csv"
    if is_current(output, key):
        return table
    cohort = gather_cohort(plan, config, panels)
    splits = make_splits(cohort, config.splits, quantile=config.resistant_quantile)
    own = config.model_copy(update={"models": ("lineage_mean", MODEL)})
    X = task_matrix(cohort, own)
    todo = [f for f in list_folds(cohort, splits, own) if f.mode == "cell_line_out" and f.repeat == 0]
    todo = [f for f in todo if f.variant == "full"][:folds]
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    found = []
    for number, fold in enumerate(todo):
        data = fold_data(cohort, own, X, fold)
        with_models = _save_models(data, own, cohort, work / "models")
        found += [{"fold": fold.fold, **row} for row in _measure(with_models, data, config.seed + number)]
        shutil.rmtree(work / "models")
        progress(number + 1, len(todo))
    write_table(work / table.name, pd.DataFrame(found))
    write_manifest(work, key)
    publish(work, output)
    return table


def _save_models(data: FoldData, config: TrainConfig, cohort: Cohort, folder: Path) -> Predictor:
    models = model_set(data, config, config.models)
    names = None if cohort.genes is None else gene_names(cohort.genes, cohort.features.name.unique())
    facts = {"kind": cohort.kind, "training_lines": len(data.X)}
    folder.mkdir()
    for task in data.fold.tasks:
        save_bundle(
            folder / task, models.get(task, MODEL), models.profile, cohort.scorer, data.rules[task],
            models.views[task].X, cohort.features, facts, "", names, cohort.lines,
        )  # fmt: skip
    return Predictor.load(folder)


def _measure(models: Predictor, data: FoldData, seed: int) -> list[dict[str, Any]]:
    """Spoil the held-out lines in every way, and say what was seen, task by task."""
    features = models.features
    given = data.X_test[[f for f in features.index if f in data.X_test and not f.startswith("lineage:")]]
    tested = sorted({line for truth in data.truth.values() for line in truth.index})
    given = given.loc[tested].rename_axis("model_id")
    rows = []
    for name, distort in DISTORTIONS.items():
        for method in METHODS:
            frame = distort(given, np.random.default_rng(seed))
            told = {"distortion": name, "normalise": method}
            try:
                rows += [told | row for row in _score(models, frame, method, data)]
            except ProfileError as refused:
                rows += [
                    told | {"task": t, "lines": len(truth), "scored": 0, "refused_because": refused.what}
                    for t, truth in data.truth.items()
                ]
    return rows


def _score(models: Predictor, frame: pd.DataFrame, method: str, data: FoldData) -> list[dict[str, Any]]:
    judged = models.judge(frame, normalise=method)
    platform, spread = judged.platform, judged.spread
    rows = []
    for task in (t for t in TASKS if t in data.truth):
        truth = data.truth[task]
        own = judged.scores.loc[truth.index]
        score = own[f"{task}_score"]
        kept = score.notna()
        known = (own[f"{task}_set"] != "") & kept
        right = [
            ("resistant" if y == 1 else "sensitive") in s.split("|")
            for y, s in zip(truth.label[known], own[f"{task}_set"][known], strict=True)
        ]
        rows.append(
            {
                "task": task, "lines": len(own), "scored": int(kept.sum()),
                "spearman": truth.response[kept].corr(score[kept], method="spearman"),
                "brier": float(((own[f"{task}_probability"] - truth.label)[kept] ** 2).mean()),
                "sd": spread[task]["sd"], "expected_sd": spread[task]["expected"],
                "collapsed": spread[task]["collapsed"], "method": platform.method,
                "distance": platform.distance[task], "limit": platform.limit[task],
                "outside": float(own[f"{task}_flags"].str.contains("outside").mean()),
                "coverage": float(own[f"{task}_coverage"].mean()),
                "set_covers": float(np.mean(right)) if right else float("nan"),
                "warnings": "; ".join(judged.report["warnings"]), "refused_because": "",
            }
        )  # fmt: skip
    return rows
