"""Labels, evidence, equal images and samples: what probabilities are conditioned on."""

import math

import pytest
import torch
from small_programs import (
    ADD,
    DIGITS,
    LESS,
    LETTERS,
    SUMS,
    circuit_of,
    probability,
    random_log_probs,
    shipped,
    uniform,
)
from torch.nn.functional import one_hot

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import equality_pattern
from nesy_gedi.logic.examples import certain
from nesy_gedi.logic.klay_layers import KlayCircuit

CIRCUIT = shipped("addition")
TWO = DIGITS + LETTERS


def test_same_image_twice_is_one_reading():
    images = torch.tensor([[0, 1, 2], [3, 3, 4], [5, 6, 7], [5, 6, 5], [1, 2, 2], [7, 7, 7], [4, 4, 0]])
    table = random_log_probs(3, 8, 10).requires_grad_()
    value = CIRCUIT(table[images], images)

    def shared(pool):
        rows = []
        for row in images.tolist():
            worlds = [w for w in SUMS if all(w[s] == w[row.index(i)] for s, i in enumerate(row))]
            # each image counts once, however often it stands there
            terms = [sum(pool[i, w[row.index(i)]] for i in dict.fromkeys(row)) for w in worlds]
            rows.append(torch.logsumexp(torch.stack(terms), 0))
        return torch.stack(rows)

    wanted_value = shared(table)
    torch.testing.assert_close(value, wanted_value)
    (gradient,) = torch.autograd.grad(value.sum(), table, retain_graph=True)
    (wanted,) = torch.autograd.grad(wanted_value.sum(), table)
    torch.testing.assert_close(gradient, wanted)
    independent = CIRCUIT(table[images])
    repeated = torch.tensor([len(set(row)) < 3 for row in images.tolist()])
    assert ((value - independent).abs() > 1e-3).tolist() == repeated.tolist()
    marginals = CIRCUIT.marginals(table[images], images)
    torch.testing.assert_close(marginals.sum(-1), torch.ones(7, 3, dtype=torch.float64))
    for k, (row, own) in enumerate(zip(images, marginals, strict=True)):
        (flow,) = torch.autograd.grad(value[k], table, retain_graph=True)
        torch.testing.assert_close(own, flow[row])
    best = CIRCUIT.most_probable(table[images], images)
    for row, classes in zip(images.tolist(), best.classes["mnist_net"].tolist(), strict=True):
        assert tuple(classes) in SUMS
        assert all(classes[s] == classes[row.index(i)] for s, i in enumerate(row))


def test_equality_patterns_name_the_first_slot():
    images = torch.tensor([[4, 5, 4, 4], [1, 2, 3, 0], [7, 7, 2, 2]])
    assert equality_pattern(images).tolist() == [[0, 1, 0, 0], [0, 1, 2, 3], [0, 0, 2, 2]]


def test_queries_that_equal_images_rule_out_are_refused():
    with pytest.raises(UserError, match=r"^mine.pl:2:1: no reading of the images satisfies the query p\(X\)"):
        circuit_of(DIGITS + "p(X) :- digit(X, 7).")
    less, log_probs = circuit_of(LESS), random_log_probs(0, 2, 2, 4)
    with pytest.raises(UserError, match=r"less\(X,Y\) cannot hold with one image in slots X and Y"):
        less(log_probs, torch.tensor([[0, 1], [2, 2]]))
    text = "p(X, Y) :- X \\= Y, digit(X, 1), digit(Y, 2).\np(X, X) :- digit(X, 0), digit(zebra, 0)."
    with pytest.raises(UserError, match=r"asks net about zebra only if images are equal"):
        circuit_of(DIGITS + text)(log_probs, torch.tensor([[0, 1], [2, 2]]))
    text = "p(X, Y, Z) :- X \\= Y, digit(X, Z), digit(Y, Z).\np(X, X, same) :- digit(X, 0)."
    with pytest.raises(UserError, match=r"p\(X,Y,Z\) has the answer same only if images are equal"):
        circuit_of(DIGITS + text)(log_probs, torch.tensor([[0, 1], [2, 2]]))


def test_mixed_labels_in_one_batch_equal_one_program_for_each_label():
    circuit = circuit_of(ADD)
    assert circuit.answers == ("0", "1", "2", "3", "4", "5", "6")
    log_probs = random_log_probs(5, 7, 2, 4).requires_grad_()
    every = circuit(log_probs)
    assert every.shape == (7, 7)
    torch.testing.assert_close(every.exp().sum(1), torch.ones(7, dtype=torch.float64))  # one of them holds
    labels = torch.tensor([6, 0, 3, 3, 5, 1, 2])
    chosen = circuit(log_probs, answers=labels)
    torch.testing.assert_close(chosen, every[range(7), labels])
    single = [circuit_of(ADD, f"add(X, Y, {label})") for label in range(7)]
    separate = torch.stack([single[label](log_probs[[k]])[0] for k, label in enumerate(labels.tolist())])
    torch.testing.assert_close(chosen, separate)
    pairs = [torch.autograd.grad(value.sum(), log_probs)[0] for value in (chosen, separate)]
    torch.testing.assert_close(*pairs)
    torch.testing.assert_close(circuit.marginals(log_probs, answers=labels), pairs[0])
    with pytest.raises(UserError, match="7 answers: say with `answers` which one"):
        circuit.marginals(log_probs)


def test_answers_that_equal_images_rule_out_have_probability_zero():
    """The sum of an image with itself is even; mixed with different images in one batch."""
    circuit = circuit_of(ADD)
    table, images = random_log_probs(2, 3, 4), torch.tensor([[0, 0], [1, 2], [2, 2]])
    value = circuit(table[images], images)
    for row, image in ((0, 0), (2, 2)):
        assert value[row, 1::2].tolist() == [-math.inf] * 3
        torch.testing.assert_close(value[row, ::2], table[image])
    torch.testing.assert_close(value[[1]], circuit(table[images[[1]]]))
    labels = torch.tensor([3, 3, 4])
    assert circuit(table[images], images, labels).isneginf().tolist() == [True, False, False]
    marginals = circuit.marginals(table[images], images, labels)
    assert marginals[0].abs().sum() == 0
    assert marginals[2].tolist() == [[0, 0, 1, 0]] * 2
    best = circuit.most_probable(table[images], images, labels)
    assert best.log_probability.isneginf().tolist() == [True, False, False]
    assert best.classes["net"][2].tolist() == [2, 2]


def test_answers_are_found_by_their_text():
    circuit = circuit_of(
        DIGITS + "p(X, Y, S, K) :- digit(X, A), digit(Y, B), S is A + B, k(S, K).\nk(0, none). k(6, all)."
    )
    assert circuit.answers == ("0, none", "6, all")
    assert circuit.answer_index([6, "all"]) == 1
    with pytest.raises(UserError, match=r"can never hold with S, K = 6, none; possible are 0, none, 6, all$"):
        circuit.answer_index([6, "none"])
    with pytest.raises(UserError, match=r"Z = 7; possible are 0, 1, 2"):
        circuit_of(ADD).answer_index([7])
    numbers = circuit_of(DIGITS + "p(X, Z) :- digit(X, A), Z is 11 - 2 * A.")
    assert numbers.answers == ("5", "7", "9", "11")  # as numbers, not as text


def test_answers_of_one_text_are_one_answer():
    """0.1 + 0.2 and 0.3 are different numbers but read alike."""
    circuit = circuit_of(
        DIGITS + "p(X, Y, Z) :- digit(X, A), digit(Y, B), v(A, U), v(B, V), Z is U + V.\n"
        "v(0, 0.0). v(1, 0.1). v(2, 0.2). v(3, 0.3)."
    )
    assert circuit.answers == ("0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
    assert circuit.compiled.circuit.counts() == [1, 2, 3, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ("p(X) :- digit(X, 1), coin.\n0.4 :: coin.\nevidence(coin).", 1 / 4),
        ("p(X) :- digit(X, 1), coin.\n0.4 :: coin.\nevidence(coin, false).\np(X) :- digit(X, 2), \\+ coin.",
         1 / 4),
        ("p(X) :- digit(X, 1), coin.\n0.4 :: coin.\ne :- coin, digit(i, 1).\nevidence(e).", 1 / 4),
        ("p(X) :- digit(X, 1), coin.\n0.4 :: coin.\ne :- coin, digit(i, 1).\nevidence(\\+ e).",
         0.3 / 0.9 / 4),
        ("p(X) :- digit(X, A), digit(i, B), A < B.\nevidence(digit(i, 2)).", 2 / 4),
        ("p(X) :- digit(X, A), digit(i, B), A < B.\nevidence(\\+ digit(i, 0)).", 2 / 4),
        ("p(X) :- digit(X, A), digit(i, B), A < B.\nlow :- digit(i, 1).\nlow :- digit(i, 2).\n"
         "evidence(low). evidence(\\+ digit(i, 1)).", 2 / 4),
        ("p(X) :- digit(X, A), a(A).\n0.2 :: a(1); 0.3 :: a(2).\nevidence(\\+ a(1)).", 0.3 / 0.8 / 4),
        ("p(X) :- digit(X, 1).\nevidence(fact). evidence(other, false).\nfact. other :- fail.", 1 / 4),
    ],
)  # fmt: skip
@pytest.mark.parametrize("evaluator", [None, KlayCircuit])
def test_evidence_conditions_the_query(rules, wanted, evaluator):
    circuit = circuit_of(DIGITS + rules, "p(X)", **({"evaluator": evaluator} if evaluator else {}))
    assert probability(circuit, uniform(circuit)) == pytest.approx([wanted], rel=1e-6)


def test_evidence_on_images_renormalises_value_gradient_and_marginals():
    text = "add(Y, Z) :- digit(i, A), digit(Y, B), Z is A + B.\nhigh :- digit(i, 2)."
    text += "\nhigh :- digit(i, 3).\nevidence(high)."
    circuit = circuit_of(DIGITS + text, "add(Y, Z)")
    assert circuit.slots == ("Y", "i")
    logits = torch.randn(
        3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
    )

    def conditioned(x):
        p = x.softmax(-1)
        given = p[:, 1, 2:] / p[:, 1, 2:].sum(-1, keepdim=True)
        joint = p[:, 0].unsqueeze(2) * given.unsqueeze(1)
        sums = torch.arange(4).unsqueeze(1) + torch.tensor([2, 3])
        return torch.stack([(joint * (sums == z)).sum((1, 2)) for z in range(2, 7)], 1)

    assert circuit.answers == ("2", "3", "4", "5", "6")
    torch.testing.assert_close(circuit(logits.log_softmax(-1)).exp(), conditioned(logits))
    assert torch.autograd.gradcheck(lambda x: circuit(x.log_softmax(-1)), logits)
    labels = torch.tensor([0, 1, 4])
    marginals = circuit.marginals(logits.log_softmax(-1), answers=labels)
    assert marginals[0].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert marginals[2].tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]
    p = logits.detach().softmax(-1)[1]
    share = p[0, 1] * p[1, 2] / (p[0, 1] * p[1, 2] + p[0, 0] * p[1, 3])
    torch.testing.assert_close(marginals[1, 1, 2], share)
    impossible = certain(torch.tensor([[0, 1]]), 4).double().requires_grad_()
    value = circuit(impossible)
    assert value.tolist() == [[-math.inf] * 5]
    assert torch.autograd.grad(value[:, 0].sum(), impossible)[0].isfinite().all()


def test_samples_follow_the_posterior():
    """Worlds given query and evidence, and answers if they are not given; thresholds at four deviations."""
    text = TWO + (
        "p(X, Y, S) :- digit(X, A), letter(Y, L), v(L, B), coin, S is A + B.\n"
        "p(X, Y, 9) :- \\+ coin, digit(X, 0).\nv(a, 0). v(b, 1).\n0.3 :: coin.\n"
        "ok(X) :- digit(X, A), A < 3.\nevidence(ok(i))."
    )
    circuit = circuit_of(text, "p(X, Y, S)")
    log_probs = {"net": random_log_probs(0, 1, 2, 4), "letters": random_log_probs(1, 1, 1, 2)}
    rows = {name: values.expand(20_000, -1, -1) for name, values in log_probs.items()}
    classes, answers = circuit.sample(rows, torch.Generator().manual_seed(0))
    share = circuit(log_probs)[0].softmax(0)
    frequency = answers.bincount(minlength=len(circuit.answers)) / 20_000
    assert ((frequency - share).abs() < 4 * (share / 20_000).sqrt()).all()
    for answer in range(len(circuit.answers)):
        mine = answers == answer
        marginals = circuit.marginals(log_probs, answers=torch.tensor([answer]))
        for name, values in classes.items():
            found = one_hot(values[mine], circuit.networks[name].classes).double().mean(0)
            assert ((found - marginals[name][0]).abs() <= 4 * (marginals[name][0] / mine.sum()).sqrt()).all()
    wanted = torch.arange(20_000) % 3 + 1  # the sums 1, 2, 3
    classes, answers = circuit.sample(rows, torch.Generator().manual_seed(1), wanted)
    assert torch.equal(answers, wanted)
    assert torch.equal(classes["net"][:, 0] + classes["letters"][:, 0], wanted)
    assert (classes["net"][:, 1] < 3).all()
