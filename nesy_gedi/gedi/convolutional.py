"""The ResNet of Table 8 made fast: one pass forward and one back, written out, for training and for chains.

Equal to :meth:`nesy_gedi.gedi.encoders.ResNet.forward` up to rounding. What makes it fast on a processor:

* a convolution and the pooling after it are one convolution;
* kernels are brought to type and memory format once for all steps of a chain;
* LeakyReLU and sums happen inside the convolutions, where oneDNN does them before anything is written;
* a chain asks for the gradient of its images and for no other, a training for all but that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_SHORTCUT = 8
POOLED = (1, 3, _SHORTCUT)
"""Convolutions with pooling after them: they have stride 2 here."""

_mkldnn = torch.ops.mkldnn  # what torch.compile turns convolutions into on a processor
_convolution_backward = torch.ops.aten.convolution_backward
_leaky_relu_backward = torch.ops.aten.leaky_relu_backward.grad_input


@dataclass(frozen=True)
class Kernels:
    """Eight convolutions in their order, then the shortcut; those of :data:`POOLED` have stride 2.

    Attributes:
        weights: ``(width, inputs, size, size)``, in channels-last format.
        biases: ``(width,)``, of the same type.
        slope: of every LeakyReLU.
        packed: weights in oneDNN's own format, by the convolution's number, from their first use on.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    slope: float
    packed: dict[int, Tensor] = field(default_factory=dict)

    def geometry(self, k: int) -> tuple[list[int], list[int], list[int]]:
        """Padding, stride and dilation of convolution ``k``."""
        padding, stride = (self.weights[k].shape[-1] - 1) // 2, 2 if k in POOLED else 1
        return [padding, padding], [stride, stride], [1, 1]

    @cached_property
    def packable(self) -> bool:
        """Whether oneDNN is there and convolves this type on this machine."""
        weight = self.weights[0]
        if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
            return False
        narrow = weight.dtype == torch.bfloat16 and _mkldnn._is_mkldnn_bf16_supported()
        return weight.dtype == torch.float32 or narrow

    def convolve(self, k: int, images: Tensor, active: bool = False, onto: Tensor | None = None) -> Tensor:
        """Convolution ``k``, then LeakyReLU where ``active``, or added in place ``onto`` another tensor."""
        bias, (padding, stride, dilation) = self.biases[k], self.geometry(k)
        if not self.packable:
            output = F.conv2d(images, self.weights[k], bias, stride, padding)
            output = F.leaky_relu_(output, self.slope) if active else output
            return output if onto is None else onto.add_(output)
        shape = padding, stride, dilation, 1
        if k not in self.packed:
            size = list(images.shape)
            self.packed[k] = _mkldnn._reorder_convolution_weight(self.weights[k], *shape, size)
        arguments = images, self.packed[k], bias, *shape
        found: Tensor
        if onto is None:
            then = ("leaky_relu", [self.slope], "") if active else ("none", [], "")
            found = _mkldnn._convolution_pointwise(*arguments, *then)
        else:
            found = _mkldnn._convolution_pointwise_.binary(onto, *arguments, "add", None, None, [], None)
        return found


def features(kernels: Kernels, images: Tensor) -> Tensor:
    """Features ``(batch, width)`` of images ``(batch, channels, height, width)``, both fp32.

    Autograd sees one operation, with derivatives for images, weights and biases.
    """
    output: Tensor = _Features.apply(images, kernels.slope, *kernels.weights, *kernels.biases)
    return output


@torch.no_grad()
def image_gradient(kernels: Kernels, of_features: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of images, fp32, where ``of_features`` gives that of their features ``(batch, width)``."""
    passed = Pass(kernels, images)
    return passed.back(of_features(passed.forward()), parameters=False)[0]


class Pass:
    """A pass forward, with what the pass back needs of it.

    Args:
        kernels: their type is that of all activations.
        images: fp32 ``(batch, channels, height, width)``.
    """

    def __init__(self, kernels: Kernels, images: Tensor) -> None:
        self.kernels = kernels
        # of every convolution but the shortcut, which has the first one's
        self.inputs = [_channels_last(images.to(kernels.weights[0].dtype))]
        self.type = torch.promote_types(kernels.weights[0].dtype, torch.float32)  # of what comes out

    def forward(self) -> Tensor:
        """Features ``(batch, width)``."""
        convolve, slope = self.kernels.convolve, self.kernels.slope
        hidden = convolve(1, self._kept(convolve(0, self.inputs[0], active=True)))
        hidden = convolve(_SHORTCUT, self.inputs[0], onto=hidden)
        for first in (2, 4, 6):
            inner = self._kept(convolve(first, self._kept(F.leaky_relu(hidden, slope)), active=True))
            skipped = F.avg_pool2d(hidden, 2) if first + 1 in POOLED else hidden
            hidden = convolve(first + 1, inner, onto=skipped)
        return hidden.mean((2, 3), dtype=self.type)

    def back(
        self, gradient: Tensor, images: bool = True, parameters: bool = True
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """From the features' gradient ``(batch, width)`` to that of images, of weights and of biases.

        What is not wanted is empty.
        """
        last = self.inputs[-1]
        gradient = (gradient / last[0, 0].numel()).to(last.dtype)[:, :, None, None].expand(last.shape)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        found: list[tuple[Tensor, Tensor]] = []

        def through(k: int, gradient: Tensor, inputs: bool = True) -> Tensor:
            before, *others = self._through(k, gradient, [inputs, parameters, parameters])
            found.append((others[0], others[1]))
            return before

        for first in (6, 4):
            gradient = through(first, through(first + 1, gradient)).add_(gradient)
        hidden = _add_unpooled(through(2, through(3, gradient)), gradient)
        before = through(0, through(1, hidden), images), through(_SHORTCUT, hidden, images)
        weights, biases = zip(*found[-2::-1], found[-1], strict=True) if parameters else ((), ())
        return (before[0] + before[1]).to(self.type) if images else last.new_empty(0), [*weights], [*biases]

    def _kept(self, active: Tensor) -> Tensor:
        """A LeakyReLU's output is the next convolution's input; its signs are those of what came in."""
        self.inputs.append(active)
        return active

    def _through(self, k: int, gradient: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
        """Back through convolution ``k`` and the LeakyReLU before it, if there is one."""
        inputs, weight = self.inputs[0 if k == _SHORTCUT else k], self.kernels.weights[k]
        padding, stride, dilation = self.kernels.geometry(k)
        shape = [len(weight)], stride, padding, dilation, False, [0, 0], 1
        before, of_weight, of_bias = _convolution_backward(gradient, inputs, weight, *shape, wanted)
        if k not in (0, _SHORTCUT):
            _leaky_relu_backward(before, inputs, self.kernels.slope, True, grad_input=before)
        return before, of_weight, of_bias


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, slope: float, *parameters: Tensor) -> Tensor:
        half = len(parameters) // 2
        ctx.made = Pass(Kernels(parameters[:half], parameters[half:], slope), images)
        features: Tensor = ctx.made.forward()
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad
        images, weights, biases = ctx.made.back(gradient, wanted[0], any(wanted[2:]))
        return images if wanted[0] else None, None, *(weights or [None] * 9), *(biases or [None] * 9)


def _channels_last(images: Tensor) -> Tensor:
    """Images in channels-last format; with one channel, marked as such, which ``contiguous`` would not do."""
    images = images.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = images.shape
    return images.as_strided(images.shape, (channels * height * width, 1, channels * width, channels))


def _add_unpooled(gradient: Tensor, pooled: Tensor) -> Tensor:
    """Add to a gradient, in place, that of ``avg_pool2d(·, 2)``."""
    height, width = pooled.shape[2:]
    windows = gradient[:, :, : 2 * height, : 2 * width].unflatten(3, (width, 2)).unflatten(2, (height, 2))
    windows += (pooled / 4)[:, :, :, None, :, None]
    return gradient
