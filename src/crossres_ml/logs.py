"""Where the library's log lines go when the programme runs from the command line."""

from __future__ import annotations

import logging


def show_logs(level: int = logging.INFO) -> None:
    """Send the log lines of the library to stderr, as they are.

    Parameters
    ----------
    level : int, default logging.INFO
        The least important kind of line to show.
    """
    logger = logging.getLogger("crossres_ml")
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
