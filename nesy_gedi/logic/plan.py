"""Which nodes of a circuit are computed at once, and the tables of indices this takes.

Two tables of numbers are filled for a batch, with a column for every row of the batch: on the way up the
values of all nodes; on the way down the flows, the part of a root's value that goes through a node or,
under a sum, through one of its children.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from nesy_gedi.logic.arithmetic import ZERO, ArithmeticCircuit, Node


class Step(NamedTuple):
    """Sums, or products, that are computed at once.

    Attributes:
        shape: ``(nodes, children)`` of the table of the children of sums; None for products.
        rows: of the nodes in the table of values.
        up: which index tables name the children: one padded table of sums; a ragged one of products.
        down: which index tables name the flows that come down to the nodes, ragged; None if there is
            nothing to do.
        flows: rows of what they pass on in the table of flows: for sums one for each entry of the table of
            children; for products one for each that gathers several flows. A product to which one flow
            comes down passes that very row on.
    """

    shape: tuple[int, int] | None
    rows: slice
    up: slice
    down: slice | None
    flows: slice


class Plan(NamedTuple):
    """How to evaluate a circuit.

    Attributes:
        values: number of rows of the table of values: constants, inputs, nodes.
        flows: number of rows of the table of flows; the first belong to the roots.
        steps: children before parents.
        roots: which index table names the roots' rows.
        inputs: which index tables name the flows that come down to the inputs, ragged.
        world: which index tables tell the variable and the value of every input.
    """

    values: int
    flows: int
    steps: tuple[Step, ...]
    roots: slice
    inputs: slice
    world: slice


def make_plan(circuit: ArithmeticCircuit) -> tuple[Plan, list[Tensor]]:
    """The plan for a circuit, and the index tables that it refers to, int64 ``(n,)``.

    A ragged table is two tables: all lists one after the other, and where each begins.
    """
    return _Planner(circuit).plan()


class _Planner:
    def __init__(self, circuit: ArithmeticCircuit) -> None:
        self.circuit, self.groups = _grouped(circuit)
        self.tables: list[Tensor] = []
        self.flows = len(circuit.roots)
        # which rows of the table of flows come down to a node
        self.incoming: list[list[int]] = [[] for _ in range(circuit.first + len(circuit.nodes))]
        for row, root in enumerate(self.circuit.roots):
            self.incoming[root].append(row)

    def plan(self) -> tuple[Plan, list[Tensor]]:
        sizes, inputs = self.circuit.sizes, slice(2, self.circuit.first)
        steps = [self._step(group) for group in reversed(self.groups)]
        plan = Plan(
            values=len(self.incoming),
            flows=self.flows,
            steps=tuple(reversed(steps)),
            roots=self._store(self.circuit.roots),
            inputs=self._store(*_ragged(self.incoming[inputs])),
            world=self._store(
                [variable for variable, size in enumerate(sizes) for _ in range(size)],
                [value for size in sizes for value in range(size)],
            ),
        )
        return plan, self.tables

    def _step(self, group: range) -> Step:
        nodes = [self.circuit.nodes[number - self.circuit.first] for number in group]
        children = [node.children for node in nodes]
        first_flow, shape = self.flows, None
        if nodes[0].is_sum:
            shape = len(nodes), max(map(len, children))
            padded = [child for own in children for child in (*own, *[ZERO] * (shape[1] - len(own)))]
            up = self._store(padded)
            gathered = [self.incoming[number] for number in group]
            for own in children:
                for row, child in enumerate(own, self.flows):
                    self.incoming[child].append(row)
                self.flows += shape[1]
        else:
            up = self._store(*_ragged(children))
            gathered = []
            for number, own in zip(group, children, strict=True):
                rows = self.incoming[number]
                if len(rows) != 1:
                    gathered.append(rows)
                    rows = [self.flows]
                    self.flows += 1
                for child in own:
                    self.incoming[child] += rows
        down = self._store(*_ragged(gathered)) if gathered else None
        return Step(shape, slice(group.start, group.stop), up, down, slice(first_flow, self.flows))

    def _store(self, *tables: Sequence[int]) -> slice:
        self.tables += [torch.tensor(table, dtype=torch.int64) for table in tables]
        return slice(len(self.tables) - len(tables), len(self.tables))


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    return [k for own in lists for k in own], [0, *accumulate(map(len, lists))][:-1]


def _grouped(circuit: ArithmeticCircuit) -> tuple[ArithmeticCircuit, list[range]]:
    """The circuit with its nodes numbered layer by layer, and the numbers of each step."""
    level = [0] * circuit.first
    layers: dict[int, list[int]] = defaultdict(list)
    for number, node in enumerate(circuit.nodes, circuit.first):
        below = max(level[child] for child in node.children)
        level.append(below + (2 if node.is_sum == (below % 2 == 0) else 1))  # sums on even levels
        layers[level[number]].append(number)
    fan_in = [0] * circuit.first + [len(node.children) for node in circuit.nodes]
    groups: list[list[int]] = []
    for depth, layer in sorted(layers.items()):
        groups += [layer] if depth % 2 else _similar(layer, fan_in)
    order = [number for group in groups for number in group]
    place = [*range(circuit.first), *[0] * len(order)]
    for position, number in enumerate(order, circuit.first):
        place[number] = position
    nodes = [circuit.nodes[number - circuit.first] for number in order]
    renumbered = ArithmeticCircuit(
        circuit.sizes,
        tuple(Node(node.is_sum, tuple(place[child] for child in node.children)) for node in nodes),
        tuple(place[root] for root in circuit.roots),
    )
    return renumbered, [range(place[group[0]], place[group[-1]] + 1) for group in groups]


def _similar(sums: list[int], fan_in: list[int]) -> list[list[int]]:
    """Groups of sums; a table of children as wide as the widest of a group is at least half full."""
    groups: list[list[int]] = []
    width = entries = 0
    for number in sorted(sums, key=lambda number: -fan_in[number]):
        if not groups or 2 * (entries + fan_in[number]) < width * (len(groups[-1]) + 1):
            groups.append([])
            width, entries = fan_in[number], 0
        groups[-1].append(number)
        entries += fan_in[number]
    return groups
