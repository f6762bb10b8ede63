"""What the score of a task says of the other responses: single drugs, platinum, SF2, alpha."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from crossres_ml.config_names import TaskName
from crossres_ml.evaluation.draws import FULL, line_weights, spearman_of_repeats

MIN_LINES = 50
COLUMNS = ("task", "model", "response", "n", "value", "low", "high")


def across_responses(
    predictions: pd.DataFrame,
    responses: pd.DataFrame,
    models: Mapping[TaskName, str],
    *,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Compare held-out scores with every measured response.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Held-out predictions.
    responses : pandas.DataFrame
        Lines x responses, higher = more resistant; NaN = not measured.
    models : mapping of str to str
        Task -> model whose scores are looked at.
    draws : int
        Group-bootstrap draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        task, model, response, n (lines that are scored and have the response), value, low, high:
        Spearman correlation over the held-out cell lines of a repeat, mean over repeats; responses
        with fewer than 50 such lines are left out.
    """
    rows = predictions[(predictions["mode"] == "cell_line_out") & (predictions.variant == FULL)]
    out = []
    for task, model in models.items():
        own = rows[(rows.task == task) & (rows.model == model)]
        weights = line_weights(own, draws, seed)
        for name in responses.columns:
            measured = own.join(responses[name].rename("measured"), on="model_id").dropna(subset="measured")
            n = measured.model_id.nunique()
            if n < MIN_LINES:
                continue
            key = {"task": task, "model": model, "response": name, "n": n}
            out.append({**key, **spearman_of_repeats(measured, weights, "measured")})
    return pd.DataFrame(out, columns=list(COLUMNS))
