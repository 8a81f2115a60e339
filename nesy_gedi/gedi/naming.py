"""Give clusters their names: the relabelling of clusters under which most examples satisfy the constraint.

Training separates the clusters before it names them, and gradient descent cannot swap two names: on the
way, both clusters would have to be wrong. The search here looks at nothing but the network's own clusters
and the constraint, no labels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Table = NDArray[np.float64]


def cluster_counts(clusters: Tensor, classes: int) -> Table:
    """How often each tuple of clusters occurs.

    Args:
        clusters: ``(examples, slots)``, the cluster of each image.
        classes: number of clusters.

    Returns:
        ``(classes,) * slots``, summing to the number of examples.
    """
    table = np.zeros((classes,) * clusters.shape[1])
    np.add.at(table, tuple(clusters.numpy().T), 1.0)
    return table


def best_naming(
    counts: Table, worlds: NDArray[np.bool_], generator: np.random.Generator, starts: int = 200
) -> tuple[list[int], float]:
    """Search the permutation of clusters to classes that satisfies most examples.

    Hill climbing on the best swap of two names, from the present naming and from random ones.

    Args:
        counts: ``(classes,) * slots``, from :func:`cluster_counts`.
        worlds: ``(classes,) * slots``, which readings satisfy the constraint.
        generator: source of the random starts.
        starts: number of starts.

    Returns:
        ``naming`` with ``naming[cluster] = class``, and the share of the examples it satisfies.
    """
    where = np.argwhere(counts)
    weights = counts[tuple(where.T)] / counts.sum()
    classes = len(worlds)
    swaps = _swaps(classes)
    best, best_share = np.arange(classes), -1.0
    for start in range(starts):
        naming = np.arange(classes) if start == 0 else generator.permutation(classes)
        share = -1.0
        while True:
            candidates = naming[swaps]  # (1 + pairs, classes): the naming itself and every swap
            shares = _satisfied(candidates, where, weights, worlds)
            winner = int(shares.argmax())
            if shares[winner] <= share + 1e-12:
                break
            naming, share = candidates[winner], float(shares[winner])
        if share > best_share + 1e-12:
            best, best_share = naming, share
    return [int(k) for k in best], best_share


def _swaps(classes: int) -> NDArray[np.int64]:
    rows = [np.arange(classes)]
    for i in range(classes):
        for j in range(i):
            row = np.arange(classes)
            row[[i, j]] = row[[j, i]]
            rows.append(row)
    return np.stack(rows)


def _satisfied(
    namings: NDArray[np.int64], where: NDArray[np.int64], weights: Table, worlds: NDArray[np.bool_]
) -> Table:
    """Share of examples that each naming ``(n, classes)`` satisfies: ``(n,)``."""
    readings = tuple(namings[:, where[:, slot]] for slot in range(where.shape[1]))
    share: Table = worlds[readings] @ weights
    return share


def rename_clusters(
    layer: nn.Linear, naming: Sequence[int], optimizers: Sequence[torch.optim.Optimizer] = ()
) -> None:
    """Permute the rows of the last layer so that ``cluster`` becomes ``naming[cluster]``.

    The optimisers' averages of these rows are permuted with them.
    """
    order = torch.empty(len(naming), dtype=torch.long)
    order[torch.tensor(naming)] = torch.arange(len(naming))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[order])
            for optimizer in optimizers:
                for value in optimizer.state.get(parameter, {}).values():
                    if torch.is_tensor(value) and value.shape == parameter.shape:
                        value.copy_(value[order])
