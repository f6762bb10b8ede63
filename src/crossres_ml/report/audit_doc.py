"""The worked gene of docs/audit.md, written from a published run and never by hand."""

from __future__ import annotations

from collections.abc import Callable

from crossres_ml.audit.claims import OUTCOMES
from crossres_ml.report.audit_run import OUTCOME_OF, OUTCOME_TITLES, said
from crossres_ml.report.audit_summary import ClaimVerdict
from crossres_ml.report.audit_tables import effect_text, p_text
from crossres_ml.report.summary import Summary
from crossres_ml.report.words import DASH, number

BEGIN, END = "<!-- worked gene: begin -->", "<!-- worked gene: end -->"
GENE, CLAIM = "RAD51", "C08"
"""The gene that the page follows, and the claim that is about it."""


def worked_gene(summary: Summary) -> str:
    """Write what a run found on the worked gene, step by step.

    Parameters
    ----------
    summary : Summary
        Of a run on real data.

    Returns
    -------
    str
        The block between the markers, markers included.
    """
    audit = summary.audit
    if audit is None or CLAIM not in audit.claims:
        return f"{BEGIN}\nThe published run holds no audit yet.\n{END}"
    own: dict[str, ClaimVerdict] = {str(o): v for o, v in audit.claims[CLAIM].items()}
    genes = {OUTCOME_OF[t]: g for t, g in summary.named_genes[GENE].items()}
    steps: dict[str, Callable[[str], str]] = {
        "1. rank among the features of the champion": lambda o: _rank(genes[o].rank, genes[o].of),
        "2. lines measured": lambda o: str(own[o].n),
        "2. effect, adjusted for tissue (95 %)": lambda o: effect_text(own[o]) or DASH,
        "2. effect that these lines would show": lambda o: number(own[o].mde),
        "3. q": lambda o: p_text(own[o].q),
        "4. calibrated p of its SHAP": lambda o: p_text(genes[o].p),
        "5. verdict": lambda o: said(own[o].model_dump()),
    }
    gate = "open" if audit.gate_open else "closed: nothing is concluded"
    return "\n".join(
        [
            BEGIN,
            f"Measured by {own['radiation'].measurement}; {audit.draws:,} permutations; the gate was {gate}.",
            "",
            f"| step | {' | '.join(OUTCOME_TITLES[o].lower() for o in OUTCOMES)} |",
            "|---|---|---|---|",
            *(f"| {step} | {' | '.join(tell(o) for o in OUTCOMES)} |" for step, tell in steps.items()),
            "",
            *(f"- {own[o].sentence}" for o in OUTCOMES),
            END,
        ]
    )


def _rank(rank: float | None, of: int | None) -> str:
    return DASH if rank is None else f"{rank:,.0f} of {of:,}"
