"""Stage 1: bring the public files together, verified, and write down which ones there are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.artifacts import write_json
from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.sources.registry import load_registry
from crossres_ml.sources.resolve import resolve


def main() -> None:
    """Resolve every source and write ``sources.json``: id, path, sha256 and origin of each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, help="folder that holds the data files")
    parser.add_argument("--output", type=Path, default=Path("artifacts/sources.json"))
    options = parser.parse_args()
    found = resolve(load_registry(), mirror=options.mirror)
    table = {
        key: {"path": str(it.path), "sha256": it.sha256, "origin": it.origin} for key, it in found.items()
    }
    write_json(options.output, table)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
