"""What mkdocs does beside its own work: pages from outside docs/, generated reference, equations.

Links in Markdown are written as they are right in the repository. A file outside docs/ that one leads to gets
a page of its own in the site: Markdown as it is, anything else as a listing.
"""

import posixpath
import re
from pathlib import Path

import reference_pages
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)[^)#\s]+")  # in [text](LINK#anchor), without scheme
EQUATION = re.compile(
    r'<(?P<tag>div|span) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
LANGUAGES = {".py": "python", ".pl": "prolog", ".toml": "toml", ".sh": "sh"}
ELSEWHERE = {"README.md": "readme.md"}  # the site has an index of its own


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, the pages that only the navigation names, and all that pages link to."""
    for uri, text in reference_pages.pages().items():
        files.append(File.generated(config, uri, content=text))
    for path in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"):
        files.append(_page(config, path, InclusionLevel.INCLUDED))
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(page.content_string):
            path = _in_repository(page.src_uri, link)
            if path and _in_site(path) not in files.src_uris:
                level = InclusionLevel.INCLUDED if path.endswith(".md") else InclusionLevel.NOT_IN_NAV
                files.append(_page(config, path, level))
                waiting.append(files.src_uris[_in_site(path)])
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links between files of the repository become links between pages."""

    def moved(link: re.Match[str]) -> str:
        path = _in_repository(page.file.src_uri, link[0])
        start = posixpath.dirname(page.file.src_uri)
        return posixpath.relpath(_in_site(path), start) if path else link[0]

    return LINK.sub(moved, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Equations become MathML, which browsers show without a script."""

    def rendered(equation: re.Match[str]) -> str:
        math = convert(equation["tex"].strip(), display="block" if equation["tag"] == "div" else "inline")
        return math.replace(
            "<mi>ln</mi>", '<mo lspace="0.1em" rspace="0.17em">ln</mo>'
        )  # as a function's name

    return EQUATION.sub(rendered, html)


def _in_repository(uri: str, link: str) -> str | None:
    """The file of the repository that a page's link means; None if there is no such file."""
    origin = next((path for path, moved in ELSEWHERE.items() if moved == uri), uri)
    if origin == uri and not (ROOT / uri).is_file():
        origin = f"docs/{uri}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    if (ROOT / path / "README.md").is_file():
        path = posixpath.join(path, "README.md")
    return path if (ROOT / path).is_file() else None


def _in_site(path: str) -> str:
    """The page of a file of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return ELSEWHERE.get(path, path if path.endswith(".md") else f"{path}.md")


def _page(config: MkDocsConfig, path: str, level: InclusionLevel) -> File:
    text = (ROOT / path).read_text(encoding="utf-8")
    if not path.endswith(".md"):
        text = f"# {path}\n\n````{LANGUAGES.get(Path(path).suffix, 'text')}\n{text}````\n"
    return File.generated(config, _in_site(path), content=text, inclusion=level)
