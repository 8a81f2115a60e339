import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import of_worlds, random_example, random_log_values

from nesy_gedi.logic.arithmetic import ONE, ZERO, ArithmeticCircuit, Builder, Node
from nesy_gedi.logic.klay_layers import KlayCircuit
from nesy_gedi.logic.layers import LayeredCircuit
from nesy_gedi.logic.plan import make_plan

seeds = st.integers(0, 2**31 - 1)
flattened = st.sampled_from([None, 0])  # as it likes, not at all
ADDITION = [(a, b, a + b) for a in range(10) for b in range(10 - a)]


def gradient(value, weights, log_values):
    return torch.autograd.grad((value * weights).masked_fill(value.isneginf(), 0).sum(), log_values)[0]


def shares(example, log_values):
    """P(value | root), of the worlds' weights one by one: ``(batch, roots, inputs)``, 0 if impossible."""
    logs = example.log_weights(log_values)
    posterior = logs.softmax(2).nan_to_num(0)
    return posterior @ example.inputs()


def chain(levels):
    """Alternating sums and products: two states of a hidden variable, handed on through ``levels``."""
    builder = Builder([4] * levels + [2])
    states = [builder.value(levels, 0), builder.value(levels, 1)]
    for level in range(levels):
        pairs = [[(0, 0), (1, 1), (2, 0)], [(3, 1), (1, 0)]]
        states = [
            builder.add([builder.multiply([builder.value(level, k), states[s]]) for k, s in own])
            for own in pairs
        ]
    return builder.circuit(states)


@settings(max_examples=80, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([0.0, 0.2, 0.6]), flattened)
def test_values_and_gradients_equal_brute_force(seed, batch, impossible, most_entries):
    example = random_example(seed)
    log_values = random_log_values(seed, batch, example.circuit.inputs, impossible).requires_grad_()
    value = LayeredCircuit(example.circuit, most_entries)(log_values)
    assert value.shape == (batch, len(example.holds))
    torch.testing.assert_close(value, example.log_weights(log_values.detach()).logsumexp(2))
    weights = torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    (found,) = torch.autograd.grad(value, log_values, weights)
    torch.testing.assert_close(found, (weights.unsqueeze(2) * shares(example, log_values.detach())).sum(1))


@pytest.mark.parametrize("most_entries", [None, 0])
def test_gradient_equals_finite_differences(most_entries):
    for seed in range(5):
        circuit = random_example(seed).circuit
        log_values = random_log_values(seed, 2, circuit.inputs).requires_grad_()
        layers = LayeredCircuit(circuit, most_entries)
        possible = [k for k, count in enumerate(circuit.counts()) if count]
        assert torch.autograd.gradcheck(lambda x, f=layers, r=possible: f(x)[:, r], log_values)


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.4]), flattened)
def test_marginals_are_the_posterior_of_every_variable(seed, impossible, most_entries):
    example = random_example(seed)
    log_values = random_log_values(seed, 3, example.circuit.inputs, impossible)
    layers, roots = LayeredCircuit(example.circuit, most_entries), len(example.holds)
    expected, value = shares(example, log_values), layers(log_values)
    for root in range(roots):
        found = layers.marginals(log_values, torch.eye(roots)[root].expand(3, -1))
        torch.testing.assert_close(found, expected[:, root])
        per_variable = torch.stack([part.sum(1) for part in found.split(example.circuit.sizes, 1)], 1)
        one = (~value[:, root].isneginf()).double().unsqueeze(1).expand_as(per_variable)
        torch.testing.assert_close(per_variable, one)
    mixed = layers.marginals(log_values, torch.arange(roots).expand(3, -1))
    torch.testing.assert_close(mixed, (expected * torch.arange(roots).view(1, -1, 1)).sum(1))


@settings(max_examples=60, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.4]), flattened)
def test_most_probable_world_equals_brute_force(seed, impossible, most_entries):
    example = random_example(seed)
    log_values = random_log_values(seed, 6, example.circuit.inputs, impossible)
    root = torch.arange(6) % len(example.holds)
    world, found = LayeredCircuit(example.circuit, most_entries).most_probable(log_values, root)
    assert world.dtype == torch.int64
    best, index = example.log_weights(log_values)[torch.arange(6), root].max(1)
    torch.testing.assert_close(found, best)
    possible = ~best.isneginf()
    assert torch.equal(world[possible], example.worlds[index][possible])  # weights are distinct
    assert not world[~possible].any()


@pytest.mark.parametrize("most_entries", [None, 0])
@pytest.mark.parametrize("seed", [1, 4, 6, 11, 22])
def test_samples_are_distributed_as_the_weights(seed, most_entries):
    example, draws = random_example(seed), 20_000
    log_values = random_log_values(seed, 1, example.circuit.inputs, 0.1) / 2
    (weights,) = example.log_weights(log_values)
    layers, generator = LayeredCircuit(example.circuit, most_entries), torch.Generator().manual_seed(seed)
    place = torch.cumprod(torch.tensor([1, *example.circuit.sizes[:0:-1]]), 0).flip(0)
    for root in range(len(weights)):
        world = layers.sample(log_values.expand(draws, -1), torch.full((draws,), root), generator)
        counts = (world * place).sum(1).bincount(minlength=len(example.worlds)).double()
        if weights[root].isneginf().all():
            assert not world.any()
            continue
        expected = draws * weights[root].softmax(0)
        assert not counts[expected == 0].any()
        likely = expected > 0
        chi2 = ((counts - expected).square() / expected)[likely].sum()
        freedom = int(likely.sum()) - 1
        assert chi2 <= freedom + 5 * math.sqrt(2 * freedom) + 1e-6


def test_rows_ask_for_different_roots():
    layers = LayeredCircuit(of_worlds((2, 2), [(0, 0), (0, 1)], [(1, 1)]))
    root = torch.tensor([0, 1, 1, 0])
    log_values = torch.tensor([[0.3, 0.7, 0.4, 0.6]]).log().expand(4, -1)
    world, value = layers.most_probable(log_values, root)
    assert world.tolist() == [[0, 1], [1, 1], [1, 1], [0, 1]]
    assert value.exp().tolist() == pytest.approx([0.18, 0.42, 0.42, 0.18])
    drawn = layers.sample(log_values, root, torch.Generator().manual_seed(0))
    assert drawn[:, 0].tolist() == [0, 1, 1, 0]


def test_addition_in_two_layers():
    builder = Builder((10, 10, 10))
    first = [
        [builder.multiply([builder.value(1, b), builder.value(2, a + b)]) for b in range(10 - a)]
        for a in range(10)
    ]
    rows = [builder.multiply([builder.value(0, a), builder.add(rest)]) for a, rest in enumerate(first)]
    layers = LayeredCircuit(builder.circuit([builder.add(rows)]))
    assert (layers.nodes, layers.edges) == (56, 55 * 3 + 55)
    assert layers(torch.full((2, 30), 0.1).log()).exp().flatten().tolist() == pytest.approx([0.055] * 2)


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([torch.float32, torch.float64]), flattened)
def test_klay_gives_the_same(seed, dtype, most_entries):
    circuit = random_example(seed).circuit
    log_values = random_log_values(seed, 3, circuit.inputs).to(dtype).requires_grad_()
    ours, theirs = LayeredCircuit(circuit, most_entries)(log_values), KlayCircuit(circuit)(log_values)
    assert ours.dtype == theirs.dtype == dtype
    torch.testing.assert_close(ours, theirs)
    weights = torch.arange(1, ours.shape[1] + 1, dtype=dtype)
    torch.testing.assert_close(gradient(ours, weights, log_values), gradient(theirs, weights, log_values))


@pytest.mark.parametrize("engine", [LayeredCircuit, KlayCircuit])
def test_constants_inputs_and_repetitions_may_be_roots(engine):
    builder = Builder((2, 3))
    both = builder.multiply([builder.value(0, 1), builder.any_value(1, [0, 2])])
    roots = [
        ONE,
        both,
        builder.value(0, 1),
        ZERO,
        both,
        builder.any_value(1, [0, 2]),
        ONE,
        builder.value(0, 1),
    ]
    probabilities = torch.tensor([[0.4, 0.6, 0.2, 0.3, 0.5]], dtype=torch.float64, requires_grad=True)
    value = engine(builder.circuit(roots))(probabilities.log()).exp()
    assert value[0].tolist() == pytest.approx([1, 0.42, 0.6, 0, 0.42, 0.7, 1, 0.6])
    (found,) = torch.autograd.grad(value[:, [0, 1, 2, 4, 5, 6, 7]].sum(), probabilities)
    assert found[0].tolist() == pytest.approx([0, 2 * 0.7 + 2, 1.2 + 1, 0, 1.2 + 1])


@pytest.mark.parametrize("engine", [LayeredCircuit, KlayCircuit])
def test_circuits_of_constants_alone(engine):
    log_values = torch.zeros(3, 2, requires_grad=True)
    value = engine(ArithmeticCircuit((2,), (), (ONE, ZERO)))(log_values)
    assert value.tolist() == [[0, -math.inf]] * 3
    (found,) = torch.autograd.grad(value[:, 0].sum(), log_values, allow_unused=True)
    assert found is None or not found.any()


def test_impossible_roots_have_gradient_zero():
    builder = Builder((2, 2))
    alone, product = builder.value(0, 0), builder.multiply([builder.value(0, 0), builder.value(1, 1)])
    either = builder.add([product, builder.multiply([builder.value(0, 1), builder.value(1, 0)])])
    log_values = torch.tensor([[-math.inf, 0, -math.inf, 0]]).requires_grad_()
    for most_entries in (None, 0):
        value = LayeredCircuit(builder.circuit([alone, product, either]), most_entries)(log_values)
        assert value.tolist() == [[-math.inf] * 3]
        assert not torch.autograd.grad(value.sum(), log_values)[0].any()


@pytest.mark.parametrize("most_entries", [None, 0])
def test_tiny_and_certain_probabilities(most_entries):
    """1e-300 each is far below what float32 can hold, its log is not."""
    layers = LayeredCircuit(of_worlds((2, 2, 2), [(0, 0, 0), (0, 1, 1)]), most_entries)
    tiny = torch.full((1, 6), 300 * math.log(0.1)).requires_grad_()
    value = layers(tiny)
    assert value.item() == pytest.approx(900 * math.log(0.1) + math.log(2), rel=1e-6)
    (found,) = torch.autograd.grad(value.sum(), tiny)
    assert found[0].tolist() == pytest.approx([1, 0, 0.5, 0.5, 0.5, 0.5], abs=1e-4)
    certain = torch.eye(2)[torch.tensor([[0, 1, 1], [0, 0, 1]])].log().flatten(1).requires_grad_()
    value = layers(certain)
    assert value.flatten().tolist() == [0, -math.inf]
    (found,) = torch.autograd.grad(value.sum(), certain)
    assert found.tolist() == [[1, 0, 0, 1, 0, 1], [0] * 6]


def test_deep_circuits_keep_their_layers():
    circuit = chain(20)
    layers = LayeredCircuit(circuit)
    assert (layers.nodes, layers.edges) == (len(circuit.nodes), circuit.edges)
    uniform = torch.full((1, circuit.inputs), 0.25, dtype=torch.float64).log()
    expected = [math.log(count) - 21 * math.log(4) for count in circuit.counts()]
    torch.testing.assert_close(layers(uniform), torch.tensor([expected], dtype=torch.float64))
    flow = layers.marginals(uniform, torch.tensor([[1.0, 0]]))
    assert flow.sum().item() == pytest.approx(21)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 200), min_size=1, max_size=12))
def test_tables_of_uneven_sums_are_half_full(fan_ins):
    builder = Builder([200])
    circuit = builder.circuit([builder.any_value(0, range(count)) for count in fan_ins])
    plan, tables = make_plan(circuit)
    entries = sum(len(table) for step in plan.steps for table in tables[step.up])
    assert entries <= 2 * circuit.edges
    assert len(plan.steps) <= 1 + math.log2(max(fan_ins) / min(fan_ins))  # each less than half as wide
    log_values = random_log_values(0, 2, 200).requires_grad_()
    value = LayeredCircuit(circuit, 0)(log_values)
    expected = torch.stack([log_values[:, :count].logsumexp(1) for count in fan_ins], 1)
    torch.testing.assert_close(value, expected)
    weights = torch.arange(1.0, len(fan_ins) + 1)
    torch.testing.assert_close(gradient(value, weights, log_values), gradient(expected, weights, log_values))


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_every_edge_carries_flow_once(seed):
    circuit = random_example(seed).circuit
    plan, tables = make_plan(circuit)
    ragged = [step.down for step in plan.steps if step.down is not None] + [plan.inputs]
    assert sum(len(tables[down][0]) for down in ragged) <= circuit.edges + len(circuit.roots)


@pytest.mark.parametrize("engine", [LayeredCircuit, KlayCircuit])
def test_constants_may_be_children(engine):
    """What Builder leaves out is computed too: 1 * (0 + x), 0 * y and (0 + x) * y."""
    x, y = 2, 4
    nodes = (Node(True, (ZERO, x)), Node(False, (ONE, 6)), Node(False, (ZERO, y)), Node(False, (6, y)))
    value = engine(ArithmeticCircuit((2, 2), nodes, (7, 8, 9)))(torch.tensor([[0.2, 0.8, 0.5, 0.5]]).log())
    assert value.exp().tolist() == [pytest.approx([0.2, 0, 0.1])]


def test_evaluations_may_overlap_and_repeat_but_derive_once():
    layers = LayeredCircuit(of_worlds((10, 10, 10), ADDITION))
    first, second = (random_log_values(k, 2, 30).requires_grad_() for k in (1, 2))
    one, two = layers(first), layers(second)
    alone = torch.autograd.grad(layers(first).sum(), first)[0]
    both = torch.autograd.grad(one.sum() + two.sum(), [first, second], retain_graph=True)
    again = torch.autograd.grad(one.sum() + two.sum(), [first, second])
    assert torch.equal(both[0], alone)
    assert torch.equal(both[0], again[0])
    assert torch.equal(both[1], again[1])
    (once,) = torch.autograd.grad(layers(first).square().sum(), first, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once.sum().backward()


def test_checkpoints_hold_nothing_and_batches_may_be_empty():
    layers = LayeredCircuit(of_worlds((10, 10, 10), ADDITION))
    assert not layers.state_dict()
    assert not list(layers.parameters())
    empty = torch.zeros(0, 30, requires_grad=True)
    value = layers(empty)
    assert value.shape == (0, 1)
    assert torch.autograd.grad(value.sum(), empty)[0].shape == (0, 30)
    world, _ = layers.most_probable(empty, torch.zeros(0, dtype=torch.int64))
    assert world.shape == (0, 3)
