"""A scan as a run: data, events, permutations, tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crossres_ml.artifacts import (
    Finished,
    is_current,
    publish,
    refuse_foreign,
    run_key,
    sha256,
    versions,
    write_manifest,
)
from crossres_ml.audit.claims import load_claims
from crossres_ml.config import Panels, ScanConfig, TrainConfig
from crossres_ml.errors import SchemaError
from crossres_ml.gather import DataPlan, gather_cohort, plan_data
from crossres_ml.scan.segments import Places, places_of

if TYPE_CHECKING:
    from crossres_ml.scan.run import Scan


@dataclass(frozen=True)
class Scanned(Finished):
    """Outcome of `scan_events`."""

    @property
    def table(self) -> pd.DataFrame:
        """Events of the lists, and the first of each."""
        return pd.read_csv(self.folder / "scan.csv", index_col="event")


def scan_events(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    events_file: Path | None = None,
    tracking_uri: str | None = None,
    mirror: Path | None = None,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> Scanned:
    """Scan everything that was measured; do nothing when the results are current.

    Parameters
    ----------
    config : TrainConfig
        The configuration; without a scan in it, by the defaults.
    panels : Panels
        Drug panels.
    output : Path
        Folder of results; replaced only when the new ones are complete.
    events_file : Path, optional
        Events of the user's own.
    tracking_uri : str, optional
        Where MLflow keeps its runs; without it nothing is logged.
    mirror : Path, optional
        Folder with the public files.
    jobs : int, default 2
        Threads.
    progress : callable, optional
        Called with permutations done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    Scanned
        Where the results are.

    Raises
    ------
    SchemaError
        If the user's events cannot be read.
    """
    plan = plan_data(config, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    if events_file is not None and not events_file.is_file():
        raise SchemaError("no such file", where=str(events_file), do="name a .csv, .tsv or .parquet")
    claims, settings = load_claims(), config.scan or ScanConfig()
    about = {
        "config_hash": config.digest(), "kind": plan.kind, "seed": config.seed,
        "settings": settings.model_dump(),
        "user_events": sha256(events_file) if events_file else None,
    }  # fmt: skip
    key = run_key(
        **about, claims=claims.digest(), panels=panels.model_dump(mode="json"), sources=plan.sources
    )
    if is_current(output, key):
        return Scanned(output, plan.kind, fresh=False)
    from crossres_ml.report.scan_page import write_scan_report
    from crossres_ml.scan.run import scan
    from crossres_ml.scan.save import write_scan
    from crossres_ml.scan.user import read_events

    cohort = gather_cohort(plan, config, panels)
    user = read_events(events_file, cohort.lines.index) if events_file else None
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work / "results", ignore_errors=True)
    found = scan(
        cohort,
        claims,
        settings,
        seed=config.seed,
        places=places_of_genes(plan),
        user=user,
        folder=work / "permutations",
        jobs=jobs,
        progress=progress,
    )
    about |= {"cohort_hash": cohort.digest(), "claims_hash": claims.digest(), "versions": versions()}
    write_scan(found, work / "results", about, level=settings.level, top=settings.top)
    write_scan_report(work / "results")
    if tracking_uri:
        _log(found, about, work / "results", tracking_uri)
    write_manifest(work / "results", key)
    publish(work / "results", output)
    shutil.rmtree(work, ignore_errors=True)
    return Scanned(output, plan.kind, fresh=True)


def _log(found: Scan, about: dict[str, Any], folder: Path, uri: str) -> None:
    """Log counts of the lists and all files."""
    from crossres_ml import tracking

    metrics: dict[str, float] = {"events": len(found.table), "lines": found.lines}
    for row in found.lists.to_dict("records"):
        for name in ("seen", "signals", "seen_bh", "expected"):
            metrics[f"{row['list']}/{name}_{round(100 * row['level'])}"] = row[name]
    looked = found.known[found.known.event.notna()]
    metrics |= {
        "known_pairs": len(looked),
        "known_pairs_recovered": int(looked.recovered.astype(bool).sum()),
    }
    tracking.log_folder(
        "scan",
        folder,
        kind=about["kind"],
        uri=uri,
        about=f"{about['settings']['permutations']} permutations",
        params={"seed": about["seed"], **about["settings"]},
        metrics=metrics,
        tags={k: about[k] for k in ("config_hash", "cohort_hash", "claims_hash")},
    )


def places_of_genes(plan: DataPlan) -> Places | None:
    """Read where genes lie.

    Parameters
    ----------
    plan : DataPlan
        Decided.

    Returns
    -------
    Places or None
        None for a simulated study, or where no table of genes is at hand.
    """
    from crossres_ml.sources.resolve import cache_folder
    from crossres_ml.sources.tables import load_tables

    if plan.kind == "simulated":
        return None
    tables = load_tables(plan.found, cache_folder() / "tables", ("hgnc",))
    return places_of(tables["hgnc"]) if "hgnc" in tables else None
