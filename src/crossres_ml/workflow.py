"""A training run: decide on the data, skip what is current, run the stages, publish the results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crossres_ml.artifacts import (
    is_current,
    publish,
    refuse_foreign,
    run_key,
    sha256,
    timed,
    write_manifest,
)
from crossres_ml.config import Panels, TrainConfig, config_path
from crossres_ml.gather import gather_cohort, plan_data


@dataclass(frozen=True)
class Trained:
    """Outcome of `train`.

    Attributes
    ----------
    folder : Path
        Folder of results.
    kind : str
        ``real`` or ``simulated``.
    fresh : bool
        False when the folder was current and nothing was run.
    """

    folder: Path
    kind: str
    fresh: bool


def train(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    tracking_uri: str,
    mirror: Path | None = None,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Trained:
    """Train, evaluate, explain, save and log; do nothing when the results are current.

    Parameters
    ----------
    config : TrainConfig
        The configuration.
    panels : Panels
        Drug panels.
    output : Path
        Folder of results; replaced only when the new ones are complete.
    tracking_uri : str
        Where MLflow keeps its runs.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Parallel processes.
    progress : callable, optional
        Called with folds done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    Trained
        Where the results are.
    """
    times: dict[str, float] = {}
    with timed(times, "data_verified", time.monotonic):
        plan = plan_data(config, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    decisions = {n: sha256(config_path(n)) for n in ("identity_overrides.csv", "relatives.csv")}
    key = run_key(
        decisions=decisions,
        config=config.digest(),
        panels=panels.model_dump(mode="json"),
        sources=plan.sources,
        kind=plan.kind,
    )
    if is_current(output, key):
        return Trained(output, plan.kind, fresh=False)
    from crossres_ml.stages import run_stages  # heavy; not needed when nothing is to be done

    work = output.parent / f".{output.name}-{key[:16]}"
    results = work / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with timed(times, "cohort", time.monotonic):
        cohort = gather_cohort(plan, config, panels)
    run_stages(
        cohort,
        config,
        results,
        folds=work / "folds",
        times=times,
        tracking_uri=tracking_uri,
        jobs=jobs,
        progress=progress,
    )
    write_manifest(results, key)
    publish(results, output)
    shutil.rmtree(work, ignore_errors=True)
    return Trained(output, plan.kind, fresh=True)
