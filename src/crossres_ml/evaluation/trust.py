"""Whether probabilities and prediction sets keep their word on held-out lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from crossres_ml.evaluation.draws import centred, line_weights
from crossres_ml.models.conformal import RESISTANT, SENSITIVE, not_ruled_out

BINS = 10
_LEAST_LINES = 15  # of a lineage, for its coverage to be shown


def calibration_error(probability: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Compute the expected calibration error (Naeini et al. 2015, AAAI) in ten bins of equal size.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (lines,): of being resistant.
    label : numpy.ndarray
        Shape (lines,), 1 where resistant.
    weights : numpy.ndarray, optional
        Shape (lines,): how often each line counts.

    Returns
    -------
    float
        Mean over lines of the absolute difference, within a bin, between mean probability and share of
        resistant lines.
    """
    w = np.ones(len(label)) if weights is None else weights
    order = np.argsort(probability, kind="stable")
    place = (np.cumsum(w[order]) - w[order] / 2) / w.sum()
    which = np.minimum((place * BINS).astype(int), BINS - 1)
    difference = w[order] * (probability[order] - label[order])
    return float(np.abs(np.bincount(which, difference, BINS)).sum() / w.sum())


def calibration_table(rows: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Compare calibrated probabilities with scores read as probabilities.

    Parameters
    ----------
    rows : pandas.DataFrame
        Held-out predictions of one model a task, cell line out: model_id, group, task, repeat, fold, score,
        probability, label.
    draws : int
        Of groups of relatives, behind the intervals.
    seed : int
        Of the draws, and of the outcomes that a perfect model would see.

    Returns
    -------
    pandas.DataFrame
        Index ``task``: lines; ``before``, the error of a score's percentile among its held-out set, read as a
        probability; ``after`` with ``low`` and ``high``, of the calibrated probability; ``perfect``, which
        probabilities that are right would show on as many lines by chance. Means over repeats.
    """
    out = {}
    for task, own in rows.groupby("task", sort=False):
        lines = line_weights(own, draws, seed)
        repeats = [r for _, r in own.groupby("repeat")]
        rng = np.random.default_rng(seed)
        found, drawn, before, perfect = [], np.zeros(draws), [], []
        for r in repeats:
            p, y = r.probability.to_numpy(dtype=float), r.label.to_numpy(dtype=float)
            rank = r.groupby("fold").score.rank(pct=True).to_numpy()
            found.append(calibration_error(p, y))
            before.append(calibration_error(rank, y))
            w = lines.loc[r.model_id].to_numpy(dtype=float)
            drawn += [calibration_error(p, y, w[:, 1 + i]) / len(repeats) for i in range(draws)]
            perfect += [calibration_error(p, (rng.random(len(p)) < p).astype(float)) for _ in range(100)]
        low, high = np.percentile(centred(np.array([np.mean(found), *drawn]))[1:], [2.5, 97.5])
        out[str(task)] = {
            "lines": own.model_id.nunique(), "before": np.mean(before), "after": np.mean(found), "low": low,
            "high": high, "perfect": np.mean(perfect),
        }  # fmt: skip
    return pd.DataFrame.from_dict(out, orient="index").rename_axis("task")


def coverage_table(rows: pd.DataFrame, confidences: Sequence[float] = (0.8, 0.9)) -> pd.DataFrame:
    """Count how often prediction sets hold the class that was measured.

    Parameters
    ----------
    rows : pandas.DataFrame
        As `calibration_table`, with the conformal p-values and lineage.
    confidences : sequence of float
        Of the sets.

    Returns
    -------
    pandas.DataFrame
        task, confidence, of (``all lines``, ``resistant``, ``sensitive``, or a lineage with at least 15
        lines), lines, covered (mean over repeats), low, high (95 % of a binomial share on so many lines,
        Clopper & Pearson 1934), one (share of sets that name one class), both, none.
    """
    out = []
    for task, own in rows.groupby("task", sort=False):
        resistant = own.label.to_numpy() == 1
        lines = own.groupby("lineage").model_id.nunique()
        parts = {"all lines": np.ones(len(own), dtype=bool), "resistant": resistant, "sensitive": ~resistant}
        parts |= {str(n): (own.lineage == n).to_numpy() for n in lines.index[lines >= _LEAST_LINES]}
        for confidence in confidences:
            r, s = not_ruled_out(own[RESISTANT].to_numpy(), own[SENSITIVE].to_numpy(), confidence)
            covered = np.where(resistant, r, s)
            for name, which in parts.items():
                n = own.model_id[which].nunique()
                share = float(covered[which].mean())
                ci = binomtest(round(share * n), n).proportion_ci()
                told = {"one": (r != s)[which].mean(), "both": (r & s)[which].mean(),
                        "none": (~r & ~s)[which].mean()}  # fmt: skip
                out.append({"task": task, "confidence": confidence, "of": name, "lines": n, "covered": share,
                            "low": ci.low, "high": ci.high, **told})  # fmt: skip
    return pd.DataFrame(out)
