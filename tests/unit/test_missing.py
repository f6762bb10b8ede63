"""Every gap has exactly one reason, and every reason a gap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import RESPONSES, Cohort
from crossres_ml.cohort.missing import count_missing
from crossres_ml.config import Panels
from crossres_ml.sources.simulated import BLOOD, SimulatedStudy


@pytest.fixture(scope="module")
def gaps(study: SimulatedStudy, panels: Panels) -> Cohort:
    """A cohort with a line of no model, and one that CTRPv2 measured with three drugs of the panel."""
    radiation, ctrp = study.tables["radiation"].copy(), study.tables["ctrp_auc"]
    radiation.loc[3, "cell_line"] = "NOBODY"
    line = radiation.cell_line[0]
    own = ctrp.drug[ctrp.cell_line == line]
    kept = own[own.isin(panels.chemotherapy.drugs)].iloc[:3]
    few = (ctrp.cell_line == line) & ~ctrp.drug.isin(kept)
    tables = study.tables | {"radiation": radiation, "ctrp_auc": ctrp[~few]}
    return build_cohort(tables, panels, kind="simulated", sources={})


def test_one_reason_for_each_gap(gaps: Cohort) -> None:
    table = gaps.missing()
    assert list(table) == ["what", "model_id", "cell_line", "lineage", "reason"]
    assert not table.duplicated(["what", "model_id", "cell_line"]).any()
    assert (table.reason.str.len() > 5).all()
    for name in RESPONSES:
        rows = table[table.what == f"response:{name}"]
        assert set(rows.model_id) == set(gaps.lines.index[gaps.responses[name].isna()]), name
    for name, block in gaps.blocks.items():
        rows = table[table.what == f"block:{name}"]
        assert set(rows.model_id) == set(block.index[block.isna().all(axis=1)]), name
    assert not table.what.str.startswith("response:drug").any()


def test_reasons_are_true(gaps: Cohort) -> None:
    table = gaps.missing().set_index(["what", "model_id"])
    lines, responses = gaps.lines, gaps.responses
    radiation = table.loc["response:radiation"]
    blood = radiation.reason == "blood line: the radiation screen has none"
    assert set(lines.lineage[radiation.index[blood]]) == {BLOOD}
    assert BLOOD not in set(lines.lineage[radiation.index[~blood]])
    fit = table.loc["response:lq_alpha"]
    failed = fit.index[fit.reason.str.contains("fit failed")]
    assert responses.radiation[failed].notna().all()
    assert len(failed) == (responses.radiation.notna() & responses.lq_alpha.isna()).sum() > 0
    chemo = table.loc["response:chemotherapy"]
    few = chemo[chemo.reason == "in CTRPv2 with only 3 of the 14 drugs of the panel"]
    assert len(few) == 1
    assert gaps.drugs.filter(like="ctrp:").loc[few.index[0]].notna().sum() == 3
    absent = chemo.index[chemo.reason == "not in CTRPv2"]
    assert gaps.drugs.filter(like="ctrp:").loc[absent].isna().all(axis=None)
    rppa = table.loc["block:rppa"]
    assert set(rppa.reason) == {"not in rppa"}


def test_names_of_no_model_are_listed(gaps: Cohort) -> None:
    lost = gaps.missing().query("what == 'table:radiation'")
    assert lost.cell_line.tolist() == ["NOBODY"]
    assert lost.model_id.tolist() == [""]
    assert lost.reason.tolist() == ["no DepMap id: no DepMap model has this name"]


def test_counts_add_up(gaps: Cohort) -> None:
    table = gaps.missing()
    counts = count_missing(table)
    assert counts.lines.sum() == len(table)
    radiation = counts[counts.what == "response:radiation"]
    assert radiation.lines.sum() == gaps.responses.radiation.isna().sum()
    assert not counts.duplicated(["what", "reason"]).any()


def test_nothing_missing_gives_an_empty_table(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(["Lung"] * 4, range(4))
    assert cohort.missing().empty
    assert count_missing(cohort.missing()).empty


def test_coverage_by_line(cohort: Cohort, make_cohort: Callable[..., Cohort]) -> None:
    table = pd.DataFrame({"a": [1, np.nan, 1], "b": [1, np.nan, np.nan]}, dtype=np.float32)
    made = make_cohort(["Lung"] * 3, range(3), blocks={"rna": table})
    assert made.coverage_by_line().rna.tolist() == [1.0, 0.0, 0.5]
    share = cohort.coverage_by_line()
    assert list(share) == list(cohort.blocks)
    assert share.index.equals(cohort.lines.index)
    assert ((share >= 0) & (share <= 1)).all(axis=None)
    assert ((share > 0).sum() == cohort.coverage().lines).all()
