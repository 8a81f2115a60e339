"""Evaluate a compiled circuit for a whole batch: a few gathers and reductions, in log space.

A sentential decision diagram (SDD; Darwiche, IJCAI 2011) is an alternation of sums and products over
literals. Under exactly-one constraints negative literals weigh one, so they vanish from the products;
sums and products of one child, or of their own kind, vanish too. Of a diagram 13 layers deep a handful
of layers is left, each one gather of its children and one reduction over them. The backward pass is
written out, since the derivative of log P by a node's log value is known: the probability flow through
it (Darwiche, "A differential approach to inference in Bayesian networks", J. ACM 2003).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pysdd.sdd import SddNode
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_ZERO, _ONE = 0, 1  # node 0 is the constant zero (log: -inf), node 1 the constant one; then the inputs


class _Node(NamedTuple):
    is_sum: bool
    children: tuple[int, ...]


class _Simplifier:
    """Turns an SDD into sums and products without neutral elements, nesting or duplicates."""

    def __init__(self, inputs: int) -> None:
        self.first = 2 + inputs
        self.nodes: list[_Node] = []
        self._number: dict[_Node, int] = {}
        self._done: dict[int, int] = {}

    def add(self, diagram: SddNode) -> int:
        """Number of the node for a diagram: literal l > 0 is input l-1, a negative one weighs one."""
        if diagram.is_false():
            return _ZERO
        if diagram.is_literal():
            return int(diagram.literal) + 1 if diagram.literal > 0 else _ONE
        # TRUE would mean a slot left open, which cannot be below an exactly-one constraint
        assert not diagram.is_true(), "conjoin the exactly-one constraint of every slot"
        if diagram.id not in self._done:
            # an element whose sub is false only completes the partition: its prime may be anything
            elements = [(p, s) for p, s in diagram.elements() if not s.is_false()]
            products = [self._combine(False, [self.add(p), self.add(s)]) for p, s in elements]
            self._done[diagram.id] = self._combine(True, products)
        return self._done[diagram.id]

    def _combine(self, is_sum: bool, children: Sequence[int]) -> int:
        if not is_sum and _ZERO in children:
            return _ZERO
        neutral = _ZERO if is_sum else _ONE
        flat: list[int] = []
        for child in children:
            node = self.nodes[child - self.first] if child >= self.first else None
            if node is not None and node.is_sum == is_sum:
                flat.extend(node.children)
            elif child != neutral:
                flat.append(child)
        if len(flat) <= 1:
            return flat[0] if flat else neutral
        node = _Node(is_sum, tuple(sorted(flat)))
        if node not in self._number:
            self._number[node] = self.first + len(self.nodes)
            self.nodes.append(node)
        return self._number[node]

    def layers(self, root: int) -> list[list[int]]:
        """Nodes that the root needs, children before parents; products and sums alternate."""
        needed, stack = set[int](), [root]
        while stack:
            number = stack.pop()
            if number >= self.first and number not in needed:
                needed.add(number)
                stack += self.nodes[number - self.first].children
        level: dict[int, int] = defaultdict(int)
        for number in sorted(needed):  # a child has a smaller number than its parent
            node = self.nodes[number - self.first]
            below = max(level[child] for child in node.children)
            level[number] = below + (2 if node.is_sum == (below % 2 == 0) else 1)  # sums on even levels
        return [[n for n in sorted(needed) if level[n] == k] for k in sorted(set(level.values()) - {0})]


class LayeredCircuit(nn.Module):
    """A circuit over ``inputs`` log-values as layers of gathers; ``forward`` is differentiable.

    Attributes:
        nodes: number of sums and products that are left.
        edges: number of their children.
    """

    def __init__(self, diagram: SddNode, inputs: int) -> None:
        super().__init__()
        simplifier = _Simplifier(inputs)
        root = simplifier.add(diagram)
        layers = simplifier.layers(root)
        place = {number: number for number in range(simplifier.first)}
        for number in (number for layer in layers for number in layer):
            place[number] = len(place)
        self.root = place[root]
        self.is_sum: list[bool] = []
        self.nodes = len(place) - simplifier.first
        self.edges = 0
        for k, layer in enumerate(layers):
            nodes = [simplifier.nodes[number - simplifier.first] for number in layer]
            self.is_sum.append(nodes[0].is_sum)
            self.edges += sum(len(node.children) for node in nodes)
            children = [torch.tensor([place[c] for c in node.children]) for node in nodes]
            padding = _ZERO if nodes[0].is_sum else _ONE
            table = nn.utils.rnn.pad_sequence(children, batch_first=True, padding_value=padding)
            # not part of a checkpoint: the program is, and it makes these again
            self.register_buffer(f"children_{k}", table, persistent=False)

    def forward(self, log_values: Tensor) -> Tensor:
        """Log-value of the root, ``(batch,)``, for log-values of the inputs ``(batch, inputs)``.

        The gradient by an input is the share of the root's value that flows through it, and zero
        where the root's value is zero; it is finite for inputs of -inf.
        """
        tables = list(self.buffers())
        result: Tensor = _Evaluate.apply(log_values, self.root, self.is_sum, tables)
        return result


class _Evaluate(torch.autograd.Function):
    """The whole circuit as one step of autograd; values of all nodes lie in one ``(nodes, batch)`` table."""

    @staticmethod
    def forward(ctx: Any, log_values: Tensor, root: int, is_sum: list[bool], tables: list[Tensor]) -> Tensor:
        batch, inputs = log_values.shape
        values = log_values.new_empty(2 + inputs + sum(map(len, tables)), batch)
        values[_ZERO], values[_ONE] = -torch.inf, 0.0
        values[2 : 2 + inputs] = log_values.T
        start = 2 + inputs
        for sums, table in zip(is_sum, tables, strict=True):
            gathered = values.index_select(0, table.flatten()).view(*table.shape, batch)
            out = values[start : start + len(table)]
            torch.logsumexp(gathered, 1, out=out) if sums else torch.sum(gathered, 1, out=out)
            start += len(table)
        ctx.save_for_backward(values)
        ctx.root, ctx.is_sum, ctx.tables, ctx.inputs = root, is_sum, tables, inputs
        return values[root].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (values,) = ctx.saved_tensors
        # a sum of -inf has children of -inf only: a finite floor makes their shares 0, not nan
        floor = values.clamp_min(torch.finfo(values.dtype).min)
        flow = torch.zeros_like(values)
        flow[ctx.root] = gradient
        stop = len(values)
        for sums, table in zip(reversed(ctx.is_sum), reversed(ctx.tables), strict=True):
            own = slice(stop - len(table), stop)
            share = flow[own].unsqueeze(1)
            if sums:
                gathered = values.index_select(0, table.flatten()).view(*table.shape, -1)
                share = (gathered - floor[own].unsqueeze(1)).exp_().mul_(share)
            flow.index_add_(0, table.flatten(), share.expand(*table.shape, -1).flatten(0, 1))
            stop = own.start
        return flow[2 : 2 + ctx.inputs].T, None, None, None
