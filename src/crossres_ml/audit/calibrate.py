"""How often each way of calling a driver is wrong, and how often it finds one, on the very matrix.

Outcomes are simulated on the real features: a lineage effect that touches no gene, and three planted
drivers. Which features are planted and judged is drawn anew in every study; a study has outcomes of every
strength, so that strengths are compared on the same drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.artifacts import write_table
from crossres_ml.audit.adjust import basis, normal_scores
from crossres_ml.audit.calibrate_bench import Bench, Ground, scores
from crossres_ml.audit.calibrate_methods import CALLS_ONLY, Verdicts, judge, judge_both
from crossres_ml.audit.controls import CONFOUNDED, LINEAGE_R2, lineage_share
from crossres_ml.audit.matrix import Matrix
from crossres_ml.audit.trees import CHUNK, find_mates, null_of_groups
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.errors import CohortError

STRENGTHS = (0.0, 0.10, 0.15, 0.20, 0.25, 0.35)
"""Partial correlations of the planted drivers with the outcome, tissue taken out."""
NULL_OUTCOMES = 2
"""Outcomes of a study without any driver; one of each other strength."""
SLOW_EVERY, SLOW_STRENGTHS = 4, (0.0, 0.15, 0.25)
"""Methods that refit many trees for every outcome run in every fourth study, on these strengths."""
MOST_FEATURES, BACKGROUND, NULLS = 1000, 300, 30
"""Features of the matrix, drawn once by the seed; background of the reduced one; random null candidates."""
RELATED = 0.3
"""A feature that correlates more with a planted one, adjusted or raw, is neither null nor a driver."""
COVERAGE = 0.98
"""Drivers are measured in at least this share of the lines."""
NOISE_CORRELATION = 0.4
"""Between what drives two outcomes beside the planted: radiation and chemotherapy correlate by as much."""
LEAST_NOISE = 0.1


@dataclass(frozen=True)
class Settings:
    """How much is simulated.

    Attributes
    ----------
    studies : int
        Draws of drivers and candidates.
    draws : int
        Permutations.
    seed : int
        Of everything.
    strengths : tuple of float
        Partial correlations; 0 is simulated `NULL_OUTCOMES` times.
    background : int
        Random features of the reduced matrix.
    slow_every : int
        Every how many studies the slow methods run.
    """

    studies: int = 30
    draws: int = 99
    seed: int = 2016
    strengths: tuple[float, ...] = STRENGTHS
    background: int = BACKGROUND
    slow_every: int = SLOW_EVERY


@dataclass(frozen=True, eq=False)
class Planted:
    """What one study plants and judges.

    Attributes
    ----------
    columns : numpy.ndarray
        Candidates: S (a single feature without mates), T (one with a mate), L (one whose effect differs by
        lineage), the twin of T (its closest mate, without an effect), confounded null features (those that
        follow lineage most), random null features.
    roles : numpy.ndarray
        single, twin_driver, varying, twin, confounded, null.
    """

    columns: np.ndarray
    roles: np.ndarray


def make_ground(features: pd.DataFrame, matrix: Matrix, *, most: int, seed: int) -> Ground:
    """Draw the features that the studies stand on.

    Parameters
    ----------
    features : pandas.DataFrame
        All lines x features before adjustment.
    matrix : Matrix
        Adjusted features.
    most : int
        Features at most.
    seed : int
        Of the draw.

    Returns
    -------
    Ground
        Matrix of these features.
    """
    keep = np.arange(len(matrix.features))
    if most < len(keep):
        keep = np.sort(np.random.default_rng([seed, 10]).choice(keep, most, replace=False))
    names = matrix.features[keep]
    raw = features.loc[matrix.view.lines, names].to_numpy(dtype=float)
    part = Matrix(matrix.view, names, np.ascontiguousarray(matrix.X[:, keep]))
    return Ground(part, raw, np.nan_to_num(lineage_share(raw, matrix.view.tissue)))


def choose(ground: Ground, seed: int, study: int) -> Planted:
    """Draw drivers and candidates, without any outcome.

    Parameters
    ----------
    ground : Ground
        The matrix.
    seed, study : int
        Of the draw.

    Returns
    -------
    Planted
        Candidates and their roles.

    Raises
    ------
    CohortError
        If no feature can play a role.
    """
    rng = np.random.default_rng([seed, 11, study])
    raw = _standardised(ground.raw)
    full = np.flatnonzero(np.isfinite(ground.raw).mean(axis=0) >= COVERAGE)
    mates = {j: find_mates(ground.X, [j]) for j in map(int, full)}
    drivers: dict[str, int] = {}
    related: set[int] = set()
    fits = {  # the twin first: it is the rarest
        "twin_driver": [j for j in mates if len(mates[j]) > 1],
        "single": [j for j in mates if len(mates[j]) == 1],
        "varying": list(mates),
    }
    for role in fits:
        free = sorted(set(fits[role]) - related)
        if not free:
            raise CohortError(
                f"none of {len(full)} features measured in {COVERAGE:.0%} of the lines can be {role}",
                where="calibration", do="simulate on more features",
            )  # fmt: skip
        drivers[role] = int(rng.choice(free))
        related |= {
            *find_mates(ground.X, [drivers[role]], RELATED),
            *find_mates(raw, [drivers[role]], RELATED),
        }
    own = ground.X[:, drivers["twin_driver"]]
    others = [m for m in mates[drivers["twin_driver"]] if m != drivers["twin_driver"]]
    twin = others[int(np.argmax(np.abs(own @ ground.X[:, others])))]
    null = np.setdiff1d(np.arange(ground.X.shape[1]), sorted(related))
    close = null[np.argsort(-ground.share[null], kind="stable")[:CONFOUNDED]]
    left = np.setdiff1d(null, close)
    random = np.sort(rng.choice(left, min(NULLS, len(left)), replace=False))
    first = [drivers["single"], drivers["twin_driver"], drivers["varying"], twin]
    roles = [
        "single",
        "twin_driver",
        "varying",
        "twin",
        *["confounded"] * len(close),
        *["null"] * len(random),
    ]
    return Planted(np.array([*first, *close, *random]), np.array(roles))


def _standardised(raw: np.ndarray) -> np.ndarray:
    sd = np.nanstd(raw, axis=0)
    return np.asarray(np.nan_to_num((raw - np.nanmean(raw, axis=0)) / np.where(sd > 0, sd, 1)))


def plant(
    ground: Ground, planted: Planted, *, r: float, seed: int, study: int, repeat: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate two outcomes on the real features.

    The first has all three drivers, the second the twin driver alone. Each is sqrt(.25) x lineage effect +
    sqrt(.75) x (drivers + noise), where drivers and noise have variance 1 within lineages and each driver
    a coefficient of r on the standard deviation that it has within lineages: r is its partial correlation.
    A driver acts through its raw value, hence between lineages too. The effect of the third is drawn
    anew in every lineage, with mean r over the lines and standard deviation r.

    Parameters
    ----------
    ground : Ground
        The matrix.
    planted : Planted
        The drivers.
    r : float
        Partial correlation of each driver.
    seed, study, repeat : int
        Of lineage effects and noise.

    Returns
    -------
    first, second : numpy.ndarray
        Normal scores; lineage effects and noise of the two correlate by `NOISE_CORRELATION`.
    """
    rng = np.random.default_rng([seed, 12, study, repeat, round(1000 * r)])
    tissue = ground.tissue
    mix = np.array([[1.0, NOISE_CORRELATION], [0.0, np.sqrt(1 - NOISE_CORRELATION**2)]])
    means = tissue @ (rng.normal(size=(tissue.shape[1], 2)) @ mix)
    means = (means - means.mean(axis=0)) / np.maximum(means.std(axis=0), 1e-12)
    noise = rng.normal(size=(len(tissue), 2)) @ mix
    z = np.column_stack([_within_scale(ground.raw[:, c], tissue) for c in planted.columns[:3]])
    slopes = tissue @ rng.normal(size=tissue.shape[1])
    slopes = r * (1 + (slopes - slopes.mean()) / max(slopes.std(), 1e-12))
    parts = [r * z[:, 0] + r * z[:, 1] + slopes * z[:, 2], r * z[:, 1]]
    out = []
    for k, part in enumerate(parts):
        q = basis(tissue)
        left = max(1 - float((part - q @ (q.T @ part)).var()), LEAST_NOISE)
        y = np.sqrt(LINEAGE_R2) * means[:, k] + np.sqrt(1 - LINEAGE_R2) * (part + np.sqrt(left) * noise[:, k])
        out.append(normal_scores(y))
    return out[0], out[1]


def _within_scale(x: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Centre, and divide by the standard deviation within lineages; 0 where not measured."""
    known = np.isfinite(x)
    q = basis(tissue[known])
    part = x[known] - x[known].mean()
    out = np.zeros(len(x))
    out[known] = part / max(float((part - q @ (q.T @ part)).std()), 1e-12)
    return out


def _rows(
    verdicts: Verdicts, names: np.ndarray, roles: np.ndarray, **about: object
) -> Iterator[pd.DataFrame]:
    for method, found in verdicts.items():
        calls = method in CALLS_ONLY
        p = np.full(len(found), np.nan) if calls else found
        called = found if calls else found <= LEVEL
        yield pd.DataFrame(
            {**about, "method": method, "feature": names, "role": roles, "p": p, "called": called}
        )


def run_study(
    ground: Ground, label_null: pd.DataFrame, residual_null: pd.DataFrame, settings: Settings, study: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw drivers and candidates, and judge them on outcomes of every strength.

    Parameters
    ----------
    ground : Ground
        The matrix.
    label_null, residual_null : pandas.DataFrame
        Draws that all studies share.
    settings : Settings
        Strengths, draws and seed.
    study : int
        Number of the study.

    Returns
    -------
    results : pandas.DataFrame
        study, r, repeat, method, feature, role, p (missing where a method only calls), called.
    seconds : pandas.DataFrame
        study, method, seconds (processor time of one outcome, shared draws counted in full).
    """
    planted = choose(ground, settings.seed, study)
    bench = Bench(
        ground, planted.columns, label_null, residual_null,
        draws=settings.draws, background=settings.background, seed=settings.seed + study,
    )  # fmt: skip
    names = ground.matrix.features[planted.columns].to_numpy()
    tables: list[pd.DataFrame] = []
    spent = []
    with threadpool_limits(1):  # so that sums are added in the same order whatever runs beside
        for r in settings.strengths:
            for repeat in range(1 if r else NULL_OUTCOMES):
                bench.seconds = {}
                first, second = plant(ground, planted, r=r, seed=settings.seed, study=study, repeat=repeat)
                slow = study % settings.slow_every == 0 and r in SLOW_STRENGTHS
                found = judge(bench, first, slow=slow) | judge_both(bench, first, second)
                tables += _rows(found, names, planted.roles, study=study, r=r, repeat=repeat)
                spent.append(bench.seconds)
    seconds = pd.DataFrame(spent).mean().rename_axis("method").rename("seconds").reset_index()
    return pd.concat(tables, ignore_index=True), seconds.assign(study=study)


def _stored_study(
    folder: Path, ground: Ground, label_null: pd.DataFrame, residual_null: pd.DataFrame,
    settings: Settings, study: int,
) -> None:  # fmt: skip
    results, seconds = run_study(ground, label_null, residual_null, settings, study)
    write_table(folder / "seconds" / f"{study:04d}.parquet", seconds)
    write_table(folder / "studies" / f"{study:04d}.parquet", results)  # last: it marks the study as done


def calibrate(
    ground: Ground,
    settings: Settings,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run all studies; those that are in the folder are not run again.

    Residuals are normal scores, so the permutations of one outcome are those of any other: on the whole
    matrix all outcomes share their draws, on a reduced one those of a study do.

    Parameters
    ----------
    ground : Ground
        The matrix.
    settings : Settings
        How much.
    folder : Path
        Keeps a table a study, and the draws.
    jobs : int, default 1
        Parallel processes; the results do not depend on it.
    progress : callable, optional
        Called with chunks of draws and studies done, and in total.

    Returns
    -------
    results, seconds : pandas.DataFrame
        As `run_study` gives them.
    """
    chunks = -(-settings.draws // CHUNK)
    total = 2 * chunks + settings.studies
    y, groups = scores(len(ground.X)), ground.groups()

    def draw(X: np.ndarray, name: str, before: int) -> pd.DataFrame:
        return null_of_groups(
            X, y, groups, draws=settings.draws, seed=settings.seed, folder=folder / name, jobs=jobs,
            progress=lambda drawn: progress(before + -(-drawn // CHUNK), total),
        )  # fmt: skip

    nulls = draw(ground.raw, "label", 0), draw(ground.X, "residual", chunks)
    files = [folder / "studies" / f"{i:04d}.parquet" for i in range(settings.studies)]
    left = [i for i, file in enumerate(files) if not file.is_file()]
    work = (joblib.delayed(_stored_study)(folder, ground, *nulls, settings, i) for i in left)
    done = total - len(left)
    progress(done, total)
    for _ in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=None)(work):
        done += 1
        progress(done, total)
    results = pd.concat([pd.read_parquet(f) for f in files], ignore_index=True)
    seconds = pd.concat([pd.read_parquet(folder / "seconds" / f.name) for f in files], ignore_index=True)
    return results, seconds
