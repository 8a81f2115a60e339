"""The optimisers of a network, and their common learning-rate schedule."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from nesy_gedi.gedi.networks import GEDINetwork

OPTIMIZERS = ("muon", "adam")
_WARM_UP = 0.1  # share of the training


def make_optimizers(
    network: GEDINetwork,
    name: str,
    learning_rate: float,
    muon_learning_rate: float,
    weight_decay: float,
    beta2: float = 0.99,
    others: Sequence[nn.Parameter] = (),
) -> list[torch.optim.Optimizer]:
    """Adam for all parameters, or Muon for the matrices between hidden layers and Adam for the others.

    Muon (Jordan et al., 2024) orthogonalises the momentum of a matrix, so that all its directions move
    alike; on the paper's ResNet, which has no normalisation layers, it needs far fewer steps.

    Args:
        network: what to train.
        name: ``muon`` or ``adam``.
        learning_rate: Adam's.
        muon_learning_rate: Muon's: the spectral norm of one update.
        weight_decay: L2 penalty in Adam's gradient; Muon has none.
        beta2: decay of Adam's average of squared gradients.
        others: parameters beside the network's, for Adam without penalty.
    """
    hidden = network.encoder.hidden_weights() if name == "muon" else []
    matrices = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in matrices]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(rest, lr=learning_rate, betas=(0.9, beta2), weight_decay=weight_decay, fused=True)
    ]
    if hidden:
        optimizers.append(torch.optim.Muon(hidden, lr=muon_learning_rate, weight_decay=0.0))
    if others:
        optimizers[0].add_param_group({"params": list(others), "weight_decay": 0.0})
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def set_learning_rate(
    optimizers: list[torch.optim.Optimizer],
    schedule: str,
    progress: float,
    scale: float = 1.0,
    warm_up: float = 0.0,
) -> None:
    """Set every learning rate for a share ``progress`` in [0, 1] of the training.

    Args:
        optimizers: of one training, from :func:`make_optimizers`.
        schedule: ``constant``, or ``cosine`` for :func:`cosine_factor`.
        progress: share of the training that is done.
        scale: times all of them.
        warm_up: share over which a constant schedule rises from near 0.
    """
    rising = min(1.0, max(progress, 1e-3) / warm_up) if warm_up else 1.0
    factor = scale * (rising if schedule == "constant" else cosine_factor(progress))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group["peak"]


def cosine_factor(progress: float) -> float:
    """Linear warm-up from near 0 to 1 over a tenth of the training, then half a cosine to 0, and no more."""
    progress = min(progress, 1.0)
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
