"""What circuits read: several networks, of one image or two, facts, constants, and what is refused."""

import copy
import math

import pytest
import torch
from small_programs import (
    ADD,
    DIGITS,
    LESS,
    LETTERS,
    brute_force,
    circuit_of,
    probability,
    random_log_probs,
    uniform,
)

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.klay_layers import KlayCircuit

TWO = DIGITS + LETTERS


def test_symbols_may_have_names_and_there_may_be_one_class():
    text = "nn(net, [X], Y, [rock, paper]) :: shows(X, Y).\nbeats(X, Y) :- shows(X, paper), shows(Y, rock)."
    circuit = circuit_of(text)
    assert circuit.networks["net"].domain == ("rock", "paper")
    log_probs = torch.tensor([[[0.3, 0.7], [0.1, 0.9]]]).log()
    assert probability(circuit, log_probs) == pytest.approx([0.07])
    is_a = "nn(net, [X], Y, [it]) :: is_a(X, Y).\n"
    single = circuit_of(is_a + "p(X, Y) :- is_a(X, A), is_a(Y, A).")
    assert single(torch.zeros(2, 2, 1)).tolist() == [0.0, 0.0]
    never = (
        is_a.replace("net", "it_net")
        + LESS
        + "\np(X, Y) :- \\+ q(X, Y).\nq(X, Y) :- is_a(X, it), less(X, Y)."
    )
    circuit = circuit_of(never)
    assert circuit.compiled.method == "sdd"
    assert probability(circuit, uniform(circuit)) == pytest.approx([10 / 16])


def test_neural_facts_take_both_classes_or_the_true_one():
    text = "nn(net, [X]) :: sun(X).\nsame(X, Y) :- sun(X), sun(Y).\nsame(X, Y) :- \\+ sun(X), \\+ sun(Y)."
    circuit = circuit_of(text)
    assert circuit.networks["net"].domain == ("false", "true")
    p = torch.tensor([[0.3, 0.9], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    wanted = p[:, 0] * p[:, 1] + (1 - p[:, 0]) * (1 - p[:, 1])
    torch.testing.assert_close(circuit(torch.stack([1 - p, p], 2).log()).exp(), wanted)
    torch.testing.assert_close(circuit(p.log().unsqueeze(2)).exp(), wanted)
    logits = torch.tensor([[[0.4], [-1.0]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: circuit(torch.nn.functional.logsigmoid(x)), logits)
    with pytest.raises(UserError, match=r"\(batch, 2, 2\) of net, not \(1, 2, 3\)"):
        circuit(torch.zeros(1, 2, 3))


def test_neural_facts_are_as_precise_near_one_as_near_zero():
    """Of log P(true) alone; the oracle is log(1 - e^x) in Python, by expm1 or log1p, whichever is exact."""
    sun = "nn(net, [X]) :: sun(X).\n"
    dark, bright = circuit_of(sun + "p(X) :- \\+ sun(X)."), circuit_of(sun + "p(X) :- sun(X).")
    known = [-1e-300, -1e-17, -1e-9, -0.5, -0.7, -5.0, -40.0, -800.0]
    wanted = [math.log(-math.expm1(x)) if x > -0.6 else math.log1p(-math.exp(x)) for x in known]
    slopes = [math.exp(x) / math.expm1(x) for x in known]
    log_p = torch.tensor(known, dtype=torch.float64, requires_grad=True)
    value = dark(log_p.view(-1, 1, 1))
    torch.testing.assert_close(value, torch.tensor(wanted, dtype=torch.float64), rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(value.sum(), log_p)
    torch.testing.assert_close(gradient, torch.tensor(slopes, dtype=torch.float64), rtol=1e-14, atol=0)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        edge = torch.tensor([0.0, -torch.finfo(dtype).tiny / 2, -math.inf], dtype=dtype, requires_grad=True)
        for circuit, first in ((dark, -math.inf), (bright, 0.0)):
            value = circuit(edge.view(-1, 1, 1))
            assert value[0] == first
            assert torch.autograd.grad(value.sum(), edge)[0].isfinite().all()
    half = torch.full((1, 1, 1), 0.5, dtype=torch.bfloat16).log()
    torch.testing.assert_close(dark(half), dark(half.float()))  # not computed in bf16


def test_networks_over_two_images():
    """Both orders are inputs of their own; of one image twice there is one input."""
    text = (
        "nn(net, [X, Y], C, [left, right]) :: side(X, Y, C).\np(X, Y) :- side(X, Y, left), side(Y, X, right)."
    )
    circuit = circuit_of(text)
    assert circuit.networks["net"].slots == ((0, 1), (1, 0))
    log_probs = torch.tensor([[[0.3, 0.7], [0.1, 0.9]], [[0.5, 0.5], [0.2, 0.8]]]).log()
    assert probability(circuit, log_probs) == pytest.approx([0.27, 0.4])
    either = circuit_of(text.replace("side(Y, X, right)", "side(Y, X, left)"))
    images = torch.tensor([[5, 5], [6, 5]])
    assert probability(either, log_probs, images) == pytest.approx([0.3, 0.1])
    marginals = either.marginals(log_probs, images)
    assert marginals[0].tolist() == [[1, 0], [1, 0]]
    triple = circuit_of("nn(net, [X, Y]) :: near(X, Y).\nchain(X, Y, Z) :- near(X, Y), near(Y, Z).")
    assert triple.networks["net"].slots == ((0, 1), (1, 2))
    assert probability(triple, torch.tensor([[[0.5], [0.25]]]).log()) == pytest.approx([0.125])
    unread = circuit_of(
        "nn(net, [X, Y]) :: near(X, Y).\np(X, Y, Z) :- near(X, Y).\np(X, Y, Z) :- fail, near(Y, Z)."
    )
    assert (unread.slots, unread.networks["net"].slots) == (("X", "Y", "Z"), ((0, 1),))
    assert probability(unread, torch.tensor([[[0.5]]]).log()) == pytest.approx([0.5])


def test_several_networks_are_given_by_name():
    circuit = circuit_of(TWO + "p(X, Y, Z) :- digit(X, 1), letter(Y, b), digit(Z, A), A > 1.")
    assert {name: n.slots for name, n in circuit.networks.items()} == {
        "net": ((0,), (2,)),
        "letters": ((1,),),
    }
    log_probs = {"letters": random_log_probs(1, 3, 1, 2), "net": random_log_probs(2, 3, 2, 4)}
    p, q = log_probs["net"].exp(), log_probs["letters"].exp()
    torch.testing.assert_close(circuit(log_probs).exp(), p[:, 0, 1] * q[:, 0, 1] * p[:, 1, 2:].sum(-1))
    marginals = circuit.marginals(log_probs)
    torch.testing.assert_close(marginals["net"][:, 1, 2], p[:, 1, 2] / p[:, 1, 2:].sum(-1))
    assert marginals["letters"].tolist() == [[[0, 1]]] * 3
    best = circuit.most_probable(log_probs)
    assert best.classes["letters"].tolist() == [[1]] * 3
    assert torch.equal(best.classes["net"][:, 1], 2 + p[:, 1, 2:].argmax(-1))


@pytest.mark.parametrize(
    ("log_probs", "words"),
    [
        (torch.zeros(1, 2, 4), r"names 2 networks \(net, letters\): give log-probabilities by name"),
        ({"net": torch.zeros(1, 1, 4)}, "needs log-probabilities of letters too"),
        ({"net": torch.zeros(1, 1, 4), "leters": torch.zeros(1, 1, 2)}, "unknown network 'leters'.*letters"),
        (
            {"net": torch.zeros(1, 2, 4), "letters": torch.zeros(1, 1, 2)},
            r"\(batch, 1, 4\) of net, not \(1, 2, 4\)",
        ),
        ({"net": torch.zeros(1, 1, 4), "letters": torch.zeros(1, 1, 1)}, r"\(batch, 1, 2\) of letters, not"),
        ({"net": torch.zeros(1, 4), "letters": torch.zeros(1, 1, 2)}, r"of net, not \(1, 4\)"),
        ({"net": torch.zeros(3, 1, 4), "letters": torch.zeros(2, 1, 2)}, "not 3 of net, 2 of letters: "),
        ({"net": torch.zeros(3, 1, 4), "letters": torch.zeros(0, 1, 2)}, "not 3 of net, 0 of letters: "),
    ],
)
def test_wrong_names_and_shapes_are_refused(log_probs, words):
    circuit = circuit_of(TWO + "p(X, Y) :- digit(X, 1), letter(Y, b).")
    for method in (circuit, circuit.marginals, circuit.most_probable):
        with pytest.raises(UserError, match=words):
            method(log_probs)


def test_queries_without_images_are_refused_when_they_are_evaluated():
    circuit = circuit_of(DIGITS + "p(X) :- digit(X, 1), coin.\n0.5 :: coin.", "coin")
    assert circuit.networks == {}
    with pytest.raises(UserError, match=r"the query coin of mine.pl reads no image"):
        circuit({})


def test_images_may_be_constants_of_the_program():
    circuit = circuit_of(DIGITS + "p(X) :- digit(X, A), digit(a, B), digit(b, A), B =\\= A.")
    assert (circuit.slots, circuit.networks["net"].slots) == (("X", "a", "b"), ((0,), (1,), (2,)))
    log_probs = random_log_probs(4, 3, 3, 4)
    wanted = brute_force(log_probs, [(x, a, x) for x in range(4) for a in range(4) if a != x])
    torch.testing.assert_close(circuit(log_probs), wanted)
    torch.testing.assert_close(circuit(log_probs, torch.tensor([[3], [4], [3]])), wanted)  # X is the one slot
    asked = circuit_of(ADD, 'add("one.png", "two.png", Z)')
    assert asked.slots == ('"one.png"', '"two.png"')
    torch.testing.assert_close(asked(log_probs[:, :2]), circuit_of(ADD)(log_probs[:, :2]))
    twice = circuit_of(ADD, 'add("one.png", "one.png", Z)')
    assert (twice.slots, twice.answers) == (('"one.png"',), ("0", "2", "4", "6"))


def test_the_network_is_not_asked_twice_about_one_image():
    """The answers would be independent in ProbLog, but an image has one reading."""
    text = DIGITS + "nn(net, [X], Y, [0, 1, 2, 3]) :: figure(X, Y).\np(X, Y) :- digit(X, 1), figure(Y, 1)."
    circuit = circuit_of(text)
    assert probability(circuit, uniform(circuit)) == pytest.approx([1 / 16])
    with pytest.raises(UserError, match=r"^mine.pl:2:1: net is asked twice about X"):
        circuit(uniform(circuit), torch.tensor([[0, 0]]))


def test_copies_and_moves_take_everything_along():
    circuit = circuit_of(ADD.replace("add(X", "t(0.2) :: lost.\nadd(X").replace("Z is", "\\+ lost, Z is"))
    fresh = copy.deepcopy(circuit)
    log_probs, images = random_log_probs(0, 2, 2, 4), torch.tensor([[0, 1], [2, 2]])
    value = circuit(log_probs, images)
    other = copy.deepcopy(circuit)
    torch.testing.assert_close(other(log_probs, images), value)
    other.probabilities.assign({"lost": 0.6})
    torch.testing.assert_close(other(log_probs, images), value + math.log(0.4 / 0.8))
    torch.testing.assert_close(circuit(log_probs, images), value)
    assert list(circuit.state_dict()) == ["probabilities.logits.0"]  # the program makes the rest again
    for moved in (other.to("meta"), fresh.double().to("meta")):
        moved._circuit((0, 0))  # met before and moved along, or met now and made where the others are
        tensors = [*moved.parameters(), *moved.buffers()]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
        assert moved(log_probs.to("meta")).device.type == "meta"
    klay = ConstraintCircuit(circuit.program, KlayCircuit, limits=None).to("meta")
    explaining = klay._circuit((0, 1)).explaining()
    assert {buffer.device.type for buffer in explaining.buffers()} == {"meta"}


def test_what_a_circuit_says_of_itself():
    circuit = circuit_of(TWO + "p(X, Y) :- letter(Y, b), coin, digit(X, 1), digit(i, 2).\n0.5 :: coin.")
    names = [(choice.kind, choice.name, choice.inputs) for choice in circuit.compiled.choices]
    assert sorted(names) == [
        ("constant", "", ()),
        ("network", "letters", ("Y",)),
        ("network", "net", ("X",)),
        ("network", "net", ("i",)),
    ]
    for network in ("net", "letters"):
        inputs = [circuit.compiled.choices[v].inputs for v in circuit.variables(network)]
        assert inputs == [tuple(circuit.slots[s] for s in slots) for slots in circuit.networks[network].slots]
    assert (circuit.nodes, circuit.certain) == (1, False)  # one product
