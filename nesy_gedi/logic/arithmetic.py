"""Arithmetic circuits: sums and products over the values of multi-valued variables.

What every compilation ends in and every evaluation starts from. A circuit computes, for each of its
roots, the network polynomial of a formula (Darwiche, "A differential approach to inference in Bayesian
networks", J. ACM 2003): products are decomposable, sums deterministic and, after :func:`smooth`, smooth.
So the same nodes give probabilities, counts, most probable explanations and samples.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

ZERO, ONE = 0, 1  # node 0 is the constant zero, node 1 the constant one; then come the inputs
_MOST_CHILDREN = 64  # a shared sum or product with more children than this is not merged into its parents


class Node(NamedTuple):
    """A sum or a product of nodes with smaller numbers."""

    is_sum: bool
    children: tuple[int, ...]


@dataclass(frozen=True)
class ArithmeticCircuit:
    """Nodes, children before parents.

    Numbers: 0 and 1 are the constants, ``2 + i`` is input ``i``, ``2 + inputs + k`` is ``nodes[k]``.

    Attributes:
        sizes: number of values of each variable. Input ``sum(sizes[:v]) + k`` is value k of variable v;
            exactly one value of a variable is true.
        nodes: sums and products, in an order in which children come first.
        roots: number of the node of each output.
    """

    sizes: tuple[int, ...]
    nodes: tuple[Node, ...]
    roots: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return sum(self.sizes)

    @property
    def first(self) -> int:
        """Number of ``nodes[0]``."""
        return 2 + self.inputs

    @property
    def starts(self) -> list[int]:
        """First input of each variable."""
        return [0, *accumulate(self.sizes)][:-1]

    @property
    def edges(self) -> int:
        """Number of children of all nodes."""
        return sum(len(node.children) for node in self.nodes)

    def counts(self, without: Collection[int] = ()) -> list[int]:
        """For each root the number of worlds (one value for every variable) in which it is true, exactly.

        The circuit must be smooth.

        Args:
            without: inputs that are false in the worlds counted, from 0.
        """
        values = [0, 1] + [int(number not in without) for number in range(self.inputs)]
        for node in self.nodes:
            if node.is_sum:
                values.append(sum(values[child] for child in node.children))
            else:
                product = 1
                for child in node.children:
                    product *= values[child]
                values.append(product)
        return [values[root] for root in self.roots]

    def to_json(self) -> dict[str, Any]:
        """Lists and numbers only; :meth:`from_json` makes the circuit again."""
        nodes = [[int(node.is_sum), *node.children] for node in self.nodes]
        return {"sizes": list(self.sizes), "nodes": nodes, "roots": list(self.roots)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ArithmeticCircuit":
        """The circuit that :meth:`to_json` described."""
        nodes = tuple(Node(bool(kind), tuple(children)) for kind, *children in content["nodes"])
        return cls(tuple(content["sizes"]), nodes, tuple(content["roots"]))


class Builder:
    """Makes sums and products without neutral elements, nesting or duplicates.

    Args:
        sizes: number of values of each variable.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.first = 2 + sum(self.sizes)
        self.starts = [2 + start for start in [0, *accumulate(self.sizes)][:-1]]
        self.nodes: list[Node] = []
        self._number: dict[Node, int] = {}

    def value(self, variable: int, value: int) -> int:
        """The number of an input."""
        return self.starts[variable] + value

    def any_value(self, variable: int, values: Iterable[int] | None = None) -> int:
        """The sum of some values of a variable, of all by default."""
        chosen = range(self.sizes[variable]) if values is None else values
        return self.add([self.value(variable, value) for value in chosen])

    def add(self, children: Sequence[int]) -> int:
        """Number of a sum; the children must exclude each other."""
        return self._combine(True, children)

    def multiply(self, children: Sequence[int]) -> int:
        """Number of a product; the children must share no variable."""
        if ZERO in children:
            return ZERO
        return self._combine(False, children)

    def _combine(self, is_sum: bool, children: Sequence[int]) -> int:
        neutral = ZERO if is_sum else ONE
        flat: list[int] = []
        for child in children:
            node = self.nodes[child - self.first] if child >= self.first else None
            if node is not None and node.is_sum == is_sum and len(node.children) <= _MOST_CHILDREN:
                flat.extend(node.children)
            elif child != neutral:
                flat.append(child)
        if len(flat) <= 1:
            return flat[0] if flat else neutral
        node = Node(is_sum, tuple(sorted(flat)))
        if node not in self._number:
            self._number[node] = self.first + len(self.nodes)
            self.nodes.append(node)
        return self._number[node]

    def circuit(self, roots: Sequence[int]) -> ArithmeticCircuit:
        """The circuit of these roots: what they do not need is left out."""
        needed, stack = set[int](), list(roots)
        while stack:
            number = stack.pop()
            if number >= self.first and number not in needed:
                needed.add(number)
                stack += self.nodes[number - self.first].children
        kept = sorted(needed)  # a child has a smaller number than its parent
        place = {number: self.first + k for k, number in enumerate(kept)}
        nodes = tuple(
            Node(node.is_sum, tuple(place.get(child, child) for child in node.children))
            for node in (self.nodes[number - self.first] for number in kept)
        )
        return ArithmeticCircuit(self.sizes, nodes, tuple(place.get(root, root) for root in roots))


def smooth(circuit: ArithmeticCircuit) -> ArithmeticCircuit:
    """The same polynomial times one: every root, and every child of a sum, mentions the same variables.

    A variable that a child does not mention is put in as the sum of its values.
    """
    builder = Builder(circuit.sizes)
    whole = (1 << len(circuit.sizes)) - 1
    scopes = [0, 0] + [1 << v for v, size in enumerate(circuit.sizes) for _ in range(size)]
    numbers = list(range(circuit.first))

    def widened(number: int, scope: int) -> int:
        if number == ZERO:
            return ZERO
        missing = scope & ~scopes[number]
        gaps = [v for v in range(len(circuit.sizes)) if missing >> v & 1] if missing else []
        return builder.multiply([numbers[number], *(builder.any_value(v) for v in gaps)])

    for node in circuit.nodes:
        scope = 0
        for child in node.children:
            scope |= scopes[child]
        children = node.children
        if node.is_sum:
            numbers.append(builder.add([widened(child, scope) for child in children]))
        else:
            numbers.append(builder.multiply([numbers[child] for child in children]))
        scopes.append(scope)
    return builder.circuit([widened(root, whole) for root in circuit.roots])


def flatten(circuit: ArithmeticCircuit, most_entries: int = 4096) -> ArithmeticCircuit:
    """Every root as one sum of products of inputs, if that is small; else the circuit itself.

    A product that several roots have in common is made once.

    Args:
        circuit: decomposable and deterministic. If it is smooth, so is the result.
        most_entries: how many children the different products may have in all.
    """
    sizes = _expanded_sizes(circuit, most_entries)
    if any(max(sizes[root]) > most_entries for root in circuit.roots):
        return circuit
    terms: list[list[tuple[int, ...]]] = [[], [()]]
    terms += [[(number,)] for number in range(2, circuit.first)]
    for node, size in zip(circuit.nodes, sizes[circuit.first :], strict=True):
        expanded: list[tuple[int, ...]] = []
        if size[0] > 0 and max(size) <= most_entries:  # what is larger, no root needs
            if node.is_sum:
                expanded = [term for child in node.children for term in terms[child]]
            else:
                expanded = [()]
                for child in node.children:
                    expanded = [left + right for left in expanded for right in terms[child]]
        terms.append(expanded)
    builder = Builder(circuit.sizes)
    entries: dict[int, int] = {}
    roots = []
    for root in circuit.roots:
        products = [builder.multiply(term) for term in terms[root]]
        entries.update(zip(products, map(len, terms[root]), strict=True))
        if sum(entries.values()) > most_entries:
            return circuit
        roots.append(builder.add(products))
    return builder.circuit(roots)


def _expanded_sizes(circuit: ArithmeticCircuit, most: int) -> list[tuple[int, int]]:
    """For each number: products, and inputs in them, that distributing would give; at most ``most + 1``."""
    sizes = [(0, 0), (1, 0), *[(1, 1)] * circuit.inputs]
    for node in circuit.nodes:
        terms, entries = (0, 0) if node.is_sum else (1, 0)
        for child in node.children:
            own_terms, own_entries = sizes[child]
            if node.is_sum:
                terms, entries = terms + own_terms, entries + own_entries
            else:
                terms, entries = terms * own_terms, terms * own_entries + entries * own_terms
        sizes.append((min(terms, most + 1), min(entries, most + 1)))
    return sizes
