"""Ground programs that are evaluated as they stand: only where that is right, and for all shipped ones."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shipped_cases import CASES
from small_programs import DIGITS, circuit_of, shipped

from nesy_gedi.logic.arithmetic import ZERO
from nesy_gedi.logic.diagram import diagram_circuit
from nesy_gedi.logic.direct import direct_circuit
from nesy_gedi.logic.grounding import Choice, Ground

seeds = st.integers(0, 2**31 - 1)


def ground_of(sizes, gates):
    return Ground(choices=[Choice("constant", "", (), size) for size in sizes], gates=gates)


def holding(ground, roots):
    """All worlds, ``(worlds, choices)``, and for each root those in which all its signed numbers hold."""
    sizes = [choice.size for choice in ground.choices]
    worlds = np.array(list(itertools.product(*map(range, sizes)))).reshape(-1, len(sizes))
    values = {0: np.ones(len(worlds), dtype=bool)}

    def signed(number):
        if number is None:
            return ~values[0]
        return values[number] if number >= 0 else ~values[-number]

    for number, (kind, children) in ground.gates.items():  # children come first
        if kind == "atom":
            values[number] = worlds[:, children[0]] == children[1]
        else:
            reduce = np.logical_and if kind == "conj" else np.logical_or
            values[number] = reduce.reduce([signed(child) for child in children])
    return worlds, np.array([np.logical_and.reduce([signed(number) for number in root]) for root in roots])


def scopes(circuit):
    """Variables that each number mentions, as bits."""
    found = [0, 0, *(1 << v for v, size in enumerate(circuit.sizes) for _ in range(size))]
    for node in circuit.nodes:
        scope = 0
        for child in node.children:
            scope |= found[child]
        found.append(scope)
    return found


def assert_is_right(circuit, ground, roots):
    """Smooth and decomposable; counts and weighted sums are those over all worlds."""
    assert circuit.sizes == tuple(choice.size for choice in ground.choices)
    mentioned = scopes(circuit)
    for node in circuit.nodes:
        below = [mentioned[child] for child in node.children]
        assert (
            len(set(below)) == 1
            if node.is_sum
            else sum(map(int.bit_count, below)) == max(itertools.accumulate(below, int.__or__)).bit_count()
        )
    whole = (1 << len(circuit.sizes)) - 1
    assert all(root == ZERO or mentioned[root] == whole for root in circuit.roots)
    worlds, expected = holding(ground, roots)
    assert circuit.counts() == expected.sum(1).tolist()
    weights = np.random.default_rng(0).uniform(size=circuit.inputs)
    of_world = weights[worlds + np.array(circuit.starts, dtype=int)].prod(1)
    values = [0.0, 1.0, *weights]
    for node in circuit.nodes:
        children = [values[child] for child in node.children]
        values.append(sum(children) if node.is_sum else math.prod(children))
    assert [values[root] for root in circuit.roots] == pytest.approx(expected @ of_world)


def and_or_graph(seed):
    """Any graph with negations: shared choices, shared gates, choices of one value; and roots."""
    rng = random.Random(seed)
    sizes = [rng.randint(1, 4) for _ in range(rng.randint(1, 5))]
    atoms = [
        (choice, value) for choice, size in enumerate(sizes) for value in range(size) if rng.random() < 0.8
    ]
    gates = {number: ("atom", atom) for number, atom in enumerate(atoms or [(0, 0)], 1)}
    for _ in range(rng.randint(1, 8)):
        children = [rng.randint(1, len(gates)) * rng.choice([1, 1, 1, -1]) for _ in range(rng.randint(1, 4))]
        gates[len(gates) + 1] = (rng.choice(["conj", "disj"]), tuple(children))
    last = len(gates)
    roots = [
        [rng.choice([last, rng.randint(-last, last), None if rng.random() < 0.1 else last])
         for _ in range(rng.randint(1, 2))]
        for _ in range(rng.randint(1, 3))
    ]  # fmt: skip
    return ground_of(sizes, gates), roots


def decision_graph(seed, faults):
    """Decisions, which are deterministic, in chains with shared gates; some with a fault."""
    rng = random.Random(seed)
    sizes = [rng.randint(2, 4) for _ in range(rng.randint(2, 5))]
    gates = {}

    def gate(kind, children):
        gates[len(gates) + 1] = (kind, tuple(children))
        return len(gates)

    def any_of(values):
        return values[0] if len(values) == 1 else gate("disj", values)

    atoms = [[gate("atom", (c, v)) for v in range(size)] for c, size in enumerate(sizes)]
    level = [gate("conj", [rng.choice(atoms[0])])]
    for own in atoms[1:]:
        made = []
        for _ in range(rng.randint(1, 2)):
            values = rng.sample(own, len(own))
            cuts = [0, *sorted(rng.sample(range(1, len(own)), rng.randint(0, len(own) - 1))), len(own)]
            groups = [values[i:j] for i, j in itertools.pairwise(cuts)][: rng.randint(1, 4)]
            if rng.random() < faults:
                groups.append(rng.sample(own, rng.randint(1, len(own))))
            made.append(gate("disj", [gate("conj", [rng.choice(level), any_of(group)]) for group in groups]))
        if rng.random() < faults:
            made.append(gate("disj", [gate("disj", rng.choices(made, k=2)), rng.choice(made)]))
        level = made
    roots = [[number] for number in level] + [[level[0], rng.choice([level[-1], *atoms[0]])]]
    return ground_of(sizes, gates), roots


def random_case(seed):
    return and_or_graph(seed) if seed % 2 else decision_graph(seed, faults=0.1)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(seeds)
def test_no_proof_is_wrong(seed):
    ground, roots = random_case(seed)
    circuit = direct_circuit(ground, roots)
    if circuit is not None:
        assert_is_right(circuit, ground, roots)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seeds)
def test_diagrams_are_right_for_all(seed):
    ground, roots = random_case(seed)
    assert_is_right(diagram_circuit(ground, roots), ground, roots)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seeds)
def test_decisions_are_proven(seed):
    """All but the last root, of which two parts may share a choice."""
    ground, roots = decision_graph(seed, faults=0)
    assert direct_circuit(ground, roots[:-1]) is not None


X, Y, Z = (0, 0), (1, 0), (2, 0)  # first values of three choices of two values
NOT_X, NOT_Y = (0, 1), (1, 1)


def formula(*terms):
    """Gates of a formula: tuples are atoms, lists start with conj or disj; the root's number last."""
    gates, numbers = {}, {}

    def number(term):
        key = str(term)
        if key not in numbers:
            gate = ("atom", term) if isinstance(term, tuple) else (term[0], tuple(map(number, term[1:])))
            numbers[key] = len(gates) + 1
            gates[numbers[key]] = gate
        return numbers[key]

    return gates, [[number(term)] for term in terms]


LOW, HIGH = ["disj", (0, 0), (0, 1)], ["disj", (0, 1), (0, 2)]  # overlapping values of a larger choice


@pytest.mark.parametrize(
    ("term", "proven", "count"),
    [
        (["conj", X, Y, Z], True, 1),
        (["conj", X, NOT_X], True, 0),
        (["disj", X, NOT_X], True, 8),
        (["disj", X, Y], False, 6),
        (["disj", X, ["conj", NOT_X, Y]], True, 6),
        (["disj", ["conj", X, Y], ["conj", X, Z]], False, 3),
        (["disj", ["conj", X, Y, Z], ["conj", X, NOT_Y, Z]], True, 2),
        (["conj", X, ["disj", X, ["conj", NOT_X, Y]]], False, 4),
        (["conj", ["disj", Y, NOT_Y], X], True, 4),
        (["conj", Z, ["disj", X, ["conj", NOT_X, Y]]], True, 3),
        # one gate in both factors, and different gates over one choice
        (["conj", ["disj", X, ["conj", NOT_X, Y]], ["disj", X, ["conj", NOT_X, Y]]], True, 6),
        (["conj", ["disj", X, ["conj", NOT_X, Y]], ["disj", X, ["conj", NOT_X, Z]]], False, 5),
        # parts exclude each other because parts of theirs do
        (["disj", ["conj", Z, ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]]],
          ["conj", (2, 1), ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]]]], True, 4),
        (["disj", ["conj", Z, ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]]],
          ["conj", (2, 1), ["disj", X, ["conj", NOT_X, Y]]]], True, 5),
        (["disj", ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]],
          ["disj", ["conj", X, NOT_Y], ["conj", NOT_X, Y]]], True, 8),
        (["disj", ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]],
          ["disj", ["conj", X, NOT_Y], ["conj", NOT_X, NOT_Y, Z]]], False, 6),
        (["disj", ["conj", X, Y], ["conj", X, Y], ["conj", NOT_X, Z]], True, 4),
        (["disj", ["disj", ["conj", X, Y], ["conj", NOT_X, NOT_Y]],
          ["disj", ["conj", NOT_X, NOT_Y], ["conj", X, NOT_Y]]], False, 6),
    ],
)  # fmt: skip
def test_proofs_of_small_formulas(term, proven, count):
    gates, roots = formula(term)
    ground = ground_of((2, 2, 2), gates)
    circuit = direct_circuit(ground, roots)
    assert (circuit is not None) == proven
    for found in filter(None, (circuit, diagram_circuit(ground, roots))):
        assert found.counts() == [count]
        assert_is_right(found, ground, roots)


@pytest.mark.parametrize(
    ("term", "proven", "count"),
    [
        (["conj", LOW, HIGH], True, 4),
        (["disj", LOW, HIGH], True, 12),
        (["disj", ["conj", LOW, Y], ["conj", HIGH, Y]], False, 6),
        (["disj", ["conj", LOW, Y], ["conj", HIGH, Y], ["conj", Z, NOT_Y]], False, 9),
        (["disj", ["conj", LOW, Y], ["conj", HIGH, NOT_Y]], True, 8),
        (["disj", ["conj", LOW, Y], ["conj", (0, 2), Z]], True, 6),
    ],
)  # fmt: skip
def test_proofs_with_several_values_of_one_choice(term, proven, count):
    gates, roots = formula(term)
    ground = ground_of((3, 2, 2), gates)
    circuit = direct_circuit(ground, roots)
    assert (circuit is not None) == proven
    for found in filter(None, (circuit, diagram_circuit(ground, roots))):
        assert found.counts() == [count]


def test_negations_of_single_choices_are_proven_others_not():
    gates, _ = formula(["disj", (0, 0), (0, 1)], ["conj", X, Y])
    ground = ground_of((4, 2), gates)
    atom, several, both = 1, 3, 5
    assert gates[several][0] == "disj"
    assert gates[both][0] == "conj"
    for roots, count in (
        ([[-atom]], 6),
        ([[-several]], 4),
        ([[several, -atom]], 2),
        ([[-several, several]], 0),
    ):
        assert direct_circuit(ground, roots).counts() == diagram_circuit(ground, roots).counts() == [count]
    assert direct_circuit(ground, [[-both]]) is None
    assert diagram_circuit(ground, [[-both]]).counts() == [7]


def test_true_and_false_roots_and_programs_without_choices():
    ground = ground_of((2, 3), {})
    for compile_ in (direct_circuit, diagram_circuit):
        assert compile_(ground, [[0], [None], [0, None], [0, 0]]).counts() == [6, 0, 0, 6]
        assert compile_(ground_of((), {}), [[0], [None]]).counts() == [1, 0]


def test_a_class_that_is_the_only_one_cannot_be_false():
    """A choice of one value that is negated below a gate."""
    gates, roots = formula(["disj", ["conj", (0, 0), (1, 0)], ["conj", (0, 0), (2, 1)]])
    ground = ground_of((1, 2, 2), gates)
    assert diagram_circuit(ground, [*roots, [-roots[0][0]]]).counts() == [3, 1]


@pytest.mark.parametrize(("size", "proven"), [(190, True), (220, False)])
def test_long_proofs_are_given_up(size, proven):
    """Three groups, any two of which exclude each other by another choice: all pairs are compared."""
    groups = ([(0, 0), (1, 0)], [(0, 1), (2, 0)], [(1, 1), (2, 1)])
    terms = [["conj", *group, (3 + g, k)] for g, group in enumerate(groups) for k in range(size)]
    gates, roots = formula(["disj", *terms])
    circuit = direct_circuit(ground_of([2, 2, 2, size, size, size], gates), roots)
    assert (circuit is not None) == proven
    assert circuit is None or circuit.counts() == [6 * size**3]


@pytest.mark.parametrize("name", CASES)
def test_shipped_programs_are_evaluated_as_they_stand(name):
    compiled = shipped(name).compiled
    assert compiled.method == "ground"
    if name not in ("sum_of_many", "noisy_addition"):
        counts = {answer: len(readings) for answer, readings in CASES[name].answers().items()}
        answers = [", ".join(answer) or "True" for answer in compiled.answers]
        assert dict(zip(answers, compiled.circuit.counts(), strict=True)) == counts


@pytest.mark.parametrize(
    ("rules", "method", "count"),
    [
        ("p(X, Y) :- digit(X, A), digit(Y, B), A < B.", "ground", 6),
        ("p(X, Y) :- \\+ same(X, Y).\nsame(X, Y) :- digit(X, A), digit(Y, A).", "sdd", 12),
        ("p(X, Y) :- \\+ digit(X, 0), digit(Y, 0).", "ground", 3),
        ("p(X, Y) :- \\+ low(X), \\+ low(Y).\nlow(X) :- digit(X, 0).\nlow(X) :- digit(X, 1).", "ground", 4),
        ("p(X, Y) :- digit(X, 1).\np(X, Y) :- digit(Y, 2).", "sdd", 7),
        ("p(X, Y) :- digit(X, 1).\np(X, Y) :- \\+ digit(X, 1), digit(Y, 2).", "ground", 7),
        ("p(X, Y) :- digit(X, A), digit(Y, B), (A = B ; A < B).", "ground", 10),
        ("p(X, Y) :- digit(X, A), A < 2, digit(Y, 0).\np(X, Y) :- digit(X, A), A > 0, digit(Y, 0).",
         "ground", 4),
        ("p(X, Y) :- path(X, Y).\npath(X, Y) :- e(X, Y).\npath(X, Y) :- e(X, m), path(m, Y).\n"
         "e(X, Y) :- digit(X, A), digit(Y, A).", "sdd", 16),
        ("p(X, Y, Z) :- le(X, Y), le(Y, Z).\nle(X, Y) :- digit(X, A), digit(Y, B), A =< B.", "sdd", 20),
        ("p(X, Y, Z) :- digit(X, A), digit(Y, B), A =< B, digit(Z, C), B =< C.", "ground", 20),
        ("p(X, Y) :- r(X, 0), r(Y, 1).\nr(X, N) :- digit(X, D), N is D mod 2.", "ground", 4),
        ("p(X) :- digit(X, 1), coin.\n0.5 :: coin.", "ground", 1),
        ("p(X) :- digit(X, 1), a(N), b(N).\n0.2 :: a(1); 0.3 :: a(2).\n0.5 :: b(1); 0.5 :: b(2).",
         "ground", 2),
        ("p(X) :- coin, digit(X, 1).\np(X) :- coin, digit(X, 2).\n"
         "p(X) :- \\+ coin, digit(X, 2).\n0.5 :: coin.", "ground", 3),
        ("p(X) :- digit(X, 1).\nevidence(digit(i, 2)).", "ground", 1),
        ("p(X) :- digit(X, 1), e(i).\ne(I) :- digit(I, 2).\ne(I) :- digit(I, 3).\nevidence(e(i)).",
         "ground", 2),
    ],
)  # fmt: skip
def test_method_of_small_programs(rules, method, count):
    circuit = circuit_of(DIGITS + rules, "p(X)" if "p(X) " in rules else None)
    assert (circuit.compiled.method, circuit.compiled.circuit.counts()[0]) == (method, count)


def test_chains_stay_small():
    """What carries on from one image to the next costs the same for each."""
    rules = "p([], 0).\np([X|Xs], S) :- p(Xs, R), digit(X, A), S is (R + A) mod 4.\n"
    sizes = []
    for length in (4, 8, 12):
        images = ", ".join(f"X{k}" for k in range(length))
        compiled = circuit_of(DIGITS + rules, f"p([{images}], S)").compiled
        assert compiled.method == "ground"
        assert compiled.circuit.counts() == [4 ** (length - 1)] * 4
        sizes.append(compiled.circuit.edges)
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0]


def test_unread_images_count_with_all_their_classes():
    compiled = circuit_of(
        DIGITS + "p(X, Y) :- digit(X, 1), q(Y).\nq(_).\nq(Y) :- fail, digit(Y, 0)."
    ).compiled
    assert [choice.inputs for choice in compiled.choices] == [("X",), ("Y",)]
    assert compiled.circuit.counts() == [4]
    assert math.prod(compiled.circuit.sizes) == 16
