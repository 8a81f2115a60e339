import math

import pytest
import torch
from torch import nn

from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig, gradient_of
from nesy_gedi.gedi.sampler import ReplayBuffer, SamplerConfig, frozen, sample_step, sgld

CHAINS = 40_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_energy(x):
    return 0.5 * x.square().sum(1)


def network_of(seed=0, encoder="mlp", temperature=0.1, precision="fp32"):
    torch.manual_seed(seed)
    config = NetworkConfig(encoder, 16, 1, 6, 6, 5, temperature=temperature, initialisation="torch")
    return GEDINetwork(config, precision)


def sampler_of(**changes):
    values = {"count": 12, "steps": 4, "step_size": 0.1, "noise_std": 0.01, "buffer_size": 50}
    return SamplerConfig(**{**values, "restart_probability": 0.05, **changes})


def snapshot(network):
    """All that training can see of a network."""
    return {
        "values": {name: value.clone() for name, value in network.state_dict().items()},
        "gradients": {
            name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()
        },
        "flags": {name: p.requires_grad for name, p in network.named_parameters()},
        "modes": {name: module.training for name, module in network.named_modules()},
    }


def assert_same(before, after):
    assert before["flags"] == after["flags"]
    assert before["modes"] == after["modes"]
    for kind in ("values", "gradients"):
        for name, value in before[kind].items():
            other = after[kind][name]
            assert (value is None and other is None) or torch.equal(value, other)


def mixed(network):
    """Some parameters frozen, some modules in evaluation mode, some gradients there."""
    network.train()
    network.projector.eval()
    next(network.encoder.parameters()).requires_grad_(False)
    network(torch.rand(3, 1, 6, 6)).sum().backward()
    network.last_layer.bias.grad = None
    return network


@pytest.mark.parametrize(
    ("step_size", "noise_std", "steps"),
    [
        (0.1, 0.1, 80),
        (0.5, 1.0, 30),
        (1.0, 0.01, 20),
        (1.5, 0.3, 30),
        (0.01**2 / 2, 0.01, 20),
        (0.02, 0.2, 10),
    ],
)
def test_chain_on_a_normal_has_the_mean_and_variance_of_its_recursion(step_size, noise_std, steps):
    """At every number of steps; where it has forgotten its start, σ²/(2α - α²)."""
    start = torch.full((CHAINS, 1), 3.0)
    x = sgld(gradient_of(normal_energy), start, steps, step_size, noise_std, seeded()).double()
    kept = (1 - step_size) ** steps
    stationary = noise_std**2 / (2 * step_size - step_size**2)
    variance = stationary * (1 - kept**2)
    assert x.mean().item() == pytest.approx(3.0 * kept, abs=5 * math.sqrt(variance / CHAINS) + 1e-6)
    assert x.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / CHAINS))
    if abs(kept) < 1e-3:
        assert x.var().item() == pytest.approx(stationary, rel=5 * math.sqrt(2 / CHAINS))


def test_small_steps_at_temperature_1_sample_the_density():
    """σ² = 2α on a double well: moments against quadrature of exp(-E)."""
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    density = torch.exp(-2 * (grid**2 - 1) ** 2)
    density /= density.sum()
    start = 2 * torch.rand(10_000, 1, generator=seeded(1)) - 1
    step = 0.01
    x = sgld(
        gradient_of(lambda x: 2 * (x**2 - 1).square().sum(1)), start, 600, step, math.sqrt(2 * step), seeded()
    )
    for moment in (lambda x: x**2, lambda x: x**4, lambda x: (x.abs() < 0.5).double()):
        expected = (density * moment(grid)).sum().item()
        assert moment(x.double()).mean().item() == pytest.approx(expected, abs=0.03)
    assert x.mean().abs() < 0.05


def test_without_noise_it_is_gradient_descent():
    start = torch.randn(5, 2, 3, generator=seeded())
    for steps in (0, 1, 7):
        x = sgld(gradient_of(lambda x: 0.5 * x.square().sum((1, 2))), start, steps, 0.3, 0.0, seeded())
        torch.testing.assert_close(x, start * 0.7**steps)


@pytest.mark.parametrize("wanted", [True, False])
def test_start_is_not_changed_and_no_graph_is_kept(wanted):
    start = torch.randn(4, 2, generator=seeded()).requires_grad_(wanted)
    before = start.detach().clone()
    with torch.no_grad():
        x = sgld(gradient_of(normal_energy), start, 3, 0.1, 0.1, seeded())
    assert torch.equal(start, before)
    assert start.requires_grad is wanted
    assert start.grad is None
    assert not x.requires_grad
    assert x.grad_fn is None
    assert sgld(gradient_of(normal_energy), start.half(), 1, 0.1, 0.1, seeded()).dtype == torch.float32


def test_chain_gives_no_gradient_to_the_parameters_of_its_energy():
    network = network_of()
    sgld(gradient_of(network.energy), torch.rand(4, 1, 6, 6), 2, 0.1, 0.1, seeded())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_chain_is_decided_by_its_generator():
    start = torch.zeros(6, 2)
    runs = [sgld(gradient_of(normal_energy), start, 5, 0.1, 0.1, seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_bounds_hold_at_every_step():
    visited = []

    def energy(x):
        visited.append(x.detach().clone())
        return normal_energy(x)

    x = sgld(gradient_of(energy), torch.full((500, 2), 0.5), 6, 0.1, 0.5, seeded(), bounds=(0.0, 1.0))
    states = torch.stack([*visited, x])
    assert states.min() == 0.0
    assert states.max() == 1.0
    free = sgld(gradient_of(normal_energy), torch.full((500, 2), 0.5), 6, 0.1, 0.5, seeded())
    assert free.min() < 0
    assert free.max() > 1


def test_frozen_network_gives_gradients_to_inputs_only():
    network = mixed(network_of())
    before = snapshot(network)
    images = torch.rand(2, 1, 6, 6, requires_grad=True)
    with frozen(network):
        assert not any(module.training for module in network.modules())
        assert not any(p.requires_grad for p in network.parameters())
        network.energy(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert_same(before, snapshot(network))


def test_network_is_put_back_after_an_error():
    network = mixed(network_of())
    before = snapshot(network)
    with pytest.raises(KeyboardInterrupt), frozen(network):
        raise KeyboardInterrupt
    assert_same(before, snapshot(network))
    buffer = ReplayBuffer((1, 7, 6), 50, seeded())  # not the shape that the network takes
    stored = buffer.images.clone()
    with pytest.raises(RuntimeError):
        sample_step(network, buffer, sampler_of())
    assert_same(before, snapshot(network))
    assert torch.equal(buffer.images, stored)


def test_sampling_leaves_the_network_untouched():
    network = mixed(network_of())
    before = snapshot(network)
    for _ in range(3):
        images = sample_step(network, ReplayBuffer((1, 6, 6), 50, seeded()), sampler_of())
    assert_same(before, snapshot(network))
    assert not images.requires_grad
    assert images.grad_fn is None
    assert images.dtype == torch.float32
    assert images.shape == (12, 1, 6, 6)
    assert images.min() >= 0
    assert images.max() <= 1


def test_sampling_does_not_change_what_a_training_step_computes():
    gradients = []
    images = torch.rand(3, 1, 6, 6, generator=seeded(3))
    for samples in (False, True):
        network = network_of()
        value = network.energy(images).mean()
        if samples:
            sample_step(network, ReplayBuffer((1, 6, 6), 50, seeded()), sampler_of())
        value.backward()
        gradients.append([p.grad for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("encoder", ["mlp", "resnet"])
def test_samples_have_lower_energy_than_their_starts(encoder, precision):
    network = network_of(encoder=encoder, temperature=0.1, precision=precision)
    config = sampler_of(count=60, buffer_size=1000, steps=20, step_size=0.05, noise_std=0.005)
    buffer, twin = (ReplayBuffer((1, 6, 6), 1000, seeded(4)) for _ in range(2))
    _, starts = twin.draw(config.count, config.restart_probability)
    samples = sample_step(network, buffer, config)
    with torch.no_grad():
        drop = network.energy(starts) - network.energy(samples)
    assert drop.mean() > 0.05
    assert (drop > 0).float().mean() > 0.95


def test_samples_go_back_to_where_they_came_from():
    network, config = network_of(), sampler_of(restart_probability=0.3)
    buffer, twin = (ReplayBuffer((1, 6, 6), 1000, seeded(5)) for _ in range(2))
    where, _ = twin.draw(config.count, config.restart_probability)
    assert len(set(where.tolist())) == config.count
    samples = sample_step(network, buffer, config)
    assert torch.equal(buffer.images[where], samples.half())
    others = torch.ones(1000, dtype=torch.bool)
    others[where] = False
    assert torch.equal(buffer.images[others], twin.images[others])
    assert not torch.equal(buffer.images[where], twin.images[where])


def test_buffer_starts_from_uniform_noise():
    images = ReplayBuffer((2, 5, 5), 400, seeded()).images
    assert images.shape == (400, 2, 5, 5)
    assert images.dtype == torch.float16
    values = images.double().flatten()
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.mean().item() == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / len(values)))
    assert values.var().item() == pytest.approx(1 / 12, rel=0.03)


def test_buffer_keeps_what_is_stored():
    buffer = ReplayBuffer((1, 3, 3), 20, seeded())
    before = buffer.images.clone()
    where, states = torch.tensor([7, 0, 19]), torch.rand(3, 1, 3, 3, generator=seeded(1))
    buffer.store(where, states)
    torch.testing.assert_close(buffer.images[where].float(), states, atol=2**-11, rtol=0)
    others = torch.ones(20, dtype=torch.bool)
    others[where] = False
    assert torch.equal(buffer.images[others], before[others])


def test_draws_without_restart_are_the_stored_states():
    buffer = ReplayBuffer((1, 3, 3), 30, seeded())
    before = buffer.images.clone()
    counts = torch.zeros(30)
    for _ in range(200):
        where, states = buffer.draw(10, 0.0)
        assert states.dtype == torch.float32
        assert torch.equal(states, before[where].float())
        assert len(where.unique()) == 10  # no chain twice, or one of its moves would be lost
        counts += where.bincount(minlength=30)
    assert torch.equal(buffer.images, before)
    statistic = ((counts - 2000 / 30) ** 2 / (2000 / 30)).sum()
    assert statistic < 29 + 5 * math.sqrt(2 * 29)  # chi squared with 29 degrees of freedom


@pytest.mark.parametrize("probability", [0.0, 0.05, 0.5, 1.0])
def test_share_of_restarts(probability):
    count = 4000
    buffer = ReplayBuffer((1, 3, 3), count, seeded())
    buffer.images.fill_(2.0)  # noise never is
    _, states = buffer.draw(count, probability)
    anew = (states < 2).flatten(1)
    assert torch.equal(anew.any(1), anew.all(1))  # whole images
    share = anew.all(1).double().mean().item()
    assert share == pytest.approx(probability, abs=5 * math.sqrt(probability * (1 - probability) / count))
    if probability:
        noise = states[anew.all(1)].double()
        spread = 5 * math.sqrt(1 / 12 / noise.numel())
        assert noise.mean().item() == pytest.approx(0.5, abs=spread)
        assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)
    assert (buffer.images == 2).all()


def test_buffer_is_decided_by_its_seed():
    def history(seed):
        network, buffer = network_of(), ReplayBuffer((1, 6, 6), 40, seeded(seed))
        samples = [sample_step(network, buffer, sampler_of(buffer_size=40)) for _ in range(3)]
        return torch.cat(samples)

    assert torch.equal(history(1), history(1))
    assert not torch.equal(history(1), history(2))


def test_modules_that_are_shared_or_nested_keep_their_modes():
    inner = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))
    outer = nn.Sequential(inner, nn.ReLU(), inner)
    outer.train()
    inner[0].eval()
    before = {name: module.training for name, module in outer.named_modules()}
    with frozen(outer):
        pass
    assert {name: module.training for name, module in outer.named_modules()} == before
