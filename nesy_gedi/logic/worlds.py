"""Which worlds a circuit allows, for many at once: one bit for each world, AND for products, OR for sums."""

import numpy as np
from numpy.typing import NDArray

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit

_CHUNK = 1024  # words of 64 worlds evaluated at once: a node's stay in the cache
_MOST_WORDS = 2**23  # of all nodes together: 64 MiB


def possible(
    circuit: ArithmeticCircuit,
    values: NDArray[np.integer],
    supports: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Which roots are true in which worlds, ``(n, roots)``.

    Args:
        circuit: decomposable.
        values: a value of every variable, or -1 for any: ``(n, variables)``. With -1, a root is true if it
            is with some value in this place.
        supports: which inputs weigh more than zero, ``(inputs,)``; all by default. The others count as
            false.
    """
    supported = np.ones(circuit.inputs, dtype=np.bool_) if supports is None else supports
    numbers = circuit.first + len(circuit.nodes)
    width = max(1, min(_CHUNK, _MOST_WORDS // numbers, -(-len(values) // 64)))
    words = np.zeros((numbers, width), dtype=np.uint64)
    words[ONE] = ~words[ZERO]
    roots = np.array(circuit.roots, dtype=np.intp)
    result = np.empty((len(values), len(roots)), dtype=np.bool_)
    for start in range(0, len(values), 64 * width):
        chunk = values[start : start + 64 * width]
        _fill_inputs(circuit, chunk, supported, words.view(np.uint8))
        _fill_nodes(circuit, list(words))
        bits = np.unpackbits(words[roots].view(np.uint8), axis=1, count=len(chunk))
        result[start : start + len(chunk)] = bits.T
    return result


def _fill_inputs(
    circuit: ArithmeticCircuit,
    worlds: NDArray[np.integer],
    supported: NDArray[np.bool_],
    packed: NDArray[np.uint8],
) -> None:
    """Writes the rows of the inputs, eight worlds to a byte; the rows of unsupported ones stay zero."""
    narrow = np.min_scalar_type(-max(circuit.sizes, default=1))  # small numbers are compared faster
    columns = np.ascontiguousarray(worlds.T, dtype=narrow)
    size = -(-len(worlds) // 8)
    for column, start, values in zip(columns, circuit.starts, circuit.sizes, strict=True):
        whatever = np.packbits(column == -1)
        for value in range(values):
            if supported[start + value]:
                row = packed[2 + start + value, :size]
                np.bitwise_or(np.packbits(column == value), whatever, out=row)


def _fill_nodes(circuit: ArithmeticCircuit, rows: list[NDArray[np.uint64]]) -> None:
    for node, row in zip(circuit.nodes, rows[circuit.first :], strict=True):
        combine = np.bitwise_or if node.is_sum else np.bitwise_and
        first, *rest = node.children
        combine(rows[first], rows[rest.pop() if rest else first], out=row)
        for child in rest:
            combine(row, rows[child], out=row)


def worlds_of(circuit: ArithmeticCircuit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All worlds in which some root is true, root by root: ``(n, variables)``, and the root, ``(n,)``.

    Args:
        circuit: smooth, decomposable and deterministic; ``circuit.counts()`` says how many there will be.
    """
    variables = len(circuit.sizes)
    empty = np.zeros((0, variables), dtype=np.int64)
    found = [empty, np.full((1, variables), -1)]
    for variable, size in enumerate(circuit.sizes):
        for value in range(size):
            found.append(np.full((1, variables), -1))
            found[-1][0, variable] = value
    for node in circuit.nodes:
        if node.is_sum:
            found.append(np.concatenate([found[child] for child in node.children]))
            continue
        product = found[ONE]
        for child in node.children:  # they share no variable, so one of two values is always -1
            product = np.maximum(product[:, None], found[child][None]).reshape(-1, variables)
        found.append(product)
    worlds = [found[root] for root in circuit.roots]
    roots = np.repeat(np.arange(len(worlds)), [len(part) for part in worlds])
    return np.concatenate([empty, *worlds]), roots
