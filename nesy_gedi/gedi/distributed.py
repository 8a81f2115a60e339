"""Several processes that train one network, started by torchrun.

Every process (rank) passes its part of a batch through the encoder; the features are gathered from all, and
each rank then computes projector, logits and all terms of the whole batch. So the objective is that of one
process, whatever a term does across the batch: the prior's batch mean, SwAV's codes, Barlow Twins'
correlations, batch normalisation. Each rank's loss gives the gathered features the same gradient; on their
way back these are summed over ranks, which the mean of DistributedDataParallel undoes.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.networks import GEDINetwork

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_SEED_STRIDE = 1_000_003  # between the generators of ranks


class World:
    """The processes that train together: this one, unless torchrun started several.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1 and not dist.is_initialized():
            _end_with_parent()
            cuda = torch.cuda.is_available()
            if cuda:
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """A seed of this rank's own; the first rank's is the seed itself."""
        return seed + _SEED_STRIDE * self.rank

    def share(self, count: int) -> int:
        """How many of ``count`` a rank has, filling included."""
        return -(-count // self.size)

    def part(self, rows: Tensor) -> Tensor:
        """This rank's rows of ``(batch, ...)``, as many on every rank: the first of all fills the rest."""
        if self.size == 1:
            return rows
        share = self.share(len(rows))
        places = torch.arange(self.rank * share, (self.rank + 1) * share, device=rows.device)
        return rows[torch.where(places < len(rows), places, 0)]

    def same(self, tensor: Tensor) -> Tensor:
        """The first rank's tensor, of any shape, on all; it is overwritten."""
        if self.size > 1:
            dist.broadcast(tensor, 0)
        return tensor

    def told(self, value: Any) -> Any:
        """The first rank's value, on all: any that can be pickled."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, 0)
        return values[0]

    def once(self, work: Callable[[], T]) -> T:
        """What the first rank's work comes to, on all.

        Raises:
            UserError: that of the first rank, on all.
        """
        outcome: tuple[T | None, UserError | None] = None, None
        if self.leads:
            try:
                outcome = work(), None
            except UserError as error:
                outcome = None, error
        value, found = self.told(outcome)
        if found is not None:
            raise found
        return cast(T, value)

    def largest(self, *values: float) -> list[float]:
        """The largest of each value over the ranks."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return cast(list[float], tensor.tolist())

    def all_of(self, value: Any) -> list[Any]:
        """Every rank's value, on the first rank, in the ranks' order; empty on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.gather_object(value, values if self.leads else None, 0)
        return values if self.leads else []


def _end_with_parent() -> None:
    """When torchrun is killed, its processes would wait for each other for ever; Linux can end them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Gather(torch.autograd.Function):
    """Every rank's tensor, in order; the gradients that all ranks have for this one's are added up."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, size: int) -> tuple[Tensor, ...]:
        parts = [torch.empty_like(tensor) for _ in range(size)]
        dist.all_gather(parts, tensor.contiguous())
        return tuple(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = torch.stack(gradients)
        dist.all_reduce(summed)
        return summed[dist.get_rank()], None


class GatheredNetwork(nn.Module):
    """Projector's outputs and logits of whole batches, of which each rank has a part.

    Args:
        network: what is trained; the same on every rank.
        size: number of ranks.
    """

    def __init__(self, network: GEDINetwork, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor, local: Sequence[int], whole: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Projector's outputs and logits of all batches, one after the other, in the order of one process.

        Args:
            images: this rank's parts of several batches, one after the other,
                ``(images, channels, height, width)``.
            local: how many images of each batch a rank has.
            whole: how many images each batch has; what ranks have beyond that is filling.

        Returns:
            ``(images, units)`` and ``(images, classes)``, without filling.
        """
        features = self.network.features(images)
        if self.size > 1:
            parts = [part.split(list(local)) for part in _Gather.apply(features, self.size)]
            batches = zip(*parts, strict=True)
            features = torch.cat([torch.cat(b)[:n] for b, n in zip(batches, whole, strict=True)])
        projected = self.network.project(features)
        return projected, self.network.head(projected)


def parallel(network: GEDINetwork, world: World) -> nn.Module:
    """The network for a training step; with several processes, gradients become their mean."""
    gathered = GatheredNetwork(network, world.size)
    return gathered if world.size == 1 else DistributedDataParallel(gathered)
