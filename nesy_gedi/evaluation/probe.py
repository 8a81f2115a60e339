"""Labels read off frozen features: a linear probe and nearest neighbours. Labels are used only here."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor


@dataclass(frozen=True)
class ProbeConfig:
    """Stochastic gradient descent on a linear classifier (paper, Table 10).

    Attributes:
        epochs: passes over the training features.
        batch_size: rows of a step.
        learning_rate: constant.
        momentum: of the gradients.
        seed: decides the order of the rows.
    """

    epochs: int = 100
    batch_size: int = 100
    learning_rate: float = 1e-3
    momentum: float = 0.9
    seed: int = 0


def standardise(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both without mean and deviation of ``train`` ``(n, d)``; a constant column is shifted only."""
    mean, spread = train.mean(0), train.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return (train - mean) / spread, (test - mean) / spread


@torch.no_grad()
def fit_linear(features: Tensor, labels: Tensor, classes: int, config: ProbeConfig) -> Tensor:
    """A linear classifier's weights ``(d + 1, classes)``, the last row its bias, from cross-entropy.

    It starts at zero: the problem is convex. The gradient is written out, since 20,000 steps of a
    few microseconds' arithmetic each would otherwise be spent in bookkeeping.

    Args:
        features: ``(n, d)``, standardised.
        labels: ``(n,)``.
        classes: number of classes.
        config: how long and how fast.
    """
    inputs = F.pad(features.float(), (0, 1), value=1.0)
    targets = F.one_hot(labels, classes).float()
    weights = inputs.new_zeros(inputs.shape[1], classes)
    velocity = torch.zeros_like(weights)
    generator = torch.Generator().manual_seed(config.seed)
    for _ in range(config.epochs):
        order = torch.randperm(len(inputs), generator=generator)
        batches = zip(
            inputs[order].split(config.batch_size), targets[order].split(config.batch_size), strict=True
        )
        for rows, wanted in batches:
            error = (rows @ weights).softmax(1).sub_(wanted)
            velocity.addmm_(rows.T, error, beta=config.momentum, alpha=1 / len(rows))
            weights.sub_(velocity, alpha=config.learning_rate)
    return weights


def linear_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    config: ProbeConfig | None = None,
) -> float:
    """Test accuracy of a linear classifier on frozen features, standardised by the training set.

    Args:
        train: features ``(n, d)``.
        train_labels: ``(n,)``.
        test: features ``(m, d)``.
        test_labels: ``(m,)``.
        config: Table 10's by default.
    """
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    train, test = standardise(train, test)
    weights = fit_linear(train, train_labels, classes, config or ProbeConfig())
    predicted = (F.pad(test.float(), (0, 1), value=1.0) @ weights).argmax(1)
    return float((predicted == test_labels).double().mean())


def nearest_neighbours(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, neighbours: int = 20
) -> float:
    """Test accuracy of a vote among the nearest training features by cosine similarity.

    Args:
        train: features ``(n, d)``.
        train_labels: ``(n,)``.
        test: features ``(m, d)``.
        test_labels: ``(m,)``.
        neighbours: how many vote; at most all training features.
    """
    # on the sphere Euclidean distance ranks as cosine similarity does, and scikit-learn is six times faster
    method = KNeighborsClassifier(min(neighbours, len(train)), algorithm="brute")
    method.fit(F.normalize(train).numpy(), train_labels.numpy())
    return float((method.predict(F.normalize(test).numpy()) == test_labels.numpy()).mean())
