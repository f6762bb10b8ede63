"""Known pairs: ranks, and why a pair is not recovered, on events that are made for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossres_ml.audit.claims import Claims, Control, load_claims
from crossres_ml.audit.data import one_line_a_patient
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.scan.events import Events, collect_events
from crossres_ml.scan.frame import single_frame
from crossres_ml.scan.known import COLUMNS, known_pairs

MANY = 15


@pytest.fixture(scope="module")
def lines(cohort: Cohort) -> pd.Index:
    return one_line_a_patient(cohort)


@pytest.fixture(scope="module")
def events(cohort: Cohort, lines: pd.Index) -> Events:
    """Fifteen that follow radiation in every line, a stronger one measured in 100, one opposite, noise."""
    rng = np.random.default_rng(0)
    z = cohort.responses.radiation.rank(pct=True).fillna(0.5)
    n = len(z)
    table = pd.DataFrame({f"many{i}": z + rng.normal(scale=0.25, size=n) for i in range(MANY)}, z.index)
    few = z + rng.normal(scale=0.2, size=n)
    table["few"] = few.where(z.index.isin(rng.permutation(lines)[:100]))
    table["opposite"], table["noise"] = -z + rng.normal(scale=0.4, size=n), rng.normal(size=n)
    made = collect_events(cohort, lines, ScanConfig(), user=table)
    own = (made.table.block == "user").to_numpy()
    about = made.table[own].assign(features=made.table.index[own])
    return Events(made.values.loc[:, own], about, made.skipped)


def ask(*events: str) -> Claims:
    controls = [
        Control.model_validate(
            {
                "id": e,
                "label": e,
                "drugs": ["response:radiation"],
                "sign": 1,
                "expectation": "",
                "measurement": {"id": e, "label": e, "features": [f"user:{e}"]},
            }
        )
        for e in events
    ]
    return load_claims().model_copy(update={"positive_controls": tuple(controls)})


@pytest.fixture(scope="module")
def table(cohort: Cohort, events: Events) -> pd.DataFrame:
    claims = ask("few", "opposite", "noise", "many0", "absent")
    found = known_pairs(cohort, claims, events)
    assert tuple(found.columns) == COLUMNS
    return found.set_index("control")


def test_one_measured_in_few_lines_is_ranked_on_these_too(
    cohort: Cohort, events: Events, table: pd.DataFrame, lines: pd.Index
) -> None:
    row = table.loc["few"]
    assert not row.recovered
    assert row["rank"] > 10
    assert row.rank_own < row["rank"]
    assert row.n == 100 < row.drug_n
    assert f"100 of the {row.drug_n:.0f} lines with the drug" in row.reason
    assert row.reason.endswith(f"it ranks {row.rank_own:.0f} of {row.of_own:.0f}")
    own = lines[events.values["user:few"][lines].notna().to_numpy()]
    frame = single_frame(cohort, ask("few"), cohort.responses.radiation[own])
    assert not isinstance(frame, str)
    p = frame.fit(
        events.values.loc[frame.lines].to_numpy(), np.zeros(len(events.table), dtype=bool), "tissue"
    ).p
    at = events.table.index.get_loc("user:few")
    assert row.rank_own == 1 + (p[:, 0] < p[at, 0]).sum()


def test_the_reason_is_told(table: pd.DataFrame) -> None:
    assert table.reason["opposite"] == "goes the other way in these lines"
    assert "would show an effect of 0." in table.reason["noise"]
    assert table.reason["absent"] == "no event of the scan measures it"
    assert table.rank_own[["opposite", "noise", "absent"]].isna().all()


def test_every_pair_that_is_not_recovered_has_a_reason(table: pd.DataFrame) -> None:
    recovered = table.recovered.fillna(value=False).astype(bool)
    assert ((table.reason == "") == recovered).all()
    row = table.loc["many0"]
    assert row.recovered == (row["rank"] <= 10)
