"""A headless Chromium for the tests of what people look at."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NO_SANDBOX = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has none


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Debian's, or the one that Playwright has installed; the test is skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: `make test-browser` installs it"
    )
    with playwright.sync_playwright() as started:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        options = [*NO_SANDBOX, "--enable-unsafe-swiftshader"]  # WebGL without a graphics card
        try:
            found = started.chromium.launch(executable_path=path, args=options)
        except playwright.Error:
            if "BROWSER_REQUIRED" in os.environ:
                raise
            pytest.skip("no browser: `make test-browser` installs one")
        yield found
        found.close()
