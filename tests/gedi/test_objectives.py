import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.objectives import (
    PRIORS,
    constraint,
    entropy,
    generative,
    invariance,
    log_marginal,
    prior_cross_entropy,
    prior_entropy,
)

seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.1, 1.0, 10.0])
sizes = st.tuples(st.integers(1, 6), st.integers(2, 12))


def random_logits(seed, *shape, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def uniform(classes):
    return torch.full((classes,), 1 / classes, dtype=torch.float64).log()


def balanced(classes, certainty):
    """One image in every cluster, logits ``certainty`` apart."""
    return (certainty * torch.eye(classes, dtype=torch.float64)).log_softmax(1)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_invariance_is_0_at_agreement_and_ln_c_at_uniform(classes):
    certain = 60.0 * torch.eye(classes, dtype=torch.float64)
    assert invariance(certain, certain).item() == pytest.approx(0.0, abs=1e-12)
    flat = torch.zeros(7, classes, dtype=torch.float64)
    assert invariance(flat, flat).item() == pytest.approx(math.log(classes))
    assert invariance(certain, certain.roll(1, 0)).item() == pytest.approx(60.0)  # certain, disagreeing


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, scales)
def test_invariance_is_the_mean_cross_entropy(seed, size, scale):
    p, q = random_logits(seed, 2, *size, scale=scale).softmax(2)
    value = invariance(p.log(), q.log()).item()
    rows = [
        -sum(b * math.log(a) for a, b in zip(*row, strict=True))
        for row in zip(p.tolist(), q.tolist(), strict=True)
    ]
    assert value == pytest.approx(sum(rows) / len(rows), rel=1e-9)
    assert value >= scipy.stats.entropy(q.numpy(), axis=1).mean() - 1e-12


def test_invariance_has_gradients_through_both_views():
    a, b = random_logits(0, 2, 3, 4)
    a.requires_grad_()
    b.requires_grad_()
    gradients = torch.autograd.grad(invariance(a, b), [a, b])
    p, q = a.softmax(1), b.softmax(1)
    torch.testing.assert_close(gradients[0], (p - q) / 3)
    surprise = -a.log_softmax(1)
    torch.testing.assert_close(gradients[1], q * (surprise - (q * surprise).sum(1, keepdim=True)) / 3)


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, scales)
def test_log_marginal_is_the_log_of_the_mean_posterior(seed, size, scale):
    log_posterior = random_logits(seed, *size, scale=scale).log_softmax(1)
    torch.testing.assert_close(log_marginal(log_posterior), log_posterior.exp().mean(0).log())


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("certainty", [0.0, 3.0, 1000.0])
def test_prior_at_balance(classes, certainty):
    log_posterior = balanced(classes, certainty)
    assert prior_cross_entropy(log_posterior, uniform(classes)).item() == pytest.approx(math.log(classes))
    assert prior_entropy(log_posterior, uniform(classes)).item() == pytest.approx(-math.log(classes))


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, scales)
def test_prior_has_its_minimum_where_the_marginal_is_the_prior(seed, size, scale):
    batch, classes = size
    prior = random_logits(seed + 1, classes).softmax(0)
    optima = {"cross-entropy": scipy.stats.entropy(prior.numpy()), "entropy": -math.log(classes)}
    assert set(optima) == set(PRIORS)
    for form, optimum in optima.items():
        # anywhere
        log_posterior = random_logits(seed, batch, classes, scale=scale).log_softmax(1)
        assert PRIORS[form](log_posterior, prior.log()).item() >= optimum - 1e-12
        # at the optimum: every row the prior
        logits = prior.log().repeat(batch, 1).requires_grad_()
        value = PRIORS[form](logits.log_softmax(1), prior.log())
        assert value.item() == pytest.approx(optimum, abs=1e-12)
        (gradient,) = torch.autograd.grad(value, logits)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, scales)
def test_prior_forms_are_cross_entropy_and_minus_entropy(seed, size, scale):
    log_posterior = random_logits(seed, *size, scale=scale).log_softmax(1)
    marginal = log_posterior.exp().mean(0)
    prior = random_logits(seed + 1, size[1]).softmax(0)
    expected = -(prior * marginal.log()).sum()
    torch.testing.assert_close(prior_cross_entropy(log_posterior, prior.log()), expected)
    value = prior_entropy(log_posterior, uniform(size[1])).item()
    assert value == pytest.approx(-scipy.stats.entropy(marginal.numpy()), abs=1e-9)
    divergence = scipy.stats.entropy(marginal.numpy(), prior.numpy()) - math.log(size[1])
    assert prior_entropy(log_posterior, prior.log()).item() == pytest.approx(divergence, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collapse_has_a_finite_loss_and_a_way_out(dtype):
    """All images certain of cluster 0: log(mean(softmax)) would be -inf, its gradient nan."""
    logits = torch.full((8, 10), -1000.0, dtype=dtype)
    logits[:, 0] = 1000.0
    logits.requires_grad_()
    assert (logits.softmax(1).mean(0).log() == -math.inf).any()  # the trap
    log_prior = uniform(10).to(dtype)
    value = prior_cross_entropy(logits.log_softmax(1), log_prior)
    assert value.item() == pytest.approx(0.9 * 2000)
    (gradient,) = torch.autograd.grad(value, logits)
    expected = torch.full((8, 10), -0.1 / 8, dtype=dtype)
    expected[:, 0] = 0.9 / 8
    torch.testing.assert_close(gradient, expected)
    bounded = prior_entropy(logits.log_softmax(1), log_prior)
    assert bounded.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.autograd.grad(bounded, logits)[0].isfinite().all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_extreme_logits_have_finite_values_and_gradients(sign):
    logits = (sign * 1000.0 * torch.eye(10)).requires_grad_()
    other = (sign * 1000.0 * torch.eye(10).roll(1, 0)).requires_grad_()
    terms = [
        generative(logits, other),
        invariance(logits, other),
        *(form((logits + other).log_softmax(1), uniform(10).float()) for form in PRIORS.values()),
    ]
    for term in terms:
        assert term.isfinite()
        for gradient in torch.autograd.grad(term, [logits, other], retain_graph=True):
            assert gradient.isfinite().all()


def test_generative_gradient_is_the_difference_of_mean_energy_gradients():
    torch.manual_seed(0)
    config = NetworkConfig("mlp", 8, 1, 3, 3, 4, projector_hidden=0, temperature=0.5, initialisation="torch")
    network = GEDINetwork(config)
    data, samples = torch.rand(5, 1, 3, 3), torch.rand(3, 1, 3, 3)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(generative(network(data), network(samples)), parameters)

    def mean_gradient(images):
        rows = [torch.autograd.grad(network.energy(image[None])[0], parameters) for image in images]
        return [torch.stack(column).mean(0) for column in zip(*rows, strict=True)]

    pairs = zip(gradients, mean_gradient(data), mean_gradient(samples), strict=True)
    for gradient, on_data, on_samples in pairs:
        torch.testing.assert_close(gradient, on_data - on_samples, atol=1e-5, rtol=1e-4)
    values = network.energy(data).mean() - network.energy(samples).mean()
    torch.testing.assert_close(generative(network(data), network(samples)), values)
    assert generative(network(data), network(data)).item() == 0.0


def test_generative_pulls_data_down_and_samples_up():
    data, samples = random_logits(0, 4, 5).requires_grad_(), random_logits(1, 6, 5).requires_grad_()
    gradients = torch.autograd.grad(generative(data, samples), [data, samples])
    torch.testing.assert_close(gradients[0], -data.softmax(1) / 4)
    torch.testing.assert_close(gradients[1], samples.softmax(1) / 6)


def test_gradients_equal_finite_differences():
    a, b = random_logits(0, 2, 4, 5, scale=2.0)
    a.requires_grad_()
    b.requires_grad_()
    log_prior = random_logits(1, 5).log_softmax(0)
    assert torch.autograd.gradcheck(generative, (a, b))
    assert torch.autograd.gradcheck(invariance, (a, b))
    for form in PRIORS.values():
        assert torch.autograd.gradcheck(lambda x, form=form: form(x.log_softmax(1), log_prior), (a,))
    assert torch.autograd.gradcheck(constraint, (a[:, 0],))


def test_constraint_is_the_mean_surprise():
    assert constraint(torch.zeros(4)).item() == 0.0
    assert constraint(torch.tensor([0.5, 0.25, 0.125]).log()).item() == pytest.approx(2 * math.log(2))
    assert constraint(torch.full((9,), 0.055).log()).item() == pytest.approx(2.900422, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 20), scales)
def test_entropy_equals_scipy(seed, classes, scale):
    probabilities = random_logits(seed, classes, scale=scale).softmax(0)
    assert entropy(probabilities) == pytest.approx(scipy.stats.entropy(probabilities.numpy()), abs=1e-12)
    assert 0 <= entropy(probabilities) <= math.log(classes) + 1e-12
    assert entropy(torch.eye(classes)[0]) == 0.0
