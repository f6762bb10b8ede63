"""SHAP on held-out lines: rank, percentile and sign of every feature, and of the named genes.

These ranks are description. Without nulls a gene that only follows lineage enters the top 20 by
chance (measured: in up to 40 % of simulated studies); calibrated p-values are given separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata


def rank_features(contributions: pd.DataFrame, X: pd.DataFrame, lines: pd.Index) -> pd.DataFrame:
    """Rank features by mean absolute SHAP value over held-out lines.

    Parameters
    ----------
    contributions : pandas.DataFrame
        One model of one task, per held-out set and feature: sum_abs_shap (SHAP values centred over
        the held-out lines), covariance (of value and SHAP value), lines. A feature that a fold did
        not use contributed zero there.
    X : pandas.DataFrame
        Lines x features.
    lines : pandas.Index
        Scored lines.

    Returns
    -------
    pandas.DataFrame
        Index ``feature`` (those that any fold offered to the model): mean_abs_shap, rank (1 = most
        important, ties share the mean rank), of, percentile (100 = most important), sign (+1: higher
        value, more resistant; -1; 0 when there is no contribution), n (scored lines measured), rank_low
        and rank_high (5th and 95th percentile of the ranks in single held-out sets, whose models learned
        from other lines and, in another repeat, other folds).
    """
    sets = contributions.drop_duplicates(["repeat", "fold"]).lines.sum()
    sums = contributions.groupby("feature")[["sum_abs_shap", "covariance"]].sum().sort_index()
    out = pd.DataFrame({"mean_abs_shap": sums.sum_abs_shap / sets})
    out["rank"] = rankdata(-out.mean_abs_shap)
    out["of"] = len(out)
    out["percentile"] = 100 * (1 - (out["rank"] - 1) / max(len(out) - 1, 1))
    out["sign"] = np.sign(sums.covariance.where(sums.sum_abs_shap > 0, 0.0)).astype(int)
    out["n"] = X.loc[lines, out.index].notna().sum()
    out[["rank_low", "rank_high"]] = _rank_range(contributions, out.index)
    return out.sort_values("rank", kind="stable")


def _rank_range(contributions: pd.DataFrame, features: pd.Index) -> np.ndarray:
    """5th and 95th percentile of each feature's rank over the held-out sets: other lines, other seeds."""
    wide = contributions.pivot_table("sum_abs_shap", "feature", ["repeat", "fold"], aggfunc="sum")
    per_set = wide.reindex(features).fillna(0.0).to_numpy()
    ranks = np.column_stack([rankdata(-column) for column in per_set.T])
    return np.asarray(np.percentile(ranks, [5, 95], axis=1).T)


def named_genes(
    ranks: pd.DataFrame, measurements: Mapping[str, Sequence[str]], min_lines: int
) -> tuple[dict[str, dict[str, object]], pd.DataFrame]:
    """Look the named genes up.

    Parameters
    ----------
    ranks : pandas.DataFrame
        As `rank_features` gives it.
    measurements : mapping of str to sequence of str
        Gene -> features in order of preference.
    min_lines : int
        Fewest measured lines of a headline measurement.

    Returns
    -------
    headline : dict
        Gene -> rank, of, percentile, sign, measurement, n, p (always None: no null here). A gene
        without any measurement has rank None.
    table : pandas.DataFrame
        Every measurement of every gene.
    """
    headline: dict[str, dict[str, object]] = {}
    rows = []
    for gene, features in measurements.items():
        known = [f for f in features if f in ranks.index]
        rows += [{"gene": gene, "measurement": f, **ranks.loc[f].to_dict()} for f in known]
        enough = [f for f in known if ranks.n[f] >= min_lines] or known
        if not enough:
            headline[gene] = dict.fromkeys(("rank", "of", "percentile", "sign", "measurement", "p")) | {
                "n": 0
            }
            continue
        row = ranks.loc[enough[0]].to_dict()
        headline[gene] = {
            "rank": float(row["rank"]),
            "of": int(row["of"]),
            "percentile": float(row["percentile"]),
            "sign": int(row["sign"]),
            "measurement": enough[0],
            "n": int(row["n"]),
            "p": None,
        }
    return headline, pd.DataFrame(rows)
