"""No relative straddles a split, and a split that leaks is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest

from crossres_ml.cohort.build import build_cohort
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import scored_lines
from crossres_ml.config import Panels, SplitConfig
from crossres_ml.errors import LeakageError
from crossres_ml.sources.simulated import simulate
from crossres_ml.splits import (
    EXCLUDED,
    STUDIES,
    TEST,
    TRAIN,
    cell_line_out,
    check_splits,
    describe_splits,
    lineage_out,
    make_splits,
    study_out,
)


def straddle(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    """Take one of two relatives to the other side, in one fold only."""
    group = cohort.lines.group
    related = group[group.duplicated(keep=False)].index
    fold = (splits["mode"] == "cell_line_out") & (splits.fold == "0")
    at = splits.index[fold & splits.model_id.isin(related) & (splits.role == TEST)][0]
    out = splits.copy()
    out.loc[at, "role"] = TRAIN
    return out


def two_roles(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    extra = splits[(splits["mode"] == "lineage_out") & (splits.role == TRAIN)].iloc[[0]]
    return pd.concat([splits, extra.assign(role=EXCLUDED)], ignore_index=True)


def in_two_test_sets(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    single = cohort.lines.group[~cohort.lines.group.duplicated(keep=False)].index
    out = splits.copy()
    fold = (out["mode"] == "cell_line_out") & (out.fold == "0") & (out.role == TRAIN)
    out.loc[out.index[fold & out.model_id.isin(single)][0], "role"] = TEST
    return out


def never_tested(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    line = splits.model_id.iloc[0]
    gone = (splits["mode"] == "cell_line_out") & (splits.model_id == line) & (splits.role == TEST)
    return splits[~gone]


def lineage_on_both_sides(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    single = cohort.lines.group[~cohort.lines.group.duplicated(keep=False)].index
    out = splits.copy()
    held = (out["mode"] == "lineage_out") & (out.role == TEST) & out.model_id.isin(single)
    out.loc[out.index[held][0], "role"] = TRAIN
    return out


def foreign_line(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    return pd.concat([splits, splits.iloc[[0]].assign(model_id="ACH-999999")], ignore_index=True)


@pytest.mark.parametrize(
    ("leak", "message"),
    [
        (straddle, r"cell_line_out repeat 0 fold 0: relatives on both sides: groups ACH-9"),
        (two_roles, r"lineage_out repeat 0 fold \w+: lines with two roles: ACH-9"),
        (in_two_test_sets, r"a line is not tested exactly once per repeat"),
        (never_tested, r"a line is not tested exactly once per repeat"),
        (lineage_on_both_sides, r"lineage_out repeat 0 fold \w+: lineage on both sides"),
        (foreign_line, r"lines not in the cohort: ACH-999999"),
    ],
)
def test_planted_leak_raises(
    leak: Callable[[pd.DataFrame, Cohort], pd.DataFrame],
    message: str,
    splits: pd.DataFrame,
    cohort: Cohort,
) -> None:
    check_splits(splits, cohort)
    with pytest.raises(LeakageError, match=message):
        check_splits(leak(splits, cohort), cohort)


def test_all_leaks_are_named_at_once(splits: pd.DataFrame, cohort: Cohort) -> None:
    with pytest.raises(LeakageError, match="relatives on both sides") as error:
        check_splits(lineage_on_both_sides(straddle(splits, cohort), cohort), cohort)
    assert "lineage on both sides" in str(error.value)
    assert "do not use these splits" in str(error.value)


def test_folds_have_alike_classes_and_sizes(cohort: Cohort) -> None:
    table = cell_line_out(cohort, SplitConfig(seed=1, folds=2, repeats=2), quantile=2 / 3)
    radiation = cohort.responses.radiation
    resistant = (radiation >= radiation.quantile(2 / 3))[radiation.notna()]
    for _, part in table[table.role == TEST].groupby(["repeat", "fold"]):
        lines = pd.Index(part.model_id)
        assert len(lines) == pytest.approx(len(cohort.lines) / 2, rel=0.1)
        assert resistant[lines.intersection(resistant.index)].mean() == pytest.approx(1 / 3, abs=0.08)


def test_repeats_and_seeds_differ_and_come_back(cohort: Cohort) -> None:
    configs = [SplitConfig(seed=s, folds=2, repeats=2) for s in (1, 2)]
    one = cell_line_out(cohort, configs[0], quantile=2 / 3)
    pdt.assert_frame_equal(one, cell_line_out(cohort, configs[0], quantile=2 / 3))
    first, second = (g.role.to_numpy() for _, g in one.groupby("repeat"))
    assert (first != second).any()
    other = cell_line_out(cohort, configs[1], quantile=2 / 3)
    # repeat 0 of seed 2 is repeat 1 of seed 1
    assert (other.role[other["repeat"] == 0].to_numpy() == second).all()


def test_each_large_lineage_is_held_out_once(cohort: Cohort) -> None:
    table = lineage_out(cohort, SplitConfig(lineage_min_lines=15))
    scored = cohort.lines.lineage[scored_lines(cohort, "radiation")].value_counts()
    assert sorted(table.fold.unique()) == sorted(scored.index[scored >= 15])
    assert "Lymphoid" not in set(table.fold)  # blood lines have no radiation response
    for name, part in table.groupby("fold"):
        roles = part.set_index("model_id").role
        assert sorted(roles.index) == list(cohort.lines.index)
        assert set(roles.index[roles == TEST]) == set(cohort.lines.index[cohort.lines.lineage == name])


def test_relatives_of_a_held_out_lineage_are_excluded(make_cohort: Callable[..., Cohort]) -> None:
    lineage = ["Lung"] * 6 + ["Skin"] * 6 + ["Bone"] * 8
    group = list(range(20))
    group[7] = group[0]  # a skin line of the donor of a lung line
    group[12] = group[0]  # and a bone line
    made = make_cohort(lineage, group)
    table = lineage_out(made, SplitConfig(lineage_min_lines=6))
    check_splits(table, made)
    roles = table.set_index(["fold", "model_id"]).role
    assert roles["Lung", "ACH-000007"] == roles["Lung", "ACH-000012"] == EXCLUDED
    assert roles["Skin", "ACH-000000"] == roles["Skin", "ACH-000012"] == EXCLUDED
    assert (roles["Lung"] == TEST).sum() == 6
    assert (roles["Lung"] == EXCLUDED).sum() == 2
    taken = table.copy()
    taken.loc[taken.role == EXCLUDED, "role"] = TRAIN
    with pytest.raises(LeakageError, match="fold Lung: relatives on both sides: groups G0"):
        check_splits(taken, made)


def test_no_lineage_is_large_enough(cohort: Cohort) -> None:
    config = SplitConfig(folds=2, repeats=1, lineage_min_lines=1000)
    assert lineage_out(cohort, config).empty
    assert set(make_splits(cohort, config, quantile=2 / 3)["mode"]) == {"cell_line_out", "study_out"}


def screened(make_cohort: Callable[..., Cohort], ctrp: str, gdsc: str, group: list[int]) -> Cohort:
    """Lines with a response where the text has a 1."""
    made = make_cohort(["Lung"] * len(ctrp), group)
    responses = made.responses.copy()
    for name, known in (("chemotherapy", ctrp), ("chemotherapy_gdsc", gdsc)):
        responses[name] = responses[name].where([c == "1" for c in known])
    return make_cohort(["Lung"] * len(ctrp), group, responses)


def test_study_out_holds_out_what_the_learned_screen_lacks(make_cohort: Callable[..., Cohort]) -> None:
    """Line 4 is of the donor of line 2, line 5 of the donor of line 3; line 7 is in neither screen."""
    made = screened(make_cohort, "11101010", "11010100", [0, 1, 2, 3, 2, 3, 6, 7])
    assert roles_of(made, "ctrp_to_gdsc") == "rrrtrtrr"
    assert roles_of(made, "gdsc_to_ctrp") == "rrtrtrtr"
    kin = screened(make_cohort, "11101010", "11010100", [0, 1, 2, 3, 2, 0, 6, 3])
    assert roles_of(kin, "ctrp_to_gdsc") == "xrrtrtrx"  # donors of lines 3 and 5
    check_splits(study_out(kin), kin)


def roles_of(cohort: Cohort, fold: str) -> str:
    table = study_out(cohort)
    return "".join({TRAIN: "r", TEST: "t", EXCLUDED: "x"}[r] for r in table.role[table.fold == fold])


def test_study_out_keeps_relatives_apart(make_cohort: Callable[..., Cohort]) -> None:
    made = screened(make_cohort, "1110", "1101", [0, 1, 2, 0])
    table = study_out(made)
    taken = table.assign(role=table.role.replace({EXCLUDED: TRAIN}))
    assert (taken.role != table.role).any()
    with pytest.raises(LeakageError, match="study_out repeat 0 fold ctrp_to_gdsc: relatives on both sides"):
        check_splits(taken, made)


@pytest.mark.parametrize(
    ("ctrp", "gdsc", "folds"),
    [
        ("1111", "1111", set()),  # both screens have all lines
        ("1111", "1100", {"gdsc_to_ctrp"}),
        ("1111", "0000", set()),  # nothing to learn from, or to judge by
    ],
)
def test_study_out_without_lines_to_hold_out(
    make_cohort: Callable[..., Cohort], ctrp: str, gdsc: str, folds: set[str]
) -> None:
    table = study_out(screened(make_cohort, ctrp, gdsc, [0, 1, 2, 3]))
    assert set(table.fold) == folds
    assert list(table.columns) == ["mode", "repeat", "fold", "model_id", "role"]


def test_study_out_of_the_small_study(splits: pd.DataFrame, cohort: Cohort) -> None:
    for fold, (learn, judge, _) in STUDIES.items():
        part = splits[(splits["mode"] == "study_out") & (splits.fold == fold)].set_index("model_id").role
        assert sorted(part.index) == list(cohort.lines.index)
        held = cohort.responses.loc[part.index[part == TEST]]
        assert len(held) > 10
        assert held[judge].notna().all()
        assert held[learn].isna().all()


def test_description_counts_what_is_there(splits: pd.DataFrame, cohort: Cohort) -> None:
    table = describe_splits(splits, cohort).set_index(["mode", "fold", "role"])
    for (mode, fold, role), row in table.iterrows():
        same = (splits["mode"] == mode) & (splits.fold == fold) & (splits.role == role)
        lines = pd.Index(splits.model_id[same])
        responses = cohort.responses.loc[lines]
        assert row.lines == len(lines)
        assert row.groups == cohort.lines.group[lines].nunique()
        assert row.lineages == cohort.lines.lineage[lines].nunique()
        assert row.radiation_lines == responses.radiation.notna().sum()
        assert row.both_lines == responses[["radiation", "chemotherapy"]].notna().all(axis=1).sum()
    assert (table.lines > 0).all()
    assert np.isfinite(table.to_numpy()[:, 1:].astype(float)).all()


def test_smallest_allowed_study_can_be_split(panels: Panels) -> None:
    small = build_cohort(simulate(panels, lines=100, seed=1).tables, panels, kind="simulated", sources={})
    assert len(make_splits(small, SplitConfig(seed=2016), quantile=2 / 3))
