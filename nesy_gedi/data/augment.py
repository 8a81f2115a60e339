"""Random views of a batch of images: every image has its own parameters, the batch one call per operation."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nesy_gedi.errors import check_ranges

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright the eye finds red, green and blue

# What a field may be, where it is not a share of 0 to 1; the bounds keep every image larger than a point.
_RANGES = {
    "degrees": (0.0, 180.0),
    "scale": (0.0, 0.9),
    "translate": (0.0, 1000.0),
    "shear": (0.0, 80.0),
    "crop": (0.1, 1.0),
}


@dataclass(frozen=True)
class Augmentation:
    """A family of random views; a field at its default does nothing and costs nothing.

    Attributes:
        degrees: largest rotation either way, degrees.
        scale: largest relative change of size: the factor lies in ``1 - scale .. 1 + scale``.
        translate: largest shift either way along each axis, pixels.
        shear: largest shear either way along the x axis, degrees.
        crop: smallest kept fraction of each side, resized back to the full size; 1 keeps all.
        jitter: strength of colour jitter: the factors of brightness, contrast and (three channels only)
            saturation lie in ``1 - jitter .. 1 + jitter``, as in torchvision's ``ColorJitter``.
        jitter_probability: share of images that are jittered.
        grey_probability: share of images turned grey (three channels only).
        noise_std: standard deviation of additive Gaussian noise, pixels in [0, 1].
        flip_probability: share of images mirrored left to right.

    Raises:
        UserError: a field is outside its range.
    """

    degrees: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    jitter: float = 0.0
    jitter_probability: float = 1.0
    grey_probability: float = 0.0
    noise_std: float = 0.0
    flip_probability: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, {field.name: _RANGES.get(field.name, (0.0, 1.0)) for field in fields(self)})

    def __call__(self, images: Tensor, generator: Generator, bounded: bool = True) -> Tensor:
        """One random view of each image.

        Args:
            images: float32 ``(batch, channels, height, width)``, in [0, 1] if bounded; not changed.
            generator: source of all randomness, on the device of ``images``.
            bounded: clamp to [0, 1] as the last step, noise included; points of the plane are not.

        Returns:
            Views of the same shape.
        """
        views = images
        if self.flip_probability:
            views = _on_some(views, self.flip_probability, generator, _flip)
        if self.degrees or self.scale or self.translate or self.shear or self.crop < 1.0:
            views = _warp(views, self._draw_maps(views, generator))
        if self.jitter and self.jitter_probability:
            views = _on_some(views, self.jitter_probability, generator, self._jitter_colours)
        if self.grey_probability and views.shape[1] == 3:
            views = _on_some(views, self.grey_probability, generator, _turn_grey)
        if self.noise_std:
            noise = torch.empty_like(views).normal_(0.0, self.noise_std, generator=generator)
            views = views + noise
        return views.clamp(0.0, 1.0) if bounded else views

    def _draw_maps(self, images: Tensor, generator: Generator) -> Tensor:
        """Random maps for ``_warp``, ``(batch, 2, 3)``."""
        batch, _, height, width = images.shape
        uniform = torch.rand(batch, 8, generator=generator, device=images.device)
        angle, size, skew, x, y, centre_x, centre_y = (2.0 * uniform[:, :7] - 1.0).unbind(1)
        side = 1.0 - (1.0 - self.crop) * uniform[:, 7]
        half = torch.tensor([width / 2.0, height / 2.0], device=images.device)
        return _affine_maps(
            degrees=self.degrees * angle,
            scale=1.0 + self.scale * size,
            translate=self.translate * torch.stack((x, y), dim=1),
            shear=self.shear * skew,
            side=side,
            centre=(1.0 - side)[:, None] * half * torch.stack((centre_x, centre_y), dim=1),
        )

    def _jitter_colours(self, images: Tensor, generator: Generator) -> Tensor:
        """Brightness, contrast, saturation, in this order."""
        uniform = torch.rand(len(images), 3, 1, 1, 1, generator=generator, device=images.device)
        brightness, contrast, saturation = (1.0 + self.jitter * (2.0 * uniform - 1.0)).unbind(1)
        images = images * brightness
        mean = _luminance(images).mean(dim=(1, 2, 3), keepdim=True)
        images = mean + contrast * (images - mean)
        grey = _luminance(images)
        return grey + saturation * (images - grey)


def _on_some(
    images: Tensor, probability: float, generator: Generator, change: Callable[[Tensor, Generator], Tensor]
) -> Tensor:
    """Change each image with ``probability``; the others cost no more than a copy."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < probability
    changed = images.clone()
    changed[chosen] = change(images[chosen], generator)
    return changed


def _flip(images: Tensor, generator: Generator) -> Tensor:
    return images.flip(-1)


def _turn_grey(images: Tensor, generator: Generator) -> Tensor:
    return _luminance(images).expand_as(images)


def _luminance(images: Tensor) -> Tensor:
    """Grey image ``(batch, 1, height, width)``; images without three channels are their own."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    grey: Tensor = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return grey.unsqueeze(1)


def _affine_maps(
    degrees: Tensor, scale: Tensor, translate: Tensor, shear: Tensor, side: Tensor, centre: Tensor
) -> Tensor:
    """From a view's pixels to the image's, both as (x, y) offsets from the centre, y downwards.

    The image is sheared along x, rotated (clockwise for positive degrees) and scaled about its centre, then
    shifted, as torchvision's ``affine`` does; of the result the view is a crop with sides ``side`` times
    the full ones about ``centre``, magnified to full size.

    Args:
        degrees: rotation ``(batch,)``.
        scale: factor of the size ``(batch,)``.
        translate: shift ``(batch, 2)``, pixels.
        shear: along the x axis ``(batch,)``, degrees.
        side: kept share of each side ``(batch,)``.
        centre: of the kept part ``(batch, 2)``, pixels.

    Returns:
        ``(batch, 2, 3)``.
    """
    angle, tan = torch.deg2rad(degrees), torch.tan(torch.deg2rad(shear))
    cos, sin = torch.cos(angle), torch.sin(angle)
    undo = torch.stack((cos - tan * sin, sin + tan * cos, -sin, cos), dim=1).reshape(-1, 2, 2)
    undo = undo / scale[:, None, None]
    offset = undo @ (centre - translate)[:, :, None]
    return torch.cat((side[:, None, None] * undo, offset), dim=2)


def _warp(images: Tensor, maps: Tensor) -> Tensor:
    """Read every image at the places that ``maps`` give: bilinear, zero outside.

    The grid is a sum of a column term and a row term. ``F.affine_grid`` makes the same one by a matrix
    product with inner size three, which on a processor takes five times as long as the sampling itself.
    """
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2.0
    y = torch.arange(height, device=images.device) - (height - 1) / 2.0
    # grid_sample counts from -1 at the left edge to 1 at the right edge
    maps = maps * torch.tensor([[2.0 / width], [2.0 / height]], device=images.device)
    across = maps[:, :, 0, None] * x  # (batch, 2, width)
    down = maps[:, :, 1, None] * y + maps[:, :, 2, None]  # (batch, 2, height)
    grid = (across[:, :, None] + down[:, :, :, None]).permute(0, 2, 3, 1)  # (batch, height, width, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


TABLE_9 = Augmentation(
    crop=0.8,
    jitter=0.4,
    jitter_probability=0.1,
    grey_probability=0.1,
    noise_std=0.03,
    flip_probability=0.5,
)
"""Crop, colour jitter, grey, noise and flip, the kinds of Table 9 of the GEDI paper.

Taken from there: the five kinds and the noise of 0.03. Chosen here: the smallest crop of 0.8, jitter of
strength 0.4 on a tenth of the images, grey on a tenth, and the flip of one half. (Few digits look like
themselves in a mirror; for reading digits, ``AFFINE`` is the better family.)
"""

AFFINE = Augmentation(degrees=15.0, scale=0.12, translate=2.0)
"""Small rotations, changes of size and shifts that leave a digit what it is; not from the paper."""
