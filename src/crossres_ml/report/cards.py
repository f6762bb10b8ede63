"""Model cards: what a model is for, how good it is, and what it cannot tell."""

from __future__ import annotations

from crossres_ml.report.summary import DataSummary, Interval, TaskSummary

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


def _text(interval: Interval) -> str:
    if interval.value is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def model_card(task: str, summary: TaskSummary, data: DataSummary) -> str:
    """Write the card of a task's champion.

    Parameters
    ----------
    task : str
        Task.
    summary : TaskSummary
        Its skill.
    data : DataSummary
        What was learned from.

    Returns
    -------
    str
        Markdown.
    """
    name = summary.champion
    simulated = (
        "**SIMULATED: trained on a simulated study; says nothing about biology.**\n\n"
        if data.kind == "simulated"
        else ""
    )
    own, naive = (summary.models[m]["cell_line_out"] for m in (name, summary.best_baseline))
    rows = [
        f"| {metric} | {_text(own[metric])} | {_text(naive[metric])} | {_text(difference)} |"
        for metric, difference in summary.paired_difference["cell_line_out"].items()
    ]
    return f"""# Resistance to {"both modalities" if task == "cross" else task}: {name}

{simulated}## What it gives

A score (higher = more resistant: {_SCORED[task]}) and the probability that a line is among the resistant
ones (prevalence {summary.prevalence:.2f} among the lines scored).

## Skill on held-out cell lines

Mean over held-out sets, 95 % interval from drawing groups of related lines.

| metric | {name} | best baseline: {summary.best_baseline} | difference |
|---|---|---|---|
{chr(10).join(rows)}

## Data

{data.lines} lines, {data.lines_radiation} with radiation, {data.lines_chemotherapy} with chemotherapy,
{data.lines_both} with both. The hashes of every file are in `bundle.json`.

## Limits

{LIMITS}
"""
