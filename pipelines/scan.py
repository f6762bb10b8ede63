"""Search everything that was measured for events of cross-resistance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.config import load_panels, load_train_config
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.scanning import scan_events
from crossres_ml.terminal import first_line, show_progress
from crossres_ml.terminal_events import show_scan


def main() -> None:
    """Run the scan; its folder carries its own manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="training configuration")
    parser.add_argument("--events", type=Path, help="events of your own: model_id and a column each")
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/scan"))
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with show_progress("permutations", 100) as progress, first_line() as announce:
        done = scan_events(
            load_train_config(options.config),
            load_panels(),
            output=options.output,
            tracking_uri=options.tracking_uri,
            events_file=options.events,
            mirror=options.mirror,
            jobs=options.jobs,
            progress=progress,
            announce=announce,
        )
    show_scan(done)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
