import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import of_worlds, random_example

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.worlds import possible

seeds = st.integers(0, 2**31 - 1)


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.4]))
def test_partial_worlds_and_unsupported_inputs_equal_brute_force(seed, unknown, unsupported):
    example, rng = random_example(seed), np.random.default_rng(seed)
    sizes, worlds = example.circuit.sizes, example.worlds.numpy()
    rows = np.stack([rng.integers(0, size, 100) for size in sizes], 1)
    rows[rng.random(rows.shape) < unknown] = -1
    supports = rng.random(example.circuit.inputs) >= unsupported
    supported = supports[worlds + example.circuit.starts].all(1)
    agrees = ((rows[:, None] == worlds) | (rows[:, None] == -1)).all(2) & supported
    expected = (agrees[:, None] & example.holds.numpy()).any(2)
    found = possible(example.circuit, rows, supports)
    assert found.dtype == np.bool_
    assert np.array_equal(found, expected)
    if not unsupported:
        assert np.array_equal(possible(example.circuit, rows), expected)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 64 * 1024, 64 * 1024 + 1, 200_003])
def test_any_number_of_worlds(count):
    """Words of 64 and chunks of 1024 words end where they may."""
    sums = of_worlds((10, 10), *[[(a, s - a) for a in range(10) if 0 <= s - a < 10] for s in range(19)])
    rows = np.random.default_rng(count).integers(0, 10, (count, 2))
    assert np.array_equal(possible(sums, rows), rows.sum(1, keepdims=True) == np.arange(19))


def test_large_circuits_take_little_memory():
    """Some 16,000 nodes leave room for 522 words each: 64 MiB, where 1024 words would take 126 MiB."""
    rng = np.random.default_rng(0)
    roots = [[tuple(map(int, world))] for world in rng.integers(0, 6, (16_000, 9))]
    circuit = of_worlds((6,) * 9, *roots)
    rows = np.array([root[0] for root in roots[:50]] * 1400)
    tracemalloc.start()
    found = possible(ArithmeticCircuit(circuit.sizes, circuit.nodes, circuit.roots[:50]), rows)
    assert tracemalloc.get_traced_memory()[1] < 90 * 2**20
    tracemalloc.stop()
    assert np.array_equal(found, np.tile(np.eye(50, dtype=bool), (1400, 1)))


def test_variables_may_have_many_values():
    circuit = of_worlds((300, 2), [(127, 0), (255, 1), (299, 1)])
    every = np.stack(np.meshgrid(np.arange(300), np.arange(2), indexing="ij"), -1).reshape(-1, 2)
    (true,) = possible(circuit, every).T
    assert every[true].tolist() == [[127, 0], [255, 1], [299, 1]]
    assert possible(circuit, np.array([[-1, 0], [299, -1], [298, -1]], dtype=np.int16)).T.tolist() == [
        [True, True, False]
    ]


def test_constants_and_inputs_as_roots():
    builder = Builder((2, 2))
    circuit = builder.circuit([ONE, ZERO, builder.value(1, 0)])
    rows = np.array([[0, 0], [0, 1], [1, -1]])
    assert possible(circuit, rows).tolist() == [
        [True, False, True],
        [True, False, False],
        [True, False, True],
    ]
    unsupported = possible(circuit, rows, np.array([True, True, False, True]))
    assert unsupported.tolist() == [[True, False, False]] * 3


def test_possible_where_the_probability_is_not_zero():
    for seed in range(20):
        example = random_example(seed)
        log_values = example.inputs().log()
        value = LayeredCircuit(example.circuit)(log_values)
        assert torch.equal(torch.from_numpy(possible(example.circuit, example.worlds.numpy())), value > -1)
