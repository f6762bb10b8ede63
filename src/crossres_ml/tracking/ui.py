"""The UI of MLflow."""

from __future__ import annotations

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
    return subprocess.call([sys.executable, "-m", "mlflow", "ui", *where])
