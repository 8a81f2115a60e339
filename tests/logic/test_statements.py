"""What a statement may be, and that one mistake is one message."""

from pathlib import Path

import pytest
import torch

from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.limits import Limits
from nesy_gedi.logic.program import parse_program, read_program
from nesy_gedi.logic.source import ProgramError, Source
from nesy_gedi.logic.statements import Statements

DIGIT = "nn(net, [X], Y, [0, 1]) :: digit(X, Y).\n"


def source(text, path="mine.pl"):
    return Source(Path(path), text)


def messages(text):
    return [str(error) for error in Statements(source(text)).errors]


def uniform(text, query=None, limits=None):
    """P(query) where every class is as likely as any other."""
    circuit = ConstraintCircuit(parse_program(source(text), query), limits=limits)
    log_probs = {
        name: torch.zeros(1, len(network.slots), network.classes).log_softmax(2)
        for name, network in circuit.networks.items()
    }
    return circuit, circuit(log_probs).exp()[0].tolist()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DIGIT + "p(X) :- digit(X, 1).\nevidence(a, true, x).", "3:1: evidence/3 means nothing to ProbLog"),
        (DIGIT + "p(X) :- digit(X, 1).\nevidence.", "3:1: evidence/0 means nothing"),
        (DIGIT + "query(p(X), 2).\np(X) :- digit(X, 1).", "2:1: query/2 means nothing"),
        (DIGIT + "a. b. p(X) :- digit(X, 1).\nevidence((a, b)).", "3:1: the evidence a, b is not one atom"),
        (DIGIT + "?::a.\np(X) :- digit(X, 1), a.", "2:4: decisions `?::` are DTProbLog's"),
        (DIGIT + "\\+p(X) :- digit(X, 1).", "a head \\+p/1 takes away from p/1, which has no clause"),
        (
            DIGIT + ":- include('x.pl').\np(X) :- digit(X, 1).",
            "2:4: include/1 is not in ProbLog: a program is",
        ),
        ("nn(N, [X], Y, [0, 1]) :: digit(X, Y).\np(X) :- digit(X, 1).", "1:1: N is no name of a network"),
        ("nn(net, [X], X, [0, 1]) :: digit(X, X).\np(X) :- digit(X, 1).", "1:1: X is input and output"),
        (
            DIGIT + "nn(net, [X, Z], Y, [0, 1]) :: two(X, Z, Y).\np(X, Y) :- two(X, Y, 1), digit(X, 1).",
            "2:1: net has 1 inputs above and 2 here",
        ),
        (
            DIGIT + "9**(9**(9**9)) :: a.\np(X) :- digit(X, 1), a.",
            "2:19: the probability 9**(9**(9**9)) is no",
        ),
        (DIGIT + "t(9**(9**(9**9))) :: a.\np(X) :- digit(X, 1), a.", "2:22: the probability 9**(9**(9**9))"),
    ],
)
def test_what_means_nothing_is_refused_once_with_its_place(text, found):
    (message,) = messages(text)
    assert found in message
    assert message.startswith("mine.pl:")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("p(X) :- digit(X, 1).\nnn(net, [X], Y, [0, 1, 0]) :: digit(X, Y).", "2:1"),
        (DIGIT + "p(X) :- digit(X, 1), a.\n1.5 :: a.", "3:8"),
        (DIGIT + "p(X) :- digit(X, 1), a.\nt(2) :: a.", "3:9"),
    ],
)
def test_what_a_refused_statement_defines_is_no_second_mistake(text, place):
    (message,) = messages(text)
    assert message.startswith(f"mine.pl:{place}: ")


def test_a_negative_head_takes_away_as_in_problog():
    text = DIGIT + "0.5 :: a.\n0.4 :: \\+a.\nquery(p(X)).\np(X) :- digit(X, 1), a."
    assert uniform(text)[1] == pytest.approx(0.5 * 0.5 * 0.6)


def test_a_probability_is_an_expression():
    text = DIGIT + "3/4 - 1/4 :: a.\n1/(3**2) :: b.\np(X) :- digit(X, 1), a, b."
    assert uniform(text)[1] == pytest.approx(0.5 * 0.5 / 9)


@pytest.mark.parametrize(
    ("text", "query", "probability"),
    [
        ("either(A2, _) :- digit(A2, 1).\neither(_, B) :- digit(B, 1).", "either(A2,A3)", 0.75),
        (
            "query(either(_1, _)).\neither(A, _) :- digit(A, 1).\neither(_, B) :- digit(B, 1).",
            "either(_1,_2)",
            0.75,
        ),
        ("p(A1, _, A2) :- digit(A1, 1), digit(A2, 1).\np(_, B, _) :- digit(B, 1).", "p(A1,A3,A2)", 0.625),
    ],
)
def test_names_that_are_made_up_are_new(text, query, probability):
    circuit, found = uniform(DIGIT + text)
    assert str(circuit.program.query) == query
    assert found == pytest.approx(probability)


def test_a_symbol_beside_an_image_gets_a_name_of_its_own():
    circuit, found = uniform(DIGIT + "p(A2, 0) :- digit(A2, 0).\np(A2, 1) :- digit(A2, 1).")
    assert circuit.slots == ("A2",)
    assert found == pytest.approx([0.5, 0.5])


def test_a_goal_that_is_a_variable_is_called_with_more_arguments():
    text = "ap(P, A, B) :- call(P, A, B).\ninc(A, B) :- B is A + 1.\np(X) :- digit(X, D), ap(inc, D, 1)."
    assert uniform(DIGIT + text + "\nquery(p(X)).")[1] == pytest.approx(0.5)


@pytest.mark.parametrize("argument", ["(a ; b)", "(a :- b)", "(a -> b)", "(a, b)"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_query_reaches_the_other_process_as_it_was_written(argument, asked):
    text, query = DIGIT + f"p(X, {argument}) :- digit(X, 1).", f"p(X, {argument})"
    own = "" if asked else f"\nquery({query})."
    assert uniform(text + own, query if asked else None, Limits(30))[1] == pytest.approx(0.5)


def test_a_network_may_have_a_quoted_name():
    circuit, _ = uniform("nn('my net', [X], Y, [0, 1]) :: digit(X, Y).\np(X) :- digit(X, 1).")
    assert list(circuit.networks) == ["my net"]


def test_classes_have_the_names_of_the_first_declaration():
    text = DIGIT + "nn(net, [X], Y, [off, on]) :: lamp(X, Y).\np(X, Y) :- digit(X, 1), lamp(Y, on)."
    circuit, found = uniform(text)
    assert circuit.networks["net"].domain == ("0", "1")
    assert found == pytest.approx(0.25)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.pl"
    path.write_text(DIGIT + "p(X) :- digit(X, 1).", encoding="utf-8-sig")
    assert str(read_program(path).query) == "p(X)"


@pytest.mark.parametrize(
    "text",
    [
        "0.0 :: k.\nquery(p(X)).\np(X) :- k, digit(X, 1).",
        "0.0 :: k.\nevidence(k).\nquery(p(X)).\np(X) :- digit(X, 1).",
        "1.0 :: k.\nevidence(k, false).\nquery(p(X)).\np(X) :- digit(X, 1).",
    ],
)
def test_what_has_probability_zero_is_impossible(text):
    with pytest.raises(ProgramError, match=r"no reading of the images satisfies|can never hold together"):
        uniform(DIGIT + text)


@pytest.mark.parametrize(
    ("text", "always"),
    [
        ("p(X) :- digit(X, _).", True),
        ("p(X) :- digit(X, 1).", False),
        ("1.0 :: k.\nquery(p(X)).\np(X) :- digit(X, _), k.", True),
        ("0.5 :: k.\nquery(p(X)).\np(X) :- digit(X, _), k.", False),
        ("0.5 :: k.\nevidence(k).\nquery(p(X)).\np(X) :- digit(X, _), k.", True),
        ("p(X, S) :- digit(X, S).", False),
    ],
)
def test_a_query_that_holds_whatever_the_images_show(text, always):
    circuit, found = uniform(DIGIT + text)
    assert circuit.compiled.always == always
    assert (found == pytest.approx(1.0)) == always


@pytest.mark.parametrize("seconds", [float("nan"), -1.0, 0.0, float("inf")])
def test_a_limit_is_a_number_of_seconds(seconds):
    with pytest.raises(ValueError, match="--compile-timeout"):
        Limits(seconds)


def test_subquery_cannot_ask_a_network():
    with pytest.raises(ProgramError, match=r"^mine\.pl:2:12: `subquery.*not known while grounding"):
        uniform(DIGIT + "p(X, P) :- subquery(digit(X, 1), P).")
