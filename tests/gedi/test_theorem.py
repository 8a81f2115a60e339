"""The paper's Theorem 15 on a finite space, where the density can be normalised exactly.

The space has two images of each of c kinds, which are views of each other and equally likely, and as many
images of noise, which the data never shows. A network is a table of logits, one row for each.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.gedi.networks import energy_of
from nesy_gedi.gedi.objectives import generative, invariance, log_marginal, prior_cross_entropy

CERTAINTY = 40.0  # logits of a certain posterior stand so far apart, and those of noise below data
sizes = st.tuples(st.integers(2, 8), st.integers(2, 12))
seeds = st.integers(0, 2**31 - 1)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def certain(labels, classes):
    return CERTAINTY * torch.nn.functional.one_hot(torch.as_tensor(labels), classes).double()


def space(first_view, second_view, noise=-CERTAINTY):
    """Rows: the data's first views, second views, and noise, lower by ``-noise``."""
    data = torch.cat([first_view, second_view])
    return torch.cat([data, data + noise])


def ideal(classes):
    return space(certain(range(classes), classes), certain(range(classes), classes))


def constant_uniform(classes):
    return torch.zeros(4 * classes, classes, dtype=torch.float64)


def constant_certain(classes):
    return certain([0], classes).repeat(4 * classes, 1)


def one_cluster(classes):
    zeros = certain([0] * classes, classes)
    return space(zeros, zeros)


def views_disagree(classes):
    views = certain(range(classes), classes)
    return space(views, views.roll(1, 0))


def density_without_clusters(classes):
    flat = torch.zeros(classes, classes, dtype=torch.float64)
    return space(flat, flat)


def clusters_without_density(classes):
    views = certain(range(classes), classes)
    return space(views, views, noise=0.0)


def log_likelihood_loss(logits):
    """-mean log p(x) of the data, p exactly normalised: what the gradient of gen is the gradient of."""
    energy = energy_of(logits)
    return energy[: len(energy) // 2].mean() + (-energy).logsumexp(0)


def uniform(classes):
    return torch.full((classes,), -math.log(classes), dtype=torch.float64)


def values(logits):
    """Each term of a network on the space; ``gen`` as the loss in likelihood."""
    classes = logits.shape[1]
    first, second = logits[:classes], logits[classes : 2 * classes]
    log_posterior = logits[: 2 * classes].log_softmax(1)
    return {
        "gen": log_likelihood_loss(logits).item(),
        "inv": invariance(first, second).item(),
        "prior": prior_cross_entropy(log_posterior, uniform(classes)).item(),
    }


def optima(classes):
    return {"gen": math.log(2 * classes), "inv": 0.0, "prior": math.log(classes)}


def emptied(classes):
    """How far prior is above its optimum where all clusters but one are empty, up to exp(-CERTAINTY)."""
    return CERTAINTY * (1 - 1 / classes) - math.log(classes)


TABLE = {  # network: the terms that are not at their optimum, and how far they are off
    ideal: {},
    constant_uniform: {"gen": lambda c: math.log(2), "inv": math.log},
    constant_certain: {
        "gen": lambda c: math.log(2),
        "prior": lambda c: CERTAINTY * (1 - 1 / c) - math.log(c),
    },
    one_cluster: {"prior": emptied},
    views_disagree: {"inv": lambda c: CERTAINTY},
    density_without_clusters: {"inv": math.log},
    clusters_without_density: {"gen": lambda c: math.log(2)},
}


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("network", TABLE, ids=lambda network: network.__name__)
def test_each_failure_leaves_exactly_these_terms_off_their_optimum(network, classes):
    found, best = values(network(classes)), optima(classes)
    off = {term: found[term] - best[term] for term in best}
    expected = {term: TABLE[network][term](classes) if term in TABLE[network] else 0.0 for term in best}
    assert off == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("left_out", ["gen", "inv", "prior"])
def test_without_one_term_a_failure_is_as_good_as_the_ideal(left_out):
    """Why each is needed: what is left cannot tell these networks from the ideal one."""
    unnoticed = [n.__name__ for n, off in TABLE.items() if n is not ideal and set(off) <= {left_out}]
    assert (
        unnoticed
        == {
            "gen": ["clusters_without_density"],
            "inv": ["views_disagree", "density_without_clusters"],
            "prior": ["one_cluster"],
        }[left_out]
    )


@pytest.mark.parametrize("left_out", ["inv", "prior"])
def test_a_constant_network_is_noticed_by_gen_alone_once_either_other_is_gone(left_out):
    blind = {"inv": constant_uniform, "prior": constant_certain}[left_out]
    assert set(TABLE[blind]) - {left_out} == {"gen"}


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(2, 12), st.sampled_from([0.1, 1.0, 5.0, 30.0]))
def test_a_constant_network_is_ln_2_off_in_inv_and_prior_together(seed, classes, scale):
    """H(m) + KL(uniform || m) >= ln 2: without gen, the two of them rule it out only together."""
    logits = (scale * normal(seed, 1, classes)).expand(4 * classes, -1)
    found, best = values(logits), optima(classes)
    assert found["gen"] == pytest.approx(math.log(4 * classes))
    assert found["inv"] + found["prior"] - best["prior"] >= math.log(2) - 1e-9


@settings(max_examples=30, deadline=None)
@given(seeds, sizes)
def test_a_constant_network_has_gen_0_and_no_gradient_but_one_that_separates_gets_lower(seed, size):
    batch, classes = size
    output = normal(seed, classes).requires_grad_()
    value = generative(output.expand(batch, -1), output.expand(2 * batch, -1))
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    (gradient,) = torch.autograd.grad(value, output)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    logits = clusters_without_density(classes)
    assert generative(logits[: 2 * classes], logits[2 * classes :]).item() == pytest.approx(0.0, abs=1e-12)
    logits = ideal(classes)
    separated = generative(logits[: 2 * classes], logits[2 * classes :]).item()
    assert separated == pytest.approx(-CERTAINTY)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 5))
def test_gradient_of_gen_is_that_of_the_likelihood_when_samples_follow_the_model(seed, classes):
    """Energies -ln(count): showing every image count times is an exact sample of the model."""
    counts = torch.randint(1, 6, (4 * classes,), generator=torch.Generator().manual_seed(seed))
    log_counts = counts.double().log()[:, None]
    logits = (log_counts + normal(seed, 4 * classes, classes).log_softmax(1)).requires_grad_()
    samples = logits.repeat_interleave(counts, dim=0)
    (found,) = torch.autograd.grad(generative(logits[: 2 * classes], samples), logits)
    (expected,) = torch.autograd.grad(log_likelihood_loss(logits), logits)
    torch.testing.assert_close(found, expected)


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(2, 8))
def test_no_network_gets_below_the_optima(seed, classes):
    found = values(5 * normal(seed, 4 * classes, classes))
    assert all(found[term] >= best - 1e-12 for term, best in optima(classes).items())


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, st.floats(-1e3, 1e3))
def test_energies_move_freely_under_any_posterior(seed, size, scale):
    """A function of x added to all logits: gen can be anything, inv and prior stay."""
    first, second = normal(seed, 2, *size)
    shift, other_shift = scale * normal(seed + 1, 2, size[0], 1)
    torch.testing.assert_close(energy_of(first + shift), energy_of(first) - shift[:, 0])
    torch.testing.assert_close(invariance(first + shift, second + other_shift), invariance(first, second))
    prior = normal(seed + 2, size[1]).log_softmax(0)
    torch.testing.assert_close(
        prior_cross_entropy((first + shift).log_softmax(1), prior),
        prior_cross_entropy(first.log_softmax(1), prior),
    )
    moved = generative(first + shift, second + other_shift) - generative(first, second)
    torch.testing.assert_close(moved, other_shift.mean() - shift.mean(), atol=1e-9, rtol=1e-7)


@settings(max_examples=50, deadline=None)
@given(seeds, sizes)
def test_labels_move_freely_under_any_energy(seed, size):
    """Logits permuted for each image by itself: inv can be anything, gen stays."""
    first, second, samples = normal(seed, 3, *size)
    order = normal(seed + 1, *size).argsort(1)
    permuted = second.gather(1, order)
    torch.testing.assert_close(energy_of(permuted), energy_of(second))
    data, moved = torch.cat([first, second]), torch.cat([first, permuted])
    torch.testing.assert_close(generative(moved, samples), generative(data, samples))


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, st.sampled_from([0.1, 1.0, 10.0]))
def test_inv_is_at_least_the_entropy_of_the_posterior(seed, size, scale):
    first, second = scale * normal(seed, 2, *size)
    entropy = torch.special.entr(second.softmax(1)).sum(1).mean().item()
    assert entropy >= 0
    assert invariance(first, second).item() >= entropy - 1e-12
    assert invariance(second, second).item() == pytest.approx(entropy, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(seeds, sizes, st.sampled_from([0.1, 1.0, 10.0]))
def test_prior_is_at_its_optimum_exactly_where_the_marginal_is_the_prior(seed, size, scale):
    log_posterior = (scale * normal(seed, *size)).log_softmax(1)
    other = normal(seed + 1, size[1]).log_softmax(0)
    gap = prior_cross_entropy(log_posterior, other) + (other.exp() * other).sum()
    distance = (log_marginal(log_posterior).exp() - other.exp()).abs().sum() / 2
    assert gap.item() >= 2 * distance.item() ** 2 - 1e-12  # Pinsker
    marginal = log_marginal(log_posterior)
    at_marginal = prior_cross_entropy(log_posterior, marginal) + (marginal.exp() * marginal).sum()
    assert at_marginal.item() == pytest.approx(0.0, abs=1e-12)
