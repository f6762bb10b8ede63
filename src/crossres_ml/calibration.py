"""A calibration study: data, matrix, simulations, tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.artifacts import (
    Finished,
    is_current,
    publish,
    refuse_foreign,
    run_key,
    write_json,
    write_manifest,
    write_table,
)
from crossres_ml.audit.calibrate import MOST_FEATURES, Settings, calibrate, make_ground
from crossres_ml.audit.calibrate_summary import mean_seconds, summarise, summarise_both
from crossres_ml.audit.claims import load_claims
from crossres_ml.audit.data import outcome_views
from crossres_ml.audit.matrix import adjusted_matrix
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.evaluation.folds import task_matrix
from crossres_ml.gather import gather_cohort, plan_data


@dataclass(frozen=True)
class Calibrated(Finished):
    """Outcome of `calibrate_methods`."""

    @property
    def level_and_power(self) -> pd.DataFrame:
        """Table of `crossres_ml.audit.calibrate_summary.summarise`."""
        return pd.read_csv(self.folder / "calibration.csv")


def calibrate_methods(
    config: TrainConfig,
    panels: Panels,
    settings: Settings,
    *,
    output: Path,
    mirror: Path | None = None,
    jobs: int = 2,
    most: int = MOST_FEATURES,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Calibrated:
    """Measure level and power of every way to call a driver; do nothing when the results are current.

    Parameters
    ----------
    config : TrainConfig
        Its features make the matrix.
    panels : Panels
        Drug panels.
    settings : Settings
        How much is simulated.
    output : Path
        Folder of results; replaced only when the new ones are complete.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Parallel processes.
    most : int, default `MOST_FEATURES`
        Features of the matrix at most.
    progress : callable, optional
        Called with pieces of work done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    Calibrated
        Where the results are.
    """
    plan = plan_data(config, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    asked: dict[str, Any] = {**asdict(settings), "features": most}
    parts = {"config": config.digest(), "panels": panels.model_dump(mode="json"), "sources": plan.sources}
    key = run_key(**parts, kind=plan.kind, calibration=asked)
    if is_current(output, key):
        return Calibrated(output, plan.kind, fresh=False)
    cohort = gather_cohort(plan, config, panels)
    view = outcome_views(cohort, load_claims())["radiation"]
    features = task_matrix(cohort, config)
    matrix = adjusted_matrix(features, pd.DataFrame(index=features.index), view, config.features)
    ground = make_ground(features, matrix, most=most, seed=settings.seed)
    work = output.parent / f".{output.name}-{key[:16]}"
    results, seconds = calibrate(ground, settings, work / "studies", jobs=jobs, progress=progress)
    final = work / "results"
    shutil.rmtree(final, ignore_errors=True)
    write_table(final / "calibration.csv", summarise(results))
    write_table(final / "both.csv", summarise_both(results))
    write_table(final / "seconds.csv", mean_seconds(seconds))  # apart: times differ from run to run
    write_table(final / "simulations.parquet", results)
    write_json(
        final / "calibration.json",
        {
            "kind": plan.kind, "config_hash": config.digest(), "cohort_hash": cohort.digest(),
            "lines": len(view.lines), "features_of": len(matrix.features), **asked,
            "features": len(ground.matrix.features), "strengths": list(settings.strengths),
        },
    )  # fmt: skip
    write_manifest(final, key)
    publish(final, output)
    shutil.rmtree(work, ignore_errors=True)
    return Calibrated(output, plan.kind, fresh=True)


def read_about(folder: Path) -> dict[str, Any]:
    """Read what a finished study was made of."""
    about: dict[str, Any] = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    return about
