"""Training against the equations written down plainly (benchmarks/plain.py)."""

import pytest
import torch

from benchmarks.plain import PlainNetwork, PlainTraining, plain_chain
from nesy_gedi.data.augment import TABLE_9
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.sampler import SamplerConfig, frozen, sgld
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.logic.bound import ExampleConstraint
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import ExampleSource
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 13, 10)]


def trainer_of(precision, shape=(3, 13, 10)):
    """The combined method on random images in triples that add up."""
    config = TrainConfig(
        method=Method({"gen": 1.0, "inv": 50.0, "prior": 25.0, "nesy": 25.0}),
        network=NetworkConfig("resnet", 16, *shape),
        sampler=SamplerConfig(count=8, steps=3, buffer_size=30),
        augmentation=TABLE_9,
        batch_size=12,
        optimizer="adam",
        schedule="constant",
    )
    circuit = ConstraintCircuit(read_program(resource("programs", "addition.pl")), limits=None)
    source = ExampleSource(circuit)
    images = torch.randint(256, (100, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows, readings = source.sample(torch.arange(100) % 10, 12, torch.Generator().manual_seed(0))
    return Trainer(
        config, TrainingData(images, rows, ExampleConstraint(circuit, readings)), 0, precision=precision
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_chain_in_fp32_has_the_bits_of_the_equations(shape):
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig("resnet", 16, *shape))
    start = torch.rand(6, *shape)
    network.centre(start)
    with frozen(network):
        ours = sgld(network.energy_gradient(), start, 4, 0.5, 0.01, seeded(), (0.0, 1.0))
    assert torch.equal(ours, plain_chain(PlainNetwork(network), start, 4, 0.5, 0.01, seeded()))
    assert not torch.equal(ours, start)


def seeded():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-6), ("fp32-fused", 1e-4), ("bf16", 0.3)])
def test_steps_move_the_weights_as_the_equations_do(precision, close):
    """After three updates, relative to how far the weights have moved.

    Batches are joined in ours, so that even in fp32 the last bits of sums over images differ; Adam's first
    steps go by the sign of each gradient, in which bf16 errs where it is small.
    """
    trainer, twin = trainer_of(precision), trainer_of("fp32")
    twin.network.load_state_dict(trainer.network.state_dict())
    plain = PlainTraining(twin)
    before = weights_of(plain.network)
    for rows in torch.arange(12).split(4):
        trainer._train_step(rows)
        plain.step(rows)
    moved = weights_of(plain.network) - before
    difference = weights_of(PlainNetwork(trainer.network)) - weights_of(plain.network)
    assert moved.norm() > 0
    assert difference.norm() <= close * moved.norm()


def weights_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
