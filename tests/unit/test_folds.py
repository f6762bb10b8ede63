"""What a fold may learn from, what it is judged by, and that nothing of a held-out line is in the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from sklearn.linear_model import LinearRegression

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import TrainConfig
from crossres_ml.evaluation.folds import (
    HAVE,
    Fold,
    FoldData,
    fold_data,
    list_folds,
    mask,
    solid,
    task_matrix,
)
from crossres_ml.evaluation.heldout import model_set, run_fold
from crossres_ml.models.baselines import RSI
from crossres_ml.models.estimators import TrainingView
from crossres_ml.splits import STUDIES

KNOWN = ["radiation", "chemotherapy", "chemotherapy_gdsc"]
RNG = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A cohort, a configuration with every variant, and its folds by name."""

    cohort: Cohort
    config: TrainConfig
    X: pd.DataFrame
    folds: dict[tuple[str, str, str], Fold]

    def data(self, mode: str = "cell_line_out", fold: str = "0", variant: str = "full") -> FoldData:
        return fold_data(self.cohort, self.config, self.X, self.folds[mode, fold, variant])


@pytest.fixture(scope="module")
def setting(cohort: Cohort, small_config: TrainConfig, splits: pd.DataFrame) -> Setting:
    config = small_config.model_copy(
        update={
            "permuted": True,
            "learning_curve": (0.25, 0.5),
            "retrained": ("rna", "mutations", "no_caution"),
            "models": ("lineage_mean", "ridge", "gp"),
            "side_models": ("lineage_mean", "gp"),
        }
    )
    # two antibodies that are not fully validated
    features = cohort.features.assign(caution=cohort.features.index.isin(["rppa:PROT001", "rppa:PROT002"]))
    cohort = dataclasses.replace(cohort, features=features)
    folds = {(f.mode, f.fold, f.variant): f for f in list_folds(cohort, splits, config)}
    return Setting(cohort, config, task_matrix(cohort, config), folds)


# --- folds ----------------------------------------------------------------------------------------


def test_variants_are_run_on_the_first_repeat_of_lines_out(setting: Setting, splits: pd.DataFrame) -> None:
    second = splits[splits["mode"] == "cell_line_out"].assign(repeat=1)
    found = list_folds(setting.cohort, pd.concat([splits, second]), setting.config)
    by_variant: dict[str, list[tuple[str, int]]] = {}
    for fold in found:
        by_variant.setdefault(fold.variant, []).append((fold.mode, fold.repeat))
    assert set(by_variant.pop("full")) == {
        ("cell_line_out", 0), ("cell_line_out", 1), ("lineage_out", 0), ("study_out", 0),
    }  # fmt: skip
    assert by_variant == dict.fromkeys(
        ["permuted", "train_25", "train_50", "rna_retrained", "mutations_retrained", "no_caution_retrained"],
        [("cell_line_out", 0)] * 2,
    )
    assert len({f.name for f in found}) == len(found)
    plain = list_folds(setting.cohort, splits, setting.config.model_copy(
        update={"permuted": False, "learning_curve": (), "retrained": ()}))  # fmt: skip
    assert {f.variant for f in plain} == {"full"}


@pytest.mark.parametrize("share", [0.25, 0.4, 0.9])
def test_learning_curve_leaves_out_whole_groups(
    make_cohort: Callable[..., Cohort], small_config: TrainConfig, share: float
) -> None:
    """Relatives far apart in the table: 20 groups of three."""
    made = make_cohort(["Lung"] * 80, [i % 20 if i < 60 else i for i in range(80)])
    roles = np.where(np.arange(80) < 60, "train", "test")
    table = pd.DataFrame({"model_id": made.lines.index, "role": roles})
    splits = table.assign(mode="cell_line_out", repeat=0, fold="0")
    config = small_config.model_copy(update={"learning_curve": (share,)})
    whole, part = list_folds(made, splits, config)
    group = made.lines.group
    assert part.variant == f"train_{100 * share:.0f}"
    assert len(part.train) == round(share * 20) * 3
    assert not set(group[part.train]) & set(group[whole.train.difference(part.train)])
    pdt.assert_index_equal(part.test, whole.test)
    other = list_folds(made, splits, config.model_copy(update={"seed": 4}))[1]
    assert set(other.train) != set(part.train)


def test_smaller_shares_are_parts_of_larger_ones(setting: Setting) -> None:
    quarter, half = (setting.folds["cell_line_out", "1", f"train_{s}"] for s in (25, 50))
    assert set(quarter.train) < set(half.train)


# --- features -------------------------------------------------------------------------------------


def test_matrix_has_configured_blocks_and_those_of_the_kernels(setting: Setting) -> None:
    blocks = {c.split(":")[0] for c in setting.X}
    assert {
        "rppa",
        "mutation",
        "driver",
        "burden",
        "lineage",
        "subtype",
        "progeny",
        "rna",
        "slfn11",
    } <= blocks
    assert "metabolomics" not in blocks
    assert "copy_number" not in blocks
    assert setting.X.dtypes.eq(np.float32).all()
    pdt.assert_index_equal(setting.X.index, setting.cohort.lines.index)


def test_matrix_leaves_out_what_no_fold_could_offer(setting: Setting) -> None:
    """Rare genes and rare events, unless named; nothing that a training fold offers."""
    rna, known = setting.cohort.blocks["rna"], setting.cohort.responses[KNOWN[:2]].notna().any(axis=1)
    share = rna[known].notna().mean()
    named = {c for c in setting.config.features.always if c.startswith("rna:")} | {f"rna:{g}" for g in RSI}
    for coverage, least in ((0.5, 0.4), (0.75, 0.6)):
        features = setting.config.features.model_copy(update={"min_coverage": coverage})
        X = task_matrix(setting.cohort, setting.config.model_copy(update={"features": features}))
        kept = {c.removeprefix("rna:") for c in X if c.startswith("rna:")}
        assert kept == {g for g in rna if share[g] >= least or f"rna:{g}" in named}
        assert (len(kept) == rna.shape[1]) == (coverage == 0.5)
    often = (setting.cohort.blocks["mutation"] != 0).sum() >= setting.config.features.min_events
    assert {c for c in setting.X if c.startswith("mutation:")} == {
        f"mutation:{g}" for g in often.index[often]
    }
    assert not often.all()


def test_offered_features_are_judged_on_training_lines(setting: Setting) -> None:
    data = setting.data()
    assert list(data.X.columns) == list(data.X_test.columns)
    for c in data.X.columns[data.X.columns.str.startswith("mutation:")]:
        events = (data.X[c] > 0).sum()
        assert min(events, len(data.X) - events) >= setting.config.features.min_events
    assert not data.X.columns.str.startswith(("metabolomics:", "copy_number:")).any()
    assert "rna:RAD51" in data.X


@pytest.mark.parametrize(("variant", "prefixes"), [("rna", ("rna:",)), ("mutations", HAVE["mutations"])])
def test_retrained_models_have_only_what_a_user_has(
    setting: Setting, variant: str, prefixes: tuple[str, ...]
) -> None:
    data = setting.data(variant=f"{variant}_retrained")
    assert len(data.X.columns) > 5
    assert data.X.columns.str.startswith(prefixes).all()
    for view in data.views.values():
        assert list(view.X.columns) == list(data.X.columns)


def test_antibodies_with_a_caution_are_named_and_left_out(setting: Setting) -> None:
    assert setting.data().caution == ("rppa:PROT001", "rppa:PROT002")
    without = setting.data(variant="no_caution_retrained").X.columns
    assert sorted(set(setting.data().X) - set(without)) == ["rppa:PROT001", "rppa:PROT002"]


def test_retrained_on_mutations_alone_can_be_run(setting: Setting) -> None:
    """One kernel for the process and one for the profile: the smallest table that a user may have."""
    data = setting.data(variant="mutations_retrained")
    predictions, contributions = run_fold(data, setting.config)
    assert set(predictions.variant) == {"mutations_retrained"}
    assert set(predictions.model) == {"lineage_mean", "gp"}
    assert np.isfinite(predictions[["score", "probability", "expected"]]).all(axis=None)
    assert contributions.empty


# --- masks ----------------------------------------------------------------------------------------

MASKED = pd.DataFrame(
    RNG.normal(size=(6, 9)),
    columns=["rna:A", "rna_array:A", "gene_set:S", "rppa:P", "rppa:Q", "mutation:M", "driver:D",
             "burden:mutated_genes", "lineage:Lung"],
).astype(np.float32).mask(RNG.random((6, 9)) < 0.2)  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "kept"),
    [
        ("rna", ["rna:A", "gene_set:S"]),
        ("mutations", ["mutation:M", "driver:D", "burden:mutated_genes"]),
        ("rna_mutations", ["rna:A", "gene_set:S", "mutation:M", "driver:D", "burden:mutated_genes"]),
        ("rna_rppa", ["rna:A", "gene_set:S", "rppa:P", "rppa:Q"]),
        ("no_caution", [c for c in MASKED if c != "rppa:Q"]),
    ],
)
def test_masks_hide_what_a_user_does_not_have_and_nothing_else(variant: str, kept: list[str]) -> None:
    before = MASKED.copy()
    out = mask(MASKED, variant, ("rppa:Q",))
    pdt.assert_frame_equal(out[kept], MASKED[kept])
    assert out.drop(columns=kept).isna().all(axis=None)
    pdt.assert_frame_equal(MASKED, before)
    assert out.dtypes.eq(np.float32).all()


def test_a_solid_table_is_the_same_table() -> None:
    pieces = pd.concat([MASKED[[c]] for c in MASKED], axis=1)
    pdt.assert_frame_equal(solid(pieces), MASKED)


# --- truth ----------------------------------------------------------------------------------------


def test_truth_by_hand(setting: Setting) -> None:
    """Classes and the residual use cuts and a line that training lines alone gave."""
    data, responses = setting.data(), setting.cohort.responses
    quantile = setting.config.resistant_quantile
    train, both = data.fold.train, ["radiation", "chemotherapy"]
    scored = {"radiation": responses.loc[train, ["radiation"]].dropna().index,
              "chemotherapy": responses.loc[train, both].dropna().index,
              "cross": responses.loc[train, both].dropna().index}  # fmt: skip
    for task, truth in data.truth.items():
        names = both if task == "cross" else [task]
        expected = data.fold.test[responses.loc[data.fold.test, both if task != "radiation" else names]
                                  .notna().all(axis=1)]  # fmt: skip
        pdt.assert_index_equal(truth.index, expected)
        cuts = responses.loc[scored[task], names].quantile(quantile)
        label = (responses.loc[expected, names] >= cuts).all(axis=1)
        np.testing.assert_array_equal(truth.label, label)
        view = data.views[task]
        assert view.scored.sum() == len(scored[task])
        if task == "cross":
            top = np.quantile(view.y, quantile)
            np.testing.assert_array_equal(truth.top_third, truth.response >= top)
            assert (truth.top_third >= truth.label).mean() > 0.9
        else:
            np.testing.assert_array_equal(truth.response, responses.loc[expected, task])
            np.testing.assert_array_equal(truth.top_third, truth.label)
        general = responses.general_sensitivity
        use = np.isfinite(view.sensitivity) & view.scored
        line = LinearRegression().fit(view.sensitivity[use, None], view.y[use])
        here = general[expected].dropna()
        predicted = line.predict(here.to_numpy()[:, None])
        np.testing.assert_allclose(truth.residual[here.index], truth.response[here.index] - predicted)
        assert truth.residual[general[expected].isna()].isna().all()
        np.testing.assert_array_equal(truth.group, setting.cohort.lines.group[expected])


# --- study out ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", STUDIES)
def test_study_out_learns_from_one_screen_and_is_judged_by_the_other(
    setting: Setting, direction: str
) -> None:
    learn, judge, prefixes = STUDIES[direction]
    data, responses = setting.data("study_out", direction), setting.cohort.responses
    assert list(data.views) == list(data.truth) == ["chemotherapy"]
    assert data.drugs.columns.str.startswith(prefixes).all()
    assert len(data.drugs.columns) == setting.cohort.drugs.columns.str.startswith(prefixes).sum() > 0
    assert len(data.genotoxic) == len(data.drugs.columns)
    view, truth = data.views["chemotherapy"], data.truth["chemotherapy"]
    np.testing.assert_array_equal(view.y, responses.loc[view.X.index, learn])
    np.testing.assert_array_equal(truth.response, responses.loc[truth.index, judge])
    assert responses.loc[truth.index, learn].isna().all()  # lines that the learned screen lacks
    assert not set(setting.cohort.lines.group[truth.index]) & set(setting.cohort.lines.group[view.X.index])
    assert view.scored.all()
    # the class of a line is cut in the unit of the screen that judges
    trained = responses.loc[data.fold.train, judge].dropna()
    cut = trained.quantile(setting.config.resistant_quantile)
    np.testing.assert_array_equal(truth.label, truth.response >= cut)
    assert truth.label.nunique() == 2


@pytest.mark.parametrize("direction", STUDIES)
def test_study_out_does_not_learn_from_the_judging_screen(setting: Setting, direction: str) -> None:
    """Whatever the other screen measured in the training lines, the models are the same."""
    learn, judge, prefixes = STUDIES[direction]
    cohort, fold = setting.cohort, setting.folds["study_out", direction, "full"]
    responses, drugs = cohort.responses.copy(), cohort.drugs.copy()
    responses[judge] = responses[judge].sample(frac=1, random_state=0).to_numpy()
    if direction == "gdsc_to_ctrp":  # measured by the judging screen: only a naive model reads it
        responses["general_sensitivity"] += 1
    foreign = drugs.columns[~drugs.columns.str.startswith(prefixes)]
    drugs[foreign] = RNG.normal(size=(len(drugs), len(foreign)))
    other = dataclasses.replace(cohort, responses=responses, drugs=drugs)
    one, two = (fold_data(c, setting.config, setting.X, fold) for c in (cohort, other))
    same_learned(one, two, sensitivity=direction == "ctrp_to_gdsc")
    assert learn != judge
    assert not one.truth["chemotherapy"].equals(two.truth["chemotherapy"])


# --- permuted -------------------------------------------------------------------------------------


def test_permuted_rows_stay_among_lines_with_the_same_responses(setting: Setting) -> None:
    """Responses and drugs of a line go together to another line; features stay."""
    cohort = setting.cohort
    number = pd.Series(np.arange(len(cohort.lines), dtype=float), cohort.lines.index)
    responses = cohort.responses.apply(lambda c: number.where(c.notna()))
    drugs = cohort.drugs.apply(lambda c: number.where(c.notna()))
    marked = dataclasses.replace(cohort, responses=responses, drugs=drugs)
    fold = setting.folds["cell_line_out", "0", "permuted"]
    data = fold_data(marked, setting.config, setting.X, fold)
    view, truth = data.views["radiation"], data.truth["radiation"]
    dealt = pd.concat([pd.Series(view.y, view.X.index), truth.response]).astype(int)
    assert sorted(dealt) == sorted(number[responses.radiation.notna()])  # each response is dealt once
    assert (dealt != number[dealt.index]).mean() > 0.9
    for line, source in dealt.items():
        pdt.assert_series_equal(
            cohort.responses.loc[line, KNOWN].notna(),
            cohort.responses.iloc[source][KNOWN].notna(),
            check_names=False,
        )
    # the drugs of a training line are those of the line that its response came from
    for line in view.X.index[:40]:
        own = data.drugs.loc[line].dropna()
        assert (own == dealt[line]).all()
        assert len(own) == cohort.drugs.iloc[dealt[line]].notna().sum()
    full = setting.data()
    pdt.assert_index_equal(view.X.index, full.views["radiation"].X.index)
    pdt.assert_frame_equal(data.X, full.X)
    pdt.assert_frame_equal(data.X_test, full.X_test)
    assert not set(data.drugs.index) & set(fold.test)


def test_permuted_differs_by_seed_only(setting: Setting) -> None:
    fold = setting.folds["cell_line_out", "0", "permuted"]
    one, two = (fold_data(setting.cohort, setting.config, setting.X, fold) for _ in range(2))
    np.testing.assert_array_equal(one.views["cross"].y, two.views["cross"].y)
    other = setting.config.model_copy(update={"seed": 4})
    three = fold_data(setting.cohort, other, setting.X, fold)
    assert (one.views["radiation"].y != three.views["radiation"].y).mean() > 0.9


# --- nothing of a held-out line -------------------------------------------------------------------


def same_learned(one: FoldData, two: FoldData, *, sensitivity: bool = True) -> None:
    """Equal to the last bit: everything that a model may see."""
    pdt.assert_frame_equal(one.X, two.X, check_exact=True)
    pdt.assert_frame_equal(one.drugs, two.drugs, check_exact=True)
    np.testing.assert_array_equal(one.genotoxic, two.genotoxic)
    np.testing.assert_array_equal(one.groups, two.groups)
    assert one.rules == two.rules
    assert one.caution == two.caution
    for task, view in one.views.items():
        other = two.views[task]
        pdt.assert_frame_equal(view.X, other.X, check_exact=True)
        for field in dataclasses.fields(TrainingView)[1:]:
            if sensitivity or field.name != "sensitivity":
                np.testing.assert_array_equal(getattr(view, field.name), getattr(other, field.name))


def changed(cohort: Cohort, lines: pd.Index, what: str) -> Cohort:
    """Absurd responses, drugs or features of some lines, measured where they were measured before."""
    if what == "features":
        blocks = {}
        for name, table in cohort.blocks.items():
            block = table.copy()
            block.loc[lines] = RNG.normal(0, 1e3, (len(lines), table.shape[1])).astype(np.float32)
            blocks[name] = block
        return dataclasses.replace(cohort, blocks=blocks)
    table = getattr(cohort, what).copy()
    noise = pd.DataFrame(RNG.normal(50, 20, (len(lines), table.shape[1])), lines, table.columns)
    table.loc[lines] = noise.where(table.loc[lines].notna())
    return dataclasses.replace(cohort, **{what: table})


PLACES = [("cell_line_out", "1", "full"), ("study_out", "gdsc_to_ctrp", "full"),
          ("cell_line_out", "0", "train_50"), ("cell_line_out", "0", "rna_retrained")]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda p: "-".join(p))
@pytest.mark.parametrize("what", ["responses", "drugs", "features"])
def test_held_out_lines_change_nothing_that_is_learned(
    setting: Setting, place: tuple[str, str, str], what: str
) -> None:
    fold = setting.folds[place]
    rest = setting.cohort.lines.index.difference(fold.train)
    bad = changed(setting.cohort, rest, what)
    one = fold_data(setting.cohort, setting.config, setting.X, fold)
    two = fold_data(bad, setting.config, task_matrix(bad, setting.config), fold)
    same_learned(one, two)
    assert one.X_test.equals(two.X_test) == (what != "features")
    truths = all(one.truth[t].equals(two.truth[t]) for t in one.truth)
    assert truths == (what != "responses")


@pytest.mark.parametrize("what", ["responses", "drugs", "features"])
def test_held_out_lines_change_no_model(setting: Setting, what: str) -> None:
    """Profile, process and scores of the held-out lines as they were, from other truth and drugs."""
    fold = setting.folds["cell_line_out", "1", "full"]
    bad = changed(setting.cohort, setting.cohort.lines.index.difference(fold.train), what)
    sets = []
    for cohort in (setting.cohort, bad):
        data = fold_data(cohort, setting.config, task_matrix(cohort, setting.config), fold)
        sets.append(model_set(data, setting.config, ("gp",)))
    one, two = sets
    assert one.profile is not None
    assert two.profile is not None
    pdt.assert_frame_equal(one.profile.cross_fitted, two.profile.cross_fitted, check_exact=True)
    fresh = setting.X.loc[fold.test]
    whole = fresh.join(one.profile.predict(fresh))
    pdt.assert_frame_equal(two.profile.predict(fresh), whole[one.profile.names], check_exact=True)
    first, second = (s.get("chemotherapy", "gp") for s in sets)
    pdt.assert_frame_equal(first.predict(whole), second.predict(whole), check_exact=True)
    assert first.parameters() == second.parameters()


@pytest.mark.parametrize("what", ["responses", "drugs", "features"])
def test_training_lines_do_change_what_is_learned(setting: Setting, what: str) -> None:
    """The tests above can fail: three lines are enough to be seen."""
    fold = setting.folds["cell_line_out", "1", "full"]
    bad = changed(setting.cohort, fold.train[:3], what)
    one, two = (
        fold_data(c, setting.config, task_matrix(c, setting.config), fold) for c in (setting.cohort, bad)
    )
    with pytest.raises(AssertionError, match=r"(?i)different|not equal|differing"):
        same_learned(one, two)
