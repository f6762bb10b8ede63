"""The page of everything in a real browser: for all readers, at every size, valid, and searched."""

from __future__ import annotations

import shutil
from pathlib import Path

import html5lib
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from trained import Run, crossres

from browser import context, screenshots
from crossres_ml.artifacts import versions

SIZES = {"wide": (1280, 900, False), "dark": (1280, 900, True), "phone": (390, 844, False)}
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def made(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a training, a scan and an atlas, and their page."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(run.results, folder / "artifacts" / "latest")
    for command in ("scan", "atlas"):
        done = crossres(command, "--config", str(run.config), folder=folder)
        assert done.returncode == 0, done.stderr
    done = crossres("report", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "report: artifacts/report.html\n"
    return folder / "artifacts"


def pages(made: Path) -> dict[str, Path]:
    return {
        "everything": made / "report.html", "training": made / "latest" / "report.html",
        "scan": made / "scan" / "report.html", "atlas": made / "atlas" / "atlas.html",
    }  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["everything", "training", "scan", "atlas"])
def test_axe_finds_nothing_serious(
    made: Path, browser: Browser, name: str, size: str, tmp_path: Path
) -> None:
    width, height, dark = SIZES[size]
    with context(browser, width, height, dark) as window:
        page = window.new_page()
        page.goto(pages(made)[name].as_uri())
        if name == "everything":
            expect(page.get_by_label("Find a drug")).to_be_visible()
        page.screenshot(path=screenshots(tmp_path) / f"{name}_{size}.png")
        found = Axe().run(page).response["violations"]
        sideways = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    told = [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]
    assert told == []
    assert sideways <= 0  # tables and figures scroll by themselves, the page does not


@pytest.mark.parametrize("name", ["everything", "training", "scan", "atlas"])
def test_html_is_valid_and_asks_nobody(made: Path, name: str) -> None:
    text = pages(made)[name].read_text(encoding="utf-8")
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(text)  # raises at the first error
    assert len(text.encode()) < 6_000_000


@pytest.fixture
def page(made: Path, browser: Browser) -> Page:
    with context(browser) as window:
        opened = window.new_page()
        asked: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto((made / "report.html").as_uri())
        yield opened
        assert [u for u in asked if not u.startswith(("file:", "data:"))] == []


def test_a_drug_is_found_and_tables_are_sorted(page: Page) -> None:
    table = page.locator("#atlas table.search")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(15)
    page.get_by_label("Find a drug").fill("topotecan")
    expect(rows.first).to_contain_text("Topotecan", ignore_case=True)
    page.get_by_label("Find a drug").fill("")
    head = table.locator("thead th").filter(has_text="unadjusted")
    head.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    values = [
        float(v)
        for v in table.locator("tbody td:nth-child(6)").evaluate_all("c => c.map(x => x.dataset.order)")
    ]
    assert values == sorted(values)
    assert len(values) == 15


def test_everything_is_there_without_a_script(made: Path, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as window:
        page = window.new_page()
        page.goto((made / "report.html").as_uri())
        assert page.locator("#atlas tbody tr").count() > 15
        assert page.locator("#C01").count() == 1


def test_links_lead_to_files(made: Path, page: Page) -> None:
    links = page.locator("a").evaluate_all("a => a.map(x => x.getAttribute('href'))")
    files = {link for link in links if not link.startswith("#")}
    assert {"latest/metrics.csv", "scan/scan.csv", "atlas/atlas.csv", "latest/audit/audit.csv"} <= files
    assert [f for f in files if not (made / f).is_file()] == []
    inner = {link[1:] for link in links if link.startswith("#")}
    assert [i for i in inner if page.locator(f"[id='{i}']").count() != 1] == []


def test_versions_and_parameters_are_told(page: Page) -> None:
    for name, version in versions().items():
        assert page.locator("#files tr").filter(has_text=name).filter(has_text=version).count() >= 1
    assert "simulated_lines: 220" in (page.locator("#methods pre").text_content() or "")


@pytest.mark.parametrize("wrong", ["no scan", "other data", "no results"])
def test_what_does_not_belong_together_is_refused(made: Path, tmp_path: Path, wrong: str) -> None:
    latest, scan = tmp_path / "latest", tmp_path / "scan"
    shutil.copytree(made / "latest", latest)
    scan.mkdir()
    if wrong == "other data":
        text = (made / "scan" / "scan.json").read_text(encoding="utf-8")
        (scan / "scan.json").write_text(
            text.replace('"kind": "simulated"', '"kind": "real"'), encoding="utf-8"
        )
        for name in ("lists.csv", "signals.csv", "scan.csv", "scan.parquet"):
            shutil.copy(made / "scan" / name, scan)
    if wrong == "no results":
        (latest / "summary.json").unlink()
    done = crossres(
        "report", "--results", "latest", "--scan", "scan", "--output", "all.html", folder=tmp_path
    )
    assert done.returncode == 2
    expected = {"no scan": "no finished run: scan/scan.json", "no results": "make train",
                "other data": "made from real data"}[wrong]  # fmt: skip
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "all.html").exists()
