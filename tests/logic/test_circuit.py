import math
from itertools import permutations, product

import klay
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problog import get_evaluatable
from problog.program import PrologString

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.diagram import compile_diagram
from nesy_gedi.logic.program import read_program
from nesy_gedi.resources import resource

ADDITION = read_program(resource("programs", "addition.pl"))
CIRCUIT = ConstraintCircuit(ADDITION, classes=10)
SUMS = [(a, b, a + b) for a in range(10) for b in range(10 - a)]
seeds = st.integers(0, 2**31 - 1)


def random_log_probs(seed, *shape, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=dtype)).log_softmax(-1)


def brute_force(log_probs, worlds):
    """log of the summed probability of the worlds, one after the other."""
    rows = [[sum(row[s, k] for s, k in enumerate(world)) for world in worlds] for row in log_probs]
    return torch.stack([torch.logsumexp(torch.stack(row), 0) for row in rows])


def circuit_of(tmp_path, text):
    path = tmp_path / "mine.pl"
    path.write_text(text)
    return ConstraintCircuit(read_program(path))


def test_addition_has_55_worlds_and_a_uniform_reader_loses_their_share():
    assert (CIRCUIT.slots, CIRCUIT.classes) == (3, 10)
    uniform = torch.full((2, 3, 10), 0.1).log()
    assert CIRCUIT(uniform).exp().tolist() == pytest.approx([0.055] * 2, rel=1e-5)
    assert -CIRCUIT(uniform)[0].item() == pytest.approx(2.900422, abs=1e-6)
    worlds = CIRCUIT.satisfying_worlds()
    assert worlds.dtype == torch.bool
    assert worlds.shape == (10, 10, 10)
    assert sorted(map(tuple, worlds.nonzero().tolist())) == SUMS


def test_constraint_is_conjoined_before_export():
    diagram = compile_diagram(ADDITION, (0, 1, 2))
    assert diagram.size() < 1000  # 32,437 without
    assert diagram.global_model_count() == 55


def test_digit_marginal_of_the_worlds():
    counts = CIRCUIT.satisfying_worlds().nonzero().flatten().bincount()
    assert counts.tolist() == [21 - k for k in range(10)]
    assert counts.sum() == 165


def test_exactly_two_digit_maps_satisfy_every_sum():
    """Search the maps d with d(a) + d(b) = d(a + b) for all sums, by the table alone."""
    worlds = CIRCUIT.satisfying_worlds()

    def extend(digits):
        n = len(digits)
        if n == 10:
            return [digits]
        found = []
        for value in range(10):
            d = [*digits, value]
            if all(worlds[d[a], d[b], d[c]] for a, b, c in SUMS if max(a, b, c) == n):
                found += extend(d)
        return found

    assert extend([]) == [[0] * 10, list(range(10))]


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from([0.1, 1.0, 10.0]))
def test_value_and_gradient_equal_brute_force(seed, batch, scale):
    log_probs = random_log_probs(seed, batch, 3, 10, scale=scale).requires_grad_()
    value, expected = CIRCUIT(log_probs), brute_force(log_probs, SUMS)
    torch.testing.assert_close(value, expected, atol=1e-10, rtol=1e-10)
    weight = torch.arange(1.0, batch + 1, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(value @ weight, log_probs)
    (wanted,) = torch.autograd.grad(expected @ weight, log_probs)
    torch.testing.assert_close(gradient, wanted, atol=1e-10, rtol=1e-10)


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_value_equals_plain_problog(seed):
    log_probs = random_log_probs(seed, 1, 3, 10)
    rules = [line for line in ADDITION.source.text.splitlines() if not line.startswith(("nn(", "%"))]
    disjunctions = [
        "; ".join(f"{p:.17f}::digit({image}, {k})" for k, p in enumerate(row.tolist())) + "."
        for image, row in zip("xyz", log_probs[0].exp(), strict=True)
    ]
    text = "\n".join([*rules, *disjunctions, "query(addition(x, y, z))."])
    (expected,) = get_evaluatable().create_from(PrologString(text)).evaluate().values()
    assert CIRCUIT(log_probs).exp().item() == pytest.approx(expected, rel=1e-9)


def test_layers_equal_klay():
    """The same diagram by KLay, with weight one for negative literals."""
    circuit = klay.Circuit()
    circuit.add_sdd(compile_diagram(ADDITION, (0, 1, 2)))
    module = circuit.to_torch_module(semiring="log", compile=False)
    log_probs = random_log_probs(1, 20, 3, 10, scale=3.0, dtype=torch.float32).requires_grad_()
    theirs = module(log_probs.flatten(1), torch.zeros(20, 30))[:, 0]
    ours = CIRCUIT(log_probs)
    torch.testing.assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad(ours.sum(), log_probs)
    (wanted,) = torch.autograd.grad(theirs.sum(), log_probs)
    torch.testing.assert_close(gradient, wanted)


def test_gradient_equals_finite_differences():
    logits = torch.randn(2, 3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = torch.tensor([[0, 1, 2], [3, 3, 4]])
    assert torch.autograd.gradcheck(lambda x: CIRCUIT(x.log_softmax(-1)), logits.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: CIRCUIT(x.log_softmax(-1), images), logits)


def test_same_image_twice_is_one_reading():
    generator = torch.Generator().manual_seed(3)
    images = torch.tensor([[0, 1, 2], [3, 3, 4], [5, 6, 7], [5, 6, 5], [1, 2, 2], [7, 7, 7], [4, 4, 0]])
    posterior = torch.randn(8, 10, generator=generator, dtype=torch.float64).log_softmax(-1)
    table = posterior.clone().requires_grad_()
    value = CIRCUIT(table[images], images)

    def shared(pool):
        rows = []
        for row in images.tolist():
            worlds = [w for w in SUMS if all(w[s] == w[row.index(i)] for s, i in enumerate(row))]
            # each image counts once, however often it stands there
            terms = [sum(pool[i, w[row.index(i)]] for i in dict.fromkeys(row)) for w in worlds]
            rows.append(torch.logsumexp(torch.stack(terms), 0))
        return torch.stack(rows)

    expected = shared(table)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value.sum(), table)
    (wanted,) = torch.autograd.grad(expected.sum(), table)
    torch.testing.assert_close(gradient, wanted)
    independent = CIRCUIT(table[images])
    repeated = torch.tensor([len(set(row)) < 3 for row in images.tolist()])
    assert ((value - independent).abs() > 1e-3).tolist() == repeated.tolist()


@pytest.mark.parametrize("scale", [50.0, 500.0])
@pytest.mark.parametrize("signs", [[1, 1, 1], [1, -1, 1], [-1, 1, -1]])
def test_extreme_logits_have_exact_values_and_finite_gradients(scale, signs):
    """Among them 9 + 9 = 9, all three certain: one of them has to be read as something else."""
    readings = torch.tensor([[a, b, 9] for a in (0, 4, 9) for b in (0, 4, 9)])
    logits = torch.nn.functional.one_hot(readings, 10) * scale * torch.tensor(signs).view(1, 3, 1)
    logits.requires_grad_()
    value = CIRCUIT(logits.log_softmax(-1))
    torch.testing.assert_close(value.double(), brute_force(logits.double().log_softmax(-1), SUMS))
    value.sum().backward()
    assert logits.grad.isfinite().all()


def test_certain_readings_have_no_nan():
    worlds = torch.tensor([[1, 2, 3], [1, 2, 4], [0, 0, 0]])
    log_probs = torch.nn.functional.one_hot(worlds, 10).float().log().requires_grad_()
    value = CIRCUIT(log_probs)
    assert value.tolist() == [0.0, -math.inf, 0.0]
    (gradient,) = torch.autograd.grad(value[[0, 2]].sum(), log_probs)
    torch.testing.assert_close(
        gradient, torch.nn.functional.one_hot(worlds, 10) * torch.tensor([[[1.0]], [[0.0]], [[1.0]]])
    )
    assert torch.autograd.grad(CIRCUIT(log_probs).sum(), log_probs)[0].isfinite().all()


def test_bfloat16_is_computed_in_float32():
    log_probs = random_log_probs(0, 4, 3, 10).to(torch.bfloat16).requires_grad_()
    value = CIRCUIT(log_probs)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, CIRCUIT(log_probs.float()))
    assert torch.autograd.grad(value.sum(), log_probs)[0].dtype == torch.bfloat16


DIGITS = "nn(net, [X], Y, [0, 1, 2, 3]) :: digit(X, Y).\n"


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
    ],
)  # fmt: skip
def test_other_programs_equal_brute_force(tmp_path, rules, slots, holds):
    circuit = circuit_of(tmp_path, DIGITS + rules)
    worlds = [w for w in product(range(4), repeat=slots) if holds(*w)]
    table = circuit.satisfying_worlds()
    assert table.shape == (4,) * slots
    assert sorted(map(tuple, table.nonzero().tolist())) == worlds
    log_probs = random_log_probs(slots, 5, slots, 4).requires_grad_()
    value, expected = circuit(log_probs), brute_force(log_probs, worlds)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value.sum(), log_probs)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), log_probs)[0])


def test_named_symbols_and_one_class(tmp_path):
    text = "nn(net, [X], Y, [rock, paper]) :: shows(X, Y).\nbeats(X, Y) :- shows(X, paper), shows(Y, rock)."
    circuit = circuit_of(tmp_path, text)
    assert circuit.domain == ("rock", "paper")
    assert circuit.satisfying_worlds().nonzero().tolist() == [[1, 0]]
    single = circuit_of(tmp_path, "nn(net, [X], Y, [it]) :: is_a(X, Y).\np(X, Y) :- is_a(X, A), is_a(Y, A).")
    assert single(torch.zeros(2, 2, 1)).tolist() == [0.0, 0.0]


def test_editing_the_program_changes_the_constraint(tmp_path):
    product_of = circuit_of(tmp_path, ADDITION.source.text.replace("A + B", "A * B"))
    readings = [tuple(w) for w in product_of.satisfying_worlds().nonzero().tolist()]
    assert readings == [(a, b, a * b) for a in range(10) for b in range(10) if a * b < 10]


def test_slots_may_be_met_in_any_order(tmp_path):
    heads = [f"addition({', '.join(order)})" for order in permutations("XYZ")]
    for head in heads:
        circuit = circuit_of(tmp_path, ADDITION.source.text.replace("addition(X, Y, Z)", head))
        order = ["XYZ".index(v) for v in head[len("addition(") : -1].split(", ")]
        assert torch.equal(circuit.satisfying_worlds(), CIRCUIT.satisfying_worlds().permute(order))


def test_impossible_queries_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no reading of the images satisfies p/1 in .*mine.pl"):
        circuit_of(tmp_path, DIGITS + "p(X) :- digit(X, 7).")
    less = circuit_of(tmp_path, DIGITS + "less(X, Y) :- digit(X, A), digit(Y, B), A < B.")
    log_probs = random_log_probs(0, 2, 2, 4)
    with pytest.raises(UserError, match=r"less/2 .* one image in slots 1 and 2"):
        less(log_probs, torch.tensor([[0, 1], [2, 2]]))


def test_wrong_shapes_and_too_many_readings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\(batch, 3, 10\), not \(2, 3, 9\)"):
        CIRCUIT(torch.zeros(2, 3, 9))
    names = [f"X{i}" for i in range(11)]
    body = ", ".join(f"digit({name}, 1)" for name in names)
    circuit = circuit_of(tmp_path, DIGITS + f"ones({', '.join(names)}) :- {body}.")
    with pytest.raises(UserError, match=r"4\^11 readings"):
        circuit.satisfying_worlds()
