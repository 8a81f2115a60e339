"""Files that keep the states of a training safe."""

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nesy_gedi.errors import UserError
from nesy_gedi.run_files import PREVIOUS, STATE

_FORMAT = b"nesy-gedi state 2\n"  # then the SHA-256 of the rest, and a line end
_DIGEST = 64


class StateFiles:
    """The last two states of a run, in its folder; the older one is there in case the newer is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Write a state whole, and keep the one before it.

        Raises:
            OSError: it cannot be written; the states that were there are still there.
        """
        content = io.BytesIO()
        torch.save(state, content)
        payload = content.getbuffer()
        newest, partial = self.folder / STATE, self.folder / f"{STATE}.partial"
        try:
            with partial.open("wb") as file:
                file.write(_FORMAT + hashlib.sha256(payload).hexdigest().encode() + b"\n")
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())  # or a power cut leaves the name of the new state on none of it
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        if newest.exists():
            newest.replace(self.folder / PREVIOUS)
        partial.replace(newest)

    def load(self) -> Iterator[dict[str, Any] | str]:
        """The states that can be read, newest first; for each that cannot, a sentence that says why."""
        for name in (STATE, PREVIOUS):
            if (self.folder / name).exists():
                try:
                    yield _read(self.folder / name)
                except UserError as error:
                    yield str(error)

    def remove(self) -> None:
        """When the run is finished, nothing needs them."""
        for name in (STATE, PREVIOUS):
            (self.folder / name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    if not content.startswith(_FORMAT):
        raise UserError(f"{path} is damaged, or of another version: it does not begin as a state does")
    start = len(_FORMAT) + _DIGEST + 1
    digest, payload = content[len(_FORMAT) : start - 1], content[start:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise UserError(f"{path} is damaged: its digest is not that of its content")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path} cannot be read by this version of PyTorch ({error})") from error
    return state
