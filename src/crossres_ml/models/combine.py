"""Models made of models: a stack of one task, and "both" from the models of its two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from crossres_ml.cohort.labels import GRID
from crossres_ml.models.estimators import TrainingView
from crossres_ml.models.profile import add_shares
from crossres_ml.models.resistance import FittedModel

Rule = Literal["sum", "mean_rank", "product"]


class Combination(FittedModel):
    """One score from several fitted models.

    Parameters
    ----------
    rule : {'sum', 'mean_rank', 'product'}
        Weighted sum of standardised scores; mean of percentile ranks among the training lines;
        product of the calibrated probabilities.
    members : sequence of FittedModel
        Fitted models.

    Attributes
    ----------
    centres, scales : numpy.ndarray
        Mean and spread of each member's cross-fitted scores.
    weights : numpy.ndarray
        Weight of each standardised member.
    grids : numpy.ndarray
        201 quantiles of each member's cross-fitted scores.
    """

    def __init__(self, rule: Rule, members: Sequence[FittedModel]) -> None:
        self.rule, self.members = rule, tuple(members)
        self.weights = np.full(len(self.members), 1 / len(self.members))

    def _describe(self, lines: pd.Index) -> np.ndarray:
        """Learn each member's scale from its cross-fitted scores; give those of ``lines``."""
        inner = np.column_stack(
            [pd.Series(m.cross_scores, m.index).reindex(lines).to_numpy() for m in self.members]
        )
        self.centres, self.scales = inner.mean(axis=0), np.maximum(inner.std(axis=0), 1e-12)
        self.grids = percentile_grids(inner)
        return inner

    def fit_stack(self, view: TrainingView, folds: Sequence[np.ndarray], name: str) -> Combination:
        """Learn non-negative weights from cross-fitted scores.

        Parameters
        ----------
        view : TrainingView
            Training lines of the members.
        folds : sequence of numpy.ndarray
            The members' inner folds: each fold's stacked score uses weights learned on the others.
        name : str
            Name in results.

        Returns
        -------
        Combination
            Itself.
        """
        self._describe(view.X.index[view.scored])
        inner = np.column_stack([m.cross_scores for m in self.members])
        z = (inner - self.centres) / self.scales
        y = (view.y - view.y[view.scored].mean()) / view.y[view.scored].std()
        cross = np.empty(len(y))
        everyone = np.arange(len(y))
        for rows in folds:
            rest = np.setdiff1d(everyone, rows)
            cross[rows] = z[rows] @ _weights(z[rest], y[rest], view.scored[rest])
        self.weights = _weights(z, y, view.scored)
        self.conclude(name, cross, view)
        self.trained_on = self._learned_from()
        return self

    def fit_both(self, view: TrainingView, name: str) -> Combination:
        """Make one score for "both" from the models of its two parts; nothing but the scale is learned.

        Parameters
        ----------
        view : TrainingView
            Training lines of the joint task; the members have seen them, and more.
        name : str
            Name in results.

        Returns
        -------
        Combination
            Itself.
        """
        inner = self._describe(view.X.index)
        probability = [
            m.calibration.apply(s)["probability"] for m, s in zip(self.members, inner.T, strict=True)
        ]
        self.conclude(name, self._combined(inner, np.column_stack(probability)), view)
        self.trained_on = self._learned_from()
        return self

    def _learned_from(self) -> pd.Index:
        lines: pd.Index = pd.Index(sorted(set().union(*(m.trained_on for m in self.members))))
        return lines

    def _combined(self, scores: np.ndarray, probability: np.ndarray) -> np.ndarray:
        if self.rule == "sum":
            # one by one: what a member without weight leaves out of a saved stack must not move a bit
            parts = zip(((scores - self.centres) / self.scales).T, self.weights, strict=True)
            return np.asarray(sum((z * w for z, w in parts if w > 0), np.zeros(len(scores))))
        if self.rule == "product":
            return np.asarray(probability.prod(axis=1))
        return mean_percentile(scores, self.grids)

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Combine the members' scores."""
        scores = np.column_stack([m.score(X) for m in self.members])
        return self._combined(scores, self._probabilities(scores))

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        parts = zip(self.members, scores.T, strict=True)
        return np.column_stack([m.calibration.apply(s)["probability"] for m, s in parts])

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Shares of the members, scaled so that they add up to the change of the combined score."""
        if self.rule == "sum":
            live = [
                (m, w / s) for m, w, s in zip(self.members, self.weights, self.scales, strict=True) if w > 0
            ]
            return add_shares([m.explain(X) * factor for m, factor in live])
        shares = [m.explain(X) for m in self.members]
        scores = np.column_stack([m.score(X) for m in self.members])
        start = scores - np.column_stack([s.to_numpy().sum(axis=1) for s in shares])
        factors = self._slopes(start, scores)
        return add_shares([s.mul(f, axis=0) for s, f in zip(shares, factors.T, strict=True)])

    def _slopes(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Change of the combined score per unit of each member's, lines x members."""
        if self.rule == "product":
            p, q = self._probabilities(end), self._probabilities(start)
            # p1 p2 - q1 q2 = (p1 - q1)(p2 + q2) / 2 + (p2 - q2)(p1 + q1) / 2: the Shapley split of two
            change = (p - q) * (p + q)[:, ::-1] / 2
            return _per_unit(change, end - start)
        slopes = [percentile_slopes(a, b, g) for a, b, g in zip(start.T, end.T, self.grids, strict=True)]
        return np.column_stack(slopes) / len(slopes)

    def parameters(self) -> dict[str, Any]:
        """Weight of each member."""
        names = [f"weight_{m.name}" for m in self.members]
        if len(set(names)) < len(names):
            return {"rule": self.rule}
        return dict(zip(names, (float(f"{w:.4g}") for w in self.weights), strict=True))


def percentile_grids(values: np.ndarray) -> np.ndarray:
    """Learn the percentile scale of each column.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (lines, columns).

    Returns
    -------
    numpy.ndarray
        Shape (columns, 201): quantiles.
    """
    return np.asarray(np.quantile(values, GRID, axis=0).T)


def mean_percentile(values: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """Rank each column on its percentile scale and average the ranks of a line.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (lines, columns).
    grids : numpy.ndarray
        As `percentile_grids` gives them.

    Returns
    -------
    numpy.ndarray
        Shape (lines,), 0 to 1.
    """
    ranks = [np.interp(v, g, GRID) for v, g in zip(values.T, grids, strict=True)]
    return np.asarray(np.mean(ranks, axis=0))


def percentile_slopes(start: np.ndarray, end: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Change of the percentile per unit, from start to end (the rescale rule of Shrikumar et al. 2017).

    Parameters
    ----------
    start, end : numpy.ndarray
        Shape (lines,).
    grid : numpy.ndarray
        Quantiles of one column of `percentile_grids`.

    Returns
    -------
    numpy.ndarray
        Shape (lines,); 0 where nothing changes.
    """
    change = np.interp(end, grid, GRID) - np.interp(start, grid, GRID)
    return _per_unit(change, end - start)


def _per_unit(change: np.ndarray, distance: np.ndarray) -> np.ndarray:
    moved = np.abs(distance) > 1e-12
    return np.asarray(np.divide(change, distance, out=np.zeros_like(change), where=moved))


def _weights(z: np.ndarray, y: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Non-negative least squares; where nothing helps, equal weights."""
    from scipy.optimize import nnls  # scoring does without

    found, _ = nnls(z[scored], y[scored])
    return np.asarray(found) if found.sum() > 0 else np.full(z.shape[1], 1 / z.shape[1])
