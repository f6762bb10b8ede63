"""What the audit works on: one line a patient, views of outcomes, the adjusted matrix and its groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
import statsmodels.api as sm

from crossres_ml.audit.adjust import normal_scores
from crossres_ml.audit.claims import load_claims
from crossres_ml.audit.data import (
    FEWEST_LINES,
    OutcomeView,
    features_of,
    one_line_a_patient,
    outcome_views,
    view_of,
)
from crossres_ml.audit.matrix import Matrix, adjusted_matrix, with_groups
from crossres_ml.audit.trees import find_mates
from crossres_ml.cohort.cohort import RESPONSES, Cohort
from crossres_ml.config import FeatureConfig
from crossres_ml.errors import CohortError
from crossres_ml.models.estimators import select_features

NAN = np.nan
RULES = FeatureConfig(blocks=("rppa", "driver", "lineage"), always=("rna:GENE0000",), min_events=5)
MakeCohort = Callable[..., Cohort]


# --- one line a patient ---------------------------------------------------------------------------


def test_one_line_a_patient_by_hand(make_cohort: MakeCohort) -> None:
    responses = pd.DataFrame(1.0, range(9), list(RESPONSES))
    #                      both, more features | no chemo | not irradiated | ties: first id | alone
    group = [0, 0, 0, 1, 1, 2, 2, 3, 4]
    responses.loc[[2], "radiation"] = NAN
    responses.loc[[3, 8], "chemotherapy"] = NAN
    responses.loc[[7], "radiation"] = NAN
    rna = pd.DataFrame({c: [1.0] * 9 for c in "ABCD"})
    rna.loc[0, "A"] = NAN  # line 1 has more
    rna.loc[4, ["A", "B"]] = NAN  # but it has chemotherapy, which 3 lacks
    other = pd.DataFrame({"X": [1.0] * 9})
    cohort = make_cohort(["Lung"] * 9, group, responses, {"rna": rna, "rppa": other})
    assert list(one_line_a_patient(cohort)) == [f"ACH-{i:06d}" for i in (1, 4, 5, 8)]


def test_features_of_every_block_count(make_cohort: MakeCohort) -> None:
    responses = pd.DataFrame(1.0, range(2), list(RESPONSES))
    rna = pd.DataFrame({"A": [1.0, 1.0], "B": [1.0, NAN]})
    rppa = pd.DataFrame({"P": [NAN, 1.0], "Q": [NAN, 1.0]})
    cohort = make_cohort(["Lung"] * 2, [0, 0], responses, {"rna": rna, "rppa": rppa})
    assert list(one_line_a_patient(cohort)) == ["ACH-000001"]


def test_one_line_a_patient_of_the_study(cohort: Cohort) -> None:
    lines = one_line_a_patient(cohort)
    known = cohort.responses.radiation.notna()
    assert lines.is_monotonic_increasing
    assert known[lines].all()
    assert not cohort.lines.group[lines].duplicated().any()
    assert set(cohort.lines.group[lines]) == set(cohort.lines.group[known])
    assert len(lines) < known.sum()
    for group, chosen in zip(cohort.lines.group[lines], lines, strict=True):
        relatives = cohort.lines.index[(cohort.lines.group == group) & known]
        if cohort.responses.chemotherapy[relatives].notna().any():
            assert np.isfinite(cohort.responses.chemotherapy[chosen])


# --- look-up and views ----------------------------------------------------------------------------


def test_features_and_responses_by_name(cohort: Cohort) -> None:
    asked = ["response:platinum", "rna:RAD51", "rna:NOBODY", "response:nothing", "RAD51", "driver:TP53"]
    table = features_of(cohort, asked)
    assert list(table.columns) == ["response:platinum", "rna:RAD51", "driver:TP53"]
    assert (table.dtypes == "float64").all()
    pdt.assert_series_equal(table["response:platinum"], cohort.responses.platinum, check_names=False)
    np.testing.assert_array_equal(table["rna:RAD51"], cohort.blocks["rna"]["RAD51"].astype(float))
    empty = features_of(cohort, ())
    assert empty.shape == (len(cohort.lines), 0)


def test_a_view_has_scores_designs_and_a_residual_of_the_lines_measured() -> None:
    rng = np.random.default_rng(0)
    n = 60
    lines = pd.Index([f"L{i:02d}" for i in range(n)])
    lineage = pd.Series(rng.choice(list("ABC"), n), lines)
    response = pd.Series(rng.normal(size=n).round(1), lines).mask(rng.random(n) < 0.2)
    covariates = pd.DataFrame({"growth": rng.normal(size=n)}, lines).mask(rng.random((n, 1)) < 0.3)
    view = view_of("platinum", response, lineage, covariates)
    known = response.dropna().index
    assert list(view.lines) == list(known)
    np.testing.assert_allclose(view.y, normal_scores(response[known].to_numpy()))
    np.testing.assert_array_equal(view.tissue, pd.get_dummies(lineage[known]).to_numpy(dtype=float))
    assert view.full.shape == (len(known), 3 + 2)
    np.testing.assert_array_equal(view.full[:, :3], view.tissue)
    np.testing.assert_array_equal(view.constant, np.ones((len(known), 1)))
    assert view.rank == 3
    resid = sm.OLS(view.y, view.tissue).fit().resid
    np.testing.assert_allclose(view.residual, resid / resid.std(), atol=1e-10)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.arange(FEWEST_LINES - 1.0), f"{FEWEST_LINES - 1} lines, {FEWEST_LINES - 1} different values"),
        (np.r_[np.ones(40), NAN, np.zeros(3)], "43 lines, 2 different values"),
        (np.full(40, NAN), "0 lines, 0 different values"),
    ],
)
def test_too_few_lines_or_values_are_refused(values: np.ndarray, said: str) -> None:
    response = pd.Series(values)
    with pytest.raises(CohortError, match=said):
        view_of("radiation", response, pd.Series("A", response.index), pd.DataFrame(index=response.index))


def test_just_enough_lines_do() -> None:
    response = pd.Series(np.arange(float(FEWEST_LINES)))
    view = view_of("radiation", response, pd.Series("A", response.index), pd.DataFrame(index=response.index))
    assert len(view.lines) == FEWEST_LINES


@pytest.fixture(scope="module")
def views(cohort: Cohort) -> dict[str, OutcomeView]:
    return dict(outcome_views(cohort, load_claims()))


def test_views_stand_on_irradiated_lines_one_a_patient(cohort: Cohort, views: dict[str, OutcomeView]) -> None:
    lines = one_line_a_patient(cohort)
    assert list(views) == ["radiation", "chemotherapy", "platinum"]
    assert list(views["radiation"].lines) == list(lines)
    for name, view in views.items():
        assert list(view.lines) == list(cohort.responses[name][lines].dropna().index)
        assert view.full.shape[1] > view.tissue.shape[1]


def test_platinum_is_left_out_where_few_have_it_and_a_modality_is_missed(cohort: Cohort) -> None:
    claims = load_claims()
    for name in ("platinum", "chemotherapy"):
        few = cohort.responses.copy()
        few.loc[few.index[20:], name] = NAN
        thin = dataclasses.replace(cohort, responses=few)
        if name == "platinum":
            assert list(outcome_views(thin, claims)) == ["radiation", "chemotherapy"]
        else:
            with pytest.raises(CohortError, match="response chemotherapy"):
                outcome_views(thin, claims)


def test_unknown_covariates_are_refused(cohort: Cohort) -> None:
    claims = load_claims().model_copy(update={"covariates": ("response:mood",)})
    with pytest.raises(CohortError, match="response:mood"):
        outcome_views(cohort, claims)


# --- the matrix -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features(cohort: Cohort) -> pd.DataFrame:
    table = pd.concat({b: cohort.blocks[b] for b in ("rna", "rppa", "driver", "lineage")}, axis=1)
    return table.set_axis([f"{b}:{c}" for b, c in table.columns], axis=1).astype(float)


@pytest.fixture(scope="module")
def values(cohort: Cohort, features: pd.DataFrame) -> pd.DataFrame:
    """What decides three claims: a gene measured in all, the same in few lines, and one that never varies."""
    few = features["rna:RAD51"].where(np.arange(len(features)) % 4 == 0)
    return pd.DataFrame({"C1/a@all": features["rna:GENE0001"] * 3, "C2/b@all": few, "C3/c@all": 1.0})


@pytest.fixture(scope="module")
def matrix(features: pd.DataFrame, values: pd.DataFrame, views: dict[str, OutcomeView]) -> Matrix:
    return adjusted_matrix(features, values, views["chemotherapy"], RULES)


def test_the_matrix_holds_what_a_model_could_learn_from_and_what_decides(
    matrix: Matrix, features: pd.DataFrame, views: dict[str, OutcomeView]
) -> None:
    view = views["chemotherapy"]
    selected = select_features(features.loc[view.lines], RULES)
    kept = [f for f in selected if not f.startswith("lineage:")]
    assert list(matrix.features) == [*kept, "C1/a@all", "C2/b@all"]
    assert "rna:GENE0000" in kept
    assert not any(f.startswith("rna:") for f in kept if f != "rna:GENE0000")
    assert any(f.startswith("lineage:") for f in selected)
    assert matrix.X.shape == (len(view.lines), len(matrix.features))
    assert matrix.X.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(view.tissue.T @ matrix.X, 0, atol=1e-8)


def test_columns_of_the_matrix_are_regression_residuals(
    matrix: Matrix, values: pd.DataFrame, views: dict[str, OutcomeView]
) -> None:
    view = views["chemotherapy"]
    column = values.loc[view.lines, "C2/b@all"].to_numpy()
    seen = np.isfinite(column)
    design = view.tissue[seen][:, view.tissue[seen].any(axis=0)]
    resid = sm.OLS(column[seen], design).fit().resid
    own = matrix.X[:, list(matrix.features).index("C2/b@all")]
    np.testing.assert_allclose(own[seen], resid / resid.std(), atol=1e-8)
    assert (own[~seen] == 0).all()


def test_groups_hold_their_own_columns_and_mates(matrix: Matrix) -> None:
    asked = {
        "C1": ["C1/a@all"],
        "gene GENE0000": ["rna:GENE0000", "rna:NOBODY"],
        "C3": ["C3/c@all"],
        "nothing": [],
        "C2": ["C2/b@all", "C1/a@all"],
    }
    grouped = with_groups(matrix, asked)
    at = {f: i for i, f in enumerate(matrix.features)}
    assert list(grouped.groups) == ["C1", "gene GENE0000", "C2"]
    assert at["C1/a@all"] in grouped.groups["C1"]
    assert {at["C2/b@all"], at["C1/a@all"]} <= set(grouped.groups["C2"])
    assert grouped.groups["C2"] == find_mates(matrix.X, [at["C2/b@all"], at["C1/a@all"]])
    assert grouped.X is matrix.X


def test_another_coding_of_a_feature_is_its_mate(
    features: pd.DataFrame, values: pd.DataFrame, views: dict[str, OutcomeView]
) -> None:
    rules = RULES.model_copy(update={"always": ("rna:GENE0001",)})
    matrix = with_groups(adjusted_matrix(features, values, views["radiation"], rules), {"C1": ["C1/a@all"]})
    assert {"rna:GENE0001", "C1/a@all"} <= set(matrix.features[matrix.groups["C1"]])


def test_a_reduced_matrix_keeps_groups_and_a_background_drawn_by_the_seed(matrix: Matrix) -> None:
    grouped = with_groups(matrix, {"C1": ["C1/a@all"], "G": ["rna:GENE0000"]})
    small = grouped.reduced(15, seed=3)
    members = {name: set(grouped.features[list(m)]) for name, m in grouped.groups.items()}
    assert {name: set(small.features[list(m)]) for name, m in small.groups.items()} == members
    assert len(small.features) == 15 + len(set.union(*members.values()))
    assert list(small.features) == [f for f in matrix.features if f in set(small.features)]
    for at, name in enumerate(small.features):
        np.testing.assert_array_equal(small.X[:, at], matrix.X[:, list(matrix.features).index(name)])
    assert list(grouped.reduced(15, seed=3).features) == list(small.features)
    assert list(grouped.reduced(15, seed=4).features) != list(small.features)
    assert len(grouped.reduced(10**6, seed=0).features) == len(matrix.features)
    assert set(grouped.reduced(0, seed=0).features) == set.union(*members.values())
    assert len(matrix.reduced(7, seed=0).features) == 7
