import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.encoders import MLP, Convolution, ResNet
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig, energy_of

seeds = st.integers(0, 2**31 - 1)
SMALL = {
    "encoder": "mlp",
    "width": 16,
    "channels": 1,
    "image_height": 4,
    "image_width": 5,
    "classes": 6,
    "projector_hidden": 0,
    "temperature": 0.0,
    "initialisation": "torch",
}


def network_of(seed=0, precision="fp32", **changes):
    torch.manual_seed(seed)
    return GEDINetwork(NetworkConfig(**{**SMALL, **changes}), precision)


def random_images(seed, *shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("width", "channels", "count"), [(128, 3, 1_037_184), (256, 3, 4_138_752), (128, 1, 1_034_624)]
)
def test_resnet_has_the_papers_number_of_parameters(width, channels, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet(channels, width).parameters()) == count


def plain(convolution):
    """The same convolution by PyTorch's own operation."""

    def forward(images):
        size = math.isqrt(convolution.weight.shape[1] // images.shape[1])
        kernel = convolution.weight.unflatten(1, (images.shape[1], size, size))
        return F.conv2d(images, kernel, convolution.bias, padding=(size - 1) // 2)

    return forward


def assert_same_value_and_gradients(value, expected, leaves):
    torch.testing.assert_close(value, expected)
    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad(value, leaves, direction)
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected, leaves, direction), strict=True):
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_convolution_is_a_linear_map_of_patches(kernel_size):
    torch.manual_seed(0)
    convolution = Convolution(2, 3, kernel_size).double()
    images = random_images(1, 4, 2, 5, 6, dtype=torch.float64).requires_grad_()
    patches = F.unfold(images, kernel_size, padding=kernel_size // 2).transpose(1, 2)
    expected = F.linear(patches, convolution.weight, convolution.bias).transpose(1, 2).unflatten(2, (5, 6))
    leaves = [images, convolution.weight, convolution.bias]
    assert_same_value_and_gradients(convolution(images), expected, leaves)


@pytest.mark.parametrize("size", [(4, 4), (2, 3), (5, 5), (7, 6), (8, 13)])
def test_convolution_then_pool_equals_pooled_convolution(size):
    torch.manual_seed(0)
    convolution = Convolution(2, 3, 3).double()
    images = random_images(1, 4, 2, *size, dtype=torch.float64).requires_grad_()
    expected = F.avg_pool2d(plain(convolution)(images), 2)
    leaves = [images, convolution.weight, convolution.bias]
    pooled = F.conv2d(images, convolution.kernel_then_pool(), convolution.bias, stride=2, padding=1)
    assert_same_value_and_gradients(pooled, expected, leaves)


def table_8(resnet, images):
    """The paper's Table 8, layer by layer."""
    act, pool, c = nn.LeakyReLU(0.2), nn.AvgPool2d(2), [plain(layer) for layer in resnet.convolutions]
    x = pool(c[1](act(c[0](images)))) + plain(resnet.shortcut)(pool(images))
    x = pool(c[3](act(c[2](act(x))))) + pool(x)
    x = c[5](act(c[4](act(x)))) + x
    x = c[7](act(c[6](act(x)))) + x
    return x.flatten(2).mean(2)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 4, 4), (3, 9, 6), (2, 7, 31)])
def test_resnet_equals_table_8(shape):
    torch.manual_seed(0)
    resnet = ResNet(shape[0], 8).double()
    images = random_images(1, 3, *shape, dtype=torch.float64).requires_grad_()
    value = resnet(images)
    assert value.shape == (3, 8)
    assert_same_value_and_gradients(value, table_8(resnet, images), [images, *resnet.parameters()])


def test_hidden_weights_are_the_matrices_between_hidden_layers():
    resnet, mlp = ResNet(3, 8), MLP(12, 8)
    hidden = {id(weight) for weight in resnet.hidden_weights()}
    others = [name for name, p in resnet.named_parameters() if id(p) not in hidden and p.dim() > 1]
    assert [tuple(weight.shape) for weight in resnet.hidden_weights()] == [(8, 72)] * 7
    assert others == ["convolutions.0.weight", "shortcut.weight"]
    assert [tuple(weight.shape) for weight in mlp.hidden_weights()] == [(8, 8)]


def test_mlp_equals_its_formula():
    torch.manual_seed(0)
    mlp = MLP(12, 7).double()
    images = random_images(2, 5, 3, 2, 2, dtype=torch.float64) - 0.5
    hidden = images.reshape(5, 12)
    linear = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linear] == [(7, 12), (7, 7)]
    for layer in linear:
        outputs = hidden @ layer.weight.T + layer.bias
        hidden = torch.maximum(outputs, 0.2 * outputs)
    torch.testing.assert_close(mlp(images), hidden)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 5, 9), (4, 12, 7)])
@pytest.mark.parametrize("encoder", ["mlp", "resnet"])
def test_any_shape_and_rows_do_not_depend_on_each_other(encoder, shape):
    channels, height, width = shape
    network = network_of(
        encoder=encoder, channels=channels, image_height=height, image_width=width, classes=7
    )
    images = random_images(3, 5, *shape)
    logits = network(images)
    assert logits.shape == (5, 7)
    for row, image in zip(logits, images, strict=True):
        torch.testing.assert_close(network(image[None])[0], row, atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.05, 0.1, 1.0]), st.sampled_from([0, 9]))
def test_three_readings_of_the_logits_agree(seed, temperature, hidden):
    network = network_of(seed, temperature=temperature, projector_hidden=hidden)
    images = random_images(seed, 4, 1, 4, 5)
    logits, posterior, energy = network.logits(images), network.posterior(images), network.energy(images)
    assert posterior.shape == (4, 6)
    assert energy.shape == (4,)
    torch.testing.assert_close(posterior.sum(1), torch.ones(4))
    torch.testing.assert_close(posterior, logits.softmax(1))
    torch.testing.assert_close(energy, -logits.exp().sum(1).log())
    # p(x, y) ∝ exp f_y(x), hence p(x) p(y|x) must be that again
    torch.testing.assert_close((-energy).exp()[:, None] * posterior, logits.exp(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network(images), logits)


@settings(max_examples=50, deadline=None)
@given(seeds, st.floats(0.02, 3.0), st.integers(1, 12), st.sampled_from([1e-3, 1.0, 1e3]))
def test_temperature_bounds_the_energy(seed, temperature, classes, scale):
    network = network_of(seed, temperature=temperature, classes=classes)
    with torch.no_grad():
        network.last_layer.weight.mul_(scale)
    logits = network(random_images(seed, 8, 1, 4, 5))
    torch.testing.assert_close(logits.norm(dim=1), torch.full((8,), 1 / temperature))
    energy = energy_of(logits)
    slack = 1e-5 / temperature
    assert energy.min() >= -1 / temperature - math.log(classes) - slack
    # Jensen: logsumexp >= ln c + mean, and the mean of a unit vector is at least -1/√c
    assert energy.max() <= 1 / (temperature * math.sqrt(classes)) - math.log(classes) + slack


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_highest_energy_is_that_of_the_balanced_negative_direction(classes):
    network = network_of(temperature=0.1, classes=classes)
    with torch.no_grad():
        network.last_layer.weight.zero_()
        network.last_layer.bias.fill_(-3.0)
    energy = network.energy(random_images(0, 2, 1, 4, 5))
    assert energy.tolist() == pytest.approx([10 / math.sqrt(classes) - math.log(classes)] * 2, rel=1e-5)


def test_without_temperature_logits_are_unbounded():
    images = random_images(0, 4, 1, 4, 5)
    network = network_of(temperature=0.0)
    before = network(images)
    with torch.no_grad():
        network.last_layer.weight.mul_(1e4)
        network.last_layer.bias.mul_(1e4)
    torch.testing.assert_close(network(images), 1e4 * before)
    assert network.energy(images).abs().max() > 100


def test_bf16_is_used_in_the_convolutions_and_only_there():
    kinds = {"encoder": "resnet", "image_height": 12, "image_width": 12, "temperature": 0.1}
    exact, rounded = network_of(**kinds), network_of(precision="bf16", **kinds)
    images = random_images(5, 16, 1, 12, 12)
    features = rounded.features(images)
    assert features.dtype == torch.float32
    assert not torch.equal(features, exact.features(images))
    torch.testing.assert_close(features, exact.features(images), atol=0.05, rtol=0)
    logits = rounded(images)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
    torch.testing.assert_close(logits, exact(images), atol=0.1, rtol=0)  # logits reach 10
    rounded.energy(images).sum().backward()
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in rounded.parameters()} == {torch.float32}


def test_the_mlp_is_never_rounded():
    kinds = {"encoder": "mlp", "image_height": 12, "image_width": 12}
    images = random_images(5, 16, 1, 12, 12)
    assert torch.equal(network_of(precision="bf16", **kinds)(images), network_of(**kinds)(images))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_prototypes_are_compared_by_cosine(scale):
    """Only directions count: of the projector's output and of the prototypes."""
    network = network_of(projection=6, temperature=0.1).eval()
    projection = network.project(network.features(random_images(5, 16, 1, 4, 5)))
    assert projection.shape == (16, 6)
    logits = network.head(projection)
    cosine = F.cosine_similarity(projection[:, None], network.prototypes.weight[None], dim=2)
    torch.testing.assert_close(logits, cosine / 0.1, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        network.prototypes.weight.mul_(scale)
    torch.testing.assert_close(network.head(projection * scale), logits, atol=1e-4, rtol=1e-4)
    assert network.last_layer is network.prototypes


def test_features_projection_and_head_are_the_logits():
    network = network_of(projector_hidden=7, projector_norm=True).eval()
    images = random_images(5, 16, 1, 4, 5)
    assert torch.equal(network.head(network.project(network.features(images))), network(images))


def test_encoder_output_is_a_linear_layer_of_the_mlp():
    network = network_of(encoder="mlp", encoder_output=2)
    assert network.features(random_images(5, 16, 1, 4, 5)).shape == (16, 2)
    assert (network.features(random_images(5, 16, 1, 4, 5)) < -0.2).any()  # no LeakyReLU after it
    with pytest.raises(UserError, match="encoder_output is a layer of the mlp"):
        NetworkConfig(encoder_output=2)
    with pytest.raises(UserError, match="projection needs a temperature above 0"):
        NetworkConfig(projection=2, temperature=0.0)


@pytest.mark.parametrize("hidden", [0, 24])
def test_centred_projector_has_mean_0_and_variance_1(hidden):
    network = network_of(initialisation="centred", projector_hidden=hidden, temperature=0.0)
    with torch.no_grad():
        for layer in network.projector:
            if isinstance(layer, nn.Linear):
                layer.bias.add_(5.0)
                layer.weight.mul_(0.3)
    images = random_images(6, 200, 1, 4, 5)
    encoder = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    network.centre(images)
    hidden_outputs = network.features(images)
    for layer in network.projector:
        hidden_outputs = layer(hidden_outputs)
        if isinstance(layer, nn.Linear):
            torch.testing.assert_close(
                hidden_outputs.mean(0), torch.zeros(layer.out_features), atol=1e-4, rtol=0
            )
            assert hidden_outputs.var(0, correction=0).mean().item() == pytest.approx(1.0, abs=1e-4)
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, encoder[name])
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_centring_only_shifts_and_scales():
    network = network_of(temperature=0.0)
    images = random_images(6, 50, 1, 4, 5)
    before = network(images)
    network.centre(images)
    spread = before.var(0, correction=0).mean().sqrt()
    torch.testing.assert_close(network(images), (before - before.mean(0)) / spread, atol=1e-4, rtol=1e-4)


def test_centring_on_one_image_stays_finite():
    network = network_of(initialisation="centred", temperature=0.1)
    network.centre(random_images(6, 1, 1, 4, 5))
    assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize("seed", range(5))
def test_centring_spreads_similar_images_over_clusters(seed):
    """Images that are nearly the same: before, they are all in one cluster."""
    network = network_of(seed, initialisation="centred", temperature=0.1, classes=10, width=32)
    images = random_images(seed, 1, 1, 4, 5) + 0.1 * random_images(seed + 1, 500, 1, 4, 5)
    before = network(images).argmax(1).bincount(minlength=10)
    network.centre(images)
    after = network(images).argmax(1).bincount(minlength=10)
    assert before.max() > 400
    assert after.max() < 200
    assert (after > 0).sum() >= 8


@pytest.mark.parametrize("encoder", ["mlp", "resnet"])
def test_kaiming_initialisation_keeps_the_scale(encoder):
    network = network_of(
        encoder=encoder, initialisation="centred", width=64, channels=16, image_height=8, image_width=8
    )
    for layer in network.encoder.modules():
        if isinstance(layer, nn.Linear):
            expected = math.sqrt(2 / (1 + 0.2**2) / layer.weight[0].numel())
            spread = 5 / math.sqrt(2 * layer.weight.numel())
            assert layer.weight.std().item() == pytest.approx(expected, rel=spread)
            assert not layer.bias.any()


@pytest.mark.parametrize(("temperature", "hidden"), [(0.0, 0), (0.1, 7)])
def test_rows_of_the_last_layer_are_the_clusters(temperature, hidden):
    network = network_of(temperature=temperature, projector_hidden=hidden)
    images = random_images(0, 4, 1, 4, 5)
    before, order = network(images), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        for parameter in network.last_layer.parameters():
            parameter.copy_(parameter[order].clone())
    torch.testing.assert_close(network(images), before[:, order])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnt"}, "unknown encoder 'resnt': did you mean 'resnet'"),
        ({"initialisation": "centered"}, "unknown initialisation 'centered': did you mean 'centred'"),
        ({"temperature": -0.1}, "temperature=-0.1 is out of range: choose 0 or more"),
        ({"width": 0}, "width=0 is out of range: choose 1 or more"),
        ({"classes": 0}, "classes=0 is out of range: choose 1 or more"),
        ({"encoder": "resnet", "image_height": 3}, "at least 4x4 pixels, these are 3x5; use encoder = 'mlp'"),
    ],
)
def test_wrong_configurations_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        network_of(**changes)
