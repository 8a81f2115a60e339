"""Random circuits with the worlds they stand for, and sums over these worlds (test support)."""

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from nesy_gedi.logic.arithmetic import ONE, ArithmeticCircuit, Builder, smooth

World = Sequence[int]
_Formula = tuple[int, Callable[[World], bool]]


class Example(NamedTuple):
    """A circuit, which roots hold in which worlds, ``(roots, worlds)``, and these ``(worlds, variables)``."""

    circuit: ArithmeticCircuit
    holds: Tensor
    worlds: Tensor

    def inputs(self) -> Tensor:
        """Which inputs are true in which worlds, 0 or 1: ``(worlds, inputs)``."""
        sizes = self.circuit.sizes
        columns = [torch.eye(size)[self.worlds[:, v]] for v, size in enumerate(sizes)]
        return torch.cat(columns, 1).double()

    def log_weights(self, log_values: Tensor) -> Tensor:
        """Log-weights of the worlds in which each root holds, float64 ``(batch, roots, worlds)``."""
        columns = self.worlds + torch.tensor(self.circuit.starts)
        weights = log_values.double()[:, columns].sum(2)
        return weights.unsqueeze(1).masked_fill(~self.holds, -torch.inf)


def random_example(seed: int, most_variables: int = 5) -> Example:
    """Decisions and products over 1 to 5 variables with 1 to 4 values each, and 1 to 4 roots."""
    rng = random.Random(seed)
    sizes = [rng.randint(1, 4) for _ in range(rng.randint(1, most_variables))]
    builder = Builder(sizes)
    made: dict[tuple[int, ...], list[_Formula]] = {}

    def formula(variables: tuple[int, ...]) -> _Formula:
        if not variables or rng.random() < 0.1:
            return ONE, lambda world: True
        known = made.setdefault(variables, [])
        if known and rng.random() < 0.3:
            return rng.choice(known)  # a node with several parents
        shuffled = rng.sample(variables, len(variables))
        if len(variables) > 1 and rng.random() < 0.4:
            cut = rng.randint(1, len(variables) - 1)
            known.append(
                _both(builder, formula(tuple(sorted(shuffled[:cut]))), formula(tuple(sorted(shuffled[cut:]))))
            )
        else:
            first, rest = shuffled[0], tuple(sorted(shuffled[1:]))
            branches = {value: formula(rest) for value in range(sizes[first]) if rng.random() < 0.75}
            known.append(_decision(builder, first, branches))
        return known[-1]

    roots = [formula(tuple(range(len(sizes)))) for _ in range(rng.randint(1, 4))]
    worlds = list(product(*map(range, sizes)))
    circuit = smooth(builder.circuit([number for number, _ in roots]))
    holds = torch.tensor([[test(world) for world in worlds] for _, test in roots])
    return Example(circuit, holds, torch.tensor(worlds))


def _both(builder: Builder, left: _Formula, right: _Formula) -> _Formula:
    return builder.multiply([left[0], right[0]]), lambda world: left[1](world) and right[1](world)


def _decision(builder: Builder, variable: int, branches: dict[int, _Formula]) -> _Formula:
    number = builder.add(
        [builder.multiply([builder.value(variable, value), child]) for value, (child, _) in branches.items()]
    )
    return number, lambda world: world[variable] in branches and branches[world[variable]][1](world)


def of_worlds(sizes: Sequence[int], *roots: Sequence[World]) -> ArithmeticCircuit:
    """Each root as the sum of its worlds."""
    builder = Builder(sizes)
    return builder.circuit(
        [
            builder.add(
                [builder.multiply([builder.value(v, k) for v, k in enumerate(world)]) for world in root]
            )
            for root in roots
        ]
    )


def random_log_values(seed: int, batch: int, inputs: int, impossible: float = 0.0) -> Tensor:
    """Log-weights, float64; a share of them is -inf."""
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(batch, inputs, generator=generator, dtype=torch.float64)
    return values.masked_fill(torch.rand(batch, inputs, generator=generator) < impossible, -torch.inf)
