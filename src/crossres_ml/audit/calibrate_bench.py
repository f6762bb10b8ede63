"""What the methods of a calibration study share: the matrix, candidates, draws, and the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import basis, normal_scores
from crossres_ml.audit.matrix import Matrix
from crossres_ml.audit.trees import Trees, find_mates, null_of_groups


@dataclass(frozen=True, eq=False)
class Ground:
    """The matrix that a study stands on.

    Attributes
    ----------
    matrix : Matrix
        Adjusted features.
    raw : numpy.ndarray
        Lines x features before adjustment, NaN where not measured.
    share : numpy.ndarray
        Share of each feature's variance between lineages.
    """

    matrix: Matrix
    raw: np.ndarray
    share: np.ndarray

    @property
    def X(self) -> np.ndarray:  # noqa: N802
        """Lines x features, adjusted."""
        return self.matrix.X

    @property
    def tissue(self) -> np.ndarray:
        """Lines x lineages."""
        return self.matrix.view.tissue

    def residual(self, y: np.ndarray) -> np.ndarray:
        """Adjust an outcome; normal scores again, so that all outcomes are permutations of one another."""
        q = basis(self.tissue)
        return normal_scores(y - q @ (q.T @ y))

    @property
    def free(self) -> int:
        """Lines minus the rank of the design."""
        return len(self.X) - self.matrix.view.rank

    def groups(self) -> dict[str, list[int]]:
        """Every feature by itself, then with its mates."""
        count = range(self.X.shape[1])
        return {f"s{j}": [j] for j in count} | {f"g{j}": find_mates(self.X, [j]) for j in count}


@dataclass(eq=False)
class Bench:
    """What the methods share for one set of candidates.

    Attributes
    ----------
    ground : Ground
        The matrix.
    candidates : numpy.ndarray
        Columns that are judged.
    label_null, residual_null : pandas.DataFrame
        Draws x `Ground.groups`: permuted outcomes on the raw, permuted residuals on the adjusted matrix.
    draws : int
        Draws on the reduced matrix.
    background : int
        Its random features.
    seed : int
        Of trees, draws and folds.
    seconds : dict of str to float
        Processor seconds of each method so far, draws that outcomes share counted in full for each.
    """

    ground: Ground
    candidates: np.ndarray
    label_null: pd.DataFrame
    residual_null: pd.DataFrame
    draws: int
    background: int
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def raw_trees(self) -> Trees:
        """Trees on the raw matrix."""
        return Trees(self.ground.raw, self.seed)

    @cached_property
    def trees(self) -> Trees:
        """Trees on the adjusted matrix."""
        return Trees(self.ground.X, self.seed)

    @cached_property
    def members(self) -> dict[str, list[int]]:
        """Each candidate with its mates."""
        return {str(c): find_mates(self.ground.X, [c]) for c in self.candidates}

    @cached_property
    def reduced(self) -> Matrix:
        """Candidates, mates and a random background."""
        ground = self.ground.matrix
        whole = Matrix(ground.view, ground.features, ground.X, self.members)
        return whole.reduced(self.background, self.seed)

    @cached_property
    def reduced_null(self) -> np.ndarray:
        """Draws x candidates: group SHAP of permuted residuals on the reduced matrix."""
        y = scores(len(self.ground.X))
        return null_of_groups(
            self.reduced.X, y, self.reduced.groups, draws=self.draws, seed=self.seed
        ).to_numpy()

    @contextmanager
    def timed(self, *methods: str, times: int = 1) -> Iterator[None]:
        """Count the processor time of a block, as often as it would be run without sharing."""
        start = time.process_time()
        yield
        spent = (time.process_time() - start) * times
        for method in methods:
            self.seconds[method] = self.seconds.get(method, 0.0) + spent


def scores(n: int) -> np.ndarray:
    """Make the normal scores of n untied values: every simulated outcome is a permutation of them."""
    return normal_scores(np.arange(n))
