"""Controls, before any claim is judged: known associations, what must show nothing, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, t

from crossres_ml.audit.adjust import basis, normal_scores, patterns, residualise, without
from crossres_ml.audit.association import MIN_FREE, partial_correlations
from crossres_ml.audit.claims import Claims, Control, Outcome
from crossres_ml.audit.data import RESPONSE, OutcomeView, one_line_a_patient, view_of
from crossres_ml.audit.matrix import Matrix, adjusted_matrix
from crossres_ml.audit.measure import measure
from crossres_ml.audit.ridge import effects, prepare
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import FeatureConfig

TOP = 10
MIN_CONTROL_LINES = 100
CONFOUNDED = 20
"""Features that follow lineage most closely."""
LINEAGE_R2 = 0.25
MORE_DRAWS = 10
MAX_CONFOUNDED = 0.07
INFLATION = (0.8, 1.1)
NULL_LEVEL = 0.01
CONTROL_COLUMNS = (
    "control", "label", "drug", "gate", "n", "effect", "low", "high", "p", "rank_association", "rank_shap",
    "of", "recovered", "reason",
)  # fmt: skip
_CHI2_MEDIAN = float(chi2.ppf(0.5, 1))


@dataclass(frozen=True)
class Gate:
    """Whether claims may be judged.

    Attributes
    ----------
    open : bool
        All controls that gate passed.
    reasons : tuple of str
        What failed.
    """

    open: bool
    reasons: tuple[str, ...]


def _control_outcome(cohort: Cohort, drug: str) -> pd.Series:
    """Response of a control on one line a patient; all cohort lines may serve, not the irradiated only."""
    if drug.startswith(RESPONSE):
        lines = one_line_a_patient(cohort)
        return cohort.responses[drug.removeprefix(RESPONSE)][lines].dropna()
    known = cohort.drugs[drug].dropna()
    first = ~cohort.lines.group[known.index].duplicated()
    return known[first.to_numpy()]


def positive_control(
    cohort: Cohort, features: pd.DataFrame, control: Control, drug: str, rules: FeatureConfig
) -> dict[str, object]:
    """Hold one control against one drug, on the path that claims take.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    features : pandas.DataFrame
        All lines x features that compete.
    control : Control
        What is known.
    drug : str
        Drug measurement or response.
    rules : FeatureConfig
        Which of them take part.

    Returns
    -------
    dict
        control, drug, n, effect, low, high, p, rank_association and rank_shap (best rank of the measurement
        or of another coding of the same event, by p-value and by linear SHAP), of, recovered (the sign is
        right, p < .05 and one of the ranks is in the top `TOP`), reason (why it was not run).
    """
    out: dict[str, object] = {
        "control": control.id,
        "label": control.label,
        "drug": drug,
        "gate": control.gate,
    }
    if drug not in (*cohort.drugs, *(f"{RESPONSE}{r}" for r in cohort.responses)):
        return out | {"reason": "no such drug in these data"}
    y = _control_outcome(cohort, drug)
    x = measure(cohort, control.measurement)
    y = y[x[y.index].notna()]  # all features compete on the lines of the known one
    if len(y) < MIN_CONTROL_LINES:
        return out | {"reason": f"{len(y)} lines, fewer than {MIN_CONTROL_LINES}"}
    view = view_of("radiation", y, cohort.lines.lineage[y.index], pd.DataFrame(index=y.index))
    name = f"control {control.id}"
    matrix = adjusted_matrix(features, x.to_frame(name), view, _with_codings(rules, control))
    table = partial_correlations(
        features.loc[y.index].join(x.rename(name))[matrix.features], view.y, view.tissue
    )
    linear = effects(prepare(matrix.X), view.residual, len(y) - view.rank)
    same = matrix.features.isin([name, *control.measurement.plain_features, *control.folds_with])
    own = table.loc[name]
    ranks = _best_rank(table.p.to_numpy(), same), _best_rank(-linear["mean_abs_shap"], same)
    right = np.sign(own.r) == control.sign and own.p < LEVEL
    numbers = {"n": len(y), "effect": own.r, "low": own.low, "high": own.high, "p": own.p}
    ranked = {"rank_association": ranks[0], "rank_shap": ranks[1], "of": int((~same).sum()) + 1}
    return out | numbers | ranked | {"recovered": bool(right and min(ranks) <= TOP), "reason": ""}


def _with_codings(rules: FeatureConfig, control: Control) -> FeatureConfig:
    """Let every coding of the event compete, whatever its coverage."""
    names = (*rules.always, *control.measurement.plain_features, *control.folds_with)
    return rules.model_copy(update={"always": tuple(dict.fromkeys(names))})


def _best_rank(values: np.ndarray, same: np.ndarray) -> float:
    """Rank of the best coding of an event among everything that is not that event; small values are first."""
    values = np.where(np.isfinite(values), values, np.inf)
    return float(1 + (values[~same] < values[same].min()).sum())


def many_p(X: np.ndarray, design: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """P-values of the adjusted association of every feature with many outcomes.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, NaN where not measured.
    design : numpy.ndarray
        Lines x covariates, an intercept contained.
    Y : numpy.ndarray
        Lines x outcomes.

    Returns
    -------
    numpy.ndarray
        Features x outcomes; as `crossres_ml.audit.association.partial_correlations` gives for each.
    """
    fitted = residualise(X, design)
    out = np.full((X.shape[1], Y.shape[1]), np.nan)
    for columns in patterns(fitted.observed):
        lines = fitted.observed[:, columns[0]]
        df = int(lines.sum()) - fitted.rank[columns[0]] - 1
        if df < MIN_FREE:
            continue
        own = without(Y[lines], basis(design[lines]))
        part = fitted.values[np.ix_(lines, columns)]
        size = np.sqrt(np.outer((part**2).sum(axis=0), (own**2).sum(axis=0)))
        r = np.divide(part.T @ own, size, out=np.full(size.shape, np.nan), where=size > 0)
        r = np.clip(r, -1 + 1e-12, 1 - 1e-12)
        out[columns] = 2 * t.sf(np.abs(r) * np.sqrt(df / (1 - r**2)), df)
    return out


def lineage_share(X: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Share of each feature's variance that lies between tissues.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x features, NaN where not measured.
    tissue : numpy.ndarray
        Lines x tissues.

    Returns
    -------
    numpy.ndarray
        R2, 0 to 1; NaN for a feature without variance.
    """
    out = np.full(X.shape[1], np.nan)
    observed = np.isfinite(X)
    for columns in patterns(observed):
        lines = observed[:, columns[0]]
        if lines.sum() < 3:
            continue
        part = X[np.ix_(lines, columns)].astype(float)
        varies = np.ptp(part, axis=0) > 0  # the sum of squares of a constant need not be exactly zero
        part = part - part.mean(axis=0)
        q = basis(tissue[lines])
        total = (part**2).sum(axis=0)
        out[columns] = np.divide(((q.T @ part) ** 2).sum(axis=0), total, out=np.full(len(columns), np.nan),
                                 where=varies)  # fmt: skip
    return out


def lineage_outcomes(tissue: np.ndarray, draws: int, rng: np.random.Generator, r2: float) -> np.ndarray:
    """Simulate outcomes that differ between tissues and follow no feature.

    Parameters
    ----------
    tissue : numpy.ndarray
        Lines x tissues.
    draws : int
        Outcomes.
    rng : numpy.random.Generator
        Source of chance.
    r2 : float
        Share of the variance between tissues.

    Returns
    -------
    numpy.ndarray
        Lines x draws, normal scores.
    """
    means = tissue @ rng.normal(size=(tissue.shape[1], draws))
    means = (means - means.mean(axis=0)) / np.maximum(means.std(axis=0), 1e-12)
    noise = rng.normal(size=means.shape)
    y = np.sqrt(r2) * means + np.sqrt(1 - r2) * noise
    return np.column_stack([normal_scores(column) for column in y.T])


def negative_controls(
    features: pd.DataFrame, matrix: Matrix, tissue: np.ndarray, *, draws: int, seed: int
) -> pd.DataFrame:
    """Measure false positives on the very matrix: permuted outcomes, and outcomes that only follow tissue.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features; those of the matrix are used.
    matrix : Matrix
        Adjusted features of an outcome's lines.
    tissue : numpy.ndarray
        Tissues of those lines by the block ``lineage``: not the column that the adjustment uses, so that
        an adjustment that has lost its lineages is seen.
    draws : int
        Simulated outcomes of each kind; for the few features that follow tissue, `MORE_DRAWS` times as many,
        for their rate would be known too badly otherwise.
    seed : int
        Of the draws.

    Returns
    -------
    pandas.DataFrame
        Columns: outcome (permuted, tissue only), method (association, linear SHAP), false_positives
        (share of p < .05 over features), confounded (the same over the `CONFOUNDED` features that follow
        tissue most), tissue_feature (over a simulated feature that encodes tissue alone), inflation
        (median of lambda_GC over draws).
    """
    rng = np.random.default_rng([seed, 1])
    view = matrix.view
    known = matrix.features[matrix.features.isin(features.columns)]
    raw = features.loc[view.lines, known].to_numpy(dtype=float)
    only = tissue @ rng.normal(size=tissue.shape[1]) + 0.3 * rng.normal(size=len(raw))
    raw = np.column_stack([raw, only])
    X = residualise(raw, view.tissue).values
    share = lineage_share(raw[:, :-1], tissue)
    close = np.argsort(-np.nan_to_num(share), kind="stable")[:CONFOUNDED]
    ridge, free = prepare(X), len(X) - view.rank
    watched = np.append(close, raw.shape[1] - 1)
    q = basis(view.tissue)
    rows = []
    for name, more in (("permuted", _permuted), ("tissue only", _tissue_only)):
        Y = more(view, tissue, MORE_DRAWS * draws, rng)
        rest = Y - q @ (q.T @ Y)
        found = {
            "association": (many_p(raw, view.tissue, Y[:, :draws]), many_p(raw[:, watched], view.tissue, Y)),
            "linear SHAP": (
                effects(ridge, rest[:, :draws], free)["p"],
                effects(ridge.of(watched), rest, free)["p"],
            ),
        }
        for method, (p, few) in found.items():
            rows.append({"outcome": name, "method": method, **_rates(p[:-1], few)})
    return pd.DataFrame(rows)


def _permuted(view: OutcomeView, tissue: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.permutation(view.residual) for _ in range(draws)])


def _tissue_only(view: OutcomeView, tissue: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    return lineage_outcomes(tissue, draws, rng, LINEAGE_R2)


def _rates(p: np.ndarray, watched: np.ndarray) -> dict[str, float]:
    inflation = chi2.isf(np.nanmedian(p, axis=0), 1) / _CHI2_MEDIAN  # isf is monotone: of the median
    return {
        "false_positives": float((p < LEVEL)[np.isfinite(p)].mean()),
        "confounded": float((watched[:-1] < LEVEL).mean()),
        "tissue_feature": float((watched[-1] < LEVEL).mean()),
        "inflation": float(np.median(inflation)),
    }


def null_controls(cohort: Cohort, claims: Claims, views: Mapping[Outcome, OutcomeView]) -> pd.DataFrame:
    """Measure what must show nothing.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    claims : Claims
        Name the null controls.
    views : mapping of str to OutcomeView
        Outcomes.

    Returns
    -------
    pandas.DataFrame
        control, label, outcome, n, effect, low, high, p, quiet (p >= `NULL_LEVEL`; missing when too few
        lines were measured).
    """
    rows = []
    for control in claims.null_controls:
        view = views[control.outcome]
        x = measure(cohort, control.measurement)[view.lines].to_frame(control.id)
        own = partial_correlations(x, view.y, view.tissue).loc[control.id]
        quiet = None if not np.isfinite(own.p) else bool(own.p >= NULL_LEVEL)
        about = {"control": control.id, "label": control.label, "outcome": control.outcome}
        rows.append(
            about | own[["n", "r", "low", "high", "p"]].rename({"r": "effect"}).to_dict() | {"quiet": quiet}
        )
    return pd.DataFrame(rows)


def judge_controls(positive: pd.DataFrame, negative: pd.DataFrame, null: pd.DataFrame) -> Gate:
    """Open or close the gate.

    Parameters
    ----------
    positive, negative, null : pandas.DataFrame
        Tables of `positive_control`, `negative_controls` and `null_controls`.

    Returns
    -------
    Gate
        Closed when a gating control was recovered in none of the screens that have it, when no control
        could be run, when the inflation of an outcome lies outside `INFLATION`, when the rate of false
        positives, or the one among features that follow tissue, exceeds `MAX_CONFOUNDED`, or when a null
        control speaks. The feature that is tissue alone is only reported: one feature over the simulated
        outcomes is too few to tell .05 from .07.
    """
    reasons: list[str] = []
    run = positive[positive.reason.eq("") & positive.gate] if len(positive) else positive
    if not len(run):
        reasons.append("no positive control could be run")
    for label, screens in run.groupby("label", sort=False) if len(run) else ():
        if not screens.recovered.any():
            said = "; ".join(
                f"{c.drug}: partial r {c.effect:+.2f}, rank {c.rank_association:.0f} by association and "
                f"{c.rank_shap:.0f} by SHAP of {c.of}"
                for c in screens.itertuples()
            )
            reasons.append(f"{label}: not recovered ({said})")
    rows: list[Any] = list(negative.itertuples())
    for row in rows:
        if not INFLATION[0] <= row.inflation <= INFLATION[1]:
            reasons.append(f"{row.method}, {row.outcome}: lambda_GC {row.inflation:.2f} outside {INFLATION}")
        rate = max(row.confounded, row.false_positives)
        if rate > MAX_CONFOUNDED:
            reasons.append(f"{row.method}, {row.outcome}: {rate:.3f} false positives, over {MAX_CONFOUNDED}")
    for row in null.itertuples() if len(null) else ():
        if row.quiet is False:
            reasons.append(f"{row.label}: p = {row.p:.2g}, but must show nothing")
    return Gate(not reasons, tuple(reasons))
