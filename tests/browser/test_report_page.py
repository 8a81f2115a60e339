"""The report as a browser shows it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from watched import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
    from pages import trained

    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("page") / "run"
    trained(str(run), program="addition.pl", examples=30, width=4, seeds=3)
    return (run / "report.html").as_uri()


def test_every_picture_is_to_be_seen_and_has_a_text_for_who_cannot(browser: "Browser", address: str) -> None:
    with opened(browser, address) as page:
        images = page.locator("img")
        assert images.count() > 25
        for k in range(images.count()):
            image = images.nth(k)
            assert image.is_visible()
            assert image.evaluate("image => image.complete && image.naturalWidth > 0")
            assert image.get_attribute("alt")
        charts = page.locator("svg.chart")
        assert charts.count() == 1
        assert charts.first.bounding_box()["height"] > 100
        assert "over 2 epochs" in charts.first.get_attribute("aria-label")
        assert page.title() == "run"


def test_the_table_sorts_by_any_column(browser: "Browser", address: str) -> None:
    with opened(browser, address) as page:
        table = page.locator("table").first

        def column(number: int) -> list[float]:
            cells = table.locator("tbody tr").all()
            return [float(row.locator("td").nth(number).get_attribute("data-value")) for row in cells]

        for number, name in ((1, "accuracy"), (4, "seconds")):
            heading = table.get_by_role("button", name=name)
            before = sorted(column(number))
            heading.click()
            assert column(number) == before
            assert table.locator("th").nth(number).get_attribute("aria-sort") == "ascending"
            heading.click()
            assert column(number) == before[::-1]


def test_text_can_be_read_in_the_light_and_in_the_dark(browser: "Browser", address: str) -> None:
    """Contrast of text and page by WCAG's formula, 7 or more."""

    def luminance(colour: str) -> float:
        shares = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pages = []
    for scheme in ("light", "dark"):
        with opened(browser, address, color_scheme=scheme) as page:
            style = "element => { const { color, backgroundColor } = getComputedStyle(element); "
            style += "return [color, backgroundColor] }"
            ink, paper = (luminance(colour) for colour in page.locator("body").evaluate(style))
            assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
            chart = page.locator("svg.chart text").first.evaluate("text => getComputedStyle(text).fill")
            assert luminance(chart) == pytest.approx(ink)
            pages.append(paper)
    assert pages[0] > 0.8 > 0.1 > pages[1]


def test_a_phone_scrolls_down_only(browser: "Browser", address: str) -> None:
    with opened(browser, address, viewport={"width": 390, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_it_can_be_printed(browser: "Browser", address: str) -> None:
    with opened(browser, address, color_scheme="dark") as page:
        printed = page.pdf(format="A4")
        assert printed.startswith(b"%PDF")
        assert 2 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 12
        page.emulate_media(media="print")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"  # white, whatever the screen was
