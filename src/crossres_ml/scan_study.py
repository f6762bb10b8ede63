"""A study of the scan's lists: data, events, simulated responses, tables, and the power curve."""

from __future__ import annotations

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
from crossres_ml.audit.claims import load_claims
from crossres_ml.config import Panels, ScanConfig, TrainConfig
from crossres_ml.gather import gather_cohort, plan_data
from crossres_ml.scan.calibrate import Settings, calibrate_scan, summarise_scan
from crossres_ml.scan.events import collect_events
from crossres_ml.scan.frame import both_frame
from crossres_ml.scanning import places_of_genes

__all__ = ["ScanStudy", "Settings", "study_scan"]


@dataclass(frozen=True)
class ScanStudy(Finished):
    """Outcome of `study_scan`."""

    @property
    def table(self) -> pd.DataFrame:
        """Table of `crossres_ml.scan.calibrate.summarise_scan`."""
        return pd.read_csv(self.folder / "scan_calibration.csv")


def study_scan(
    config: TrainConfig,
    panels: Panels,
    settings: Settings,
    *,
    output: Path,
    mirror: Path | None = None,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> ScanStudy:
    """Measure level and power of the scan's lists; do nothing when the results are current.

    Parameters
    ----------
    config : TrainConfig
        Says which data, and the counts that an event needs.
    panels : Panels
        Drug panels.
    settings : Settings
        How much is simulated.
    output : Path
        Folder of results; replaced only when the new ones are complete. Gets ``scan_calibration.csv``,
        ``simulations.parquet``, ``power.png`` and ``scan_calibration.json``.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Threads; the result does not depend on it.
    progress : callable, optional
        Called with studies done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    ScanStudy
        Where the results are.
    """
    plan = plan_data(config, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    claims, counts = load_claims(), config.scan or ScanConfig()
    parts = {"config": config.digest(), "panels": panels.model_dump(mode="json"), "sources": plan.sources}
    key = run_key(**parts, kind=plan.kind, claims=claims.digest(), scan_study=asdict(settings))
    if is_current(output, key):
        return ScanStudy(output, plan.kind, fresh=False)
    from crossres_ml.report.figures import draw_power

    cohort = gather_cohort(plan, config, panels)
    frame = both_frame(cohort, claims)
    events = collect_events(cohort, frame.lines, counts, places=places_of_genes(plan))
    X = events.values.loc[frame.lines].to_numpy()
    results = calibrate_scan(X, frame.plain["tissue"], settings, jobs=jobs, progress=progress)
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work, ignore_errors=True)
    write_table(work / "scan_calibration.csv", summarise_scan(results))
    write_table(work / "simulations.parquet", results)
    about: dict[str, Any] = {
        "kind": plan.kind,
        "config_hash": config.digest(),
        "cohort_hash": cohort.digest(),
    }
    about |= {"lines": len(frame.lines), "events_of": X.shape[1], **asdict(settings)}
    write_json(work / "scan_calibration.json", about)
    draw_power(work, simulated=plan.kind == "simulated")
    write_manifest(work, key)
    publish(work, output)
    return ScanStudy(output, plan.kind, fresh=True)
