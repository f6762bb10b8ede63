"""The scan on the real files: counts, controls that must appear, and what is known of SLFN11."""

from __future__ import annotations

import pandas as pd
import pytest

from crossres_ml.audit.claims import load_claims
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.scan.events import collect_events
from crossres_ml.scan.frame import both_frame
from crossres_ml.scan.known import known_pairs
from crossres_ml.scan.segments import places_of

pytestmark = pytest.mark.data


def test_known_pairs_and_slfn11(real_cohort: Cohort, tables: dict[str, pd.DataFrame]) -> None:
    claims = load_claims()
    frame = both_frame(real_cohort, claims)
    events = collect_events(real_cohort, frame.lines, ScanConfig(), places=places_of(tables["hgnc"]))
    assert 480 <= len(frame.lines) <= 506
    assert {"cn_segment", "copy_number", "mutation", "rna", "rppa", "gene_set", "tf"} <= set(
        events.table.block
    )
    segments = events.table[events.table.block == "cn_segment"]
    assert segments.members.sum() > 20_000  # nearly all genes have a place ...
    assert len(segments) < 4_000  # ... and most go with their neighbours
    known = known_pairs(real_cohort, claims, events, jobs=2)
    best = known[known.event.notna()].groupby("control")["rank"].min()
    first = ("nutlin_tp53", "topotecan_slfn11", "sn38_slfn11", "dabrafenib_braf", "plx4720_braf")
    assert (best[list(first)] == 1).all()
    assert (best[["lapatinib_erbb2", "tanespimycin_nqo1"]] <= 10).all()
    assert known.reason[~known.recovered.fillna(value=False).astype(bool)].ne("").all()
    pump = known[(known.control == "paclitaxel_abcb1") & (known.drug == "gdsc2:Paclitaxel")].iloc[0]
    assert pump.n < 0.4 * pump.drug_n  # why it is outranked ...
    assert pump.rank_own < 30 < pump["rank"]  # ... though not among those measured in as few lines
    names = ["rna:SLFN11", "rppa:RAD51"]
    found = frame.fit(
        events.values.loc[frame.lines, names].to_numpy(),
        events.table.burden_adjusted[names].to_numpy(),
        "tissue",
    )
    assert found.p[0, 1] < 1e-10  # chemotherapy
    assert found.p[0, 0] > 0.05  # radiation
