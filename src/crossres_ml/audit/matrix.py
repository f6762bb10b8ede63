"""The matrix behind the SHAP values: features and what decides the claims, adjusted for tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import residualise
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.trees import find_mates
from crossres_ml.config import FeatureConfig
from crossres_ml.models.estimators import select_features

GENE = "gene "
"""Prefix of the group of a named gene."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Adjusted features of the lines of an outcome.

    Attributes
    ----------
    view : OutcomeView
        The outcome.
    features : pandas.Index
        ``block:name``, and the column ids of what decides the claims.
    X : numpy.ndarray
        Lines x features, adjusted for tissue, standard deviation 1 over the measured lines, else zero.
    groups : dict of str to list of int
        Claim, or ``gene <name>`` -> columns that share its credit: its own and their mates.
    """

    view: OutcomeView
    features: pd.Index
    X: np.ndarray
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def reduced(self, background: int, seed: int) -> Matrix:
        """Keep the members of the groups and a random background.

        Parameters
        ----------
        background : int
            Other features that compete with them; drawn without a look at the outcome.
        seed : int
            Of the draw.

        Returns
        -------
        Matrix
            Fewer columns, in the same order.
        """
        members = sorted({m for group in self.groups.values() for m in group})
        others = np.setdiff1d(np.arange(len(self.features)), members)
        if background < len(others):
            others = np.random.default_rng(seed).choice(others, background, replace=False)
        keep = np.sort(np.concatenate([np.asarray(members, dtype=int), others]))
        at = {int(c): i for i, c in enumerate(keep)}
        groups = {n: [at[m] for m in group] for n, group in self.groups.items()}
        return Matrix(self.view, self.features[keep], np.ascontiguousarray(self.X[:, keep]), groups)


def adjusted_matrix(
    features: pd.DataFrame, values: pd.DataFrame, view: OutcomeView, rules: FeatureConfig
) -> Matrix:
    """Adjust the features for tissue.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features.
    values : pandas.DataFrame
        All lines x column ids of what decides the claims; always kept.
    view : OutcomeView
        The outcome.
    rules : FeatureConfig
        Which features take part: those that a model could learn from on these lines.

    Returns
    -------
    Matrix
        Without groups. A feature without variance after adjustment (lineage itself) is left out.
    """
    own = features.loc[view.lines]
    table = own[select_features(own, rules)].join(values.loc[view.lines])
    fitted = residualise(table.to_numpy(dtype=float), view.tissue)
    alive = (fitted.values != 0).any(axis=0)
    return Matrix(view, table.columns[alive], np.ascontiguousarray(fitted.values[:, alive]))


def with_groups(matrix: Matrix, members: Mapping[str, Sequence[str]]) -> Matrix:
    """Find the columns that share the credit of each group.

    Parameters
    ----------
    matrix : Matrix
        Without groups.
    members : mapping of str to sequence of str
        Group -> its own features; those that the matrix lacks are left out, and a group without any is too.

    Returns
    -------
    Matrix
        With groups: own features and every feature that correlates with one of them.
    """
    at = {f: i for i, f in enumerate(matrix.features)}
    own = {g: [at[f] for f in names if f in at] for g, names in members.items()}
    groups = {g: find_mates(matrix.X, columns) for g, columns in own.items() if columns}
    return Matrix(matrix.view, matrix.features, matrix.X, groups)
