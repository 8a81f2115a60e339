"""The documentation: it builds without a warning, and a page in a browser finds all it needs in the site."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LOADED = {"img", "script", "iframe", "source", "audio", "video", "embed"}
LOADED_RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "manifest"}


class Html(HTMLParser):
    """What a page has to offer and to ask for.

    Attributes:
        anchors: names that a link's ``#`` may have.
        links: targets of links, and of what the page loads.
        loads: the targets of what a browser loads without being asked.
        navigation: links of the site's main navigation.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "__top"}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.navigation: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in pairs}
        self.anchors |= {attributes.get("id", ""), attributes.get("name", "")}
        target = attributes.get("href") or attributes.get("src")
        if target is None:
            return
        self.links.append(target)
        relations = set(attributes.get("rel", "").split())
        if tag in LOADED or (tag == "link" and relations & LOADED_RELATIONS):
            self.loads.append(target)
        if "md-nav__link" in attributes.get("class", ""):
            self.navigation.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Html]:
    """Every page of the built site, by its file."""
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package, reason=f"{package} is missing: pip install 'nesy-gedi[docs]'")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path: Html(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}


def root_of(site: dict[Path, Html]) -> Path:
    return next(path.parent for path in site if path.name == "404.html")


def test_every_link_ends_at_a_file_and_an_anchor(site: dict[Path, Html]) -> None:
    broken = []
    for page, html in site.items():
        if page.name == "404.html":  # is shown under any address, so it links by absolute ones
            continue
        for link in html.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchored = target not in site or unquote(parts.fragment) in site[target].anchors
            if not target.is_file() or not anchored:
                broken.append(f"{page.name}: {link}")
    assert broken == []
    assert sum(len(html.links) for html in site.values()) > 1000


def test_links_are_right_in_the_repository_too() -> None:
    """Where no site is built: on a forge, or in an editor."""
    links = [
        (page, link)
        for page in DOCS.rglob("*.md")
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 50
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_nothing_is_loaded_from_the_network(site: dict[Path, Html]) -> None:
    for page, html in site.items():
        assert html.loads, page
        assert [link for link in html.loads if urlsplit(link).scheme or urlsplit(link).netloc] == [], page
    for sheet in root_of(site).rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text) == [], sheet


def test_the_navigation_holds_every_page(site: dict[Path, Html]) -> None:
    root = root_of(site)
    index = root / "index.html"
    reached = {(root / link).resolve() for link in site[index].navigation} | {index}
    pages = {root / page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    assert len(pages) >= 8
    assert pages <= reached
    assert {root / "reference" / f"{name}.html" for name in ("commands", "settings", "gedi")} <= reached


def test_equations_are_shown_without_a_script(site: dict[Path, Html]) -> None:
    texts = {page.stem: page.read_text(encoding="utf-8") for page in site}
    assert [name for name, text in texts.items() if "arithmatex" in text] == []
    equations = re.findall(r"\$\$.+?\$\$|\$[^$]+\$", (DOCS / "objective.md").read_text(encoding="utf-8"))
    assert texts["objective"].count("<math") == len(equations) > 20
    assert "<msup><mi>e</mi>" in texts["objective"]


def test_the_reference_is_of_the_code(site: dict[Path, Html]) -> None:
    reference = root_of(site) / "reference"
    anchors = set().union(*(site[page].anchors for page in reference.glob("*.html")))
    assert {"nesy-gedi-train", "nesy-gedi-program-audit"} <= anchors
    assert {
        "nesy_gedi.gedi.sampler.sgld",
        "nesy_gedi.logic.circuit.ConstraintCircuit.most_probable",
        "nesy_gedi.evaluation.failures.verdicts",
    } <= anchors
    settings = (reference / "settings.html").read_text(encoding="utf-8")
    assert "<code>sampler.restart_probability</code></td>\n<td><code>0.05</code>" in settings
    commands = (reference / "commands.html").read_text(encoding="utf-8")
    assert re.search(
        r"<code>--save-every SECONDS</code></td>\n<td>[^\n]*\[default: 30.0; x&gt;=0\]", commands
    )
