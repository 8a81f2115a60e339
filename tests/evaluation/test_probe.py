"""The linear probe against PyTorch's own optimiser and scikit-learn; neighbours by brute force."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from nesy_gedi.evaluation.probe import (
    ProbeConfig,
    fit_linear,
    linear_probe,
    nearest_neighbours,
    standardise,
)


def clouds(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three overlapping clouds in five dimensions, of scales that differ a thousandfold."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    centres = 1.5 * torch.eye(5)[:3]
    points = centres[labels] + torch.randn(count, 5, generator=generator)
    return points * torch.tensor([1e-2, 1.0, 1e1, 1.0, 0.0]) + 3, labels


def test_steps_equal_those_of_torch() -> None:
    features, labels = clouds(70, 0)
    config = ProbeConfig(epochs=4, batch_size=30, learning_rate=0.1, momentum=0.9, seed=5)
    weight = torch.zeros(3, 5, requires_grad=True)
    bias = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.SGD([weight, bias], lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(5)
    features, _ = standardise(features, features)
    for _ in range(4):
        for rows in torch.randperm(70, generator=generator).split(30):  # the last has ten
            optimiser.zero_grad()
            F.cross_entropy(F.linear(features[rows], weight, bias), labels[rows]).backward()
            optimiser.step()
    found = fit_linear(features, labels, 3, config)
    torch.testing.assert_close(found[:-1], weight.detach().T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[-1], bias.detach(), rtol=1e-4, atol=1e-5)


def test_probe_comes_to_what_logistic_regression_does() -> None:
    (train, labels), (test, truth) = clouds(1500, 1), clouds(1000, 2)
    left, right = standardise(train, test)
    oracle = LogisticRegression(C=1e6).fit(left.numpy(), labels.numpy()).score(right.numpy(), truth.numpy())
    assert linear_probe(train, labels, test, truth) == pytest.approx(oracle, abs=0.01)
    assert 0.6 < oracle < 0.95


def test_features_are_standardised_by_the_training_set_alone() -> None:
    train, test = clouds(200, 0)[0], clouds(100, 1)[0] + 7
    left, right = standardise(train, test)
    torch.testing.assert_close(left.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(left[:, :4].var(0, correction=0), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(left[:, 4], torch.zeros(200))  # constant: no division by zero
    torch.testing.assert_close(right[:, 1], (test[:, 1] - train[:, 1].mean()) / train[:, 1].std(correction=0))


def test_a_class_that_only_the_test_set_has_is_never_right() -> None:
    (train, labels), (test, _) = clouds(100, 1), clouds(50, 2)
    assert linear_probe(train, labels, test, torch.full((50,), 3), ProbeConfig(epochs=2)) == 0.0


@pytest.mark.parametrize("neighbours", [1, 20])
def test_neighbours_vote_by_cosine(neighbours: int) -> None:
    (train, labels), (test, truth) = clouds(300, 3), clouds(80, 4)
    train, test = train - 3, test - 3
    a, b = (x.double().numpy() / x.double().norm(dim=1, keepdim=True).numpy() for x in (test, train))
    near = np.argsort(-(a @ b.T), axis=1)[:, :neighbours]
    votes = np.stack([np.bincount(row, minlength=3) for row in labels.numpy()[near]])
    wanted = (votes.argmax(1) == truth.numpy()).mean()
    assert nearest_neighbours(train, labels, test, truth, neighbours) == pytest.approx(wanted)
    lengths = torch.linspace(0.1, 10, 300)[:, None]  # a cosine does not see them
    assert nearest_neighbours(train * lengths, labels, test, truth, neighbours) == pytest.approx(wanted)


def test_fewer_features_than_neighbours() -> None:
    labels = torch.tensor([0, 0, 1])
    assert nearest_neighbours(torch.eye(3), labels, torch.eye(3), labels) == pytest.approx(2 / 3)
