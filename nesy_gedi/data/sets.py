"""The table of data sets, and what else ``--dataset`` takes: a folder of images, or an ``.npz``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nesy_gedi.data.arrays import load_npz
from nesy_gedi.data.cifar import CIFAR10, CIFAR100, fetch_cifar, load_cifar
from nesy_gedi.data.folder import load_folder
from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import fetch_mnist, load_mnist, resolve_data_dir
from nesy_gedi.data.svhn import fetch_svhn, load_svhn
from nesy_gedi.data.toys import load_circles, load_moons
from nesy_gedi.errors import UserError, unknown


class DataSet(NamedTuple):
    """How a data set is had.

    Attributes:
        load: the images from a data directory; True if the user has named it.
        fetch: download into a data directory what ``load`` reads, and load it; None where nothing is needed.
        download_mb: size of that download, megabytes.
        licence: the licence, and whose the data set is.
    """

    load: Callable[[Path, bool], ImageSet]
    fetch: Callable[[Path], ImageSet] | None
    download_mb: int
    licence: str


_CIFAR_LICENCE = "none stated by the author, Alex Krizhevsky (2009)"
_TOY_LICENCE = "BSD-3-Clause, as scikit-learn, which makes the points"

DATA_SETS = {
    "moons": DataSet(lambda data_dir, named: load_moons(), None, 0, _TOY_LICENCE),
    "circles": DataSet(lambda data_dir, named: load_circles(), None, 0, _TOY_LICENCE),
    "mnist": DataSet(
        load_mnist,
        fetch_mnist,
        12,
        "CC BY-SA 3.0, Yann LeCun, Corinna Cortes, Christopher J. C. Burges",
    ),
    "svhn": DataSet(
        lambda data_dir, named: load_svhn(data_dir),
        fetch_svhn,
        246,
        "for non-commercial use only, Yuval Netzer et al. (2011)",
    ),
    "cifar10": DataSet(
        lambda data_dir, named: load_cifar(CIFAR10, data_dir),
        lambda data_dir: fetch_cifar(CIFAR10, data_dir),
        170,
        _CIFAR_LICENCE,
    ),
    "cifar100": DataSet(
        lambda data_dir, named: load_cifar(CIFAR100, data_dir),
        lambda data_dir: fetch_cifar(CIFAR100, data_dir),
        169,
        _CIFAR_LICENCE,
    ),
}


def data_set(name: str) -> DataSet:
    """A data set of the table by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in DATA_SETS:
        raise unknown("data set", name, DATA_SETS)
    return DATA_SETS[name]


def load_data_set(name: str, data_dir: str | None) -> ImageSet:
    """The images of a data set.

    Args:
        name: what the user calls it: a name of the table, else the path of a folder of images
            (:func:`~nesy_gedi.data.folder.load_folder`) or of an ``.npz``
            (:func:`~nesy_gedi.data.arrays.load_npz`).
        data_dir: the option ``--data-dir``, if it was given; paths are not relative to it.

    Raises:
        UserError: there is none of that name, or its files are missing or damaged.
    """
    path = Path(os.path.expanduser(name))
    if name and name not in DATA_SETS:
        if os.path.isdir(path):
            return load_folder(path, name)
        if os.path.isfile(path):
            return load_npz(path, name)
        raise UserError(f"{unknown('data set', name, DATA_SETS)}, or name a folder of images or an .npz file")
    return data_set(name).load(*resolve_data_dir(data_dir))
