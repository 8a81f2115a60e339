"""Which images must be labelled to rule out all reasoning shortcuts: as few symbols as can be.

A labelled symbol is read as what it is, so for every shortcut some symbol that it misreads must be labelled.
A smallest such set is found by implicit hitting sets (Moreno-Centeno and Karp, "The implicit hitting set
approach to solve combinatorial optimization problems with an application to multigenome alignment",
Operations Research 2013): a smallest set for the shortcuts known so far, then shortcuts that it leaves,
until there are none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from nesy_gedi.logic.arithmetic import ArithmeticCircuit

Symbol = tuple[str, int]
_IMPOSSIBLE = 2**30  # costs more than any map


@dataclass(frozen=True)
class Shortcuts:
    """The shortcuts to rule out.

    Attributes:
        domains: size of each network's domain.
        symbols: those that occur in examples, the variables of the circuit.
        unseen: those that do not occur.
        circuit: the set of maps other than the identity, as its one root; smooth.
        one_to_one: whether maps, extended to unseen symbols, must be permutations.
    """

    domains: Mapping[str, int]
    symbols: Sequence[Symbol]
    unseen: Sequence[Symbol]
    circuit: ArithmeticCircuit
    one_to_one: bool

    def fewest_labels(self) -> tuple[Symbol, ...]:
        """A smallest set of symbols that, read as what they are, leaves the identity alone."""
        everyone = (*self.symbols, *self.unseen)
        misread = list(self._of_unseen())
        while True:
            labelled = _smallest_hitting_set(misread, everyone)
            left = list(self._left(labelled))
            if not left:
                return tuple(symbol for symbol in everyone if symbol in labelled)
            misread += left

    def _of_unseen(self) -> Iterator[set[Symbol]]:
        """What the shortcuts misread that misread no symbol that occurs, as few as can be."""
        if self.one_to_one:
            yield from ({a, b} for a, b in combinations(self.unseen, 2) if a[0] == b[0])
        else:
            yield from ({symbol} for symbol in self.unseen if self.domains[symbol[0]] > 1)

    def _left(self, labelled: set[Symbol]) -> Iterator[set[Symbol]]:
        """What shortcuts misread that the labels allow: disjoint sets, each as small as can be."""
        ruled_out = set(labelled)
        readings = [(s, (s[0], k)) for s in self.symbols for k in range(self.domains[s[0]])]
        while True:
            costs = [self._cost(symbol, read, ruled_out) for symbol, read in readings]
            used = _cheapest(self.circuit, costs)
            if used is None:
                return
            misread = {symbol for i in used if costs[i] for symbol in self._misread(*readings[i])}
            yield misread
            ruled_out |= misread

    def _cost(self, symbol: Symbol, read: Symbol, labelled: set[Symbol]) -> int:
        if symbol == read:
            return 0
        if symbol in labelled or (self.one_to_one and read in labelled):
            return _IMPOSSIBLE
        return len(self._misread(symbol, read))

    def _misread(self, symbol: Symbol, read: Symbol) -> set[Symbol]:
        # if a permutation gives an unseen symbol's name away, it misreads that symbol too
        return {symbol, read} if self.one_to_one and read in self.unseen else {symbol}


def _smallest_hitting_set(sets: Sequence[set[Symbol]], symbols: Sequence[Symbol]) -> set[Symbol]:
    """The smallest set of symbols with an element in each of the sets; of several, one of first symbols."""
    if not sets:
        return set()
    table = np.array([[symbol in one for symbol in symbols] for one in sets], dtype=float)
    preference = np.arange(len(symbols)) / (2 * len(symbols) ** 2)  # less than half a symbol in all
    found = milp(
        1 + preference,
        integrality=np.ones(len(symbols)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(table, lb=1),
        options={"mip_rel_gap": 0},
    )
    return {symbol for symbol, chosen in zip(symbols, found.x, strict=True) if chosen > 0.5}


def _cheapest(circuit: ArithmeticCircuit, costs: Sequence[int]) -> list[int] | None:
    """The inputs of the world of least cost in which the first root is true; None if there is none."""
    least = [_IMPOSSIBLE, 0, *costs]
    for node in circuit.nodes:
        own = [least[child] for child in node.children]
        least.append(min(own) if node.is_sum else min(_IMPOSSIBLE, sum(own)))
    if least[circuit.roots[0]] >= _IMPOSSIBLE:
        return None
    inputs, stack = [], [circuit.roots[0]]
    while stack:
        number = stack.pop()
        if 2 <= number < circuit.first:
            inputs.append(number - 2)
        elif number >= circuit.first:
            node = circuit.nodes[number - circuit.first]
            stack += [min(node.children, key=least.__getitem__)] if node.is_sum else node.children
    return inputs
