"""Projector and the one network of GEDI, from which everything else is read off."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nesy_gedi.errors import UserError, check_ranges, unknown
from nesy_gedi.gedi import convolutional, dense
from nesy_gedi.gedi.encoders import LEAK, MLP, ResNet, kaiming


@dataclass(frozen=True)
class NetworkConfig:
    """What is needed to build a :class:`GEDINetwork` again.

    Attributes:
        encoder: ``resnet`` (Table 8) for images, ``mlp`` for vectors or small images.
        width: channels of every convolution, or units of every hidden layer.
        channels: of one input ``(channels, image_height, image_width)``; vectors are ``(d, 1, 1)``.
        image_height: of one input, pixels.
        image_width: of one input, pixels.
        classes: number of clusters c, the length of the logits.
        encoder_output: units of a linear layer after the MLP's hidden ones; 0 for none.
        projector_hidden: units of the projector's hidden layer; 0 for a linear projector.
        projector_norm: batch normalisation before the projector's nonlinearity (SwAV, Barlow Twins).
        projection: units of the projector's output, which is compared with c prototypes by cosine
            similarity (SwAV); 0 for c units that are the logits themselves.
        temperature: τ > 0 divides L2-normalised projector outputs, which bounds the energy to
            [-1/τ - ln c, 1/(τ√c) - ln c]; 0 takes the projector's output as it is (unbounded).
        initialisation: ``torch`` for PyTorch's own; ``centred`` for Kaiming's (He et al. 2015) with
            :meth:`GEDINetwork.centre`, without which all images start in one cluster.

    Raises:
        UserError: a value is out of its range, a name unknown, prototypes have no temperature, or a ResNet
            an ``encoder_output``.
    """

    encoder: str = "resnet"
    width: int = 32
    channels: int = 1
    image_height: int = 28
    image_width: int = 28
    classes: int = 10
    encoder_output: int = 0
    projector_hidden: int = 0
    projector_norm: bool = False
    projection: int = 0
    temperature: float = 0.1
    initialisation: str = "centred"

    def __post_init__(self) -> None:
        if self.encoder not in ("resnet", "mlp"):
            raise unknown("encoder", self.encoder, ("resnet", "mlp"))
        if self.initialisation not in ("centred", "torch"):
            raise unknown("initialisation", self.initialisation, ("centred", "torch"))
        sizes = ("width", "channels", "image_height", "image_width", "classes")
        check_ranges(self, dict.fromkeys(sizes, (1, math.inf)))
        check_ranges(self, dict.fromkeys(("temperature", "projector_hidden"), (0, math.inf)))
        check_ranges(self, dict.fromkeys(("encoder_output", "projection"), (0, math.inf)))
        if self.projection and not self.temperature:
            raise UserError("prototypes are compared on the sphere: projection needs a temperature above 0")
        if self.encoder_output and self.encoder != "mlp":
            raise UserError("encoder_output is a layer of the mlp; the resnet has as many features as width")


class GEDINetwork(nn.Module):
    """One network read three ways: logits, cluster posterior and energy.

    With logits f(x), ``p(y|x) = softmax(f(x))``, ``E(x) = -logsumexp(f(x))`` and
    ``p(x) = exp(-E(x)) / Z`` (paper, Section 2).

    Args:
        config: shapes and sizes.
        precision: one of :data:`~nesy_gedi.gedi.precision.PRECISIONS` but ``auto``; it is the ResNet's,
            logits are always fp32.
    """

    def __init__(self, config: NetworkConfig, precision: str = "fp32") -> None:
        super().__init__()
        self.config = config
        self.precision = precision
        self.encoder = _encoder(config)
        self.projector = _projector(self.encoder.features, config)
        self.prototypes = (
            nn.Linear(config.projection, config.classes, bias=False) if config.projection else None
        )
        if config.initialisation == "centred":
            self.encoder.apply(kaiming)

    @property
    def last_layer(self) -> nn.Linear:
        """The layer whose rows are the clusters."""
        return self.prototypes or cast(nn.Linear, self.projector[-1])

    def features(self, images: Tensor) -> Tensor:
        """Encoder output ``(batch, width)``, fp32."""
        # an MLP is too small to gain anything from bf16
        if isinstance(self.encoder, MLP) or self.precision == "fp32":
            return cast(Tensor, self.encoder(images))
        return convolutional.features(self.encoder.kernels(self._type), images)

    def project(self, features: Tensor) -> Tensor:
        """The projector's output for features ``(batch, width)``: ``(batch, units)``."""
        if dense.is_dense(self.projector):
            return dense.apply(self.projector, features)
        return cast(Tensor, self.projector(features))

    def head(self, projection: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` from the projector's output ``(batch, units)``."""
        temperature = self.config.temperature
        if not temperature:
            return projection
        direction = F.normalize(projection, dim=1)
        if self.prototypes is not None:
            direction = F.linear(direction, F.normalize(self.prototypes.weight, dim=1))
        return direction / temperature

    def logits(self, images: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to f(x) ``(batch, classes)``, fp32, in nats."""
        return self.head(self.project(self.features(images)))

    forward = logits

    def posterior(self, images: Tensor) -> Tensor:
        """Cluster posterior p(y|x) ``(batch, classes)``."""
        return self.logits(images).softmax(1)

    def energy(self, images: Tensor) -> Tensor:
        """E(x) = -logsumexp(f(x)) ``(batch,)``, nats."""
        return energy_of(self.logits(images))

    @torch.no_grad()
    def energy_gradient(self) -> Callable[[Tensor], Tensor]:
        """∂E/∂x with the present weights, nats, detached: a map of ``(batch, channels, height, width)``."""
        dense_head = dense.is_dense(self.projector) and self.prototypes is None
        temperature = self.config.temperature
        if isinstance(self.encoder, MLP) and dense_head:
            return partial(dense.energy_gradient, [*self.encoder.layers(), *self.projector], temperature)
        if isinstance(self.encoder, MLP) or self.precision == "fp32":
            return gradient_of(self.energy)
        of_features = (
            partial(dense.energy_gradient, self.projector, temperature)
            if dense_head
            else gradient_of(lambda features: energy_of(self.head(self.project(features))))
        )
        return partial(convolutional.image_gradient, self.encoder.kernels(self._type), of_features)

    @property
    def _type(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @torch.no_grad()
    def centre(self, images: Tensor) -> None:
        """Shift and scale every projector layer: outputs on ``images`` get mean 0 and mean variance 1.

        L2-normalised outputs then point in all directions at the start of training.
        """
        hidden = self.features(images)
        for layer in self.projector:
            if isinstance(layer, nn.Linear):
                outputs = layer(hidden)
                spread = outputs.var(0, correction=0).mean().sqrt()
                spread = torch.where(spread > 0, spread, 1.0)  # one image, or equal ones
                layer.bias.copy_((layer.bias - outputs.mean(0)) / spread)
                layer.weight.div_(spread)
            hidden = layer(hidden)


def energy_of(logits: Tensor) -> Tensor:
    """E = -logsumexp of logits ``(batch, classes)``: ``(batch,)``, nats."""
    return -logits.logsumexp(1)


def gradient_of(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The gradient of an energy whose rows do not depend on each other, by autograd.

    Args:
        energy: ``(batch, ...)`` to ``(batch,)``, nats.

    Returns:
        ``(batch, ...)`` to its gradient, detached; other gradients than this one are not touched.
    """

    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            return torch.autograd.grad(energy(x).sum(), x)[0]

    return gradient


def _encoder(config: NetworkConfig) -> MLP | ResNet:
    if config.encoder == "resnet":
        if min(config.image_height, config.image_width) < 4:
            raise UserError(
                f"the resnet needs images of at least 4x4 pixels, these are "
                f"{config.image_height}x{config.image_width}; use encoder = 'mlp'"
            )
        return ResNet(config.channels, config.width)
    inputs = config.channels * config.image_height * config.image_width
    return MLP(inputs, config.width, config.encoder_output)


def _projector(inputs: int, config: NetworkConfig) -> nn.Sequential:
    hidden, outputs = config.projector_hidden, config.projection or config.classes
    if not hidden:
        return nn.Sequential(nn.Linear(inputs, outputs))
    norm = [nn.BatchNorm1d(hidden)] if config.projector_norm else []
    return nn.Sequential(nn.Linear(inputs, hidden), *norm, nn.LeakyReLU(LEAK), nn.Linear(hidden, outputs))
