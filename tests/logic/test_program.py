from pathlib import Path

import pytest

from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import ProgramError, read_program
from nesy_gedi.resources import resource

NN = "nn(net, [X], Y, [a, b, c]) :: symbol(X, Y).\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.pl"
        path.write_text(text)
        return path

    return write


def test_addition_is_read():
    program = read_program(resource("programs", "addition.pl"))
    assert program.neural.network == "mnist_net"
    assert [str(symbol) for symbol in program.neural.domain] == [str(d) for d in range(10)]
    assert (program.query, program.arity, program.slots) == ("addition", 3, (0, 1, 2))
    assert str(program.query_term([4, 5, 4])) == (
        "addition(tensor(images(4)),tensor(images(5)),tensor(images(4)))"
    )


@pytest.mark.parametrize(
    ("rules", "query"),
    [
        ("p(X) :- symbol(X, a).", "p"),
        ("p(X) :- q(X).\nq(X) :- symbol(X, a).", "p"),  # q is called
        ("p(X, Y) :- p(Y, X).\np(X, Y) :- symbol(X, a), symbol(Y, a).", "p"),  # only by itself
        ("p(X) :- \\+ q(X).\nq(X) :- symbol(X, a).", "p"),
        ("p(X) :- (fail ; call(q, X)).\nq(X) :- symbol(X, a).", "p"),
        ("p(X) :- q(X).\nq(X) :- symbol(X, a).\nquery(q(_)).", "q"),  # query/1 decides
        (":- use_module(library(lists)).\np(X) :- Z = X, symbol(Z, S), member(S, [a, b]).", "p"),
    ],
)
def test_query_and_its_slots_are_found(write, rules, query):
    program = read_program(write(NN + rules))
    assert program.query == query
    assert program.slots == tuple(range(program.arity))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("p(X :- q.", "1:2", ["Unmatched character '('"]),
        ("\n  p(X :- q.", "2:4", ["Unmatched character '('"]),
        ("p(X) :- q(X).", "1:1", ["no network"]),
        (NN + "p(X) :- symbol(X, a).\nq(X) :- symbol(X, b).", "3:1", ["p/1, q/1", "query("]),
        (NN + "p(X) :- q(X).\nq(X) :- p(X), symbol(X, a).", "1:1", ["no predicate", "p/1, q/1"]),
        (NN + "p(X) :- symbol(X, a).\nquery(r(X)).", "3:1", ["r(", "p/1"]),
        (NN + "p(X) :- symbol(X, a).\nquery(p(X)).\nquery(p(Y)).", "4:1", ["more than one query/1"]),
        (NN + "p(X) :- symbol(X, a).\nquery(p(7)).", "3:7", ["different variables"]),
        (NN + "p(X) :- symbol(X, a).\n  evidence(p(i)).", "3:3", ["evidence", "not supported yet"]),
        (NN + "evidence(p(i), false).", "2:1", ["evidence", "not supported yet"]),
        ("nn(net, [X]) :: p(X).", "1:1", ["nn with 2 arguments", "not supported yet"]),
        (NN + NN, "2:1", ["more than one neural predicate"]),
        (NN + "nn(net, [X], Y, [a]) :: p(X, Y) :- q(X).", "2:1", ["conditions"]),
        ("nn(net, [X, Z], Y, [a]) :: p(X, Z, Y).", "1:1", ["input is [X, Z]"]),
        ("nn(net, [X], Y, [a]) :: p(X, Y, Z).", "1:25", ["not supported yet"]),
        ("nn(net, [X], Y, [a, b, a]) :: p(X, Y).", "1:1", ["class a is listed twice"]),
        ("nn(net, [X], Y, [a, B]) :: p(X, Y).", "1:1", ["constants"]),
        (NN + "0.3 :: noise.", "2:8", ["`0.3 :: noise`", "not supported yet"]),
        (NN + "t(0.3) :: noise.", "2:11", ["t(0.3)", "not supported yet"]),
        (NN + "0.3 :: u ; 0.7 :: v.", "2:10", ["annotated disjunction"]),
        (NN + ":- consult('other.pl').", "2:4", ["consult", "not supported yet"]),
        (NN + "p(X, 7) :- symbol(X, a).", "2:1", ["argument 2 of p/2", "not supported yet"]),
        (NN + "p(L) :- member(X, L), symbol(X, a).", "2:1", ["argument 1 of p/1"]),
    ],
)
def test_mistakes_are_reported_with_their_place(write, text, place, words):
    path = write(text)
    with pytest.raises(ProgramError) as caught:
        read_program(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{place}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        ("p(X) :- symbol(X, A), follows(A).", "2:23", "follows/1"),
        ("p(X) :- symbol(X, A), B is A + C, B > 1.", "2:25", "is/2"),
        ("p(X) :- symbol(X, a), \\+ p(X).", "2:", "ycle"),
    ],
)
def test_mistakes_found_while_grounding_have_their_place(write, rule, place, words):
    path = write(NN + rule)
    with pytest.raises(ProgramError, match=words) as caught:
        ConstraintCircuit(read_program(path))
    assert str(caught.value).startswith(f"{path}:{place}")


def test_missing_file_names_the_nearest_program(tmp_path):
    with pytest.raises(UserError, match=r"no program .*addtion.pl.*did you mean 'addition.pl'"):
        read_program(tmp_path / "addtion.pl")
    with pytest.raises(UserError, match=r"no program .*has one of that name, .*programs/addition.pl"):
        read_program(tmp_path / "addition.pl")
    with pytest.raises(UserError, match="directory"):
        read_program(tmp_path)
    (tmp_path / "binary.pl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_program(tmp_path / "binary.pl")


def test_output_size_must_fit_the_domain(write):
    program = read_program(write(NN + "p(X) :- symbol(X, a)."))
    assert ConstraintCircuit(program, classes=3).domain == ("a", "b", "c")
    with pytest.raises(UserError, match=r"4 outputs.*mine.pl lists 3 classes for net"):
        ConstraintCircuit(program, classes=4)
