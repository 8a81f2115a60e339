"""Learnable probabilities: values, gradients, what is constant in them, and learning them from data."""

import math

import pytest
import torch
from small_programs import DIGITS, circuit_of, program_of, random_log_probs, uniform

from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.parameters import LearnableProbabilities

NOISE = (
    DIGITS
    + "t(0.2) :: noise.\np(X, A) :- digit(X, A), \\+ noise.\np(X, B) :- noise, digit(X, A), B is 3 - A.\n"
)


def parameters_of(text):
    return LearnableProbabilities(program_of(DIGITS + text + "\np(X) :- digit(X, 1).", "p(X)").parameters)


def values_of(text):
    return [values.exp().tolist() for values in parameters_of(text).log_probabilities()]


@pytest.mark.parametrize(
    ("text", "values", "described"),
    [
        ("t(0.2) :: a.", [0.2, 0.8], {"a": 0.2}),
        ("t(1/3) :: a.", [1 / 3, 2 / 3], {"a": 1 / 3}),
        ("t(_) :: a.", [0.5, 0.5], {"a": 0.5}),
        ("t(0.2) :: a; t(0.3) :: b.", [0.2, 0.3, 0.5], {"a": 0.2, "b": 0.3}),
        ("t(0.25) :: a; t(0.75) :: b.", [0.25, 0.75], {"a": 0.25, "b": 0.75}),
        ("t(_) :: a; t(_) :: b.", [1 / 3, 1 / 3, 1 / 3], {"a": 1 / 3, "b": 1 / 3}),
        ("t(0.4) :: a; t(_) :: b.", [0.4, 0.3, 0.3], {"a": 0.4, "b": 0.3}),
        ("0.1 :: a; t(0.3) :: b.", [0.1, 0.3, 0.6], {"b": 0.3}),
        ("0.5 :: a; t(0.3) :: b; t(0.2) :: c.", [0.5, 0.3, 0.2], {"b": 0.3, "c": 0.2}),
        ("t(_) :: a; 0.4 :: b; t(0.2) :: c :- p(i).", [0.2, 0.4, 0.2, 0.2], {"a": 0.2, "c": 0.2}),
        ("0.7 :: a; t(0.3) :: b.", [0.7, 0.3], {"b": 0.3}),
    ],
)
def test_first_probabilities_are_those_of_the_program(text, values, described):
    """Open ones share what is left with "none of them"; the last value is that, if anything is left."""
    (found,) = values_of(text)
    assert found == pytest.approx(values, abs=1e-6)
    assert parameters_of(text).described() == pytest.approx(described, abs=1e-6)
    assert sum(found) == pytest.approx(1, abs=1e-6)


def test_first_probabilities_are_the_programs_to_the_last_digit():
    """In float32 0.3 would be 0.30000001, and so would be what a run saves."""
    text = "t(0.3) :: a.\n0.2 :: b; t(0.1) :: c; t(_) :: d.\n"
    circuit = circuit_of(DIGITS + text + "p(X) :- digit(X, 1), a, c.\np(X) :- digit(X, 1), a, d.", "p(X)")
    exact = {"rel": 1e-14, "abs": 0}
    assert circuit.probabilities.described() == pytest.approx({"a": 0.3, "c": 0.1, "d": 0.35}, **exact)
    one = torch.zeros(1, 1, 4, dtype=torch.float64)
    assert circuit(one).exp().item() == pytest.approx(0.3 * 0.45, **exact)
    circuit.probabilities.assign({"a": 0.7, "c": 0.6, "d": 0.1})
    assert circuit.probabilities.described() == pytest.approx({"a": 0.7, "c": 0.6, "d": 0.1}, **exact)
    assert circuit(one.float()).dtype == torch.float32


def test_a_small_rest_of_learnable_alternatives_is_kept():
    assert [len(values) for values in values_of("t(0.5) :: a; 0.4999999999 :: b.")] == [3]
    assert [len(values) for values in values_of("; ".join(["t(0.1) :: a"] * 10) + ".")] == [10]


def test_an_optimizer_of_mixed_precision_moves_them():
    """As in a training: float32 weights and these in one fused Adam, a loss in float32."""
    circuit, weight = circuit_of(NOISE), torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
    optimizer.add_param_group({"params": list(circuit.parameters())})
    before = circuit.probabilities.described()["noise"]
    for _ in range(3):
        value = circuit(weight.log_softmax(0).view(1, 1, 4), answers=torch.tensor([2]))
        assert value.dtype == torch.float32
        optimizer.zero_grad()
        (-value.sum()).backward()
        optimizer.step()
    assert weight[2] > weight[0]
    # 2 is read rightly or 1 wrongly: the more it reads 2, the less is noise
    assert circuit.probabilities.described()["noise"] < before
    assert {p.dtype for p in circuit.parameters()} == {torch.float64}


def test_zero_and_one_can_be_left():
    """Where the probability is at the very edge no gradient would ever move it."""
    for text, wanted in (("t(0) :: a.", 0), ("t(1) :: a.", 1), ("t(0.0) :: a; t(1.0) :: b.", 0)):
        module = parameters_of(text)
        assert module.described()["a"] == pytest.approx(wanted, abs=2e-6)
        (values,) = module.log_probabilities()
        (gradient,) = torch.autograd.grad(values[0], module.logits[0])
        assert values.isfinite().all()
        assert gradient.abs().max() > 1e-7


def test_value_is_that_of_the_present_probability():
    circuit = circuit_of(NOISE)
    log_probs = random_log_probs(0, 3, 1, 4)
    p = log_probs[:, 0].exp()
    torch.testing.assert_close(circuit(log_probs).exp(), 0.8 * p + 0.2 * p.flip(1), atol=1e-6, rtol=1e-6)
    circuit.probabilities.assign({"noise": 0.65})
    torch.testing.assert_close(circuit(log_probs).exp(), 0.35 * p + 0.65 * p.flip(1), atol=1e-6, rtol=1e-6)
    posterior = 0.65 * p[:, 3] / (0.35 * p[:, 0] + 0.65 * p[:, 3])
    answers = torch.zeros(3, dtype=torch.long)
    marginals = circuit.marginals(log_probs, answers=answers)
    torch.testing.assert_close(marginals[:, 0, 3], posterior, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "rules",
    [
        "t(0.2) :: n.\np(X) :- digit(X, 1), n.\np(X) :- digit(X, 2), \\+ n.",
        "t(0.2) :: a; t(0.5) :: b.\np(X) :- digit(X, 1), a.\np(X) :- digit(X, 2), b.\n"
        "p(X) :- digit(X, 3), \\+ a.",
        "0.3 :: a; t(0.2) :: b; t(_) :: c.\np(X) :- digit(X, 1), a.\np(X) :- digit(X, 2), b.\np(X) :- c.",
        "t(0.2) :: n(X) :- digit(X, A), A > 1.\np(X) :- n(X), n(i).\np(X) :- digit(X, 0), \\+ n(i).",
        "t(0.6) :: n.\np(X) :- digit(X, 1).\np(X) :- n.\n"
        "e :- n, digit(i, 1).\ne :- digit(i, 2).\nevidence(e).",
    ],
)
def test_gradient_equals_finite_differences(rules):
    circuit = circuit_of(DIGITS + rules, "p(X)").double()
    log_probs = random_log_probs(1, 2, len(circuit.slots), 4)
    names, values = zip(*circuit.named_parameters(), strict=True)
    assert names == ("probabilities.logits.0",)

    def value(*logits):
        given = dict(zip(names, logits, strict=True))
        return torch.func.functional_call(circuit, given, (log_probs,))

    start = [v.detach().clone().requires_grad_() for v in values]
    assert torch.autograd.gradcheck(value, start)
    (gradient,) = torch.autograd.grad(value(*start).sum(), start)
    assert gradient.abs().max() > 1e-3


def test_groundings_of_one_clause_share_their_probability_but_not_its_outcome():
    circuit = circuit_of(DIGITS + "t(0.3) :: n(X).\np(X, Y) :- n(X), digit(X, 1), n(Y), digit(Y, 1).")
    assert circuit.probabilities.described() == pytest.approx({"n(X)": 0.3})
    ones = certain(torch.ones(1, 2, dtype=torch.long), 4)
    assert circuit(ones).exp().item() == pytest.approx(0.09)
    assert circuit(ones, torch.tensor([[0, 0]])).exp().item() == pytest.approx(0.3)


def test_described_and_assign_are_a_round_trip():
    text = DIGITS + (
        "t(0.2) :: noise.\nt(0.1) :: a; 0.4 :: b; t(_) :: c :- noise.\nt(0.5) :: even; t(0.5) :: odd.\n"
        "t(0.7) :: twice(X).\nt(0.8) :: twice(X).\n"
        "p(X) :- digit(X, 1), a, even, twice(X).\np(X) :- digit(X, 2), c, odd."
    )
    one, other, again = (circuit_of(text, "p(X)") for _ in range(3))
    first = one.probabilities.described()
    with torch.no_grad():
        for logits in one.probabilities.logits:
            logits.add_(torch.randn(logits.shape, generator=torch.Generator().manual_seed(len(logits))))
    described = one.probabilities.described()
    assert set(described) == {"noise", "a", "c", "even", "odd", "twice(X)", "twice(X) (2)"}
    assert described["even"] + described["odd"] == pytest.approx(1)
    assert described["a"] + described["c"] < 0.6
    other.probabilities.assign(described)
    assert other.probabilities.described() == pytest.approx(described, rel=1e-5)
    torch.testing.assert_close(other(uniform(other)), one(uniform(one)))
    again.load_state_dict(one.state_dict())
    torch.testing.assert_close(again(uniform(again)), one(uniform(one)))
    again.probabilities.assign({"noise": 0.0, "even": 1.0, "odd": 0.0})
    assert again.probabilities.described()["noise"] == pytest.approx(0, abs=2e-6)
    assert again.probabilities.described()["even"] == pytest.approx(1, abs=2e-6)
    assert all(logits.isfinite().all() for logits in again.probabilities.logits)
    again.probabilities.assign({})  # what is not named goes back to the program's
    assert again.probabilities.described() == pytest.approx(first)


def fit(circuit, log_probs, answers, steps=200):
    """Maximum likelihood by gradient ascent."""
    optimizer = torch.optim.Adam(circuit.parameters(), lr=0.1)
    for _ in range(steps):
        loss = -circuit(log_probs, answers=answers).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return circuit.probabilities.described()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_learning_recovers_the_share_of_noise(share):
    """Images that are read for certain, and labels of which a share is wrong: the fit is that share."""
    circuit = circuit_of(NOISE)
    count = 400
    digits = torch.arange(count) % 4
    wrong = torch.arange(count) >= (1 - share) * count
    answers = torch.where(wrong, 3 - digits, digits)
    found = fit(circuit, certain(digits.unsqueeze(1), 4), answers)
    assert found == pytest.approx({"noise": share}, abs=1e-3)


def test_learning_recovers_several_alternatives_beside_a_constant_one():
    """0.25 is constant; the others share the rest as their counts do."""
    circuit = circuit_of(
        DIGITS + "t(_) :: kind(a); 0.25 :: kind(b); t(_) :: kind(c).\np(X, K) :- digit(X, 1), kind(K).\n"
        "p(X, none) :- digit(X, 1), \\+ kind(a), \\+ kind(b), \\+ kind(c)."
    )
    counts = {"a": 30, "b": 500, "c": 60, "none": 10}
    answers = torch.tensor([circuit.answer_index([kind]) for kind in counts]).repeat_interleave(
        torch.tensor(list(counts.values()))
    )
    ones = certain(torch.ones(len(answers), 1, dtype=torch.long), 4)
    found = fit(circuit, ones, answers)
    assert found == pytest.approx({"kind(a)": 0.75 * 0.3, "kind(c)": 0.75 * 0.6}, abs=1e-3)
    value = dict(zip(circuit.answers, circuit(ones[:1])[0].exp().tolist(), strict=True))
    assert value == pytest.approx({"a": 0.225, "b": 0.25, "c": 0.45, "none": 0.075}, abs=1e-3)


def test_learning_from_unread_images_sees_through_the_noise():
    """Two probabilities at once; the likelihood of what was drawn is not below that of the truth."""
    text = NOISE + "t(0.5) :: lost(X).\nq(X, lost) :- lost(X).\nq(X, A) :- \\+ lost(X), p(X, A)."
    truth, circuit = circuit_of(text, "q(X, A)"), circuit_of(text, "q(X, A)")
    truth.probabilities.assign({"noise": 0.1, "lost(X)": 0.35})
    log_probs = random_log_probs(0, 4000, 1, 4, scale=3.0)
    _, answers = truth.sample(log_probs, torch.Generator().manual_seed(0))
    found = fit(circuit, log_probs, answers, steps=150)
    assert found == pytest.approx(
        {"noise": 0.1, "lost(X)": 0.35}, abs=0.03
    )  # four deviations of the estimate
    likelihoods = [c(log_probs, answers=answers).sum().item() for c in (circuit, truth)]
    assert likelihoods[0] >= likelihoods[1] - 1e-3
    assert math.isfinite(likelihoods[0])
