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
        Index ``group`` (claim, or ``gene <name>``): group_shap, p, p_error (its Monte-Carlo standard
        error), q (over claims, and over genes), members, draws.
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
    return Drivers(
        linear,
        _against_null(shap, small, nulls),
        nulls,
        _values(shap, small, members),
        _stability(small, config.stability, seed),
    )


def _against_null(shap: np.ndarray, matrix: Matrix, nulls: pd.DataFrame) -> pd.DataFrame:
    observed = group_shap(shap, matrix.groups)
    p = permutation_p(observed, nulls.to_numpy())
    sizes = [len(m) for m in matrix.groups.values()]
    table = pd.DataFrame(
        {"group_shap": observed, "p": p, "p_error": np.sqrt(p * (1 - p) / len(nulls)), "members": sizes},
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


def _stability(matrix: Matrix, refits: int, seed: int) -> pd.DataFrame:
    """Rank of each group's best member over refits with other seeds, and on lines drawn with replacement."""
    y, n = matrix.view.residual, len(matrix.X)
    rng = np.random.default_rng([seed, 2])
    kinds: dict[str, list[np.ndarray]] = {"other seeds": [], "drawn lines": []}
    for i in range(refits):
        kinds["other seeds"].append(np.abs(Trees(matrix.X, seed + 1 + i).shap_values(y)).mean(axis=0))
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
    return pd.DataFrame(out)
