"""Naive models: what a score is worth must be seen beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression

from crossres_ml.models.estimators import BURDEN, Estimator, TrainingView
from crossres_ml.models.linear import LinearPipeline

# Eschrich et al. 2009, Int J Radiat Oncol Biol Phys 75:489: radiosensitivity index (predicted SF2)
# from the ranks of ten genes within a sample, 10 = most expressed. The article's gene is CDK1; some
# later ones print PAK2 with the same coefficient.
RSI = {
    "AR": -0.0098009, "JUN": 0.0128283, "STAT1": 0.0254552, "PRKCB": -0.0017589, "RELA": -0.0038171,
    "ABL1": 0.1070213, "SUMO1": -0.0002509, "CDK1": -0.0092431, "HDAC1": -0.0204469, "IRF1": -0.0441683,
}  # fmt: skip


class Prevalence(Estimator):
    """Every line alike: the mean response, and the share of resistant training lines."""

    name = "prevalence"
    baseline = True

    def fit(self, view: TrainingView) -> Estimator:
        """Nothing to learn: calibration turns the constant score into mean and prevalence."""
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Score every line alike, also across folds, whose means would rank them upside down."""
        return np.zeros(len(X))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """No feature contributes."""
        return pd.DataFrame(index=X.index)


class _ClassMean(Estimator):
    """Mean of a value within the classes that 0/1 columns tell, overall mean where none is known."""

    prefixes: tuple[str, ...]
    baseline = True

    def _value(self, view: TrainingView) -> np.ndarray:
        return view.y

    def fit(self, view: TrainingView) -> Estimator:
        """Average within each class; a later prefix adds what is left by the earlier ones."""
        value = self._value(view)
        known = np.isfinite(value)
        value = value[known]
        self.overall_ = float(value.mean()) if len(value) else 0.0
        left = value - self.overall_
        self.columns, effects = [], []
        for prefix in self.prefixes:
            columns = [c for c in view.X.columns if c.startswith(prefix)]
            onehot = np.nan_to_num(view.X[columns].to_numpy(dtype=float))[known]
            n = onehot.sum(axis=0)
            effect = (onehot.T @ left) / np.maximum(n, 1)
            left = left - onehot @ effect
            self.columns += columns
            effects.append(effect)
        self.effects_ = np.concatenate(effects)
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Look the class up."""
        return np.asarray(self.overall_ + self.explain(X).to_numpy().sum(axis=1))

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Deviation of the class from the overall mean."""
        onehot = np.nan_to_num(X[self.columns].to_numpy(dtype=float))
        return pd.DataFrame(onehot * self.effects_, X.index, self.columns)


class LineageMean(_ClassMean):
    """The mean response of the line's lineage among training lines (the overall mean if unseen)."""

    name = "lineage_mean"
    prefixes = ("lineage:",)


class SubtypeMean(_ClassMean):
    """The mean response of the lineage, corrected by that of the subtype within it."""

    name = "subtype_mean"
    prefixes = ("lineage:", "subtype:")


class GeneralSensitivity(_ClassMean):
    """The mean general drug sensitivity of the line's lineage: knows nothing of the response itself."""

    name = "general_sensitivity"
    prefixes = ("lineage:",)

    def _value(self, view: TrainingView) -> np.ndarray:
        return view.sensitivity


class MutationBurden(LinearPipeline):
    """Straight line on the number of mutated genes."""

    name = "mutation_burden"
    baseline = True

    def _final(self) -> LinearRegression:
        return LinearRegression()

    def _select(self, X: pd.DataFrame) -> list[str]:
        return [c for c in (BURDEN,) if c in X and X[c].notna().any()]


class RadiosensitivityIndex(Estimator):
    """The published index as it stands, nothing re-fitted; lines without all ten genes get the median."""

    name = "rsi"
    baseline = True

    def fit(self, view: TrainingView) -> Estimator:
        """Learn the median index only."""
        self.columns = [c for g in RSI if (c := f"rna:{g}") in view.X]
        index = self._index(view.X)
        self.median_ = float(np.nanmedian(index)) if np.isfinite(index).any() else 0.0
        return self

    def _index(self, X: pd.DataFrame) -> np.ndarray:
        if len(self.columns) < len(RSI):
            return np.full(len(X), np.nan)
        values = X[self.columns].to_numpy(dtype=float)
        ranks = rankdata(values, axis=1)
        return np.where(np.isfinite(values).all(axis=1), ranks @ np.array(list(RSI.values())), np.nan)

    def score(self, X: pd.DataFrame) -> np.ndarray:
        """Index; higher = more resistant."""
        index = self._index(X)
        return np.where(np.isfinite(index), index, self.median_)

    def explain(self, X: pd.DataFrame) -> pd.DataFrame:
        """Coefficient times rank, minus the middle rank."""
        values = X[self.columns].to_numpy(dtype=float)
        whole = np.isfinite(values).all(axis=1)[:, None] & (len(self.columns) == len(RSI))
        coefficients = np.array([RSI[c.split(":", 1)[1]] for c in self.columns])
        shares = (rankdata(values, axis=1) - (len(RSI) + 1) / 2) * coefficients
        return pd.DataFrame(np.where(whole, shares, 0.0), X.index, self.columns)
