"""Values, gradients and marginals of circuits against closed forms, brute force, ProbLog and KLay."""

import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problog import get_evaluatable
from problog.program import PrologString
from shipped_cases import CASES, expected
from small_programs import DIGITS, SUMS, brute_force, circuit_of, probability, random_log_probs, shipped
from torch.nn.functional import one_hot

from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.diagram import diagram_circuit
from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.grounding import ground
from nesy_gedi.logic.klay_layers import KlayCircuit

CIRCUIT = shipped("addition")
seeds = st.integers(0, 2**31 - 1)


def test_addition_has_55_worlds_and_a_uniform_reader_loses_their_share():
    assert CIRCUIT.compiled.circuit.counts() == [55]
    assert CIRCUIT.compiled.circuit.sizes == (10, 10, 10)
    assert CIRCUIT.slots == ("X", "Y", "Z")
    assert CIRCUIT.networks["mnist_net"].slots == ((0,), (1,), (2,))
    assert CIRCUIT.nodes == 56  # 55 products and their sum
    assert CIRCUIT.certain
    assert not shipped("noisy_addition").certain
    readings = torch.full((2, 3, 10), 0.1).log()
    assert probability(CIRCUIT, readings) == pytest.approx([0.055] * 2, rel=1e-5)
    assert -CIRCUIT(readings)[0].item() == pytest.approx(2.900422, abs=1e-6)


def test_classes_of_the_addition_occur_as_they_do():
    """k stands (10 - k) / 55 of the times on either of the first images and (k + 1) / 55 on the third."""
    marginals = CIRCUIT.marginals(torch.zeros(2, 3, 10, dtype=torch.float64))
    k = torch.arange(10, dtype=torch.float64)
    wanted = torch.stack([10 - k, 10 - k, k + 1]) / 55
    torch.testing.assert_close(marginals, wanted.expand(2, 3, 10))
    torch.testing.assert_close(marginals.mean(1), ((21 - k) / 165).expand(2, 10))


def test_choices_exclude_their_values_while_diagrams_are_compiled():
    """Without that the addition has some 30,000 nodes."""
    grounded = ground(CIRCUIT.program, (0, 1, 2))
    circuit = diagram_circuit(grounded, [[root] for root in grounded.roots])
    assert circuit.counts() == [55]
    assert len(circuit.nodes) < 1000


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([0.1, 1.0, 10.0]))
def test_value_and_gradient_equal_brute_force(seed, batch, scale):
    log_probs = random_log_probs(seed, batch, 3, 10, scale=scale).requires_grad_()
    value, wanted_value = CIRCUIT(log_probs), brute_force(log_probs, SUMS)
    torch.testing.assert_close(value, wanted_value, atol=1e-10, rtol=1e-10)
    weight = torch.arange(1.0, batch + 1, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(value @ weight, log_probs)
    (wanted,) = torch.autograd.grad(wanted_value @ weight, log_probs)
    torch.testing.assert_close(gradient, wanted, atol=1e-10, rtol=1e-10)
    marginals = CIRCUIT.marginals(log_probs)
    torch.testing.assert_close(marginals * weight.view(-1, 1, 1), wanted, atol=1e-10, rtol=1e-10)


@settings(max_examples=3, deadline=None)
@given(seeds)
def test_value_equals_plain_problog(seed):
    log_probs = random_log_probs(seed, 1, 3, 10)
    rules = [line for line in CIRCUIT.program.source.text.splitlines() if not line.startswith(("nn(", "%"))]
    disjunctions = [
        "; ".join(f"{p:.17f}::digit({image}, {k})" for k, p in enumerate(row.tolist())) + "."
        for image, row in zip("xyz", log_probs[0].exp(), strict=True)
    ]
    text = "\n".join([*rules, *disjunctions, "query(addition(x, y, z))."])
    (wanted,) = get_evaluatable().create_from(PrologString(text)).evaluate().values()
    assert probability(CIRCUIT, log_probs) == pytest.approx([wanted], rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_shipped_programs_equal_brute_force(name):
    case, circuit = CASES[name], shipped(name)
    for seed in range(3):
        weights = np.random.default_rng(seed).dirichlet(np.full(len(case.domain), 0.5), size=case.width)
        rows = dict(zip(case.slots.split(), torch.from_numpy(weights).log(), strict=True))
        log_probs = {
            network: torch.stack([rows[circuit.slots[slot].lower()] for (slot,) in inputs.slots]).unsqueeze(0)
            for network, inputs in circuit.networks.items()
        }
        found = dict(
            zip(circuit.answers or ["True"], circuit(log_probs).exp().flatten().tolist(), strict=True)
        )
        assert found == pytest.approx(expected(name, weights), rel=1e-6)


def test_gradient_equals_finite_differences():
    logits = torch.randn(2, 3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = torch.tensor([[0, 1, 2], [3, 3, 4]])
    assert torch.autograd.gradcheck(lambda x: CIRCUIT(x.log_softmax(-1)), logits.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: CIRCUIT(x.log_softmax(-1), images), logits)


@pytest.mark.parametrize("scale", [50.0, 500.0])
@pytest.mark.parametrize("signs", [[1, 1, 1], [1, -1, 1], [-1, 1, -1]])
def test_extreme_logits_have_exact_values_and_finite_gradients(scale, signs):
    """Among them 9 + 9 = 9, all three certain: one of them has to be read as something else."""
    readings = torch.tensor([[a, b, 9] for a in (0, 4, 9) for b in (0, 4, 9)])
    logits = one_hot(readings, 10) * scale * torch.tensor(signs).view(1, 3, 1)
    logits.requires_grad_()
    value = CIRCUIT(logits.log_softmax(-1))
    torch.testing.assert_close(value.double(), brute_force(logits.double().log_softmax(-1), SUMS))
    value.sum().backward()
    assert logits.grad.isfinite().all()


def test_certain_readings_have_no_nan():
    worlds = torch.tensor([[1, 2, 3], [1, 2, 4], [0, 0, 0]])
    log_probs = certain(worlds, 10).requires_grad_()
    value = CIRCUIT(log_probs)
    assert value.tolist() == [0.0, -math.inf, 0.0]
    (gradient,) = torch.autograd.grad(value[[0, 2]].sum(), log_probs)
    possible = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])
    torch.testing.assert_close(gradient, one_hot(worlds, 10) * possible)
    assert torch.autograd.grad(CIRCUIT(log_probs).sum(), log_probs)[0].isfinite().all()
    torch.testing.assert_close(CIRCUIT.marginals(log_probs), one_hot(worlds, 10) * possible)
    best = CIRCUIT.most_probable(log_probs)
    assert best.log_probability.tolist() == [0.0, -math.inf, 0.0]
    assert best.log_posterior.tolist() == [0.0, -math.inf, 0.0]
    assert torch.equal(best.classes["mnist_net"][[0, 2]], worlds[[0, 2]])


def test_numbers_are_computed_in_float32_at_least():
    log_probs = random_log_probs(0, 4, 3, 10).to(torch.bfloat16).requires_grad_()
    value = CIRCUIT(log_probs)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, CIRCUIT(log_probs.float()))
    assert torch.autograd.grad(value.sum(), log_probs)[0].dtype == torch.bfloat16
    assert CIRCUIT(log_probs.double()).dtype == torch.float64
    noisy = circuit_of(DIGITS + "1/3 :: n.\np(X) :- digit(X, 1), n.")
    tiny = torch.full((1, 1, 4), -700.0, dtype=torch.float64)
    assert noisy(tiny).item() == pytest.approx(-700 - math.log(3), rel=1e-15)


@pytest.mark.parametrize(
    ("rules", "slots", "holds"),
    [
        ("even(X, Y, Z) :- digit(X, A), digit(Y, B), digit(Z, C), 0 is (A + B + C) mod 2.", 3,
         lambda a, b, c: (a + b + c) % 2 == 0),
        ("less(X, Y) :- digit(X, A), digit(Y, B), A < B.", 2, lambda a, b: a < b),
        ("unlike(X, Y) :- \\+ same(X, Y).\nsame(X, Y) :- digit(X, A), digit(Y, A).", 2,
         lambda a, b: a != b),
        ("either(X, Y) :- digit(X, 1).\neither(X, Y) :- digit(Y, 2).", 2, lambda a, b: a == 1 or b == 2),
        ("late(X, Y) :- digit(Y, A), digit(X, B), step(A, B).\nstep(0, 2).\nstep(A, B) :- A > 1, B is A - 1.",
         2, lambda a, b: (b == 0 and a == 2) or (b > 1 and a == b - 1)),
        ("high(X) :- digit(X, A), A >= 2.", 1, lambda a: a >= 2),
        ("any(X) :- digit(X, _).", 1, lambda a: True),
        ("one(X) :- digit(X, 3).", 1, lambda a: a == 3),
        ("path(X, Y, Z, W) :- le(X, Y), le(Y, Z), le(Z, W).\nle(X, Y) :- digit(X, A), digit(Y, B), A =< B.",
         4, lambda a, b, c, d: a <= b <= c <= d),
        ("query(free(X, Y)). free(X, _) :- digit(X, 2).\nfree(_, Y) :- fail, digit(Y, 0).", 2,
         lambda a, b: a == 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("evaluator", [None, KlayCircuit])
def test_other_programs_equal_brute_force(rules, slots, holds, evaluator):
    circuit = circuit_of(DIGITS + rules, **({"evaluator": evaluator} if evaluator else {}))
    worlds = [w for w in product(range(4), repeat=slots) if holds(*w)]
    assert circuit.compiled.circuit.counts() == [len(worlds)]
    log_probs = random_log_probs(slots, 5, slots, 4).requires_grad_()
    value, wanted_value = circuit(log_probs), brute_force(log_probs, worlds)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if evaluator else {"atol": 1e-12, "rtol": 1e-12}  # KLay: float32
    torch.testing.assert_close(value.double(), wanted_value, **tolerance)
    (gradient,) = torch.autograd.grad(value.sum(), log_probs)
    (wanted,) = torch.autograd.grad(wanted_value.sum(), log_probs)
    read = wanted[0].sum(-1) > 1 - 1e-9  # KLay gives no gradient to what is summed over
    torch.testing.assert_close(gradient[:, read], wanted[:, read], **tolerance)


@pytest.mark.parametrize(
    ("disjunction", "values"),
    [
        ("0.5 :: a; 0.4999999999 :: b", 3),
        ("0.5 :: a; 0.5 :: b", 2),
        ("; ".join(["0.1 :: a", "0.1 :: b", *(f"0.1 :: c({k})" for k in range(8))]), 10),
        ("; ".join(["1/19 :: a", "1/19 :: b", *(f"1/19 :: c({k})" for k in range(17))]), 19),
    ],
)
def test_a_small_rest_is_none_of_the_alternatives_but_rounding_is_not(disjunction, values):
    """As plain ProbLog has it, for which \\+ a, \\+ b has the probability of all others."""
    rules = disjunction + ".\np(X, yes) :- digit(X, 1), a.\np(X, no) :- digit(X, 1), \\+ a, \\+ b."
    others = "".join(f"\np(X, other) :- digit(X, 1), c({k})." for k in range(values - 2) if values > 3)
    circuit = circuit_of(DIGITS + rules + others)
    assert {choice.size for choice in circuit.compiled.choices if choice.kind == "constant"} == {values}
    plain = "digit(x, 1).\n" + rules + others + "\nquery(p(x, Z))."
    wanted = get_evaluatable().create_from(PrologString(plain)).evaluate()
    wanted = {str(query.args[1]): float(p) for query, p in wanted.items() if p > 1e-15}
    value = circuit(torch.zeros(1, 1, 4, dtype=torch.float64))[0].exp()
    assert dict(zip(circuit.answers, value.tolist(), strict=True)) == pytest.approx(wanted, rel=1e-4)


def test_editing_the_program_changes_the_constraint():
    product_of = circuit_of(CIRCUIT.program.source.text.replace("A + B", "A * B"))
    worlds = [(a, b, a * b) for a in range(10) for b in range(10) if a * b < 10]
    log_probs = random_log_probs(0, 3, 3, 10)
    torch.testing.assert_close(product_of(log_probs), brute_force(log_probs, worlds))


def test_slots_may_be_met_in_any_order():
    log_probs = random_log_probs(1, 3, 3, 10)
    wanted = CIRCUIT(log_probs)
    for order in permutations("XYZ"):
        head = f"addition({', '.join(order)})"
        circuit = circuit_of(CIRCUIT.program.source.text.replace("addition(X, Y, Z)", head))
        assert circuit.slots == order
        torch.testing.assert_close(circuit(log_probs[:, ["XYZ".index(v) for v in order]]), wanted)


@pytest.mark.parametrize("name", ["addition", "labelled_addition", "multi_addition", "noisy_addition"])
def test_klay_gives_the_same_values_and_gradients(name):
    ours = shipped(name)
    theirs = ConstraintCircuit(ours.program, KlayCircuit, limits=None)
    log_probs = {
        network: random_log_probs(1, 20, len(n.slots), n.classes, scale=2.0).float().requires_grad_()
        for network, n in ours.networks.items()
    }
    labels = torch.arange(20) % max(1, len(ours.answers))
    values = [circuit(log_probs, answers=labels) for circuit in (ours, theirs)]
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(value.sum(), list(log_probs.values())) for value in values]
    for pair in zip(*gradients, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        theirs.marginals(log_probs, answers=labels), ours.marginals(log_probs, answers=labels)
    )
