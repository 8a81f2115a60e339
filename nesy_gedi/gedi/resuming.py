"""The whole state of a training, and files that keep such states safe.

Everything that decides what comes next is in it: weights, optimisers, replay buffer, every generator, the
order of the examples and the place in it. A training that goes on from it ends bit for bit as if it had never
stopped, on the same machine with the same number of threads.
"""

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.trainer import Trainer

STATE, PREVIOUS = "state.pt", "state.previous.pt"
_FORMAT = b"nesy-gedi state 1\n"  # then the SHA-256 of the rest, and a line end
_DIGEST = 64


def training_state(trainer: Trainer) -> dict[str, Any]:
    """All that :func:`restore` needs, as tensors, numbers, lists and tables only.

    The tensors are the trainer's own: write them before it takes another step.
    """
    constraint = trainer.constraint
    return {
        "step": trainer.step,
        "epoch": trainer.epoch,
        "order": trainer.order,
        "totals": trainer.totals,
        "spent": trainer.spent,
        "network": trainer.network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "buffer": None if trainer.buffer is None else trainer.buffer.images,
        "generator": trainer.generator.get_state(),
        "naming_generator": trainer.naming_generator.bit_generator.state,
        "constraint": [p.detach() for p in constraint.parameters()] if constraint is not None else [],
    }


def restore(trainer: Trainer, state: dict[str, Any]) -> None:
    """Bring a new trainer, of the same configuration and data, to a state."""
    trainer.step, trainer.epoch, trainer.spent = state["step"], state["epoch"], state["spent"]
    trainer.order = None if state["order"] is None else state["order"].to(trainer.device)
    trainer.totals = state["totals"]
    trainer.network.load_state_dict(state["network"])
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    if trainer.buffer is not None:
        trainer.buffer.images.copy_(state["buffer"])
    trainer.generator.set_state(state["generator"])
    trainer.naming_generator.bit_generator.state = state["naming_generator"]
    if trainer.constraint is not None:
        with torch.no_grad():
            for parameter, saved in zip(trainer.constraint.parameters(), state["constraint"], strict=True):
                parameter.copy_(saved)


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
