"""Drug panels and screens against plain loops; what is genotoxic is a rule that can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
import yaml

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.drugs import (
    describe_drugs,
    drug_matrix,
    general_sensitivity,
    panel_drugs,
    panel_response,
    standardise,
    widen,
)
from crossres_ml.config import DrugPanel, Panels, load_panels
from crossres_ml.errors import CohortError, ConfigError
from crossres_ml.sources.simulated import SimulatedStudy

RNG = np.random.default_rng(6)
IDS = [f"ACH-{i:06d}" for i in range(150)]


def gdsc(**changes: object) -> DrugPanel:
    plain = {
        "table": "gdsc_response", "value": "ln_ic50", "datasets": ("new", "old"), "drugs": ("A", "B"),
        "min_drugs": 1, "reason": "made",
    }  # fmt: skip
    return DrugPanel.model_validate(plain | changes)


def two_datasets() -> pd.DataFrame:
    rows = [
        (d, drug, i, RNG.normal(3 if d == "new" else -1, 2))
        for d in ("new", "old")
        for drug in "ABC"
        for i in IDS[:60]
        if RNG.random() < 0.6
    ]
    return pd.DataFrame(rows, columns=["dataset", "drug", "model_id", "ln_ic50"])


def z_of(table: pd.DataFrame, dataset: str, drug: str) -> dict[str, float]:
    values = table[(table.dataset == dataset) & (table.drug == drug)].set_index("model_id").ln_ic50
    return {str(k): float((v - values.mean()) / np.std(values, ddof=1)) for k, v in values.items()}


def test_each_drug_is_the_mean_of_its_sound_datasets() -> None:
    table = two_datasets()
    drugs = panel_drugs(table, gdsc(unsound={"old": ("B",)}))
    new, old = z_of(table, "new", "A"), z_of(table, "old", "A")
    expected = {k: np.mean([s[k] for s in (new, old) if k in s]) for k in {*new, *old}}
    assert drugs.A.dropna().to_dict() == pytest.approx(expected)
    assert drugs.B.dropna().to_dict() == pytest.approx(z_of(table, "new", "B"))
    assert list(drugs) == ["A", "B"]


def test_a_drug_is_missing_when_all_its_measurements_are_unsound() -> None:
    with pytest.raises(CohortError, match=r"no drug \['B'\] in gdsc_response"):
        panel_drugs(two_datasets(), gdsc(unsound={"old": ("B",), "new": ("B",)}))


def test_composite_needs_its_drugs() -> None:
    drugs = panel_drugs(two_datasets(), gdsc())
    both = panel_response(drugs, gdsc(min_drugs=2))
    assert set(both.index) == set(drugs.dropna().index)
    np.testing.assert_allclose(both, drugs.dropna().mean(axis=1))


def test_constant_columns_say_nothing() -> None:
    z = standardise(pd.DataFrame({"a": [1.0, 1.0, 1.0], "b": [1.0, 2.0, np.nan]}))
    assert z.a.isna().all()
    np.testing.assert_allclose(z.b.dropna(), [-(0.5**0.5), 0.5**0.5])


def test_general_sensitivity_is_that_of_a_loop() -> None:
    screen = pd.DataFrame(RNG.normal(10, 2, (80, 58)), IDS[:80], [f"D{i:02d}" for i in range(58)])
    screen = screen.mask(RNG.random(screen.shape) < 0.08)
    panel = DrugPanel(table="ctrp_auc", value="auc", drugs=("D00", "D01", "D02"), min_drugs=1, reason="made")
    got = general_sensitivity(screen, panel)
    sums: dict[str, list[float]] = {}
    for drug in screen.columns[3:]:
        values = screen[drug].dropna()
        for line, value in values.items():
            sums.setdefault(str(line), []).append((value - values.mean()) / np.std(values, ddof=1))
    expected = {k: float(np.mean(v)) for k, v in sums.items() if len(v) >= 50}
    assert 0 < len(expected) < 80
    assert got.to_dict() == pytest.approx(expected)
    poisoned = general_sensitivity(screen.assign(D00=1e6, D01=-1e6), panel)
    pdt.assert_series_equal(poisoned, got)


def test_widening_names_every_drug_and_averages_repeats() -> None:
    rows = pd.DataFrame(
        {
            "model_id": ["a", "a", "b", "a"],
            "drug": ["X", "X", "X", None],
            "drug_id": pd.array([1, 2, 1, 11], dtype="Int64"),
            "ln_ic50": [1.0, 3.0, 5.0, 7.0],
        }
    )
    wide = widen(rows, "ln_ic50")
    assert wide.loc["a"].to_dict() == {"X": 2.0, "id 11": 7.0}
    assert wide.loc["b", "X"] == 5.0
    assert np.isnan(wide.loc["b", "id 11"])


def test_matrix_keeps_drugs_of_a_hundred_lines_of_the_cohort() -> None:
    screen = pd.DataFrame(RNG.normal(size=(150, 3)), IDS, ["many", "few", "outside"])
    screen.iloc[99:, 1] = np.nan
    screen.iloc[:40, 2] = np.nan  # 110 lines, of which 90 are in the cohort
    matrix = drug_matrix({"ctrp": screen, "gdsc1": screen[["many"]]}, pd.Index(IDS[:130]))
    assert list(matrix) == ["ctrp:many", "gdsc1:many"]
    np.testing.assert_array_equal(matrix["ctrp:many"], screen.many[:130])
    assert matrix.index.equals(pd.Index(IDS[:130]))


@pytest.fixture
def described(panels: Panels) -> pd.DataFrame:
    tables = {
        "ctrp_drugs": pd.DataFrame(
            {
                "drug": ["alk", "top:other (1:1)", "kinase", "Platin", "nothing", "etoposide"],
                "drug_class": [
                    "DNA alkylator", "inhibitor of topoisomerase II;inhibitor of HSP90", "inhibitor of ATM",
                    "DNA alkylator", None, "inhibitor of topoisomerase II",
                ],
            }
        ),
        "gdsc_drugs": pd.DataFrame(
            {"drug": ["cross", "parp", "odd"], "target_name": ["DNA crosslinker", "PARP1", None]}
        ),
    }  # fmt: skip
    columns = [
        "ctrp:Platin", "ctrp:alk", "ctrp:etoposide", "ctrp:kinase", "ctrp:nothing", "ctrp:top:other (1:1)",
        "gdsc1:cross", "gdsc1:etoposide", "gdsc1:odd", "gdsc2:Temozolomide", "gdsc2:parp",
    ]  # fmt: skip
    return describe_drugs(columns, tables, panels)


def test_genotoxic_by_mechanism_target_or_name(described: pd.DataFrame) -> None:
    assert list(described.index[described.genotoxic]) == [
        "ctrp:alk", "ctrp:etoposide", "ctrp:top:other (1:1)", "gdsc1:cross", "gdsc2:Temozolomide",
    ]  # fmt: skip
    assert described.genotoxic.dtype == bool


def test_the_panel_is_that_of_ctrp(described: pd.DataFrame) -> None:
    assert list(described.index[described.panel]) == ["ctrp:etoposide"]
    assert described.drug["ctrp:top:other (1:1)"] == "top:other (1:1)"
    assert described.dataset["gdsc1:etoposide"] == "gdsc1"


def test_drugs_without_a_table_are_known_by_name_alone(panels: Panels) -> None:
    info = describe_drugs(["ctrp:alk", "ctrp:decitabine"], {}, panels)
    assert info.genotoxic.tolist() == [False, True]
    assert describe_drugs([], {}, panels).empty


# --- in the cohort ------------------------------------------------------------------------------------


def test_drugs_of_the_cohort(cohort: Cohort, study: SimulatedStudy, panels: Panels) -> None:
    info = cohort.drug_info
    assert (cohort.drugs.notna().sum() >= 100).all()
    assert set(info.drug[info.panel]) == set(panels.chemotherapy.drugs)
    assert info.genotoxic.sum() == 14 + 12 + 7 + 2
    rows = study.tables["ctrp_auc"]
    names = cohort.lines.cell_line
    one = rows[rows.drug == "SIMDRUG-07"].set_index("cell_line").auc.reindex(names)
    np.testing.assert_array_equal(cohort.drugs["ctrp:SIMDRUG-07"], one)
    assert cohort.drugs.columns.is_monotonic_increasing


def test_single_responses_make_up_the_composite(cohort: Cohort, panels: Panels) -> None:
    single = cohort.responses.filter(like="drug:")
    assert set(single) == {f"drug:{d}" for d in (*panels.chemotherapy.drugs, *panels.platinum.drugs)}
    chemo = single[[f"drug:{d}" for d in panels.chemotherapy.drugs]]
    known = cohort.responses.chemotherapy.dropna().index
    np.testing.assert_allclose(cohort.responses.chemotherapy[known], chemo.loc[known].mean(axis=1))
    assert (chemo.loc[known].notna().sum(axis=1) >= panels.chemotherapy.min_drugs).all()
    np.testing.assert_allclose(chemo.mean(), 0, atol=0.05)


def test_lines_that_only_gdsc_has_are_in(cohort: Cohort) -> None:
    has = cohort.responses.notna()
    only = has.chemotherapy_gdsc & ~has.chemotherapy & ~has.radiation
    assert only.sum() >= 10
    ctrp = cohort.drug_info.index[cohort.drug_info.dataset == "ctrp"]
    assert cohort.drugs.loc[only[only].index, ctrp].isna().all(axis=None)


def test_general_sensitivity_follows_both_responses(cohort: Cohort) -> None:
    rho = cohort.responses.corr("spearman").general_sensitivity
    assert 0.5 < rho.chemotherapy < 0.85
    assert 0.1 < rho.radiation < 0.5


def test_without_gdsc_its_responses_are_missing(study: SimulatedStudy, panels: Panels) -> None:
    tables = {n: t for n, t in study.tables.items() if not n.startswith("gdsc")}
    made = build_cohort(tables, panels, kind="simulated", sources={})
    assert made.responses[["platinum", "chemotherapy_gdsc", "drug:Cisplatin"]].isna().all(axis=None)
    assert set(made.drug_info.dataset) == {"ctrp"}


def test_a_drug_that_gdsc_lacks_is_named(study: SimulatedStudy, panels: Panels) -> None:
    rows = study.tables["gdsc_response"]
    lacking = rows[rows.drug != "Vincristine"]
    with pytest.raises(CohortError, match=r"no drug \['Vincristine'\] in gdsc_response"):
        build_cohort(study.tables | {"gdsc_response": lacking}, panels, kind="simulated", sources={})


# --- panels as data -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": ()}, "a panel of gdsc_response must name datasets"),
        ({"table": "ctrp_auc", "value": "auc"}, "a panel of ctrp_auc cannot name datasets"),
        ({"value": "auc"}, "gdsc_response has no value auc"),
        ({"drugs": ("A", "A")}, "drugs must be named once each"),
        ({"min_drugs": 3}, "be at least min_drugs"),
        ({"unsound": {"older": ("A",)}}, "unsound may only name datasets and drugs"),
        ({"unsound": {"old": ("Z",)}}, "unsound may only name datasets and drugs"),
    ],
)
def test_a_panel_must_fit_its_table(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gdsc(**changes)


def test_a_faulty_file_names_the_panel(tmp_path: Path, panels: Panels) -> None:
    raw = panels.model_dump(mode="json")
    raw["platinum"]["datasets"] = []
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=r"platinum: .*must name datasets"):
        load_panels(path)
