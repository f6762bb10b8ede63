"""An audit run by itself is joined to the run on the same data, and to no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from report_study import make_results, without_audit

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.errors import CrossresError
from crossres_ml.report.audit_join import join_audit
from crossres_ml.report.summary import Summary


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame
) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("joined")
    return folder, make_results(folder, cohort, small_config, splits)


def audit_of(made: tuple[Path, Summary], folder: Path, cohort_hash: str) -> Path:
    """Copy the run's audit as one that was run by itself."""
    shutil.copytree(made[0] / "audit", folder / "audit")
    assert made[1].audit is not None
    about = {"cohort_hash": cohort_hash}
    (folder / "audit" / "audit.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "audit" / "summary.json").write_text(made[1].audit.model_dump_json(), encoding="utf-8")
    return folder / "audit"


def test_joined_it_is_the_summary_of_a_run_with_its_audit(made: tuple[Path, Summary], tmp_path: Path) -> None:
    summary = made[1]
    bare = without_audit(summary)
    assert bare.audit is None
    assert all(g.p is None for tasks in bare.named_genes.values() for g in tasks.values())
    place = audit_of(made, tmp_path, summary.data.cohort_hash)
    assert join_audit(bare, place) == summary


def test_an_audit_of_other_data_is_refused(made: tuple[Path, Summary], tmp_path: Path) -> None:
    with pytest.raises(CrossresError, match="audit of data ffffffffffff, training on data dddddddddddd"):
        join_audit(without_audit(made[1]), audit_of(made, tmp_path, "f" * 64))
