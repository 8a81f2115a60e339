"""Encoders, projector and the one network of GEDI, from which everything else is read off."""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nesy_gedi.errors import UserError, check_ranges, unknown

LEAK = 0.2  # negative slope of every LeakyReLU (paper, Tables 6 and 8)


@dataclass(frozen=True)
class NetworkConfig:
    """What is needed to build a :class:`GEDINetwork` again.

    Attributes:
        encoder: ``resnet`` (Table 8) for images, ``mlp`` for vectors or small images.
        width: channels of every convolution, or units of every hidden layer.
        channels, image_height, image_width: shape of one input; vectors are ``(d, 1, 1)``.
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


class MLP(nn.Module):
    """Two hidden layers with LeakyReLU, and a linear one if asked: ``(batch, *shape)`` to ``(batch, d)``."""

    def __init__(self, inputs: int, width: int, output: int = 0) -> None:
        super().__init__()
        self.features = output or width
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, output) if output else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(batch, d)``."""
        hidden = F.leaky_relu(self.first(images.flatten(1)), LEAK)
        features: Tensor = self.last(F.leaky_relu(self.second(hidden), LEAK))
        return features

    def hidden_weights(self) -> list[Tensor]:
        """The matrices between hidden layers."""
        return [self.second.weight]


class Convolution(nn.Linear):
    """A padded convolution whose kernel is stored as a matrix ``(outputs, inputs * size * size)``.

    A convolution is a linear map of patches; as a matrix its weight can be orthogonalised by Muon.
    """

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs * size * size, outputs)
        self.shape = (outputs, inputs, size, size)

    def kernel(self) -> Tensor:
        """The weight as ``(outputs, inputs, size, size)``."""
        return self.weight.view(self.shape)

    def forward(self, images: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` to ``(batch, outputs, height, width)``."""
        return F.conv2d(images, self.kernel(), self.bias, padding=self.shape[-1] // 2)

    def then_pool(self, images: Tensor) -> Tensor:
        """``avg_pool2d(self(images), 2)`` as one convolution of stride 2 with a kernel one larger.

        Both are linear, so the average of the four shifted kernels gives the same result; of a 3x3
        convolution with 4/9 of the multiplications.
        """
        kernel = self.kernel()
        columns = F.pad(kernel, (0, 1)) + F.pad(kernel, (1, 0))
        kernel = F.pad(columns, (0, 0, 0, 1)) + F.pad(columns, (0, 0, 1, 0))
        return F.conv2d(images, kernel / 4, self.bias, stride=2, padding=self.shape[-1] // 2)


class ResNet(nn.Module):
    """The paper's 8-layer ResNet (Table 8): ``(batch, channels, height, width)`` to ``(batch, F)``.

    Four residual blocks of two 3x3 convolutions, no normalisation layers; blocks 1 and 2 halve the
    resolution, the fourth is averaged over all positions. Any image of at least 4x4 pixels.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = width
        self.convolutions = nn.ModuleList(
            Convolution(inputs, width, 3) for inputs in (channels, *[width] * 7)
        )
        self.shortcut = Convolution(channels, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(batch, F)``, averaged over positions."""
        conv = cast(list[Convolution], self.convolutions)
        hidden = conv[1].then_pool(F.leaky_relu(conv[0](images), LEAK))
        hidden = hidden + self.shortcut.then_pool(images)
        inner = conv[2](F.leaky_relu(hidden, LEAK))
        hidden = conv[3].then_pool(F.leaky_relu(inner, LEAK)) + F.avg_pool2d(hidden, 2)
        for first, second in ((conv[4], conv[5]), (conv[6], conv[7])):
            inner = first(F.leaky_relu(hidden, LEAK))
            hidden = hidden + second(F.leaky_relu(inner, LEAK))
        return hidden.mean((2, 3))

    def hidden_weights(self) -> list[Tensor]:
        """The matrices between hidden layers: all 3x3 convolutions but the first."""
        return [conv.weight for conv in cast(list[Convolution], self.convolutions)[1:]]


class GEDINetwork(nn.Module):
    """One network read three ways: logits, cluster posterior and energy.

    With logits f(x), ``p(y|x) = softmax(f(x))``, ``E(x) = -logsumexp(f(x))`` and
    ``p(x) = exp(-E(x)) / Z`` (paper, Section 2).

    Args:
        config: shapes and sizes.
        precision: ``fp32`` or ``bf16``; bf16 is used inside the encoder only, logits are always fp32.
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
            self.encoder.apply(_kaiming)

    @property
    def last_layer(self) -> nn.Linear:
        """The layer whose rows are the clusters."""
        return self.prototypes or cast(nn.Linear, self.projector[-1])

    def features(self, images: Tensor) -> Tensor:
        """Encoder output ``(batch, width)``, fp32."""
        if isinstance(self.encoder, MLP):  # too small to gain anything from bf16
            return cast(Tensor, self.encoder(images))
        device = images.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            images = images.contiguous(memory_format=torch.channels_last)
            features: Tensor = self.encoder(images)
        return features.float()

    def project(self, features: Tensor) -> Tensor:
        """The projector's output for features ``(batch, width)``: ``(batch, units)``."""
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


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


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
