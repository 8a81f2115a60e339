"""How the images of a data set stand on their background, and bringing a user's own image to the same.

MNIST's digits are white on black, 20 pixels high, their centre of mass in the middle (LeCun et al. 1998).
A digit photographed on paper or drawn on a screen is none of that, and a network that never saw one cannot
read it. What "the same" is comes from the training images, not from a list of data sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from nesy_gedi.data.images import to_float

_SHOWN = 2000  # images that are looked at
_PLAIN = 0.99  # share of the border that must be background, for a data set to have one
_OWN_PLAIN = 0.9  # the same for one image
_STANDS_OUT = 0.1  # of the range of pixels: what differs less from the background is background


@dataclass(frozen=True)
class Framing:
    """What stands where in the images of a data set.

    Attributes:
        background: value of the border, 0 (black) or 1 (white).
        extent: longest side of what stands out from it, pixels, the median.
        centre: row and column of its centre of mass, pixels, the mean.
    """

    background: float
    extent: float
    centre: tuple[float, float]

    @classmethod
    def from_description(cls, entry: Mapping[str, Any] | None) -> "Framing | None":
        """From a run's description, which has it as a table of its fields."""
        return None if entry is None else cls(entry["background"], entry["extent"], tuple(entry["centre"]))


def framing_of(images: Tensor) -> Framing | None:
    """The framing of images; None if they are in colour, vectors, or fill the frame, as photos do.

    Args:
        images: uint8 ``(n, channels, height, width)``, or float32 ``(n, d, 1, 1)``.
    """
    if images.is_floating_point() or images.shape[1] != 1 or not len(images):
        return None
    shown = to_float(images[:: -(-len(images) // _SHOWN)])
    border = _border(shown)
    background = border.median().round()
    if ((border - background).abs() < _STANDS_OUT).float().mean() < _PLAIN:
        return None
    weight = (shown - background).abs()[:, 0]
    seen = weight[(weight > _STANDS_OUT).flatten(1).any(1)]
    if not len(seen):
        return None
    extents = [float(max(_box(image).shape)) for image in seen]
    centres = torch.tensor([_centre(image) for image in seen]).mean(0)
    return Framing(
        float(background), float(torch.tensor(extents).median()), (float(centres[0]), float(centres[1]))
    )


def framed(image: Tensor, framing: Framing, height: int, width: int) -> Tensor:
    """An image with the background, extent and centre of a data set.

    One of the right size is only inverted, if its background is the other one. What stands out from a plain
    background is cut out, brought to full contrast, scaled without distortion and placed; an image without a
    plain background is resized as a whole.

    Args:
        image: uint8 ``(1, any height, any width)``.
        framing: of the data set.
        height: of its images, pixels.
        width: of its images, pixels.

    Returns:
        uint8 ``(1, height, width)``.
    """
    pixels = to_float(image)
    border = _border(pixels)
    own = border.median()
    inverted = bool((own - framing.background).abs() > 0.5)
    if tuple(image.shape[1:]) == (height, width):
        return 255 - image if inverted else image
    if ((border - own).abs() < _STANDS_OUT).float().mean() < _OWN_PLAIN:
        resized: Tensor = transforms.resize(image, [height, width], antialias=True)
        return 255 - resized if inverted else resized
    weight = (pixels - own).abs()[0]
    drawn = torch.zeros(height, width)
    if weight.max() > _STANDS_OUT:
        drawn = _placed(_box(weight / weight.max()), framing, height, width)
    # full contrast again: thin lines have become faint
    drawn = drawn / drawn.max().clamp_min(_STANDS_OUT)
    return (255 * (framing.background - drawn).abs()).round().byte().unsqueeze(0)


def _border(images: Tensor) -> Tensor:
    """The outermost pixels of images ``(…, height, width)``, flat."""
    rows = images[..., [0, -1], :].flatten()
    columns = images[..., 1:-1, [0, -1]].flatten()
    return torch.cat([rows, columns])


def _box(weight: Tensor) -> Tensor:
    """The part of an image ``(height, width)`` that stands out; the weights of the rest are 0."""
    stands_out = weight > _STANDS_OUT
    rows, columns = (stands_out.any(dim).nonzero()[:, 0].tolist() for dim in (1, 0))
    return torch.where(stands_out, weight, 0.0)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centre(weight: Tensor) -> tuple[float, float]:
    """Centre of mass of an image ``(height, width)``, row and column."""
    total = weight.sum()
    row, column = (
        float((weight.sum(dim) * torch.arange(weight.shape[1 - dim])).sum() / total) for dim in (1, 0)
    )
    return row, column


def _placed(box: Tensor, framing: Framing, height: int, width: int) -> Tensor:
    """What stands out, scaled to the extent, its centre of mass where those of the data set are."""
    scale = min(framing.extent / max(box.shape), height / box.shape[0], width / box.shape[1])
    size = [max(1, round(side * scale)) for side in box.shape]
    scaled = transforms.resize(box.unsqueeze(0), size, antialias=True)[0].clamp(0, 1)
    top, left = (
        min(max(round(wanted - found), 0), whole - side)
        for wanted, found, side, whole in zip(
            framing.centre, _centre(scaled), size, (height, width), strict=True
        )
    )
    placed = torch.zeros(height, width)
    placed[top : top + size[0], left : left + size[1]] = scaled
    return placed
