"""Chains of dense layers with their derivatives written out.

On networks this small autograd's bookkeeping costs as much as the arithmetic. Training gets the same bits as
from the layers one by one; the energy's gradient is the same up to rounding.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


def is_dense(layers: Iterable[nn.Module]) -> bool:
    """Whether the layers are linear ones with LeakyReLU behind some of them, and nothing else."""
    return all(isinstance(layer, nn.Linear | nn.LeakyReLU) for layer in layers)


def apply(layers: Iterable[nn.Module], inputs: Tensor) -> Tensor:
    """The output ``(batch, d)`` of dense layers for ``(batch, n)``; autograd sees one operation."""
    linear, slopes = _parts(layers)
    output: Tensor = _Dense.apply(
        inputs, slopes, *(p for layer in linear for p in (layer.weight, layer.bias))
    )
    return output


@torch.no_grad()
def energy_gradient(layers: Iterable[nn.Module], temperature: float, inputs: Tensor) -> Tensor:
    """∂E/∂x of E(x) = -logsumexp(f(x)), nats, where f is the last layer's output, or its direction over τ.

    Args:
        layers: from inputs to the projector's output ``(batch, classes)``.
        temperature: τ; 0 takes the output as it is.
        inputs: ``(batch, ...)``, flattened for the first layer.

    Returns:
        The gradient, of the shape of ``inputs``.
    """
    linear, slopes = _parts(layers)
    outputs = _forward([(layer.weight, layer.bias) for layer in linear], slopes, inputs.flatten(1))
    gradient = _head_gradient(outputs[-1], temperature)
    for layer, slope, output in zip(reversed(linear), reversed(slopes), reversed(outputs), strict=True):
        gradient = _through_activation(gradient, output, slope) @ layer.weight
    return gradient.view(inputs.shape)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, slopes: list[float | None], *parameters: Tensor) -> Tensor:
        pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
        outputs = _forward(pairs, slopes, inputs)
        ctx.slopes = slopes
        ctx.save_for_backward(inputs, *outputs, *parameters[::2])
        return outputs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        depth = len(ctx.slopes)
        states, weights = ctx.saved_tensors[: depth + 1], ctx.saved_tensors[depth + 1 :]
        needed = ctx.needs_input_grad
        found: list[Tensor | None] = [None] * (2 * depth)
        for k in reversed(range(depth)):
            gradient = _through_activation(gradient, states[k + 1], ctx.slopes[k])
            if needed[2 + 2 * k]:
                found[2 * k] = gradient.t() @ states[k]
            if needed[3 + 2 * k]:
                found[2 * k + 1] = gradient.sum(0)
            if k or needed[0]:
                gradient = gradient @ weights[k]
        return gradient if needed[0] else None, None, *found


def _parts(layers: Iterable[nn.Module]) -> tuple[list[nn.Linear], list[float | None]]:
    """The linear layers, and the slope of the LeakyReLU behind each, if there is one."""
    layers = list(layers)
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    slopes = [
        after.negative_slope if isinstance(after, nn.LeakyReLU) else None
        for layer, after in pairwise([*layers, None])
        if isinstance(layer, nn.Linear)
    ]
    return linear, slopes


def _forward(
    parameters: Sequence[tuple[Tensor, Tensor]], slopes: Sequence[float | None], hidden: Tensor
) -> list[Tensor]:
    """Output of every linear layer with its LeakyReLU."""
    outputs = []
    for (weight, bias), slope in zip(parameters, slopes, strict=True):
        hidden = F.linear(hidden, weight, bias)
        if slope is not None:
            hidden = F.leaky_relu_(hidden, slope)
        outputs.append(hidden)
    return outputs


def _through_activation(gradient: Tensor, output: Tensor, slope: float | None) -> Tensor:
    """The gradient before a LeakyReLU, whose output has its input's sign."""
    if slope is None:
        return gradient
    before: Tensor = _leaky_relu_backward(gradient, output, slope, True)
    return before


def _head_gradient(projection: Tensor, temperature: float) -> Tensor:
    """∂E/∂p of the projector's output ``(batch, classes)``."""
    if not temperature:
        return -projection.softmax(1)
    length = projection.norm(dim=1, keepdim=True).clamp_min(1e-12)
    direction = projection / length
    posterior = (direction / temperature).softmax(1)
    along: Tensor = (posterior * direction).sum(1, keepdim=True)
    gradient: Tensor = (along * direction - posterior) / (temperature * length)
    return gradient
