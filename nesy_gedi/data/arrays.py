"""Image sets in an ``.npz`` with the keys that Keras' data sets have."""

import os
import zipfile
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")
_IMAGES = "uint8 images (n, height, width) or (n, height, width, 1 or 3)"


def load_npz(path: Path, name: str, classes: int | None = None) -> ImageSet:
    """Images, and labels if there are any, from a file that ``np.savez`` wrote.

    ``x_train`` and ``x_test`` are uint8, ``(n, height, width)`` or ``(n, height, width, channels)`` with one
    or three channels; ``y_train`` and ``y_test``, each of which may be left out, are integers from 0,
    ``(n,)`` or ``(n, 1)``. Without either of them the image set's source names the file's other keys, since
    one of them may be meant for labels. Pickled objects in the file are not unpacked.

    Args:
        path: the file.
        name: what the data set is called.
        classes: how many there are; None for one more than the largest label, 0 without labels.

    Raises:
        UserError: the file cannot be read, a key is missing, or an array is not as it should be. The message
            names file and key.
    """
    arrays, others = _read(path)
    train, test = (_images(arrays[key], f"{path}: {key}") for key in ("x_train", "x_test"))
    if train.shape[1:] != test.shape[1:]:
        shapes = [" ".join(map(str, arrays[key].shape[1:])) for key in ("x_train", "x_test")]
        raise UserError(f"{path}: x_train has images of {shapes[0]}, x_test of {shapes[1]}: make them equal")
    most = classes if classes is not None else len(train) + len(test)
    labels = [
        _labels(arrays[key], f"{path}: {key}", len(images), most) if key in arrays else None
        for key, images in (("y_train", train), ("y_test", test))
    ]
    if classes is None:
        classes = max((int(found.max()) + 1 for found in labels if found is not None), default=0)
    source = f"arrays in {path}"
    if others and not any(found is not None for found in labels):
        source += f" (no y_train or y_test in it, but {', '.join(others)})"
    return ImageSet(name, source, train, labels[0], test, labels[1], classes)


def find_npz(data_dir: Path, name: str, classes: int) -> ImageSet | None:
    """The data set in ``NAME.npz`` of the data directory; None if there is no such file.

    Raises:
        UserError: as :func:`load_npz`.
    """
    path = data_dir / f"{name}.npz"
    return load_npz(path, name, classes) if os.path.isfile(path) else None


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Those of the four arrays that the file has, the images at least, and the names of its other keys."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is no .npz, or cut off: write {', '.join(KEYS)} with np.savez")
        with np.load(path, allow_pickle=False) as opened:
            _check_keys(path, opened.files)
            arrays = {key: _array(path, opened, key) for key in KEYS if key in opened.files}
            return arrays, [key for key in opened.files if key not in KEYS]
    except UserError:
        raise
    except Exception as error:  # zipfile and numpy raise many kinds on damaged files
        raise UserError(
            f"{path} cannot be read as an .npz ({_reason(error)}): write it with np.savez"
        ) from None


def _array(path: Path, opened: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array: np.ndarray = opened[key]
    except (Exception, MemoryError) as error:
        raise UserError(f"{path}: {key} cannot be read ({_reason(error)}): write the file anew") from None
    if not isinstance(array, np.ndarray):  # numpy hands out files that are no arrays as bytes
        raise UserError(f"{path}: {key} is no array: write the file with np.savez")
    return array


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_keys(path: Path, found: Collection[str]) -> None:
    """Refuse a file without images, and one whose labels go by another name and would be passed over."""
    others = {key.lower(): key for key in found if key not in KEYS}
    for key in KEYS:
        meant = get_close_matches(key, others, n=1, cutoff=0.8)
        if key in found or (key.startswith("y") and not meant):
            continue
        hint = f"rename {others[meant[0]]}" if meant else f"it holds {', '.join(found) or 'nothing'}"
        raise UserError(f"{path} has no {key}: {hint}; the keys are {', '.join(KEYS)}, labels optional")


def _images(array: np.ndarray, where: str) -> Tensor:
    """uint8 ``(n, channels, height, width)``."""
    if array.dtype != np.uint8:
        raise UserError(f"{where} is {array.dtype}, expected {_IMAGES}: scale to 0..255 and save as uint8")
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)) or not array.size:
        raise UserError(f"{where} has the shape {array.shape}, expected {_IMAGES}, none of them 0")
    rows = torch.from_numpy(array)
    return (rows.unsqueeze(1) if rows.ndim == 3 else rows.permute(0, 3, 1, 2)).contiguous()


def _labels(array: np.ndarray, where: str, images: int, most: int) -> Tensor:
    """int64 ``(n,)`` in ``0 .. most - 1``."""
    if array.dtype.kind not in "iu":
        raise UserError(f"{where} is {array.dtype}, expected integers, one for each image")
    if array.shape not in ((images,), (images, 1)):
        raise UserError(
            f"{where} has the shape {array.shape}, but there are {images:,} images: ({images},) is expected"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= most:
        raise UserError(
            f"{where} holds the label {low if low < 0 else high}, expected 0 to {most - 1:,}: "
            "number the classes from 0"
        )
    return torch.from_numpy(array.reshape(-1).astype(np.int64))
