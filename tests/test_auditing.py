"""What ``program audit`` says, against brute force over all maps of small domains and known counts."""

from collections.abc import Callable
from functools import cache
from itertools import permutations, product
from pathlib import Path

import pytest

from nesy_gedi.auditing import audit_program, audited, parse_support
from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import parse_program, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.resources import resource

LESS = "nn(net, [X], Y, [0,1,2]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B."
LABELLED = (
    "nn(net, [X], Y, [0,1,2]) :: digit(X, Y).\nnn(observed, [Z], V, [0,1,2,3]) :: known(Z, V).\n"
    "add(X, Y, Z) :- digit(X, A), digit(Y, B), C is A + B, known(Z, C)."
)
TWO = (
    "nn(colour, [X], Y, [red, green]) :: colour(X, Y).\n"
    "nn(shape, [X], Y, [round, square]) :: shape(X, Y).\nquery(alike(A, B, C)).\n"
    "alike(A, B, C) :- colour(A, V), shape(B, W), fits(V, W, C).\n"
    "fits(red, round, yes). fits(red, square, no). fits(green, round, no). fits(green, square, yes).\n"
)


@cache
def of(text: str) -> ConstraintCircuit:
    return ConstraintCircuit(parse_program(Source(Path("mine.pl"), text)), limits=None)


@cache
def shipped(name: str) -> ConstraintCircuit:
    return ConstraintCircuit(read_program(resource("programs", f"{name}.pl")), limits=None)


def lines(circuit: ConstraintCircuit, support: str | None = None, most: int = 10) -> list[str]:
    return list(audit_program(circuit, support, most))


def numbers(found: list[str]) -> list[str]:
    """How many readings there are, balanced ones, and ones with the program's own marginal."""
    keys = ("of the symbols satisf", "with clusters kept balanced", "with the prior set")
    chosen = [next(line for line in found if key in line) for key in keys]
    return [chosen[0].split()[0], *(line.rsplit(": ")[1] for line in chosen[1:])]


def maps(classes: int, holds: Callable[..., bool], support: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All maps that keep every reading of a support true."""
    every = product(range(classes), repeat=classes)
    return [m for m in every if all(holds(*(m[k] for k in reading)) for reading in support)]


# --- shipped programs


def test_addition_has_the_truth_and_all_zeros() -> None:
    found = lines(shipped("addition"))
    assert found[0].endswith("query addition(X,Y,Z): all readings that satisfy the program")
    assert numbers(found) == ["2", "1", "1"]
    assert found[2] == "  every symbol as what it is"
    assert found[3] == "  every image as 0   (merges symbols: the term prior rules it out)"
    assert found[-1].startswith("identifiable with the terms nesy and prior together")


def test_half_by_its_support_facts() -> None:
    found = lines(shipped("half"))
    assert "4 readings that the support lists" in found[0]
    assert numbers(found) == ["3", "1", "1"]
    merging = "   (merges symbols: the term prior rules it out)"
    expected = {f"  2 as 3, 3 as 2, 4 as 3{merging}", f"  2 as 4, 3 as 1, 4 as 2{merging}"}
    assert set(found[3:5]) == expected


def test_even_odd_counts_all_and_lists_some() -> None:
    found = lines(shipped("even_odd"), most=2)
    assert numbers(found) == ["36", "2", "2"]
    assert found[3] == "  " + ", ".join(f"{k} as {(k + 5) % 10}" for k in range(10))
    assert found[4] == "  … and 34 more"
    # either of the two readings is known from a single label
    assert found[-2:] == [
        "not identifiable: nothing in the program tells the readings above apart",
        "enough beside nesy and prior: labelled images of 0",
    ]


def test_sudoku_needs_labels_of_three_digits() -> None:
    found = lines(shipped("sudoku"), most=24)
    assert numbers(found) == ["24", "24", "24"]
    listed = {line.strip() for line in found[2:26]}
    changes = [
        ", ".join(f"{k} as {j}" for k, j in zip((1, 2, 3, 4), order, strict=True) if j != k)
        for order in permutations((1, 2, 3, 4))
    ]
    assert listed == {change or "every symbol as what it is" for change in changes}
    assert found[-1] == "enough beside nesy and prior: labelled images of 1, 2, 3"
    renamings = list(permutations(range(4)))
    left = {n: [p for p in renamings if p[:n] == tuple(range(n))] for n in (2, 3)}
    assert (len(left[2]), len(left[3])) == (2, 1)


def test_parity_is_counted_exactly() -> None:
    found = lines(shipped("parity"), most=0)
    assert numbers(found) == [f"{2 * 5**10:,}", f"{2 * 120**2:,}", f"{2 * 120**2:,}"]
    assert found[2] == f"  … and {2 * 5**10:,} more"


def test_multi_addition_is_identifiable() -> None:
    found = lines(shipped("multi_addition"))
    assert found[1] == "1 reading of the symbols satisfies all of them"
    assert numbers(found) == ["1", "1", "1"]
    assert found[-1].startswith("identifiable: the term nesy alone")


def test_probabilities_of_the_program_are_no_readings() -> None:
    """Noise makes any map possible."""
    noisy = f"{LESS}\n0.2 :: noise.\nless(_, _) :- noise."
    assert numbers(lines(of(noisy))) == ["27", "6", "6"]


# --- networks and supports


def test_two_networks_are_read_together() -> None:
    found = lines(of(TWO))
    assert numbers(found) == ["2", "2", "2"]
    assert found[2] == "  colour: every symbol as what it is; shape: every symbol as what it is"
    assert found[3] == "  colour: red as green, green as red; shape: round as square, square as round"


SUPPORTS = ["0 1", "0 1; 0 2", "0 2;1 2", "0,1;\n;1,2"]


@pytest.mark.parametrize("text", SUPPORTS)
@pytest.mark.parametrize("way", ["text", "file"])
def test_a_support_equals_brute_force(text: str, way: str, tmp_path: Path) -> None:
    readings = [tuple(map(int, part.replace(",", " ").split())) for part in text.split(";") if part.strip()]
    if way == "file":
        (tmp_path / "support.txt").write_text(text.replace(";", "\n"))
    found, what = audited(of(LESS), text if way == "text" else str(tmp_path / "support.txt"))
    expected = maps(3, lambda a, b: a < b, readings)
    assert found.count == len(expected)
    assert found.balanced == sum(len(set(m)) == 3 for m in expected)
    assert what == f"{len(readings)} reading{'s' * (len(readings) > 1)} that the support lists"


def test_a_support_beside_observed_symbols() -> None:
    """1 + 2 = 3 as a label: the maps of 1 and 2 to 1, 2 or to 2, 1, and 0 is anything."""
    found = lines(of(LABELLED), "1 2", 1)
    assert numbers(found) == ["6", "2", "2"]
    assert "no image shows 0: how these are read is open" in found


def test_symbols_that_occur_unequally_often_are_told_apart_by_the_marginal() -> None:
    found = lines(of(LESS), "0 1; 0 1; 0 2")
    kept = maps(3, lambda a, b: a < b, [(0, 1), (0, 2)])
    assert numbers(found) == [str(len(kept)), "2", "1"]
    assert "  1 as 2, 2 as 1   (ruled out by the program's own marginal as prior)" in found


def test_a_long_support_is_no_file_name() -> None:
    assert parse_support(of(LESS), "0 1; " * 2000).tolist() == [[0, 1]] * 2000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1; 0", "reading 2, '0': 1 symbols; give 2 of 0, 1, 2"),
        ("0 1 2", "reading 1, '0 1 2': 3 symbols"),
        ("0 1; 0 2; 0 x", "reading 3, '0 x': x is not in the domain"),
        (" ;\n,", "no reading in it"),
        ("", "no reading in it"),
        ("0 1; 2 1", "the support has the reading '2 1', which does not satisfy less(X,Y)"),
        ("nowhere.txt", "nowhere.txt is not in the domain"),
    ],
)
def test_wrong_supports(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        audited(of(LESS), text)
    assert words in str(caught.value)


def test_a_support_that_no_label_fits() -> None:
    with pytest.raises(UserError, match=r"'2 2', which does not satisfy add\(X,Y,Z\)"):
        audited(of(LABELLED), "1 2; 2 2")


def test_a_support_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "support.txt").write_bytes(b"0 1\n\xff")
    with pytest.raises(UserError, match=r"cannot read .*support\.txt as text"):
        audited(of(LESS), str(tmp_path / "support.txt"))


def test_a_support_for_two_networks_is_refused() -> None:
    with pytest.raises(UserError, match=r"lists readings of one network, .* has 2 that see images"):
        audited(of(TWO), "red round")
