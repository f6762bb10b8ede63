"""Random features that look like a measurement, and where it stands among them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossres_ml.audit.association import partial_correlations
from crossres_ml.audit.controls import MIN_CONTROL_LINES, lineage_share
from crossres_ml.audit.data import OutcomeView

MATCHED = 200
FEWEST_MATCHED = 20


def appearance(features: pd.DataFrame, view: OutcomeView) -> pd.DataFrame:
    """Describe features without their outcome.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features.
    view : OutcomeView
        Its lines and tissues are used.

    Returns
    -------
    pandas.DataFrame
        Index: features; coverage (share of lines), spread (log standard deviation), tissue (share of
        variance between tissues).
    """
    own = features.loc[view.lines]
    return pd.DataFrame(
        {
            "coverage": own.notna().mean(),
            "spread": np.log(own.std() + 1e-9),
            "tissue": np.nan_to_num(lineage_share(own.to_numpy(dtype=float), view.tissue)),
        }
    )


def matched_percentile(
    features: pd.DataFrame, look: pd.DataFrame, view: OutcomeView, x: pd.Series, block: str, *, seed: int
) -> tuple[float, int]:
    """Percentile of a measurement's ``|partial r|`` among random features of its block that look like it.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features.
    look : pandas.DataFrame
        Their `appearance`.
    view : OutcomeView
        The outcome.
    x : pandas.Series
        The measurement, all lines.
    block : str
        Block of the random features. At most `MATCHED` of them are taken, and at most half of the block:
        the most alike in appearance.
    seed : int
        Breaks ties of likeness.

    Returns
    -------
    percentile : float
        Share, in per cent, of the random features with a smaller ``|partial r|``; NaN with fewer than 20,
        or where the measurement has none.
    number : int
        Random features.
    """
    pool = look[look.index.str.startswith(f"{block}:") & look.coverage.gt(0)]
    if len(pool) < FEWEST_MATCHED or x[view.lines].notna().sum() < MIN_CONTROL_LINES:
        return np.nan, 0
    own = appearance(x.to_frame("x"), view).iloc[0]
    far = ((pool - own).abs() / pool.std().clip(lower=1e-9)).sum(axis=1).to_numpy()
    order = np.lexsort((np.random.default_rng(seed).random(len(far)), far))[: min(MATCHED, len(far) // 2)]
    table = features[pool.index[order]].join(x.rename("x")).loc[view.lines]
    r = partial_correlations(table, view.y, view.tissue).r.abs()
    others = r.iloc[:-1].dropna()
    if len(others) < FEWEST_MATCHED or not np.isfinite(r["x"]):
        return np.nan, len(others)
    return float(100 * (others < r["x"]).mean()), len(others)
