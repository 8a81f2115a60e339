"""Circuits of random programs against ProbLog, DeepProbLog, brute force and finite differences."""

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from possible_worlds import Worlds
from random_oracles import (
    bounds,
    brute_force,
    deepproblog,
    log_softmax,
    posterior,
    problog,
    satisfying,
    values_of,
)
from random_programs import NAMES, random_programs

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import read_program

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


def by_answer(circuit, row):
    """One row of the circuit's output by the answer's symbols."""
    return dict(zip(circuit.answers, row, strict=True)) if circuit.answers else {"": row}


def assert_equal_answers(found, expected, **tolerance):
    assert all(answer in expected or value == -torch.inf for answer, value in found.items())
    for answer, value in expected.items():
        torch.testing.assert_close(found[answer], torch.as_tensor(value, dtype=torch.float64), **tolerance)


@quick(100)
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
        value = float(found.get(answer, torch.zeros(())).detach())
        assert value == pytest.approx(exact.get(answer, 0), rel=1e-6, abs=1e-10)


@quick(60)
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


@quick(40)
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


@quick(90)
@given(random_programs(), st.integers(0, 99))
def test_marginals_and_most_probable_world_equal_brute_force(path, program, number):
    circuit, worlds = compiled(path, program.text), program.worlds
    keys, tables = keys_of(circuit), log_softmax(program.logits())
    expected = brute_force(program, worlds, tables)
    answer = list(expected)[number % len(expected)]
    holds, of_choice = satisfying(program, worlds, answer), values_of(worlds)
    chosen = torch.tensor([circuit.answers.index(answer)]) if circuit.answers else None
    inputs = inputs_of(keys, tables)
    torch.testing.assert_close(circuit(inputs, answers=chosen)[0], expected[answer], atol=1e-6, rtol=0)
    marginals = circuit.marginals(inputs, answers=chosen)
    assert marginals.keys() == inputs.keys()
    wanted = posterior(program, worlds, tables, answer)
    for name, own in keys.items():
        torch.testing.assert_close(marginals[name].sum(-1), torch.ones(1, len(own), dtype=torch.float64))
        torch.testing.assert_close(
            marginals[name][0], torch.stack([wanted[key] for key in own]), atol=1e-7, rtol=1e-6
        )
    if len(inputs) == 1:
        (alone,) = inputs.values()
        torch.testing.assert_close(circuit.marginals(alone, answers=chosen), marginals[name])

    best = circuit.most_probable(inputs, answers=chosen)
    satisfied = worlds.log_weights(tables)[holds].logsumexp(0, keepdim=True)
    torch.testing.assert_close(best.log_posterior, best.log_probability - satisfied, atol=1e-6, rtol=0)
    low, high = bounds(worlds, tables, {key for own in keys.values() for key in own})
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


@quick(40)
@given(random_programs(slots=(2,)))
def test_one_image_in_two_slots_equals_problog_with_one_constant(path, program):
    text = program.text.replace(f"query({program.query}).", "")
    circuit = compiled(path, text, program.query)
    tables = log_softmax(program.logits())
    keys = [keys_of(circuit, names) for names in (SAME, NAMES, SAME)]
    rows = [inputs_of(own, tables) for own in keys]
    inputs = {name: torch.cat([row[name] for row in rows]) for name in circuit.networks}
    for name, network in circuit.networks.items():
        if {(0,), (1,)} <= {*network.slots}:  # of two readings of one image, the first one counts
            inputs[name][0, network.slots.index((1,))] = tables[name, ("x2",)]
    images = torch.tensor([[3, 3], [3, 4], [0, 0]])
    worlds = Worlds(program.instance(SAME))
    same, different = brute_force(program, worlds, tables), brute_force(program, program.worlds, tables)
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
    answers = [next(iter(expected)) for expected in (same, different, same)]
    chosen = torch.tensor([circuit.answers.index(answer) for answer in answers]) if circuit.answers else None
    marginals, best = (f(inputs, images, chosen) for f in (circuit.marginals, circuit.most_probable))
    wanted = posterior(program, worlds, tables, answers[0])
    for name, own in keys[0].items():
        for k, key in enumerate(own):
            torch.testing.assert_close(marginals[name][0, k], wanted[key], atol=1e-7, rtol=1e-6)
            assert best.classes[name][0, k] == best.classes[name][0, own.index(key)]
