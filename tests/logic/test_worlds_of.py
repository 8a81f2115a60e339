"""The list of all worlds of a circuit against brute force and exact counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import of_worlds, random_example
from small_programs import SUMS, shipped

from nesy_gedi.logic.arithmetic import ONE, ZERO, Builder, smooth
from nesy_gedi.logic.worlds import worlds_of


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_equals_brute_force_root_by_root(seed):
    example = random_example(seed)
    circuit = smooth(example.circuit)
    worlds, roots = worlds_of(circuit)
    assert worlds.dtype == roots.dtype == np.int64
    assert worlds.shape == (sum(circuit.counts()), len(circuit.sizes))
    assert (np.diff(roots) >= 0).all()
    for number, holds in enumerate(example.holds):
        found = worlds[roots == number]
        assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, example.worlds[holds].tolist()))


def test_of_the_addition():
    worlds, roots = worlds_of(shipped("addition").compiled.circuit)
    circuit = shipped("addition")
    order = circuit.variables(circuit.program.single_network())
    assert sorted(map(tuple, worlds[:, order].tolist())) == sorted(SUMS)
    assert not roots.any()


def test_of_every_sum():
    circuit = shipped("labelled_addition")
    worlds, roots = worlds_of(circuit.compiled.circuit)
    assert len(worlds) == len({tuple(world) for world in worlds.tolist()}) == 100
    assert [int(circuit.answers[root]) for root in roots] == worlds.sum(1).tolist()


@pytest.mark.parametrize("counts", [(0, 2, 1), (1, 0, 0), (0, 0, 0)])
def test_roots_without_worlds(counts):
    every = [(a, b) for a in range(2) for b in range(3)]
    circuit = of_worlds((2, 3), *[every[:n] for n in counts])
    worlds, roots = worlds_of(circuit)
    assert worlds.shape == (sum(counts), 2)
    assert roots.tolist() == [k for k, n in enumerate(counts) for _ in range(n)]


def test_constants_of_a_circuit_without_variables():
    worlds, roots = worlds_of(Builder(()).circuit([ZERO, ONE, ONE]))
    assert worlds.shape == (2, 0)
    assert roots.tolist() == [1, 2]
