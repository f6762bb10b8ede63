"""Ways to call a gene a driver, each on the same outcome: naive ranks, permutations, tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.linear_model import Lasso

from crossres_ml.audit.adjust import basis, normal_scores
from crossres_ml.audit.association import benjamini_hochberg, partial_correlations
from crossres_ml.audit.calibrate_bench import Bench
from crossres_ml.audit.ridge import effects, prepare
from crossres_ml.audit.trees import Trees, group_shap, permutation_p
from crossres_ml.audit.verdicts import LEVEL

TOP, FOLDS, MATCHED, SHADOW_ROUNDS, FEW_DRAWS = 20, 5, 50, 5, 39
"""Features called by rank, folds, random features of like variance, rounds with shadows (each one refit), and
draws within lineage, which no two outcomes can share; 39 make p <= .05 possible and exact."""
_MATCHED_POOL = 150
DISTILLED = 0.5
"""Share of a feature's variance that the others may explain in the conditional test; it sets the penalty."""
METHODS: Mapping[str, str] = {
    "top_in_sample": "top 20 by mean SHAP, in sample",
    "top_out_of_fold": "top 20 by mean SHAP, out of fold",
    "matched": "above the 95th percentile of 50 random features of like variance",
    "label": "permuted labels",
    "within_lineage": "labels permuted within lineage",
    "single": "adjusted, permuted residuals, single features",
    "group": "adjusted, permuted residuals, SHAP summed over mates",
    "group_reduced": "the same on the reduced matrix (used by the audit)",
    "group_pooled": "the same, null pooled over the candidates",
    "max_candidates": "adjusted, largest of all candidates (max-T)",
    "max_all": "adjusted, largest of all features (max-T)",
    "shadow": "shadow features (Boruta)",
    "ridge": "adjusted, ridge, linear SHAP, analytic p (used by the audit)",
    "association": "adjusted association (used by the audit)",
    "association_raw": "association, not adjusted",
    "given_selected": "adjusted association given what a lasso selects",
    "distilled": "conditional randomisation, distilled (dCRT)",
    "association_q": "adjusted association, q < .05",
    "distilled_q": "dCRT, q < .05",
    "combined": "adjusted association q < .05 and group SHAP q < .05 (top driver of the audit)",
}
"""Method -> words; the order of tables."""
CALLS_ONLY = (
    "top_in_sample",
    "top_out_of_fold",
    "matched",
    "shadow",
    "association_q",
    "distilled_q",
    "combined",
)
BOTH_METHODS: Mapping[str, str] = {
    "both_mean": "mean of the two outcomes, adjusted association",
    "both_association": "adjusted association with each (used by the audit)",
    "both_ridge": "linear SHAP of each",
}
Verdicts = dict[str, np.ndarray]
"""Method -> p (float), or called (bool), of each candidate."""


def by_rank(bench: Bench, y: np.ndarray) -> Verdicts:
    """Judge SHAP values of trees on the raw matrix: first 20, beyond matched features, permuted labels."""
    at = bench.candidates
    with bench.timed("top_in_sample", "matched"), bench.timed("label", times=1 + len(bench.label_null)):
        size = np.abs(bench.raw_trees.shap_values(y)).mean(axis=0)
    with bench.timed("matched"):
        matched = _beyond_matched(size, np.nanvar(bench.ground.raw, axis=0), at, bench.seed)
    null = bench.label_null[[f"s{c}" for c in at]].to_numpy()
    return {"top_in_sample": _top(size)[at], "matched": matched, "label": permutation_p(size[at], null)}


def _top(size: np.ndarray) -> np.ndarray:
    """Mark the first `TOP`; never a feature without any SHAP."""
    order = np.argsort(-size, kind="stable")[:TOP]
    called = np.zeros(len(size), dtype=bool)
    called[order] = size[order] > 0
    return called


def _beyond_matched(size: np.ndarray, variance: np.ndarray, at: np.ndarray, seed: int) -> np.ndarray:
    """Compare each candidate with random ones of the features whose variance is nearest to its own."""
    called = np.zeros(len(at), dtype=bool)
    for i, c in enumerate(at):
        near = np.argsort(np.abs(np.log(variance) - np.log(variance[c])), kind="stable")
        pool = near[near != c][:_MATCHED_POOL]
        others = np.random.default_rng([seed, int(c)]).choice(pool, min(MATCHED, len(pool)), replace=False)
        called[i] = size[c] > np.quantile(size[others], 0.95)
    return called


def out_of_fold(bench: Bench, y: np.ndarray) -> Verdicts:
    """Call the first 20 by SHAP values on held-out lines."""
    raw = bench.ground.raw
    fold = np.random.default_rng([bench.seed, 1]).permutation(len(y)) % FOLDS
    size = np.zeros(raw.shape[1])
    with bench.timed("top_out_of_fold"):
        for k in range(FOLDS):
            model = Trees(raw[fold != k], bench.seed).fit(y[fold != k])
            held_out = model.predict(raw[fold == k], pred_contrib=True, num_threads=1)
            size += np.abs(np.asarray(held_out)[:, :-1]).sum(axis=0)
    return {"top_out_of_fold": _top(size)[bench.candidates]}


def within_lineage(bench: Bench, y: np.ndarray) -> Verdicts:
    """Permute labels within lineages: `FEW_DRAWS` refits of the raw matrix."""
    at, lineage = bench.candidates, bench.ground.tissue.argmax(axis=1)
    order = np.argsort(lineage, kind="stable")
    sizes = []
    with bench.timed("within_lineage"):
        for draw in range(1 + FEW_DRAWS):
            rng = np.random.default_rng([bench.seed, 2, draw])
            shuffled = y.copy()
            if draw:
                shuffled[order] = y[np.lexsort((rng.random(len(y)), lineage))]
            sizes.append(np.abs(bench.raw_trees.shap_values(shuffled)).mean(axis=0)[at])
    return {"within_lineage": permutation_p(sizes[0], np.array(sizes[1:]))}


def shadows(bench: Bench, y: np.ndarray) -> Verdicts:
    """Call what beats the best of all shuffled copies in most rounds (Kursa and Rudnicki 2010)."""
    # a lenient reading: Boruta itself asks for many rounds and corrects for the number of features
    raw, hits = bench.ground.raw, np.zeros(bench.ground.raw.shape[1], dtype=int)
    with bench.timed("shadow"):
        for turn in range(SHADOW_ROUNDS):
            rng = np.random.default_rng([bench.seed, 3, turn])
            values = np.hstack([raw, rng.permuted(raw, axis=0)])
            size = np.abs(Trees(values, bench.seed + turn).shap_values(y)).mean(axis=0)
            hits += size[: len(hits)] > size[len(hits) :].max()
    return {"shadow": (2 * hits > SHADOW_ROUNDS)[bench.candidates]}


def adjusted_trees(bench: Bench, y: np.ndarray) -> Verdicts:
    """Permute residuals on the adjusted matrix: single features, with mates, and the largest of all.

    Parameters
    ----------
    bench : Bench
        Candidates and draws.
    y : numpy.ndarray
        Normal scores of the adjusted outcome (`Ground.residual`).

    Returns
    -------
    dict of str to numpy.ndarray
        single, group, max_candidates, max_all.
    """
    at, null = bench.candidates, bench.residual_null
    names = ("single", "group", "max_candidates", "max_all")
    with bench.timed(*names, times=1 + len(null)):
        values = bench.trees.shap_values(y)
    single = np.abs(values).mean(axis=0)
    group = group_shap(values, bench.members)
    alone = null[[f"s{j}" for j in range(len(single))]].to_numpy()
    mates = null[[f"g{c}" for c in at]].to_numpy()
    return {
        "single": permutation_p(single[at], alone[:, at]),
        "group": permutation_p(group, mates),
        "max_candidates": permutation_p(single[at], alone[:, at].max(axis=1, keepdims=True)),
        "max_all": permutation_p(single[at], alone.max(axis=1, keepdims=True)),
    }


def reduced_trees(bench: Bench, y: np.ndarray) -> Verdicts:
    """Group SHAP on candidates, mates and background; also with the null of all candidates pooled.

    Parameters
    ----------
    bench : Bench
        Candidates and draws.
    y : numpy.ndarray
        Normal scores of the adjusted outcome.

    Returns
    -------
    dict of str to numpy.ndarray
        group_reduced; group_pooled, which compares (value - mean) / sd of a candidate's draws with those of
        every draw of every candidate: a finer p from few draws, right as far as the shapes are alike.
    """
    with bench.timed("group_reduced", "group_pooled", times=1 + bench.draws):
        values = Trees(bench.reduced.X, bench.seed).shap_values(y)
    found, null = group_shap(values, bench.reduced.groups), bench.reduced_null
    mean, sd = null.mean(axis=0), np.maximum(null.std(axis=0), 1e-12)
    pooled = np.sort(((null - mean) / sd).ravel())
    above = len(pooled) - np.searchsorted(pooled, (found - mean) / sd, side="left")
    return {"group_reduced": permutation_p(found, null), "group_pooled": (1 + above) / (1 + len(pooled))}


def analytic(bench: Bench, y: np.ndarray) -> Verdicts:
    """Methods with an analytic p: association, linear SHAP, and tests given other features.

    Parameters
    ----------
    bench : Bench
        Candidates.
    y : numpy.ndarray
        Outcome, normal scores, not adjusted.

    Returns
    -------
    dict of str to numpy.ndarray
        association, association_raw, ridge, given_selected, distilled.
    """
    ground, at = bench.ground, bench.candidates
    rest = ground.residual(y)
    out: Verdicts = {}
    with bench.timed("association"):
        out["association"] = _association(ground.raw[:, at], y, ground.tissue)[0]
    with bench.timed("association_raw"):
        out["association_raw"] = _association(ground.raw[:, at], y, np.ones((len(y), 1)))[0]
    with bench.timed("ridge"):
        out["ridge"] = effects(prepare(ground.X), rest, ground.free)["p"][at]
    with bench.timed("given_selected", "distilled"):
        chosen = _selected(ground.X, rest)
    with bench.timed("given_selected"):
        out["given_selected"] = _given(ground.X[:, at], ground.X, chosen, at, rest, ground.free)
    with bench.timed("distilled"):
        own = _distil(ground.X, at)
        out["distilled"] = _given(own, ground.X, chosen, at, rest, ground.free)
    return out


def _association(X: np.ndarray, y: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table = partial_correlations(pd.DataFrame(X), y, design)
    return table.p.to_numpy(), table.r.to_numpy()


def _selected(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Features that a lasso keeps at the universal penalty, sd(y) sqrt(2 log(p) / n)."""
    penalty = y.std() * np.sqrt(2 * np.log(X.shape[1]) / len(y))
    model = Lasso(alpha=penalty, fit_intercept=False, max_iter=10_000).fit(X, y)
    return np.flatnonzero(model.coef_)


def _distil(X: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Take out of each candidate what a ridge regression on all other features predicts.

    With G = (K + l I)^-1, K = X X': the residual on all but j is l G x_j / (1 - x_j' G x_j) by the
    Sherman-Morrison formula; its length does not matter here.
    """
    kernel = X @ X.T
    penalty = float(np.trace(kernel)) / len(X) * (1 - DISTILLED) / DISTILLED
    return np.asarray(np.linalg.solve(kernel + penalty * np.eye(len(X)), X[:, at]))


def _given(
    own: np.ndarray, X: np.ndarray, chosen: np.ndarray, at: np.ndarray, y: np.ndarray, free: int
) -> np.ndarray:
    """P-values of partial correlations of candidates with y given chosen features, themselves apart."""
    p = np.empty(len(at))
    for i, c in enumerate(at):
        q = basis(X[:, chosen[chosen != c]])
        a, b = own[:, i] - q @ (q.T @ own[:, i]), y - q @ (q.T @ y)
        r = float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-300))
        df = free - q.shape[1] - 1
        p[i] = 2 * t.sf(abs(r) * np.sqrt(df / max(1 - r**2, 1e-12)), df)
    return p


def judge(bench: Bench, y: np.ndarray, *, slow: bool) -> Verdicts:
    """Judge the candidates by every method.

    Parameters
    ----------
    bench : Bench
        Candidates and draws.
    y : numpy.ndarray
        Outcome, normal scores without ties.
    slow : bool
        Also those that refit many trees for every outcome: out of fold, within lineage, shadows.

    Returns
    -------
    dict of str to numpy.ndarray
        Method -> p, or called, per candidate.
    """
    rest = bench.ground.residual(y)
    out = by_rank(bench, y) | adjusted_trees(bench, rest) | reduced_trees(bench, rest) | analytic(bench, y)
    if slow:
        out |= out_of_fold(bench, y) | within_lineage(bench, y) | shadows(bench, y)
    out["association_q"] = benjamini_hochberg(out["association"]) < LEVEL
    out["combined"] = out["association_q"] & (benjamini_hochberg(out["group_pooled"]) < LEVEL)
    out["distilled_q"] = benjamini_hochberg(out["distilled"]) < LEVEL
    for q in ("association", "distilled"):
        bench.seconds[f"{q}_q"] = bench.seconds[q]
    bench.seconds["combined"] = bench.seconds["association"] + bench.seconds["group_pooled"]
    return {m: out[m] for m in METHODS if m in out}


def judge_both(bench: Bench, first: np.ndarray, second: np.ndarray) -> Verdicts:
    """Ask which candidates drive both of two outcomes.

    Parameters
    ----------
    bench : Bench
        Candidates.
    first, second : numpy.ndarray
        Outcomes, normal scores.

    Returns
    -------
    dict of str to numpy.ndarray
        `BOTH_METHODS` -> p: of the mean outcome; the larger p of the two, 1 where the signs differ
        (intersection-union test, Berger 1982), for associations and for linear SHAP.
    """
    ground, at = bench.ground, bench.candidates
    X = ground.raw[:, at]
    with bench.timed("both_mean"):
        mean = _association(X, normal_scores(first + second), ground.tissue)[0]
    with bench.timed("both_association"):
        (p1, r1), (p2, r2) = (_association(X, y, ground.tissue) for y in (first, second))
        joined = np.where(r1 * r2 > 0, np.maximum(p1, p2), 1.0)
    with bench.timed("both_ridge"):
        rest = np.column_stack([ground.residual(y) for y in (first, second)])
        found = effects(prepare(ground.X), rest, ground.free)
        z, p = found["z"][at], found["p"][at]
        linear = np.where(z[:, 0] * z[:, 1] > 0, p.max(axis=1), 1.0)
    return {"both_mean": mean, "both_association": joined, "both_ridge": linear}
