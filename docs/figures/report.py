"""The picture of a report in the README.

    python docs/figures/report.py RUN        # writes docs/figures/report.png

needs Playwright and Chromium: `make test-browser` installs them.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH = 1000  # pixels


def section(page: Page, first: str, after: str) -> Image.Image:
    """The part of a page from one heading to another."""
    top, bottom = (page.locator(place).first.bounding_box() for place in (first, after))
    assert top is not None
    assert bottom is not None
    clip = {"x": 0, "y": top["y"] - 15, "width": WIDTH, "height": bottom["y"] - top["y"]}
    return Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))  # type: ignore[arg-type]


def main() -> None:
    """Put two parts of the page one below the other."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(Path(sys.argv[1], "report.html").resolve().as_uri())
        parts = [section(page, "h1", "#program"), section(page, "#gallery", "#confusion")]
        browser.close()
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (0, parts[0].height))
    whole.save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
