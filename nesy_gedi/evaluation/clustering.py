"""How well a network's clusters agree with labels, on a whole test set."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from nesy_gedi.data.images import ImageSet, to_float
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.networks import GEDINetwork

BATCH = 64  # images of a batch in the mean of per-batch NMIs
_ORDER_SEED = 0  # of the one order in which a set is split into batches
KMEANS_STARTS = 10


@dataclass(frozen=True)
class ClusteringScore:
    """Shares in [0, 1]; ``ari`` can be a little below 0.

    Attributes:
        accuracy: the most likely class is the label, with no matching.
        matched_accuracy: the same after the best one-to-one matching of clusters to labels (Hungarian
            method); where there are more of one than of the other, some stay without a partner.
        nmi: normalised mutual information, arithmetic mean, over all images at once.
        ari: adjusted Rand index (Hubert & Arabie 1985); 0 is its expectation by chance.
        batch_nmi: mean of the NMIs of batches, see
            :func:`~nesy_gedi.evaluation.clustering.batch_nmi`. Not to be compared with ``nmi``.
    """

    accuracy: float
    matched_accuracy: float
    nmi: float
    ari: float
    batch_nmi: float


@torch.no_grad()
def predict(network: GEDINetwork, images: Tensor, chunk: int = 500) -> Tensor:
    """Most likely class of images ``(n, channels, height, width)``: ``(n,)``, on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    return torch.cat([network(to_float(part.to(device))).argmax(1).cpu() for part in images.split(chunk)])


def confusion(
    predicted: Tensor, labels: Tensor, clusters: int, classes: int | None = None
) -> NDArray[np.int64]:
    """Counts ``(label, predicted)`` of shape ``(classes, clusters)``.

    Args:
        predicted: ``(n,)``, in ``0 .. clusters - 1``.
        labels: ``(n,)``, in ``0 .. classes - 1``.
        clusters: number of columns.
        classes: number of rows; as many as clusters, or as the labels need, if not given.
    """
    rows = max(clusters, int(labels.max()) + 1 if len(labels) else 0) if classes is None else classes
    table = np.zeros((rows, clusters), dtype=np.int64)
    np.add.at(table, (labels.numpy(), predicted.numpy()), 1)
    return table


def majority_reading(table: NDArray[np.int64]) -> tuple[int, ...]:
    """For each label the class that most of its images are read as, from ``confusion``'s table.

    It is the map from true to read symbols that a network has learned. A label without images counts
    as read as itself.
    """
    seen = table.sum(1) > 0
    return tuple(int(row.argmax()) if seen[k] else k for k, row in enumerate(table))


def clustering_score(predicted: Tensor, labels: Tensor, clusters: int) -> ClusteringScore:
    """Score predictions ``(n,)`` in ``0 .. clusters - 1`` against labels ``(n,)``, however many there are."""
    table = confusion(predicted, labels, clusters)
    total = max(1, table.sum())
    rows, columns = linear_sum_assignment(table, maximize=True)
    return ClusteringScore(
        accuracy=float(np.trace(table) / total),
        matched_accuracy=float(table[rows, columns].sum() / total),
        nmi=float(normalized_mutual_info_score(labels.numpy(), predicted.numpy())),
        ari=float(adjusted_rand_score(labels.numpy(), predicted.numpy())),
        batch_nmi=batch_nmi(predicted, labels),
    )


def batch_nmi(predicted: Tensor, labels: Tensor, size: int = BATCH) -> float:
    """Mean of the NMIs of batches into which the set is split in one fixed, shuffled order.

    A file sorted by class would give batches of one class each, and an NMI near 0 whatever was learned.
    Few images per class make any two partitions look alike: with 64 images, uniformly random
    clusters reach 0.31 at 10 classes and 0.90 at 100. A last smaller batch is left out; of fewer images
    than one batch it is the NMI of all.

    Args:
        predicted: ``(n,)``.
        labels: ``(n,)``.
        size: images of a batch.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_ORDER_SEED))
    order = order[: len(order) // size * size or len(order)]
    pairs = zip(labels[order].split(size), predicted[order].split(size), strict=True)
    return float(
        np.mean([normalized_mutual_info_score(true.numpy(), found.numpy()) for true, found in pairs])
    )


def kmeans_score(
    train: Tensor, test: Tensor, labels: Tensor, clusters: int, seed: int = 0
) -> ClusteringScore:
    """Score k-means, fitted on one set of vectors, on another; its names, and so ``accuracy``, mean nothing.

    Args:
        train: ``(n, d)``, what the centres are fitted on.
        test: ``(m, d)``, what is assigned to them.
        labels: of ``test``, ``(m,)``.
        clusters: number of centres.
        seed: decides the 10 starts, of which the best is taken.

    Raises:
        UserError: there are more centres than vectors.
    """
    if len(train) < clusters:
        raise UserError(f"k-means cannot find {clusters} clusters in {len(train)} images: take more of them")
    method = KMeans(clusters, n_init=KMEANS_STARTS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # features that collapsed to a few points
        method.fit(train.numpy())
    return clustering_score(torch.from_numpy(method.predict(test.numpy())).long(), labels, clusters)


def kmeans_pixels(images: ImageSet, clusters: int, seed: int = 0) -> ClusteringScore:
    """k-means on raw pixels, fitted on the training images, scored on the test images.

    Raises:
        UserError: the test images have no labels, or there are too few training images.
    """
    if images.test_labels is None:
        raise UserError(f"{images.name} has no labels to score k-means with")
    train, test = (to_float(part).flatten(1) for part in (images.train_images, images.test_images))
    return kmeans_score(train, test, images.test_labels, clusters, seed)
