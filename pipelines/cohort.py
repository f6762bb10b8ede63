"""Stage 2: join the files into the cohort and write down its lines, coverage, and what was left out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.artifacts import run_key, write_manifest
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.gather import gather_cohort, plan_data
from crossres_ml.logs import show_logs
from crossres_ml.stages import write_cohort


def main() -> None:
    """Build the cohort and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/cohort"))
    options = parser.parse_args()
    config, panels = load_train_config(options.config), load_panels()
    plan = plan_data(config, options.mirror)
    write_cohort(gather_cohort(plan, config, panels), options.output)
    write_manifest(options.output, run_key(sources=plan.sources, kind=plan.kind))


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
