"""Calibrated SHAP: linear and of trees, for every feature, claim and named gene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from crossres_ml.audit.association import benjamini_hochberg
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.matrix import GENE, Matrix, adjusted_matrix, with_groups
from crossres_ml.audit.ridge import linear_shap, prepare
from crossres_ml.audit.trees import Trees, group_shap, null_of_groups, permutation_p
from crossres_ml.config import AuditConfig, FeatureConfig

LINEAR_DRAWS = 9999
_TOP = 20
_SHOWN = 15


@dataclass(frozen=True, eq=False)
class Drivers:
    """Calibrated SHAP of one outcome.

    Attributes
    ----------
    features : pandas.DataFrame
        Index ``feature``: linear SHAP as `crossres_ml.audit.ridge.linear_shap` gives it, with q over all.
    groups : pandas.DataFrame
        Index ``group`` (claim, or ``gene <name>``): group_shap, p, p_error (its standard error: of the draws,
        and of what other seeds of the trees would give), q (over claims, and over genes), members,
        draws, linear_group_p (`linear_group_p`: no seed of a model enters).
    nulls : pandas.DataFrame
        Draws x groups: group SHAP on permuted residuals.
    values : pandas.DataFrame
        Per line: feature, value (adjusted), shap; of the features that weigh most in the trees, and of the
        named genes' own. For the drawing.
    stability : pandas.DataFrame
        Per group, and ``top features`` for the overlap of the first 20: rank among features over other
        seeds and over drawn lines.
    """

    features: pd.DataFrame
    groups: pd.DataFrame
    nulls: pd.DataFrame
    values: pd.DataFrame
    stability: pd.DataFrame


def find_drivers(
    features: pd.DataFrame,
    decisive: pd.DataFrame,
    members: Mapping[str, Sequence[str]],
    view: OutcomeView,
    rules: FeatureConfig,
    config: AuditConfig,
    *,
    seed: int,
    folder: Path | None,
    jobs: int,
    progress: Callable[[int], None],
) -> Drivers:
    """Explain an outcome by linear models and by trees, and hold both against their nulls.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features.
    decisive : pandas.DataFrame
        All lines x column ids of what decides the claims.
    members : mapping of str to sequence of str
        Group -> its own features and column ids.
    view : OutcomeView
        The outcome.
    rules : FeatureConfig
        Which features take part.
    config : AuditConfig
        Draws, background, refits.
    seed : int
        Of draws, background and trees.
    folder : Path or None
        Keeps finished draws.
    jobs : int
        Parallel processes.
    progress : callable
        Called with the number of draws done.

    Returns
    -------
    Drivers
        All tables.
    """
    whole = with_groups(adjusted_matrix(features, decisive, view, rules), members)
    free = len(whole.X) - view.rank
    linear = linear_shap(prepare(whole.X), view.residual, whole.features, free)
    linear = linear.assign(q=benjamini_hochberg(linear.p.to_numpy())).rename_axis("feature")
    small = whole.reduced(config.background, seed)
    shap = Trees(small.X, seed).shap_values(view.residual)
    nulls = null_of_groups(
        small.X, view.residual, small.groups, draws=config.draws, seed=seed, folder=folder, jobs=jobs,
        progress=progress,
    )  # fmt: skip
    others, stability = _refits(small, config.stability, seed)
    groups = _against_null(shap, small, nulls, others)
    groups["linear_group_p"] = linear_group_p(whole, seed)
    return Drivers(linear, groups, nulls, _values(shap, small, members), stability)


def linear_group_p(matrix: Matrix, seed: int) -> np.ndarray:
    """Permutation p of the mean absolute linear SHAP value that each group has as a whole.

    The same permuted residuals as for the trees, but a permutation is a product with one column, so
    there are `LINEAR_DRAWS` of them, no background is drawn, and no seed of a model enters.

    Parameters
    ----------
    matrix : Matrix
        All features, with groups.
    seed : int
        Of the permutations.

    Returns
    -------
    numpy.ndarray
        One p a group, in their order: of mean_i ``|sum_j beta_j x_ij|`` over the members j.
    """
    ridge, y = prepare(matrix.X), matrix.view.residual
    rng = np.random.default_rng([seed, 3])
    Y = np.column_stack([y, *(rng.permutation(y) for _ in range(LINEAR_DRAWS))])
    out = []
    for members in matrix.groups.values():
        own = list(members)
        total = np.abs(matrix.X[:, own] @ (ridge.map_[own] @ Y)).mean(axis=0)
        out.append(permutation_p(total[:1], total[1:, None])[0])
    return np.array(out)


def _against_null(shap: np.ndarray, matrix: Matrix, nulls: pd.DataFrame, others: np.ndarray) -> pd.DataFrame:
    """Hold what was observed against its null; its error has two parts, the draws and the trees' own seed."""
    observed = group_shap(shap, matrix.groups)
    p = permutation_p(observed, nulls.to_numpy())
    seeds = np.array([permutation_p(other, nulls.to_numpy()) for other in others])
    error = np.sqrt(p * (1 - p) / len(nulls) + seeds.var(axis=0, ddof=1))
    sizes = [len(m) for m in matrix.groups.values()]
    table = pd.DataFrame(
        {"group_shap": observed, "p": p, "p_error": error, "members": sizes},
        index=pd.Index(list(matrix.groups), name="group"),
    )
    genes = table.index.str.startswith(GENE)
    q = np.full(len(table), np.nan)
    for kind in (genes, ~genes):
        q[kind] = benjamini_hochberg(p[kind])
    return table.assign(q=q, draws=len(nulls))


def _values(shap: np.ndarray, matrix: Matrix, members: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Values for the swarm: features of the cohort only, for what decides a claim is one of them again."""
    weight = np.abs(shap).mean(axis=0)
    plain = ~matrix.features.str.contains("@", regex=False)
    named = {f: g.removeprefix(GENE) for g, own in members.items() if g.startswith(GENE) for f in own}
    order = np.argsort(-np.where(plain, weight, -1.0), kind="stable")
    rank = rankdata(-np.where(plain, weight, -1.0))
    chosen = [*order[:_SHOWN], *(i for i in order[_SHOWN:] if matrix.features[i] in named)]
    parts = [
        pd.DataFrame(
            {
                "model_id": matrix.view.lines,
                "feature": matrix.features[i],
                "gene": named.get(matrix.features[i], ""),
                "rank": rank[i],
                "of": int(plain.sum()),
                "value": matrix.X[:, i],
                "shap": shap[:, i],
            }
        )
        for i in chosen
    ]
    return pd.concat(parts, ignore_index=True)


def _refits(matrix: Matrix, refits: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Refit with other seeds, and on lines drawn with replacement.

    Returns the group SHAP of other seeds (refits x groups), and the ranks of each group's best member.
    """
    y, n = matrix.view.residual, len(matrix.X)
    rng = np.random.default_rng([seed, 2])
    kinds: dict[str, list[np.ndarray]] = {"other seeds": [], "drawn lines": []}
    others = []
    for i in range(refits):
        values = Trees(matrix.X, seed + 1 + i).shap_values(y)
        others.append(group_shap(values, matrix.groups))
        kinds["other seeds"].append(np.abs(values).mean(axis=0))
        rows = rng.integers(n, size=n)
        drawn = Trees(np.ascontiguousarray(matrix.X[rows]), seed).shap_values(y[rows])
        kinds["drawn lines"].append(np.abs(drawn).mean(axis=0))
    out = []
    for kind, weights in kinds.items():
        ranks = np.array([rankdata(-w) for w in weights])
        tops = [set(np.argsort(-w, kind="stable")[:_TOP]) for w in weights]
        overlap = [len(a & b) / len(a | b) for i, a in enumerate(tops) for b in tops[i + 1 :]]
        about = {"over": kind, "refits": refits}
        out.append(about | {"group": "top features", "overlap": float(np.mean(overlap))})
        for name, own in matrix.groups.items():
            best = ranks[:, list(own)].min(axis=1)
            spread = dict(
                zip(("rank_low", "rank", "rank_high"), np.percentile(best, [5, 50, 95]), strict=True)
            )
            out.append(about | {"group": name, **spread, "of": matrix.X.shape[1]})
    return np.array(others), pd.DataFrame(out)
