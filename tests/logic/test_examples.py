"""Examples drawn for a program: distributions, use of images, capacity."""

import pytest
import torch
from scipy.stats import chi2
from shipped_cases import CASES, EVEN_ODD_PAIRS, HALF_PAIRS
from small_programs import ADD, DIGITS, LETTERS, SUMS, circuit_of, shipped

from nesy_gedi.errors import UserError
from nesy_gedi.logic.examples import (
    ExampleSource,
    Readings,
    TooFewImagesError,
    certain,
    parse_distribution,
    support_readings,
)
from nesy_gedi.logic.program import ProgramError

ADDITION = ExampleSource(shipped("addition"))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pool(per_class, classes=10, seed=0):
    labels = torch.arange(classes).repeat_interleave(per_class)
    return labels[torch.randperm(len(labels), generator=seeded(seed))]


def source_of(text, distribution="readings", query=None):
    return ExampleSource(circuit_of(text, query), distribution)


def assert_shares(drawn, shares):
    """chi-square of rows of classes or answers against their probabilities, at the 99.9 % quantile."""
    rows, counts = drawn.view(len(drawn), -1).unique(dim=0, return_counts=True)
    found = {tuple(row): count for row, count in zip(rows.tolist(), counts.tolist(), strict=True)}
    total = sum(shares.values())
    assert found.keys() <= {row for row, share in shares.items() if share > 0}
    statistic = sum(
        (found.get(row, 0) - len(drawn) * share / total) ** 2 / (len(drawn) * share / total)
        for row, share in shares.items()
        if share > 0
    )
    assert statistic < chi2.ppf(0.999, max(1, sum(share > 0 for share in shares.values()) - 1))


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_examples_hold_and_use_each_image_once(count):
    labels = pool(400)
    images, readings = ADDITION.sample(labels, count, seeded())
    assert images.shape == (count, 3)
    assert torch.equal(labels[images], readings.classes)
    assert torch.equal(readings.classes[:, 0] + readings.classes[:, 1], readings.classes[:, 2])
    assert len(images.flatten().unique()) == 3 * count
    assert readings.answers.tolist() == [0] * count
    assert readings.observed == {}


def test_readings_are_uniform():
    assert_shares(ADDITION.draw(5500, seeded()).classes, dict.fromkeys(SUMS, 1))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("noisy_addition", "sudoku")])
def test_drawn_readings_of_shipped_programs_give_their_labels(name):
    case, circuit = CASES[name], shipped(name)
    readings = ExampleSource(circuit).draw(300, seeded())
    of_label = {tuple(reading): a for a, readings in case.answers().items() for reading in readings}
    rows = [readings.classes + case.domain[0], *readings.observed.values()]
    answers = [circuit.answers[k] if circuit.answers else "True" for k in readings.answers.tolist()]
    assert [of_label.get(tuple(row)) for row in torch.cat(rows, 1).tolist()] == answers
    if case.support:
        assert {tuple(row) for row in readings.classes.tolist()} == set(case.support)


def test_images_of_a_class_are_uniform_and_not_taken_in_order():
    source = source_of("nn(net, [X], Y, [a, b]) :: s(X, Y).\np(X, Y) :- s(X, a), s(Y, b).")
    labels = torch.tensor([0] * 20 + [1] * 20)
    counts = torch.zeros(40)
    for seed in range(400):
        counts[source.sample(labels, 5, seeded(seed))[0].flatten()] += 1
    # 400 draws of 5 out of 20, without replacement: mean 100, variance 400 * 1/4 * 3/4 = 75
    assert ((counts - 100) ** 2 / 75).sum() < chi2.ppf(0.999, 38) * 20 / 19


def test_generator_decides():
    labels = pool(400)
    draws = [ADDITION.sample(labels, 50, seeded(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_many_readings_are_drawn_in_parts():
    readings = source_of(ADD).draw(4500, seeded())
    assert (readings.classes.shape, readings.answers.shape) == ((4500, 2), (4500,))
    assert torch.equal(readings.classes.sum(1), readings.answers)
    assert not torch.equal(readings.classes[:2000], readings.classes[2000:4000])


PAIRS = {(a, b): 1.0 for a in range(4) for b in range(4)}
TIMES = [1, 2, 3, 4, 3, 2, 1]  # how many pairs of 0 to 3 have the sums 0 to 6


def test_distribution_of_readings_or_of_answers():
    assert_shares(source_of(ADD).draw(4000, seeded()).classes, PAIRS)
    drawn = source_of(ADD, "answers").draw(4000, seeded())
    assert_shares(drawn.answers, {(k,): 1 for k in range(7)})
    assert_shares(drawn.classes, {(a, b): 1 / TIMES[a + b] for a, b in PAIRS})
    weights = parse_distribution("0=1, 3=2, 6=0.5")
    drawn = source_of(ADD, weights).draw(4000, seeded())
    assert_shares(drawn.answers, {(int(k),): weight for k, weight in weights.items()})
    assert_shares(drawn.classes, {(a, b): weights.get(str(a + b), 0) / TIMES[a + b] for a, b in PAIRS})


def test_probabilities_of_the_program_weigh_the_readings():
    text = DIGITS + "0.2 :: a(1); 0.7 :: a(2).\np(X, N) :- digit(X, A), a(N), A >= N."
    drawn = source_of(text).draw(4000, seeded())
    shares = {(x, n): p for n, p in ((1, 0.2), (2, 0.7)) for x in range(n, 4)}
    assert_shares(torch.stack([drawn.classes[:, 0], drawn.answers + 1], 1), shares)
    circuit = circuit_of(DIGITS + "t(0.5) :: n.\np(X) :- digit(X, 0), n.\np(X) :- digit(X, 1), \\+ n.")
    circuit.probabilities.assign({"n": 0.9})
    assert_shares(ExampleSource(circuit).draw(1000, seeded()).classes, {(0,): 0.9, (1,): 0.1})


def test_evidence_restricts_what_is_drawn():
    text = ADD + "\nodd :- digit(i, 1).\nodd :- digit(i, 3).\nevidence(odd)."
    drawn = source_of(text, query="add(X, i, Z)").draw(2000, seeded())
    assert_shares(drawn.classes, {(a, b): 1 for a in range(4) for b in (1, 3)})
    assert torch.equal(drawn.classes.sum(1), drawn.answers + 1)  # sums go from 1


def test_labels_fed_to_observed_networks_are_drawn_along():
    text = DIGITS + "nn(observed_b, [K], V, [0, 1, 2]) :: known(K, V).\nnn(observed_a, [K]) :: even(K).\n"
    text += "p(X, Y, K, E) :- digit(X, A), digit(Y, B), N is (A + B) mod 3, known(K, N), e(A, E).\n"
    text += "e(A, E) :- A mod 2 =:= 0, even(E).\ne(A, E) :- A mod 2 =:= 1, \\+ even(E).\n"
    drawn = source_of(text).draw(2000, seeded())
    assert_shares(drawn.classes, PAIRS)
    assert torch.equal(drawn.observed["observed_b"][:, 0], drawn.classes.sum(1) % 3)
    assert torch.equal(drawn.observed["observed_a"][:, 0], 1 - drawn.classes[:, 0] % 2)


@pytest.mark.parametrize(("name", "pairs"), [("half", HALF_PAIRS), ("even_odd", EVEN_ODD_PAIRS)])
def test_support_is_all_that_is_drawn(name, pairs):
    source = ExampleSource(shipped(name))
    assert source.support.tolist() == [list(pair) for pair in pairs]
    drawn = source.draw(4000, seeded())
    assert_shares(drawn.classes, dict.fromkeys(pairs, 1))
    sums = [int(source.circuit.answers[k]) for k in drawn.answers.tolist()]
    assert drawn.classes.sum(1).tolist() == sums
    uses = torch.tensor(pairs).flatten().bincount(minlength=source.inputs.classes) / len(pairs)
    torch.testing.assert_close(source.expected_uses(), uses.double())


def test_support_that_does_not_fit_is_refused_at_its_place():
    rules = DIGITS + "less(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
    assert support_readings(circuit_of(rules)) is None
    assert support_readings(circuit_of(rules + "support(0, 1). support(2, 3).")).tolist() == [[0, 1], [2, 3]]
    for facts, column, words in (
        (
            "support(0, 1).  support(1).",
            17,
            r"support\(1\) must name a symbol of \[0, 1, 2, 3\] for each of the 2",
        ),
        ("support(0, 7).", 1, "must name a symbol"),
        ("support(0, X).", 1, "must name a symbol"),
        ("support(0, 1). support(1, 1).", 16, r"support\(1,1\) does not satisfy the query less\(X,Y\)"),
    ):
        with pytest.raises(ProgramError, match=rf"^mine.pl:3:{column}: .*{words}"):
            source_of(rules + facts)
    with pytest.raises(UserError, match=r"draws from its support\(…\) facts; leave it out"):
        ExampleSource(shipped("half"), "answers")


@pytest.mark.parametrize(
    ("text", "query", "distribution", "words"),
    [
        (ADD, None, "sums", "unknown distribution 'sums': choose readings, answers or ANSWER=WEIGHT"),
        (ADD, "add(X, Y, 3)", "answers", "has no answers to weigh; leave it out"),
        (ADD, "add(X, Y, 3)", {"3": 1.0}, "has no answers to weigh"),
        (ADD, None, {"7": 1.0}, "can never hold with Z = 7"),
        (ADD, None, {"0": -1.0, "3": 2.0}, "0 or more"),
        (ADD, None, {"0": 0.0}, "one of them above 0"),
        (ADD, None, {"0": float("inf")}, "must be finite"),
        (
            LETTERS + ADD + "\np(X, Y) :- digit(X, 1), letter(Y, a).",
            "p(X, Y)",
            "readings",
            "2 networks that see images",
        ),
        (ADD + "\n0.5 :: coin.", "coin", "readings", "the query coin of mine.pl never asks net"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text, query, distribution, words):
    with pytest.raises(UserError, match=words):
        source_of(text, distribution, query)


def test_expected_uses_are_those_of_the_readings():
    k = torch.arange(10, dtype=torch.float64)
    torch.testing.assert_close(ADDITION.expected_uses(), (21 - k) / 55)
    quarter = torch.full((4,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(source_of(ADD).expected_uses(), quarter)
    answers = source_of(ADD, "answers").expected_uses()
    wanted = [sum(((a == k) + (b == k)) / TIMES[a + b] for a, b in PAIRS) / 7 for k in range(4)]
    torch.testing.assert_close(answers, torch.tensor(wanted, dtype=torch.float64))
    weighted = source_of(ADD, {"0": 3.0, "6": 1.0}).expected_uses()
    assert weighted.tolist() == pytest.approx([1.5, 0, 0, 0.5])
    for source in (source_of(ADD, "answers"), ADDITION, source_of(ADD, {"1": 1.0, "4": 2.0})):
        drawn = source.draw(4000, seeded()).classes.flatten().bincount(minlength=source.inputs.classes) / 4000
        assert (drawn - source.expected_uses()).abs().max() < 0.06


def test_expected_uses_of_given_examples_depend_on_their_labels():
    source = source_of(ADD, "answers")  # the distribution is of what is drawn, and says nothing here
    given = Readings(torch.zeros(4, 2, dtype=torch.long), {}, torch.tensor([0, 6, 6, 1]))
    assert source.expected_uses(given).tolist() == pytest.approx([3 / 4, 1 / 4, 0, 1])
    circuit = shipped("multi_addition")
    digits = torch.tensor([[1, 9, 8], [0, 0, 0]])  # 99 + 99, and 0 + 0
    given = Readings(
        torch.zeros(2, 4, dtype=torch.long), {"observed": digits}, torch.zeros(2, dtype=torch.long)
    )
    uses = ExampleSource(circuit).expected_uses(given)
    assert uses.tolist() == pytest.approx([2, *[0] * 8, 2])


def test_capacity():
    assert ADDITION.capacity(pool(400)) == 1047  # floor(55 * 400 / 21)
    uneven = torch.arange(10).repeat_interleave(torch.tensor([900] * 9 + [100]))
    assert ADDITION.capacity(uneven) == min(55 * 900 // 21, 55 * 100 // 12)
    assert ADDITION.capacity(torch.arange(9).repeat(10)) == 0  # no nines
    zeros = source_of(DIGITS + "p(X) :- digit(X, 0).")
    assert zeros.capacity(torch.tensor([0, 0, 0, 3])) == 3  # other classes are not needed
    free = "p(X, Y, Z) :- digit(X, _), digit(Y, _), digit(Z, _)."
    tenths = source_of("nn(net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n" + free)
    assert tenths.capacity(pool(3)) == 10  # 0.1 + 0.1 + 0.1 of a class in an example, a hair above 0.3
    assert ExampleSource(shipped("half")).capacity(pool(10, classes=5)) == 10 * 4 // 3  # three zeros in four


def test_a_full_pool_is_redrawn_until_it_fits():
    labels = pool(40)
    most = ADDITION.capacity(labels)
    for seed in range(20):
        images, _ = ADDITION.sample(labels, most, seeded(seed))
        assert len(images.flatten().unique()) == 3 * most


def test_images_without_a_class_are_never_used():
    labels = pool(50)
    hidden = torch.rand(len(labels), generator=seeded(3)) < 0.5
    labels = labels.masked_fill(hidden, -1)
    most = ADDITION.capacity(labels)
    assert most == ADDITION.capacity(labels[~hidden])
    for seed in range(20):
        images, readings = ADDITION.sample(labels, most, seeded(seed))
        assert not hidden[images].any()
        assert torch.equal(labels[images], readings.classes)
        assert len(images.flatten().unique()) == 3 * most


def test_too_few_and_too_many_are_refused():
    labels = pool(400)
    with pytest.raises(UserError, match=r"^0 examples asked, at least 1.*1 to 1047$"):
        ADDITION.sample(labels, 0, seeded())
    with pytest.raises(
        TooFewImagesError, match=r"1048 examples asked.*4000 images.*at most 1047 \(class 0 runs"
    ):
        ADDITION.sample(labels, 1048, seeded())


def test_a_draw_that_cannot_fit_ends():
    """Every class at its expected use exactly: practically no draw fits."""
    source = source_of("nn(net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\np(X) :- digit(X, _).")
    with pytest.raises(TooFewImagesError, match=r"1000 draws.*ask for fewer"):
        source.sample(pool(10), 100, seeded())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("readings", "readings"),
        ("answers", "answers"),
        ("0=1,7=2.5", {"0": 1.0, "7": 2.5}),
        (" even = 3 , odd=0", {"even": 3.0, "odd": 0.0}),
        ("0, odd=1,6,even=2", {"0, odd": 1.0, "6, even": 2.0}),
        ("a=b=2", {"a=b": 2.0}),
        ("0=x", "'x' is no number"),
        ("0=1,1=", "'' is no number"),
        ("0=1,1", "1 has no weight"),
        ("0=1,", " has no weight"),
    ],
)
def test_distributions_as_text(text, wanted):
    if isinstance(wanted, str) and wanted != text:
        with pytest.raises(UserError, match=f"{wanted}; write ANSWER=WEIGHT"):
            parse_distribution(text)
    else:
        assert parse_distribution(text) == wanted


def test_certain_classes_as_log_probabilities():
    logs = certain(torch.tensor([[0, 2], [1, 1]]), 3)
    assert logs.shape == (2, 2, 3)
    assert logs.exp().tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]
