"""A page that is watched (test support)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def opened(browser: "Browser", address: str, **options: Any) -> "Iterator[Page]":
    """A page that must not write errors to the console, and load nothing from elsewhere."""
    wrong: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 1000}, **options})
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    home = ("data:", "blob:", address.rsplit("/", 1)[0])
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(home) else None)
    page.goto(address)
    yield page
    context.close()
    assert wrong == []
