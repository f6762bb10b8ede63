"""How often the lists of a scan are wrong, and what they find, on responses with planted effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.audit.adjust import normal_scores, residualise
from crossres_ml.audit.controls import CONFOUNDED, lineage_share
from crossres_ml.scan.both import run_tests
from crossres_ml.scan.effects import effects
from crossres_ml.scan.frame import in_threads
from crossres_ml.scan.permute import LEVELS, Ground, permute, shuffles
from crossres_ml.scan.table import best_lists

ROLES: Mapping[str, tuple[str, int, int, int]] = MappingProxyType(
    {
        "both": ("both_resistant", 1, 1, 3),
        "opposite": ("discordant_radiation", 1, -1, 1),
        "radiation": ("radiation_only", 1, 0, 2),
        "chemotherapy": ("chemotherapy_only", 0, 1, 4),
    }
)
"""Role -> its list, its sign in radiation and in chemotherapy, and how many are planted."""
LINEAGE_R2 = 0.25
NOISE_R = 0.4
"""Share of the variance between lineages, and correlation of the noise of the two responses."""
STRONG_SUPPORT = 30.0
APART = 0.08
"""Lines that a planted event rests on at least, and largest correlation of two of them inside lineages."""


@dataclass(frozen=True)
class Settings:
    """How much is simulated.

    Attributes
    ----------
    studies : int
        Simulated pairs of responses of every strength.
    strengths : tuple of float
        Standardised slopes of what is planted; 0 plants nothing.
    draws : int
        Permutations of a study.
    events : int
        Events at most, drawn from those that there are.
    seed : int
        Of everything.
    """

    studies: int = 200
    strengths: tuple[float, ...] = (0.0, 0.10, 0.15, 0.20, 0.25, 0.30)
    draws: int = 200
    events: int = 2000
    seed: int = 0


def calibrate_scan(
    X: np.ndarray,
    design: np.ndarray,
    settings: Settings,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Scan simulated responses on the events as they are.

    Each response is lineage (`LINEAGE_R2` of its variance), the planted events, and noise that the two
    share in part. Planted events are held against it as it is; all others against the same pairs of
    responses exchanged inside lineages: they keep their correlations, gaps and lineages, and
    are nothing by construction, though many of them resemble a planted one.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x events, NaN where not measured.
    design : numpy.ndarray
        Lines x lineages.
    settings : Settings
        How much.
    jobs : int, default 1
        Threads.
    progress : callable, optional
        Called with studies done and in total.

    Returns
    -------
    pandas.DataFrame
        strength, study, by (permutations, benjamini_hochberg), level, list, called, false (called, and
        not of that role), of_other_role (of these, planted ones), planted, found, confounded (share of the
        events nearest to lineage alone that have p < .05 in radiation).
    """
    rng = np.random.default_rng([settings.seed, 0xCA1])
    some = np.sort(rng.permutation(X.shape[1])[: settings.events])
    X = X[:, some]
    fitted = effects(X, np.zeros((len(X), 1)), design)
    usable = np.flatnonzero(np.isfinite(fitted.df) & (fitted.support >= 10))
    X, support = X[:, usable], fitted.support[usable]
    close = np.argsort(-np.nan_to_num(lineage_share(X, design)), kind="stable")[:CONFOUNDED]
    strong = np.flatnonzero(support >= STRONG_SUPPORT)
    tasks = [
        partial(_study, X, design, strong, close, strength, study, settings)
        for strength in settings.strengths
        for study in range(settings.studies)
    ]
    rows: list[dict[str, Any]] = []
    for done, part in enumerate(in_threads(tasks, jobs), 1):
        rows += part
        progress(done, len(tasks))
    return pd.DataFrame(rows)


def simulate_pair(
    X: np.ndarray,
    design: np.ndarray,
    planted: Mapping[str, np.ndarray],
    strength: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Make radiation and chemotherapy: lineage, planted events, and noise that they share in part.

    Parameters
    ----------
    X : numpy.ndarray
        Lines x events.
    design : numpy.ndarray
        Lines x lineages.
    planted : mapping of str to numpy.ndarray
        Role -> columns.
    strength : float
        Slope of each, both standardised.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    numpy.ndarray
        Lines x 2, normal scores.
    """
    signal = np.zeros((len(X), 2))
    for role, columns in planted.items():
        for column in columns:
            x = X[:, column] - np.nanmean(X[:, column])
            x = np.nan_to_num(x / np.nanstd(x))
            signal += strength * x[:, None] * np.array(ROLES[role][1:3])
    between = design @ rng.normal(size=(design.shape[1], 2))
    between = (between - between.mean(axis=0)) / np.maximum(between.std(axis=0), 1e-12)
    noise = rng.multivariate_normal(np.zeros(2), [[1, NOISE_R], [NOISE_R, 1]], size=len(X))
    left = np.maximum(1 - LINEAGE_R2 - signal.var(axis=0), 0.1)
    Y = np.sqrt(LINEAGE_R2) * between + signal + np.sqrt(left) * noise
    return np.column_stack([normal_scores(y) for y in Y.T])


def _apart(X: np.ndarray, design: np.ndarray, order: np.ndarray, size: int) -> np.ndarray:
    """Take events that hardly go together, in this order: else one of one response moves the other too."""
    rest = residualise(X[:, order], design).values
    chosen: list[int] = []
    for j in range(len(order)):
        if len(chosen) == size:
            break
        if not chosen or np.abs(rest[:, chosen].T @ rest[:, j]).max() / len(X) < APART:
            chosen.append(j)
    return order[chosen]


def _study(
    X: np.ndarray,
    design: np.ndarray,
    strong: np.ndarray,
    close: np.ndarray,
    strength: float,
    study: int,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Simulate and scan once."""
    rng = np.random.default_rng([settings.seed, 0xCA2, study, round(1000 * strength)])
    lineage = design.argmax(axis=1)
    sizes = {role: it[3] if strength else 0 for role, it in ROLES.items()}
    chosen = _apart(X, design, rng.permutation(strong), sum(sizes.values()))
    planted = dict(zip(sizes, np.split(chosen, np.cumsum(list(sizes.values()))[:-1]), strict=True))
    Y = simulate_pair(X, design, planted, strength, rng)
    other = Y[shuffles(lineage, settings.seed + 1 + study, [0])[:, 0]]
    pairs = [np.column_stack([y, y[:, 0] - y[:, 1]]) for y in (other, Y)]
    found = effects(X, pairs[0], design)
    t = found.t.copy()
    t[chosen] = effects(X, pairs[1], design, chosen).t[chosen]
    tests = run_tests(t, found.df)
    ground = Ground(X, Y, t, found.df, lineage, [(design, np.arange(X.shape[1]))])
    expected = permute(ground, tests, draws=settings.draws, seed=settings.seed + study)[1]
    lists = best_lists(pd.RangeIndex(len(t)), tests, expected, LEVELS[0])
    nulls = np.setdiff1d(close, chosen)
    confounded = float((found.p[nulls, 0] < 0.05).mean())
    rows = []
    for by, q in (("permutations", lists.list_rate), ("benjamini_hochberg", lists.list_q)):
        for level in LEVELS:
            for role, (name, *_) in ROLES.items():
                called = np.flatnonzero((lists.best_list == name) & (q < level))
                right = int(np.isin(called, planted[role]).sum())
                other_role = int(np.isin(called, chosen).sum()) - right
                rows.append(
                    {
                        "strength": strength, "study": study, "by": by, "level": level, "list": name,
                        "called": len(called), "false": len(called) - right,
                        "of_other_role": other_role, "planted": len(planted[role]),
                        "found": right, "confounded": confounded,
                    }
                )  # fmt: skip
    return rows


def summarise_scan(results: pd.DataFrame) -> pd.DataFrame:
    """Summarise simulated scans.

    Parameters
    ----------
    results : pandas.DataFrame
        As `calibrate_scan` gives it.

    Returns
    -------
    pandas.DataFrame
        by, level, list, strength; studies, fdr (mean share, among the called, of those that do not belong in
        the list; 0 where none is called), fdr_nothing (of those that do nothing at all), power (share of the
        planted that is called; NaN where nothing is planted), each with its Monte-Carlo standard error over
        studies (_error); called, false, of_other_role (means), confounded.
    """
    called = results.called.clip(lower=1)
    shares = {
        "fdr": results["false"] / called,
        "fdr_nothing": (results["false"] - results.of_other_role) / called,
        "power": results.found / results.planted.where(results.planted > 0),
    }
    table = results.assign(**shares)
    rows = []
    for keys, own in table.groupby(["by", "level", "list", "strength"], sort=False):
        row = dict(zip(("by", "level", "list", "strength"), keys, strict=True)) | {"studies": len(own)}
        for name in shares:
            row |= {name: own[name].mean(), f"{name}_error": own[name].std() / len(own) ** 0.5}
        rows.append(row | own[["called", "false", "of_other_role", "confounded"]].mean().to_dict())
    return pd.DataFrame(rows)
