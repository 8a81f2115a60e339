"""Sets of maps from true symbols to read symbols, as sentential decision diagrams (PySDD).

The boolean variables say "symbol s is read as j"; every diagram implies exactly one j for each s. A set is
translated to an arithmetic circuit with a variable for each symbol, which counts in exact integers.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate

from pysdd.sdd import SddManager, SddNode

from nesy_gedi.errors import UserError
from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder
from nesy_gedi.logic.diagram import vtree

_MOST_ELEMENTS = 1_000_000  # of one diagram
_MOST_SYMBOLS = 200  # PySDD recurses from symbol to symbol
_MOST_LITERALS = 2_000_000  # of all readings together


class MapDiagrams:
    """Makes diagrams of sets of maps.

    Args:
        sizes: how many readings each symbol has.

    Attributes:
        readings: for each symbol and reading the diagram "it is read as this, and as nothing else".
        all: all maps.

    Raises:
        UserError: there are too many symbols or readings.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        if len(sizes) > _MOST_SYMBOLS or sum(size**2 for size in sizes) > _MOST_LITERALS:
            raise UserError(
                f"too many symbols to count their readings: {len(sizes)}, with up to {max(sizes)} readings "
                f"each; audit the program with smaller domains, at most about 100 symbols in all"
            )
        starts = accumulate(sizes, initial=1)
        self._variables = [
            list(range(start, start + size)) for start, size in zip(starts, sizes, strict=False)
        ]
        self.manager = SddManager.from_vtree(vtree(self._variables))
        self.readings = [[self._only(own, chosen) for chosen in own] for own in self._variables]
        each = [reduce(self.manager.disjoin, readings) for readings in self.readings]
        self.all = reduce(self.manager.conjoin, reversed(each))

    def _only(self, variables: Sequence[int], chosen: int) -> SddNode:
        literals = [self.manager.literal(v if v == chosen else -v) for v in variables]
        return reduce(self.manager.conjoin, literals)

    def conjoin(self, maps: SddNode, other: SddNode) -> SddNode:
        """The maps that are in both sets.

        Raises:
            UserError: the diagram is too large to go on.
        """
        result = self.manager.conjoin(maps, other)
        if result.size() > _MOST_ELEMENTS:
            raise UserError(
                f"too many readings of {len(self.sizes)} symbols satisfy the examples to count them: their "
                f"diagram has more than {_MOST_ELEMENTS:,} elements; audit fewer classes or more examples"
            )
        return result

    def without(self, maps: SddNode, others: SddNode) -> SddNode:
        """The maps that are in the first set only."""
        return self.conjoin(maps, self.manager.negate(others))

    def one_to_one(self, maps: SddNode, symbols: Sequence[int]) -> SddNode:
        """Those maps that read no two of these symbols, all of one network, as the same."""
        for reading in range(self.sizes[symbols[0]]):
            none, one = self.manager.true(), self.manager.false()
            for symbol in symbols:
                literal = self.manager.literal(self._variables[symbol][reading])
                other = self.manager.negate(literal)
                one = self.manager.disjoin(
                    self.manager.conjoin(one, other), self.manager.conjoin(none, literal)
                )
                none = self.manager.conjoin(none, other)
            maps = self.conjoin(maps, self.manager.disjoin(none, one))
        return maps

    def circuit(self, sets: Sequence[SddNode]) -> ArithmeticCircuit:
        """A smooth circuit with a variable for each symbol and a root for each set of maps."""
        builder = Builder(self.sizes)
        meaning = {
            variable: builder.value(symbol, reading)
            for symbol, own in enumerate(self._variables)
            for reading, variable in enumerate(own)
        }
        done: dict[int, int] = {}

        def number(diagram: SddNode) -> int:
            if diagram.is_false():
                return ZERO
            if diagram.is_literal():  # exactly one reading is true: a negative literal weighs one
                return meaning.get(int(diagram.literal), ONE)
            if diagram.id not in done:
                elements = [(p, s) for p, s in diagram.elements() if not s.is_false()]
                done[diagram.id] = builder.add(
                    [builder.multiply([number(p), number(s)]) for p, s in elements]
                )
            return done[diagram.id]

        return builder.circuit([number(maps) for maps in sets])


class Worlds:
    """The worlds of a smooth, deterministic circuit in a fixed order, each found by its number.

    Attributes:
        circuit: the circuit.
        counts: how many worlds every number of the circuit (constants, inputs, nodes) has.
    """

    def __init__(self, circuit: ArithmeticCircuit) -> None:
        self.circuit = circuit
        everything = tuple(range(circuit.first + len(circuit.nodes)))
        self.counts = replace(circuit, roots=everything).counts()
        self._first = circuit.first
        self._inputs = [(v, k) for v, size in enumerate(circuit.sizes) for k in range(size)]

    def world(self, root: int, rank: int) -> list[int]:
        """World ``rank`` of the number ``root``: a value for every variable."""
        result = [0] * len(self.circuit.sizes)
        stack = [(root, rank)]
        while stack:
            number, rank = stack.pop()
            if 2 <= number < self._first:
                variable, result[variable] = self._inputs[number - 2]
            elif number >= self._first:
                node = self.circuit.nodes[number - self._first]
                for child in node.children:
                    if not node.is_sum:
                        rank, own = divmod(rank, self.counts[child])
                        stack.append((child, own))
                    elif rank < self.counts[child]:
                        stack.append((child, rank))
                        break
                    else:
                        rank -= self.counts[child]
        return result
