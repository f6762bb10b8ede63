"""Signatures on trial: scores and ridge against other software, random sets, leaks, our models beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from crossres_ml.artifacts import is_intact, write_table
from crossres_ml.cohort.cohort import RESPONSES, Cohort
from crossres_ml.config import FeatureConfig, Panels, SplitConfig, TrainConfig
from crossres_ml.errors import CohortError, ConfigError
from crossres_ml.models.baselines import RSI, RadiosensitivityIndex
from crossres_ml.scan.signature_folds import measure_signatures
from crossres_ml.scan.signature_lists import Signature, published_signatures
from crossres_ml.scan.signature_models import (
    COVERAGE_STEP,
    PENALTIES,
    Pool,
    calibrated,
    published_scores,
    ridge,
    standardise_by,
)
from crossres_ml.scan.signatures import OURS, Trial, try_signatures
from crossres_ml.scan.symbols import Symbols
from crossres_ml.signatures import signatures as run_signatures
from crossres_ml.splits import cell_line_out

GENES = [f"G{i:03d}" for i in range(300)]
GOOD = Signature("good", dict.fromkeys(GENES[:5], 1.0), "equal", "radiation response", 1)
NOISE = Signature("noise", dict.fromkeys(GENES[50:140], 1.0), "equal", "hypoxia", 0)
ABSENT = Signature(
    "absent", dict.fromkeys([*GENES[:3], "X1", "X2"], 1.0), "equal", "other", 0, (), "old array"
)


@pytest.fixture(scope="module")
def lines(make_cohort: Callable[..., Cohort]) -> Cohort:
    """240 lines, some related; five genes drive radiation, some genes have gaps."""
    rng = np.random.default_rng(8)
    n = 240
    x = rng.normal(size=(n, len(GENES))) + 3
    y = x[:, :5].mean(axis=1) * 1.2 + rng.normal(size=n)
    x[160:, 200:] = np.nan
    responses = pd.DataFrame(rng.normal(size=(n, len(RESPONSES))), columns=list(RESPONSES)).assign(
        radiation=y
    )
    responses.loc[:19, "radiation"] = np.nan
    group = np.where(np.arange(n) % 10 == 1, np.arange(n) - 1, np.arange(n))
    return make_cohort(rng.choice(list("ABCD"), n), group, responses, {"rna": pd.DataFrame(x, columns=GENES)})


@pytest.fixture(scope="module")
def folds(lines: Cohort) -> pd.DataFrame:
    return cell_line_out(lines, SplitConfig(seed=1, folds=4, repeats=2), quantile=2 / 3)


@pytest.fixture(scope="module")
def trial(lines: Cohort, folds: pd.DataFrame) -> Trial:
    return try_signatures(lines, folds, [GOOD, NOISE, ABSENT], sets=49, draws=99, seed=3, jobs=1)


# --- scores and fits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("genes", [7, 80])
def test_ridge_is_scikit_learns_with_the_penalty_of_brute_force(genes: int) -> None:
    rng = np.random.default_rng(genes)
    z = rng.normal(size=(60, genes)).astype(np.float32)
    y = 0.8 * z[:, 0] + rng.normal(size=60) + 3
    train = np.arange(60) < 45
    own, mean = z[train].astype(float), y[train].mean()
    errors = []
    for penalty in PENALTIES:
        left = []
        for i in range(45):
            kept = np.arange(45) != i
            fit = Ridge(penalty * genes, fit_intercept=False).fit(own[kept], y[train][kept] - mean)
            left.append(y[train][i] - mean - fit.predict(own[[i]])[0])
        errors.append(np.square(left).sum())
    best = PENALTIES[int(np.argmin(errors))]
    expected = mean + Ridge(best * genes, fit_intercept=False).fit(own, y[train] - mean).predict(z)
    both = np.stack([z, z[:, ::-1]])
    np.testing.assert_allclose(ridge(both, y, train), [expected, expected], atol=2e-4)


def test_index_by_ranks_is_the_baselines() -> None:
    rng = np.random.default_rng(2)
    X = pd.DataFrame(np.round(rng.normal(size=(30, 10)), 1), columns=[f"rna:{g}" for g in RSI])
    model = RadiosensitivityIndex(FeatureConfig(blocks=("rna",)), 0)
    model.columns, model.median_ = list(X.columns), 0.0
    scores = published_scores(X.to_numpy()[None], X.to_numpy()[None], np.array(list(RSI.values())), "ranks")
    np.testing.assert_allclose(scores[0], model.score(X))


def test_signed_mean() -> None:
    z = np.array([[[1.0, 2.0], [3.0, -1.0]]])
    assert published_scores(z, z, np.array([1.0, -1.0]), "signs").tolist() == [[-0.5, 2.0]]


def test_calibration_is_a_straight_line() -> None:
    rng = np.random.default_rng(5)
    score, y, train = rng.normal(size=(1, 40)), rng.normal(size=40), np.arange(40) < 30
    slope, intercept = np.polyfit(score[0, train], y[train], 1)
    np.testing.assert_allclose(calibrated(score, y, train)[0], intercept + slope * score[0])
    np.testing.assert_allclose(calibrated(np.ones((1, 40)), y, train)[0], y[train].mean())


def test_z_by_training_lines_with_gaps() -> None:
    values = np.array([[1.0, np.nan, 2.0], [3.0, 5.0, 2.0], [np.nan, 7.0, 2.0], [9.0, np.nan, 2.0]])
    z = standardise_by(values, np.array([True, True, True, False]))
    np.testing.assert_allclose(z[:, 0], np.array([1 - 2, 3 - 2, 0, 9 - 2]) / np.sqrt([2, 2, 1, 2]), rtol=1e-6)
    np.testing.assert_allclose(z[:, 1], np.array([0, -1, 1, 0]) / np.sqrt(2), rtol=1e-6)
    assert (z[:, 2] == 0).all()


# --- genes -------------------------------------------------------------------------------------------


def test_random_sets_have_size_and_coverage() -> None:
    rng = np.random.default_rng(1)
    values = np.full((100, 400), 3.0)
    for at, share in ((0, 1.0), (150, 0.8), (250, 0.5)):
        values[:, at : at + 150][rng.random((100, 150)) > share] = np.nan
    values[:, 300:] = 0.0
    pool = Pool.of(values)
    assert pool.genes.max() < 300  # what nobody expresses is not drawn
    genes = np.array([0, 1, 2, 160, 161, 260])
    drawn = pool.draw(genes, 40, np.random.default_rng(2))
    assert drawn.shape == (40, 6)
    assert not np.isin(drawn, genes).any()
    assert all(len(set(row)) == 6 for row in drawn)
    assert np.abs(pool.coverage[drawn] - pool.coverage[genes]).max() <= 2 * COVERAGE_STEP


def test_old_and_new_names() -> None:
    hgnc = pd.DataFrame(
        {
            "symbol": ["PKM", "NEW1", "NEW2", "TWO1", "TWO2"],
            "previous_symbols": ["PKM2, PK3", "OLD", None, "SHARED", "SHARED"],
            "synonyms": [None, None, "nick", None, None],
        }
    )
    symbols = Symbols(["PKM", "OLD", "NEW2", "TWO1", "TWO2"], hgnc)
    asked = ("PKM", "PKM2", "NEW1", "NICK", "SHARED", "NOPE")
    assert [symbols.find(g) for g in asked] == ["PKM", "PKM", "OLD", "NEW2", None, None]


def test_lines_that_have_enough_genes(lines: Cohort) -> None:
    known = lines.responses.radiation.dropna().index
    some = Signature("some", dict.fromkeys([*GENES[:3], *GENES[200:207]], 1.0), "equal", "other", 0)
    all_, absent, part = measure_signatures([GOOD, ABSENT, some], lines.blocks["rna"].loc[known], None)
    assert (all_.lines.sum(), all_.why_not) == (220, "")
    assert absent.why_not == "0 irradiated lines have 80% of its genes; 60 are needed"
    assert part.lines.sum() == 140  # seven of ten genes are measured in part of the lines


def test_lists_of_the_same_genes_are_one() -> None:
    table = pd.DataFrame(
        {
            "collection": ["oxic"] * 2 + ["radsigbench"] * 2 + ["hypoxic"] * 2,
            "signature": ["HanSang_2012"] * 2 + ["kim2012"] * 2 + ["Hannah_2010"] * 2,
            "gene": ["A", "B", "B", "A", "C", "D"],
            "direction": [None] * 4 + [1.0, -1.0],
            "weight": [None] * 6,
        }
    ).astype({"direction": float, "weight": float})
    found = published_signatures({"radiation_signatures": table})
    assert [s.name for s in found] == ["RSI (Eschrich 2009)", "Kim 2012, 31 genes", "Hannah 2010"]
    assert found[1].listed == ("HanSang_2012", "kim2012")
    assert (found[2].rule, dict(found[2].weights)) == ("signs", {"C": 1.0, "D": -1.0})


# --- the trial ---------------------------------------------------------------------------------------


def test_planted_signature_is_told_from_noise(trial: Trial) -> None:
    table = trial.table.set_index(["name", "way"])
    good, noise = table.loc[("good", "re-fitted")], table.loc[("noise", "re-fitted")]
    assert good.percentile == 100
    assert good.p == pytest.approx(1 / 50)
    assert 2 < noise.percentile < 98
    assert table.spearman_low[("good", "as published")] > 0.3
    assert good.r2 > 0.1 > noise.r2


def test_what_is_not_scored_says_why(trial: Trial) -> None:
    row = trial.table[trial.table.name == "absent"].iloc[0]
    assert row.note == "not scored: 0 irradiated lines have 80% of its genes; 60 are needed; old array"
    assert (row.way, row.found, row.asked) == ("", 3, 5)


def test_skill_is_that_of_other_software(trial: Trial) -> None:
    own = trial.predictions[(trial.predictions.name == "good") & (trial.predictions.way == "re-fitted")]
    sets = [p for _, p in own.groupby(["repeat", "fold"])]
    assert len(sets) == 8
    size = [len(p) for p in sets]
    row = trial.table[(trial.table.name == "good") & (trial.table.way == "re-fitted")].iloc[0]
    rho = np.average([spearmanr(p.expected, p.response).statistic for p in sets], weights=size)
    r2 = np.average([r2_score(p.response, p.expected) for p in sets], weights=size)
    assert [row.spearman, row.r2] == pytest.approx([rho, r2], abs=1e-9)


def _changed(cohort: Cohort, make_cohort: Callable[..., Cohort], held_out: np.ndarray, what: str) -> Cohort:
    responses, rna = cohort.responses.copy(), cohort.blocks["rna"].copy()
    if what == "response":
        responses.loc[held_out, "radiation"] = np.where(np.arange(len(held_out)) % 2, 50.0, -50.0)
    else:
        rna.loc[held_out[1:]] = 77.0
    return make_cohort(cohort.lines.lineage, cohort.lines.group.str[1:].astype(int), responses, {"rna": rna})


@pytest.mark.parametrize("what", ["response", "expression"])
def test_nothing_of_a_held_out_line_enters(
    lines: Cohort, folds: pd.DataFrame, trial: Trial, make_cohort: Callable[..., Cohort], what: str
) -> None:
    one = folds[(folds.repeat == 0) & (folds.fold == "0")]
    known = lines.responses.index[lines.responses.radiation.notna()]
    held_out = one.model_id[(one.role == "test") & one.model_id.isin(known)].to_numpy()
    other = _changed(lines, make_cohort, held_out, what)
    again = try_signatures(other, one, [GOOD, NOISE], sets=0, draws=9, seed=3, jobs=1).predictions
    keys = ["name", "way", "repeat", "fold", "model_id"]
    both = trial.predictions.merge(again, on=keys, suffixes=("", "_again"))
    if what == "expression":  # the first held-out line kept its genes: the others' must not matter to it
        both = both[both.model_id == held_out[0]]
    assert len(both) == 4 * (1 if what == "expression" else len(held_out))
    for column in ("expected", "score"):  # alike but for the order in which products are added up
        np.testing.assert_allclose(both[column], both[f"{column}_again"], rtol=1e-5, atol=1e-6)


def test_jobs_do_not_matter(lines: Cohort, folds: pd.DataFrame, trial: Trial) -> None:
    two = try_signatures(lines, folds, [GOOD, NOISE, ABSENT], sets=49, draws=99, seed=3, jobs=2)
    pd.testing.assert_frame_equal(two.table, trial.table)


def _our_predictions(lines: Cohort, folds: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    test = folds[folds.role == "test"].drop(columns="role")
    test = test.assign(response=lines.responses.radiation[test.model_id].to_numpy()).dropna()
    parts = []
    for model, noise in (("gp", 0.5), ("lineage_mean", 5.0)):
        score = test.response + noise * rng.normal(size=len(test))
        parts.append(test.assign(model=model, score=score, expected=score))
    return pd.concat(parts).assign(task="radiation", variant="full")


def test_our_models_stand_beside(lines: Cohort, folds: pd.DataFrame) -> None:
    ours = _our_predictions(lines, folds)
    found = try_signatures(lines, folds, [GOOD, NOISE], ours=ours, sets=0, draws=199, seed=3, jobs=1)
    table = found.table.set_index(["name", "way"])
    assert set(table.against) == {"gp", ""}
    gp, noise = table.loc[("gp", OURS)], table.loc[("noise", "re-fitted")]
    assert noise.spearman_difference == pytest.approx(noise.spearman - gp.spearman)
    assert noise.spearman_difference_high < 0
    # drawn together: far narrower than the two intervals put together
    width = noise.spearman_difference_high - noise.spearman_difference_low
    assert width < (gp.spearman_high - gp.spearman_low) + (noise.spearman_high - noise.spearman_low)
    chosen = try_signatures(
        lines, folds, [GOOD], ours=ours, best="lineage_mean", sets=0, draws=9, seed=3, jobs=1
    )
    assert set(chosen.table.against) == {"lineage_mean", ""}


def test_other_folds_are_refused(lines: Cohort, folds: pd.DataFrame) -> None:
    other = cell_line_out(lines, SplitConfig(seed=2, folds=4, repeats=2), quantile=2 / 3)
    with pytest.raises(CohortError, match="gp was held out on other folds"):
        try_signatures(
            lines, folds, [GOOD], ours=_our_predictions(lines, other), sets=0, draws=9, seed=3, jobs=1
        )
    moved = _our_predictions(lines, folds).assign(response=lambda t: t.response + 1)
    with pytest.raises(CohortError, match="other responses"):
        try_signatures(lines, folds, [GOOD], ours=moved, sets=0, draws=9, seed=3, jobs=1)


# --- files -------------------------------------------------------------------------------------------


def test_files_of_a_simulated_study(small_config: TrainConfig, panels: Panels, tmp_path: Path) -> None:
    config = small_config.model_copy(update={"simulated_lines": 200})
    done = run_signatures(config, panels, output=tmp_path / "s", sets=19, draws=9, jobs=1)
    assert is_intact(done.folder) == []
    # a simulated study has none of the genes of the index
    assert list(done.table.way) == [""]
    assert "not scored: 0 irradiated lines have 100% of its genes" in done.table.note[0]
    assert not run_signatures(config, panels, output=tmp_path / "s", sets=19, draws=9, jobs=1).fresh


def test_results_without_predictions(small_config: TrainConfig, panels: Panels, tmp_path: Path) -> None:
    write_table(tmp_path / "other.csv", pd.DataFrame({"a": [1]}))
    with pytest.raises(ConfigError, match=r"has no predictions\.parquet"):
        run_signatures(small_config, panels, output=tmp_path / "s", results=tmp_path)
