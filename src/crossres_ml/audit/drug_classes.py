"""Whether genotoxic drugs go with radiation more than other drugs do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import add_covariates, basis, normal_scores
from crossres_ml.audit.association import MIN_FREE, describe_correlation
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.resampling import EMPTY, summarise
from crossres_ml.evaluation.metrics import group_weights

DATASET = "ctrp:"
MIN_LINES = 100
"""Fewest measured lines of a drug."""
MIN_DRUGS = 5
"""Fewest drugs of a class, and fewest other drugs behind the general sensitivity of a line."""


def drug_classes(
    drugs: pd.DataFrame,
    drug_info: pd.DataFrame,
    view: OutcomeView,
    *,
    covariates: pd.DataFrame | None = None,
    draws: int,
    seed: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Compare genotoxic with other drugs in how far they go with an outcome.

    The effect is the mean partial correlation of the genotoxic drugs minus that of the others; drugs
    are taken as normal scores. It is given unadjusted, adjusted for tissue, and (``full``)
    for tissue, general sensitivity and the covariates. General sensitivity is the mean z of the
    drugs that are *not* genotoxic, the drug itself left out, so that no drug is adjusted for itself or
    for the class in question.

    All drugs share the lines, so they are no independent observations: the interval and p come from
    draws of lines. The draws weight the residuals of the whole data (to first order a partial
    correlation does not feel the errors of its adjustment) and each drug's deviation is widened by
    sqrt(n / (n - rank)) for the degrees of freedom that the adjustment takes.

    Parameters
    ----------
    drugs : pandas.DataFrame
        Lines x drug measurements; only columns that begin with `DATASET`.
    drug_info : pandas.DataFrame
        Index: those columns; genotoxic (bool).
    view : OutcomeView
        The outcome.
    covariates : pandas.DataFrame, optional
        By line: what else the full adjustment takes, growth for example.
    draws : int
        Bootstrap draws over lines, and permutations of the class labels.
    seed : int
        Seed of both.

    Returns
    -------
    row : dict
        n (lines with any of the drugs), effect, low, high, p, mde, raw, raw_p, full, full_low,
        full_high, full_p, note (why there is no number, or the second opinion of `label_p`).
    table : pandas.DataFrame
        Index: drugs with `MIN_LINES` lines and more; genotoxic, n, sd (of the measurement), general (its
        correlation with general sensitivity, adjusted for tissue), raw, r, p, full, full_p.
    """
    values = drugs.loc[:, drugs.columns.str.startswith(DATASET)].reindex(view.lines).astype(float)
    values = values.loc[:, (values.notna().sum() >= MIN_LINES) & (values.nunique() > 2)]
    genotoxic = drug_info.genotoxic.reindex(values.columns).astype(bool).to_numpy()
    table = pd.DataFrame({"genotoxic": genotoxic}, index=values.columns.rename("drug_measurement"))
    row: dict[str, Any] = (
        {"n": int(values.notna().any(axis=1).sum())} | EMPTY | {"raw": np.nan, "raw_p": np.nan}
    )
    row |= {"full": np.nan, "full_low": np.nan, "full_high": np.nan, "full_p": np.nan, "note": ""}
    if min(genotoxic.sum(), (~genotoxic).sum()) < MIN_DRUGS:
        counts = f"{genotoxic.sum()} genotoxic and {(~genotoxic).sum()} other drugs"
        return row | {"note": f"{counts} with {MIN_LINES} lines: too few to compare"}, table
    found = {k: _Pairs(values, genotoxic, view, d, g) for k, (d, g) in _designs(view, covariates).items()}
    own = {k: p.differences(genotoxic, draws, seed) for k, p in found.items()}
    table["n"], table["sd"] = values.notna().sum(), values.std()
    table["general"] = found["full"].general
    for key, name in (("raw", "raw"), ("tissue", "r"), ("full", "full")):
        about = describe_correlation(found[key].r, table.n.to_numpy(), found[key].rank)
        table[name] = found[key].r
        table["p" if name == "r" else f"{name}_p"] = about["p"]
    raw, tissue, full = (summarise(own[k][0], own[k][1:]) for k in ("raw", "tissue", "full"))
    row |= tissue | {"raw": raw["effect"], "raw_p": raw["p"], "full": full["effect"]}
    row |= {f"full_{k}": full[k] for k in ("low", "high", "p")}
    labels = [label_p(found[k].r, genotoxic, draws, seed) for k in ("tissue", "full")]
    row["note"] = "class labels dealt to the drugs at random: p = {:.4f}, fully adjusted {:.4f}".format(
        *labels
    )
    return row, table


def leave_one_out_mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean z of the counted drugs of each line, for each drug without itself.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x drugs, NaN where not measured.
    counted : numpy.ndarray
        Drugs, bool: which make the mean.

    Returns
    -------
    numpy.ndarray
        Lines x drugs; NaN where fewer than `MIN_DRUGS` others are measured.
    """
    z = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    z = np.where(counted, z, np.nan)
    known = np.isfinite(z)
    z = np.where(known, z, 0.0)
    total, count = z.sum(axis=1)[:, None] - z, known.sum(axis=1)[:, None] - known
    return np.asarray(np.divide(total, count, out=np.full(z.shape, np.nan), where=count >= MIN_DRUGS))


def _designs(view: OutcomeView, covariates: pd.DataFrame | None) -> dict[str, tuple[np.ndarray, bool]]:
    """Design, and whether general sensitivity is added to it."""
    wide = view.tissue
    if covariates is not None:
        wide = add_covariates(view.tissue, covariates.reindex(view.lines))
    return {"raw": (view.constant, False), "tissue": (view.tissue, False), "full": (wide, True)}


class _Pairs:
    """Residuals of every drug and of the outcome on that drug's lines; zero elsewhere.

    Attributes: ``x``, ``y`` (lines x drugs), ``observed``, ``rank`` and ``n`` (drugs), ``r``, ``general``.
    """

    def __init__(
        self, values: pd.DataFrame, genotoxic: np.ndarray, view: OutcomeView, design: np.ndarray, adjust: bool
    ) -> None:
        table = values.to_numpy()
        others = leave_one_out_mean(table, ~genotoxic) if adjust else None
        self.observed = np.isfinite(table)
        self.x, self.y = np.zeros(table.shape), np.zeros(table.shape)
        self.rank = np.zeros(table.shape[1], dtype=int)
        self.general = np.full(table.shape[1], np.nan)
        for j in range(table.shape[1]):
            lines = self.observed[:, j]
            q = basis(design[lines])
            both = np.column_stack([normal_scores(table[lines, j]), view.y[lines]])
            both -= q @ (q.T @ both)
            if others is not None and np.isfinite(others[lines, j]).any():
                g = np.where(np.isfinite(others[lines, j]), others[lines, j], np.nanmean(others[lines, j]))
                g -= q @ (q.T @ g)
                g /= max(float(np.linalg.norm(g)), 1e-300)
                self.general[j] = g @ both[:, 0] / np.linalg.norm(both[:, 0])
                both -= np.outer(g, g @ both)
            self.rank[j] = q.shape[1] + (others is not None)
            self.x[lines, j], self.y[lines, j] = both.T
        self.n = self.observed.sum(axis=0)
        self.r = self.correlations(np.ones((1, len(table))))[0]

    def correlations(self, weights: np.ndarray) -> np.ndarray:
        """Weighted correlations of the residuals, draws x drugs; NaN where nothing varies."""
        w, x, y = weights @ self.observed, weights @ self.x, weights @ self.y
        with np.errstate(invalid="ignore", divide="ignore"):
            xy = weights @ (self.x * self.y) - x * y / w
            spread = (weights @ self.x**2 - x * x / w) * (weights @ self.y**2 - y * y / w)
            r = np.where(spread > 1e-9, xy / np.sqrt(np.abs(spread)), np.nan)
        return np.where(self.n - self.rank - 1 >= MIN_FREE, r, np.nan)

    def differences(self, genotoxic: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Difference of the classes: on the data, then on every draw."""
        drawn = self.correlations(group_weights(np.arange(len(self.x)), draws, seed))
        wide = np.sqrt(self.n / np.maximum(self.n - self.rank, 1))
        drawn[1:] = self.r + (drawn[1:] - self.r) * wide
        return np.asarray(np.nanmean(drawn[:, genotoxic], axis=1) - np.nanmean(drawn[:, ~genotoxic], axis=1))


def label_p(r: np.ndarray, genotoxic: np.ndarray, draws: int, seed: int) -> float:
    """Deal the classes to the drugs at random: two-sided p of the difference of their means.

    A second opinion only: it takes drugs as exchangeable, and says nothing on lines.

    Parameters
    ----------
    r : numpy.ndarray
        Correlation of each drug; NaN takes no part.
    genotoxic : numpy.ndarray
        The same drugs, bool.
    draws : int
        Number of deals.
    seed : int
        Their seed.

    Returns
    -------
    float
        (1 + deals with a difference as large) / (1 + deals).
    """
    rng = np.random.default_rng([seed, 0xD27])
    known = np.isfinite(r)
    r, size = r[known], int(genotoxic[known].sum())
    seen = abs(r[genotoxic[known]].mean() - r[~genotoxic[known]].mean())
    sums = np.array([r[rng.permutation(len(r))[:size]].sum() for _ in range(draws)])
    dealt = np.abs(sums / size - (r.sum() - sums) / (len(r) - size))
    return float((1 + (dealt >= seen - 1e-12).sum()) / (draws + 1))
