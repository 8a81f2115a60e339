"""Fetching a data set: a download that is complete or leaves nothing behind."""

import os
import shlex
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError


class NotFetchedError(UserError):
    """The data directory holds nothing of a data set; the message says how to get it."""


class Download(NamedTuple):
    """What is downloaded, and where it lies beneath the data directory, which is torchvision's ``root``.

    Attributes:
        title: what people call the data set, e.g. ``MNIST``.
        folder: folder of the files, beneath the root.
        files: names of the files, all in ``folder``.
        run: lets torchvision download into a root and check the files.
        by_hand: what to do without a download, e.g. ``put a and b into``; the path of the folder follows.
    """

    title: str
    folder: Path
    files: tuple[str, ...]
    run: Callable[[Path], object]
    by_hand: str


def fetch(download: Download, load: Callable[[Path], ImageSet], data_dir: Path) -> ImageSet:
    """Download a data set, unless ``load(data_dir)`` finds good files already; damaged ones are replaced.

    The download goes into a temporary directory on the same disk and is moved when complete, so that a
    failure or Ctrl-C leaves nothing behind.

    Returns:
        The data set, as ``load(data_dir)`` gives it.

    Raises:
        UserError: the directory cannot be written, or the right bytes could not be had.
    """
    try:
        return load(data_dir)
    except UserError:
        pass  # nothing there, or not what should be: the download replaces it
    target = data_dir / download.folder
    # On the target's disk, a move is a rename; in an ancestor of it, a failure leaves not even new folders.
    ancestor = next(path for path in (target.absolute(), *target.absolute().parents) if os.path.exists(path))
    try:
        with TemporaryDirectory(prefix=".nesy-gedi-fetch-", dir=ancestor) as temporary:
            _run(download, Path(temporary), target)
            target.mkdir(parents=True, exist_ok=True)
            for name in download.files:
                os.replace(Path(temporary) / download.folder / name, target / name)
    except OSError as error:
        raise UserError(
            f"cannot write {download.title} to {target}: {error.strerror or error}; "
            "choose another place with --data-dir"
        ) from error
    return load(data_dir)


def fetch_command(name: str, data_dir: Path) -> str:
    """What to type to have a data set fetched into a directory."""
    return f"`nesy-gedi data fetch {name} --data-dir {shlex.quote(str(data_dir))}`"


def _run(download: Download, root: Path, target: Path) -> None:
    """Let torchvision download into ``root``; its many exceptions become one."""
    try:
        download.run(root)
    # RuntimeError: wrong checksum, or every mirror failed; OSError: no network, connection cut, or disk full
    except (RuntimeError, OSError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"download of {download.title} failed ({reason}); nothing was kept: try again later, or "
            f"{download.by_hand} {target} by hand"
        ) from error
