"""The logged models as MLflow serves them: in Python, over HTTP and in Spark, the numbers of our own path."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from servers import serving
from trained import Run, crossres, profiles

import crossres_ml

SERVED = "models:/crossres-simulated/latest"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""As in the tests themselves: products cut up among threads may differ in the last bit."""


def own_env(**more: str) -> dict[str, str]:
    """Where MLflow finds its server, and the log of the run."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CROSSRES_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    return {**clean, "PATH": path, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", **ONE_THREAD, **more}


def python(run: Run, code: str, **env: str) -> str:
    """Run a script in the folder of the run; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=run.folder, capture_output=True, text=True,
        env=own_env(**env), timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def frame(run: Run) -> pd.DataFrame:
    """Samples with gaps, genes as SYMBOL (ENTREZ); S3 is empty and gets no score."""
    table = profiles(run).astype("float32")
    names = {c: f"{c.removeprefix('rna:')} (1{i})" for i, c in enumerate(table) if c.startswith("rna:")}
    table = table.rename(columns=names)
    table.loc["S3"] = np.nan
    table.loc["S4", table.columns[::3]] = np.nan
    table.to_parquet(run.folder / "served.parquet")
    return table


@pytest.fixture(scope="module")
def expected(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    scores = crossres_ml.load(run.results).predict(frame).reset_index()
    assert scores.radiation_probability.isna().tolist() == [i == 3 for i in range(12)]
    return scores


def test_the_logged_models_predict_as_load_and_as_the_command(
    run: Run, frame: pd.DataFrame, expected: pd.DataFrame
) -> None:
    code = (
        "import json, mlflow, pandas as pd, crossres_ml\n"
        "frame = pd.read_parquet('served.parquet')\n"
        "experiments = [e.experiment_id for e in mlflow.search_experiments()]\n"
        "found = {}\n"
        "for m in mlflow.search_logged_models(experiments, output_format='list'):\n"
        "    model = mlflow.pyfunc.load_model(m.model_uri)\n"
        "    own = '+'.join(b.task for b in model.unwrap_python_model().models.bundles)\n"
        "    place = 'artifacts/latest' if '+' in own else f'artifacts/latest/models/{own}'\n"
        "    scores = crossres_ml.load(place).predict(frame).reset_index()\n"
        "    pd.testing.assert_frame_equal(model.predict(frame), scores, check_exact=True)\n"
        "    strict = model.predict(frame, params={'threshold': 0.99, 'unit': 'log2_tpm'})\n"
        "    calls = sorted(set(strict[f\"{own.split('+')[0]}_class\"]))\n"
        "    shown = model.predict(model.input_example).model_id.tolist()\n"
        "    found[own] = [calls, shown, model.metadata.signature.inputs]\n"
        "    model.predict(frame).to_parquet(f'{own}.parquet')\n"
        "print(json.dumps(found))\n"
    )
    found = json.loads(python(run, code).splitlines()[-1])
    assert set(found) == {"radiation", "chemotherapy", "cross", "radiation+chemotherapy+cross"}
    assert all(told == [["", "sensitive"], ["median profile"], None] for told in found.values())
    for name, model in (("radiation+chemotherapy+cross", []), ("cross", ["--model", "cross"])):
        command = ["predict", "served.parquet", "--output", "c.parquet", *model]
        done = crossres(*command, folder=run.folder, env=ONE_THREAD)
        assert done.returncode == 0, done.stderr
        scores, served = (pd.read_parquet(run.folder / f) for f in ("c.parquet", f"{name}.parquet"))
        pd.testing.assert_frame_equal(served, scores, check_exact=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run.folder / "radiation+chemotherapy+cross.parquet"), expected, check_exact=True
    )


def test_nothing_is_pickled_and_the_code_is_of_the_package(run: Run) -> None:
    files = [p for p in (run.folder / "mlartifacts").rglob("*") if p.is_file()]
    assert {p.suffix for p in files}.isdisjoint({".pkl", ".pickle", ".joblib", ".cloudpickle"})
    code = [p for p in files if p.suffix == ".py"]
    assert len(code) == 4
    own = Path(crossres_ml.__file__).with_name("served.py").read_bytes()
    assert all(p.read_bytes() == own for p in code)
    # a second look at what has no suffix that tells: a pickle starts with its protocol and ends with a stop
    assert not [p for p in files if p.read_bytes()[:1] == b"\x80"]


@pytest.fixture(scope="module")
def server(run: Run) -> Iterator[str]:
    """The command of the README on a free port; stopped as a user stops it."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", SERVED, "--env-manager", "local"]
    with serving(command, "-p", run.folder, own_env(), "ping") as url:
        yield url


def post(url: str, body: object, kind: str = "application/json") -> tuple[int, Any]:
    """Post to the server; read its answer as strictly as JSON is."""
    data = body if isinstance(body, bytes) else json.dumps(body, allow_nan=False).encode()
    asked = urllib.request.Request(f"{url}/invocations", data=data, headers={"Content-Type": kind})

    def no_json(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.loads(answer.read(), parse_constant=no_json)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read(), parse_constant=no_json)


def split(table: pd.DataFrame) -> dict[str, Any]:
    """Write a table as a request."""
    return {"dataframe_split": table.astype(object).where(table.notna(), None).to_dict(orient="split")}


@pytest.mark.parametrize("form", ["index", "column", "numbered rows", "records", "genes in rows"])
def test_http_gives_the_same_bits(
    form: str, server: str, frame: pd.DataFrame, expected: pd.DataFrame
) -> None:
    """To the bit: the same code scores the same block, in one thread, and JSON keeps every digit."""
    body = split(frame)
    if form in ("column", "numbered rows"):
        body = split(frame.reset_index(names="model_id" if form == "column" else "sample"))
    if form == "records":
        whole = frame.reset_index().astype(object)
        body = {"dataframe_records": whole.where(whole.notna(), None).to_dict(orient="records")}
    if form == "genes in rows":
        body = split(frame.T.rename_axis("gene").reset_index())
    status, answer = post(server, body)
    assert status == 200
    rows = answer["predictions"]
    assert [r["model_id"] for r in rows] == list(frame.index)
    found = pd.DataFrame(rows).astype(expected.dtypes)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    refused = rows[3]
    assert refused["radiation_probability"] is None
    assert refused["radiation_score"] is None
    assert refused["radiation_class"] == refused["radiation_set"] == ""
    assert refused["radiation_refused"] == "no value of the model's features"


def test_http_takes_a_table_as_csv(server: str, frame: pd.DataFrame, expected: pd.DataFrame) -> None:
    status, answer = post(server, frame.to_csv().encode(), "text/csv")
    assert status == 200
    found = pd.DataFrame(answer["predictions"]).astype(expected.dtypes)
    # MLflow reads text with pandas' fast parser, which may err in the last digit
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)


def test_http_takes_the_options_of_the_command(server: str, frame: pd.DataFrame, run: Run) -> None:
    options = {"threshold": 0.99, "confidence": 0.5, "allow_low_coverage": True, "unit": "log2_tpm"}
    few = frame.iloc[:, :4]
    status, answer = post(server, {**split(few), "params": options})
    assert status == 200
    rules = crossres_ml.predict.score.Rules(0.99, 0.5, 0.0)
    scores = crossres_ml.load(run.results).predict(few, unit="log2_tpm", rules=rules).reset_index()
    found = pd.DataFrame(answer["predictions"]).astype(scores.dtypes)
    pd.testing.assert_frame_equal(found, scores, check_exact=True)
    assert scores.cross_probability.notna().any()


@pytest.mark.parametrize(
    ("column", "value", "params", "message"),
    [
        ("RAD51 (1", -5.0, {}, "values outside what is possible: 1 columns, such as rna:RAD51"),
        ("RAD51 (1", "high", {}, "cells are no finite numbers: 'high' (row S2, column RAD51"),
        ("", None, {"unit": "rpkm"}, "unit 'rpkm'\n  do:    choose one of auto, log2_tpm, tpm, counts"),
        ("", None, {"threshold": 7}, "threshold 7.0, confidence 0.9"),
    ],
)
def test_http_says_what_is_wrong(
    column: str, value: object, params: dict[str, Any], message: str, server: str, frame: pd.DataFrame
) -> None:
    bad = frame.astype(object)
    if column:
        bad.loc["S2", next(c for c in bad if c.startswith(column))] = value
    status, answer = post(server, {**split(bad), "params": params})
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert message in answer["message"]
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"inputs": [[1.0, 2.0]]},
            "ndarray is no table\n  where: the request\n  do:    send",
        ),
        (split(pd.DataFrame({"NOBODY": [1.5]}, index=["S1"])), "has none of the"),
        (split(pd.DataFrame({"TP53": [0.5, 1.5]})), "has 2 rows and 1 columns"),
    ],
)
def test_http_refuses_what_is_no_table_of_profiles(body: dict[str, Any], message: str, server: str) -> None:
    status, answer = post(server, body)
    assert status == 400
    assert message in answer["message"]
    assert "Traceback" not in json.dumps(answer)


def test_doubled_ids_are_named_over_http(server: str, frame: pd.DataFrame) -> None:
    status, answer = post(server, split(frame.rename(index={"S5": "S2"})))
    assert status == 400
    assert "ids given more than once: S2" in answer["message"]


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, and there is none on PATH")
@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed")
def test_spark_gives_the_same_numbers(run: Run, frame: pd.DataFrame) -> None:
    """To 1e-12: Spark cuts a table into batches, and another row of a block moves the last bit."""
    code = (
        "import mlflow\n"
        "from pyspark.sql import SparkSession, functions as F\n"
        "build = SparkSession.builder.master('local[1]').config('spark.ui.enabled', 'false')\n"
        "for name in ('spark.driver.bindAddress', 'spark.driver.host'):\n"
        "    build = build.config(name, '127.0.0.1')\n"
        "spark = build.config('spark.sql.execution.arrow.maxRecordsPerBatch', '5').getOrCreate()\n"
        "options = {'orientation': 'samples', 'unit': 'log2_tpm', 'normalise': 'none'}\n"
        f"score = mlflow.pyfunc.spark_udf(spark, {SERVED!r}, env_manager='local', params=options)\n"
        "table = spark.read.parquet('served.parquet')\n"
        "out = table.select(score(F.struct('*')).alias('scores')).select('scores.*')\n"
        "out.toPandas().to_parquet('spark.parquet')\n"
        "spark.stop()\n"
    )
    python(run, code, PYSPARK_PYTHON=sys.executable)
    found = pd.read_parquet(run.folder / "spark.parquet")
    models = crossres_ml.load(run.results)
    told = {
        "orientation": "samples",
        "unit": "log2_tpm",
        "normalise": "none",
    }  # a batch is a table of its own
    scores = models.predict(frame, **told).reset_index()
    pd.testing.assert_frame_equal(found, scores, check_dtype=False, rtol=0, atol=1e-12)
