"""Real tables when they can be had, the simulated study when they cannot: decided once, said aloud."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crossres_ml.config import Panels, TrainConfig
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import Found, NoDataError, cache_folder, resolve
from crossres_ml.sources.tables import TABLES, load_tables

if TYPE_CHECKING:
    from crossres_ml.cohort.cohort import Cohort

log = logging.getLogger(__name__)

# What the cohort is made of; the other tables serve the audit and the scan.
COHORT_TABLES = (
    "radiation", "ctrp_auc", "gdsc_response", "slfn11_array", "sanger_models", "depmap_models",
    "depmap_sample_info", "mutation_any", "hotspots", "rna_535", "rna_kinome", "rna_100", "rna_19q2",
    "rna_795", "copy_number", "ccle_annotations", "rppa", "rna_rma1000", "driver_status",
    "mutation_protein", "mutation_protein_lines", "progeny", "metabolomics", "chromatin", "methylation",
    "aneuploidy", "global_signatures", "hrd_scores", "clinical_cn", "sanger_growth", "ctrp_drugs",
    "gdsc_drugs", "gene_sets", "collectri", "hgnc",
)  # fmt: skip


@dataclass(frozen=True)
class DataPlan:
    """Which data a run will use, before anything is read.

    Attributes
    ----------
    kind : {'real', 'simulated'}
        The decision.
    found : mapping of str to Found
        Verified files; empty for a simulated study.
    """

    kind: Literal["real", "simulated"]
    found: Mapping[str, Found]

    @property
    def sources(self) -> dict[str, str]:
        """Source id -> sha256."""
        return {k: self.found[k].sha256 for k in sorted(self.found)}


def plan_data(config: TrainConfig, mirror: Path | None = None) -> DataPlan:
    """Decide between real and simulated data.

    Parameters
    ----------
    config : TrainConfig
        ``data`` decides; ``auto`` falls back to the simulated study only when no real file at all
        can be reached.
    mirror : Path, optional
        A folder with the public files.

    Returns
    -------
    DataPlan
        The decision.

    Raises
    ------
    SourceError
        If real files are there but some are missing or damaged, or real data were asked for and
        cannot be had.
    """
    if config.data == "simulated":
        return DataPlan("simulated", {})
    needed = {s for t in COHORT_TABLES for s in (*TABLES[t].sources, *TABLES[t].also)}
    try:
        return DataPlan("real", resolve(load_registry(), mirror=mirror, ids=sorted(needed)))
    except NoDataError as e:
        if config.data == "real":
            raise
        log.warning("%s: going on with the simulated study", e.what)
        return DataPlan("simulated", {})


def gather_cohort(plan: DataPlan, config: TrainConfig, panels: Panels) -> Cohort:
    """Read or simulate the tables and join them.

    Parameters
    ----------
    plan : DataPlan
        As `plan_data` gives it.
    config : TrainConfig
        Size and seed of a simulated study.
    panels : Panels
        Drug panels.

    Returns
    -------
    Cohort
        Marked real or simulated.
    """
    from crossres_ml.cohort.build import build_cohort  # heavy; deciding on the data is not
    from crossres_ml.sources.simulated import simulate

    if plan.kind == "simulated":
        study = simulate(panels, lines=config.simulated_lines, seed=config.seed)
        cohort = build_cohort(study.tables, panels, kind="simulated", sources={})
        return replace(cohort, planted=study.truth.loc[study.truth.index.isin(cohort.features.index)])
    tables = load_tables(plan.found, cache_folder() / "tables", COHORT_TABLES)
    return build_cohort(tables, panels, kind="real", sources=plan.sources)
