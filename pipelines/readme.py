"""Copy finished runs on real data (training, scan, atlas) to docs/results.json, README.md and docs."""

from __future__ import annotations

import argparse
from pathlib import Path

from crossres_ml.artifacts import rewrite_block, write_json
from crossres_ml.report import answer, audit_doc
from crossres_ml.report.audit_join import join_audit
from crossres_ml.report.readme import BEGIN, END, results_block
from crossres_ml.report.summary import Summary


def main() -> None:
    """Rewrite the blocks between the markers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("artifacts/latest"))
    parser.add_argument("--summary", type=Path, help="the summary, if not that of --results")
    parser.add_argument("--audit", type=Path, help="audit run by itself on the same data, to be put in")
    parser.add_argument("--scan", type=Path, default=Path("artifacts/scan"))
    parser.add_argument("--atlas", type=Path, default=Path("artifacts/atlas"))
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args()
    file = options.summary or options.results / "summary.json"
    summary = Summary.model_validate_json(file.read_text(encoding="utf-8"))
    if options.audit:
        summary = join_audit(summary, options.audit)
    block = results_block(summary)
    write_json(options.root / "docs" / "results.json", summary.model_dump(mode="json"))
    rewrite_block(options.root / "README.md", block, BEGIN, END)
    short = answer.answer(summary, options.scan, options.atlas)
    rewrite_block(options.root / "README.md", short, answer.BEGIN, answer.END)
    found = answer.found(options.scan)
    rewrite_block(options.root / "docs" / "scan.md", found, answer.FOUND_BEGIN, answer.FOUND_END)
    drugs = answer.atlas_found(options.atlas)
    rewrite_block(options.root / "docs" / "scan.md", drugs, answer.ATLAS_BEGIN, answer.ATLAS_END)
    gene = audit_doc.worked_gene(summary)
    rewrite_block(options.root / "docs" / "audit.md", gene, audit_doc.BEGIN, audit_doc.END)


if __name__ == "__main__":
    main()
