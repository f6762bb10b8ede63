"""MLflow: the only package that imports it.

A model is kept there as our verified bundles and the few lines of `crossres_ml.served` ("models from
code"): nothing is pickled.
"""

from __future__ import annotations

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a run must not phone anywhere
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow

from crossres_ml.tracking.folders import log_audit, log_folder
from crossres_ml.tracking.pairs import Compared, Side, compare
from crossres_ml.tracking.served import offer_model
from crossres_ml.tracking.store import DEFAULT_URI
from crossres_ml.tracking.training import log_run
from crossres_ml.tracking.ui import open_ui

__all__ = [
    "DEFAULT_URI",
    "Compared",
    "Side",
    "compare",
    "log_audit",
    "log_folder",
    "log_run",
    "mlflow",
    "offer_model",
    "open_ui",
]
