import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.gedi.baselines import (
    cross_correlation,
    redundancy_reduction,
    sinkhorn_knopp,
    swapped_prediction,
)

seeds = st.integers(0, 2**31 - 1)


def random_scores(seed, *shape, low=-1.0, high=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)).to(dtype)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sinkhorn_of_probabilities(scores, epsilon, iterations):
    """The published loop, in numpy: a matrix of total 1, its marginals imposed in turn."""
    batch, prototypes = scores.shape
    codes = np.exp(scores.numpy() / epsilon)
    codes /= codes.sum()
    for _ in range(iterations):
        codes /= codes.sum(0, keepdims=True) * prototypes
        codes /= codes.sum(1, keepdims=True) * batch
    return torch.from_numpy(codes * batch)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 12), st.integers(1, 7), st.sampled_from([0.03, 0.05, 0.5]), st.integers(1, 5))
def test_sinkhorn_equals_the_loop_on_probabilities(seed, batch, prototypes, epsilon, iterations):
    scores = random_scores(seed, batch, prototypes)
    codes = sinkhorn_knopp(scores, epsilon, iterations)
    expected = sinkhorn_of_probabilities(scores, epsilon, iterations)
    torch.testing.assert_close(codes, expected, rtol=1e-9, atol=1e-12)


def test_sinkhorn_does_three_rounds_unless_told_otherwise():
    scores = random_scores(0, 9, 4)
    torch.testing.assert_close(sinkhorn_knopp(scores, 0.05), sinkhorn_of_probabilities(scores, 0.05, 3))


@pytest.mark.parametrize("epsilon", [0.5, 0.05])
def test_sinkhorn_balances_the_prototypes_in_the_limit(epsilon):
    codes = sinkhorn_knopp(random_scores(1, 24, 5), epsilon, iterations=3000)
    torch.testing.assert_close(codes.sum(0), torch.full((5,), 24 / 5, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(1), torch.ones(24, dtype=torch.float64))


@pytest.mark.parametrize("epsilon", [0.03, 1e-4])
@pytest.mark.parametrize("largest", [1.0, 10.0])
def test_codes_and_gradients_are_finite_in_fp32_at_any_epsilon(epsilon, largest):
    scores = random_scores(2, 64, 10, low=-largest, high=largest, dtype=torch.float32)
    scores[0], scores[1] = -largest, largest
    scores.requires_grad_()
    codes = sinkhorn_knopp(scores, epsilon)
    assert codes.isfinite().all()
    assert codes.dtype == torch.float32
    assert not codes.requires_grad
    assert codes.min() >= 0
    torch.testing.assert_close(codes.sum(1), torch.ones(64))
    loss = swapped_prediction(scores, scores.flip(0), epsilon, temperature=0.1)
    assert loss.isfinite()
    assert torch.autograd.grad(loss, scores)[0].isfinite().all()


def test_codes_in_fp32_are_those_of_the_same_numbers_in_fp64():
    offset = random_scores(3, 32, 1, low=-10.0, high=10.0)
    scores = (offset + random_scores(4, 32, 6, low=-1e-4, high=1e-4)).float()  # close calls, far from 0
    torch.testing.assert_close(
        sinkhorn_knopp(scores, 1e-4), sinkhorn_knopp(scores.double(), 1e-4).float(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("prototypes", [2, 10, 300])
def test_swav_is_stuck_at_ln_prototypes_where_all_scores_are_equal(prototypes):
    scores = torch.full((16, prototypes), 0.3)
    assert swapped_prediction(scores, scores, 0.05, 0.1).item() == pytest.approx(math.log(prototypes))


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 9))
def test_a_constant_network_never_gets_swav_below_ln_prototypes(seed, prototypes):
    scores = random_scores(seed, 1, prototypes).expand(8, -1)
    assert swapped_prediction(scores, scores, 0.03, 0.1).item() >= math.log(prototypes) - 1e-9


def test_swav_is_0_where_views_agree_and_prototypes_share_the_images():
    scores = 2 * torch.eye(6, dtype=torch.float64).repeat(3, 1) - 1
    assert swapped_prediction(scores, scores, 0.03, 0.05).item() == pytest.approx(0.0, abs=1e-12)
    # the same posteriors, images exchanged: certain and wrong
    assert swapped_prediction(scores, scores.roll(1, 0), 0.03, 0.05).item() == pytest.approx(40.0)


def test_swav_is_the_mean_of_both_cross_entropies():
    a, b = random_scores(4, 2, 7, 3)
    value = swapped_prediction(a, b, 0.05, 0.2, iterations=2)
    expected = 0.0
    for codes_from, predict_from in ((a, b), (b, a)):
        codes = sinkhorn_of_probabilities(codes_from, 0.05, 2)
        expected += torch.nn.functional.cross_entropy(predict_from / 0.2, codes).item() / 2
    assert value.item() == pytest.approx(expected)
    assert swapped_prediction(b, a, 0.05, 0.2, iterations=2).item() == pytest.approx(value.item())


def test_swav_gradient_takes_the_codes_as_given():
    a, b = random_scores(5, 2, 8, 4)
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(swapped_prediction(a, b, 0.05, 0.1), a)
    codes = sinkhorn_of_probabilities(b, 0.05, 3)
    torch.testing.assert_close(gradient, ((a / 0.1).softmax(1) - codes).detach() / (0.1 * 8 * 2))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(3, 20), st.integers(1, 5))
def test_cross_correlation_equals_numpy(seed, batch, units):
    z, other = normal(seed, 2, batch, units)
    expected = np.corrcoef(z.numpy(), other.numpy(), rowvar=False)[:units, units:]
    correlation = cross_correlation(z, other, eps=0.0)
    torch.testing.assert_close(correlation, torch.from_numpy(expected.reshape(units, units)))


def test_cross_correlation_is_that_of_batch_normalised_projections():
    z, other = normal(0, 2, 9, 3) * 0.01  # small, so that eps counts
    normalise = torch.nn.BatchNorm1d(3, affine=False, dtype=torch.float64)
    torch.testing.assert_close(cross_correlation(z, other), normalise(z).T @ normalise(other) / 9)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_barlow_ignores_scale_and_shift_of_each_unit(seed):
    z, other = normal(seed, 2, 12, 4)
    scale, shift = 10 + 90 * torch.rand(2, 4, dtype=torch.float64)
    moved = redundancy_reduction(z * 1e3 * scale + shift, other * 1e3)
    assert moved.item() == pytest.approx(redundancy_reduction(z * 1e3, other * 1e3).item(), rel=1e-6)


def decorrelated(batch, units):
    """Centred, orthogonal columns."""
    columns = torch.cat([torch.ones(batch, 1, dtype=torch.float64), normal(7, batch, units)], 1)
    return torch.linalg.qr(columns)[0][:, 1:] * 1e4


def test_barlow_is_0_for_identical_decorrelated_views():
    z = decorrelated(20, 6)
    assert redundancy_reduction(z, z).item() == pytest.approx(0.0, abs=1e-9)
    assert redundancy_reduction(z, -z).item() == pytest.approx(4 * 6)


def test_barlow_weighs_what_is_off_the_diagonal():
    z = decorrelated(20, 6)
    swapped = z[:, [1, 0, 2, 3, 4, 5]]  # two units wrong, and two entries of 1 off the diagonal
    assert redundancy_reduction(z, swapped).item() == pytest.approx(2 + 0.005 * 2)
    assert redundancy_reduction(z, swapped, off_diagonal_weight=0.5).item() == pytest.approx(2 + 0.5 * 2)
    copies = z[:, :1].expand(-1, 6)  # all units the same
    assert redundancy_reduction(copies, copies).item() == pytest.approx(0.005 * 6 * 5)


@pytest.mark.parametrize("units", [1, 8])
def test_barlow_is_d_for_a_constant_network_and_has_a_gradient(units):
    z = torch.full((16, units), 0.7, requires_grad=True)
    value = redundancy_reduction(z, torch.randn(16, units))
    assert value.item() == pytest.approx(units, abs=1e-3)
    assert torch.autograd.grad(value, z)[0].isfinite().all()


def test_baseline_gradients_equal_finite_differences():
    z, other = normal(1, 2, 6, 3)
    z.requires_grad_()
    other.requires_grad_()
    assert torch.autograd.gradcheck(cross_correlation, (z, other))
    assert torch.autograd.gradcheck(redundancy_reduction, (z, other))
