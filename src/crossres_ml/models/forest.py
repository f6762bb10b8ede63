"""A forest as plain arrays: what is kept of it, checked when it is read.

scikit-learn follows raw node numbers without looking; here every number is checked once, and NumPy
walks the trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossres_ml.errors import BundleError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Forest:
    """Median imputation, then the mean over trees; all nodes of all trees in one row.

    Attributes
    ----------
    medians : numpy.ndarray
        Shape (features,), float32: stands in where a value is missing.
    roots : numpy.ndarray
        Number of the first node of each tree.
    left, right : numpy.ndarray
        Numbers of the children of each node; -1 in a leaf.
    feature : numpy.ndarray
        Feature that a node looks at.
    threshold : numpy.ndarray
        A line with at most this value goes left.
    value : numpy.ndarray
        Mean response of the training lines of a node.
    """

    medians: np.ndarray
    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    def __post_init__(self) -> None:
        nodes = np.arange(len(self.left))
        shapes = {getattr(self, n).shape for n in ("left", "right", "feature", "threshold", "value")}
        inner = self.left >= 0
        children = np.stack([self.left, self.right]) if len(shapes) == 1 else np.empty((2, 0))
        if (
            shapes != {nodes.shape}
            or not len(self.roots)
            or not np.isin(self.roots, nodes).all()
            or not np.isin(children[:, inner], nodes).all()
            or (children[:, inner] <= nodes[inner]).any()  # no way back: every walk ends
            or not np.isin(self.feature[inner], np.arange(len(self.medians))).all()
        ):
            raise BundleError("the nodes of the trees do not fit together", do="train again")

    @classmethod
    def of(cls, pipeline: Pipeline) -> Forest:
        """Take the arrays out of a fitted pipeline.

        Parameters
        ----------
        pipeline : sklearn.pipeline.Pipeline
            An imputer and a forest, fitted.

        Returns
        -------
        Forest
            Predicts the same bits.
        """
        trees = [t.tree_ for t in pipeline[-1].estimators_]
        roots = np.cumsum([0, *(t.node_count for t in trees)])[:-1]
        left, right = (
            np.concatenate([np.where(c >= 0, c + start, -1) for c, start in zip(side, roots, strict=True)])
            for side in ([t.children_left for t in trees], [t.children_right for t in trees])
        )
        feature, threshold = (
            np.concatenate([getattr(t, n) for t in trees]) for n in ("feature", "threshold")
        )
        value = np.concatenate([t.value[:, 0, 0] for t in trees])
        medians = pipeline[0].statistics_.astype(np.float32)
        return cls(medians, roots, left, right, feature, threshold, value)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict lines.

        Parameters
        ----------
        X : numpy.ndarray
            Lines x features, float32; NaN where not measured.

        Returns
        -------
        numpy.ndarray
            Shape (lines,).
        """
        values = np.where(np.isnan(X), self.medians, X)
        total = np.zeros(len(X))
        for root in self.roots:
            at = np.full(len(X), root)
            for r, _, child in self._walk(values, root):
                at[r] = child
            total += self.value[at]
        return np.asarray(total / len(self.roots))

    def explain(self, X: np.ndarray) -> np.ndarray:
        """Path attribution: what each split on the way changed the mean, given to its feature.

        Adds up to score minus mean like SHAP values, at a small part of the cost on deep trees; it
        favours splits near the leaves a little more (Saabas 2014, "Interpreting random forests").

        Parameters
        ----------
        X : numpy.ndarray
            Lines x features, float32; NaN where not measured.

        Returns
        -------
        numpy.ndarray
            Lines x features.
        """
        values = np.where(np.isnan(X), self.medians, X)
        out = np.zeros(values.shape)
        for root in self.roots:
            for r, node, child in self._walk(values, root):
                np.add.at(out, (r, self.feature[node]), self.value[child] - self.value[node])
        return np.asarray(out / len(self.roots))

    def _walk(self, values: np.ndarray, root: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Walk all lines down a tree at once: lines still on the way, their nodes, and the next ones."""
        rows, at = np.arange(len(values)), np.full(len(values), root)
        while (live := self.left[at] >= 0).any():
            r, node = rows[live], at[live]
            low = values[r, self.feature[node]] <= self.threshold[node]
            at[live] = np.where(low, self.left[node], self.right[node])
            yield r, node, at[live]
