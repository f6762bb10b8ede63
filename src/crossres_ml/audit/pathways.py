"""Single events against pathway scores: how well each foretells an outcome in lines that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from crossres_ml.audit.adjust import basis, patterns
from crossres_ml.audit.data import OutcomeView
from crossres_ml.audit.resampling import EMPTY, summarise
from crossres_ml.evaluation.metrics import group_weights, spearman

METHODS = ("best_single", "all_singles", "best_pathway", "all_pathways")
HEADLINE = ("all_pathways", "best_single")
DIFFERENCES = (
    HEADLINE,
    ("all_singles", "all_pathways"),
    ("best_pathway", "best_single"),
    ("all_singles", "best_single"),
)
ALPHAS = np.logspace(0, 6, 13)
"""Ridge penalties, chosen inside the training lines; features have standard deviation 1."""
PERMUTED = 200
"""Permuted outcomes that say how far skills and their differences stray when nothing can be foretold."""
MIN_LINES = 60
MIN_MEASURED = 0.5
"""Share of the features of a kind that a line must have to take part."""
MIN_CARRIERS = 3
"""Fewest training lines with, and without, the commonest value of a feature."""
_SD = 1e-6


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Features of training and held-out lines, adjusted as the training lines say; missing is zero.

    ``values`` is lines x features (all lines), ``usable`` says which features vary among training lines.
    """

    values: np.ndarray
    usable: np.ndarray


def adjust(X: np.ndarray, design: np.ndarray, train: np.ndarray) -> Adjusted:
    """Take out of features what a design explains of them in the training lines, and scale.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, NaN where not measured.
    design : numpy.ndarray
        Lines x covariates.
    train : numpy.ndarray
        Lines, bool.

    Returns
    -------
    Adjusted
        Mean, coefficients (of least length, so that a lineage without training lines gets the mean)
        and standard deviation come from the training lines a feature was measured in.
    """
    observed = np.isfinite(X)
    values, usable = np.zeros(X.shape), np.zeros(X.shape[1], dtype=bool)
    for columns in patterns(observed[train]):
        lines = train & observed[:, columns[0]]
        if lines.sum() < 2 * MIN_CARRIERS:
            continue
        mean = X[np.ix_(lines, columns)].mean(axis=0)
        own = X[np.ix_(lines, columns)] - mean
        coefficients = np.linalg.pinv(design[lines]) @ own
        sd = (own - design[lines] @ coefficients).std(axis=0)
        total = own.std(axis=0)
        rest = np.where(observed[:, columns], X[:, columns] - mean - design @ coefficients, 0.0)
        usable[columns] = (sd > _SD * np.maximum(total, 1e-300)) & _varies(X[np.ix_(lines, columns)])
        values[:, columns] = np.where(usable[columns], rest / np.where(usable[columns], sd, 1.0), 0.0)
    return Adjusted(values, usable)


def ridge_predictions(train: np.ndarray, test: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Predict many outcomes by ridge regression without intercept, each with its own penalty.

    Parameters
    ----------
    train, test : numpy.ndarray
        Lines x features.
    Y : numpy.ndarray
        Training lines x outcomes.

    Returns
    -------
    numpy.ndarray
        Held-out lines x outcomes. The penalty, one of `ALPHAS`, has the least squared error when each
        training line is left out: error_i = c_i / (G^-1)_ii, G = XX' + a I, c = G^-1 y (Rifkin and
        Lippert 2007), as in scikit-learn's RidgeCV.
    """
    values, vectors = np.linalg.eigh(train @ train.T)
    turned, across = vectors.T @ Y, test @ train.T @ vectors
    least, out = np.full(Y.shape[1], np.inf), np.zeros((len(test), Y.shape[1]))
    for alpha in ALPHAS:
        inverse = 1 / (np.clip(values, 0, None) + alpha)
        c = inverse[:, None] * turned
        error = (((vectors @ c) / ((vectors**2) @ inverse)[:, None]) ** 2).sum(axis=0)
        better = error < least
        least = np.where(better, error, least)
        out[:, better] = across @ c[:, better]
    return out


def predict_held_out(
    singles: np.ndarray, pathways: np.ndarray, Y: np.ndarray, design: np.ndarray, fold: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, list[dict[str, int]]]:
    """Predict every line from the folds that it is not in.

    Parameters
    ----------
    singles, pathways : numpy.ndarray
        Lines x features, NaN where not measured.
    Y : numpy.ndarray
        Lines x outcomes.
    design : numpy.ndarray
        Lines x covariates.
    fold : numpy.ndarray
        Fold of each line.

    Returns
    -------
    predictions : dict of str to numpy.ndarray
        For each of `METHODS`, lines x outcomes: in standard deviations of the training residual.
    residual : numpy.ndarray
        Lines x outcomes, without what the design explains in the training lines of that fold.
    chosen : list of dict
        Per fold, for the first outcome, numbers of the best single and best pathway; -1 where none varies.
    """
    predictions = {m: np.zeros(Y.shape) for m in METHODS}
    residual, chosen, every = np.zeros(Y.shape), [], np.arange(Y.shape[1])
    for held in np.unique(fold):
        train, test = fold != held, fold == held
        outcome = adjust(Y, design, train).values
        residual[test] = outcome[test]
        picks = {}
        for kind, X in (("single", singles), ("pathway", pathways)):
            fitted = adjust(X, design, train)
            use, picks[kind] = fitted.usable, -1
            if not use.any():
                continue
            own, away = fitted.values[train], fitted.values[test]
            length = np.sqrt(np.maximum((own**2).sum(axis=0), 1e-300))
            r = outcome[train].T @ own / length
            best = np.argmax(np.where(use, np.abs(r), -1.0), axis=1)
            picks[kind] = int(best[0])
            predictions[f"best_{kind}"][test] = away[:, best] * (r[every, best] / length[best])
            predictions[f"all_{kind}s"][test] = ridge_predictions(own[:, use], away[:, use], outcome[train])
        chosen.append(picks)
    return predictions, residual, chosen


def assign_folds(groups: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Deal whole groups to folds at random, the largest first, each to the fold with the fewest lines."""
    names, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, at = np.zeros(folds), np.zeros(len(names), dtype=int)
    for group in order:
        at[group] = int(np.argmin(filled))
        filled[at[group]] += sizes[group]
    return np.asarray(at[codes])


def single_against_pathways(
    singles: pd.DataFrame,
    pathways: pd.DataFrame,
    view: OutcomeView,
    groups: pd.Series,
    *,
    folds: int = 5,
    repeats: int = 10,
    draws: int,
    seed: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Compare single events with pathway scores in lines that were held out.

    The best single event and the best pathway are chosen among the training lines of each fold by
    absolute partial correlation; all of a kind together enter a ridge regression. Skill is Spearman's
    correlation of prediction and residual outcome over all lines of a repeat, averaged over repeats. The
    effect is the skill of all pathway scores minus that of the best single event. Intervals come from
    draws of whole groups with the predictions as they are. That leaves out how models differ with their
    training lines, so the draws are widened, where they spread less, to the standard deviation
    over outcomes whose residuals were permuted, with the same folds.

    Parameters
    ----------
    singles, pathways : pandas.DataFrame
        By line; events (binary or ordinal) and scores.
    view : OutcomeView
        The outcome. Lines with at least `MIN_MEASURED` of either kind take part.
    groups : pandas.Series
        Group of relatives, by line.
    folds, repeats : int
        Held-out folds, and how often they are dealt anew.
    draws : int
        Bootstrap draws.
    seed : int
        Seed of folds and draws.

    Returns
    -------
    row : dict
        n, effect, low, high, p, mde; raw, raw_p (not adjusted for tissue); full, full_low, full_high,
        full_p (adjusted for the covariates too); note. Unit: Spearman's correlation.
    table : pandas.DataFrame
        Index ``what``: `METHODS`, and their `DIFFERENCES`; for each adjustment (raw, tissue, full)
        ``skill``, ``low``, ``high``, ``p``, ``mde``, ``null`` and ``null_sd`` (mean and standard deviation
        over permuted outcomes), and a column ``adjusted``; ``chosen``: the
        feature most often taken as best, ``share``: in what share of the folds.
    """
    names = {"single": list(singles.columns), "pathway": list(pathways.columns)}
    s, p = (t.reindex(view.lines).to_numpy(dtype=float) for t in (singles, pathways))
    part = np.ones(len(view.lines), dtype=bool)
    for X in (s, p):
        part &= np.isfinite(X).mean(axis=1) >= MIN_MEASURED if X.shape[1] else False
    row: dict[str, Any] = {"n": int(part.sum())} | EMPTY
    row |= dict.fromkeys(("raw", "raw_p", "full", "full_low", "full_high", "full_p"), np.nan) | {"note": ""}
    if note := _lacks(s[part], p[part]):
        return row | {"note": note}, pd.DataFrame()
    of = groups.reindex(view.lines).to_numpy(dtype=object)[part].astype(str)
    weights, tables = group_weights(of, draws, seed), []
    for name, design in (("raw", view.constant), ("tissue", view.tissue), ("full", view.full)):
        rng = np.random.default_rng([seed, 0xF01D])
        Y = _with_permuted(view.y[part], design[part], rng)
        skill: dict[str, list[np.ndarray]] = {m: [] for m in METHODS}
        null: dict[str, list[np.ndarray]] = {m: [] for m in METHODS}
        chosen: list[dict[str, int]] = []
        for _ in range(repeats):
            fold = assign_folds(of, folds, rng)
            held, residual, picks = predict_held_out(s[part], p[part], Y, design[part], fold)
            chosen += picks
            for method, prediction in held.items():
                skill[method].append(spearman(prediction[:, 0], residual[:, 0], weights))
                null[method].append(_spearman(prediction[:, 1:], residual[:, 1:]))
        means = [{m: np.mean(v, axis=0) for m, v in of_method.items()} for of_method in (skill, null)]
        table = _describe(means[0], means[1], chosen, names)
        tables.append(table.assign(adjusted=name))
        found = table.rename(columns={"skill": "effect"}).loc[[" - ".join(HEADLINE)]].to_dict("records")[0]
        keys = {"raw": ("effect", "p"), "tissue": tuple(EMPTY), "full": ("effect", "low", "high", "p")}[name]
        row |= {(k if name == "tissue" else _named(name, k)): float(found[k]) for k in keys}
    return row, pd.concat(tables)


def _named(prefix: str, key: str) -> str:
    return prefix if key == "effect" else f"{prefix}_{key}"


def _varies(values: np.ndarray) -> np.ndarray:
    """Whether enough lines have another value than the commonest one; an event of two lines is no feature."""
    ordered = np.sort(values, axis=0)
    n = len(values)
    # the commonest value fills more than n - MIN_CARRIERS places only if two places this far apart are equal
    far = n - MIN_CARRIERS
    return np.asarray((ordered[far:] != ordered[: n - far]).all(axis=0))


def _lacks(singles: np.ndarray, pathways: np.ndarray) -> str:
    """Why nothing can be compared, or nothing."""
    if len(singles) < MIN_LINES:
        return f"{len(singles)} lines have both kinds: at least {MIN_LINES} are needed"
    for name, X in (("single event", singles), ("pathway", pathways)):
        varies = [
            _varies(c[np.isfinite(c)][:, None])[0] for c in X.T if np.isfinite(c).sum() > MIN_LINES // 2
        ]
        if not any(varies):
            return f"no {name} varies"
    return ""


def _with_permuted(y: np.ndarray, design: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outcome, and outcomes whose residuals were dealt to other lines (Freedman and Lane 1983)."""
    q = basis(design)
    fit = q @ (q.T @ y)
    dealt = [fit + rng.permutation(y - fit) for _ in range(PERMUTED)]
    return np.column_stack([y, *dealt])


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the columns of two tables; 0 where one is constant."""
    a, b = (r - r.mean(axis=0) for r in (rankdata(a, axis=0), rankdata(b, axis=0)))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray(np.divide((a * b).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0))


def _widened(values: np.ndarray, null: np.ndarray) -> dict[str, float]:
    """Summarise draws that spread at least as far as permuted outcomes do."""
    apart, least = values[1:] - values[0], float(null.std(ddof=1))
    factor = max(1.0, least / max(float(apart.std(ddof=1)), 1e-300))
    found = summarise(values[0], values[0] + factor * apart)
    return found | {"null": float(null.mean()), "null_sd": least}


def _describe(
    skill: dict[str, np.ndarray],
    null: dict[str, np.ndarray],
    chosen: list[dict[str, int]],
    names: dict[str, list[str]],
) -> pd.DataFrame:
    """Rows of all methods and differences."""
    rows = {m: _widened(skill[m], null[m]) for m in METHODS}
    for one, other in DIFFERENCES:
        rows[f"{one} - {other}"] = _widened(skill[one] - skill[other], null[one] - null[other])
    table = (
        pd.DataFrame.from_dict(rows, orient="index").rename(columns={"effect": "skill"}).rename_axis("what")
    )
    table["chosen"], table["share"] = "", np.nan
    for kind in ("single", "pathway"):
        counts = pd.Series([c[kind] for c in chosen if c[kind] >= 0]).value_counts()
        if len(counts):
            best = int(counts[counts == counts.max()].index.min())
            table.loc[f"best_{kind}", "chosen"] = str(names[kind][best])
            table.loc[f"best_{kind}", "share"] = float(counts.max() / len(chosen))
    return table
