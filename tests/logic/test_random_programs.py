"""Circuits of random programs against ProbLog, DeepProbLog, brute force and finite differences."""

import pytest
import torch
from deepproblog.engines import ExactEngine
from deepproblog.model import Model
from deepproblog.network import Network
from deepproblog.query import Query
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from possible_worlds import Worlds
from problog import get_evaluatable
from problog.logic import Term
from problog.program import PrologString
from prolog_terms import fixed, renamed
from random_programs import random_programs

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import read_program

NAMES = {"X": "x1", "Y": "x2"}
SAME = {"X": "x1", "Y": "x1"}


def quick(examples):
    """The same programs in every run; drawing one takes some 30 ms: its worlds are counted on the way."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=slow)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("random") / "program.pl"


def compiled(path, text, query=None):
    path.write_text(text)
    circuit = ConstraintCircuit(read_program(path, query), limits=None).double()
    assume(circuit.networks)  # a query that no network has a say in is nothing to train
    return circuit


def keys_of(circuit, names=NAMES):
    """For each network what the tables call its inputs."""
    images = [names.get(slot, slot) for slot in circuit.slots]
    return {
        name: [(name, tuple(images[slot] for slot in slots)) for slots in network.slots]
        for name, network in circuit.networks.items()
    }


def inputs_of(keys, *rows):
    """Tables as the circuit takes them, one for each row of the batch."""
    return {
        name: torch.stack([torch.stack([row[k] for k in own]) for row in rows]) for name, own in keys.items()
    }


def log_softmax(logits):
    return {key: values.log_softmax(-1) for key, values in logits.items()}


def brute_force(program, worlds, tables):
    """log P(answer | evidence) by the answer's symbols."""
    weights = worlds.log_weights(tables)
    evidence = weights[worlds.member(worlds.evidence)].logsumexp(0)
    possible = {
        atom: bits & worlds.evidence for atom, bits in worlds.answers[0].items() if bits & worlds.evidence
    }
    return {
        program.answer(atom): weights[worlds.member(bits)].logsumexp(0) - evidence
        for atom, bits in possible.items()
    }


def problog(program, tables, names=NAMES):
    """P(answer | evidence) by ProbLog, by the answer's symbols; None where it breaks down."""
    try:
        results = get_evaluatable().create_from(PrologString(program.problog(tables, names))).evaluate()
    except AssertionError:  # on some evidence about cycles
        return None
    return {program.answer(str(atom)): p for atom, p in results.items() if p > 1e-12}


def by_answer(circuit, row):
    """One row of the circuit's output by the answer's symbols."""
    return dict(zip(circuit.answers, row, strict=True)) if circuit.answers else {"": row}


def assert_equal_answers(found, expected, **tolerance):
    assert all(answer in expected or value == -torch.inf for answer, value in found.items())
    for answer, value in expected.items():
        torch.testing.assert_close(found[answer], torch.as_tensor(value, dtype=torch.float64), **tolerance)


@quick(60)
@given(random_programs())
def test_value_equals_problog_and_brute_force(path, program):
    circuit, worlds = compiled(path, program.text), program.worlds
    rows = [log_softmax(program.logits(row=row)) for row in range(3)]
    values = circuit(inputs_of(keys_of(circuit), *rows))
    assert values.shape == ((3, len(circuit.answers)) if circuit.answers else (3,))
    for tables, row in zip(rows, values, strict=True):
        assert_equal_answers(by_answer(circuit, row), brute_force(program, worlds, tables), atol=1e-6, rtol=0)
    found = {answer: value.exp() for answer, value in by_answer(circuit, values[0]).items()}
    exact = problog(program, rows[0])
    for answer in found.keys() | exact.keys() if exact is not None else ():
        assert torch.as_tensor(found.get(answer, 0)).item() == pytest.approx(
            exact.get(answer, 0), rel=1e-6, abs=1e-10
        )


@quick(30)
@given(random_programs(), st.sampled_from([1.5, 300.0]))
def test_gradient_equals_brute_force_and_finite_differences(path, program, scale):
    """At scale 300 probabilities go down to 1e-300 and far below: nothing may leave log space."""
    circuit, worlds, logits = compiled(path, program.text), program.worlds, program.logits(scale)
    keys = keys_of(circuit)

    def total(leaves):
        row = circuit(inputs_of(keys, log_softmax(leaves)))[0]
        return sum(value for value in by_answer(circuit, row).values() if value > -torch.inf)

    expected = brute_force(program, worlds, log_softmax(logits))
    (value, wanted), leaves = (total(logits), sum(expected.values())), list(logits.values())
    torch.testing.assert_close(value, wanted, atol=1e-5, rtol=1e-9)
    pairs = [
        torch.autograd.grad(v, leaves, allow_unused=True, materialize_grads=True) for v in (value, wanted)
    ]
    for gradient, other in zip(*pairs, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-6)
    if scale < 10:
        step = 1e-5
        for key, gradient in zip(logits, pairs[0], strict=True):
            for k in range(len(gradient)):
                up, down = (
                    {**logits, key: logits[key] + s * torch.eye(len(gradient))[k]} for s in (step, -step)
                )
                slope = (total(up) - total(down)) / (2 * step)
                torch.testing.assert_close(gradient[k], slope, atol=1e-7, rtol=1e-5)


class Lookup(torch.nn.Module):
    """A network whose images are the numbers of their names."""

    def __init__(self, network, tables, images):
        super().__init__()
        self.network, self.tables, self.images = network, tables, images

    def forward(self, *numbers):
        probabilities = self.tables[self.network.name, tuple(self.images[int(n)] for n in numbers)].exp()
        return probabilities[1:] if self.network.kind == "fact" else probabilities


def deepproblog(program, tables, names=NAMES):
    """Probabilities by DeepProbLog's exact engine, its cache off, by the answer's symbols."""
    images = list(dict.fromkeys(image for _, inputs in tables for image in inputs))
    terms = {image: f"tensor(images({k}))" for k, image in enumerate(images)}
    lines = [line for line in program.text.splitlines() if not line.startswith("query(")]
    networks = [Network(Lookup(network, tables, images), network.name) for network in program.networks]
    model = Model(renamed(fixed("\n".join(lines)), terms), networks, load=False)
    model.set_engine(ExactEngine(model), cache=False)
    model.add_tensor_source("images", [])
    model.tensor_sources["images"] = {
        (Term.from_string(str(k)),): torch.tensor(k) for k in range(len(images))
    }
    query = Term.from_string(renamed(renamed(program.query, names), terms))
    (result,) = model.solve([Query(query)])
    return {program.answer(str(atom)): p for atom, p in result.result.items()}


@quick(20)
@given(random_programs(evidence=False))
def test_value_and_gradient_equal_deepproblog(path, program):
    circuit, logits = compiled(path, program.text), program.logits()
    row = circuit(inputs_of(keys_of(circuit), log_softmax(logits)))[0].exp()
    leaves = list(logits.values())
    found, expected = by_answer(circuit, row), deepproblog(program, log_softmax(logits))
    for answer in found.keys() | expected.keys():
        values = [torch.as_tensor(e.get(answer, 0.0), dtype=torch.float64) for e in (found, expected)]
        torch.testing.assert_close(*values, atol=1e-10, rtol=1e-6)
        if all(value.requires_grad for value in values):
            gradients = [
                torch.autograd.grad(v, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
                for v in values
            ]
            for gradient, other in zip(*gradients, strict=True):
                torch.testing.assert_close(gradient, other, atol=1e-7, rtol=1e-6)


@quick(50)
@given(random_programs(), st.integers(0, 99))
def test_marginals_and_most_probable_world_equal_brute_force(path, program, number):
    circuit, worlds = compiled(path, program.text), program.worlds
    keys, tables = keys_of(circuit), log_softmax(program.logits())
    expected = brute_force(program, worlds, tables)
    answer = list(expected)[number % len(expected)]
    atom = next(a for a in worlds.answers[0] if program.answer(a) == answer)
    holds = worlds.member(worlds.answers[0][atom] & worlds.evidence)
    chosen = torch.tensor([circuit.answers.index(answer)]) if circuit.answers else None
    inputs = inputs_of(keys, tables)

    weights = worlds.log_weights(tables)
    posterior = torch.where(holds, weights, -torch.inf).softmax(0)
    of_choice = {(c.network, c.inputs): worlds.values(k) for k, c in enumerate(worlds.choices) if c.network}
    marginals = circuit.marginals(inputs, answers=chosen)
    assert marginals.keys() == inputs.keys()
    for name, own in keys.items():
        torch.testing.assert_close(marginals[name].sum(-1), torch.ones(1, len(own), dtype=torch.float64))
        for key, found in zip(own, marginals[name][0], strict=True):
            wanted = tables[key].exp()  # where no world looks at the image
            if key in of_choice:
                wanted = torch.zeros_like(wanted).index_add(0, of_choice[key], posterior)
            torch.testing.assert_close(found, wanted.detach(), atol=1e-7, rtol=1e-6)

    best = circuit.most_probable(inputs, answers=chosen)
    torch.testing.assert_close(
        best.log_posterior, best.log_probability - weights[holds].logsumexp(0), atol=1e-6, rtol=0
    )
    low, high = bounds(worlds, tables, keys, holds)
    reached = holds.clone()
    for name, own in keys.items():
        for key, value in zip(own, best.classes[name][0], strict=True):
            if key in of_choice:
                reached &= of_choice[key] == value
            else:
                assert tables[key][value] == tables[key].max()
                low, high = low + tables[key][value], high + tables[key][value]
    assert low[holds].max() - 1e-6 <= best.log_probability.item() <= high[holds].max() + 1e-6
    assert low[reached].max() - 1e-6 <= best.log_probability.item() <= high[reached].max() + 1e-6


def bounds(worlds, tables, keys, holds):
    """Bounds of the log-probabilities of the worlds, ``(worlds,)``.

    Networks that the circuit does not read are summed over. Alternatives of a disjunction that make no
    difference, like those that the query never asks for, may stand for themselves or be taken together.
    """
    read = {key for own in keys.values() for key in own}
    ignored = {
        k: torch.ones(c.size, c.size, dtype=torch.bool)
        for k, c in enumerate(worlds.choices)
        if c.network and (c.network, c.inputs) not in read
    }
    alike = {k: worlds.alike(k) for k, c in enumerate(worlds.choices) if not c.network}
    return worlds.log_weights(tables, ignored).detach(), worlds.log_weights(
        tables, {**ignored, **alike}
    ).detach()


@quick(25)
@given(random_programs(slots=(2,)))
def test_one_image_in_two_slots_equals_problog_with_one_constant(path, program):
    text = program.text.replace(f"query({program.query}).", "")
    circuit = compiled(path, text, program.query)
    tables = log_softmax(program.logits())
    rows = [inputs_of(keys_of(circuit, names), tables) for names in (SAME, NAMES, SAME)]
    inputs = {name: torch.cat([row[name] for row in rows]) for name in circuit.networks}
    images = torch.tensor([[3, 3], [3, 4], [0, 0]])
    same, different = (
        brute_force(program, Worlds(program.instance(names)), tables) for names in (SAME, NAMES)
    )
    if not same or not same.keys() <= set(circuit.answers or [""]):
        with pytest.raises(UserError):
            circuit(inputs, images)
        return
    values = circuit(inputs, images)
    for row, expected in zip(values, (same, different, same), strict=True):
        assert_equal_answers(by_answer(circuit, row), expected, atol=1e-6, rtol=0)
    exact = problog(program, tables, SAME)
    for answer, value in same.items() if exact is not None else ():
        assert value.exp().item() == pytest.approx(exact.get(answer, 0), rel=1e-6, abs=1e-10)
