"""The audit of reasoning shortcuts: which other readings of the images satisfy a program, counted exactly.

A network that reads every image of symbol k as alpha(k) satisfies all examples if the program still holds
in each of them after alpha. Every such map alpha but the identity is a reasoning shortcut: nothing in these
examples tells it from the truth (Marconato et al., "Not All Neuro-Symbolic Concepts Are Created Equal:
Analysis and Mitigation of Reasoning Shortcuts", NeurIPS 2023; counted as by Bortolotti et al., "A
Neuro-Symbolic Benchmark Suite for Concept Quality and Reasoning Shortcuts", NeurIPS 2024).
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pysdd.sdd import SddNode

from nesy_gedi.errors import UserError
from nesy_gedi.logic.arithmetic import ArithmeticCircuit
from nesy_gedi.logic.shortcuts_labels import Shortcuts, Symbol
from nesy_gedi.logic.shortcuts_maps import MapDiagrams, Worlds
from nesy_gedi.logic.shortcuts_search import Examples, consistent_maps

Maps = dict[str, tuple[int, ...]]  # one for each network
Restriction = Literal["none", "balanced", "marginal"]
_RESTRICTIONS: tuple[Restriction, ...] = ("marginal", "balanced", "none")  # each allows more maps


@dataclass(frozen=True)
class Audit:
    """Which maps from true to read symbols, one for each network, keep every example true.

    They can be restricted to those that a prior on the networks' outputs allows. *Balanced*: every map is a
    permutation of its network's domain, so no clusters merge. *Marginal*: the permutations also keep how
    often each symbol occurs, as a prior set to the program's own marginal demands.

    Attributes:
        domains: size of each network's domain.
        symbols: network and number of those symbols that occur in the examples.
        unseen: the others, of which any reading will do.
        shortcuts: the maps other than the identity, of ``symbols`` as variables. Three roots: the marginal
            ones, those that are one-to-one, all.
    """

    domains: dict[str, int]
    symbols: tuple[Symbol, ...]
    unseen: tuple[Symbol, ...]
    shortcuts: ArithmeticCircuit

    @property
    def count(self) -> int:
        """Number of maps, the identity included, with all readings of unseen symbols."""
        return self._seen("none") * math.prod(self.domains[network] for network, _ in self.unseen)

    @property
    def balanced(self) -> int:
        """Number of those that are permutations."""
        return self._seen("balanced") * self._unseen_permutations

    @property
    def marginal(self) -> int:
        """Number of those permutations that keep how often each symbol occurs."""
        return self._seen("marginal") * self._unseen_permutations

    def identifiable(self, restriction: Restriction = "none") -> bool:
        """Whether the identity is the only map."""
        counts = {"none": self.count, "balanced": self.balanced, "marginal": self.marginal}
        return counts[restriction] == 1

    def maps(self, limit: int, restriction: Restriction = "none") -> list[Maps]:
        """The first maps, at most ``limit``: the identity, then permutations, then others.

        Each gives the readings of a network's symbols; that of an unseen symbol is -1, for any.
        """
        return list(islice(self._maps(restriction), limit))

    def supervision(self, restriction: Restriction = "none") -> tuple[Symbol, ...]:
        """A smallest set of symbols whose images must be labelled to leave the identity alone."""
        shortcuts = replace(self.shortcuts, roots=(self._root(restriction),))
        one_to_one = restriction != "none"
        return Shortcuts(self.domains, self.symbols, self.unseen, shortcuts, one_to_one).fewest_labels()

    @cached_property
    def _worlds(self) -> Worlds:
        return Worlds(self.shortcuts)

    @property
    def _unseen_permutations(self) -> int:
        numbers = Counter(network for network, _ in self.unseen).values()
        return math.prod(math.factorial(number) for number in numbers)

    def _root(self, restriction: Restriction) -> int:
        return self.shortcuts.roots[_RESTRICTIONS.index(restriction)]

    def _seen(self, restriction: Restriction) -> int:
        return 1 + self._worlds.counts[self._root(restriction)]

    def _maps(self, restriction: Restriction) -> Iterator[Maps]:
        yield self._by_network([k for _, k in self.symbols])
        listed = set[tuple[int, ...]]()  # with each restriction less, the maps that came before come again
        for allowed in _RESTRICTIONS[: _RESTRICTIONS.index(restriction) + 1]:
            root, before = self._root(allowed), frozenset(listed)
            for rank in range(self._worlds.counts[root]):
                world = tuple(self._worlds.world(root, rank))
                if world not in before:
                    listed.add(world)
                    yield self._by_network(world)

    def _by_network(self, readings: Sequence[int]) -> Maps:
        read = dict(zip(self.symbols, readings, strict=True))
        return {name: tuple(read.get((name, k), -1) for k in range(n)) for name, n in self.domains.items()}


def audit(
    circuit: ArithmeticCircuit,
    networks: Sequence[str | None],
    support: NDArray[np.integer],
    answers: NDArray[np.integer],
) -> Audit:
    """Count the maps that keep every example of a program true.

    Args:
        circuit: the program, a root for each answer; smooth, decomposable and deterministic.
        networks: for each variable the learnable network that reads it, None for all others: what is
            observed keeps its value.
        support: the worlds that occur, ``(n, variables)``, each as often as it counts in the program's
            marginal; -1 where any value will do, as for a probabilistic fact.
        answers: number of the root that is true, ``(n,)``.

    Raises:
        UserError: the program does not hold in one of the worlds; no network sees an image in any; or so
            many maps are left that they cannot be counted.
    """
    domains = {name: circuit.sizes[v] for v, name in enumerate(networks) if name is not None}
    symbols = [(name, k) for name, size in domains.items() for k in range(size)]
    values, roots = support.astype(np.int64), answers.astype(np.int64)
    shown = _shown(networks, values, symbols)
    _, first = np.unique(np.column_stack([values, roots]), axis=0, return_index=True)
    order, batches = _batches(shown[first], len(symbols))
    if not order:
        raise UserError("nothing to audit: no example shows an image to a network that learns; give some")
    place = np.full(len(symbols) + 1, -1)  # the last is for -1
    place[order] = np.arange(len(order))
    seen = [symbols[i] for i in order]
    sizes = tuple(domains[name] for name, _ in seen)
    examples = Examples(circuit, values[first], roots[first], place[shown[first]], sizes)
    _check(examples, first, seen)
    diagrams, maps = consistent_maps(examples, batches)
    often = Counter(symbols[i] for i in shown[shown >= 0].tolist())
    unseen = tuple(symbol for symbol in symbols if symbol not in often)
    shortcuts = diagrams.circuit(_restricted(diagrams, maps, seen, often))
    return Audit(domains, tuple(seen), unseen, shortcuts)


def _shown(
    networks: Sequence[str | None], support: NDArray[np.int64], symbols: Sequence[Symbol]
) -> NDArray[np.int64]:
    """Which symbol a network sees in every place of the support, -1 for none."""
    result = np.full(support.shape, -1)
    for variable, name in enumerate(networks):
        if name is not None:
            values = support[:, variable]
            result[:, variable] = np.where(values < 0, -1, symbols.index((name, 0)) + values)
    return result


def _batches(shown: NDArray[np.int64], symbols: int) -> tuple[list[int], list[NDArray[np.int64]]]:
    """Symbols and examples in an order in which few new symbols come at a time.

    Returns:
        The symbols, and the examples in batches: all that show no symbol but those that are in by then.
    """
    shows = np.zeros((len(shown), symbols), dtype=np.bool_)
    for column in shown.T:
        shows[np.flatnonzero(column >= 0), column[column >= 0]] = True
    known = np.zeros(symbols, dtype=np.bool_)
    order: list[int] = []
    batches = []
    left = np.arange(len(shown))
    while len(left):
        new = shows[left] & ~known
        cost = (symbols + 1) * new.sum(1) + shows[left].sum(1)
        chosen = cost.argmin()
        order += np.flatnonzero(new[chosen]).tolist()
        known |= new[chosen]
        complete = ~(new & ~known).any(1)
        batches.append(left[complete])
        left = left[~complete]
    return order, batches


def _check(examples: Examples, numbers: NDArray[np.int64], seen: Sequence[Symbol]) -> None:
    identity = np.array([[k for _, k in seen]])
    kept = examples.kept(identity, np.arange(len(examples.values)))[0]
    if not kept.all():
        row = kept.argmin()
        values = ", ".join(str(value) for value in examples.values[row])
        raise UserError(
            f"the program does not hold in example {numbers[row] + 1}, values {values}, with answer "
            f"{examples.answers[row]}: give only worlds that satisfy it, each with its own answer"
        )


def _restricted(
    diagrams: MapDiagrams, maps: SddNode, seen: Sequence[Symbol], often: Counter[Symbol]
) -> list[SddNode]:
    """The maps but the identity: the marginal ones, the one-to-one ones, all."""
    manager = diagrams.manager
    one_to_one = maps
    for network in dict.fromkeys(name for name, _ in seen):
        own = [place for place, (name, _) in enumerate(seen) if name == network]
        one_to_one = diagrams.one_to_one(one_to_one, own)
    marginal = one_to_one
    for place, (name, k) in enumerate(seen):
        equal = [r for j, r in enumerate(diagrams.readings[place]) if often[name, j] == often[name, k]]
        marginal = diagrams.conjoin(marginal, reduce(manager.disjoin, equal))
    identity = reduce(manager.conjoin, [diagrams.readings[place][k] for place, (_, k) in enumerate(seen)])
    return [diagrams.without(kind, identity) for kind in (marginal, one_to_one, maps)]
