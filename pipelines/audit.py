"""Stage 4: audit the review's claims without training anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.config import load_panels, load_train_config, with_audit
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.terminal import draw_progress, first_line, show_audit
from crossres_ml.workflow import audit


def main() -> None:
    """Run the audit; its folder carries its own manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--claims", type=Path, help="claims to audit")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/audit"))
    parser.add_argument("--results", type=Path, default=Path("artifacts/latest"))
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with draw_progress() as draws, first_line() as announce:
        done = audit(
            with_audit(load_train_config(options.config)),
            load_panels(),
            claims_file=options.claims,
            output=options.output,
            results=options.results,
            tracking_uri=options.tracking_uri,
            mirror=options.mirror,
            jobs=options.jobs,
            draws=draws,
            announce=announce,
        )
    show_audit(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
