"""A headless Chromium for tests, which reaches this machine only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
SCREENSHOTS = "CROSSRES_SCREENSHOTS"
"""Names a folder in which screenshots are kept."""
_LOCAL = ("127.0.0.1", "localhost", None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; skip the test, with the reason, where there is none or it does not start."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        except Error as error:
            pytest.skip(f"no browser: {found} does not start: {error.message.splitlines()[0]}")
        with browser:
            yield browser


def _here_only(route: Route) -> None:
    """Let a page have files and what this machine serves; fonts and the like from elsewhere are missing."""
    if urlsplit(route.request.url).hostname in _LOCAL:
        route.continue_()
    else:
        route.abort()


@contextmanager
def context(
    browser: Browser, width: int = 1440, height: int = 900, dark: bool = False
) -> Iterator[BrowserContext]:
    """Open a window of a size, without a network."""
    size = {"width": width, "height": height}
    with browser.new_context(viewport=size, color_scheme="dark" if dark else "light") as opened:
        opened.route("**/*", _here_only)
        yield opened


def screenshots(otherwise: Path) -> Path:
    """Folder in which screenshots are kept: what `SCREENSHOTS` names, or one of the test's own."""
    folder = Path(os.environ.get(SCREENSHOTS) or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
