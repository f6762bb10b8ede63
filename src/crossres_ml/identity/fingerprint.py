"""Rows without a name recognised by their values."""

from __future__ import annotations

import numpy as np
import pandas as pd

# On the public panels the right line differs by 0.03 log2 units (root mean square; another release
# of the same measurement), the nearest wrong one by more than 0.5.
MAX_RMS = 0.25
MIN_RATIO = 1.5
MIN_SHARED = 15


def match_rows(anonymous: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Find for each anonymous row the known line with the nearest values.

    Parameters
    ----------
    anonymous : pandas.DataFrame
        Rows x genes, without line ids.
    known : pandas.DataFrame
        Index ``model_id`` x genes, same unit; NaN where not measured.

    Returns
    -------
    pandas.DataFrame
        One row per accepted match: ``row``, ``model_id``, ``rms``, ``ratio`` (second nearest to
        nearest) and ``shared`` (genes compared). Accepted are matches with rms <= 0.25, ratio >=
        1.5 and >= 15 shared genes, that no other row claims.
    """
    genes = anonymous.columns.intersection(known.columns)
    a, b = (t[genes].to_numpy(dtype=float) for t in (anonymous, known))
    seen_a, seen_b = np.isfinite(a), np.isfinite(b)
    a, b = np.where(seen_a, a, 0.0), np.where(seen_b, b, 0.0)
    shared = seen_a.astype(float) @ seen_b.T
    squares = (a**2) @ seen_b.T - 2 * a @ b.T + seen_a @ (b**2).T
    with np.errstate(invalid="ignore", divide="ignore"):
        rms = np.sqrt(np.maximum(squares, 0) / shared)
    rms = np.where(shared >= MIN_SHARED, rms, np.inf)
    nearest = np.argsort(rms, axis=1, kind="stable")[:, 0]
    rows = np.arange(len(anonymous))
    best = rms[rows, nearest]
    others = rms.copy()
    others[rows, nearest] = np.inf
    second = others.min(axis=1)
    out = pd.DataFrame(
        {
            "row": rows,
            "model_id": known.index.to_numpy()[nearest],
            "rms": best,
            "ratio": np.where(np.isfinite(best), second, 0) / np.clip(best, 1e-9, 1e9),
            "shared": shared[rows, nearest].astype(int),
        }
    )
    out = out[(out.rms <= MAX_RMS) & (out.ratio >= MIN_RATIO)]
    return out[~out.model_id.duplicated(keep=False)].reset_index(drop=True)
