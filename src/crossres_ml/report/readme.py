"""The results block of the README, written from a saved run and never by hand."""

from __future__ import annotations

from crossres_ml.config import TASKS
from crossres_ml.report.summary import Interval, SplitMode, Summary

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_METRICS = {"auroc": "AUROC", "average_precision": "average precision", "spearman": "Spearman"}
_MODES: dict[SplitMode, str] = {"cell_line_out": "cell line out", "lineage_out": "lineage out"}


def _cell(interval: Interval, *, sign: bool = False) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "-"
    form = "+.2f" if sign else ".2f"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _skill_rows(summary: Summary) -> list[str]:
    rows = []
    for task in TASKS:
        section = summary.tasks[task]
        for mode in _MODES:
            if mode not in section.paired_difference:
                continue
            n = section.scored_lines[mode]
            share = section.models[section.champion][mode]["prevalence"].value
            for name in (section.paired_baseline[mode], section.champion):
                metrics = section.models[name][mode]
                cells = " | ".join(_cell(metrics[m]) for m in _METRICS)
                rows.append(f"| {task} | {_MODES[mode]} ({n}; {share:.2f}) | {name} | {cells} |")
            difference = section.paired_difference[mode]
            cells = " | ".join(_cell(difference[m], sign=True) for m in _METRICS)
            rows.append(f"| | | *difference, paired* | {cells} |")
    return rows


def _gene_rows(summary: Summary) -> list[str]:
    rows = []
    for gene, tasks in summary.named_genes.items():
        cells = [
            "-"
            if g.rank is None
            else f"{f'{g.rank:.0f} of {g.of}' if g.sign else 'not used'} ({g.measurement}, n = {g.n})"
            for g in (tasks[t] for t in TASKS)
        ]
        rows.append(f"| {gene} | {' | '.join(cells)} |")
    return rows


def results_block(summary: Summary) -> str:
    """Write the results as Markdown.

    Parameters
    ----------
    summary : Summary
        Of a run on real data.

    Returns
    -------
    str
        The block between the markers, markers included.

    Raises
    ------
    ValueError
        If the run was on simulated data: those numbers are no results.
    """
    data = summary.data
    if data.kind != "real":
        raise ValueError("a simulated study has no results to publish")
    lines = [
        BEGIN,
        f"{data.lines_radiation} lines with radiation, {data.lines_chemotherapy} with chemotherapy, "
        f"{data.lines_both} with both.",
        "Values are means over held-out sets with 95 % group-bootstrap intervals.",
        "",
        f"| task | held out (lines; share resistant) | model | {' | '.join(_METRICS.values())} |",
        "|---|---|---|---|---|---|",
        *_skill_rows(summary),
        "",
        "Rank of the genes that the review names, among all features of the best model, by mean |SHAP| on",
        "held-out lines. Raw ranks are description: a gene that only follows lineage can rank high.",
        "",
        f"| gene | {' | '.join(TASKS)} |",
        "|---|---|---|---|",
        *_gene_rows(summary),
        "",
        f"Configuration `{data.config_hash[:12]}`, data `{data.cohort_hash[:12]}`; the whole run is in "
        "[docs/results.json](docs/results.json).",
        END,
    ]
    return "\n".join(lines)
