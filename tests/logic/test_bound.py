"""The constraint on given examples: every row with its own labels, by three ways of judging readings."""

from itertools import product

import pytest
import torch
from shipped_cases import CASES
from small_programs import ADD, DIGITS, circuit_of, random_log_probs, shipped

from nesy_gedi.logic import bound
from nesy_gedi.logic.bound import ExampleConstraint
from nesy_gedi.logic.examples import ExampleSource, Readings, certain


def drawn(circuit, count=20, seed=0):
    return ExampleSource(circuit).draw(count, torch.Generator().manual_seed(seed))


def one_of(readings, row):
    """A single example as log-probabilities by network, without the network that learns, and its answer."""
    return {name: classes[[row]] for name, classes in readings.observed.items()}, readings.answers[[row]]


@pytest.mark.parametrize("name", [name for name in CASES if name != "sudoku"])
def test_every_row_has_its_own_labels(name):
    circuit = shipped(name)
    readings = drawn(circuit)
    constraint = ExampleConstraint(circuit, readings)
    inputs = constraint.inputs
    rows = torch.tensor([3, 19, 3, 0, 7])
    log_posterior = random_log_probs(0, 5, len(inputs.slots), inputs.classes).requires_grad_()
    values = constraint(log_posterior, rows)
    expected = []
    for k, row in enumerate(rows.tolist()):
        observed, answer = one_of(readings, row)
        log_probs = {n: certain(c, circuit.networks[n].classes).double() for n, c in observed.items()}
        log_probs[constraint.network] = log_posterior[[k]]
        expected.append(circuit(log_probs, answers=answer))
    torch.testing.assert_close(values, torch.cat(expected))
    gradients = [torch.autograd.grad(v.sum(), log_posterior)[0] for v in (values, torch.cat(expected))]
    torch.testing.assert_close(*gradients)
    assert constraint(log_posterior.float(), rows).dtype == torch.float32


def test_another_engine_may_evaluate():
    circuit = circuit_of(ADD)
    readings, seen = drawn(circuit), []

    def evaluate(log_probs, answers):
        seen.append((set(log_probs), answers))
        return 2 * circuit(log_probs, answers=answers)

    rows, log_posterior = torch.tensor([5, 1]), random_log_probs(0, 2, 2, 4)
    value = ExampleConstraint(circuit, readings, evaluate)(log_posterior, rows)
    torch.testing.assert_close(value, 2 * ExampleConstraint(circuit, readings)(log_posterior, rows))
    ((names, answers),) = seen
    assert names == {"net"}
    assert torch.equal(answers, readings.answers[rows])


def test_examples_of_one_kind_have_equal_labels():
    circuit = shipped("multi_addition")
    readings = drawn(circuit, 300)
    constraint = ExampleConstraint(circuit, readings)
    labels = [tuple(row) for row in readings.observed["observed"].tolist()]
    assert len(constraint.kinds) == 300
    assert len(set(constraint.kinds.tolist())) == len(set(labels)) > 50
    assert len(set(zip(constraint.kinds.tolist(), labels, strict=True))) == len(set(labels))
    answers = drawn(shipped("labelled_addition"), 200)
    kinds = ExampleConstraint(shipped("labelled_addition"), answers).kinds
    assert (
        (kinds.unsqueeze(0) == kinds.unsqueeze(1))
        == (answers.answers.unsqueeze(0) == answers.answers.unsqueeze(1))
    ).all()
    assert ExampleConstraint(shipped("addition"), drawn(shipped("addition"))).kinds.tolist() == [0] * 20


def asked(constraint, count, seed=1):
    """Random readings for random examples, most of them wrong, and the right ones too."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(constraint.kinds), (count,), generator=generator)
    shape = (count, len(constraint.inputs.slots))
    return torch.randint(constraint.inputs.classes, shape, generator=generator), rows


WAYS = ["table", "bits"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in CASES if name != "noisy_addition"])
def test_satisfied_readings_are_those_of_the_program(name, way, monkeypatch):
    """Looked up in a table of all readings and labels, or judged 64 at once."""
    if way == "bits":
        monkeypatch.setattr(bound, "_MOST_READINGS", 1)
    case, circuit = CASES[name], shipped(name)
    readings = drawn(circuit, 100)
    constraint = ExampleConstraint(circuit, readings)
    guesses, rows = asked(constraint, 500)
    everything = torch.cat([guesses, readings.classes])
    rows = torch.cat([rows, torch.arange(100)])
    found = constraint.satisfied(everything, rows)
    assert found.dtype == torch.float64
    assert (constraint._table is None) == (way == "bits" or name == "sudoku")
    observed = [classes[rows] for classes in readings.observed.values()]
    labels = [circuit.answers[k] if circuit.answers else "True" for k in readings.answers[rows].tolist()]
    symbols = torch.cat([everything + case.domain[0], *observed], 1).tolist()
    assert found.tolist() == [
        str(case.answer(*row)) == label for row, label in zip(symbols, labels, strict=True)
    ]
    assert found[500:].min() == 1
    assert torch.equal(constraint.satisfied(everything, rows), found)


@pytest.mark.parametrize("way", WAYS)
def test_readings_of_a_program_with_noise_have_a_probability(way, monkeypatch):
    if way == "bits":
        monkeypatch.setattr(bound, "_MOST_READINGS", 1)
    circuit = shipped("noisy_addition")
    constraint = ExampleConstraint(circuit, drawn(circuit, 100))
    readings, rows = asked(constraint, 300)
    sums = [int(circuit.answers[k]) for k in constraint.answers[rows].tolist()]
    right = readings.sum(1) == torch.tensor(sums)
    assert constraint.satisfied(readings, rows).tolist() == pytest.approx(
        (0.2 / 19 + 0.8 * right).tolist(), rel=1e-5
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_every_observed_network_has_its_own_labels(noise, way, monkeypatch):
    if way == "bits":
        monkeypatch.setattr(bound, "_MOST_READINGS", 1)
    text = (
        "nn(observed_b, [K], V, [0, 1, 2]) :: known(K, V).\n"
        "nn(observed_a, [K], V, [low, high]) :: size(K, V).\n"
        "p(X, K, L, E) :- digit(X, A), N is A mod 3, known(K, N), known(L, A), called(A, S), size(E, S).\n"
        "called(A, low) :- A < 2.\ncalled(A, high) :- A >= 2.\n"
    )
    if noise:
        text = text.replace("digit(X, A),", "digit(X, A), \\+ lost,") + f"{noise} :: lost.\n"
    circuit = circuit_of(DIGITS + text, "p(X, K, L, E)")
    labels = torch.tensor([[a % 3, b, a // 2] for a, b in product(range(4), range(3))])
    observed = {"observed_b": labels[:, :2], "observed_a": labels[:, 2:]}
    rows, readings = torch.arange(12).repeat_interleave(4), torch.arange(4).repeat(12).unsqueeze(1)
    for names in (list(observed), list(observed)[::-1]):
        given = Readings(
            readings, {name: observed[name] for name in names}, torch.zeros(12, dtype=torch.long)
        )
        found = ExampleConstraint(circuit, given).satisfied(readings, rows)
        wanted = [1 - noise if a == row // 3 == row % 3 else 0 for row, a in product(range(12), range(4))]
        assert found.tolist() == pytest.approx(wanted)


def test_many_uncertain_readings_are_judged_in_parts():
    circuit = circuit_of(DIGITS + "0.25 :: coin.\np(X) :- digit(X, 1), coin.\np(X) :- digit(X, 2).")
    constraint = ExampleConstraint(circuit, drawn(circuit, 2))
    readings = torch.arange(45_000).unsqueeze(1) % 4
    found = constraint._judge(readings, torch.zeros(45_000, dtype=torch.long))
    torch.testing.assert_close(found, torch.tensor([0, 0.25, 1, 0], dtype=torch.float64).repeat(11_250))


@pytest.mark.parametrize("way", WAYS)
def test_evidence_and_constants_count_as_images(way, monkeypatch):
    if way == "bits":
        monkeypatch.setattr(bound, "_MOST_READINGS", 1)
    circuit = circuit_of(
        DIGITS + "p(X, Z) :- digit(X, A), digit(i, B), Z is A + B.\n"
        "e :- digit(i, 1).\ne :- digit(i, 2).\nevidence(e).",
        "p(X, Z)",
    )
    readings = Readings(torch.zeros(5, 2, dtype=torch.long), {}, torch.arange(5))  # the sums 1 to 5
    constraint = ExampleConstraint(circuit, readings)
    for row, (x, i) in product(range(5), product(range(4), repeat=2)):
        found = constraint.satisfied(torch.tensor([[x, i]]), torch.tensor([row]))
        assert found.tolist() == [float(x + i == row + 1 and i in (1, 2))]


def test_what_is_not_read_does_not_matter():
    circuit = circuit_of(DIGITS + "p(X, Y) :- digit(X, 1), q(Y).\nq(_).\nq(Y) :- fail, digit(Y, 0).")
    constraint = ExampleConstraint(circuit, drawn(circuit))
    readings = torch.tensor([[1, 0], [1, 3], [2, 0]])
    assert constraint.satisfied(readings, torch.zeros(3, dtype=torch.long)).tolist() == [1, 1, 0]
