"""Published signatures on trial: held-out lines, random sets of genes, and our models beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crossres_ml.audit.association import benjamini_hochberg
from crossres_ml.cohort.cohort import Cohort
from crossres_ml.errors import CohortError, preview
from crossres_ml.evaluation.draws import draw_metrics, interval, line_weights
from crossres_ml.scan.signature_folds import (
    WAYS,
    FoldResult,
    Measured,
    Split,
    folds_of,
    measure_signatures,
    random_sets,
    run_fold,
)
from crossres_ml.scan.signature_lists import RULES, Signature
from crossres_ml.scan.signature_models import Pool

OURS = "our model"
_METRICS = ("spearman", "r2")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """What `try_signatures` found.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a signature and way, and one a model of ours and set of lines: name, kind, way, rule,
        expected, listed, asked, found, lines, lineages, line_set; spearman and r2 with _low and _high; of
        random sets: random_spearman, random_r2 (medians), percentile, p, q; r2_percentile; against (the best
        of our models) and spearman_difference, r2_difference with _low, _high (signature minus ours: above 0
        the signature is better); note.
    predictions : pandas.DataFrame
        name, way, repeat, fold, model_id, response, score, expected.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame


def try_signatures(
    cohort: Cohort,
    splits: pd.DataFrame,
    signatures: Sequence[Signature],
    hgnc: pd.DataFrame | None = None,
    *,
    ours: pd.DataFrame | None = None,
    best: str | None = None,
    sets: int = 500,
    draws: int = 1000,
    seed: int = 0,
    jobs: int = 2,
    progress: Progress = lambda done, total: None,
) -> Trial:
    """Put signatures of radiation response on trial.

    Every fold learns from its training lines only: means and spreads of genes, the line that brings a
    published score to the unit of the response, and ridge with its penalty. Random sets go through
    the same steps with as many genes, equally well measured.

    Parameters
    ----------
    cohort : Cohort
        The cohort; its block ``rna`` is used.
    splits : pandas.DataFrame
        Checked split table; ``cell_line_out`` is used.
    signatures : sequence of Signature
        The lists.
    hgnc : pandas.DataFrame, optional
        Names of genes.
    ours : pandas.DataFrame, optional
        Held-out predictions of a training run on the same splits.
    best : str, optional
        Which of our models signatures are compared with; it must be among ``ours``.
    sets : int, default 500
        Random sets of genes for each signature.
    draws : int, default 1000
        Draws of whole groups of relatives behind the intervals.
    seed : int, default 0
        Seed of sets and draws.
    jobs : int, default 2
        Parallel processes; the results do not depend on it.
    progress : callable, optional
        Called with folds done and in total.

    Returns
    -------
    Trial
        Signatures that cannot be scored have a row that says why.

    Raises
    ------
    CohortError
        If ``ours`` was made on other folds or other responses.
    """
    known = cohort.responses.radiation.dropna()
    rna = cohort.blocks["rna"].loc[known.index]
    measured = measure_signatures(signatures, rna, hgnc)
    line_sets: dict[bytes, list[Measured]] = {}
    for one in measured:
        if not one.why_not:
            line_sets.setdefault(one.lines.tobytes(), []).append(one)
    folds = [folds_of(splits, known.index[chosen[0].lines]) for chosen in line_sets.values()]
    total = sum(map(len, folds))
    done = 0
    progress(done, total)
    tables, predictions = [], []
    for number, (chosen, own_folds) in enumerate(zip(line_sets.values(), folds, strict=True), 1):
        lines = chosen[0].lines
        ids = known.index[lines]
        beside = _ours(ours, _held_out(own_folds, ids), known) if ours is not None else None
        work = _fold_work(
            own_folds, rna.to_numpy(dtype=float)[lines], known[ids].to_numpy(), chosen, sets, seed
        )
        results: list[FoldResult] = []
        for result in joblib.Parallel(n_jobs=jobs, return_as="generator", max_nbytes=None)(work):
            results.append(result)
            done += 1
            progress(done, total)
        made = _predictions(own_folds, results, [m.signature.name for m in chosen], known[ids])
        scored = _scored(made, beside, cohort, best, draws=draws, seed=seed)
        sizes = np.array([test.sum() for _, _, _, test in own_folds], dtype=float)
        about = {"lines": len(ids), "lineages": cohort.lines.lineage[ids].nunique(), "line_set": number}
        for at, one in enumerate(chosen):
            tables += [about | r for r in _rows(one, [r[at] for r in results], sizes, scored)]
        tables += [about | r for r in _our_rows(scored)]
        predictions.append(made)
    tables += [_absent(m) for m in measured if m.why_not]
    return Trial(
        _finished(pd.DataFrame(tables)),
        pd.concat(predictions, ignore_index=True) if predictions else pd.DataFrame(),
    )


def _fold_work(
    folds: Sequence[Split],
    values: np.ndarray,
    y: np.ndarray,
    chosen: Sequence[Measured],
    sets: int,
    seed: int,
) -> Iterator[Any]:
    """Give the folds of one set of lines to workers; all folds have the same random sets."""
    pool = Pool.of(values)
    drawn = []
    for one in chosen:
        name = int.from_bytes(hashlib.sha256(one.signature.name.encode()).digest()[:4], "big")
        drawn.append((one, random_sets(pool, one.genes, sets, np.random.default_rng([seed, 0x516, name]))))
    return (joblib.delayed(run_fold)(fold, values, y, drawn) for fold in folds)


def _predictions(
    folds: Sequence[Split], results: Sequence[FoldResult], names: Sequence[str], known: pd.Series
) -> pd.DataFrame:
    parts = []
    for (repeat, fold, _, test), found in zip(folds, results, strict=True):
        base = known[test].rename("response").rename_axis("model_id").reset_index()
        for name, result in zip(names, found, strict=True):
            for way, said in WAYS.items():
                made = base.assign(score=result[f"score_{way}"], expected=result[f"expected_{way}"])
                parts.append(made.assign(name=name, way=said, repeat=repeat, fold=fold))
    return pd.concat(parts, ignore_index=True)


def _held_out(folds: Sequence[Split], ids: pd.Index) -> pd.DataFrame:
    """Which line is held out when."""
    parts = [pd.DataFrame({"repeat": r, "fold": f, "model_id": ids[test]}) for r, f, _, test in folds]
    return pd.concat(parts, ignore_index=True)


def _ours(ours: pd.DataFrame, held_out: pd.DataFrame, known: pd.Series) -> pd.DataFrame:
    """Predictions of our models for the same lines of the same held-out sets."""
    rows = ours[(ours.task == "radiation") & (ours["mode"] == "cell_line_out") & (ours.variant == "full")]
    rows = rows[rows.model_id.isin(held_out.model_id)].assign(fold=rows.fold.astype(str))
    keys = ["repeat", "fold", "model_id"]
    wanted = pd.MultiIndex.from_frame(held_out[keys])
    problems = []
    for model, part in rows.groupby("model"):
        if len(wanted.symmetric_difference(pd.MultiIndex.from_frame(part[keys]))):
            problems.append(f"{model} was held out on other folds")
    if len(rows) and not np.allclose(rows.response, known[rows.model_id].to_numpy()):
        problems.append("other responses")
    if problems or rows.empty:
        raise CohortError(
            preview(problems) or "there are no predictions of radiation for these lines",
            where="results to compare with",
            do="train on the same data and configuration, or name other results with --results",
        )
    return rows[[*keys, "model", "response", "score", "expected"]]


@dataclass(frozen=True, eq=False)
class Scored:
    """Skill of everything on one set of lines: on the data, then on every draw."""

    values: dict[tuple[str, str], np.ndarray]
    models: list[str]
    best: str | None


def _scored(
    made: pd.DataFrame,
    beside: pd.DataFrame | None,
    cohort: Cohort,
    best: str | None,
    *,
    draws: int,
    seed: int,
) -> Scored:
    """Measure signatures and our models on the same lines under the same draws: differences are paired."""
    rows = made.assign(model=made.name + "|" + made.way).drop(columns=["name", "way"])
    models: list[str] = []
    if beside is not None:
        models = sorted(beside.model.unique())
        rows = pd.concat([rows, beside.assign(model="|" + beside.model)], ignore_index=True)
    rows = rows.join(cohort.lines[["lineage", "group"]], on="model_id")
    rows = rows.assign(probability=0.5, label=0.0, top_third=0.0, residual=np.nan)
    with threadpool_limits(1):
        values = draw_metrics(rows, line_weights(rows, draws, seed), _METRICS)
    if models and best not in models:
        best = max(models, key=lambda m: values[f"|{m}", "spearman"][0])
    return Scored(values, models, best if models else None)


def _skill(scored: Scored, key: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for metric in _METRICS:
        own = interval(scored.values[key, metric])
        out |= {metric: own["value"], f"{metric}_low": own["low"], f"{metric}_high": own["high"]}
        if scored.best is not None and key != f"|{scored.best}":
            gap = interval(scored.values[key, metric] - scored.values[f"|{scored.best}", metric])
            out |= {f"{metric}_difference": gap["value"]}
            out |= {f"{metric}_difference_{end}": gap[end] for end in ("low", "high")}
    return out | {"against": scored.best if scored.best and key != f"|{scored.best}" else ""}


def _rows(
    own: Measured, results: Sequence[dict[str, np.ndarray]], sizes: np.ndarray, scored: Scored
) -> list[dict[str, Any]]:
    """Two rows of a signature: as published, and re-fitted; means over folds count lines."""
    out = []
    for way, said in WAYS.items():
        row = _about(own) | {"way": said, "note": own.signature.note}
        row |= _skill(scored, f"{own.signature.name}|{said}")
        rho, r2 = (np.average([r[f"{m}_{way}"] for r in results], axis=0, weights=sizes) for m in _METRICS)
        # nobody said which way this score goes, so how far it goes either way is what counts
        signed = way == "refitted" or own.signature.expected != 0
        row |= _against_random(rho if signed else np.abs(rho), "percentile", p=True)
        row |= _against_random(r2, "r2_percentile")
        row |= {"random_spearman": np.median(rho[1:]) if len(rho) > 1 else np.nan}
        row |= {"random_r2": np.median(r2[1:]) if len(r2) > 1 else np.nan, "random_sets": len(rho) - 1}
        out.append(row)
    return out


def _against_random(values: np.ndarray, name: str, *, p: bool = False) -> dict[str, float]:
    """Where the first value stands among the others: share below it, ties count half."""
    own, others = values[0], values[1:]
    if not len(others):
        return {name: np.nan} | ({"p": np.nan} if p else {})
    below = 100 * float(np.mean(others < own) + np.mean(others == own) / 2)
    return {name: below} | ({"p": float((1 + (others >= own).sum()) / (1 + len(others)))} if p else {})


def _about(own: Measured) -> dict[str, Any]:
    s = own.signature
    return {
        "name": s.name, "kind": s.kind, "rule": RULES[s.rule], "expected": s.expected,
        "listed": ", ".join(s.listed), "asked": len(s.weights), "found": len(own.genes),
    }  # fmt: skip


def _absent(own: Measured) -> dict[str, Any]:
    note = "; ".join(n for n in (f"not scored: {own.why_not}", own.signature.note) if n)
    return _about(own) | {"way": "", "lines": int(own.lines.sum()), "note": note}


def _our_rows(scored: Scored) -> list[dict[str, Any]]:
    note = "learned from all training lines and all blocks, not only from lines and genes of a signature"
    return [
        {"name": m, "kind": "", "way": OURS, "note": note} | _skill(scored, f"|{m}") for m in scored.models
    ]


COLUMNS = (
    "name", "kind", "way", "rule", "expected", "listed", "asked", "found", "lines", "lineages", "line_set",
    "spearman", "spearman_low", "spearman_high", "r2", "r2_low", "r2_high", "random_sets", "random_spearman",
    "random_r2", "percentile", "p", "q", "r2_percentile", "against", "spearman_difference",
    "spearman_difference_low", "spearman_difference_high", "r2_difference", "r2_difference_low",
    "r2_difference_high", "note",
)  # fmt: skip
_TEXT = ("name", "kind", "way", "rule", "listed", "against", "note")


def _finished(table: pd.DataFrame) -> pd.DataFrame:
    out = table.reindex(columns=list(COLUMNS))
    numbers = {c: "float64" for c in COLUMNS if c not in _TEXT}
    out = out.astype(numbers).astype(dict.fromkeys(_TEXT, "str"))
    out["q"] = benjamini_hochberg(out.p.to_numpy())
    return out.fillna(dict.fromkeys(_TEXT, ""))
