"""What training asks of a constraint, whatever logic stands behind it."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn


class Constraint(Protocol):
    """A constraint on the images of each example; an ``nn.Module`` as a rule.

    An example may have more to it than images: a label such as "the sum is 7". That is why the constraint
    is told which examples it is asked about.

    Attributes:
        kinds: ``(examples,)``, int64. Examples of one kind have equal labels, so that equal readings of
            their images satisfy the constraint alike.
    """

    kinds: Tensor

    def __call__(self, log_posterior: Tensor, rows: Tensor) -> Tensor:
        """log P(constraint), nats, ``(batch,)``, of ``(batch, slots, classes)`` for examples ``(batch,)``."""

    def satisfied(self, readings: Tensor, rows: Tensor) -> Tensor:
        """P(constraint) if the images read as classes ``(n, slots)`` in examples ``(n,)``: float64 ``(n,)``.

        1 or 0 where the constraint is a plain condition.
        """

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the constraint itself learns."""
