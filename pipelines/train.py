"""Stage 3: train, evaluate, explain, save and log the three models."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.terminal import draw_progress, first_line, fold_progress, show_results
from crossres_ml.workflow import train


def main() -> None:
    """Run the training workflow; its folder of results carries its own manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/latest"))
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with fold_progress() as progress, draw_progress() as draws, first_line() as announce:
        done = train(
            load_train_config(options.config),
            load_panels(),
            output=options.output,
            tracking_uri=options.tracking_uri,
            mirror=options.mirror,
            jobs=options.jobs,
            progress=progress,
            draws=draws,
            announce=announce,
        )
    show_results(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
