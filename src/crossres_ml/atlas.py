"""The atlas as files: data, measurement, classes, page; and one drug of a finished one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from crossres_ml.audit.save import plain
from crossres_ml.config import Panels, TrainConfig
from crossres_ml.errors import ConfigError, preview
from crossres_ml.gather import DataPlan, gather_cohort, plan_data
from crossres_ml.report.atlas_page import write_atlas_page
from crossres_ml.scan.atlas import Atlas, make_atlas
from crossres_ml.scan.atlas_classes import class_table, genotoxic_test
from crossres_ml.scan.atlas_data import ATLAS_TABLES, NAME_TABLES, AtlasData, atlas_data
from crossres_ml.scan.drug_names import find_drug
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import cache_folder, resolve
from crossres_ml.sources.simulated import simulate
from crossres_ml.sources.tables import TABLES, load_tables

DRAWS = 1000


@dataclass(frozen=True)
class AtlasFolder(Finished):
    """A finished atlas."""

    @property
    def table(self) -> pd.DataFrame:
        """Table of `crossres_ml.scan.atlas.Atlas`; other_names are tuples."""
        table = pd.read_parquet(self.folder / "atlas.parquet")
        return table.assign(other_names=table.other_names.map(lambda n: tuple(n.split("; ")) if n else ()))

    @property
    def classes(self) -> pd.DataFrame:
        """Table of `crossres_ml.scan.atlas_classes.class_table`."""
        return pd.read_csv(self.folder / "classes.csv")

    @property
    def about(self) -> dict[str, Any]:
        """What the atlas was made of, and its single numbers."""
        found: dict[str, Any] = json.loads((self.folder / "atlas.json").read_text(encoding="utf-8"))
        return found

    def find(self, name: str) -> pd.DataFrame:
        """Look a drug up.

        Parameters
        ----------
        name : str
            A drug, without regard to case and punctuation.

        Returns
        -------
        pandas.DataFrame
            Its rows of `table`.

        Raises
        ------
        ConfigError
            If no screen has it; names what looks like it.
        """
        table = self.table
        found, nearest = find_drug(name, table)
        if not found:
            do = f"one of these, perhaps: {preview(nearest)}" if nearest else "see the names in atlas.csv"
            raise ConfigError(f"no screen has a drug {name!r}", where="--drug", do=do)
        return table.loc[found]


def with_files(plan: DataPlan, names: tuple[str, ...], mirror: Path | None = None) -> DataPlan:
    """Add files to a plan that the cohort is not made of.

    Parameters
    ----------
    plan : DataPlan
        Decided.
    names : tuple of str
        Tables that are wanted too.
    mirror : Path, optional
        Folder with the public files.

    Returns
    -------
    DataPlan
        The same decision; of real data with the files of these tables, verified.

    Raises
    ------
    SourceError
        If some of them are missing or damaged.
    """
    wanted = sorted({s for n in names for s in (*TABLES[n].sources, *TABLES[n].also)} - set(plan.found))
    if plan.kind == "simulated" or not wanted:
        return plan
    return replace(plan, found={**plan.found, **resolve(load_registry(), mirror=mirror, ids=wanted)})


def tables_of(
    plan: DataPlan, config: TrainConfig, panels: Panels, names: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """Read single tables of a plan.

    Parameters
    ----------
    plan : DataPlan
        Decided.
    config : TrainConfig
        Size and seed of a simulated study.
    panels : Panels
        Drug panels.
    names : tuple of str
        Tables; one without files is left out.

    Returns
    -------
    dict of str to pandas.DataFrame
        The tables.
    """
    if plan.kind == "simulated":
        study = simulate(panels, lines=config.simulated_lines, seed=config.seed).tables
        return {n: t for n, t in study.items() if n in names}
    return load_tables(plan.found, cache_folder() / "tables", names)


def atlas(
    config: TrainConfig,
    panels: Panels,
    *,
    output: Path,
    tracking_uri: str | None = None,
    mirror: Path | None = None,
    draws: int = DRAWS,
    announce: Callable[[str], None] = lambda kind: None,
) -> AtlasFolder:
    """Make the atlas; do nothing when it is current.

    Parameters
    ----------
    config : TrainConfig
        Says which data, and gives the seed.
    panels : Panels
        Say which drugs are genotoxic.
    output : Path
        Folder; replaced only when the new one is complete. Gets ``atlas.csv``, ``atlas.parquet``,
        ``concordance.csv``, ``classes.csv``, ``atlas.json`` and ``atlas.html``.
    tracking_uri : str, optional
        Where MLflow keeps its runs; without it nothing is logged.
    mirror : Path, optional
        Folder with the public files.
    draws : int, default `DRAWS`
        Draws of patients behind the comparison of classes.
    announce : callable, optional
        Called with the kind of data as soon as it is decided.

    Returns
    -------
    AtlasFolder
        Where it is.
    """
    plan = with_files(plan_data(config, mirror), (*ATLAS_TABLES, *NAME_TABLES), mirror)
    announce(plan.kind)
    refuse_foreign(output)
    claims = load_claims()
    parts = {"config": config.digest(), "panels": panels.model_dump(mode="json"), "sources": plan.sources}
    key = run_key(**parts, kind=plan.kind, claims=claims.digest(), draws=draws, made="atlas")
    if is_current(output, key):
        return AtlasFolder(output, plan.kind, fresh=False)
    cohort = gather_cohort(plan, config, panels)
    data = atlas_data(tables_of(plan, config, panels, (*ATLAS_TABLES, *NAME_TABLES)), cohort, panels)
    found = make_atlas(data)
    classes = class_table(found, data, draws=draws, seed=config.seed)
    test = genotoxic_test(cohort, claims, draws=draws, seed=config.seed)
    about: dict[str, Any] = {
        "kind": plan.kind,
        "draws": draws,
        "seed": config.seed,
        "config_hash": config.digest(),
    }
    about |= {"cohort_hash": cohort.digest(), "genotoxic_test": {k: plain(v) for k, v in test.items()}}
    work = output.parent / f".{output.name}-{key[:16]}"
    shutil.rmtree(work, ignore_errors=True)
    write_atlas(found, classes, data, work, about)
    if tracking_uri:
        _log(AtlasFolder(work, plan.kind, fresh=True).about, work, tracking_uri)
    write_manifest(work, key)
    publish(work, output)
    return AtlasFolder(output, plan.kind, fresh=True)


def _log(about: dict[str, Any], folder: Path, uri: str) -> None:
    """Log the single numbers of an atlas and all files."""
    from crossres_ml import tracking

    factor, test = about["general_factor"], about["genotoxic_test"]
    metrics = {f"drugs/{k}": v for k, v in about["drugs"].items()}
    metrics |= {f"general_factor/{k}": factor[k] for k in ("pearson", "low", "high", "n")}
    metrics |= {f"genotoxic/{k}": test[k] for k in ("effect", "low", "high", "full")}
    tracking.log_folder(
        "atlas",
        folder,
        kind=about["kind"],
        uri=uri,
        about=f"{sum(about['drugs'].values())} drugs",
        params={k: about[k] for k in ("seed", "draws")},
        metrics=metrics | {"irradiated": about["lines"]["irradiated"]},
        tags={k: about[k] for k in ("config_hash", "cohort_hash")},
    )


def write_atlas(
    found: Atlas, classes: pd.DataFrame, data: AtlasData, folder: Path, about: dict[str, Any]
) -> None:
    """Write an atlas.

    Parameters
    ----------
    found : Atlas
        The atlas.
    classes : pandas.DataFrame
        As `crossres_ml.scan.atlas_classes.class_table`.
    data : AtlasData
        What it was made of: its lines are counted.
    folder : Path
        Gets the files.
    about : dict
        Hashes, seeds, draws, the kind of data; goes into ``atlas.json``.
    """
    table = found.table.assign(other_names=found.table.other_names.map("; ".join))
    write_table(folder / "atlas.csv", table)
    write_table(folder / "atlas.parquet", table)
    write_table(folder / "concordance.csv", found.pairs)
    write_table(folder / "classes.csv", classes)
    lines: dict[str, Any] = {
        "irradiated": len(data.radiation),
        "with_model": int(data.lines.resolved.sum()),
        "patients": int(data.lines.group.nunique()),
        "screened": {n: int(data.radiation.index.isin(t.index).sum()) for n, t in data.screens.items()},
    }
    factor = {k: plain(v) for k, v in found.factor.items()}
    about = {**about, "lines": lines, "general_factor": factor}
    about["drugs"] = {str(k): int(v) for k, v in table.dataset.value_counts().items()}
    write_json(folder / "atlas.json", about)
    write_atlas_page(table, classes, about, folder / "atlas.html")
