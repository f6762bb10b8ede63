"""Stage 5: the drug and radiation atlas."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.atlas import atlas
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.terminal import first_line
from crossres_ml.terminal_scan import show_atlas


def main() -> None:
    """Make the atlas; its folder carries its own manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/atlas"))
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    options = parser.parse_args()
    with first_line() as announce:
        done = atlas(
            load_train_config(options.config),
            load_panels(),
            output=options.output,
            tracking_uri=options.tracking_uri,
            mirror=options.mirror,
            announce=announce,
        )
    show_atlas(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
