import itertools
import math

import numpy as np
import pytest
from random_circuits import of_worlds
from shipped_cases import EVEN_ODD_PAIRS, HALF_PAIRS
from shortcut_cases import added, audit_addition, audit_answers, counts, pairs_by, sums

from nesy_gedi.errors import UserError
from nesy_gedi.logic import shortcuts_maps
from nesy_gedi.logic.arithmetic import Builder
from nesy_gedi.logic.shortcuts import audit


def test_addition():
    found = audit_addition()
    assert counts(found) == (2, 1, 1)
    assert found.maps(10) == [{"net": tuple(range(10))}, {"net": (0,) * 10}]
    assert not found.identifiable()
    assert found.identifiable("balanced")
    assert len(found.supervision()) == 1
    assert found.supervision("balanced") == ()


def test_half_of_rsbench():
    found = audit_answers([5, 5], pairs_by(added, 5), HALF_PAIRS)
    assert counts(found) == (3, 1, 1)
    assert {maps["net"] for maps in found.maps(10)} == {(0, 1, 2, 3, 4), (0, 1, 3, 2, 3), (0, 1, 4, 1, 2)}


def test_even_odd_of_rsbench():
    """Even and odd digits are a system of equations of their own each, with one free digit."""

    def solutions(pairs):
        digits = sorted({digit for pair in pairs for digit in pair})
        for read in itertools.product(range(10), repeat=len(digits)):
            alpha = dict(zip(digits, read, strict=True))
            if all(alpha[a] + alpha[b] == a + b for a, b in pairs):
                yield alpha

    both = itertools.product(solutions(EVEN_ODD_PAIRS[:4]), solutions(EVEN_ODD_PAIRS[4:]))
    expected = {tuple((even | odd)[k] for k in range(10)) for even, odd in both}
    found = audit_answers([10, 10], pairs_by(added, 10), EVEN_ODD_PAIRS)
    assert len(expected) == 36
    assert {maps["net"] for maps in found.maps(100)} == expected
    assert counts(found) == (36, 2, 2)


@pytest.mark.parametrize("classes", [1 + 1, 3, 10, 16])
def test_less_than_has_no_shortcuts(classes):
    pairs = list(itertools.combinations(range(classes), 2))
    assert audit_answers([classes] * 2, [pairs]).identifiable()


def test_parity_of_a_sum():
    found = audit_answers([10, 10], pairs_by(lambda a, b: (a + b) % 2, 10))
    factorial = math.factorial(5)
    assert counts(found) == (2 * 5**10, 2 * factorial**2, 2 * factorial**2)
    assert len(found.supervision()) == 10
    assert len(found.supervision("balanced")) == 8  # four even and four odd digits


def test_parity_of_four_digits():
    """10,000 examples, compiled one by one since millions of maps are left."""
    builder = Builder([10] * 4)
    parities = [[builder.any_value(v, range(p, 10, 2)) for p in (0, 1)] for v in range(4)]
    roots = [
        builder.add(
            [
                builder.multiply([parities[v][p] for v, p in enumerate(world)])
                for world in itertools.product((0, 1), repeat=4)
                if sum(world) % 2 == answer
            ]
        )
        for answer in (0, 1)
    ]
    worlds = np.array(list(itertools.product(range(10), repeat=4)))
    assert audit(builder.circuit(roots), ["net"] * 4, worlds, worlds.sum(1) % 2).count == 2 * 5**10


def test_two_digit_addition_with_labelled_sum():
    builder = Builder([10] * 4)

    def total(v, w, value):
        pairs = [(a, value - a) for a in range(10) if 0 <= value - a < 10]
        return builder.add([builder.multiply([builder.value(v, a), builder.value(w, b)]) for a, b in pairs])

    tens, units = ([total(v, v + 2, value) for value in range(19)] for v in (0, 1))
    roots = [
        builder.add(
            [builder.multiply([tens[t], units[n - 10 * t]]) for t in range(19) if 0 <= n - 10 * t < 19]
        )
        for n in range(199)
    ]
    worlds = np.array(list(itertools.product(range(10), repeat=4)))
    found = audit(builder.circuit(roots), ["net"] * 4, worlds, worlds @ [10, 1, 10, 1])
    assert counts(found) == (1, 1, 1)


def test_all_different():
    found = audit_answers([3] * 3, [list(itertools.permutations(range(3)))])
    assert counts(found) == (6, 6, 6)
    assert len(found.supervision()) == 2


def test_small_sudoku():
    def fits(*cells):
        rows = [cells[i : i + 4] for i in range(0, 16, 4)]
        boxes = [rows[r][c : c + 2] + rows[r + 1][c : c + 2] for r in (0, 2) for c in (0, 2)]
        return all(len(set(group)) == 4 for group in (*rows, *zip(*rows, strict=True), *boxes))

    rows = list(itertools.permutations(range(4)))
    halves = [
        a + b for a in rows for b in rows if all(len({*a[c : c + 2], *b[c : c + 2]}) == 4 for c in (0, 2))
    ]
    grids = [a + b for a in halves for b in halves if fits(*a, *b)]
    found = audit_answers([4] * 16, [grids])
    assert len(grids) == 288
    assert counts(found) == (24, 24, 24)


def test_counts_are_exact_beyond_floating_point():
    """Two networks that may read everything as anything."""
    builder = Builder([10, 10])
    circuit = builder.circuit([builder.multiply([builder.any_value(0), builder.any_value(1)])])
    support = np.array([(k, -1) for k in range(10)] + [(-1, k) for k in range(10)])
    found = audit(circuit, ["a", "b"], support, np.zeros(20, dtype=int))
    assert counts(found) == (10**20, math.factorial(10) ** 2, math.factorial(10) ** 2)


def test_one_map_in_a_million_is_ruled_out():
    """Six images that are not all nines."""
    builder = Builder([10] * 6)
    nines = [[builder.value(v, 9) for v in range(first)] for first in range(6)]
    rest = [[builder.any_value(v) for v in range(first + 1, 6)] for first in range(6)]
    others = [builder.any_value(first, range(9)) for first in range(6)]
    root = builder.add([builder.multiply([*nines[first], others[first], *rest[first]]) for first in range(6)])
    found = audit(builder.circuit([root]), ["net"] * 6, np.arange(6)[None], np.zeros(1, dtype=int))
    assert found.count == (10**6 - 1) * 10**4


def test_observed_variables_keep_their_value():
    """With the sum observed, "all zero" is no shortcut; with any sum, all that keeps a sum below 4 is one."""
    circuit, support = of_worlds([4] * 3, sums(4)), np.array(sums(4))
    answers, networks = np.zeros(len(support), dtype=int), ["net", "net", None]
    assert audit(circuit, networks, support, answers).count == 1
    support[:, 2] = -1
    every = itertools.product(range(4), repeat=4)
    allowed = [f for f in every if all(f[a] + f[b] < 4 for a in range(4) for b in range(4 - a))]
    assert {m["net"] for m in audit(circuit, networks, support, answers).maps(300)} == set(allowed)


def test_frequencies_count_repeated_examples():
    circuit = of_worlds([2], [(0,), (1,)])
    once = audit(circuit, ["net"], np.array([[0], [1]]), np.zeros(2, dtype=int))
    twice = audit(circuit, ["net"], np.array([[0], [0], [1]]), np.zeros(3, dtype=int))
    assert counts(once) == (4, 2, 2)
    assert counts(twice) == (4, 2, 1)


def test_unseen_symbols_may_be_read_as_anything():
    """Of 0 to 5 only 0 to 3 occur: 6 * 6 readings of 4 and 5 for each map, 2 if all is one-to-one."""
    found = audit_addition(6, support=[(0, 0, 0), (1, 1, 2), (1, 2, 3)])
    assert found.unseen == (("net", 4), ("net", 5))
    assert counts(found) == (2 * 36, 2, 2)
    assert found.maps(10) == [{"net": (0, 1, 2, 3, -1, -1)}, {"net": (0, 0, 0, 0, -1, -1)}]
    assert set(found.supervision()) > {("net", 4), ("net", 5)}
    assert len(found.supervision()) == 3
    assert len(found.supervision("balanced")) == 1


def test_examples_must_satisfy_the_program():
    circuit = of_worlds([3] * 3, sums(3))
    support = np.array([(1, 1, 2), (0, 0, 0), (1, 1, 1)])
    with pytest.raises(UserError, match=r"does not hold in example 3, values 1, 1, 1, with answer 0"):
        audit(circuit, ["net"] * 3, support, np.zeros(3, dtype=int))


@pytest.mark.parametrize("networks", [[None] * 3, ["net"] * 3])
def test_there_must_be_images(networks):
    rows = np.array(sums(3)[: 0 if any(networks) else 1]).reshape(-1, 3)
    with pytest.raises(UserError, match="no example shows an image"):
        audit(of_worlds([3] * 3, sums(3)), networks, rows, np.zeros(len(rows), dtype=int))


def test_diagrams_that_grow_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(shortcuts_maps, "_MOST_ELEMENTS", 1000)
    same = [(k, k) for k in range(8)]
    with pytest.raises(UserError, match=r"too many readings of 8 symbols.*1,000 elements"):
        audit_answers([8, 8], [same])


@pytest.mark.parametrize(("networks", "size"), [(67, 3), (1, 127)])
def test_too_many_symbols_are_refused(networks, size):
    builder = Builder([size] * networks)
    root = builder.multiply([builder.any_value(v) for v in range(networks)])
    support = np.repeat(np.arange(size)[:, None], networks, 1)
    with pytest.raises(UserError, match=f"too many symbols .* {size * networks}, with up to {size} readings"):
        audit(
            builder.circuit([root]), [f"net{v}" for v in range(networks)], support, np.zeros(size, dtype=int)
        )
