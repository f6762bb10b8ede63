"""Group SHAP of boosted trees, against the same trees on permuted residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd

from crossres_ml.artifacts import write_table

MATES = 0.55
"""Features whose absolute correlation with a claim's feature exceeds this share its credit."""
CHUNK = 25
"""Draws that are kept together: what an interruption can lose."""
PARAMETERS: Mapping[str, Any] = {
    "objective": "regression", "learning_rate": 0.08, "num_leaves": 7, "min_data_in_leaf": 15,
    "feature_fraction": 0.3, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0, "max_bin": 63,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip
ROUNDS = 150
Groups = Mapping[str, Sequence[int]]
"""Group -> column numbers of its members."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees on one matrix and any outcome; the binned matrix is made once.

    Attributes
    ----------
    X : numpy.ndarray
        Lines x features, adjusted, zero where not measured.
    seed : int
        Of the trees' own draws of lines and features: the same for every outcome, so that an
        outcome and its permutations differ in nothing else.
    """

    X: np.ndarray
    seed: int = 0

    def __post_init__(self) -> None:
        data = lgb.Dataset(self.X, params=self._parameters(), free_raw_data=False).construct()
        object.__setattr__(self, "_data", data)

    def _parameters(self) -> dict[str, Any]:
        return {**PARAMETERS, "seed": self.seed}

    def fit(self, y: np.ndarray) -> lgb.Booster:
        """Grow trees on an outcome."""
        data: lgb.Dataset = self._data  # type: ignore[attr-defined]
        data.set_label(y)
        return lgb.train(self._parameters(), data, num_boost_round=ROUNDS)

    def shap_values(self, y: np.ndarray) -> np.ndarray:
        """Fit and explain the same lines.

        Parameters
        ----------
        y : numpy.ndarray
            Outcome of the lines.

        Returns
        -------
        numpy.ndarray
            Lines x features: exact tree SHAP values (equal to ``shap.TreeExplainer``).
        """
        values = self.fit(y).predict(self.X, pred_contrib=True, num_threads=1)
        return np.asarray(values)[:, :-1]


def find_mates(X: np.ndarray, members: Sequence[int], threshold: float = MATES) -> list[int]:
    """Members of a group and every feature that correlates with one of them.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, adjusted and standardised over the measured lines, zero elsewhere.
    members : sequence of int
        Columns.
    threshold : float, default `MATES`
        Absolute correlation over the lines that both were measured in; at least 30 of them.

    Returns
    -------
    list of int
        Sorted columns, the members among them.
    """
    own = X[:, list(members)]
    seen, own_seen = (X != 0).astype(float), (own != 0).astype(float)
    both = own_seen.T @ seen
    size = np.sqrt(((own**2).T @ seen) * (own_seen.T @ X**2))
    r = np.divide(own.T @ X, size, out=np.zeros_like(size), where=(size > 0) & (both >= 30))
    close = np.flatnonzero((np.abs(r) > threshold).any(axis=0))
    return sorted({*map(int, members), *map(int, close)})


def group_shap(values: np.ndarray, groups: Groups) -> np.ndarray:
    """Mean over lines of the absolute sum of the SHAP values of each group's members.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x features.
    groups : mapping of str to sequence of int
        Members.

    Returns
    -------
    numpy.ndarray
        One number a group, in their order.
    """
    return np.array([np.abs(values[:, list(m)].sum(axis=1)).mean() for m in groups.values()])


def permuted_outcome(y: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """Permute an adjusted outcome; a draw is the same whatever else is drawn."""
    return np.random.default_rng([seed, draw]).permutation(y)


def _kept(path: Path, groups: Groups, draws: range) -> pd.DataFrame | None:
    """Read a finished chunk; nothing where it is absent, broken, or not of these draws and groups."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError):  # pyarrow's own errors are ValueErrors
        return None
    same = list(table.columns) == list(groups) and list(table.index) == list(draws)
    return table if same and np.isfinite(table.to_numpy()).all() else None


def _draw_chunk(
    X: np.ndarray, y: np.ndarray, groups: Groups, draws: range, seed: int, path: Path | None
) -> pd.DataFrame:
    if path is not None and (kept := _kept(path, groups, draws)) is not None:
        return kept
    trees = Trees(X, seed)
    rows = [group_shap(trees.shap_values(permuted_outcome(y, seed, b)), groups) for b in draws]
    table = pd.DataFrame(rows, columns=list(groups), index=pd.Index(list(draws), name="draw"))
    if path is not None:
        write_table(path, table)
    return table


def null_of_groups(
    X: np.ndarray,
    y: np.ndarray,
    groups: Groups,
    *,
    draws: int,
    seed: int,
    folder: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Refit on permuted residuals and measure every group each time.

    One refit serves all groups, so none is stopped early.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, adjusted.
    y : numpy.ndarray
        Outcome, adjusted.
    groups : mapping of str to sequence of int
        Members of each group.
    draws : int
        Permutations.
    seed : int
        Of permutations and trees.
    folder : Path, optional
        Keeps finished chunks, so that an interrupted audit goes on where it stopped. It is the caller's
        to give another matrix, outcome or seed another folder.
    jobs : int, default 1
        Parallel processes; the result does not depend on it.
    progress : callable, optional
        Called with the number of draws done after each chunk.

    Returns
    -------
    pandas.DataFrame
        Draws x groups.
    """
    chunks = [range(s, min(s + CHUNK, draws)) for s in range(0, draws, CHUNK)]
    work = (
        joblib.delayed(_draw_chunk)(
            X, y, dict(groups), c, seed, None if folder is None else folder / f"{c.start}-{c.stop}.parquet"
        )
        for c in chunks
    )
    tables: list[pd.DataFrame] = []
    for table in joblib.Parallel(n_jobs=jobs, return_as="generator", max_nbytes=None)(work):
        tables.append(table)
        progress(sum(map(len, tables)))
    return pd.concat(tables)


def permutation_p(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Share of draws at least as large as what was observed, the observed one counted in.

    Parameters
    ----------
    observed : numpy.ndarray
        One number a group.
    null : numpy.ndarray
        Draws x groups.

    Returns
    -------
    numpy.ndarray
        (1 + number of draws >= observed) / (1 + draws) (Phipson and Smyth 2010); NaN where a number is.
    """
    p = (1 + (null >= observed).sum(axis=0)) / (1 + len(null))
    return np.asarray(np.where(np.isfinite(observed) & np.isfinite(null).all(axis=0), p, np.nan))
