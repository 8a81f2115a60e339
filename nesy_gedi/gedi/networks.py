"""Encoders, projector and the one network of GEDI, from which everything else is read off."""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nesy_gedi.errors import UserError, unknown

LEAK = 0.2  # negative slope of every LeakyReLU (paper, Tables 6 and 8)


@dataclass(frozen=True)
class NetworkConfig:
    """What is needed to build a :class:`GEDINetwork` again.

    Attributes:
        encoder: ``resnet`` (Table 8) for images, ``mlp`` for vectors or small images.
        width: channels of every convolution, or units of every hidden layer.
        channels, height, width_pixels: shape of one input; vectors are ``(d, 1, 1)``.
        classes: number of clusters c, the length of the logits.
        projector_hidden: units of the projector's hidden layer; 0 for a linear projector.
        temperature: τ > 0 divides L2-normalised projector outputs, which bounds the energy to
            [-1/τ - ln c, 1/τ]; 0 takes the projector's output as it is (unbounded).
        initialisation: ``torch`` for PyTorch's own; ``centred`` for Kaiming's (He et al. 2015) with
            :meth:`GEDINetwork.centre`, without which all images start in one cluster.
    """

    encoder: str = "resnet"
    width: int = 32
    channels: int = 1
    height: int = 28
    width_pixels: int = 28
    classes: int = 10
    projector_hidden: int = 0
    temperature: float = 0.1
    initialisation: str = "centred"

    def __post_init__(self) -> None:
        if self.encoder not in ("resnet", "mlp"):
            raise unknown("encoder", self.encoder, ("resnet", "mlp"))
        if self.initialisation not in ("centred", "torch"):
            raise unknown("initialisation", self.initialisation, ("centred", "torch"))
        if self.temperature < 0:
            raise UserError(f"temperature must be 0 (unbounded logits) or more, not {self.temperature}")
        if min(self.width, self.classes, self.channels) < 1:
            raise UserError(f"width, classes and channels must be at least 1, not {self}")


class MLP(nn.Module):
    """Two hidden layers with LeakyReLU: ``(batch, *shape)`` to features ``(batch, width)``."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.features = width
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, width),
            nn.LeakyReLU(LEAK),
            nn.Linear(width, width),
            nn.LeakyReLU(LEAK),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(batch, width)``."""
        return self.layers(images)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """The paper's 8-layer ResNet (Table 8): ``(batch, channels, height, width)`` to ``(batch, F)``.

    Four residual blocks of two 3x3 convolutions, no normalisation layers; blocks 1 and 2 halve the
    resolution, the fourth is averaged over all positions. Any image of at least 4x4 pixels.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = width
        inputs = [channels] + [width] * 7
        self.convolutions = nn.ModuleList(nn.Conv2d(i, width, 3, padding=1) for i in inputs)
        self.shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(batch, F)``, averaged over positions."""
        conv = self.convolutions
        hidden = conv_then_pool(conv[1], F.leaky_relu(conv[0](images), LEAK))
        hidden = hidden + self.shortcut(F.avg_pool2d(images, 2))
        inner = conv[2](F.leaky_relu(hidden, LEAK))
        hidden = conv_then_pool(conv[3], F.leaky_relu(inner, LEAK)) + F.avg_pool2d(hidden, 2)
        for first, second in ((conv[4], conv[5]), (conv[6], conv[7])):
            inner = first(F.leaky_relu(hidden, LEAK))
            hidden = hidden + second(F.leaky_relu(inner, LEAK))
        return hidden.mean((2, 3))


def conv_then_pool(conv: nn.Module, images: Tensor) -> Tensor:
    """``avg_pool2d(conv(images), 2)`` for a 3x3 convolution, as one 4x4 convolution of stride 2.

    Both are linear, so the average of the four shifted 3x3 kernels gives the same result with 4/9 of
    the multiplications.
    """
    weight: Tensor = conv.weight  # type: ignore[assignment]
    bias: Tensor = conv.bias  # type: ignore[assignment]
    columns = F.pad(weight, (0, 1)) + F.pad(weight, (1, 0))
    kernel = F.pad(columns, (0, 0, 0, 1)) + F.pad(columns, (0, 0, 1, 0))
    return F.conv2d(images, kernel / 4, bias, stride=2, padding=1)


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
        hidden = config.projector_hidden
        layers: list[nn.Module] = []
        if hidden:
            layers = [nn.Linear(config.width, hidden), nn.LeakyReLU(LEAK)]
        self.projector = nn.Sequential(*layers, nn.Linear(hidden or config.width, config.classes))
        if config.initialisation == "centred":
            self.encoder.apply(_kaiming)
        self.to(memory_format=torch.channels_last)

    @property
    def last_layer(self) -> nn.Linear:
        """The layer whose rows are the clusters."""
        return cast(nn.Linear, self.projector[-1])

    def features(self, images: Tensor) -> Tensor:
        """Encoder output ``(batch, width)``, fp32."""
        device = images.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            images = images.contiguous(memory_format=torch.channels_last)
            features: Tensor = self.encoder(images)
        return features.float()

    def logits(self, images: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to f(x) ``(batch, classes)``, fp32, in nats."""
        outputs: Tensor = self.projector(self.features(images))
        if self.config.temperature:
            outputs = F.normalize(outputs, dim=1) / self.config.temperature
        return outputs

    forward = logits

    def posterior(self, images: Tensor) -> Tensor:
        """Cluster posterior p(y|x) ``(batch, classes)``."""
        return self.logits(images).softmax(1)

    def energy(self, images: Tensor) -> Tensor:
        """E(x) = -logsumexp(f(x)) ``(batch,)``, nats."""
        return energy_of(self.logits(images))

    @torch.no_grad()
    def centre(self, images: Tensor) -> None:
        """Shift and scale every projector layer so that its outputs on ``images`` have mean 0, variance 1.

        L2-normalised outputs then point in all directions at the start of training.
        """
        hidden = self.features(images)
        for layer in self.projector:
            if isinstance(layer, nn.Linear):
                outputs = layer(hidden)
                spread = outputs.var(0).mean().sqrt().clamp(min=1e-6)
                layer.bias.copy_((layer.bias - outputs.mean(0)) / spread)
                layer.weight.div_(spread)
            hidden = layer(hidden)


def energy_of(logits: Tensor) -> Tensor:
    """E = -logsumexp of logits ``(batch, classes)``: ``(batch,)``, nats."""
    return -logits.logsumexp(1)


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _encoder(config: NetworkConfig) -> nn.Module:
    if config.encoder == "resnet":
        if min(config.height, config.width_pixels) < 4:
            raise UserError(
                f"the resnet needs images of at least 4x4 pixels, these are "
                f"{config.height}x{config.width_pixels}; use encoder = 'mlp'"
            )
        return ResNet(config.channels, config.width)
    return MLP(config.channels * config.height * config.width_pixels, config.width)
