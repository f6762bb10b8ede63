"""Fixtures: the real public files (their tests are skipped without them), and small simulated studies."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser
from threadpoolctl import threadpool_limits

from browser import chromium
from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import DRUG_COLUMNS, RESPONSES, Cohort
from crossres_ml.config import FeatureConfig, Panels, SplitConfig, TrainConfig, load_panels
from crossres_ml.evaluation.folds import FoldData, fold_data, list_folds, task_matrix
from crossres_ml.evaluation.heldout import model_set
from crossres_ml.models.fit import COMBINED, ModelSet
from crossres_ml.models.registry import ESTIMATORS
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import MIRROR_VARIABLE, NEARBY_MIRROR, Found, resolve
from crossres_ml.sources.simulated import SimulatedStudy, simulate
from crossres_ml.sources.tables import load_tables
from crossres_ml.splits import make_splits


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep linear algebra to one thread: threads that wait for each other make small products slow."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Undo what the command line does to the package's logger: it would hide log lines from later tests."""
    logger = logging.getLogger("crossres_ml")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser, of a module: while it is open, no other code can run an event loop."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def mirror(pytestconfig: pytest.Config) -> Path:
    """Folder with the public files."""
    folder = Path(os.environ.get(MIRROR_VARIABLE) or pytestconfig.rootpath / NEARBY_MIRROR)
    if not folder.is_dir():
        pytest.skip(f"no public files: {folder} is not there (name a folder with {MIRROR_VARIABLE})")
    return folder


def _beside(mirror: Path, name: str) -> Path:
    folder = mirror.parent / name
    if not folder.is_dir():
        pytest.skip(f"nothing to compare with: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def reference(mirror: Path) -> Path:
    """Folder with the same data as read by other programs."""
    return _beside(mirror, "reference")


@pytest.fixture(scope="session")
def gmt(mirror: Path) -> Path:
    """Folder with the gene sets in GMT form."""
    return _beside(mirror, "genesets")


@pytest.fixture(scope="session")
def found(mirror: Path) -> dict[str, Found]:
    """Every file of the mirror, verified."""
    return resolve(load_registry(), mirror=mirror)


@pytest.fixture(scope="session")
def tables(found: dict[str, Found], pytestconfig: pytest.Config) -> dict[str, pd.DataFrame]:
    """All tables; kept between runs under pytest's own cache, keyed by content."""
    return load_tables(found, pytestconfig.cache.mkdir("tables"))


# --- small studies made by code -------------------------------------------------------------------


@pytest.fixture(scope="session")
def panels() -> Panels:
    """The drug panels of the project."""
    return load_panels()


@pytest.fixture(scope="session")
def study(panels: Panels) -> SimulatedStudy:
    """A small simulated study: 250 lines."""
    return simulate(panels, lines=250, seed=1)


@pytest.fixture(scope="session")
def cohort(study: SimulatedStudy, panels: Panels) -> Cohort:
    """The cohort of the small study."""
    return build_cohort(study.tables, panels, kind="simulated", sources={"simulated": "0" * 64})


@pytest.fixture(scope="session")
def small_config() -> TrainConfig:
    """A configuration for the small study: 5 folds (2 of lines, 1 of a lineage, 2 of studies), 4 models."""
    return TrainConfig(
        data="simulated",
        seed=3,
        splits=SplitConfig(seed=3, folds=2, repeats=1, lineage_min_lines=28),
        features=FeatureConfig(
            blocks=("rppa", "mutation", "driver", "burden", "lineage"),
            always=("rna:GENE0000", "rna:GENE0002", "rna:GENE0003", "rna:RAD51"),
        ),
        models=("prevalence", "lineage_mean", "ridge", "lightgbm"),
        inner_folds=2,
        bootstrap=100,
        named_genes={"TP53": ("driver:TP53", "rna:TP53"), "RAD51": ("rna:RAD51",)},
    )


@pytest.fixture(scope="session")
def splits(cohort: Cohort, small_config: TrainConfig) -> pd.DataFrame:
    """The checked splits of the small study."""
    return make_splits(cohort, small_config.splits, quantile=small_config.resistant_quantile)


@pytest.fixture(scope="session")
def every_config(small_config: TrainConfig) -> TrainConfig:
    """The same with every model that there is."""
    return small_config.model_copy(update={"models": (*ESTIMATORS, *COMBINED), "tuning": "quick"})


@pytest.fixture(scope="session")
def fold_zero(cohort: Cohort, every_config: TrainConfig, splits: pd.DataFrame) -> FoldData:
    """The first fold of lines."""
    fold = list_folds(cohort, splits, every_config)[0]
    return fold_data(cohort, every_config, task_matrix(cohort, every_config), fold)


@pytest.fixture(scope="session")
def fold_models(fold_zero: FoldData, every_config: TrainConfig) -> ModelSet:
    """Models of the first fold, fitted as they are asked for."""
    return model_set(fold_zero, every_config, every_config.models)


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """Give a function that makes a cohort from a lineage and a group per line."""

    def make(
        lineage: Sequence[str],
        group: Sequence[int],
        responses: pd.DataFrame | None = None,
        blocks: dict[str, pd.DataFrame] | None = None,
    ) -> Cohort:
        ids = pd.Index([f"ACH-{i:06d}" for i in range(len(lineage))], name="model_id")
        names = {"cell_line": ids, "lineage": lineage, "subtype": "none", "group": [f"G{g}" for g in group]}
        rng = np.random.default_rng(len(lineage))
        made = pd.DataFrame(rng.normal(size=(len(ids), len(RESPONSES))), ids, list(RESPONSES))
        tables = {"rna": pd.DataFrame({"A": np.arange(len(ids))}, ids, dtype=np.float32)}
        tables = {n: t.set_axis(ids, axis=0) for n, t in sorted((blocks or tables).items())}
        info = [(f"{b}:{f}", b, f, "unit", "made") for b, t in tables.items() for f in t.columns]
        columns = ["feature", "block", "name", "unit", "provenance"]
        return Cohort(
            kind="simulated",
            lines=pd.DataFrame(names, index=ids).astype(str),
            blocks=tables,
            features=pd.DataFrame(info, columns=columns).set_index("feature").assign(caution=False),
            responses=made if responses is None else responses.set_axis(ids, axis=0),
            drugs=pd.DataFrame(index=ids, dtype=float),
            drug_info=pd.DataFrame(columns=list(DRUG_COLUMNS)),
            sources={},
            unresolved=pd.DataFrame(columns=["table", "alias", "reason"]),
            dropped=pd.DataFrame(columns=["what", "count", "reason"]),
        )

    return make


@pytest.fixture(scope="session")
def real_cohort(tables: dict[str, pd.DataFrame], found: dict[str, Found], panels: Panels) -> Cohort:
    """The cohort of the real public files."""
    sources = {name: file.sha256 for name, file in found.items()}
    return build_cohort(tables, panels, kind="real", sources=sources)
