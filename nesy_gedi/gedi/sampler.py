"""Stochastic gradient Langevin dynamics on the energy, and the replay buffer that keeps its chains."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nesy_gedi.errors import check_ranges
from nesy_gedi.gedi.networks import GEDINetwork


class Support(NamedTuple):
    """Where samples may lie.

    Attributes:
        low: chains start uniformly between this and ``high``.
        high: the upper end.
        bounded: whether they must stay there: pixels must, points of the plane need not.
    """

    low: float = 0.0
    high: float = 1.0
    bounded: bool = True

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What :func:`sgld` clamps to."""
        return (self.low, self.high) if self.bounded else None

    def noise(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """Uniform starts of chains ``(*shape,)``, fp32, on the generator's device."""
        uniform = torch.rand(tuple(shape), generator=generator, device=generator.device)
        return self.low + (self.high - self.low) * uniform


PIXELS = Support()


@dataclass(frozen=True)
class SamplerConfig:
    """The chain (paper, Algorithm 1 and Table 9).

    Attributes:
        count: images per training step that are drawn from the buffer and moved.
        steps: SGLD steps per draw.
        step_size: α, multiplies the energy's gradient.
        noise_std: σ of the noise added at each step. Only σ² = 2α is Langevin dynamics at temperature
            1; with α = 1, σ = 0.01 the chain looks for the energy's low region.
        buffer_size: chains kept.
        restart_probability: share of the drawn chains that start anew from uniform noise.
        largest_move: of a coordinate in one step, before noise (JEM++, Yang & Ji 2021); 0 for any.

    Raises:
        UserError: a value is out of its range.
    """

    count: int = 60
    steps: int = 20
    step_size: float = 1.0
    noise_std: float = 0.01
    buffer_size: int = 10_000
    restart_probability: float = 0.05
    largest_move: float = 0.0

    def __post_init__(self) -> None:
        positive = (0.0, math.inf)
        check_ranges(
            self,
            {
                "buffer_size": (1, math.inf),
                "count": (1, self.buffer_size),
                "steps": (1, math.inf),
                "step_size": positive,
                "noise_std": positive,
                "restart_probability": (0.0, 1.0),
                "largest_move": (0.0, math.inf),
            },
        )


def sgld(
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    steps: int,
    step_size: float,
    noise_std: float,
    generator: torch.Generator,
    bounds: tuple[float, float] | None = None,
    largest_move: float = 0.0,
) -> Tensor:
    """Run x <- x - α ∇E(x) + σ ε for a number of steps, in fp32.

    On E(x) = x²/2 the stationary variance is σ²/(2α - α²).

    Args:
        gradient: ∇E of states ``(batch, ...)``, detached: a network's ``energy_gradient()``, or that of any
            energy by :func:`~nesy_gedi.gedi.networks.gradient_of`.
        start: ``(batch, ...)``; not changed.
        steps: number of steps.
        step_size: α.
        noise_std: σ.
        generator: source of ε.
        bounds: clamp to this interval after each step, if given.
        largest_move: α ∇E is clamped to this, if above 0.

    Returns:
        The last state ``(batch, ...)``, detached.
    """
    x = start.detach().float()
    for _ in range(steps):
        move = step_size * gradient(x)
        if largest_move:
            move = move.clamp_(-largest_move, largest_move)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        x = x - move + noise_std * noise
        if bounds is not None:
            x = x.clamp_(*bounds)
    return x


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Without gradients to parameters, in evaluation mode; flags and mode are put back afterwards."""
    flags = [(p, p.requires_grad) for p in network.parameters()]
    modes = [(m, m.training) for m in network.modules()]
    try:
        # one walk through the modules, where eval() and requires_grad_() take two more
        for parameter, _ in flags:
            parameter.requires_grad = False
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


class ReplayBuffer:
    """The chains' last states, started from uniform noise; pixels are kept in float16.

    Args:
        shape: ``(channels, height, width)`` of one image.
        size: number of chains.
        generator: source of the starting noise and of the draws.
        support: where the chains start, and whether they must stay there.
    """

    def __init__(
        self, shape: tuple[int, ...], size: int, generator: torch.Generator, support: Support = PIXELS
    ) -> None:
        self.generator, self.support = generator, support
        self.dtype = torch.float16 if support.bounded else torch.float32
        self.images = support.noise((size, *shape), generator).to(self.dtype)

    def draw(self, count: int, restart_probability: float) -> tuple[Tensor, Tensor]:
        """Pick ``count`` different chains; some are started anew.

        Returns:
            Positions ``(count,)`` in the buffer and states ``(count, *shape)``, fp32.
        """
        device = self.images.device
        where = torch.randperm(len(self.images), generator=self.generator, device=device)[:count]
        states = self.images[where].float()
        noise = self.support.noise(states.shape, self.generator)
        anew = torch.rand(count, generator=self.generator, device=device) < restart_probability
        return where, torch.where(anew.view(-1, *[1] * (states.dim() - 1)), noise, states)

    def saturation(self) -> float:
        """Share of the first chains' pixels that are at an end of their range; 0 where there is none."""
        shown = self.images[:256]
        ends = (shown == self.support.low) | (shown == self.support.high)
        return ends.float().mean().item() if self.support.bounded else 0.0

    def store(self, where: Tensor, states: Tensor) -> None:
        """Put the states ``(count, *shape)`` back at their positions."""
        self.images[where] = states.to(self.dtype)


def sample_step(network: GEDINetwork, buffer: ReplayBuffer, config: SamplerConfig) -> Tensor:
    """Draw chains from the buffer, move them on the network's energy, put them back.

    The network is left untouched: no gradient, same mode, same ``requires_grad``.

    Returns:
        Images ``(count, channels, height, width)``, fp32, detached.
    """
    where, start = buffer.draw(config.count, config.restart_probability)
    with frozen(network):
        images = sgld(
            network.energy_gradient(),
            start,
            config.steps,
            config.step_size,
            config.noise_std,
            buffer.generator,
            bounds=buffer.support.bounds,
            largest_move=config.largest_move,
        )
    buffer.store(where, images)
    return images
