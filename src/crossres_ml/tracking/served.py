"""Saved models as MLflow's pyfunc models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature, set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import log_model
from mlflow.pyfunc.model import PythonModel

from crossres_ml.artifacts import versions
from crossres_ml.errors import CrossresError
from crossres_ml.predict.predictor import Predictor
from crossres_ml.predict.request import DEFAULTS, answer, as_json, example

_SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"
"""Set by MLflow's scoring server, whose answer becomes JSON."""
CODE = Path(__file__).parents[1] / "served.py"
"""What MLflow copies beside a model and runs to load it."""


class ServedModel(PythonModel):
    """`Predictor.predict` behind MLflow's pyfunc interface; a wrong table is a bad request, said in words."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundles."""
        self.models = Predictor.load(context.artifacts["models"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answer a request, see `crossres_ml.predict.request.answer`."""
        try:
            scores = answer(self.models, model_input, params)
        except CrossresError as error:
            raise MlflowException(str(error), error_code=BAD_REQUEST) from error
        return as_json(scores) if os.environ.get(_SERVING) else scores


def offer_model() -> None:
    """Tell MLflow, which is running a file of model code, what the model is."""
    set_model(ServedModel())


def log_served(folder: Path) -> str:
    """Log saved models as a pyfunc: `ServedModel` from code, beside the bundles as they are.

    Parameters
    ----------
    folder : Path
        One model or a folder of models, as `crossres_ml.load` takes it.

    Returns
    -------
    str
        Its URI for ``mlflow models serve`` and ``mlflow.pyfunc.load_model``.
    """
    models = Predictor.load(folder)
    table = example(models)
    # no word on the input: a list of columns would refuse genes under other names, and partial tables
    signature = infer_signature(model_output=answer(models, table), params=dict(DEFAULTS))
    logged = log_model(
        name="model",
        python_model=str(CODE),
        artifacts={"models": str(folder)},
        signature=signature,
        input_example=table,
        pip_requirements=[f"{k}=={v}" for k, v in versions().items() if k != "crossres-ml"],
    )
    return str(logged.model_uri)
