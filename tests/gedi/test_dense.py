"""Dense layers with their derivatives written out, against the layers one by one and finite differences."""

import itertools

import pytest
import torch

from nesy_gedi.gedi import dense
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig, gradient_of

SHAPES = [(0, 0), (0, 7), (5, 0), (5, 7)]  # encoder output, hidden units of the projector


def network_of(encoder_output=0, projector_hidden=0, classes=3, temperature=0.1, **others):
    torch.manual_seed(encoder_output + 10 * projector_hidden)
    config = NetworkConfig(
        "mlp",
        6,
        2,
        1,
        1,
        classes,
        encoder_output=encoder_output,
        projector_hidden=projector_hidden,
        temperature=temperature,
        initialisation="torch",
        **others,
    )
    return GEDINetwork(config).double()


def points(count=8):
    return torch.randn(count, 2, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "classes", "temperature"), [*itertools.product(SHAPES, (1, 2, 5), (0.0, 0.1, 2.0))]
)
def test_written_out_gradient_is_that_of_the_energy(shape, classes, temperature):
    network = network_of(*shape, classes, temperature)
    x = points()
    found = network.energy_gradient()(x)
    torch.testing.assert_close(found, gradient_of(network.energy)(x), rtol=1e-9, atol=1e-12)
    assert found.shape == x.shape
    step = 1e-6
    for axis in range(2):
        moved = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
        moved[0, axis] = step
        with torch.no_grad():
            slope = (network.energy(x + moved) - network.energy(x - moved)) / (2 * step)
        torch.testing.assert_close(found[:, axis, 0, 0], slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("others", [{"projection": 4}, {"projector_norm": True, "projector_hidden": 4}])
def test_a_network_with_other_layers_has_the_gradient_of_its_energy(others):
    network = network_of(**others).eval()
    x = points()
    torch.testing.assert_close(network.energy_gradient()(x), gradient_of(network.energy)(x))


@pytest.mark.parametrize("others", [{}, {"projection": 4}])
def test_parameters_and_inputs_are_left_alone(others):
    network = network_of(**others)
    x = points().requires_grad_(True)
    found = network.energy_gradient()(x)
    assert not found.requires_grad
    assert x.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("inputs_wanted", [True, False])
def test_training_gets_the_bits_of_the_layers_one_by_one(last, inputs_wanted):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 9), torch.nn.LeakyReLU(0.2), torch.nn.Linear(9, 9), torch.nn.LeakyReLU(0.1)]
    layers += [torch.nn.Linear(9, 2)] if last else []
    network = torch.nn.Sequential(*layers)
    x = torch.randn(50, 3).requires_grad_(inputs_wanted)
    wanted = [*network.parameters(), *([x] if inputs_wanted else [])]
    direction = torch.randn_like(network(x))
    found, expected = dense.apply(layers, x), network(x)
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad(output, wanted, direction) for output in (found, expected)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_frozen_layer_gets_no_gradient_and_the_others_theirs():
    network = network_of(5, 7).float()
    network.encoder.requires_grad_(False)
    network(points().float()).square().sum().backward()
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert all(parameter.grad.any() for parameter in network.projector.parameters())
