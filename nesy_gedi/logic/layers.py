"""Evaluate an arithmetic circuit for a whole batch: a few gathers and reductions, in log space.

The nodes are sorted into layers, sums and products in turn, and every layer is computed at once. The
backward pass is written out, since the derivative of a root's log by a node's log is known: the
probability flow through the node (Darwiche, "A differential approach to inference in Bayesian networks",
J. ACM 2003). The same flow, with one child chosen at every sum, gives the most probable world and samples.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, flatten
from nesy_gedi.logic.plan import Plan, make_plan

# from the children of sums, (nodes, children, batch), to the values of the sums, (nodes, batch), and the
# shares of the children in them, of the children's shape
_Reduce: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


class LayeredCircuit(nn.Module):
    """A circuit as layers of gathers and reductions; ``forward`` is differentiable, once.

    Inputs are log-weights, ``(batch, inputs)``, float32 or float64; -inf is allowed.

    Args:
        circuit: decomposable; for all but ``forward`` deterministic and smooth too.
        most_entries: up to which size it is flattened; four times its edges by default, at most 4096,
            since a few edges more cost less than a layer more.

    Attributes:
        nodes: number of sums and products.
        edges: number of their children.
    """

    def __init__(self, circuit: ArithmeticCircuit, most_entries: int | None = None) -> None:
        super().__init__()
        circuit = flatten(circuit, min(4096, 4 * circuit.edges) if most_entries is None else most_entries)
        self.nodes, self.edges, self._variables = len(circuit.nodes), circuit.edges, len(circuit.sizes)
        self._plan, tables = make_plan(circuit)
        for k, table in enumerate(tables):
            # not part of a checkpoint: the program is, and it makes these again
            self.register_buffer(f"table_{k}", table, persistent=False)

    def forward(self, log_values: Tensor) -> Tensor:
        """Log-values of the roots, ``(batch, roots)``.

        The gradient by an input is the share of a root's value that flows through it. It is finite, and
        zero where the root's value is zero.
        """
        result: Tensor = _Evaluate.apply(log_values, self._plan, self._tables())
        return result

    @torch.no_grad()
    def marginals(self, log_values: Tensor, weights: Tensor) -> Tensor:
        """Derivative of the weighted sum of the roots' log-values by every input, ``(batch, inputs)``.

        With weight one on one root: the probability of every value of every variable, given that root.
        A root whose value is zero adds nothing.

        Args:
            log_values: log-weights of the inputs.
            weights: weights of the roots, ``(batch, roots)``.
        """
        tables = self._tables()
        values, shares = _upward(log_values, self._plan, tables, _log_sum)
        return _downward(weights.to(values.dtype), values, shares, self._plan, tables)

    @torch.no_grad()
    def most_probable(self, log_values: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        """The world with the largest product of inputs among those in which a root is true.

        Args:
            log_values: log-weights of the inputs.
            root: which root, for every row: ``(batch,)``, int64.

        Returns:
            A value for every variable, ``(batch, variables)``, int64, and the log of the product of the
            inputs, ``(batch,)``. Where the root is impossible, that is -inf, and the values mean nothing:
            all are 0.
        """
        values, world = self._choose(log_values, root, _maximum)
        return world, values.gather(1, root.unsqueeze(1))[:, 0]

    @torch.no_grad()
    def sample(self, log_values: Tensor, root: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a world of those in which a root is true, with a probability proportional to its weight.

        Args:
            log_values: log-weights of the inputs.
            root: which root, for every row: ``(batch,)``, int64.
            generator: source of randomness, on the device of ``log_values``.

        Returns:
            A value for every variable, ``(batch, variables)``, int64. Where the root is impossible, they
            mean nothing: all are 0.
        """

        def draw(children: Tensor) -> tuple[Tensor, Tensor]:
            values, shares = _log_sum(children)
            # the first of some exponential clocks to ring; the same as adding Gumbel noise to the logs
            clocks = torch.empty_like(shares).exponential_(generator=generator)
            return values, _one_hot((shares / clocks).argmax(1, keepdim=True), shares)

        return self._choose(log_values, root, draw)[1]

    def _choose(self, log_values: Tensor, root: Tensor, reduce: _Reduce) -> tuple[Tensor, Tensor]:
        """Values of the roots, and the world that choosing one child of every sum leads to."""
        tables = self._tables()
        values, shares = _upward(log_values, self._plan, tables, reduce)
        weights = _one_hot(root.unsqueeze(1), values)
        flow = _downward(weights, values, shares, self._plan, tables)
        variable, value = tables[self._plan.world]
        world = value.new_zeros(len(flow), self._variables)
        return values, world.index_add_(1, variable, flow.to(value.dtype).mul_(value))

    def _tables(self) -> list[Tensor]:
        # buffers() walks through all submodules, which takes as long as evaluating a small circuit
        return [table for table in self._buffers.values() if table is not None]


class _Evaluate(torch.autograd.Function):
    """The whole circuit as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, log_values: Tensor, plan: Plan, tables: list[Tensor]) -> Tensor:
        values, shares = _upward(log_values, plan, tables, _log_sum)
        ctx.save_for_backward(values, *shares)
        ctx.plan, ctx.tables = plan, tables
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, *shares = ctx.saved_tensors
        return _downward(gradient, values, shares, ctx.plan, ctx.tables), None, None


def _upward(
    log_values: Tensor, plan: Plan, tables: list[Tensor], reduce: _Reduce
) -> tuple[Tensor, list[Tensor]]:
    """Values of the roots, ``(batch, roots)``, and the shares of the children of all sums."""
    batch, inputs = log_values.shape
    values = log_values.new_empty(plan.values, batch)
    values[ZERO], values[ONE] = -torch.inf, 0.0
    values[2 : 2 + inputs] = log_values.T
    shares = []
    for step in plan.steps:
        if step.shape is None:
            values[step.rows] = _sum_rows(values, tables[step.up])
        else:
            children = values.index_select(0, *tables[step.up]).view(*step.shape, batch)
            values[step.rows], share = reduce(children)
            shares.append(share)
    return values.index_select(0, *tables[plan.roots]).T, shares


def _downward(
    weights: Tensor, values: Tensor, shares: list[Tensor], plan: Plan, tables: list[Tensor]
) -> Tensor:
    """Flow to the inputs, ``(batch, inputs)``, where ``weights``, ``(batch, roots)``, flow to the roots."""
    batch, roots = weights.shape
    flows = weights.new_empty(plan.flows, batch)
    flows[:roots] = weights.masked_fill(values == -torch.inf, 0).T
    from_above = reversed(shares)
    for step in reversed(plan.steps):
        if step.down is None:
            continue
        flow = _sum_rows(flows, tables[step.down])
        if step.shape is None:
            flows[step.flows] = flow
        else:
            part = flows[step.flows].view(*step.shape, batch)
            torch.mul(next(from_above), flow.unsqueeze(1), out=part)
    return _sum_rows(flows, tables[plan.inputs]).T


def _sum_rows(table: Tensor, ragged: list[Tensor]) -> Tensor:
    """Sums of rows; several times faster than to gather them first, and nothing is padded."""
    rows, starts = ragged
    return torch.embedding_bag(table, rows, starts)[0]


def _log_sum(children: Tensor) -> tuple[Tensor, Tensor]:
    # -inf less -inf would be nan: a finite floor
    top = children.amax(1, keepdim=True).clamp_min_(torch.finfo(children.dtype).min)
    shares = children.sub_(top).exp_()
    total = shares.sum(1, keepdim=True)
    values = total.log().add_(top)[:, 0]
    return values, shares.div_(total.clamp_min_(1))  # less than 1 is 0: all children are impossible


def _maximum(children: Tensor) -> tuple[Tensor, Tensor]:
    values, index = children.max(1, keepdim=True)
    return values[:, 0], _one_hot(index, children)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter_(1, index, 1.0)
