"""Put an audit that was run by itself into the summary of a training run on the same data."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crossres_ml.errors import CrossresError
from crossres_ml.report.audit_run import OUTCOME_OF
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.summary import SCHEMA_VERSION, Summary


def join_audit(summary: Summary, folder: Path) -> Summary:
    """Join an audit to the training run that it belongs to.

    Parameters
    ----------
    summary : Summary
        Of the training run.
    folder : Path
        Folder of the audit.

    Returns
    -------
    Summary
        With the verdicts, and with the calibrated p-values of the named genes.

    Raises
    ------
    CrossresError
        If the two were made from different data.
    """
    about = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    if about["cohort_hash"] != summary.data.cohort_hash:
        raise CrossresError(
            f"audit of data {about['cohort_hash'][:12]}, training on data {summary.data.cohort_hash[:12]}",
            where=str(folder),
            do="run both on the same files",
        )
    audit = AuditSummary.model_validate_json((folder / "summary.json").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "named_genes.csv")
    p = dict(zip(zip(table.gene, table.outcome, strict=True), table.p.astype(float), strict=True))
    named = {
        gene: {
            task: entry.model_copy(update={"p": p.get((gene, OUTCOME_OF[task]), entry.p)})
            for task, entry in tasks.items()
        }
        for gene, tasks in summary.named_genes.items()
    }
    changes = {"audit": audit, "named_genes": named, "schema_version": SCHEMA_VERSION}
    return Summary.model_validate(summary.model_copy(update=changes).model_dump())
