"""The section on the claims: what it shows, and a page of its own where an audit stands alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from crossres_ml.artifacts import atomic
from crossres_ml.audit.verdicts import MEANING
from crossres_ml.report import audit_tables as tables
from crossres_ml.report.audit_run import OUTCOME_TITLES, SYMBOLS, AuditRun
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.figures import AUDIT_FIGURES, draw_audit
from crossres_ml.report.words import listed, number, plain, rank, shown, verdict

TEMPLATES = Path(__file__).parent / "templates"
AUDIT_CAPTIONS = {
    "claims": "Effect of what decides each claim, adjusted for tissue and positive as claimed, with 95 % "
    "intervals; sign and words give the verdict. Dotted: no effect, and the smallest effect of interest. "
    "Below, claims whose effect has another unit.",
    "nulls": "How much each named gene, with the features that correlate with it, weighs in the trees: on"
    " the real responses (line) and on responses permuted after adjustment for tissue (grey). p is the "
    "share of grey at or beyond the line.",
    "swarm": "SHAP values line by line, of the trees behind the calibrated p-values: features and "
    "responses are adjusted for tissue, so this is not the champion. The first features, and below them "
    "the named genes with their ranks. A point is a cell line, coloured by its value of the feature.",
    "controls": "Known associations on the path that claims take (top), and how often nothing was called "
    "something (bottom; dotted: the nominal 5 %, solid: the limit). A control that gates must be "
    "recovered in one of its screens; those reported only close nothing.",
    "power": "Lines behind the measurement that decides each claim, and the effect that they show with 80"
    " % power. Above the dotted line, an effect of the size of interest may be there and not be seen.",
    "heterogeneity": "Correlation of what decides each claim with the response inside each tissue, with "
    "the pooled effect and I2, the share of the spread between tissues that is not chance. p tests "
    "whether there is any; bold where it is below .05.",
}
AUDIT_SOURCES = {
    "claims": "audit.csv", "nulls": "nulls.parquet", "swarm": "swarm.parquet", "controls": "controls.csv",
    "power": "evidence.csv", "heterogeneity": "lineages.csv",
}  # fmt: skip


def environment() -> Environment:
    """Give what renders the templates: text is escaped, and what is missing raises."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"rank": rank, "plain": plain, "number": number, "shown": shown}
    made.globals["verdict"] = verdict
    return made


def css() -> Markup:
    """Give the style of the pages."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def embedded(
    folder: Path,
    names: Iterable[str],
    captions: Mapping[str, str],
    alts: Mapping[str, str],
    sources: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, dict[str, Any]]:
    """Give the figures that were drawn, as text; one that had nothing to show is not there.

    Parameters
    ----------
    folder : Path
        Folder with the PNG files.
    names : iterable of str
        Figures.
    captions, alts : mapping of str to str
        What stands below a figure, and what is read aloud; without an alt, the caption is.
    sources : mapping of str to str, optional
        File that a figure is drawn from, as the page links to it.

    Returns
    -------
    dict of str to dict
        data (base64), caption, alt, source, width and height in pixels.
    """
    out = {}
    for name in names:
        path = folder / f"{name}.png"
        if not path.is_file():
            continue
        data, width, height = _small(path)
        alt = alts.get(name, captions[name])
        out[name] = {
            "data": data, "caption": captions[name], "alt": alt, "source": sources.get(name),
            "width": width, "height": height,
        }  # fmt: skip
    return out


def _small(path: Path) -> tuple[str, int, int]:
    """Give a figure in 256 colours, a third of its size, as base64; its width and height."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii"), few.width, few.height


def audit_alts(run: AuditRun) -> dict[str, str]:
    """Say in words what the figures on claims and genes show."""
    supported = [f"{c} {o}" for c, outcomes in run.summary.claims.items() for o, v in outcomes.items()
                 if v.verdict == "supported"]  # fmt: skip
    told = f"Supported: {listed(supported)}." if supported else "No claim is supported."
    genes = " ".join(f"{g}: {s}" for g, s in tables.gene_sentences(run, run.genes()))
    return {n: f"{AUDIT_CAPTIONS[n]} {more}" for n, more in (("claims", told), ("nulls", genes))}


def audit_context(run: AuditRun, genes: Iterable[str]) -> dict[str, Any]:
    """Give what the section on the claims shows.

    Parameters
    ----------
    run : AuditRun
        The audit.
    genes : iterable of str
        Genes that are always shown.

    Returns
    -------
    dict
        Goes into the templates as ``audit``.
    """
    return {
        "summary": run.summary,
        "simulated": run.simulated,
        "answer": tables.answer_in_words(run.summary),
        "counts": tables.counts_in_words(run.summary),
        "outcomes": [OUTCOME_TITLES[o] for o in tables.outcomes_of(run.summary)],
        "claims": tables.claim_rows(run.summary),
        "genes": tables.gene_rows(run),
        "gene_lines": tables.gene_sentences(run, genes),
        "controls": tables.control_rows(run),
        "negative": tables.negative_rows(run),
        "meaning": MEANING,
        "symbols": SYMBOLS,
        "words_used": {v.verdict for outcomes in run.summary.claims.values() for v in outcomes.values()},
        "cannot_tell": tables.CANNOT_TELL,
    }


def write_audit_report(folder: Path, summary: AuditSummary, kind: str, genes: Iterable[str]) -> Path:
    """Draw the figures of an audit that stands alone, and write ``audit.html``.

    Parameters
    ----------
    folder : Path
        Folder of the audit, with its tables; gets ``figures/`` and the page.
    summary : AuditSummary
        Its summary.
    kind : str
        ``real`` or ``simulated``.
    genes : iterable of str
        Genes that are always shown.

    Returns
    -------
    Path
        The page: one file, no script, nothing loaded from elsewhere.
    """
    run = AuditRun(folder, summary, kind == "simulated")
    draw_audit(run)
    figures = embedded(folder / "figures", AUDIT_FIGURES, AUDIT_CAPTIONS, audit_alts(run), AUDIT_SOURCES)
    text = environment().get_template("audit_page.html.j2").render(
        css=css(), at="", audit=audit_context(run, genes), figures=figures
    )  # fmt: skip
    path = folder / "audit.html"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
