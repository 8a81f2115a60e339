"""The encoders: images or vectors in, features out."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nesy_gedi.gedi import dense
from nesy_gedi.gedi.convolutional import POOLED, Kernels

LEAK = 0.2  # negative slope of every LeakyReLU (paper, Tables 6 and 8)


class MLP(nn.Module):
    """Two hidden layers with LeakyReLU, and a linear one if asked: ``(batch, *shape)`` to ``(batch, d)``."""

    def __init__(self, inputs: int, width: int, output: int = 0) -> None:
        super().__init__()
        self.features = output or width
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.last = nn.ModuleList([nn.Linear(width, output)] if output else [])
        self.activation = nn.LeakyReLU(LEAK)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(batch, d)``."""
        return dense.apply(self.layers(), images.flatten(1))

    def layers(self) -> list[nn.Module]:
        """Linear layers and LeakyReLU, in the order in which they apply."""
        return [self.first, self.activation, self.second, self.activation, *self.last]

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

    def kernel_then_pool(self) -> Tensor:
        """A kernel one larger, with which a convolution of stride 2 gives ``avg_pool2d(self(images), 2)``.

        Both are linear, so the average of the four shifted kernels gives the same result; of a 3x3
        convolution with 4/9 of the multiplications.
        """
        kernel = self.kernel()
        columns = F.pad(kernel, (0, 1)) + F.pad(kernel, (1, 0))
        return (F.pad(columns, (0, 0, 0, 1)) + F.pad(columns, (0, 0, 1, 0))) / 4


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
        """Features ``(batch, F)``, averaged over positions: the equations as they stand."""
        conv = cast(list[Convolution], self.convolutions)
        hidden = F.avg_pool2d(conv[1](F.leaky_relu(conv[0](images), LEAK)), 2)
        hidden = hidden + self.shortcut(F.avg_pool2d(images, 2))
        inner = conv[2](F.leaky_relu(hidden, LEAK))
        hidden = F.avg_pool2d(conv[3](F.leaky_relu(inner, LEAK)), 2) + F.avg_pool2d(hidden, 2)
        for first, second in ((conv[4], conv[5]), (conv[6], conv[7])):
            inner = first(F.leaky_relu(hidden, LEAK))
            hidden = hidden + second(F.leaky_relu(inner, LEAK))
        return hidden.mean((2, 3))

    def kernels(self, dtype: torch.dtype) -> Kernels:
        """The same network for :mod:`.convolutional`, in another type."""
        layers = [*cast(list[Convolution], self.convolutions), self.shortcut]
        weights = [layer.kernel() for layer in layers]
        for k in POOLED:
            weights[k] = layers[k].kernel_then_pool()
        formatted = (w.to(dtype, memory_format=torch.channels_last) for w in weights)
        return Kernels(tuple(formatted), tuple(layer.bias.to(dtype) for layer in layers), LEAK)

    def hidden_weights(self) -> list[Tensor]:
        """The matrices between hidden layers: all 3x3 convolutions but the first."""
        return [conv.weight for conv in cast(list[Convolution], self.convolutions)[1:]]


def kaiming(module: nn.Module) -> None:
    """Draw a layer's weights as He et al. (2015) do for LeakyReLU, biases 0; for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=LEAK)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
