"""Constraints on a few classes whose probabilities are sums that one can write down, and images for them."""

import math
from itertools import product

import torch
from torch import nn

from nesy_gedi.data.augment import Augmentation
from nesy_gedi.gedi.config import NamingConfig, TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig
from nesy_gedi.gedi.trainer import TrainingData

CLASSES = 4
SUMS = [(a, b, a + b) for a, b in product(range(CLASSES), repeat=2) if a + b < CLASSES]
NO_NAMING = NamingConfig(searches=0, until=1.0, gain=0.02, largest_cluster=0.5)
FULL = Method({"gen": 1.0, "inv": 2.0, "prior": 10.0, "nesy": 5.0}, "entropy")


class Sum(nn.Module):
    """The third class is the sum of the first two."""

    def __init__(self, examples):
        super().__init__()
        self.kinds = torch.zeros(examples, dtype=torch.long)

    def forward(self, log_posterior, rows):
        assert len(log_posterior) == len(rows)
        first, second, third = torch.tensor(SUMS).T
        worlds = log_posterior[:, 0, first] + log_posterior[:, 1, second] + log_posterior[:, 2, third]
        return worlds.logsumexp(1)

    def satisfied(self, readings, rows):
        assert len(readings) == len(rows)
        return (readings[:, 0] + readings[:, 1] == readings[:, 2]).double()


class LabelledSum(nn.Module):
    """The two classes of an example sum to its label; equal labels are one kind."""

    def __init__(self, totals):
        super().__init__()
        self.totals = totals
        self.kinds = totals.unique(return_inverse=True)[1]

    def forward(self, log_posterior, rows):
        pairs = log_posterior[:, 0, :, None] + log_posterior[:, 1, None, :]
        classes = torch.arange(log_posterior.shape[2])
        wanted = (classes[:, None] + classes)[None] == self.totals[rows, None, None]
        return pairs.masked_fill(~wanted, -torch.inf).flatten(1).logsumexp(1)

    def satisfied(self, readings, rows):
        return (readings.sum(1) == self.totals[rows]).double()


class Coin(nn.Module):
    """Heads or tails in every example, whatever its images show; how often is learned."""

    def __init__(self, heads):
        super().__init__()
        self.heads = heads
        self.kinds = heads.long()
        self.logit = nn.Parameter(torch.zeros(()))

    def forward(self, log_posterior, rows):
        return nn.functional.logsigmoid(torch.where(self.heads[rows], self.logit, -self.logit))

    @torch.no_grad()
    def satisfied(self, readings, rows):
        return self(None, rows).exp().double()


class Watched(Sum):
    """The sum, and a note of what was asked; from call ``broken_from`` on it is nan."""

    def __init__(self, examples, broken_from=math.inf):
        super().__init__(examples)
        self.asked, self.rows, self.rates = [], [], []
        self.trainer, self.broken_from = None, broken_from

    def forward(self, log_posterior, rows):
        self.asked.append(log_posterior.detach().clone())
        self.rows.append(rows.clone())
        if self.trainer is not None:
            assert self.trainer.network.training
            self.rates.append([o.param_groups[0]["lr"] for o in self.trainer.optimizers])
        return super().forward(log_posterior, rows) * (math.nan if len(self.asked) >= self.broken_from else 1)


def sums_of_patterns(examples, seed=0, noise=0.15):
    """Noisy 8x8 images of four patterns, in triples that are sums; and the patterns' numbers."""
    generator = torch.Generator().manual_seed(seed)
    patterns = (torch.rand(CLASSES, 1, 8, 8, generator=generator) < 0.4).float()
    digits = torch.tensor(SUMS)[torch.randint(len(SUMS), (examples,), generator=generator)]
    clean = patterns[digits.flatten()]
    images = (0.8 * clean + noise * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    order = torch.randperm(len(images), generator=generator)
    positions = torch.empty_like(order)
    positions[order] = torch.arange(len(order))
    return (255 * images[order]).byte(), positions.view(-1, 3), digits


def data_of(examples=30, constraint=None, log_prior=None):
    images, rows, _ = sums_of_patterns(examples)
    return TrainingData(images, rows, Sum(examples) if constraint is None else constraint, log_prior)


def labelled_pairs(examples=30):
    """The first two images of each triple, labelled with their sum."""
    images, rows, digits = sums_of_patterns(examples)
    return TrainingData(images, rows[:, :2], LabelledSum(digits[:, 2])), digits[:, :2]


def config_of(**changes):
    network = {
        "encoder": "mlp",
        "width": 32,
        "channels": 1,
        "image_height": 8,
        "image_width": 8,
        "classes": CLASSES,
    }
    values = {
        "method": FULL,
        "network": NetworkConfig(**network, projector_hidden=0, temperature=0.1, initialisation="centred"),
        "sampler": SamplerConfig(10, 2, 0.1, 0.01, 100, 0.05),
        "augmentation": Augmentation(),
        "naming": NO_NAMING,
        "epochs": 2,
        "batch_size": 30,
        "views": 2,
        "learning_rate": 3e-3,
        "optimizer": "adam",
        "muon_learning_rate": 0.02,
        "weight_decay": 1e-3,
        "schedule": "constant",
        "prior_fade": 0.0,
        "constraint_from": 0.0,
    }
    return TrainConfig(**{**values, **changes})
