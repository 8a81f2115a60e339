"""One process at a time trains in a run's folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nesy_gedi.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "lock"
_held: set[Path] = set()  # by this process, so that what it calls may ask for them again


class BeingTrainedError(UserError):
    """Another process trains in this folder."""


@contextmanager
def training(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder.

    The operating system lets go of the lock when the process ends, however it ends; its file may stay
    behind and does no harm. Within one process it may be taken again while it is held. A folder that is
    not there holds no run, and nothing is locked.

    Args:
        folder: of the run.

    Raises:
        BeingTrainedError: another process has it.
        UserError: the folder cannot be written.
    """
    place = folder.resolve()
    if place in _held or not folder.is_dir():
        yield
        return
    path = folder / LOCK
    try:
        descriptor = _locked(path)
    except OSError as error:
        raise UserError(
            f"cannot lock {folder} ({error.strerror}): choose another folder with --out"
        ) from error
    if descriptor is None:
        raise BeingTrainedError(
            f"{folder} is being trained by another process: wait for it, or choose another run"
        )
    _held.add(place)
    try:
        yield
    finally:
        _held.discard(place)
        with suppress(OSError):  # Windows removes no open files
            path.unlink()
        _let_go(descriptor)


def is_being_trained(folder: Path) -> bool:
    """Whether a process has a run's folder, this one included; for a message, since it may change at once."""
    if folder.resolve() in _held:
        return True
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    except OSError:  # some file systems lock only what is open for writing
        return False
    finally:
        _let_go(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor of the file that lies at the path, locked; None if another process has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor):
                os.close(descriptor)
                return None
            # the one who had it may have removed the file since it was opened: a lock that nobody sees
            if _lies_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether it could be had at once."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if sys.platform == "win32" or isinstance(error, BlockingIOError):
            return False
        raise
    return True


def _let_go(descriptor: int) -> None:
    if sys.platform != "win32":  # closing alone would leave it to a child process that is still there
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
