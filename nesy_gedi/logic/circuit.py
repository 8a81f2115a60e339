"""From a program to a differentiable probability, for a whole batch at once and in log space.

The probability is DeepProbLog's: a network's output is an annotated disjunction, of which exactly one
class is true, so log P(query) is the log of the summed probability of the satisfying readings.
"""

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from pysdd.sdd import SddNode
from torch import Tensor, nn

from nesy_gedi.errors import UserError
from nesy_gedi.logic.diagram import compile_diagram
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.program import Program

Evaluator: TypeAlias = LayeredCircuit | KlayCircuit

_MOST_WORLDS = 10**6
_CHUNK = 10_000  # worlds evaluated at once


class ConstraintCircuit(nn.Module):
    """log P(constraint) of a program's query, for a batch of class distributions.

    Args:
        program: the checked program.
        classes: output size of the network that will feed it, checked against the program's domain.
        evaluator: makes the module that evaluates a compiled diagram over a number of inputs.

    Attributes:
        slots: number of images in one example.
        classes: size of the network's output.
        domain: the symbol that each class reads as.
        nodes: sums and products in the circuit for distinct images.

    Raises:
        UserError: ``classes`` differs from the domain, or no reading satisfies the query.
        ProgramError: the program cannot be grounded, for example it calls an unknown predicate.
    """

    def __init__(
        self,
        program: Program,
        classes: int | None = None,
        evaluator: Callable[[SddNode, int], Evaluator] = LayeredCircuit,
    ) -> None:
        super().__init__()
        if classes is not None:
            program.check_classes(classes)
        self.program, self._evaluator = program, evaluator
        self.slots = len(program.slots)
        self.domain = tuple(str(symbol) for symbol in program.neural.domain)
        self.classes = len(self.domain)
        self._distinct = tuple(range(self.slots))
        self._circuits = nn.ModuleDict()  # a circuit for each pattern of equal images, made when first met
        self.nodes = self._circuit(self._distinct).nodes

    def forward(self, log_probs: Tensor, images: Tensor | None = None) -> Tensor:
        """log P(constraint) in nats, ``(batch,)``.

        Args:
            log_probs: log-probabilities of the classes, ``(batch, slots, classes)``; -inf is allowed.
                Computed in float32 at least.
            images: which image stands in which slot, ``(batch, slots)``. Where a row names one image
                twice, its slots have one common reading; it is read off the first of them. Without
                ``images`` all are different.

        Raises:
            UserError: the shape does not fit the program, or a row's repeated image makes its query
                unsatisfiable.
        """
        if log_probs.shape[1:] != (self.slots, self.classes):
            raise UserError(
                f"{self.program.path} needs log-probabilities (batch, {self.slots}, {self.classes}), not "
                f"{tuple(log_probs.shape)}: give one distribution per slot"
            )
        log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32)).flatten(1)
        if images is None:
            return self._evaluate(self._distinct, log_probs)
        first = equality_pattern(images)
        patterns, group = first.unique(dim=0, return_inverse=True)
        if len(patterns) == 1:
            return self._evaluate(tuple(patterns[0].tolist()), log_probs)
        rows = [(group == k).nonzero()[:, 0] for k in range(len(patterns))]
        parts = [
            self._evaluate(tuple(pattern), log_probs[r])
            for pattern, r in zip(patterns.tolist(), rows, strict=True)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def satisfying_worlds(self) -> Tensor:
        """Which readings satisfy the constraint: bool, ``(classes,) * slots``, of distinct images.

        Raises:
            UserError: there are more than a million readings.
        """
        worlds = self.classes**self.slots
        if worlds > _MOST_WORLDS:
            raise UserError(
                f"{self.program.path} has {self.classes}^{self.slots} readings; they can be listed up to "
                f"{_MOST_WORLDS}: use fewer slots or classes"
            )
        circuit = self._circuit(self._distinct)
        device = next((table.device for table in circuit.buffers()), None)
        # log-probability 0 for the class that is read, -inf for all others
        certain = torch.eye(self.classes, device=device).log()
        readings = torch.cartesian_prod(*[torch.arange(self.classes, device=device)] * self.slots)
        readings = readings.view(worlds, self.slots)
        values = [circuit(certain[chunk].flatten(1)) for chunk in readings.split(_CHUNK)]
        return (torch.cat(values) > -math.log(2)).view((self.classes,) * self.slots)

    def _evaluate(self, pattern: tuple[int, ...], log_probs: Tensor) -> Tensor:
        result: Tensor = self._circuit(pattern, log_probs.device)(log_probs)
        return result

    def _circuit(self, pattern: tuple[int, ...], device: torch.device | None = None) -> Evaluator:
        key = ",".join(map(str, pattern))
        if key not in self._circuits:
            diagram = compile_diagram(self.program, pattern)
            self._circuits[key] = self._evaluator(diagram, self.slots * self.classes).to(device)
        return cast(Evaluator, self._circuits[key])


def equality_pattern(images: Tensor) -> Tensor:
    """For each slot the first slot of its row that holds the same image: ``(batch, slots)``, int64."""
    return (images.unsqueeze(2) == images.unsqueeze(1)).int().argmax(2)
