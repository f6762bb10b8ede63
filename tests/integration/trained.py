"""A small simulated study that is trained once, and the commands that tests run on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from crossres_ml.config_names import config_path
from crossres_ml.models.bundle import load_bundle


def crossres(
    *args: str, folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a user does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROSSRES_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "crossres_ml", *args],
        cwd=folder,
        env={**clean, "CROSSRES_OFFLINE": "1", "CROSSRES_CACHE": str(folder / "cache"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=600,
    )


@dataclass(frozen=True)
class Run:
    folder: Path
    config: Path
    first: subprocess.CompletedProcess[str]

    @property
    def results(self) -> Path:
        return self.folder / "artifacts" / "latest"


def small_config(folder: Path, **changes: object) -> Path:
    settings = yaml.safe_load(config_path("smoke.yaml").read_text())
    settings |= {"simulated_lines": 220, "bootstrap": 100, "learning_curve": [0.5], "retrained": ["rna"]}
    settings |= {"scan": {"permutations": 60, "min_lines": 60, "top": 3}}
    settings |= changes
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def profiles(run: Run, n: int = 12) -> pd.DataFrame:
    features = load_bundle(run.results / "models" / "radiation").features
    rng = np.random.default_rng(0)
    table = pd.DataFrame(index=pd.Index([f"S{i}" for i in range(n)], name="model_id"))
    values = {}
    for feature, row in features.iterrows():
        low, high = sorted((row.low, row.high))
        x = rng.uniform(low, high, n)
        values[str(feature)] = (
            np.round(x) if row.unit != "log2_tpm" and ":" in str(feature) and float(high).is_integer() else x
        )
    return table.join(pd.DataFrame(values, index=table.index))
