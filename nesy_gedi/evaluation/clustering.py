"""How well a network's classes agree with labels, on a whole test set."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from nesy_gedi.gedi.networks import GEDINetwork


@dataclass(frozen=True)
class ClusteringScore:
    """Shares in [0, 1].

    Attributes:
        accuracy: the most likely class is the label, with no matching.
        matched_accuracy: the same after the best one-to-one matching of clusters to labels.
        nmi: normalised mutual information, arithmetic mean, over all images at once.
    """

    accuracy: float
    matched_accuracy: float
    nmi: float


@torch.no_grad()
def predict(network: GEDINetwork, images: Tensor, chunk: int = 500) -> Tensor:
    """Most likely class of uint8 images ``(n, channels, height, width)``: ``(n,)``, on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    parts = [network(part.to(device).float() / 255).argmax(1).cpu() for part in images.split(chunk)]
    return torch.cat(parts)


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> NDArray[np.int64]:
    """Counts ``(label, predicted)``."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (labels.numpy(), predicted.numpy()), 1)
    return table


def majority_reading(table: NDArray[np.int64]) -> tuple[int, ...]:
    """For each label the class that most of its images are read as, from ``confusion``'s table.

    It is the map from true to read symbols that a network has learned. A label without images counts
    as read as itself.
    """
    seen = table.sum(1) > 0
    return tuple(int(row.argmax()) if seen[k] else k for k, row in enumerate(table))


def clustering_score(predicted: Tensor, labels: Tensor, classes: int) -> ClusteringScore:
    """Score predictions ``(n,)`` against labels ``(n,)``."""
    table = confusion(predicted, labels, classes)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return ClusteringScore(
        accuracy=float(np.trace(table) / table.sum()),
        matched_accuracy=float(table[rows, columns].sum() / table.sum()),
        nmi=float(normalized_mutual_info_score(labels.numpy(), predicted.numpy())),
    )
