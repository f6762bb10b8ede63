"""The pages build without a warning and need no network; links of the project's Markdown lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    p.relative_to(ROOT).as_posix()
    for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "packages" not in p.relative_to(ROOT).parts
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` builds them."""
    place = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        place / "trees",
    ]
    done = subprocess.run(
        [*command, ROOT / "docs", place / "html"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return place / "html"


class Loaded(HTMLParser):
    """What a browser loads by itself with a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "link" and "stylesheet" not in (named.get("rel") or ""):
            return
        wanted = named.get("href") if tag == "link" else named.get("src")
        if wanted and tag != "a":
            self.addresses.append(wanted)


def test_the_pages_build_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    reference = (site / "reference.html").read_text(encoding="utf-8")
    assert 'id="crossres_ml.load"' in reference
    for package in ("sources", "identity", "cohort", "splits", "models", "evaluation", "audit", "scan",
                    "report", "predict"):  # fmt: skip
        assert (site / "packages" / f"crossres_ml.{package}.html").is_file()
    made = (site / "packages" / "crossres_ml.splits.html").read_text(encoding="utf-8")
    assert "Raise when a split leaks" in made


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = [
        (p.name, a) for p in site.rglob("*.html") for a in Loaded(p.read_text(encoding="utf-8")).addresses
    ]
    assert len(loaded) > 50
    assert [(page, a) for page, a in loaded if re.match(r"(https?:)?//", a)] == []
    styles = [
        p for p in site.rglob("*.css") if re.search(r"@import|url\(\s*['\"]?(https?:)?//", p.read_text())
    ]
    assert styles == []


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as they are where Markdown is shown."""
    tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    titles = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path, text: str) -> list[str]:
    """Links and images of a page that lead nowhere; other people's addresses are not asked."""
    out = []
    for token in MarkdownIt("commonmark").parse(text):
        for part in token.children or ():
            target = str(part.attrs.get("href", part.attrs.get("src", "")))
            if not target or re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = unquote(target).partition("#")
            path = page.parent / name if name else page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                out.append(target)
    return out


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page, (ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "target", ["docs/none.md", "README.md#no-such-heading", "#nor-this", "docs/none.png"]
)
def test_a_broken_link_is_seen(target: str) -> None:
    good = "[a](docs/scan.md#for-a-biologist) [b](configs/claims.yaml) [c](https://nowhere.example)"
    image = "!" if target.endswith(".png") else ""
    assert broken(ROOT / "README.md", f"{good} {image}[x]({target})") == [target]
