"""The table of data sets: what ``--dataset`` names."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import fetch_mnist, load_mnist, resolve_data_dir
from nesy_gedi.errors import unknown


class DataSet(NamedTuple):
    """How a data set is loaded from a folder (True: the user has named it) and fetched, and its licence."""

    load: Callable[[Path, bool], ImageSet]
    fetch: Callable[[Path], None]
    licence: str


DATA_SETS = {
    "mnist": DataSet(
        load_mnist,
        fetch_mnist,
        "CC BY-SA 3.0, Yann LeCun, Corinna Cortes, Christopher J. C. Burges",
    )
}


def data_set(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in DATA_SETS:
        raise unknown("data set", name, DATA_SETS)
    return DATA_SETS[name]


def load_data_set(name: str, data_dir: str | None) -> ImageSet:
    """The images of a data set.

    Args:
        name: what the user calls it.
        data_dir: the option ``--data-dir``, if it was given.

    Raises:
        UserError: there is none of that name, or its files are missing or damaged.
    """
    return data_set(name).load(*resolve_data_dir(data_dir))
