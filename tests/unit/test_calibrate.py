"""The calibration study: planted truth, level of what is offered, and results that depend on nothing else."""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pandas.testing as pdt
import pytest
from scipy.stats import pearsonr, spearmanr

from crossres_ml import artifacts, calibration, cli
from crossres_ml.audit import calibrate as module
from crossres_ml.audit import calibrate_methods, trees
from crossres_ml.audit.adjust import basis
from crossres_ml.audit.calibrate import Planted, Settings, calibrate, choose, make_ground, plant, run_study
from crossres_ml.audit.calibrate_bench import Bench, Ground
from crossres_ml.audit.calibrate_methods import BOTH_METHODS, METHODS, analytic, judge_both
from crossres_ml.audit.calibrate_summary import mean_seconds, summarise, summarise_both
from crossres_ml.audit.data import view_of
from crossres_ml.audit.matrix import adjusted_matrix
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import FeatureConfig, TrainConfig
from crossres_ml.errors import CohortError
from crossres_ml.report.calibration import BEGIN, END, calibration_block

ROOT = Path(__file__).resolve().parents[2]
SMALL = Settings(studies=2, draws=19, seed=4, strengths=(0.0, 0.5), background=10, slow_every=2)
QUICK = dataclasses.replace(SMALL, strengths=(0.4,), background=5, draws=5)
EMPTY = pd.DataFrame()


def a_ground(n: int = 240, p: int = 80, seed: int = 1) -> Ground:
    """Features of eight unequal lineages: some follow lineage, some have a twin, some are ties, few gaps."""
    rng = np.random.default_rng(seed)
    lines = pd.Index([f"L{i:03d}" for i in range(n)])
    lineage = pd.Series(rng.choice(list("ABCDEFGH"), n, p=np.arange(1, 9) / 36), lines)
    code = lineage.map({k: i for i, k in enumerate("ABCDEFGH")}).to_numpy()
    X = rng.normal(size=(n, p))
    X[:, :25] += 2.0 * rng.normal(size=(8, 25))[code]
    X[:, 30:40] = 0.8 * X[:, 40:50] + 0.6 * X[:, 30:40]
    X[:, 50:60] = X[:, 50:60] > 0.7
    table = pd.DataFrame(X, lines, [f"rna:G{j:02d}" for j in range(p)])
    table.iloc[5:8, 26:70] = np.nan
    table.iloc[9, 30:40] = np.nan
    table.iloc[: n // 3, 60:65] = np.nan
    view = view_of("radiation", pd.Series(rng.normal(size=n), lines), lineage, pd.DataFrame(index=lines))
    matrix = adjusted_matrix(table, pd.DataFrame(index=lines), view, FeatureConfig(blocks=("rna",)))
    return make_ground(table, matrix, most=1000, seed=0)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return a_ground()


@pytest.fixture(scope="module")
def done(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NULL_OUTCOMES", 6)
        patch.setattr(trees, "ROUNDS", 40)
        patch.setattr(calibrate_methods, "FEW_DRAWS", 19)
        return calibrate(ground, SMALL, tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def few(ground: Ground) -> Ground:
    """Sixty of the features: quick, and not patched, for the processes of a pool would not see it."""
    names = ground.matrix.features[20:80]
    keep = ground.matrix.features.isin(names)
    matrix = dataclasses.replace(ground.matrix, features=names, X=np.ascontiguousarray(ground.X[:, keep]))
    return Ground(matrix, ground.raw[:, keep], ground.share[keep])


@pytest.fixture(scope="module")
def quick(few: Ground, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("quick")
    return folder, calibrate(few, QUICK, folder)[0]


def bench_of(ground: Ground, planted: Planted) -> Bench:
    return Bench(ground, planted.columns, EMPTY, EMPTY, draws=19, background=20, seed=0)


# --- what is planted ------------------------------------------------------------------------------


def test_roles(ground: Ground) -> None:
    r = np.abs(np.corrcoef(ground.X.T))
    seen = set()
    for study in range(8):
        planted = choose(ground, 1, study)
        single, driver, varying, twin = planted.columns[:4]
        assert list(planted.roles[:4]) == ["single", "twin_driver", "varying", "twin"]
        assert np.sort(r[single])[-2] < 0.57  # itself apart; gaps count in one way here, in another there
        assert r[driver, twin] == np.sort(r[driver])[-2] > 0.5
        null = planted.columns[np.isin(planted.roles, ["null", "confounded"])]
        assert r[np.ix_(null, [single, driver, varying])].max() < 0.33
        assert set(planted.columns[planted.roles == "confounded"]) <= set(np.argsort(-ground.share)[:40])
        assert len(set(planted.columns)) == len(planted.columns)
        assert not set(range(60, 65)) & {single, driver, varying}
        seen.add((single, driver, varying))
    assert len(seen) > 4
    again = choose(ground, 1, 3)
    np.testing.assert_array_equal(again.columns, choose(ground, 1, 3).columns)


def test_no_feature_with_a_mate(ground: Ground) -> None:
    few = ground.matrix.features[60:80]
    keep = ground.matrix.features.isin(few)
    matrix = dataclasses.replace(ground.matrix, features=few, X=ground.X[:, keep])
    with pytest.raises(CohortError, match="can be twin_driver"):
        choose(Ground(matrix, ground.raw[:, keep], ground.share[keep]), 1, 0)


def test_the_planted_partial_correlation_is_the_stated_one(ground: Ground) -> None:
    planted, q = choose(ground, 1, 0), basis(ground.tissue)
    found: dict[float, list[list[float]]] = {0.0: [], 0.25: []}
    both, shares = [], []
    for r, rows in found.items():
        for repeat in range(60):
            y, other = plant(ground, planted, r=r, seed=7, study=0, repeat=repeat)
            rest = y - q @ (q.T @ y)
            rows.append([pearsonr(ground.X[:, c], rest).statistic for c in planted.columns[:3]])
            if r == 0:
                shares.append(1 - (rest**2).sum() / (y**2).sum())
                both.append(spearmanr(y, other).statistic)
    np.testing.assert_allclose(np.mean(found[0.0], axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.mean(found[0.25], axis=0), 0.25, atol=0.04)
    free = ground.matrix.view.rank / len(ground.X)
    assert np.mean(shares) == pytest.approx(0.25 + 0.75 * free, abs=0.03)
    assert np.mean(both) == pytest.approx(0.4, abs=0.08)


def test_the_effect_of_the_third_differs_by_lineage(ground: Ground) -> None:
    planted, lineage = choose(ground, 1, 0), ground.tissue.argmax(axis=1)
    spread = {}
    for k in (0, 2):
        slopes = []
        for repeat in range(30):
            y, _ = plant(ground, planted, r=0.35, seed=7, study=0, repeat=repeat)
            x = ground.X[:, planted.columns[k]]
            slopes.append([pearsonr(x[lineage == g], y[lineage == g]).statistic for g in range(3, 8)])
        spread[k] = float(np.mean(np.std(slopes, axis=1)))
    assert spread[2] > 1.5 * spread[0]


# --- methods that need no trees, in many outcomes -------------------------------------------------


def test_level_and_power_of_the_analytic_methods(ground: Ground) -> None:
    rates: dict[str, list[list[float]]] = {}
    power: dict[str, list[bool]] = {}
    for study in range(24):
        planted = choose(ground, 2, study)
        bench = bench_of(ground, planted)
        for r in (0.0, 0.5):
            y, other = plant(ground, planted, r=r, seed=3, study=study)
            for method, p in (analytic(bench, y) | judge_both(bench, y, other)).items():
                if r:
                    power.setdefault(method, []).append(bool(p[1] <= 0.05))
                else:
                    own = [
                        float((p[planted.roles == role] <= 0.05).mean()) for role in ("null", "confounded")
                    ]
                    rates.setdefault(method, []).append(own)
    for method, values in rates.items():
        null, confounded = np.mean(values, axis=0)
        error = 3 * np.std(values, axis=0) / np.sqrt(len(values)) + 0.005
        if method == "association_raw":
            assert confounded > 0.3  # the lineage effect alone
            continue
        assert null < 0.05 + error[0], method
        assert confounded < 0.05 + error[1], method
        assert np.mean(power[method]) > 0.9, method
    # what drives one outcome only is not called for both, unless the two are averaged
    assert np.mean(rates["both_association"]) < 0.02


def test_both_needs_the_same_sign(ground: Ground) -> None:
    planted = choose(ground, 1, 0)
    bench = bench_of(ground, planted)
    y, _ = plant(ground, planted, r=0.5, seed=1, study=0)
    same, opposite = judge_both(bench, y, y), judge_both(bench, y, -y)
    for method in ("both_association", "both_ridge"):
        assert same[method][0] < 0.001
        assert (opposite[method] == 1).all()
    np.testing.assert_allclose(same["both_association"], analytic(bench, y)["association"])
    np.testing.assert_allclose(same["both_ridge"], analytic(bench, y)["ridge"])


def test_distilled_residual_is_that_of_a_ridge_on_the_other_features(ground: Ground) -> None:
    from sklearn.linear_model import Ridge

    from crossres_ml.audit.calibrate_methods import DISTILLED, _distil

    X = ground.X
    alpha = (X**2).sum() / len(X) * (1 - DISTILLED) / DISTILLED
    for c in (3, 35, 62):
        others = np.delete(X, c, axis=1)
        model = Ridge(alpha=alpha, fit_intercept=False).fit(others, X[:, c])
        expected = X[:, c] - model.predict(others)
        assert np.corrcoef(expected, _distil(X, np.array([c]))[:, 0])[0, 1] == pytest.approx(1, abs=1e-9)


# --- whole studies --------------------------------------------------------------------------------


def test_every_method_speaks_of_every_candidate(
    ground: Ground, done: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    results, seconds = done
    assert set(results.method) == {*METHODS, *BOTH_METHODS}
    assert (
        results.groupby(["study", "r", "repeat", "method"]).size() == len(choose(ground, 4, 0).columns)
    ).all()
    slow = results[results.method == "within_lineage"]
    assert set(slow.study) == {0}
    assert set(slow.r) == {0.0}
    known = results.p.notna()
    assert (results.called[known] == (results.p[known] <= 0.05)).all()
    assert results.p[known].between(0, 1).all()
    assert set(mean_seconds(seconds).method) == set(results.method)


def test_offered_methods_find_a_strong_driver(done: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = summarise(done[0])
    strong = table[(table.r == 0.5) & table.offered].set_index("method")
    assert {"association", "ridge", "group_reduced", "combined"} <= set(strong.index)
    for method in strong.index.drop(["max_all", "max_candidates"], errors="ignore"):
        assert strong.S[method] == 1 or method.startswith("top"), method
    level = table[table.r == 0].set_index("method")
    assert not level.offered["association_raw"]
    assert level.confounded["association_raw"] > 0.2
    for method in ("association", "ridge", "single", "group", "group_reduced", "combined"):
        assert level.null[method] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 180), method
    both = summarise_both(done[0]).set_index(["method", "r"])
    assert both.both["both_association", 0.5] == 1
    assert both.one_only["both_mean", 0.5] > both.one_only["both_association", 0.5]


def test_rates_and_intervals_by_hand() -> None:
    rows = []
    for study, called in enumerate(([1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0])):
        for role in ("null", "confounded"):
            rows += [{"study": study, "role": role, "called": bool(c)} for c in called]
        for role in ("single", "twin_driver", "varying", "twin"):
            rows.append({"study": study, "role": role, "called": study == 0})
    table = summarise(pd.DataFrame(rows).assign(method="ridge", r=0.0, repeat=0)).iloc[0]
    half = 4.302653 * 0.25 / np.sqrt(3)  # t quantile with 2 degrees of freedom; sd of 1/4, 0, 1/2
    assert table.null == 0.25
    assert table.null_high == pytest.approx(0.25 + half)
    assert table.null_low == 0
    assert (table.S, table.S_low, table.S_high) == pytest.approx((1 / 3, 0.0615, 0.7923), abs=1e-3)
    assert table.outcomes == 3
    assert table.offered


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "studies").glob("*.parquet"))}


def test_an_interrupted_run_gives_the_same_bytes(
    few: Ground,
    quick: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(at: int, of: int) -> None:
        if at == of - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        calibrate(few, QUICK, tmp_path, progress=stop)
    assert len(contents(tmp_path)) == 1
    ran: list[int] = []
    monkeypatch.setattr(module, "run_study", lambda *words: ran.append(words[-1]) or run_study(*words))
    told: list[tuple[int, int]] = []
    results, _ = calibrate(few, QUICK, tmp_path, progress=lambda *at: told.append(at))
    assert ran == [1]
    assert told[-1] == (4, 4)
    assert contents(tmp_path) == contents(quick[0])
    pdt.assert_frame_equal(results, quick[1])


def test_jobs_do_not_matter(few: Ground, quick: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    calibrate(few, QUICK, tmp_path, jobs=2)
    assert contents(tmp_path) == contents(quick[0])


# --- command line and page ------------------------------------------------------------------------


def test_the_command_runs_and_then_has_nothing_to_do(
    cohort: Cohort,
    small_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_text(json.dumps(small_config.model_dump(mode="json")))
    monkeypatch.setattr(calibration, "gather_cohort", lambda *words: cohort)
    monkeypatch.setattr(module, "SLOW_STRENGTHS", ())
    monkeypatch.setattr(trees, "ROUNDS", 10)
    monkeypatch.setattr(artifacts, "code_digest", lambda: "of this code")  # stays while files are edited
    monkeypatch.setattr(module, "Settings", partial(Settings, strengths=(0.0, 0.25), background=20))
    monkeypatch.setattr(calibration, "calibrate_methods", partial(calibration.calibrate_methods, most=100))
    words = [
        "--simulations",
        2,
        "--draws",
        19,
        "--jobs",
        1,
        "--config",
        settings,
        "--output",
        tmp_path / "out",
    ]
    monkeypatch.setattr(sys, "argv", ["crossres", "--quiet", "calibrate", *map(str, words)])
    for said in ("simulated anew", "nothing has changed"):
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main()
        out = capsys.readouterr().out
        assert out.startswith("SIMULATED")
        assert said in out
        assert METHODS["association"] in out
    about = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert about["kind"] == "simulated"
    assert about["cohort_hash"] == cohort.digest()
    assert not list(tmp_path.glob(".out*"))
    with pytest.raises(ValueError, match="nothing to publish"):
        calibration_block(tmp_path / "out")
    (tmp_path / "out" / "calibration.json").write_text(json.dumps(about | {"kind": "real"}))
    block = calibration_block(tmp_path / "out")
    assert block.startswith(BEGIN)
    assert block.endswith(END)
    assert all(words in block for words in METHODS.values())


def test_the_page_has_its_markers() -> None:
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert all(words in text for words in (*METHODS.values(), *BOTH_METHODS.values()))
