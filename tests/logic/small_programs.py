"""Programs from text and shipped ones, compiled in this process (test support)."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nesy_gedi.logic.circuit import ConstraintCircuit, Evaluator, LogProbs
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.program import Program, parse_program, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.resources import resource

DIGITS = "nn(net, [X], Y, [0, 1, 2, 3]) :: digit(X, Y).\n"
LETTERS = "nn(letters, [X], Y, [a, b]) :: letter(X, Y).\n"
ADD = DIGITS + "add(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B."
LESS = DIGITS + "less(X, Y) :- digit(X, A), digit(Y, B), A < B."
SUMS = [(a, b, a + b) for a in range(10) for b in range(10 - a)]


def program_of(text: str, query: str | None = None) -> Program:
    """The program in a text; its errors name the file mine.pl."""
    return parse_program(Source(Path("mine.pl"), text), query)


def circuit_of(
    text: str, query: str | None = None, evaluator: type[Evaluator] = LayeredCircuit
) -> ConstraintCircuit:
    """The circuit of a text."""
    return ConstraintCircuit(program_of(text, query), evaluator, limits=None)


@functools.cache
def shipped(name: str, query: str | None = None) -> ConstraintCircuit:
    """The circuit of a shipped program; one for all tests."""
    return ConstraintCircuit(read_program(resource("programs", f"{name}.pl"), query), limits=None)


def random_log_probs(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    """Distributions over the last dimension, float64."""
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


def uniform(circuit: ConstraintCircuit) -> dict[str, torch.Tensor]:
    """One row in which no network knows anything, float64."""
    return {
        name: torch.full((1, len(n.slots), n.classes), 1 / n.classes, dtype=torch.float64).log()
        for name, n in circuit.networks.items()
    }


def brute_force(log_probs: torch.Tensor, worlds: Sequence[Sequence[int]]) -> torch.Tensor:
    """log of the summed probability of the worlds, one after the other: ``(batch,)``."""
    rows = [[sum(row[s, k] for s, k in enumerate(world)) for world in worlds] for row in log_probs]
    return torch.stack([torch.logsumexp(torch.stack(row), 0) for row in rows])


def probability(circuit: ConstraintCircuit, log_probs: LogProbs, *more: torch.Tensor) -> list[Any]:
    """What the circuit gives, as numbers between zero and one."""
    return circuit(log_probs, *more).exp().tolist()
