"""Whatever lines and drugs a screen has, responses are aligned, bounded in number, and blind to units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandas.testing as pdt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.drugs import drug_matrix, panel_drugs, panel_response, widen
from crossres_ml.config import DrugPanel

quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 2**32 - 1)
DRUGS = ("A", "B", "C", "D")


def screen(seed: int) -> pd.DataFrame:
    """Four drugs with gaps, repeats, and at least three lines each."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 40))
    rows = [(f"ACH-{i:06d}", d) for d in DRUGS for i in range(n) if i < 3 or rng.random() < 0.7]
    rows += [rows[int(i)] for i in rng.integers(0, len(rows), 3)]
    table = pd.DataFrame(rows, columns=["model_id", "drug"])
    return table.assign(auc=rng.normal(10, 3, len(table)))


def panel(least: int) -> DrugPanel:
    return DrugPanel(table="ctrp_auc", value="auc", drugs=DRUGS, min_drugs=least, reason="made")


@given(seed=SEEDS, least=st.integers(1, 4))
@quick
def test_composite_has_just_the_lines_with_enough_drugs(seed: int, least: int) -> None:
    table = screen(seed)
    got = panel_response(panel_drugs(table, panel(least)), panel(least))
    drugs = table.groupby("model_id").drug.nunique()
    assert set(got.index) == set(drugs.index[drugs >= least])
    assert got.index.is_unique
    assert np.isfinite(got).all()


@given(seed=SEEDS, scale=st.floats(0.1, 50), shift=st.floats(-20, 20))
@quick
def test_units_and_order_do_not_matter(seed: int, scale: float, shift: float) -> None:
    table = screen(seed)
    plain = panel_response(panel_drugs(table, panel(2)), panel(2))
    other = table.assign(auc=table.auc * scale + shift).sample(frac=1, random_state=seed % 1000)
    pdt.assert_series_equal(panel_response(panel_drugs(other, panel(2)), panel(2)), plain, rtol=1e-6)


@given(seed=SEEDS)
@quick
def test_one_line_more_changes_no_measurement_of_the_others(seed: int) -> None:
    table = screen(seed)
    lines = pd.Index(sorted(table.model_id.unique()))
    more = pd.concat([table, pd.DataFrame({"model_id": "ACH-999999", "drug": DRUGS, "auc": 99.0})])
    pdt.assert_frame_equal(widen(more, "auc").loc[lines], widen(table, "auc"))
    assert drug_matrix({"ctrp": widen(table, "auc")}, lines).shape == (len(lines), 0)


@given(seed=SEEDS)
@quick
def test_every_gap_of_any_cohort_has_one_reason(make_cohort: Callable[..., Cohort], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    blocks = {
        name: pd.DataFrame(
            np.where(rng.random((n, 1)) < 0.4, np.nan, rng.normal(size=(n, 3))), columns=list("abc")
        )
        for name in ("rna", "rppa")
    }
    cohort = make_cohort(rng.choice(["Lung", "Myeloid"], n), range(n), blocks=blocks)
    assert not cohort.lines.lineage.isna().any()
    table, share = cohort.missing(), cohort.coverage_by_line()
    assert not table.duplicated(["what", "model_id"]).any()
    assert len(table) == sum(int(b.isna().all(axis=1).sum()) for b in blocks.values())
    assert ((share == 0).to_numpy().sum()) == len(table)
    assert (table.reason != "").all()
