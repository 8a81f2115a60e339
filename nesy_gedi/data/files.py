"""Image files of any format that Pillow opens, as the uint8 tensors that everything else works on."""

import os
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nesy_gedi.errors import UserError

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_GREY = ("1", "L", "LA", "La", *_SIXTEEN_BITS)
_NO_SCALE = ("I", "F")  # 32 bits: nothing says which value is white
_MOST_FILES = 50  # of the wrong ones, that a message lists
_MOST_NAMES = 2000  # that a misspelt one is compared with: it takes a while


def read_image(
    path: Path, channels: int | None = None, height: int | None = None, width: int | None = None
) -> Tensor:
    """One image from a file, the first frame of an animation.

    It is turned as its EXIF orientation says. What is transparent becomes white: drawings without a
    background are black on nothing as a rule, and would vanish on black. Of 16 bits the upper 8 are kept.

    Args:
        path: the file.
        channels: 1 for grey (ITU-R BT.601 luma), 3 for red, green and blue; None for what the file has.
        height: that it is resized to, pixels, bilinear with antialiasing, whatever its proportions; None
            keeps the file's own.
        width: the same.

    Returns:
        uint8 ``(channels, height, width)``.

    Raises:
        UserError: there is no such file, it is no image, it is damaged, or it is too large to be decoded
            (Pillow's limit against decompression bombs, 89 million pixels). The message names the file.
    """
    return _read(path, channels, height, width, suggest=True)


def read_images(
    paths: Sequence[Path], channels: int | None = None, height: int | None = None, width: int | None = None
) -> Tensor:
    """A stack of images ``(n, channels, height, width)``, uint8.

    Args:
        paths: the files, at least one.
        channels: as for :func:`read_image`; by default those of the first image.
        height: the same.
        width: the same.

    Raises:
        UserError: files are wrong; the message has a line for each, up to 50.
    """
    images, wrong = try_images(paths, channels, height, width)
    if wrong:
        lines = [str(error) for error in wrong.values()]
        rest = f"\n… and {len(lines) - _MOST_FILES:,} more" if len(lines) > _MOST_FILES else ""
        raise UserError("\n".join(lines[:_MOST_FILES]) + rest)
    return images


def try_images(
    paths: Sequence[Path], channels: int | None = None, height: int | None = None, width: int | None = None
) -> tuple[Tensor, dict[int, UserError]]:
    """The images that can be read, and for each of the others, by its position, what is wrong.

    Returns:
        The stack ``(n, channels, height, width)`` of :func:`read_images`, without the wrong ones; all sizes
        are 0 if all are wrong.
    """
    images: list[Tensor] = []
    wrong: dict[int, UserError] = {}
    for position, path in enumerate(paths):
        try:
            # one listing of a large folder is quick, one for each of its files is not
            suggest = len(wrong) < _MOST_FILES
            images.append(_read(path, channels, height, width, suggest))
        except UserError as error:
            wrong[position] = error
            continue
        channels, height, width = images[0].shape
    return torch.stack(images) if images else torch.empty(0, 0, 0, 0, dtype=torch.uint8), wrong


def _read(path: Path, channels: int | None, height: int | None, width: int | None, suggest: bool) -> Tensor:
    """See :func:`read_image`; only if told to, look in the folder for a name like that of a missing file."""
    if channels not in (None, 1, 3):
        raise UserError(f"{path} cannot be read with {channels} channels: choose 1 (grey) or 3 (colour)")
    if not os.path.isfile(path):
        raise _no_file(path, suggest)
    return _resized(_decode(path, channels), height, width)


def from_pillow(
    image: Image.Image, channels: int | None = None, height: int | None = None, width: int | None = None
) -> Tensor:
    """A picture that Pillow has in memory, as :func:`read_image` reads one from a file.

    Args:
        image: of 8 or 16 bits a pixel.
        channels: as for :func:`read_image`.
        height: as for :func:`read_image`.
        width: as for :func:`read_image`.

    Returns:
        uint8 ``(channels, height, width)``.
    """
    return _resized(_converted(image, channels), height, width)


def _resized(image: Image.Image, height: int | None, width: int | None) -> Tensor:
    """An image of mode ``L`` or ``RGB`` as a tensor of the size that is asked for."""
    size = (width or image.width, height or image.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))  # a copy: Pillow's memory is read-only
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _no_file(path: Path, suggest: bool) -> UserError:
    if os.path.isdir(path):
        return UserError(f"{path} is a directory: name an image file in it")
    if os.path.exists(path):  # a pipe, which would wait for its other end if it were opened
        return UserError(f"{path} is no ordinary file: name an image file")
    if not os.path.isdir(path.parent):
        return UserError(f"there is no file {path}: there is not even a folder {path.parent}")
    return UserError(f"there is no file {path}" + (f": {_similar(path)}" if suggest else ""))


def _similar(path: Path) -> str:
    """The file in the same folder whose name is nearest."""
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return "and its folder cannot be listed"
    stem = path.stem.lower()
    near = [name for name in names if os.path.splitext(name)[0].lower() == stem]
    if not near and len(names) <= _MOST_NAMES:
        near = get_close_matches(path.name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"it is not among the {len(names):,} files of its folder"


def _decode(path: Path, channels: int | None) -> Image.Image:
    """The file's image, upright, without transparency, in Pillow's mode ``L`` or ``RGB``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd but readable files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.mode in _NO_SCALE:
                    raise UserError(
                        f"{path} has 32 bits a pixel, and nothing says which value is white: save 8 or 16"
                    )
                return _converted(ImageOps.exif_transpose(opened), channels)
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UserError(f"{path} is no image of a kind that Pillow knows: save it as PNG") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        raise UserError(f"{path} is too large, above {most} pixels: make it smaller") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as an image ({reason}): save it anew") from None


def _converted(image: Image.Image, channels: int | None) -> Image.Image:
    grey = channels == 1 or (channels is None and image.mode in _GREY)
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion cuts all above 255 off
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        drawing = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing)
    return image.convert("L" if grey else "RGB")
