"""Measure level and power of every way to call a driver; --docs copies the tables into a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.artifacts import rewrite_block
from crossres_ml.audit.calibrate import Settings
from crossres_ml.calibration import calibrate_methods
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.report.calibration import BEGIN, END, calibration_block
from crossres_ml.terminal import first_line, show_calibration, show_progress


def main() -> None:
    """Run the study, or rewrite the block between the markers from a finished one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/calibration"))
    parser.add_argument("--simulations", type=int, default=30)
    parser.add_argument("--draws", type=int, default=99)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--docs", type=Path, help="page to rewrite; nothing is simulated then")
    options = parser.parse_args()
    if options.docs:
        rewrite_block(options.docs, calibration_block(options.output), BEGIN, END)
        return
    config = load_train_config(options.config)
    with show_progress("simulated studies", 10) as progress, first_line() as announce:
        done = calibrate_methods(
            config,
            load_panels(),
            Settings(studies=options.simulations, draws=options.draws, seed=config.seed),
            output=options.output,
            mirror=options.mirror,
            jobs=options.jobs,
            progress=progress,
            announce=announce,
        )
    show_calibration(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
