"""What ``program check`` and ``program show`` say, of programs with known mistakes and known sizes."""

from pathlib import Path

import pytest

from nesy_gedi.inspection import check_program, describe, listed
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import parse_program, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.resources import resource

DIGITS = "nn(net, [X], Y, [0,1,2,3]) :: digit(X, Y).\n"


def messages(tmp_path: Path, text: str) -> list[str]:
    """The lines of a check, without the file's name."""
    path = tmp_path / "mine.pl"
    path.write_text(text)
    return [line.removeprefix(f"{path}:") for line in check_program(str(path), None, False, 60).messages()]


def lines(text: str) -> list[str]:
    return describe(ConstraintCircuit(parse_program(Source(Path("mine.pl"), text)), limits=None)).splitlines()


def shipped(name: str) -> list[str]:
    program = read_program(resource("programs", f"{name}.pl"))
    return describe(ConstraintCircuit(program, limits=None)).splitlines()


# --- check


def test_all_mistakes_of_a_file_in_the_order_of_the_text(tmp_path: Path) -> None:
    found = messages(
        tmp_path,
        "nn(net, [X], Y, [0,1]) :: digit(X, Y).\n"
        "nn(net2, [X], Y, [0,0]) :: other(X, Y).\n"
        "1.5 :: fact.\n"
        "total(X, Y, Z) :- digit(X, A), digt(Y, B), Z is A + B.\n"
        "same(X, Y) :- digit(X, A), digit(Y).\n",
    )
    assert [line.split(": ", 2)[:2] for line in found] == [
        [f"{place}", "error"] for place in ("2:1", "3:8", "4:32", "5:28")
    ]
    for line, words in zip(found, ("twice", "1.5", "did you mean digit/2", "wrong arity"), strict=True):
        assert words in line


@pytest.mark.parametrize("fact", ["support(0, 4)", "support(0)", "support(1, 1)"])
def test_a_wrong_support_is_a_mistake_with_its_place(fact: str, tmp_path: Path) -> None:
    text = DIGITS + "query(less(X, Y)).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n" + fact + "."
    (line,) = messages(tmp_path, text)
    assert line.startswith("4:1: error: ")
    assert fact.replace(" ", "") in line


def test_doubts_in_the_order_of_the_text(tmp_path: Path) -> None:
    *found, summary = messages(
        tmp_path,
        "nn(net, [X], Y, [0,1,2,3]) :: digit(X, Y).\n"
        "nn(observed, [X], Y, [0,1]) :: never(X, Y).\n"
        "query(less(X, Y)).\n"
        "less(X, Y) :- digit(X, A), digit(Y, B), A < B, digit(X, C).\n"
        "lonely(X) :- digit(X, _Any), helper(X).\n"
        "helper(a).\n",
    )
    assert all(": warning: " in line for line in found)
    assert [line.split(": ")[0] for line in found] == ["2:1", "2:32", "4:1", "5:1"]
    words = ("never asks observed", "never/2 has no part", "variable C ", "lonely/1 has no part in the query")
    assert all(word in line for word, line in zip(words, found, strict=True))  # not helper/1: lonely has it
    assert summary.endswith(" the query less(X,Y) is fine, images X, Y")


def test_classes_that_no_reading_has(tmp_path: Path) -> None:
    """A is odd and B is two more: A = 1, B = 3 is all."""
    text = DIGITS + "odd(X, Y) :- digit(X, A), digit(Y, B), 1 is A mod 2, B is A + 2.\n"
    warning, _ = messages(tmp_path, text)
    assert warning.startswith("1:1: warning: ")
    assert "query has 0, 2:" in warning


def test_no_doubts_of_what_is_reached_in_other_ways_or_used_twice(tmp_path: Path) -> None:
    """By maplist, by evidence, by negation; and a variable of one head of a disjunction and its body."""
    found = messages(
        tmp_path,
        ":- use_module(library(apply)).\n" + DIGITS + "query(go(X, Y)).\n"
        "go(X, Y) :- maplist(small, [X, Y]), \\+ off.\n"
        "small(X) :- digit(X, A), (A = 0 ; weight(A)).\n"
        "0.3 :: weight(B) ; 0.7 :: heavy :- size(B).\n"
        "size(1). size(2). size(3).\n"
        "0.1 :: off.\n0.5 :: seen(_) :- heavy.\nevidence(seen(a)).\n",
    )
    assert len(found) == 1, found
    assert "is fine" in found[0]


@pytest.mark.parametrize("name", ["addition", "in_order", "sudoku", "noisy_addition", "multi_addition"])
def test_shipped_programs_raise_no_doubt(name: str) -> None:
    path = resource("programs", f"{name}.pl")
    found = check_program(str(path), None, False, 60)
    assert (found.errors, found.warnings) == ([], [])


# --- show


def test_numbers_of_shipped_programs() -> None:
    addition = shipped("addition")
    assert "  query      addition(X,Y,Z)" in addition
    assert "  network    mnist_net reads X, Y, Z as 10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in addition
    assert "  worlds     55 of 1,000 satisfy the query" in addition
    labelled = shipped("labelled_addition")
    assert "  symbols    Z: 19 answers: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …, 18" in labelled
    assert "  worlds     100 of 100 with one of the answers each" in labelled
    several = shipped("multi_addition")
    assert "  worlds     10,000 of 10,000,000 satisfy the query" in several
    assert [line.split()[1:4] for line in several if line.startswith("  network")] == [
        ["mnist_net", "reads", "A1,"],
        ["observed", "reads", "S1,"],
    ]


def test_learnable_probabilities_evidence_and_images_read_together() -> None:
    found = lines(
        "nn(net, [X, Y], Z, [a, b]) :: pair(X, Y, Z).\nt(0.25) :: rain.\n0.5 :: sun.\n0.1 :: snow.\n"
        "evidence(sun).\nevidence(\\+ snow).\nquery(go(X, Y, Z)).\n"
        "go(X, Y, Z) :- pair(X, Y, Z), rain.\ngo(X, Y, Z) :- pair(X, Y, Z), sun, \\+ rain.\n"
    )
    assert "  network    net reads X+Y as 2 classes: a, b" in found
    assert "  learnable  0.25 :: rain at first" in found
    assert "  evidence   sun is true" in found
    assert "  evidence   snow is false" in found
    # one world for each answer and each value of rain, of two values each of net, rain, sun and snow
    assert "  worlds     4 of 16 with one of the answers each" in found


@pytest.mark.parametrize("count", [1, 12, 13, 40])
def test_a_long_list_keeps_its_first_ten_and_its_last(count: int) -> None:
    names = tuple(f"s{k}" for k in range(count))
    shown = listed(names).split(", ")
    assert shown == list(names if count <= 12 else (*names[:10], "…", names[-1]))
