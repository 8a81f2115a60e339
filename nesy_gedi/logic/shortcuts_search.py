"""Which maps from true symbols to read symbols keep every example of a program true.

An example allows the maps for which the program's circuit holds with the literals of the example's symbols
in place of its inputs, products turned into conjunctions and sums into disjunctions. Most examples say
nothing new, so a few maps that are still allowed choose the one to conjoin next: one that most of them
break. When few maps are left, all are checked against all remaining examples at once.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray
from pysdd.sdd import SddNode

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit
from nesy_gedi.logic.shortcuts_maps import MapDiagrams, Worlds
from nesy_gedi.logic.worlds import possible

_SAMPLE = 64  # maps that choose the next example
_CHUNK = 2**16  # pairs of a map and an example evaluated at once
_MOST_PAIRS = 2**22
_MOST_MAPS = 2**12  # if there are more, examples are compiled, not tried, to be sure that nothing breaks them


@dataclass(frozen=True)
class Examples:
    """Worlds in which a program holds.

    Attributes:
        circuit: the program; smooth and decomposable.
        values: value of every variable, -1 for any: ``(n, variables)``.
        answers: which root is true, ``(n,)``.
        places: which symbol a learnable network sees here, -1 where none reads: ``(n, variables)``.
        sizes: how many readings each symbol has.
    """

    circuit: ArithmeticCircuit
    values: NDArray[np.int64]
    answers: NDArray[np.int64]
    places: NDArray[np.int64]
    sizes: tuple[int, ...]

    def kept(self, maps: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which maps keep which examples true, ``(maps, rows)``.

        Args:
            maps: reading of every symbol, ``(maps, symbols)``.
            rows: numbers of the examples, at least one.
        """
        places, values = self.places[rows], self.values[rows]
        result = np.empty((len(maps), len(rows)), dtype=np.bool_)
        step = max(1, _CHUNK // len(rows))
        for start in range(0, len(maps), step):
            chunk = maps[start : start + step]
            read = np.where(places >= 0, chunk[:, places], values).reshape(-1, places.shape[1])
            answers = np.tile(self.answers[rows], len(chunk))
            held = possible(self.circuit, read)[np.arange(len(read)), answers]
            result[start : start + step] = held.reshape(len(chunk), -1)
        return result

    @cached_property
    def below(self) -> dict[int, list[int]]:
        """For each root the nodes that it needs, children first."""
        result: dict[int, list[int]] = {}
        for root in self.circuit.roots:
            needed, stack = set[int](), [root]
            while stack:
                number = stack.pop()
                if number >= self.circuit.first and number not in needed:
                    needed.add(number)
                    stack += self.circuit.nodes[number - self.circuit.first].children
            result[root] = sorted(needed)
        return result


def consistent_maps(examples: Examples, batches: Sequence[NDArray[np.int64]]) -> tuple[MapDiagrams, SddNode]:
    """The set of maps that keep all examples true, and what made it.

    Args:
        examples: the examples.
        batches: their numbers, in the order in which they are best considered.

    Raises:
        UserError: the diagram is too large.
    """
    search = _Search(examples)
    for batch in batches:
        search.conjoin_broken(batch, _SAMPLE)
    rows = np.concatenate(batches)
    while len(rows) and search.count() > min(_MOST_MAPS, _MOST_PAIRS // len(rows)):
        search.conjoin(rows[0])
        rows = rows[1:]
    if len(rows):
        search.conjoin_broken(rows, _MOST_MAPS)
    return search.diagrams, search.maps


class _Search:
    """The maps allowed so far."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self.diagrams = MapDiagrams(examples.sizes)
        self.maps = self._translated = self.diagrams.all
        self._random = random.Random(0)  # decides how long the search takes, not what it finds
        self._translate()

    def conjoin(self, row: int) -> None:
        """Leave only the maps that keep an example true."""
        self.maps = self.diagrams.conjoin(self.maps, self._allowed(row))

    def conjoin_broken(self, rows: NDArray[np.int64], most: int) -> None:
        """Conjoin examples until a sample of the maps breaks none.

        Args:
            rows: which examples; not all of them are tried if they are many.
            most: size of the sample. If there are no more maps than this, no map breaks an example then.
        """
        while True:
            maps = self._some(most)
            checked = rows[:: -(-len(rows) * len(maps) // _MOST_PAIRS)]
            kept = self.examples.kept(maps, checked)
            if kept.all():
                return
            while not kept.all():
                worst = kept.sum(0).argmin()
                self.conjoin(checked[worst])
                kept = kept[kept[:, worst]]

    def count(self) -> int:
        """Number of maps."""
        if self.maps != self._translated:
            self._translate()
        return self._worlds.counts[self._root]

    def _translate(self) -> None:
        self._translated = self.maps
        circuit = self.diagrams.circuit([self.maps])
        self._worlds, self._root = Worlds(circuit), circuit.roots[0]
        used = {*circuit.roots, *(child for node in circuit.nodes for child in node.children)}
        false = self.diagrams.manager.false()
        self._readings = [  # no diagram needs a reading that no allowed map has
            [reading if 2 + start + k in used else false for k, reading in enumerate(readings)]
            for start, readings in zip(circuit.starts, self.diagrams.readings, strict=True)
        ]

    def _some(self, most: int) -> NDArray[np.int64]:
        count = self.count()
        ranks = range(count) if count <= most else [self._random.randrange(count) for _ in range(most)]
        return np.array([self._worlds.world(self._root, rank) for rank in ranks], dtype=np.int64)

    def _allowed(self, row: int) -> SddNode:
        circuit, manager = self.examples.circuit, self.diagrams.manager
        true, false = manager.true(), manager.false()
        diagrams = {ZERO: false, ONE: true}
        places, values = self.examples.places[row].tolist(), self.examples.values[row].tolist()
        for start, size, place, value in zip(circuit.starts, circuit.sizes, places, values, strict=True):
            for k in range(size):
                observed = true if value in (-1, k) else false
                diagrams[2 + start + k] = observed if place < 0 else self._readings[place][k]
        root = circuit.roots[self.examples.answers[row]]
        for number in self.examples.below[root]:
            node = circuit.nodes[number - circuit.first]
            combine = manager.disjoin if node.is_sum else manager.conjoin
            diagrams[number] = reduce(combine, [diagrams[child] for child in node.children])
        return diagrams[root]
