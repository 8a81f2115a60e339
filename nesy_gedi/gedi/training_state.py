"""The whole state of a training.

Everything that decides what comes next is in it: weights, optimisers, replay buffer, every generator, the
order of the examples and the place in it. A training that goes on from it ends bit for bit as if it had never
stopped, on the same machine with the same number of threads.
"""

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from nesy_gedi.gedi.trainer import Trainer


def training_state(trainer: "Trainer") -> dict[str, Any]:
    """All that :func:`restore` needs, as tensors, numbers, lists and tables only.

    The tensors are the trainer's own: write or copy them before it takes another step.
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
        "guard": trainer.guard.state(),
        "constraint": [p.detach() for p in constraint.parameters()] if constraint is not None else [],
    }


def restore(trainer: "Trainer", state: dict[str, Any]) -> None:
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
    if state["guard"] is not None:
        trainer.guard.restore(state["guard"])
    if trainer.constraint is not None:
        with torch.no_grad():
            for parameter, saved in zip(trainer.constraint.parameters(), state["constraint"], strict=True):
                parameter.copy_(saved)
