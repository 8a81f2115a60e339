"""SVHN's cropped digits.

Netzer et al., "Reading digits in natural images with unsupervised feature learning", NIPS workshop on deep
learning and unsupervised feature learning, 2011.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.arrays import find_npz
from nesy_gedi.data.download import Download, NotFetchedError, fetch, fetch_command
from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError

CLASSES = 10
FILES = ("train_32x32.mat", "test_32x32.mat")


def load_svhn(data_dir: Path) -> ImageSet:
    """SVHN from the two MATLAB files in ``data_dir``, else from ``svhn.npz`` there.

    Returns:
        73,257 + 26,032 images from the original files (without "extra"); uint8, 3x32x32. The digit 0, which
        the files call 10, has the label 0.

    Raises:
        NotFetchedError: neither is there.
        UserError: a file is missing or damaged. The message names it.
    """
    there = any(os.path.isfile(data_dir / name) for name in FILES)
    if not there and (found := find_npz(data_dir, "svhn", CLASSES)):
        return found
    return _load_originals(data_dir)


def fetch_svhn(data_dir: Path) -> ImageSet:
    """Download both files with torchvision, checksums verified; see :func:`~.download.fetch`."""
    by_hand = f"put {' and '.join(FILES)} into"
    return fetch(Download("SVHN", Path(), FILES, _download, by_hand), _load_originals, data_dir)


def _download(root: Path) -> None:
    from torchvision.datasets import SVHN  # half a second to import, and needed only here

    for split in ("train", "test"):
        SVHN(root, split=split, download=True)


def _load_originals(data_dir: Path) -> ImageSet:
    command = fetch_command("svhn", data_dir)
    missing = [name for name in FILES if not os.path.isfile(data_dir / name)]
    if len(missing) == len(FILES):
        raise NotFetchedError(
            f"there is no SVHN in {data_dir} (looked for {FILES[0]}, {FILES[1]} and svhn.npz): run {command}"
        )
    if missing:
        raise UserError(f"SVHN in {data_dir} is incomplete, without {', '.join(missing)}: run {command}")
    try:
        train, test = (_read(data_dir / name) for name in FILES)
    except UserError as error:
        raise UserError(f"{error}; run {command}, which replaces damaged files") from error
    return ImageSet("svhn", f"MATLAB files in {data_dir}", *train, *test, CLASSES)


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 ``(n, 3, 32, 32)`` and labels int64 ``(n,)`` of one file."""
    from scipy.io import loadmat  # a third of a second to import

    try:
        found = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # scipy raises nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as a MATLAB file ({reason})") from None
    images, labels = found.get("X"), found.get("y")
    if images is None or labels is None:
        raise UserError(f"{path} is no file of SVHN: it has no X and y")
    if images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3) or not images.size:
        raise UserError(f"{path}: X is {images.dtype} {images.shape}, expected uint8 (32, 32, 3, n)")
    if labels.dtype.kind not in "iuf" or labels.shape != (images.shape[-1], 1):
        raise UserError(f"{path}: y is {labels.dtype} {labels.shape}, expected ({images.shape[-1]}, 1)")
    if not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(f"{path}: y holds other labels than 1 to 10")
    digits = labels[:, 0].astype(np.int64) % 10
    rows = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return torch.from_numpy(rows), torch.from_numpy(digits)
