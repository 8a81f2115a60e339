import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_circuits import of_worlds, random_example, random_log_values

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder, flatten, smooth
from nesy_gedi.logic.layers import LayeredCircuit

seeds = st.integers(0, 2**31 - 1)
MOST_ENTRIES = 5 * 4**5  # of a random example: five inputs for each of its worlds
ADDITION = [(a, b, a + b) for a in range(10) for b in range(10 - a)]


def scopes(circuit):
    """Variables that each number mentions."""
    found = [set(), set(), *({v} for v, size in enumerate(circuit.sizes) for _ in range(size))]
    for node in circuit.nodes:
        found.append(set().union(*(found[child] for child in node.children)))
    return found


def widened(count):
    """A product of sums, which distributes into ``2**count`` products of ``count`` inputs."""
    builder = Builder([2] * count)
    return builder.circuit([builder.multiply([builder.any_value(v) for v in range(count)])])


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_smooth_circuits_mention_every_variable_in_every_alternative(seed):
    example = random_example(seed)
    circuit, mentioned = example.circuit, scopes(example.circuit)
    assert all(mentioned[root] == set(range(len(circuit.sizes))) for root in circuit.roots if root != ZERO)
    for number, node in enumerate(circuit.nodes, circuit.first):
        below = [mentioned[child] for child in node.children]
        if node.is_sum:
            assert all(scope == mentioned[number] for scope in below)
        else:
            assert sum(map(len, below)) == len(mentioned[number])
    assert circuit.counts() == example.holds.sum(1).tolist()


def test_smoothing_counts_what_is_not_mentioned():
    builder = Builder((2, 3, 5))
    first, other = builder.value(0, 0), builder.multiply([builder.value(0, 1), builder.value(1, 2)])
    circuit = smooth(builder.circuit([first, builder.add([first, other]), ONE, ZERO]))
    assert circuit.counts() == [15, 20, 30, 0]
    log_values = random_log_values(0, 2, 10)
    total = [part.logsumexp(1) for part in log_values.split((2, 3, 5), 1)]
    expected = torch.stack([log_values[:, 0] + total[1] + total[2], sum(total)], 1)
    torch.testing.assert_close(LayeredCircuit(circuit)(log_values)[:, [0, 2]], expected)


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_json_holds_the_whole_circuit(seed):
    circuit = random_example(seed).circuit
    assert ArithmeticCircuit.from_json(circuit.to_json()) == circuit


@settings(max_examples=60, deadline=None)
@example(338689320)  # with 5,120 entries, more than the default takes
@given(seeds)
def test_flat_circuits_are_sums_of_products_and_equal(seed):
    case = random_example(seed)
    flat = flatten(case.circuit, MOST_ENTRIES)
    assert flat.counts() == case.circuit.counts()
    for node in flat.nodes:  # products of inputs below sums of products or inputs
        products = [child for child in node.children if child >= flat.first]
        assert not products or (node.is_sum and not any(flat.nodes[p - flat.first].is_sum for p in products))
    distinct = [node for node in flat.nodes if not node.is_sum]
    assert len(flat.sizes) == 1 or len(distinct) == case.holds.any(0).sum()
    log_values = random_log_values(seed, 3, flat.inputs, 0.1)
    torch.testing.assert_close(
        LayeredCircuit(flat, 0)(log_values), LayeredCircuit(case.circuit, 0)(log_values)
    )
    again = [sorted(node.children) for node in flat.nodes if not node.is_sum]
    entries = sum(map(len, again)) if len(flat.sizes) > 1 else int(case.holds.any(0).sum())
    assert flatten(case.circuit, entries) == flat
    assert entries == 0 or flatten(case.circuit, entries - 1) is case.circuit


def test_addition_is_one_layer_of_products_and_one_sum():
    builder = Builder((10, 10, 10))
    rows = [
        builder.multiply(
            [
                builder.value(0, a),
                builder.add(
                    [builder.multiply([builder.value(1, b), builder.value(2, a + b)]) for b in range(10 - a)]
                ),
            ]
        )
        for a in range(10)
    ]
    circuit = builder.circuit([builder.add(rows)])
    flat = flatten(circuit)
    assert len(flat.nodes) == 56
    assert sorted(node.children for node in flat.nodes[:-1]) == [
        (2 + a, 12 + b, 22 + c) for a, b, c in ADDITION
    ]
    assert flat.nodes[-1].is_sum
    assert len(flat.nodes[-1].children) == 55
    assert flatten(circuit, 164) is circuit
    assert flatten(circuit, 165) == flat


def test_large_circuits_are_left_as_they_are_at_once():
    assert len(flatten(widened(8)).nodes) == 2**8 + 1  # 2048 entries
    for count in (9, 10, 2000):  # 4608 entries, and a number with 600 digits
        circuit = widened(count)
        assert flatten(circuit) is circuit


def test_roots_share_their_products():
    worlds = [(a, b) for a in range(4) for b in range(4)]
    circuit = of_worlds((4, 4), worlds, worlds[:-1], worlds[1:], worlds)
    assert flatten(circuit, 32) == circuit
    assert flatten(circuit, 31) is circuit


@pytest.mark.parametrize("root", [ZERO, ONE, 3])
def test_trivial_roots_stay(root):
    circuit = ArithmeticCircuit((2,), (), (root, root))
    assert flatten(circuit) == circuit
    assert smooth(circuit).counts() == [{ZERO: 0, ONE: 2, 3: 1}[root]] * 2
