"""Rows of the tables on the claims, and the sentences on the named genes, read from a saved audit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from crossres_ml.audit.claims import OUTCOMES
from crossres_ml.audit.verdicts import LEVEL
from crossres_ml.audit.words import probability
from crossres_ml.report.audit_run import OUTCOME_TITLES, SYMBOLS, AuditRun, said, short_unit
from crossres_ml.report.audit_summary import AuditSummary, ClaimVerdict
from crossres_ml.report.words import listed, number, rank

Row = dict[str, Any]
_NAMED = ("supported", "contradicted", "lost after adjustment")
"""Verdicts that say something was seen: the claims that have one are named."""
CANNOT_TELL = (
    "Cell lines are not tumours: no stroma, no vessels, no immune system, no fractionated treatment, and "
    "no patient's course.",
    "An association is not a cause. Adjustment takes out tissue, general drug sensitivity and growth, and"
    " nothing that was not measured.",
    "RNA was measured in about 200 of the irradiated lines only: RAD51, ERCC1 and BIRC5 rest on these. "
    "What they would have shown is in the figure on power.",
    "Underpowered is no verdict against a claim: an effect of the size of interest is neither shown nor "
    "excluded.",
    "Where nothing measures a claim itself, something near it stands in (said in its sentence), or "
    "nothing does; what happens under treatment cannot be read from untreated cells.",
)


def effect_text(verdict: ClaimVerdict) -> str:
    """Write the effect with its interval, or nothing where there is none."""
    if verdict.effect is None or verdict.verdict == "not measurable":
        return ""
    if verdict.low is None or verdict.high is None:
        return number(verdict.effect, sign=True)
    low, high = (number(v, sign=True) for v in (verdict.low, verdict.high))
    return f"{number(verdict.effect, sign=True)} ({low} to {high})"


def p_text(value: float | None) -> str:
    """Write a p-value, or that it is not known."""
    return probability(math.nan if value is None else value)


def outcomes_of(summary: AuditSummary) -> list[str]:
    """Name the outcomes that any claim was held against, in order."""
    there = {o for outcomes in summary.claims.values() for o in outcomes}
    return [o for o in (*OUTCOMES, "platinum") if o in there]


def claim_rows(summary: AuditSummary) -> list[Row]:
    """Give one row a claim: its title, unit, and a cell an outcome."""
    rows = []
    for claim, outcomes in summary.claims.items():
        first = next(iter(outcomes.values()))
        cells = [_cell(outcomes.get(o)) for o in outcomes_of(summary)]  # type: ignore[call-overload]
        sentences = [v.sentence for v in outcomes.values()]
        rows.append(
            {"id": claim, "title": first.title, "unit": short_unit(first.unit), "cells": cells,
             "sentences": sentences}
        )  # fmt: skip
    return rows


def _cell(verdict: ClaimVerdict | None) -> Row | None:
    if verdict is None:
        return None
    shown = effect_text(verdict)
    return {
        "word": verdict.verdict,
        "symbol": SYMBOLS[verdict.verdict],
        "said": said(verdict.model_dump()),
        "effect": shown,
        "q": p_text(verdict.q) if shown else "",
        "measurement": verdict.measurement,
        "n": verdict.n,
        "planted": verdict.planted,
    }


def counts(summary: AuditSummary) -> dict[str, dict[str, int]]:
    """Count the verdicts: outcome -> verdict -> claims, in the order of `SYMBOLS`."""
    out: dict[str, dict[str, int]] = {}
    for o in OUTCOMES:
        words = [str(c[o].verdict) for c in summary.claims.values() if o in c]
        out[o] = {w: words.count(w) for w in SYMBOLS if w in words}
    return out


def answer_in_words(summary: AuditSummary) -> str:
    """Say in a sentence what became of the claims about resistance to both."""
    if not summary.gate_open:
        return "The controls failed, so nothing is concluded on any claim."
    own = {f"{c} {o['both'].title}": str(o["both"].verdict) for c, o in summary.claims.items() if "both" in o}
    told = [
        f"{listed([c for c, v in own.items() if v == word])} {word}"
        for word in _NAMED
        if word in own.values()
    ]
    rest = [f"{list(own.values()).count(w)} {w}" for w in SYMBOLS if w in own.values() and w not in _NAMED]
    return f"Of {len(own)} claims about resistance to both: {'; '.join(told + rest)}."


def counts_in_words(summary: AuditSummary) -> list[str]:
    """Say for each outcome how many claims got which verdict."""
    out = []
    for outcome, found in counts(summary).items():
        parts = listed([f"{n} {w}" for w, n in found.items()]) if found else "no claim"
        out.append(f"{OUTCOME_TITLES[outcome]}: {parts}.")
    return out


def gene_rows(run: AuditRun) -> list[Row]:
    """Give the rows of the named genes, as they were saved."""
    rows: list[Row] = []
    lines = measured_lines(run)
    for r in run.csv("named_genes.csv").to_dict("records"):
        seen = pd.notna(r["champion_rank"])
        champion = f"{rank(r['champion_rank'])} of {r['champion_of']:,.0f}" if seen else ""
        rows.append(
            {"gene": r["gene"], "outcome": OUTCOME_TITLES[r["outcome"]], "measurement": r["measurement"],
             "n": lines.get((r["measurement"], r["outcome"]), ""),
             "with": int(r["members"]) - 1, "q": p_text(r["q"]),
             "p": f"{p_text(r['p'])} \u00b1 {r['p_error']:.2f}",
             "linear_p": p_text(r["linear_group_p"]), "champion": champion}
        )  # fmt: skip
    return rows


def measured_lines(run: AuditRun) -> dict[tuple[str, str], int]:
    """Count the lines that a named gene's feature was measured in; for both, the smaller of the two."""
    table = run.parquet("swarm.parquet")
    named = table[table.gene.ne("") & table.value.ne(0)]  # what was not measured is zero after adjustment
    found = {(str(f), str(o)): len(p) for (f, o), p in named.groupby(["feature", "outcome"])}
    both = named.groupby(["feature", "outcome"]).size().groupby("feature").min()
    return found | {(str(f), "both"): int(n) for f, n in both.items()}


def gene_sentences(run: AuditRun, genes: Iterable[str]) -> list[tuple[str, str]]:
    """Say in a line for each named gene what calibrated SHAP shows.

    Parameters
    ----------
    run : AuditRun
        The audit.
    genes : iterable of str
        Genes that are always shown.

    Returns
    -------
    list of tuple of str
        Gene and sentence.
    """
    table = run.csv("named_genes.csv")
    closed = "" if run.summary.gate_open else " Controls failed: nothing is concluded."
    out = []
    for gene in genes:
        own = table[table.gene == gene].to_dict("records") if len(table) else []
        if not own:
            out.append((gene, "not measured in enough lines to be calibrated."))
            continue
        told = ", ".join(f"{OUTCOME_TITLES[r['outcome']].lower()} {p_text(r['p'])}" for r in own)
        names = [OUTCOME_TITLES[r["outcome"]].lower() for r in own if r["q"] < LEVEL]
        driver = f"a driver of {listed(names)}" if names else "not a driver"
        verdict = closed or f" {driver[0].upper()}{driver[1:]} by calibrated SHAP."
        out.append((gene, f"calibrated p {told} ({own[0]['measurement']}).{verdict}"))
    return out


def control_rows(run: AuditRun) -> list[Row]:
    """Give one row a known association and screen, then those that must show nothing."""
    rows = []
    for r in run.csv("controls.csv").to_dict("records"):
        told = isinstance(r["reason"], str) and bool(r["reason"])
        good = None if told else bool(r["recovered"])
        word = f"not run: {r['reason']}" if told else "recovered" if good else "not recovered"
        ranks = "" if told else f"{rank(r['rank_association'])} / {rank(r['rank_shap'])} of {r['of']:,.0f}"
        rows.append({"label": r["label"], "where": r["drug"], "gate": bool(r["gate"]), "good": good,
                     "word": word, "ranks": ranks, **_numbers(r, told=told)})  # fmt: skip
    for r in run.csv("null_controls.csv").to_dict("records"):
        told = pd.isna(r["quiet"])
        good = None if told else bool(r["quiet"])
        word = "not run: too few lines" if told else "quiet" if good else "not quiet"
        rows.append({"label": f"must show nothing: {r['label']}", "where": r["outcome"], "gate": True,
                     "good": good, "word": word, "ranks": "", **_numbers(r, told=told)})  # fmt: skip
    return rows


def _numbers(row: Mapping[Any, Any], *, told: bool) -> Row:
    if told:
        return {"effect": "", "p": "", "n": ""}
    effect, low, high = (number(float(row[k]), sign=True) for k in ("effect", "low", "high"))
    return {"effect": f"{effect} ({low} to {high})", "p": p_text(float(row["p"])), "n": f"{row['n']:.0f}"}


def negative_rows(run: AuditRun) -> list[Row]:
    """Give the rates of false positives where nothing is there."""
    return [
        {str(k): v if isinstance(v, str) else f"{v:.3f}" for k, v in r.items()}
        for r in run.csv("negative_controls.csv").to_dict("records")
    ]
