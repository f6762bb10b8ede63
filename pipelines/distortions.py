"""Measure what spoilt profiles do to predictions; --docs copies the tables into a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.artifacts import rewrite_block
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.distortions import measure_distortions
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.report.predict_doc import SPOILT, TRUST, distortion_block, trust_block
from crossres_ml.terminal import show_progress


def main() -> None:
    """Measure, or rewrite the blocks between the markers from finished runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/distortions"))
    parser.add_argument("--folds", type=int, help="only so many folds")
    parser.add_argument("--results", type=Path, default=Path("artifacts/latest"), help="training run")
    parser.add_argument("--docs", type=Path, help="page to rewrite; nothing is measured then")
    options = parser.parse_args()
    config = load_train_config(options.config)
    if options.docs:
        rewrite_block(options.docs, trust_block(options.results, config.bootstrap, config.seed), *TRUST)
        rewrite_block(options.docs, distortion_block(options.output / "distortions.csv"), *SPOILT)
        return
    with show_progress("folds", 1) as progress:
        table = measure_distortions(
            config, load_panels(), output=options.output, mirror=options.mirror, folds=options.folds,
            progress=progress,
        )  # fmt: skip
    sys.stdout.write(f"{table}\n")


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
