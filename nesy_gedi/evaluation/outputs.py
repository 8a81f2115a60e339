"""What a network gives for a set of images, computed once and shared by all measures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nesy_gedi.data.images import to_float
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.networks import GEDINetwork


@dataclass(frozen=True, eq=False)
class Outputs:
    """A network read at three depths, for n images, fp32, on the CPU.

    Attributes:
        features: the encoder's output ``(n, width)``.
        projections: the projector's output ``(n, units)``.
        logits: f(x) ``(n, clusters)``, nats.
    """

    features: Tensor
    projections: Tensor
    logits: Tensor

    @property
    def predicted(self) -> Tensor:
        """Most likely cluster ``(n,)``."""
        return self.logits.argmax(1)

    def at(self, chosen: Tensor) -> "Outputs":
        """Those of some images: a mask ``(n,)``, or positions."""
        return Outputs(self.features[chosen], self.projections[chosen], self.logits[chosen])


@torch.no_grad()
def outputs_of(network: GEDINetwork, images: Tensor, chunk: int = 500) -> Outputs:
    """Features, projections and logits of images.

    Args:
        network: put into evaluation mode.
        images: uint8 ``(n, channels, height, width)``, or float32 ``(n, d, 1, 1)``; n is 1 or more.
        chunk: images per pass; it decides memory and speed, not the result.

    Raises:
        UserError: a number is infinite or none at all, so no measure would mean anything.
    """
    network.eval()
    device = next(network.parameters()).device
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for part in images.split(chunk):
        features = network.features(to_float(part.to(device)))
        projections = network.project(features)
        parts.append((features.cpu(), projections.cpu(), network.head(projections).cpu()))
    outputs = Outputs(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
    if not bool(outputs.logits.isfinite().all()):
        raise UserError("the network gives logits that are no finite numbers: its training diverged")
    return outputs
