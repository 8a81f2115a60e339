"""CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).

The files are Python pickles. They are read by an unpickler that knows only the handful of names that these
files use, each with a harmless stand-in, so that nothing in a file from anywhere can make anything run.
"""

import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.arrays import find_npz
from nesy_gedi.data.download import Download, NotFetchedError, fetch, fetch_command
from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError

_PIXELS = 3 * 32 * 32


class Cifar(NamedTuple):
    """One of the two: its files, as torchvision lays them out, and the keys of labels and names in them."""

    name: str
    title: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels_key: str
    names_key: str
    classes: int

    @property
    def files(self) -> tuple[str, ...]:
        """All that a folder must hold."""
        return (*self.train, self.test, self.meta)


CIFAR10 = Cifar(
    "cifar10",
    "CIFAR-10",
    "cifar-10-batches-py",
    "cifar-10-python.tar.gz",
    tuple(f"data_batch_{k}" for k in range(1, 6)),
    "test_batch",
    "batches.meta",
    "labels",
    "label_names",
    10,
)
CIFAR100 = Cifar(
    "cifar100",
    "CIFAR-100",
    "cifar-100-python",
    "cifar-100-python.tar.gz",
    ("train",),
    "test",
    "meta",
    "fine_labels",
    "fine_label_names",
    100,
)


def load_cifar(cifar: Cifar, data_dir: Path) -> ImageSet:
    """CIFAR from torchvision's folder in ``data_dir``, else from ``NAME.npz`` there.

    Returns:
        50,000 + 10,000 images from the original files; uint8, 3x32x32. CIFAR-100 with its 100 fine labels.

    Raises:
        NotFetchedError: neither is there.
        UserError: files are missing or damaged. The message names the file.
    """
    there = any(os.path.isfile(data_dir / cifar.folder / name) for name in cifar.files)
    if not there and (found := find_npz(data_dir, cifar.name, cifar.classes)):
        return found
    return _load_originals(cifar, data_dir)


def fetch_cifar(cifar: Cifar, data_dir: Path) -> ImageSet:
    """Download the original files with torchvision, checksums verified; see :func:`~.download.fetch`."""

    def run(root: Path) -> object:
        import torchvision.datasets  # half a second to import, and needed only here

        kind = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}
        return kind[cifar.name](root, download=True)

    by_hand = f"unpack {cifar.archive} to"
    download = Download(cifar.title, Path(cifar.folder), cifar.files, run, by_hand)
    return fetch(download, lambda directory: _load_originals(cifar, directory), data_dir)


def _load_originals(cifar: Cifar, data_dir: Path) -> ImageSet:
    folder, command = data_dir / cifar.folder, fetch_command(cifar.name, data_dir)
    missing = [name for name in cifar.files if not os.path.isfile(folder / name)]
    if len(missing) == len(cifar.files):
        raise NotFetchedError(
            f"there is no {cifar.title} in {data_dir} (looked for {cifar.folder} and {cifar.name}.npz): "
            f"run {command}"
        )
    if missing:
        raise UserError(
            f"{cifar.title} in {folder} is incomplete, without {', '.join(missing)}: run {command}"
        )
    try:
        parts = [_read_batch(cifar, folder / name) for name in (*cifar.train, cifar.test)]
        names = _read_names(cifar, folder / cifar.meta)
    except UserError as error:
        raise UserError(f"{error}; run {command}, which replaces damaged files") from error
    *train, test = parts
    images, labels = torch.cat([part[0] for part in train]), torch.cat([part[1] for part in train])
    return ImageSet(cifar.name, f"batches in {folder}", images, labels, *test, cifar.classes, names)


def _read_batch(cifar: Cifar, path: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 ``(n, 3, 32, 32)`` and labels int64 ``(n,)`` of one file."""
    entry = _unpickle(path)
    images, labels = entry.get("data"), entry.get(cifar.labels_key)
    if not isinstance(images, _Array) or not isinstance(labels, list):
        raise UserError(f"{path} is no batch of {cifar.title}: no arrays data and {cifar.labels_key} in it")
    rows = images.rows(path)
    if len(rows) != len(labels):
        raise UserError(f"{path} holds {len(rows):,} images, but {len(labels):,} {cifar.labels_key}")
    if not all(type(label) is int and 0 <= label < cifar.classes for label in labels):
        raise UserError(f"{path} holds {cifar.labels_key} other than 0 to {cifar.classes - 1}")
    return torch.from_numpy(rows).view(-1, 3, 32, 32), torch.tensor(labels)


def _read_names(cifar: Cifar, path: Path) -> tuple[str, ...]:
    names = _unpickle(path).get(cifar.names_key)
    is_text = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is None or not is_text or len(names) != cifar.classes:
        raise UserError(f"{path} has no {cifar.classes} names of classes as {cifar.names_key}")
    return tuple(names)


class _Array:
    """Stands for ``numpy.ndarray``: keeps what a pickle says of an array, and makes one of good bytes."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def rows(self, path: Path) -> np.ndarray:
        """uint8 ``(n, 3072)``, a copy; n is at least 1."""
        try:
            _, (count, pixels), dtype, is_fortran, content = self.state
            data = content.encode("latin1") if isinstance(content, str) else content
            flat = np.frombuffer(data, dtype=np.uint8)
            is_right = count > 0 and pixels == _PIXELS and dtype.kind == "u1"
            rows = flat.reshape(count, pixels, order="F" if is_fortran else "C")
        except (TypeError, ValueError, AttributeError):
            is_right = False
        if not is_right:
            raise UserError(f"{path} holds no rows of {_PIXELS:,} bytes, which are images of 3x32x32")
        return np.array(rows, order="C")


class _DType:
    """Stands for ``numpy.dtype``."""

    def __init__(self, kind: object, *options: object) -> None:
        self.kind = kind

    def __setstate__(self, state: object) -> None:
        pass  # the byte order, which single bytes do not have


def _reconstruct(*options: object) -> _Array:
    """Stands for numpy's function that makes an empty array, to be filled by its state."""
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``: how Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of CIFAR does")
        return _STAND_INS[module, name]


def _unpickle(path: Path) -> dict[Any, Any]:
    """The dictionary in a file of CIFAR; strings of Python 2 become text."""
    try:
        with open(path, "rb") as file:
            entry = _Unpickler(file, encoding="latin1").load()
    except Exception as error:  # unpickling raises nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read as a file of CIFAR ({reason})") from None
    if not isinstance(entry, dict):
        raise UserError(f"{path} is no file of CIFAR: it holds no dictionary")
    return entry
