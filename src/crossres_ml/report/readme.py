"""The results block of the README, written from a saved run and never by hand."""

from __future__ import annotations

from crossres_ml.audit.claims import OUTCOMES
from crossres_ml.audit.evidence import PARTIAL_R
from crossres_ml.audit.words import probability
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.report.audit_run import BORDERLINE, NOT_CLAIMED, SYMBOLS, said, short_unit
from crossres_ml.report.audit_summary import ClaimVerdict
from crossres_ml.report.audit_tables import effect_text
from crossres_ml.report.summary import Interval, Metrics, NamedGene, SplitMode, Summary, TaskSummary
from crossres_ml.report.words import DASH, HAVE_NAMES, number, plain, shown

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_METRICS = {"auroc": "AUROC", "spearman": "Spearman", "r2": "R2", "average_precision": "average precision"}
_MODES: dict[SplitMode, str] = {
    "cell_line_out": "cell line out",
    "lineage_out": "lineage out",
    "study_out": "study out",
}
RECORD: dict[TaskName, tuple[float, float]] = {
    "radiation": (0.244, 0.246),
    "chemotherapy": (0.369, 0.465),
    "cross": (0.394, 0.288),
}
"""Spearman of drevalpy 1.6.0, the field's benchmark package, on the same lines and genes, held out in the
same way, with its own grids: RandomForest, ElasticNet. Measured by the project."""
SIGNATURES = "0.01 (-0.05 to 0.09)"
"""R2 of published radiation signatures, re-fitted and held out (O'Connor et al. 2022, RadSigBench)."""


def _cell(values: Metrics, metric: str, *, sign: bool = False) -> str:
    found = values.get(metric)
    text = DASH if found is None else shown(found, sign=sign)
    if metric == "average_precision" and "prevalence" in values and found is not None:
        text += f"; {number(values['prevalence'].value)}"
    return text


def _skill_rows(section: TaskSummary, task: TaskName) -> list[str]:
    rows = []
    for mode, name in _MODES.items():
        if mode not in section.paired_difference:
            continue
        held_out = f"{task} | {name} ({section.scored_lines[mode]})"
        for model, role in ((section.paired_baseline[mode], ""), (section.champion, " (champion)")):
            cells = " | ".join(_cell(section.models[model][mode], m) for m in _METRICS)
            rows.append(f"| {held_out} | {plain(model)}{role} | {cells} |")
        difference = section.paired_difference[mode]
        cells = " | ".join(_cell(difference, m, sign=True) for m in _METRICS)
        rows.append(f"| | | *difference, paired* | {cells} |")
    return rows


def _skill(summary: Summary) -> list[str]:
    return [
        "Values are means over held-out sets with 95 % group-bootstrap intervals; beside average precision",
        "stands the prevalence, its value without any skill. Each champion, chosen by the inner folds, is",
        "under the best naive baseline. Lineage out compares lines inside a tissue that the model never saw.",
        "",
        f"| task | held out (lines) | model | {' | '.join(_METRICS.values())} |",
        "|---|---|---|---|---|---|---|",
        *(row for task in TASKS for row in _skill_rows(summary.tasks[task], task)),
        "",
    ]


def _have_rows(summary: Summary) -> list[str]:
    rows = []
    for variant, name in HAVE_NAMES.items():
        cells = []
        for task in TASKS:
            section = summary.tasks[task].what_you_have
            kinds = (section.hidden, section.retrained) if section else ()
            values = [shown(k[variant]["spearman"]) if variant in k else DASH for k in kinds]
            values = values if section and section.retrained else values[:1]
            cells.append(" / ".join(values) or DASH)
        if any(set(c) - set(f"{DASH} /") for c in cells):
            rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _have(summary: Summary) -> list[str]:
    """Say what a user can expect with what they have; nothing where the run did not measure it."""
    rows = _have_rows(summary)
    if not rows:
        return []
    found = {t: h for t in TASKS if (h := summary.tasks[t].what_you_have)}
    models = ", ".join(f"{t}: {plain(h.model)}" for t, h in found.items())
    again = sorted({plain(h.retrained_model) for h in found.values() if h.retrained_model})
    anew = f"; after the stroke, {' or '.join(again)} fitted anew on that alone" if again else ""
    return [
        "What to expect with what you have: Spearman on the same held-out cell lines, with everything else",
        f"hidden from a model that had learned from all of it ({models}){anew}.",
        "",
        f"| measured | {' | '.join(TASKS)} |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _record(summary: Summary) -> list[str]:
    """Set the champions beside the earlier record, measured as that was: all held-out lines together."""
    rows = []
    for task in TASKS:
        section = summary.tasks[task]
        own = section.pooled.get(section.champion)
        if own:
            forest, net = RECORD[task]
            values = " | ".join(number(own.get(m), 3) for m in ("spearman", "auroc", "r2"))
            rows.append(f"| {task} | {forest:.3f} | {net:.3f} | {plain(section.champion)} | {values} |")
    if not rows:
        return []
    return [
        "Beside the earlier record, measured as that was: all held-out cell lines of a repeat ranked",
        "together. RandomForest and ElasticNet are those of drevalpy 1.6.0, the field's benchmark package,",
        "with its own grids, on the same lines and genes.",
        "",
        "| task | RandomForest, Spearman | ElasticNet, Spearman | champion | Spearman | AUROC | R2 |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Published radiation signatures, re-fitted and held out (O'Connor et al. 2022, RadSigBench), explain",
        f"R2 = {SIGNATURES} of the radiation response.",
        "",
    ]


def _both(summary: Summary) -> list[str]:
    found = summary.both
    if found is None or "cell_line_out" not in found.order:
        return []
    first, second = found.order["cell_line_out"][:2]
    lead = found.lead["cell_line_out"]["spearman"]
    models = summary.tasks["cross"].models

    def value(model: str) -> Interval:
        return models[model]["cell_line_out"]["spearman"]

    others = ", ".join(f"{plain(m)} {number(value(m).value)}" for m in found.order["cell_line_out"])
    return [
        f'"Both", predicted directly, from two models, or by a joint one (Spearman): {others}.',
        f"{plain(first)} minus {plain(second)}: {shown(lead, sign=True)}.",
        "",
    ]


def _gene_rows(summary: Summary) -> list[str]:
    rows = []
    for gene, tasks in summary.named_genes.items():
        cells = [_gene_cell(tasks[t]) for t in TASKS]
        rows.append(f"| {gene} | {' | '.join(cells)} |")
    return rows


def _gene_cell(gene: NamedGene) -> str:
    if gene.rank is None:
        text = "-"
    else:
        place = f"{gene.rank:.0f} of {gene.of}" if gene.sign else "not used"
        text = f"{place} ({gene.measurement}, n = {gene.n})"
    return text if gene.p is None else f"{text}; p {probability(gene.p)}"


def _claims(summary: Summary) -> list[str]:
    """Write the verdicts on the claims as a compact table; nothing where they were not audited."""
    audit = summary.audit
    if audit is None:
        return []
    rows = []
    for claim, outcomes in audit.claims.items():
        own = [outcomes.get(o) for o in OUTCOMES]
        title = next(v.title for v in outcomes.values())
        unit = short_unit(next(v.unit for v in outcomes.values()))
        about = f"{claim} {title}" + f" ({unit})" * (unit != PARTIAL_R)
        rows.append(f"| {about} | {' | '.join(_claim_cell(v) for v in own)} |")
    gate = (
        "The controls passed."
        if audit.gate_open
        else f"**Controls failed, so nothing is concluded**: {'; '.join(audit.gate_reasons)}."
    )
    return [
        f"Behind the ranks, p: how often the gene weighs as much on permuted responses ({audit.draws:,}",
        "draws, adjusted for tissue).",
        "",
        "What the audit of the claims found, with the effect in the claimed direction (partial",
        "r adjusted for tissue, if not said otherwise) and its 95 % interval; both: the weaker one.",
        f"{gate} How it works: [docs/audit.md](docs/audit.md).",
        "",
        "| claim | radiation | chemotherapy | both |",
        "|---|---|---|---|",
        *rows,
        "",
        f"\\{BORDERLINE} borderline: other random draws may decide otherwise.",
        f"{NOT_CLAIMED} the review does not claim this outcome.",
        "",
    ]


def _claim_cell(verdict: ClaimVerdict | None) -> str:
    if verdict is None:
        return ""
    word = f"{SYMBOLS[verdict.verdict]} {said(verdict.model_dump())}".replace(BORDERLINE, f"\\{BORDERLINE}")
    return f"{word} {effect_text(verdict)}".strip()


def results_block(summary: Summary) -> str:
    """Write the results as Markdown.

    Parameters
    ----------
    summary : Summary
        Of a run on real data, of any version that can be read: a table whose numbers it lacks is
        left out.

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
        "",
        *_skill(summary),
        *_have(summary),
        *_both(summary),
        *_record(summary),
        "Rank of the genes that the review names, among all features of the best model, by mean |SHAP| on",
        "held-out lines. Raw ranks are description: a gene that only follows lineage can rank high.",
        "",
        f"| gene | {' | '.join(TASKS)} |",
        "|---|---|---|---|",
        *_gene_rows(summary),
        "",
        *_claims(summary),
        f"Configuration `{data.config_hash[:12]}`, data `{data.cohort_hash[:12]}`; the whole run is in "
        "[docs/results.json](docs/results.json).",
        END,
    ]
    return "\n".join(lines)
