"""Predictions for an independent study against its measured responses, beside naive baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from crossres_ml.evaluation.calibration import calibration_error, error_by_chance
from crossres_ml.evaluation.draws import centred, interval
from crossres_ml.evaluation.metrics import METRICS, WITHOUT_DIRECTION, HeldOut, Weights, group_weights
from crossres_ml.models.conformal import RESISTANT, SENSITIVE, half_error, not_ruled_out

MODEL, LINEAGE, PREVALENCE = "model", "lineage baseline", "prevalence"
BEYOND_LINEAGE, BEYOND_PREVALENCE = "model minus lineage baseline", "model minus prevalence"
CONFIDENCES = (0.8, 0.9)
ERROR, BY_CHANCE = "calibration_error", "calibration_error_by_chance"
_CLASSES = ("auroc", "average_precision", "brier")
_CONTINUOUS = ("spearman", "within_lineage_spearman")
_NO_SKILL = ("auroc", "average_precision", "brier", ERROR)
COLUMNS = ("metric", "of", "value", "low", "high", "n")
Values = dict[str, np.ndarray]


def measure(
    table: pd.DataFrame, prevalence: float, *, continuous: bool, draws: int, seed: int, widened: bool = False
) -> pd.DataFrame:
    """Measure a model on an independent study.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a sample: label (0 or 1), resistance (higher = more resistant), probability, score,
        p_resistant, p_sensitive, group, lineage (text), and baseline with baseline_probability, or NaN in
        both where the study does not tell lineages.
    prevalence : float
        Share of resistant training lines: the probability that knows nothing of the sample.
    continuous : bool
        Whether ``resistance`` is more than the class.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.
    widened : bool
        As `coverage` takes it.

    Returns
    -------
    pandas.DataFrame
        metric, of, value, low, high, n. ``of`` is the model, a baseline, or a paired difference. Intervals
        are bias-corrected percentiles over draws of whole groups, shared by all; those of coverage,
        abstention and empty sets are binomial (Clopper-Pearson).
    """
    weights = group_weights(table.group.to_numpy(), draws, seed)
    columns = ["label", "resistance", "probability", "score", "lineage"]
    data = {c: table[c].to_numpy() for c in columns}
    data["response"] = data.pop("resistance")
    names = (*_CLASSES, "calibration_slope", *(_CONTINUOUS if continuous else ()))
    known = table.lineage.ne("").any() and table.baseline.notna().all()
    if not known:
        names = tuple(n for n in names if n != "within_lineage_spearman")
    found = {MODEL: _values(data, weights, names)}
    nothing = {"score": np.zeros(len(table)), "probability": np.full(len(table), prevalence)}
    constant = _values(data | nothing, weights, _CLASSES)
    found[PREVALENCE] = {k: v for k, v in constant.items() if k in _NO_SKILL}
    if known:
        naive = {"score": table.baseline.to_numpy(), "probability": table.baseline_probability.to_numpy()}
        found[LINEAGE] = _values(data | naive, weights, [n for n in names if n in (*_CLASSES, "spearman")])
        found[BEYOND_LINEAGE] = _difference(found[MODEL], found[LINEAGE])
    found[BEYOND_PREVALENCE] = {"brier": found[MODEL]["brier"] - found[PREVALENCE]["brier"]}
    rows = [
        {"metric": m, "of": of, **interval(v), "n": len(table)}
        for of, values in found.items()
        for m, v in values.items()
    ]
    chance = error_by_chance(data["probability"], draws, seed)
    rows.append({"metric": BY_CHANCE, "of": MODEL, "value": chance, "n": len(table)})
    return pd.DataFrame([*rows, *coverage(table, widened)], columns=list(COLUMNS))


def _values(data: dict[str, np.ndarray], weights: Weights, names: Any) -> Values:
    held_out = HeldOut(data, weights)
    out = {name: METRICS[name](held_out) for name in names}
    return out | {ERROR: centred(calibration_error(data["probability"], data["label"], weights))}


def _difference(one: Values, other: Values) -> Values:
    return {k: one[k] - v for k, v in other.items() if k in one and k not in WITHOUT_DIRECTION}


def coverage(table: pd.DataFrame, widened: bool = False) -> list[dict[str, Any]]:
    """Count how often prediction sets hold the true class, and how often they say nothing.

    Parameters
    ----------
    table : pandas.DataFrame
        label, p_resistant, p_sensitive.
    widened : bool
        Whether sets are made at half the error, as `crossres_ml.predict.platform.Platform.widened` says.

    Returns
    -------
    list of dict
        Rows as those of `measure`, for each of `CONFIDENCES`: ``coverage_80`` (also for each class alone),
        ``abstains_80`` (both classes in the set), ``empty_80``.
    """
    rows = []
    label = table.label.to_numpy() == 1
    everyone = np.ones(len(table), dtype=bool)
    for confidence in CONFIDENCES:
        made_at = half_error(confidence) if widened else confidence
        r, s = not_ruled_out(table[RESISTANT].to_numpy(), table[SENSITIVE].to_numpy(), made_at)
        right = np.where(label, r, s)
        percent = f"{confidence:.0%}".rstrip("%")
        counted = {
            f"coverage_{percent}": (right, everyone),
            f"coverage_{percent}_resistant": (right, label),
            f"coverage_{percent}_sensitive": (right, ~label),
            f"abstains_{percent}": (r & s, everyone),
            f"empty_{percent}": (~r & ~s, everyone),
        }
        rows += [{"metric": m, "of": MODEL, **_share(hit[of])} for m, (hit, of) in counted.items()]
    return rows


def _share(hits: np.ndarray) -> dict[str, float]:
    low, high = proportion_confint(hits.sum(), len(hits), method="beta")
    return {"value": float(hits.mean()), "low": float(low), "high": float(high), "n": len(hits)}
