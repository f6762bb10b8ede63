"""Model cards: what a model is for, how good it is, what it is made of, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossres_ml.models.registry import ABOUT
from crossres_ml.report.audit_run import OUTCOME_OF, SYMBOLS
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.audit_tables import effect_text, p_text
from crossres_ml.report.summary import DataSummary, Interval, TaskSummary
from crossres_ml.report.words import DASH, HAVE_NAMES, METRIC_NAMES, plain, shown

_SCORED = {
    "radiation": "area under the 9-day survival curve after 1-10 Gy (0 to 7)",
    "chemotherapy": "mean standardised AUC of 14 cytotoxic drugs, without platinum",
    "cross": "mean percentile rank of the radiation and the chemotherapy response",
}
LIMITS = """Research use only. Not for diagnosis or for choosing a treatment.

Cell lines have no stroma, no vessels, no immune system and no history of fractionated treatment; they grow
faster than tumours, and the lines that exist are those that would grow. The responses are viabilities
in a dish after days, not survival of patients. A gene that ranks high predicts in these lines; it need not
cause anything, in lines or in patients."""
_SURE = """The spread is the posterior standard deviation of the response of such a line, noise included,
in its unit. It is wide where a line is unlike the training lines, or little of it was measured."""
_NOT_SURE = "This kind of model has no spread: the column is empty."
_PROFILE = {"profile": "predicted drug profile", "genotoxic": "predicted profile of genotoxic drugs"}


@dataclass(frozen=True)
class Ingredients:
    """What a fitted model is made of.

    Attributes
    ----------
    parameters : mapping of str to object
        Read back from the fitted model.
    features : mapping of str to int
        Block -> features that it was offered.
    lines : int
        Training lines.
    spread : bool
        Whether it says how sure it is of a line.
    """

    parameters: Mapping[str, Any]
    features: Mapping[str, int]
    lines: int
    spread: bool


def _text(interval: Interval | None, *, sign: bool = False) -> str:
    return "" if interval is None else shown(interval, 3, sign=sign, missing="not defined")


def _skill(summary: TaskSummary) -> str:
    """Set the champion beside the best baseline, with their difference where that has a direction."""
    own, naive = (summary.models[m]["cell_line_out"] for m in (summary.champion, summary.best_baseline))
    difference = summary.paired_difference["cell_line_out"]
    rows = []
    for metric, name in {**METRIC_NAMES, "prevalence": "prevalence"}.items():
        if metric in own:
            both = f"{_text(own[metric])} | {_text(naive.get(metric))}"
            rows.append(f"| {name} | {both} | {_text(difference.get(metric), sign=True)} |")
    best = plain(summary.best_baseline)
    head = f"| metric | {plain(summary.champion)} | best baseline: {best} | difference |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def _far(summary: TaskSummary) -> str:
    """Say how good it is where whole lineages or a whole study are new."""
    modes = {"lineage_out": "a tissue that it never saw", "study_out": "another drug screen"}
    own = summary.models[summary.champion]
    said = [
        f"In {name}: Spearman {_text(own[mode]['spearman'])}, AUROC {_text(own[mode]['auroc'])}."
        for mode, name in modes.items()
        if mode in own
    ]
    return "".join(f"{text}\n" for text in said) + "\n" * bool(said)


def _have(summary: TaskSummary) -> str:
    """Write skill by what was measured as a table."""
    section = summary.what_you_have
    if section is None:
        return "Not measured in this run."
    anew = f"{plain(section.retrained_model)}, fitted anew on that alone" if section.retrained_model else ""
    columns = [f"{plain(section.model)}, the rest hidden", *([anew] if anew else [])]
    rows = []
    for variant, name in HAVE_NAMES.items():
        values = [section.hidden.get(variant), *([section.retrained.get(variant)] if anew else [])]
        if any(values):
            cells = " | ".join(_text(v["spearman"]) if v else "" for v in values)
            rows.append(f"| {name} | {cells} |")
    head = f"| measured | {' | '.join(columns)} |"
    return "\n".join(
        ["Spearman with the measured response:", "", head, "|---" * (len(columns) + 1) + "|", *rows]
    )


def _calibration(summary: TaskSummary) -> str:
    own = summary.models[summary.champion]["cell_line_out"]
    names = {
        "calibration_slope": "slope of the log odds (1 is best; lower: probabilities too extreme)",
        "top_fifth_resistant": "resistant among the fifth with the highest scores",
        "bottom_fifth_resistant": "resistant among the fifth with the lowest scores",
        "prevalence": "resistant among all",
    }
    return "\n".join(f"- {name}: {_text(own[metric])}" for metric, name in names.items() if metric in own)


def _made_of(name: str, ingredients: Ingredients) -> str:
    features = ", ".join(
        f"{_PROFILE.get(b, plain(b))} {n:,}" for b, n in sorted(ingredients.features.items())
    )
    known = [f"| {plain(k)} | {v} |" for k, v in sorted(ingredients.parameters.items()) if v is not None]
    table = ["", "| parameter | value |", "|---|---|", *known] if known else []
    return "\n".join([ABOUT[name], f"Features that it was offered: {features}.", *table])


def _claims(task: str, audit: AuditSummary | None, genes: Mapping[str, float | None]) -> str:
    """Count the verdicts on the claims for a task's outcome; name the supported ones and the named genes."""
    if audit is None:
        return ""
    own = {c: v for c, outcomes in audit.claims.items() for o, v in outcomes.items() if o == OUTCOME_OF[task]}
    words = [str(v.verdict) for v in own.values()]
    if not audit.gate_open:
        told = "Controls failed: nothing is concluded on any claim."
    else:
        told = ", ".join(f"{words.count(w)} {w}" for w in SYMBOLS if w in words)
        told = f"Of {len(words)} claims: {told}."
    supported = [
        f"- {c} {v.title}: {effect_text(v)} ({v.unit})" for c, v in own.items() if v.verdict == "supported"
    ]
    named = "; ".join(f"{g} {DASH if p is None else p_text(p)}" for g, p in genes.items())
    lines = [
        "## Claims",
        "",
        "The audit judges claims on associations, not this model.",
        told,
        *(["Supported:", "", *supported, ""] if supported else []),
        f"Calibrated p of the named genes: {named or DASH}.",
        "",
        "",
    ]
    return "\n".join(lines)


def model_card(
    task: str,
    summary: TaskSummary,
    data: DataSummary,
    ingredients: Ingredients,
    audit: AuditSummary | None = None,
    genes: Mapping[str, float | None] | None = None,
) -> str:
    """Write the card of a task's champion.

    Parameters
    ----------
    task : str
        Task.
    summary : TaskSummary
        Its skill.
    data : DataSummary
        What was learned from.
    ingredients : Ingredients
        What the fitted model is made of.
    audit : AuditSummary, optional
        Verdicts on the claims, where they were audited.
    genes : mapping of str to float, optional
        Named gene -> calibrated p in this task; None where there is none.

    Returns
    -------
    str
        Markdown.
    """
    name = summary.champion
    simulated = "**SIMULATED: trained on a simulated study; says nothing about biology.**\n\n"
    return f"""# Resistance to {"both modalities" if task == "cross" else task}: {plain(name)}

{simulated if data.kind == "simulated" else ""}## What it gives

A score (higher = more resistant), the expected response
({_SCORED[task]}),
and the probability that a line is among the resistant ones
(prevalence {summary.prevalence:.2f} among the lines scored).
{_SURE if ingredients.spread else _NOT_SURE}

## Skill on held-out cell lines

Mean over held-out sets, 95 % interval from drawing groups of related lines.

{_skill(summary)}

{_far(summary)}## Calibration on held-out cell lines

{_calibration(summary)}

## What to expect with what you have

{_have(summary)}

{_claims(task, audit, genes or {})}## What it is made of

{_made_of(name, ingredients)}

## Data

{ingredients.lines} training lines, of {data.lines}: {data.lines_radiation} with radiation,
{data.lines_chemotherapy} with chemotherapy, {data.lines_both} with both.
The hashes of every file are in `bundle.json`.

## Limits

{LIMITS}
"""
