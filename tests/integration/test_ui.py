"""MLflow's own UI on the log of a training, as a person uses it: runs compared, and the report read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from servers import serving
from test_serve import own_env
from trained import Run

from browser import context, screenshots
from crossres_ml.report.summary import Summary

NO_ASSISTANT = """
localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
"""
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def ui(browser: Browser, run: Run) -> Iterator[str]:
    """The UI as ``crossres ui`` opens it; asked for after the browser, without which it is not started."""
    command = [sys.executable, "-m", "crossres_ml", "ui"]
    with serving(command, "--port", run.folder, own_env(), "health") as url:
        yield url


@pytest.fixture
def runs(browser: Browser, ui: str) -> Iterator[Page]:
    """The runs of radiation, opened from the list of experiments."""
    with context(browser) as window:
        window.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        window.add_init_script(NO_ASSISTANT)
        page = window.new_page()
        page.goto(f"{ui}/#/experiments")
        page.get_by_text("Model training", exact=True).click()
        page.get_by_role("link", name="crossres-radiation").click()
        yield page


def row_of(page: Page, name: str | re.Pattern[str]) -> Locator:
    link = page.get_by_role("link", name=name, exact=isinstance(name, str))
    return page.get_by_role("row").filter(has=link).first


def test_two_runs_are_compared(run: Run, runs: Page, tmp_path: Path) -> None:
    expect(runs.get_by_text("Models of resistance to radiation")).to_be_visible()
    row_of(runs, re.compile("^SIMULATED radiation")).get_by_role("button").first.click()
    expect(row_of(runs, "lightgbm")).to_be_visible()
    runs.screenshot(path=screenshots(tmp_path) / "mlflow_runs.png")
    for name in ("ridge", "lightgbm"):
        row_of(runs, name).get_by_role("checkbox").first.check()
    runs.get_by_role("button", name="Compare").click()
    expect(runs.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment")).to_be_visible()
    chart = runs.locator(".js-plotly-plot")
    expect(chart).to_contain_text("cell_line_out/auroc")
    models = Summary.model_validate_json((run.results / "summary.json").read_text()).tasks["radiation"].models
    for name in ("ridge", "lightgbm"):
        value = models[name]["cell_line_out"]["auroc"].value
        assert value is not None
        expect(chart).to_contain_text(f"{value:.5f}".rstrip("0"))
    runs.screenshot(path=screenshots(tmp_path) / "mlflow_compare.png")


def test_the_report_is_read_in_a_run(runs: Page, tmp_path: Path) -> None:
    row_of(runs, re.compile("^SIMULATED radiation")).get_by_role("link").first.click()
    expect(runs.get_by_text("The champion, chosen by inner folds, is")).to_be_visible()
    runs.get_by_text("Artifacts", exact=True).click()
    runs.get_by_text("report.html", exact=True).first.click()
    report = runs.frame_locator("iframe")
    expect(report.get_by_role("heading", level=1)).to_have_text(
        "Resistance to radiation, to chemotherapy, and to both"
    )
    expect(report.get_by_text("SIMULATED").first).to_be_visible()
    runs.screenshot(path=screenshots(tmp_path) / "mlflow_report.png")
