"""GEDI's equations written down plainly: what :mod:`benchmarks.training` measures ours against.

fp32, contiguous images, convolutions and pooling one by one, parameters that require gradients inside the
chain, a graph retained in each of its steps, and a forward pass of its own for each batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nesy_gedi.gedi.constraint import Constraint
from nesy_gedi.gedi.encoders import LEAK
from nesy_gedi.gedi.networks import GEDINetwork
from nesy_gedi.gedi.objectives import constraint as constraint_term
from nesy_gedi.gedi.objectives import generative, invariance, prior_cross_entropy
from nesy_gedi.gedi.trainer import Trainer


class PlainNetwork(nn.Module):
    """The ResNet of Table 8 and a linear projector with bounded logits, with the weights of ours."""

    def __init__(self, network: GEDINetwork) -> None:
        super().__init__()
        encoder = network.encoder
        layers = [*encoder.convolutions, encoder.shortcut]  # type: ignore[misc, union-attr]
        self.layers = nn.ModuleList(_convolution(layer.kernel(), layer.bias) for layer in layers)
        self.projector = nn.Linear(encoder.features, network.config.classes)
        self.projector.load_state_dict(network.projector[0].state_dict())
        self.temperature = network.config.temperature

    def forward(self, images: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        c, pool = self.layers, nn.AvgPool2d(2)
        x = pool(c[1](_act(c[0](images)))) + c[8](pool(images))
        x = pool(c[3](_act(c[2](_act(x))))) + pool(x)
        x = x + c[5](_act(c[4](_act(x))))
        x = x + c[7](_act(c[6](_act(x))))
        return F.normalize(self.projector(x.mean((2, 3))), dim=1) / self.temperature


def _convolution(kernel: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, size, _ = kernel.shape
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    layer.load_state_dict({"weight": kernel, "bias": bias})
    return layer


def _act(hidden: Tensor) -> Tensor:
    return F.leaky_relu(hidden, LEAK)


def plain_chain(
    network: nn.Module, start: Tensor, steps: int, step_size: float, noise: float, generator: torch.Generator
) -> Tensor:
    """SGLD on E = -logsumexp of the logits, pixels kept in [0, 1]; shapes as for ours."""
    x = start
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        energy = -network(x).logsumexp(1)
        (gradient,) = torch.autograd.grad(energy.sum(), x, retain_graph=True)
        x = x - step_size * gradient + noise * torch.randn(x.shape, generator=generator)
        x = x.clamp(0.0, 1.0)
    return x.detach()


class PlainTraining:
    """The combined step, with data, buffer, constraint and generator of one of our trainers."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.network = PlainNetwork(trainer.network)
        config = trainer.config
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            config.learning_rate,
            (0.9, config.beta2),
            weight_decay=config.weight_decay,
        )

    def step(self, rows: Tensor) -> None:
        """One update from the examples ``(batch,)``."""
        ours, config = self.trainer, self.trainer.config
        examples = ours.examples[rows]
        images = ours.images[examples.flatten()].float() / 255
        views = [config.augmentation(images, ours.generator) for _ in range(2)]
        sampler, buffer = config.sampler, ours.buffer
        assert buffer is not None
        where, start = buffer.draw(sampler.count, sampler.restart_probability)
        self.network.eval()
        samples = plain_chain(
            self.network, start, sampler.steps, sampler.step_size, sampler.noise_std, buffer.generator
        )
        buffer.store(where, samples)
        self.network.train()
        logits = [self.network(view) for view in views]
        log_posterior = torch.cat(logits).log_softmax(1)
        weights = config.method.weights
        loss = weights["gen"] * generative(torch.cat(logits), self.network(samples))
        loss = loss + weights["inv"] * invariance(*logits)
        loss = loss + weights["prior"] * prior_cross_entropy(log_posterior, ours.log_prior)
        constraint: Constraint | None = ours.constraint
        if constraint is not None:
            shaped = log_posterior.view(-1, examples.shape[1], log_posterior.shape[1])
            loss = loss + weights["nesy"] * constraint_term(constraint(shaped, rows.repeat(2)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
