"""Give clusters their names: the relabelling of clusters under which most examples satisfy the constraint.

Training separates the clusters before it names them, and gradient descent cannot swap two names: on the
way, both clusters would have to be wrong. The search here looks at nothing but the network's own clusters
and the constraint, no labels.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Satisfied: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Readings ``(n, slots)`` of examples ``(n,)`` to the probability that each holds, ``(n,)``."""

_READINGS = 200_000  # judged at once


class Naming(NamedTuple):
    """Names for the clusters, ``classes[cluster]``, and the share of the examples that they satisfy."""

    classes: tuple[int, ...]
    share: float


class Clusters:
    """The clusters of all images of all examples, with equal examples counted once.

    Args:
        clusters: ``(examples, slots)``, the cluster of each image.
        kinds: ``(examples,)``; examples of one kind are satisfied by the same readings.
        satisfied: judges readings.
    """

    def __init__(self, clusters: Tensor, kinds: Tensor, satisfied: Satisfied) -> None:
        keys = torch.cat([clusters, kinds.unsqueeze(1)], 1)
        unique, group, counts = keys.unique(dim=0, return_inverse=True, return_counts=True)
        self.clusters = unique[:, :-1]
        self.rows = torch.zeros(len(unique), dtype=torch.long).scatter_(0, group, torch.arange(len(keys)))
        self.weights = counts.double() / len(keys)
        self.judge = satisfied

    def shares(self, namings: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the examples that each naming ``(n, classes)`` satisfies: ``(n,)``."""
        count = len(self.clusters)
        chunks = torch.from_numpy(namings).split(max(1, _READINGS // count))
        shares = []
        for chunk in chunks:
            readings = chunk[:, self.clusters].flatten(0, 1)  # (namings * examples, slots)
            holds = self.judge(readings, self.rows.repeat(len(chunk)))
            shares.append(holds.double().view(len(chunk), count) @ self.weights)
        result: NDArray[np.float64] = torch.cat(shares).numpy()
        return result


def best_namings(
    clusters: Clusters, classes: int, generator: np.random.Generator, starts: int = 200, most: int = 5
) -> list[Naming]:
    """Search the permutations of clusters to classes that satisfy most examples, the best first.

    Hill climbing on the best swap of two names, from the present naming and from random ones.

    Args:
        clusters: of the examples.
        classes: number of clusters.
        generator: source of the random starts.
        starts: number of starts.
        most: how many different ones to return.
    """
    swaps, known = _swaps(classes), dict[bytes, NDArray[np.float64]]()
    found: dict[tuple[int, ...], float] = {}
    for start in range(starts):
        naming = np.arange(classes) if start == 0 else generator.permutation(classes)
        share = -1.0
        while True:
            candidates = naming[swaps]  # (1 + pairs, classes): the naming itself and every swap
            key = naming.tobytes()
            if key not in known:
                known[key] = clusters.shares(candidates)
            winner = int(known[key].argmax())
            if known[key][winner] <= share + 1e-12:
                break
            naming, share = candidates[winner], float(known[key][winner])
        found.setdefault(tuple(int(k) for k in naming), share)
    # sorted() is stable: among equals, what was found first, so that right names stay
    ranked = sorted(found.items(), key=lambda item: -round(item[1], 12))
    return [Naming(*item) for item in ranked[:most]]


def _swaps(classes: int) -> NDArray[np.int64]:
    rows = [np.arange(classes)]
    for i in range(classes):
        for j in range(i):
            row = np.arange(classes)
            row[[i, j]] = row[[j, i]]
            rows.append(row)
    return np.stack(rows)


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
