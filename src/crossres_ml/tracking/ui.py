"""The UI of MLflow."""

from __future__ import annotations

import os
import subprocess
import sys


def open_ui(uri: str, port: int) -> int:
    """Serve the MLflow UI on this machine until interrupted.

    Parameters
    ----------
    uri : str
        Tracking URI.
    port : int
        Port on 127.0.0.1.

    Returns
    -------
    int
        Exit code of the server.
    """
    where = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # workers for jobs on prompts and traces, of which there are none here, would take 2 GB
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return subprocess.call([sys.executable, "-m", "mlflow", "ui", *where], env=env)
