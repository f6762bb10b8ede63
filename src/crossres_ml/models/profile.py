"""The drug profile that a line would be expected to show, from its molecular features.

Learned on training lines with drug measurements; a held-out line's own measurements never enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.linalg import cho_solve, eigh

from crossres_ml.errors import CohortError, LeakageError, preview
from crossres_ml.models.kernels import BlockKernels, KernelSpec
from crossres_ml.models.machine import KernelMachine

if TYPE_CHECKING:
    from crossres_ml.models.gaussian import BlockGP

PREFIXES = ("profile:", "genotoxic:")
MIN_DRUGS, MIN_LINES = 50, 30
# Whole folds, not single lines: what all other lines predict for a line falls as its own value rises,
# and a model would learn to read that.
CROSS_FOLDS = 5
COMPONENTS = (30, 8)
# Components on which the kernel weights are learned: the later ones are mostly noise.
_LEARNED = (8, 4)
_ROUNDS = 16
_ITERATIONS = 25


def principal_components(drugs: np.ndarray, count: int) -> np.ndarray:
    """Principal components of an incomplete table, by soft-impute.

    Missing values are replaced by their rank-``count`` reconstruction with singular values lowered
    by the last kept one, again and again (Mazumder et al. 2010, JMLR 11:2287).

    Parameters
    ----------
    drugs : numpy.ndarray
        Lines x drugs; NaN = not measured. Standardised here over these lines.
    count : int
        Components.

    Returns
    -------
    numpy.ndarray
        Shape (lines, count): scores, the first has the largest spread. The sign of each is fixed so
        that it correlates positively with the mean over drugs.
    """
    z = (drugs - np.nanmean(drugs, axis=0)) / np.nanstd(drugs, axis=0)
    missing = np.isnan(z)
    z = np.where(missing, 0.0, z)
    lines = len(z)
    count = min(count, lines - 1)
    for step in range(_ROUNDS):
        values, left = eigh(z @ z.T, subset_by_index=[lines - count, lines - 1])
        size = np.sqrt(np.maximum(values[::-1], 0))
        left = left[:, ::-1]
        if step < _ROUNDS - 1:
            right = (left.T @ z) / np.maximum(size[:, None], 1e-9)
            z[missing] = ((left * np.maximum(size - size[-1], 0)) @ right)[missing]
    scores = left * size
    sign = np.sign(scores.T @ z.mean(axis=1))
    return np.asarray(scores * np.where(sign == 0, 1, sign))


def enough_drugs(drugs: pd.DataFrame) -> bool:
    """Whether enough lines have enough drugs measured to learn a profile from.

    Parameters
    ----------
    drugs : pandas.DataFrame
        Training lines x drug measurements.

    Returns
    -------
    bool
        At least 30 lines with 50 drugs.
    """
    return bool(_with_drugs(drugs).sum() >= MIN_LINES)


def _with_drugs(drugs: pd.DataFrame) -> np.ndarray:
    """Lines with enough drugs measured."""
    return np.asarray(drugs.notna().sum(axis=1) >= MIN_DRUGS)


class DrugProfile:
    """Gaussian process of the principal components of the drug matrix.

    Parameters
    ----------
    specs : sequence of KernelSpec
        Kernels of molecular features.

    Attributes
    ----------
    machine : KernelMachine
        Predicts all components.
    cross_fitted : pandas.DataFrame
        The profile of every training line, predicted without its own drugs, those of its
        relatives, and those of the other lines of its fold.
    fitted_on : frozenset of str
        Lines whose drug measurements were learned from.
    """

    def __init__(self, specs: Sequence[KernelSpec]) -> None:
        self.specs = tuple(specs)

    def fit(
        self, X: pd.DataFrame, drugs: pd.DataFrame, genotoxic: np.ndarray, groups: np.ndarray
    ) -> DrugProfile:
        """Learn on training lines.

        Parameters
        ----------
        X : pandas.DataFrame
            Training lines x features.
        drugs : pandas.DataFrame
            The same lines x drug measurements.
        genotoxic : numpy.ndarray
            True for columns of ``drugs`` that damage DNA or the spindle: they get components of
            their own.
        groups : numpy.ndarray
            Relatives share one.

        Returns
        -------
        DrugProfile
            Itself.

        Raises
        ------
        LeakageError
            If ``drugs`` has other lines than ``X``.
        CohortError
            If too few lines have drug measurements.
        """
        if not drugs.index.equals(X.index):
            extra = sorted(set(drugs.index) ^ set(X.index))
            raise LeakageError(
                f"drug measurements and features are of other lines: {preview(extra)}",
                where="drug profile",
                do="give the training lines only",
            )
        known = _with_drugs(drugs)
        if not enough_drugs(drugs):
            raise CohortError(
                f"{known.sum()} training lines have {MIN_DRUGS} or more drugs measured",
                where="drug profile",
                do=f"at least {MIN_LINES} are needed: leave out the models that use it",
            )
        from crossres_ml.models.gaussian import fit_gp  # scoring does without

        self.fitted_on = frozenset(drugs.index[known])
        table = drugs[known].to_numpy(dtype=float)
        seen = np.isfinite(table)
        varies = np.where(seen, table, -np.inf).max(axis=0) > np.where(seen, table, np.inf).min(axis=0)
        wide = (seen.sum(axis=0) >= MIN_LINES) & varies
        targets = self._targets(table, wide, genotoxic)
        kernels = BlockKernels(self.specs).fit(X)
        inputs = kernels.transform(X)
        known_inputs = [(z[known], measured[known]) for z, measured in inputs]
        learned = [i for i, name in enumerate(self.names) if _is_learned(name)]
        gp = fit_gp(kernels.kernels(known_inputs), targets[:, learned], _ITERATIONS)
        weights = gp.kernel_.weights
        centre = targets.mean(axis=0)
        solved = cho_solve((gp.L_, True), targets - centre)
        self.machine = KernelMachine(kernels, known_inputs, weights[:, None, None] * solved[None], centre)
        self.weights = dict(zip(kernels.names, map(float, weights), strict=True))
        out = self.machine.predict(X)
        folds = _folds(groups)
        out[known] = _cross_fit(gp, targets - centre, folds[known]) + centre
        if (kin := np.isin(groups, groups[known]) & ~known).any():
            cross = kernels.kernels([(z[kin], measured[kin]) for z, measured in inputs], known_inputs)
            weighted = np.tensordot(weights, cross, axes=1)
            out[kin] = _from_others(gp, solved, weighted, folds[kin], folds[known]) + centre
        self.cross_fitted = pd.DataFrame(out.astype(np.float32), X.index, self.names)
        return self

    def _targets(self, table: np.ndarray, wide: np.ndarray, genotoxic: np.ndarray) -> np.ndarray:
        """Components of all drugs, then of the genotoxic ones; each set in units of its first."""
        parts, self.names = [], []
        for prefix, columns, count in zip(PREFIXES, (wide, wide & genotoxic), COMPONENTS, strict=True):
            if columns.sum() <= count:
                continue
            scores = principal_components(table[:, columns], count)
            parts.append(scores / scores[:, 0].std())
            self.names += [f"{prefix}{i + 1:02d}" for i in range(scores.shape[1])]
        if not parts:
            raise CohortError(f"{wide.sum()} drugs are measured often enough", where="drug profile")
        return np.hstack(parts)

    @property
    def columns(self) -> list[str]:
        """Features that the profile is predicted from."""
        return self.machine.columns

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Predict the profile of lines that were not learned from.

        Parameters
        ----------
        X : pandas.DataFrame
            Held-out or new lines x features.

        Returns
        -------
        pandas.DataFrame
            Lines x components, ``profile:01`` and so on.

        Raises
        ------
        LeakageError
            If drug measurements of one of the lines were learned from.
        """
        if seen := sorted(self.fitted_on & set(X.index)):
            raise LeakageError(
                f"the drugs of {len(seen)} held-out lines were learned from, such as {seen[:3]}",
                where="drug profile",
                do="fit it on the training lines only",
            )
        return pd.DataFrame(self.machine.predict(X).astype(np.float32), X.index, self.names)

    def hand_on(self, shares: pd.DataFrame, X: pd.DataFrame, centre: pd.Series) -> pd.DataFrame:
        """Give the shares of profile components to the features that the components come from.

        Parameters
        ----------
        shares : pandas.DataFrame
            Lines x features of a model, components among them.
        X : pandas.DataFrame
            The same lines x features, components included.
        centre : pandas.Series
            Value of each component from which its share was counted.

        Returns
        -------
        pandas.DataFrame
            Lines x measured features: a component's share per unit (Shrikumar et al. 2017, ICML, the
            chain rule of multipliers) times what each feature adds to it.
        """
        used = [n for n in self.names if n in shares]
        distance = (X[used] - centre[used]).to_numpy(dtype=float)
        passed = shares[used].to_numpy()
        per_unit = np.divide(passed, distance, out=np.zeros_like(passed), where=np.abs(distance) > 1e-9)
        weights = np.zeros((len(X), len(self.names)))
        weights[:, [self.names.index(n) for n in used]] = per_unit
        through = self.machine.attribute(X, weights)
        return add_shares([shares.drop(columns=used), through])


def add_shares(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Add tables of shares of the same lines; a feature that one lacks counts 0 there.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        Lines x features.

    Returns
    -------
    pandas.DataFrame
        Lines x all features, sorted.
    """
    columns = pd.Index(sorted(set().union(*(t.columns for t in tables))))
    total = np.zeros((len(tables[0]), len(columns)))
    for table in tables:
        total[:, columns.get_indexer(table.columns)] += table.to_numpy()
    return pd.DataFrame(total, tables[0].index, columns)


def _is_learned(name: str) -> bool:
    prefix, number = name.split(":")
    return int(number) <= _LEARNED[PREFIXES.index(f"{prefix}:")]


def _folds(groups: np.ndarray) -> np.ndarray:
    """Deal whole groups of relatives into folds; the same groups always get the same folds."""
    names, codes = np.unique(groups, return_inverse=True)
    return np.asarray((np.random.default_rng(0).permutation(len(names)) % CROSS_FOLDS)[codes])


def _cross_fit(gp: BlockGP, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Prediction of every line from the lines of other folds, kernel weights kept."""
    from crossres_ml.models.gaussian import held_out_scores  # scoring does without

    return held_out_scores(gp, targets, [np.flatnonzero(folds == f) for f in np.unique(folds)])


def _from_others(
    gp: BlockGP, solved: np.ndarray, cross: np.ndarray, own: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Prediction of lines without drugs, but with relatives that have them, from other folds."""
    precision = cho_solve((gp.L_, True), np.eye(len(solved)))
    out = np.empty((len(cross), solved.shape[1]))
    for i, fold in enumerate(own):
        rows = np.flatnonzero(folds == fold)
        left_out = np.linalg.solve(precision[np.ix_(rows, rows)], solved[rows])
        out[i] = cross[i] @ (solved - precision[:, rows] @ left_out)
    return out
