"""Whether a measurement goes with the outcome through another one: a product of two paths, bootstrapped.

This is a statement on associations: without an intervention, nothing here tells a mediator from a
common cause or from an effect of the outcome.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import basis, normal_scores, tissue_design
from crossres_ml.audit.association import MIN_FREE, partial_correlations
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.resampling import EMPTY, accelerated_interval, summarise
from crossres_ml.evaluation.metrics import group_weights

PATHS = ("indirect", "a", "b", "direct", "total")
_SAME = 1 - 1e-9
_NOTHING = 1e-9
"""Share of the largest variance of all draws below which one is rounding: an event that was not drawn."""
_ABSENT = 1e-8
"""A direction of the design with a smaller share of its length among the lines drawn is absent there."""


def moments(values: np.ndarray, design: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum products of residuals, adjusted anew in every draw.

    Parameters
    ----------
    values : numpy.ndarray
        Lines x columns, nothing missing.
    design : numpy.ndarray
        Lines x covariates.
    weights : numpy.ndarray
        Draws x lines: how often a line was drawn.

    Returns
    -------
    numpy.ndarray
        Draws x columns x columns: Z'WZ - Z'WD (D'WD)^+ D'WZ, which is what weighted least squares
        of each column on the design leaves. A lineage that was not drawn takes no part.
    """
    q = basis(design)
    z = values - q @ (q.T @ values)
    both = np.hstack([q, z])
    products = (both[:, :, None] * both[:, None, :]).reshape(len(both), -1)
    sums = (weights @ products).reshape(len(weights), both.shape[1], both.shape[1])
    k = q.shape[1]
    inverse = np.linalg.pinv(sums[:, :k, :k], rcond=_ABSENT, hermitian=True)
    across = sums[:, :k, k:]
    return np.asarray(sums[:, k:, k:] - across.transpose(0, 2, 1) @ inverse @ across)


def paths(products: np.ndarray) -> dict[str, np.ndarray]:
    """Standardised paths from the sums of products of measurement, mediator and outcome.

    Parameters
    ----------
    products : numpy.ndarray
        Draws x 3 x 3.

    Returns
    -------
    dict of str to numpy.ndarray
        For each of `PATHS` one value a draw, in standard deviations of what the design leaves: a =
        mediator on measurement; b and direct = outcome on mediator and measurement together; total =
        outcome on measurement; indirect = a b = total - direct (Baron and Kenny 1986; MacKinnon 2008).
    """
    spread = np.diagonal(products, axis1=1, axis2=2)
    sd = np.sqrt(np.where(spread > _NOTHING * spread.max(axis=0), spread, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products / (sd[:, :, None] * sd[:, None, :])
        a, total, other = r[:, 0, 1], r[:, 0, 2], r[:, 1, 2]
        free = np.where(np.abs(a) < _SAME, 1 - a**2, np.nan)
        b, direct = (other - a * total) / free, (total - a * other) / free
    return {"indirect": a * b, "a": a, "b": b, "direct": direct, "total": total}


def link(x: pd.Series, mediator: pd.Series, design: np.ndarray) -> dict[str, Any]:
    """Partial correlation of a measurement with normal scores of its mediator; no outcome is needed.

    Parameters
    ----------
    x, mediator : pandas.Series
        The same lines, NaN where not measured.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.

    Returns
    -------
    dict
        n, df, r, low, high, p, mde as `crossres_ml.audit.association.partial_correlations` gives them.
    """
    known = np.isfinite(mediator.to_numpy(dtype=float))
    if known.sum() < 2:
        return {"n": 0, "df": 0} | dict.fromkeys(("r", "low", "high", "p", "mde"), np.nan)
    y = normal_scores(mediator.to_numpy(dtype=float)[known])
    table = partial_correlations(x.to_frame("x").loc[known], y, design[known])
    return {str(k): v for k, v in table.iloc[0].items()}


def link_within_tissue(x: pd.Series, mediator: pd.Series, lineage: pd.Series) -> dict[str, Any]:
    """Take the `link` adjusted for lineage: all three of the same lines, with or without an outcome."""
    return link(x, mediator, tissue_design(lineage))


def mediate(
    x: pd.Series, mediator: pd.Series, view: OutcomeView, *, full: bool, draws: int, seed: int
) -> dict[str, Any]:
    """Indirect effect of a measurement on an outcome through a mediator.

    Parameters
    ----------
    x, mediator : pandas.Series
        By line; NaN, or no entry, where not measured. The mediator, an outcome of the first path, is
        taken as normal scores; the measurement as it is.
    view : OutcomeView
        The outcome.
    full : bool
        Adjust for the covariates too, not only for tissue.
    draws : int
        Bootstrap draws over lines; all is adjusted anew in each.
    seed : int
        Seed of the draws.

    Returns
    -------
    dict
        n; effect, low, high, p, mde of the indirect effect (percentile interval: the
        bias-corrected one rejects too often here, Fritz, Taylor and MacKinnon 2012, and is given as
        bca_low, bca_high); for each other path of `PATHS` its value and <path>_low, _high, _p;
        link_n, link_r, link_low, link_high, link_p: measurement with mediator; note: why there is
        no number, or empty.
    """
    return _mediate(x, mediator, view, view.full if full else view.tissue, draws, seed)


def mediation(
    x: pd.Series, mediator: pd.Series, view: OutcomeView, *, draws: int, seed: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Evidence for a mediation: unadjusted, adjusted for tissue, and fully adjusted.

    Parameters
    ----------
    x, mediator : pandas.Series
        As for `mediate`.
    view : OutcomeView
        The outcome.
    draws : int
        Bootstrap draws.
    seed : int
        Seed; the three share their draws.

    Returns
    -------
    row : dict
        Numeric columns of the table of evidence, and its note.
    table : pandas.DataFrame
        Index ``adjusted`` (nothing, tissue, full); as `mediate`.
    """
    designs = {"nothing": view.constant, "tissue": view.tissue, "full": view.full}
    found = {k: _mediate(x, mediator, view, d, draws, seed) for k, d in designs.items()}
    raw, own, full = found["nothing"], found["tissue"], found["full"]
    row = {k: own[k] for k in ("n", *EMPTY, "note")}
    row |= {"raw": raw["effect"], "raw_p": raw["p"], "full": full["effect"]}
    row |= {f"full_{k}": full[k] for k in ("low", "high", "p")}
    return row, pd.DataFrame.from_dict(found, orient="index").rename_axis("adjusted")


def _mediate(
    x: pd.Series, mediator: pd.Series, view: OutcomeView, design: np.ndarray, draws: int, seed: int
) -> dict[str, Any]:
    x, mediator = (s.reindex(view.lines).astype(float) for s in (x, mediator))
    known = np.isfinite(x.to_numpy()) & np.isfinite(mediator.to_numpy())
    out: dict[str, Any] = {"n": int(known.sum())} | EMPTY | {"bca_low": np.nan, "bca_high": np.nan}
    out |= {k: np.nan for p in PATHS[1:] for k in (p, f"{p}_low", f"{p}_high", f"{p}_p")}
    whole = link(x.where(known), mediator.where(known), design)
    out |= {f"link_{k}": whole[k] for k in ("n", "r", "low", "high", "p")}
    if note := _problem(x[known].to_numpy(), mediator[known].to_numpy(), design[known]):
        return out | {"note": note}
    values = np.column_stack([x[known], normal_scores(mediator[known].to_numpy()), view.y[known]])
    n = int(known.sum())
    weights = group_weights(np.arange(n), draws, seed)
    found = paths(moments(values, design[known], weights))
    for path, numbers in found.items():
        summary = summarise(numbers[0], numbers[1:])
        if path == "indirect":
            out |= summary
        else:
            out |= {path: summary["effect"]} | {f"{path}_{k}": summary[k] for k in ("low", "high", "p")}
    jackknife = paths(moments(values, design[known], 1 - np.eye(n)))["indirect"]
    ends = accelerated_interval(found["indirect"][0], found["indirect"][1:], jackknife)
    lost = np.mean(~np.isfinite(found["indirect"][1:]))
    return out | {
        "bca_low": ends[0],
        "bca_high": ends[1],
        "note": f"not defined in {lost:.1%} of the draws" if np.isnan(out["p"]) else "",
    }


def _problem(x: np.ndarray, mediator: np.ndarray, design: np.ndarray) -> str:
    """Why there can be no number, or nothing."""
    q = basis(design) if len(design) else np.zeros((0, 0))
    if len(x) - q.shape[1] - 2 < MIN_FREE:
        return f"{len(x)} lines have all three: too few for the adjustment"
    rests = []
    for name, values in (("measurement", x), ("mediator", normal_scores(mediator))):
        values = values - values.mean()
        rest = values - q @ (q.T @ values)
        if np.linalg.norm(rest) <= 1e-6 * max(float(np.linalg.norm(values)), 1e-300):
            return f"the {name} does not vary after adjustment"
        rests.append(rest / np.linalg.norm(rest))
    return "measurement and mediator are the same" if abs(rests[0] @ rests[1]) >= _SAME else ""
