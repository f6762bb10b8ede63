"""Two coupled processes: apart at coupling 0, likelier where the responses share, and written out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import cho_factor
from scipy.stats import multivariate_normal, spearmanr

from crossres_ml.config import FeatureConfig
from crossres_ml.errors import LeakageError
from crossres_ml.models import joint as module
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.gp import GaussianProcessScore
from crossres_ml.models.joint import JointModel, _blocks, _learn_coupling
from crossres_ml.models.resistance import ResistanceModel, inner_folds

CONFIG = FeatureConfig(blocks=("rna",))
N = 110


def made(correlation: float, n: int = N, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Lines with two responses whose parts that follow the features are correlated as told."""
    rng = np.random.default_rng(seed)
    x = {f"rna:G{i:02d}": rng.normal(4, 1.5, n) for i in range(8)}
    x |= {f"rppa:P{i}": rng.normal(0, 0.4, n).round(1) for i in range(5)}
    X = pd.DataFrame(x).mask(rng.random((n, 13)) < 0.08)
    X.loc[X.index[::9], [f"rppa:P{i}" for i in range(5)]] = np.nan
    lines = [f"L{seed}-{i:03d}" for i in range(n)]
    X = X.assign(**{"rna:EMPTY": np.nan}).astype(np.float32).set_axis(lines)
    z = X.filter(like="rna:G").fillna(4).to_numpy(dtype=float) - 4
    one, own = np.sin(z[:, 0]) + 0.5 * z[:, 1], np.cos(z[:, 2]) + 0.5 * z[:, 3]
    two = correlation * one + np.sqrt(1 - correlation**2) * own
    noise = rng.normal(0, 0.5, (n, 2))
    return X, np.column_stack([2 + one, 0.1 * (two + 5)]) + noise * [1, 0.1]


def view(X: pd.DataFrame, y: np.ndarray, groups: np.ndarray | None = None) -> TrainingView:
    groups = np.arange(len(y)).astype(str) if groups is None else groups
    label = (y > np.quantile(y, 0.6)).astype(float)
    return TrainingView(X, y, label, groups, np.ones(len(y), dtype=bool), y)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Views of the two tasks and of both, and the separate models."""

    views: tuple[TrainingView, TrainingView]
    both: TrainingView
    parts: tuple[ResistanceModel, ResistanceModel]

    def fit(self) -> JointModel:
        return JointModel().fit(self.parts, self.views, self.both, 2, 5, None)


def setting(correlation: float, *, gaps: bool = False, groups: np.ndarray | None = None) -> Setting:
    """With gaps, a quarter of the lines lack the first response and others the second."""
    X, y = made(correlation)
    groups = np.array([f"G{i // 2}" for i in range(N)]) if groups is None else groups
    known = np.ones((2, N), dtype=bool)
    if gaps:
        known = np.stack([np.arange(N) % 4 != 1, np.arange(N) % 5 != 2])
    views = tuple(view(X[k], v[k], groups[k]) for k, v in zip(known, y.T, strict=True))
    on = known.all(axis=0)
    ranks = y[on].argsort(axis=0).argsort(axis=0).mean(axis=1)
    parts = tuple(ResistanceModel("gp", CONFIG, 2, 5).fit(v) for v in views)
    return Setting((views[0], views[1]), view(X[on], ranks, groups[on]), (parts[0], parts[1]))


SAME, APART, GAPS = setting(0.9), setting(0.0), setting(0.8, gaps=True)
FRESH = made(0.9, 30, seed=1)[0]


def test_coupling_follows_what_the_responses_share() -> None:
    same, apart = SAME.fit(), APART.fit()
    assert same.coupling > 0.6
    assert abs(apart.coupling) < 0.5 < same.coupling
    opposite = dataclasses.replace(SAME, views=(SAME.views[0], view(SAME.views[1].X, -SAME.views[1].y)))
    assert opposite.fit().coupling == pytest.approx(-same.coupling, abs=0.03)
    assert same.parameters() == {"coupling": round(same.coupling, 4), "n_features": 13}


@pytest.mark.parametrize("task", [0, 1])
def test_at_coupling_zero_it_is_the_two_separate_processes(
    task: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_learn_coupling", lambda *_: 0.0)
    model = SAME.fit()
    alone = SAME.parts[task]
    np.testing.assert_allclose(model.machine.predict(FRESH)[:, task], alone.score(FRESH), rtol=1e-6)
    # cross-fitted as well: the separate one on the same folds
    folds = inner_folds(SAME.both, 2, 5)
    estimator = GaussianProcessScore(CONFIG, 5)
    scores, _ = estimator.cross_fit(SAME.views[task], folds)
    ranks = []
    for t in range(2):
        s = scores if t == task else GaussianProcessScore(CONFIG, 5).cross_fit(SAME.views[t], folds)[0]
        np.testing.assert_allclose(model.grids[t], np.quantile(s, np.linspace(0, 1, 201)), rtol=1e-6)
        ranks.append(np.interp(s, model.grids[t], np.linspace(0, 1, 201)))
    np.testing.assert_allclose(model.cross_scores, np.mean(ranks, axis=0), atol=1e-5)


def covariance(used: Setting, coupling: float, cross: pd.DataFrame | None = None) -> np.ndarray:
    """Between all measured responses, entry by entry; or of both responses of new lines with them."""
    model = used.fit()
    spaces = model.machine.kernels.spaces
    weights = [dict(zip(p.estimator_.machine_.kernels.names, p.estimator_.gp_.kernel_.weights, strict=True))
               for p in used.parts]  # fmt: skip
    new = [v.X for v in used.views] if cross is None else [cross, cross]
    rows = []
    for s in range(2):
        row = []
        for t in range(2):
            total = np.zeros((len(new[s]), len(used.views[t].X)))
            for space in spaces:
                name = space.spec.name
                a, b = space.transform(new[s]), space.transform(used.views[t].X)
                k = space.kernel(a, b)
                if space.spec.shape == "rbf":  # 1 with itself, also where it was not measured
                    k = np.where(new[s].index.to_numpy()[:, None] == used.views[t].X.index.to_numpy(), 1.0, k)
                total += np.sqrt(weights[s][name] * weights[t][name]) * k
            row.append(total * (1.0 if s == t else coupling))
        rows.append(row)
    out = np.block(rows)
    if cross is None:
        sizes = [len(v.X) for v in used.views]
        noise = [p.estimator_.gp_.kernel_.noise for p in used.parts]
        out += np.diag(np.repeat(noise, sizes))
    return out


def standardised(used: Setting) -> np.ndarray:
    return np.concatenate([(v.y - v.y.mean()) / v.y.std() for v in used.views])


@pytest.mark.parametrize("used", [SAME, GAPS], ids=["same lines", "different lines"])
def test_predictions_are_cokriging_written_out(used: Setting) -> None:
    model = used.fit()
    solved = np.linalg.solve(covariance(used, model.coupling), standardised(used))
    cross = covariance(used, model.coupling, FRESH)
    values = (cross @ solved).reshape(2, -1).T
    means, spreads = ([getattr(v.y, f)() for v in used.views] for f in ("mean", "std"))
    np.testing.assert_allclose(model.machine.predict(FRESH), values * spreads + means, rtol=1e-6)
    ranks = [np.interp(p, g, np.linspace(0, 1, 201)) for p, g in zip(
        model.machine.predict(FRESH).T, model.grids, strict=True)]  # fmt: skip
    np.testing.assert_allclose(model.score(FRESH), np.mean(ranks, axis=0))
    assert set(model.trained_on) == set(used.views[0].X.index) | set(used.views[1].X.index)
    pd.testing.assert_index_equal(model.index, used.both.X.index)


@pytest.mark.parametrize("used", [SAME, GAPS], ids=["same lines", "different lines"])
def test_likelihood_is_highest_at_the_learned_coupling(used: Setting) -> None:
    model, y = used.fit(), standardised(used)

    def likelihood(r: float) -> float:
        return float(multivariate_normal.logpdf(y, cov=covariance(used, r)))

    best = likelihood(model.coupling)
    assert best > likelihood(0.0) + 2
    assert best >= max(likelihood(r) for r in np.linspace(-0.9, 0.9, 13)) - 0.05


def test_coupling_is_that_of_a_grid() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(1, 40, 2))
    bases = np.exp(-((places[:, :, None] - places[:, None]) ** 2).sum(-1))
    own, shared = _blocks(bases, np.array([[1.0], [0.5]]), np.array([0.2, 0.3]), [np.arange(40)] * 2)
    y = rng.multivariate_normal(np.zeros(80), own - 0.5 * shared)
    grid = np.linspace(-0.98, 0.98, 99)
    values = [multivariate_normal.logpdf(y, cov=own + r * shared) for r in grid]
    assert _learn_coupling(own, shared, y) == pytest.approx(grid[int(np.argmax(values))], abs=0.04)
    for r in (-0.98, 0.98):
        assert np.isfinite(cho_factor(own + r * shared)[0]).all()


def test_cross_fitted_values_are_those_without_the_line_and_its_relatives() -> None:
    """Also relatives of which only one response is known, which the joint task does not have."""
    model = GAPS.fit()
    lines = np.concatenate([v.X.index for v in GAPS.views])
    groups = np.concatenate([v.groups for v in GAPS.views])
    task = np.repeat([0, 1], [len(v.X) for v in GAPS.views])
    whole, y = covariance(GAPS, model.coupling), standardised(GAPS)
    values = np.empty((len(GAPS.both.X), 2))
    alone = 0
    for fold in inner_folds(GAPS.both, 2, 5):
        out = np.isin(groups, GAPS.both.groups[fold])
        alone += int((~np.isin(lines[out], GAPS.both.X.index)).sum())
        solved = np.linalg.solve(whole[np.ix_(~out, ~out)], y[~out])
        for t in range(2):
            rows = [int(np.flatnonzero((lines == n) & (task == t))[0]) for n in GAPS.both.X.index[fold]]
            values[fold, t] = whole[np.ix_(rows, ~out)] @ solved
    assert alone > 10
    values = values * model.scales + model.means
    np.testing.assert_allclose(model.grids, np.quantile(values, np.linspace(0, 1, 201), axis=0).T, rtol=1e-6)
    assert model.inner_spearman == pytest.approx(spearmanr(model.cross_scores, GAPS.both.y).statistic)
    assert len(model.cross_scores) == len(GAPS.both.X)


def test_shares_add_up_to_the_change_of_the_mean_percentile() -> None:
    model = SAME.fit()
    whole = FRESH[FRESH.filter(like="rppa").notna().mean(axis=1) > 0.3]
    shares = model.explain(whole)
    middle = SAME.views[0].X.astype(float).mean().to_frame().T
    change = model.score(whole) - model.score(middle)
    np.testing.assert_allclose(shares.to_numpy().sum(axis=1), change, atol=2e-3)
    assert np.ptp(change) > 0.1
    assert np.isnan(model.spread(whole)).all()


def test_a_line_of_either_task_cannot_be_scored_as_held_out() -> None:
    only_one = GAPS.views[0].X.index.difference(GAPS.both.X.index)
    assert len(only_one)
    with pytest.raises(LeakageError, match=f"1 held-out lines were trained on, such as .*{only_one[0]}"):
        GAPS.fit().predict_held_out(pd.concat([FRESH, GAPS.views[0].X.loc[only_one[:1]]]))


def test_parts_must_be_processes() -> None:
    ridge = ResistanceModel("ridge", CONFIG, 2, 5).fit(SAME.views[0])
    with pytest.raises(TypeError, match="ridge is no Gaussian process"):
        dataclasses.replace(SAME, parts=(ridge, SAME.parts[1])).fit()
