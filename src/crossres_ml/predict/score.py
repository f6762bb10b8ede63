"""Scores of new profiles from saved models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.config_names import TASKS
from crossres_ml.errors import BundleError, ProfileError, preview
from crossres_ml.models.bundle import RECIPE, Bundle, load_bundle
from crossres_ml.models.conformal import RESISTANT, SENSITIVE, half_error, prediction_set
from crossres_ml.models.domain import Domain
from crossres_ml.predict.platform import Platform, finite
from crossres_ml.predict.profiles import BLOCK, ID, Profiles, align, check_units

log = logging.getLogger(__name__)
RESULTS = Path("artifacts/latest")
_SHOWN = 12
FLOOR = 0.25
"""Least coverage: mutations alone, a fifth of the weight, rank held-out lines little better than chance."""
OUTSIDE = 99.0
"""Percentile of held-out training lines' distances beyond which a sample is flagged."""
_COLLAPSED, _FEWEST = 0.25, 10
"""Share of the expected spread of scores below which a batch has collapsed, and samples that can tell."""
BASE, OTHERS = "(base)", "(all other features)"


def find_bundles(model: str | None) -> list[Bundle]:
    """Load the models that a user names.

    Parameters
    ----------
    model : str or None
        A folder (one model, a folder of models, or a folder of results), a task, or None for all
        tasks of ``artifacts/latest``.

    Returns
    -------
    list of Bundle
        Verified, in the order radiation, chemotherapy, cross.

    Raises
    ------
    BundleError
        If there is no model there, or one is damaged.
    """
    if model in TASKS:
        return [load_bundle(_results() / str(model))]
    root = Path(model) if model else _results()
    if (root / RECIPE).is_file():
        return [load_bundle(root)]
    folder = root / "models" if (root / "models").is_dir() else root
    found = [folder / t for t in TASKS if (folder / t / RECIPE).is_file()]
    if not found:
        raise BundleError(
            "no model there",
            where=str(root),
            do=f"train first (make train), or give a folder or one of {', '.join(TASKS)}",
        )
    return [load_bundle(f) for f in found]


def _results() -> Path:
    return RESULTS / "models"


@dataclass(frozen=True)
class Rules:
    """How scores become words.

    Attributes
    ----------
    threshold : float
        Probability from which a sample is called resistant.
    confidence : float
        Of the prediction sets.
    floor : float
        Samples whose coverage is below are not scored.
    """

    threshold: float = 0.5
    confidence: float = 0.9
    floor: float = FLOOR

    def __post_init__(self) -> None:
        bad = {k: v for k, v in vars(self).items() if not 0 <= v < 1}
        if bad or self.confidence == 0:
            told = ", ".join(f"{k} {v}" for k, v in vars(self).items())
            raise ProfileError(f"{told}: each must be from 0 up to, not including, 1", do="change the option")


def score_profiles(
    profiles: Profiles,
    bundles: Sequence[Bundle],
    where: str,
    platform: Platform,
    rules: Rules | None = None,
) -> pd.DataFrame:
    """Score samples with every model.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundles : sequence of Bundle
        Models.
    where : str
        Name of the table, for messages.
    platform : Platform
        How expression is brought to the training lines' platform.
    rules : Rules, optional
        How scores become words.

    Returns
    -------
    pandas.DataFrame
        Index ``model_id`` in input order; per task ``<task>_probability``, ``<task>_score``,
        ``<task>_class``, ``<task>_set`` (classes that cannot be ruled out at the confidence, see
        `crossres_ml.models.conformal.prediction_set`), ``<task>_coverage`` (share of the model's total
        ``|SHAP|`` that rests on values measured in the sample), ``<task>_percentile`` (share in percent of
        held-out training lines that lie nearer to the others, see `crossres_ml.models.domain.Domain`) and
        ``<task>_refused`` (why there is no score); ``trained_on`` (real or simulated).

    Raises
    ------
    ProfileError
        If no feature of a model is in the table, or values are impossible.
    """
    rules = rules or Rules()
    check_units(profiles, list(bundles), where)
    out = pd.DataFrame(index=profiles.values.index)
    for bundle in bundles:
        X = inputs(profiles, bundle, where, platform)
        # kept shares are rounded, and may add up to a little over 1
        coverage = np.minimum(X.notna().to_numpy(dtype=float) @ bundle.features.share.to_numpy(), 1.0)
        result = _work(X, bundle, bundle.predict)
        good = (coverage > 0) & (coverage >= rules.floor)
        resistant = result.probability.to_numpy() >= rules.threshold
        confidence = half_error(rules.confidence) if platform.widened else rules.confidence
        sets = prediction_set(result[RESISTANT].to_numpy(), result[SENSITIVE].to_numpy(), confidence)
        why = np.where(coverage > 0, [f"coverage {c:.3f} is under {rules.floor:g}" for c in coverage],
                       "no value of the model's features")  # fmt: skip
        parts = {
            "probability": result.probability.where(good), "score": result.score.where(good),
            "class": np.where(good, np.where(resistant, "resistant", "sensitive"), ""),
            "set": np.where(good, sets, ""), "coverage": coverage, "refused": np.where(good, "", why),
            "percentile": _percentile(X.to_numpy(dtype=float), bundle.domain),
        }  # fmt: skip
        for name, values in parts.items():
            out[f"{bundle.task}_{name}"] = values
    out["trained_on"] = "+".join(sorted({b.kind for b in bundles}))
    return out.rename_axis(ID)


def inputs(profiles: Profiles, bundle: Bundle, where: str, platform: Platform) -> pd.DataFrame:
    """Align samples to a model, bring them to its platform and score their gene sets.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundle : Bundle
        The model.
    where : str
        Name of the table, for messages.
    platform : Platform
        How expression is brought to the training lines' platform.

    Returns
    -------
    pandas.DataFrame
        Samples x the model's features, float32; NaN where not measured.

    Raises
    ------
    ProfileError
        If the table has none of the features.
    """
    X, missing = align(profiles, bundle)
    if len(missing) == len(bundle.features):
        raise ProfileError(
            f"has none of the {len(bundle.features)} features of the {bundle.task} model",
            where=where,
            do=f"name columns as gene symbols, SYMBOL (ENTREZ) or block:name, e.g. {preview(missing, 4)}",
        )
    return _work(platform.bring(X.astype(np.float32), bundle.reference), bundle, bundle.with_gene_sets)


def _work(X: pd.DataFrame, bundle: Bundle, work: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Work on samples such that no bit depends on their company: where it could, always on as many."""
    if bundle.by_itself:
        return work(X)
    # numbered anew: tables are joined by label on the way, and the sample that fills up stands often
    parts = [work(X.iloc[rows].reset_index(drop=True)).iloc[:kept] for rows, kept in _blocks(len(X))]
    return pd.concat(parts).set_axis(X.index)


def _percentile(values: np.ndarray, domain: Domain) -> np.ndarray:
    return np.concatenate([domain.percentile(values[rows])[:kept] for rows, kept in _blocks(len(values))])


def _blocks(samples: int) -> Iterator[tuple[slice | np.ndarray, int]]:
    """Give the places of `BLOCK` samples at a time, the last ones filled up, and how many count."""
    for start in range(0, samples, BLOCK):
        end = start + BLOCK
        yield (
            slice(start, end) if end <= samples else np.arange(start, end).clip(max=samples - 1),
            samples - start,
        )


def explain_profiles(
    profiles: Profiles, bundles: Sequence[Bundle], where: str, platform: Platform, top: int
) -> pd.DataFrame:
    """Say what each score is made of.

    Parameters
    ----------
    profiles : Profiles
        New samples.
    bundles : sequence of Bundle
        Models.
    where : str
        Name of the table, for messages.
    platform : Platform
        How expression is brought to the training lines' platform.
    top : int
        Features shown of each sample, the largest shares first.

    Returns
    -------
    pandas.DataFrame
        Long: model_id, task, rank, feature, value, shap. The shares of a sample and task add up to its
        score: rank 0 is `BASE`, what the model says of a mean profile with the same gaps, and the last
        is `OTHERS`. Exact for trees and linear models; integrated gradients for Gaussian processes; path
        attribution for forests (see their ``explain``).
    """
    parts = []
    for bundle in bundles:
        X = inputs(profiles, bundle, where, platform)
        shares = _work(X, bundle, bundle.explain)
        score = _work(X, bundle, bundle.predict).score.to_numpy()
        values = shares.to_numpy()
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, :top]
        shown = np.take_along_axis(values, order, axis=1)
        measured = X.reindex(columns=shares.columns).to_numpy(dtype=float)
        n = len(X)
        names = np.column_stack([np.full(n, BASE), shares.columns.to_numpy()[order], np.full(n, OTHERS)])
        total = values.sum(axis=1)
        shap = np.column_stack([score - total, shown, total - shown.sum(axis=1)])
        gap = np.full((n, 1), np.nan)
        seen = np.hstack([gap, np.take_along_axis(measured, order, axis=1), gap])
        long = {
            ID: np.repeat(X.index.to_numpy(), names.shape[1]),
            "task": bundle.task,
            "rank": np.tile(np.arange(names.shape[1]), n),
            "feature": names.ravel(),
            "value": seen.ravel(),
            "shap": shap.ravel(),
        }
        parts.append(pd.DataFrame(long))
    return pd.concat(parts, ignore_index=True)


def spread_of(parts: Iterable[pd.DataFrame], bundles: Sequence[Bundle]) -> dict[str, dict[str, Any]]:
    """Compare the spread of a batch's scores with that of held-out training lines.

    A batch of another platform, not normalised, gets scores that hardly differ: probabilities that look
    calm and mean nothing.

    Parameters
    ----------
    parts : iterable of pandas.DataFrame
        As `score_profiles` gives them: one batch.
    bundles : sequence of Bundle
        Models.

    Returns
    -------
    dict of str to dict
        Task -> samples, sd, expected, collapsed.
    """
    sums = {b.task: np.zeros(3) for b in bundles}
    for part in parts:
        for task, held in sums.items():
            score = part[f"{task}_score"].dropna().to_numpy(dtype=float)
            held += [len(score), score.sum(), (score**2).sum()]
    told = {}
    for bundle in bundles:
        n, total, square = sums[bundle.task]
        sd = float(np.sqrt(max(square / n - (total / n) ** 2, 0.0))) if n else float("nan")
        expected = float(bundle.recipe["score_spread"])
        told[bundle.task] = {
            "samples": int(n), "sd": finite(sd), "expected": expected,
            "collapsed": bool(n >= _FEWEST and sd < _COLLAPSED * expected),
        }  # fmt: skip
    if gone := [t for t, v in told.items() if v["collapsed"]]:
        numbers = ", ".join(f"{t} sd {told[t]['sd']:.3f}, expected {told[t]['expected']:.3f}" for t in gone)
        log.warning(
            "the scores hardly differ (%s): these probabilities look calm and mean nothing; "
            "normalise (--normalise zscore), or check unit and platform", numbers,
        )  # fmt: skip
    return told


def with_flags(scores: pd.DataFrame, spread: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Mark samples that should not be trusted.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `score_profiles`.
    spread : mapping
        As `spread_of`.

    Returns
    -------
    pandas.DataFrame
        With ``<task>_flags``: ``outside`` (further from the training lines than 99 % of them), ``collapsed``
        (the scores of the batch hardly differ), both joined by ``;``, or nothing.
    """
    out = scores.copy()
    for task, told in spread.items():
        outside = np.where(scores[f"{task}_percentile"] > OUTSIDE, "outside", "")
        tail = "collapsed" if told["collapsed"] else ""
        flags = [";".join(f for f in (o, tail) if f) for o in outside]
        out.insert(list(out.columns).index(f"{task}_percentile") + 1, f"{task}_flags", flags)
    return out


def tell_missing(columns: pd.Index, bundles: Sequence[Bundle], lineage: bool) -> list[str]:
    """Name what the models rest on and the table lacks, the weightiest first.

    Parameters
    ----------
    columns : pandas.Index
        Features that the table has.
    bundles : sequence of Bundle
        Models.
    lineage : bool
        Whether lineages are given as text.

    Returns
    -------
    list of str
        One sentence a model that lacks something.
    """
    told = []
    for bundle in bundles:
        given = set(columns)
        if bundle.scorer is not None and {f"rna:{g}" for g in bundle.scorer.genes} <= given:
            given |= {str(f) for f in bundle.features.index if str(f).startswith("gene_set:")}
        if lineage:
            given |= {str(f) for f in bundle.features.index if str(f).startswith("lineage:")}
        if missing := [f for f in bundle.features.index if f not in given]:
            told.append(_missing_text(bundle, missing))
    return told


def _missing_text(bundle: Bundle, missing: list[str]) -> str:
    share = bundle.features.share[missing].sort_values(ascending=False)
    return (
        f"{bundle.task}: {len(missing)} of {len(bundle.features)} features are not in the table; "
        f"{100 * share.sum():.0f} % of the model rests on them: {preview(share.index, _SHOWN)}"
    )
