"""Figures and images as they stand in a page: inline SVG in the colours of the page, PNG as data URIs."""

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

_INK = "#010203"  # stands for the colour of the page's text, whichever that is
_GAP = 2  # pixels between the images of a strip


@dataclass(frozen=True)
class Picture:
    """An image in a page.

    Attributes:
        uri: a data URI with the PNG.
        alt: what is to be seen, for those who cannot see it.
        width: of the PNG, pixels.
        height: of the PNG, pixels.
    """

    uri: str
    alt: str
    width: int
    height: int


def picture(image: Tensor, alt: str) -> Picture:
    """One image, uint8 ``(channels, height, width)`` with 1 or 3 channels."""
    pixels = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    encoded = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/png;base64,{encoded}", alt, image.shape[2], image.shape[1])


def strip(images: Tensor, alt: str, columns: int = 0) -> Picture:
    """Images ``(n, channels, height, width)``, uint8, beside each other, or in rows of so many columns."""
    grid = make_grid(images, nrow=columns or len(images), padding=_GAP, pad_value=128)
    return picture(grid[: images.shape[1]], alt)


@contextmanager
def _in_ink() -> Iterator[None]:
    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plain: Any = {
        **dict.fromkeys(colours, _INK),
        "svg.fonttype": "none",
        "svg.hashsalt": "nesy-gedi",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(plain):
        yield


def chart(draw: Callable[[Figure], None], alt: str, width: float = 6.4, height: float = 2.6) -> Markup:
    """A figure as inline SVG, transparent, its text and axes in the colour of the text around it.

    Args:
        draw: fills the figure.
        alt: what is to be seen, for those who cannot see it.
        width: inches.
        height: inches.
    """
    with _in_ink():
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # ids must differ between the figures of a page
    mark = f"f{hashlib.sha256((alt + svg).encode()).hexdigest()[:8]}-"
    svg = re.sub(r'\bid="', f'id="{mark}', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{mark}", svg)
    title = Markup('<svg role="img" class="chart" aria-label="{}"').format(alt)
    return title + Markup(svg[len("<svg") :])
