"""Stage 4: score new profiles with saved models."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossres_ml.errors import CrossresError
from crossres_ml.logs import show_logs
from crossres_ml.predict.stream import predict_file


def main() -> None:
    """Score a table of profiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profiles", type=Path, help="samples in rows: .csv, .tsv or .parquet")
    parser.add_argument("--output", type=Path, required=True, help=".csv, .tsv or .parquet")
    parser.add_argument("--model", help="folder of a model or of results, or a task")
    options = parser.parse_args()
    predict_file(options.profiles, options.output, options.model)


if __name__ == "__main__":
    show_logs()
    try:
        main()
    except CrossresError as error:
        sys.exit(f"error: {error}")
