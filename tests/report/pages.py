"""Runs of seconds with their reports, and a page taken apart (test support)."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from nesy_gedi.experiment import Experiment
from nesy_gedi.request import Request

SMALL = (
    *("sampler.steps=1", "sampler.count=4", "sampler.buffer_size=20", "naming.searches=1"),
    *("naming.restarts=0", "naming.starts=5"),
)


def trained(out: str, report: bool = True, **options: Any) -> Experiment:
    """A run that learned next to nothing."""
    request = Request(**{
        "epochs": 2, "precision": "fp32", "device": "cpu", "out": out, "assignments": SMALL, "report": report,
        **options,
    })  # fmt: skip
    experiment = Experiment(request, Console(file=io.StringIO(), width=200))
    experiment.run()
    return experiment


def said(experiment: Experiment) -> str:
    text: str = experiment.console.file.getvalue()  # type: ignore[attr-defined]
    return text


class Page(HTMLParser):
    """Tables by the heading before them, images, charts, text, and addresses that a page would load."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.images: list[dict[str, str]] = []
        self.charts: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._section, self._open = "", list[str]()
        self.source = Path(path).read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.loaded += [given[name] for name in ("src", "href", "xlink:href", "srcset") if name in given]
        if tag in ("h2", "h3") and "id" in given:
            self._section = given["id"]
        elif tag == "img":
            self.images.append(given)
            if self._open[-2:-1] and "td" in self._open:
                self.tables[self._section][-1][-1] += given["alt"]
            self._open.pop()
        elif tag == "svg":
            assert given["role"] == "img"
            self.charts.append(given["aria-label"])
        elif tag == "tr":
            self.tables.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._section][-1].append("")
        elif tag in ("meta", "link"):
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self._open):
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[self._section][-1][-1] += data.strip()


def pixels(uri: str) -> NDArray[np.uint8]:
    """Of a data URI with a PNG."""
    kind, encoded = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return np.asarray(image)
