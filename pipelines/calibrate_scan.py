"""Measure level and power of the scan's lists; --docs copies table and figure into a page."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from crossres_ml.artifacts import rewrite_block
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.report.scan_doc import BEGIN, END, scan_block
from crossres_ml.scan_study import Settings, study_scan
from crossres_ml.terminal import first_line, show_progress
from crossres_ml.terminal_events import show_study


def main() -> None:
    """Run the study, or rewrite the block between the markers from a finished one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/scan_calibration"))
    parser.add_argument("--simulations", type=int, default=Settings.studies)
    parser.add_argument("--draws", type=int, default=Settings.draws)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--docs", type=Path, help="page to rewrite; nothing is simulated then")
    options = parser.parse_args()
    if options.docs:
        rewrite_block(options.docs, scan_block(options.output), BEGIN, END)
        shutil.copyfile(options.output / "power.png", options.docs.with_name("scan_power.png"))
        return
    config = load_train_config(options.config)
    with show_progress("simulated studies", 100) as progress, first_line() as announce:
        done = study_scan(
            config,
            load_panels(),
            Settings(studies=options.simulations, draws=options.draws, seed=config.seed),
            output=options.output,
            mirror=options.mirror,
            jobs=options.jobs,
            progress=progress,
            announce=announce,
        )
    show_study(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
