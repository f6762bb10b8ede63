"""Stage 6: published signatures of radiation response on trial."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.signatures import DRAWS, SETS, signatures
from crossres_ml.terminal import first_line, show_progress
from crossres_ml.terminal_scan import show_signatures


def main() -> None:
    """Run the trial; its folder carries its own manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/signatures"))
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--results", type=Path, help="training run whose models are compared with")
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with show_progress("folds", 1) as progress, first_line() as announce:
        done = signatures(
            load_train_config(options.config),
            load_panels(),
            output=options.output,
            tracking_uri=options.tracking_uri,
            results=options.results,
            mirror=options.mirror,
            sets=options.sets,
            draws=options.draws,
            jobs=options.jobs,
            progress=progress,
            announce=announce,
        )
    show_signatures(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
