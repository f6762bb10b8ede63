"""The trial of published signatures as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.artifacts import (
    Finished,
    is_current,
    publish,
    refuse_foreign,
    run_key,
    sha256,
    write_json,
    write_manifest,
    write_table,
)
from crossres_ml.atlas import tables_of, with_files
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.errors import ConfigError
from crossres_ml.gather import gather_cohort, plan_data
from crossres_ml.scan.signature_lists import SIGNATURE_TABLES, published_signatures
from crossres_ml.scan.signatures import try_signatures
from crossres_ml.splits import make_splits

SETS, DRAWS = 500, 1000
_PREDICTIONS, _SUMMARY = "predictions.parquet", "summary.json"


@dataclass(frozen=True)
class SignatureFolder(Finished):
    """A finished trial."""

    @property
    def table(self) -> pd.DataFrame:
        """Table of `crossres_ml.scan.signatures.Trial`."""
        return pd.read_parquet(self.folder / "signatures.parquet")

    @property
    def about(self) -> dict[str, Any]:
        """What the trial was made of."""
        found: dict[str, Any] = json.loads((self.folder / "signatures.json").read_text(encoding="utf-8"))
        return found


def our_results(results: Path | None) -> tuple[pd.DataFrame | None, str | None, str]:
    """Read held-out predictions of a training run.

    Parameters
    ----------
    results : Path or None
        Folder of results; None for no comparison.

    Returns
    -------
    predictions : pandas.DataFrame or None
        Of all models.
    champion : str or None
        That of radiation, where the folder has a summary.
    digest : str
        Hash of the predictions, empty where there are none.

    Raises
    ------
    ConfigError
        If the folder has no predictions.
    """
    if results is None:
        return None, None, ""
    path = results / _PREDICTIONS
    if not path.is_file():
        raise ConfigError(
            f"has no {_PREDICTIONS}",
            where=str(results),
            do="name a folder of results, or leave --results out",
        )
    champion = None
    if (results / _SUMMARY).is_file():
        summary = json.loads((results / _SUMMARY).read_text(encoding="utf-8"))
        champion = str(summary["tasks"]["radiation"]["champion"])
    return pd.read_parquet(path), champion, sha256(path)


def signatures(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    results: Path | None = None,
    tracking_uri: str | None = None,
    mirror: Path | None = None,
    sets: int = SETS,
    draws: int = DRAWS,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
    announce: Callable[[str], None] = lambda kind: None,
) -> SignatureFolder:
    """Put the published signatures on trial; do nothing when the trial is current.

    Parameters
    ----------
    config : TrainConfig
        Says which data, the splits and the seed.
    panels : Panels
        Drug panels of the cohort.
    output : Path
        Folder; replaced only when the new one is complete. Gets ``signatures.csv``, ``signatures.parquet``,
        ``predictions.parquet`` and ``signatures.json``.
    results : Path, optional
        Folder of a training run on the same data and configuration: its models go into the same table.
    tracking_uri : str, optional
        Where MLflow keeps its runs; without it nothing is logged.
    mirror : Path, optional
        Folder with the public files.
    sets : int, default `SETS`
        Random sets of genes for each signature.
    draws : int, default `DRAWS`
        Draws behind the intervals.
    jobs : int, default 2
        Parallel processes.
    progress : callable, optional
        Called with folds done and in total.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    SignatureFolder
        Where it is.
    """
    plan = with_files(plan_data(config, mirror), SIGNATURE_TABLES, mirror)
    announce(plan.kind)
    refuse_foreign(output)
    ours, champion, digest = our_results(results)
    parts = {"config": config.digest(), "panels": panels.model_dump(mode="json"), "sources": plan.sources}
    asked = {"sets": sets, "draws": draws, "ours": digest, "champion": champion}
    key = run_key(**parts, kind=plan.kind, signatures=asked)
    if is_current(output, key):
        return SignatureFolder(output, plan.kind, fresh=False)
    cohort = gather_cohort(plan, config, panels)
    tables = tables_of(plan, config, panels, SIGNATURE_TABLES)
    trial = try_signatures(
        cohort,
        make_splits(cohort, config.splits, quantile=config.resistant_quantile),
        published_signatures(tables),
        tables.get("hgnc"),
        ours=ours,
        best=champion,
        sets=sets,
        draws=draws,
        seed=config.seed,
        jobs=jobs,
        progress=progress,
    )
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work, ignore_errors=True)
    write_table(work / "signatures.csv", trial.table)
    write_table(work / "signatures.parquet", trial.table)
    write_table(work / "predictions.parquet", trial.predictions)
    about: dict[str, Any] = {
        "kind": plan.kind,
        "config_hash": config.digest(),
        "cohort_hash": cohort.digest(),
    }
    about |= {"seed": config.seed, **asked}
    write_json(work / "signatures.json", about)
    if tracking_uri:
        _log(trial.table, about, work, tracking_uri)
    write_manifest(work, key)
    publish(work, output)
    return SignatureFolder(output, plan.kind, fresh=True)


def _log(table: pd.DataFrame, about: dict[str, Any], folder: Path, uri: str) -> None:
    """Log what each signature is worth in held-out lines, and all files."""
    from crossres_ml import tracking

    tried = table[table.way != ""]
    metrics = {
        f"{row['name']}/{row['way']}/{m}": row[m]
        for row in tried.to_dict("records")
        for m in ("spearman", "r2", "percentile")
    }
    tracking.log_folder(
        "signatures",
        folder,
        kind=about["kind"],
        uri=uri,
        about=f"{about['sets']} random sets",
        params={k: about[k] for k in ("seed", "sets", "draws", "champion")},
        metrics={**metrics, "signatures": tried["name"].nunique()},
        tags={k: about[k] for k in ("config_hash", "cohort_hash")},
    )
