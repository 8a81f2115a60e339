"""The ResNet's fast passes against the equations as they stand."""

import pytest
import torch

from nesy_gedi.gedi.convolutional import Kernels, Pass, features
from nesy_gedi.gedi.encoders import ResNet
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig, gradient_of
from nesy_gedi.gedi.sampler import frozen, sgld

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 4, 4), (3, 9, 6), (2, 7, 31)]
CLOSE = {torch.float64: 1e-12, torch.float32: 2e-5}


def images_of(shape, count=5, dtype=torch.float32):
    images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return images.to(dtype)


def difference(found, expected):
    """Length of the difference over that of what is expected."""
    assert found.shape == expected.shape
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def resnet_of(shape, dtype=torch.float32):
    torch.manual_seed(0)
    return ResNet(shape[0], 8).to(dtype)


def by_equations(shape, dtype):
    """Features of the plain network, and their gradients along a fixed direction."""
    resnet, images = resnet_of(shape, dtype), images_of(shape, dtype=dtype).requires_grad_()
    return gradients_of(resnet(images), [images, *resnet.parameters()])


def gradients_of(value, leaves):
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return [value.detach(), *torch.autograd.grad(value, leaves, direction.to(value.dtype))]


def fast(shape, dtype):
    """The same by the fast passes, computed in a type."""
    given = torch.promote_types(dtype, torch.float32)
    resnet, images = resnet_of(shape, given), images_of(shape, dtype=given).requires_grad_()
    return gradients_of(features(resnet.kernels(dtype), images), [images, *resnet.parameters()])


@pytest.mark.parametrize("dtype", list(CLOSE))
@pytest.mark.parametrize("shape", SHAPES)
def test_features_and_all_gradients_are_those_of_the_equations(shape, dtype):
    """In float64 by PyTorch's convolutions, in float32 by oneDNN's where it is there."""
    for found, wanted in zip(fast(shape, dtype), by_equations(shape, torch.float64), strict=True):
        assert found.dtype == dtype
        assert difference(found, wanted) <= CLOSE[dtype]


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_is_as_exact_as_pytorchs_own(shape):
    """Against the equations under autocast; all values together, as single ones may be lucky."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pytorchs = by_equations(shape, torch.float32)
    exact = by_equations(shape, torch.float64)
    ours, theirs = (
        sum(difference(a, b) for a, b in zip(values, exact, strict=True))
        for values in (fast(shape, torch.bfloat16), pytorchs)
    )
    assert ours <= 1.5 * theirs


@pytest.mark.parametrize("frozen_part", ["images", "parameters"])
def test_only_what_is_wanted_has_a_gradient(frozen_part):
    resnet, images = resnet_of((3, 8, 8), torch.float64), images_of((3, 8, 8), dtype=torch.float64)
    resnet.requires_grad_(frozen_part != "parameters")
    images.requires_grad_(frozen_part != "images")
    leaves = [images] if frozen_part == "parameters" else list(resnet.parameters())
    found = torch.autograd.grad(features(resnet.kernels(torch.float64), images).sum(), leaves)
    for gradient, wanted in zip(found, torch.autograd.grad(resnet(images).sum(), leaves), strict=True):
        assert difference(gradient, wanted) <= CLOSE[torch.float64]


def test_packed_kernels_serve_batches_of_any_size():
    """They are packed for the batch that comes first."""
    kernels = resnet_of((3, 16, 16)).kernels(torch.float32)
    with torch.no_grad():
        for count in (4, 1, 9):
            images = images_of((3, 16, 16), count)
            again = Kernels(kernels.weights, kernels.biases, kernels.slope)
            torch.testing.assert_close(Pass(kernels, images).forward(), Pass(again, images).forward())


@pytest.mark.parametrize("others", [{}, {"projection": 4}, {"projector_hidden": 6, "projector_norm": True}])
@pytest.mark.parametrize("precision", ["fp32", "fp32-fused"])
def test_chain_follows_the_gradient_of_the_energy(precision, others):
    """Of the energy by the equations, in float64."""
    torch.manual_seed(0)
    config = NetworkConfig("resnet", 16, 3, 12, 10, 5, **others)
    network, exact = GEDINetwork(config, precision), GEDINetwork(config, "fp32").double()
    exact.load_state_dict(network.state_dict())
    x = images_of((3, 12, 10), 6)
    with frozen(network), frozen(exact):
        found = network.energy_gradient()(x)
        assert difference(found, gradient_of(exact.energy)(x.double())) <= CLOSE[torch.float32]
    assert not found.requires_grad
    before = [parameter.clone() for parameter in network.parameters()]
    sgld(network.energy_gradient(), x, 3, 0.1, 0.1, torch.Generator().manual_seed(3), bounds=(0.0, 1.0))
    assert all(
        p.grad is None and torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True)
    )


def test_the_chain_uses_the_weights_of_its_start_and_the_next_one_those_after_an_update():
    """Kernels are brought to their type once for a chain."""
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig("resnet", 8, 3, 8, 8, 5), "fp32-fused")
    x = images_of((3, 8, 8))
    first = network.energy_gradient()
    before = first(x)
    with torch.no_grad():
        network.encoder.convolutions[0].weight.mul_(2.0)
    after = network.energy_gradient()(x)
    assert torch.equal(first(x), before)
    assert not torch.allclose(after, before)


def test_a_device_without_data_gets_as_far_as_shapes_go():
    """What other devices than the processor take: PyTorch's own convolutions, nothing of oneDNN."""
    with torch.device("meta"), torch.no_grad():
        resnet, images = ResNet(3, 8), torch.empty(5, 3, 13, 10)
        kernels = resnet.kernels(torch.bfloat16)
        assert not kernels.packable
        passed = Pass(kernels, images)
        output = passed.forward()
        found, weights, biases = passed.back(torch.empty(5, 8))
    assert output.shape == (5, 8)
    assert found.shape == images.shape
    assert [w.shape for w in weights] == [w.shape for w in kernels.weights]
    assert [b.shape for b in biases] == [(8,)] * 9
    assert {one.device.type for one in (output, found, *weights)} == {"meta"}
