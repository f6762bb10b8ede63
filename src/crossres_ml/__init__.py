"""Honest models and audits of resistance to chemotherapy and radiotherapy in cell lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from crossres_ml.predict.predictor import Predictor


def load(path: str | Path | None = None) -> Predictor:
    """Load saved models.

    Parameters
    ----------
    path : str or Path, optional
        A folder (one model, a folder of models, or a folder of results), or a task; all tasks of
        ``artifacts/latest`` when left out.

    Returns
    -------
    Predictor
        ``load(path).predict(frame)`` scores a table as ``crossres predict`` scores a file.

    Raises
    ------
    BundleError
        If there is no model there, or one is damaged.
    """
    from crossres_ml.predict.predictor import Predictor

    return Predictor.load(path)
