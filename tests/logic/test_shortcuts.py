import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_circuits import of_worlds, random_example

from nesy_gedi.errors import UserError
from nesy_gedi.logic import shortcuts_maps, shortcuts_search
from nesy_gedi.logic.arithmetic import Builder
from nesy_gedi.logic.shortcuts import audit
from nesy_gedi.logic.shortcuts_text import describe, learned_map

RESTRICTIONS = ("none", "balanced", "marginal")
DIGITS = [str(k) for k in range(10)]


def audit_answers(sizes, answers, support=None, networks=None):
    """The audit of a program given by the worlds of each answer; of all of them, or of a support."""
    rows = [(world, root) for root, worlds in enumerate(answers) for world in worlds]
    rows = [row for row in rows if support is None or row[0] in support]
    values, roots = np.array([world for world, _ in rows]), np.array([root for _, root in rows])
    return audit(of_worlds(sizes, *answers), networks or ["net"] * len(sizes), values, roots)


def pairs_by(answer, classes):
    """All pairs, in lists of equal answers."""
    pairs = list(itertools.product(range(classes), repeat=2))
    return [
        [pair for pair in pairs if answer(*pair) == value] for value in sorted({answer(*p) for p in pairs})
    ]


def added(a, b):
    return a + b


def sums(classes):
    return [(a, b, a + b) for a in range(classes) for b in range(classes - a)]


def audit_addition(classes=10, support=None):
    return audit_answers([classes] * 3, [sums(classes)], support)


HALF = [(0, 0), (0, 1), (2, 3), (2, 4)]
EVEN_ODD = [(0, 6), (2, 8), (4, 6), (4, 8), (1, 5), (3, 7), (1, 9), (3, 9)]


def counts(found):
    return found.count, found.balanced, found.marginal


# --- against brute force


class BruteForce:
    """All maps that keep every example true, by trying each.

    ``tables`` has a row for each map: the readings of all symbols, network after network.
    """

    def __init__(self, example, networks, support, answers):
        sizes = example.circuit.sizes
        self.domains = {name: size for name, size in zip(networks, sizes, strict=True) if name is not None}
        self.symbols = [(name, k) for name, size in self.domains.items() for k in range(size)]
        number = {symbol: i for i, symbol in enumerate(self.symbols)}
        choices = [range(self.domains[name]) for name, _ in self.symbols]
        tables = np.array(list(itertools.product(*choices)))
        holds = example.holds.numpy().reshape(-1, *sizes)
        kept = np.ones(len(tables), dtype=bool)
        often = dict.fromkeys(self.symbols, 0)
        for row, answer in zip(support.tolist(), answers, strict=True):
            true, index = holds[answer], []
            for variable, (name, value) in reversed(list(enumerate(zip(networks, row, strict=True)))):
                if value < 0:
                    true = true.any(variable)
                elif name is None:
                    true = true.take(value, variable)
                else:
                    index.insert(0, tables[:, number[name, value]])
                    often[name, value] += 1
            kept &= true[tuple(index)]
        self.unseen = [symbol for symbol in self.symbols if not often[symbol]]
        self.tables = {"none": tables[kept]}
        self.tables["balanced"] = self._select(self._is_permutation)
        self.tables["marginal"] = self._select(
            lambda read: (
                all(often[n, k] == often[n, j] for (n, k), j in zip(self.symbols, read, strict=True))
                and self._is_permutation(read)
            )
        )

    def _select(self, test):
        tables = self.tables["none"]
        return tables[[test(read) for read in tables.tolist()]]

    def _is_permutation(self, read):
        named = {(name, j) for (name, _), j in zip(self.symbols, read, strict=True)}
        return len(named) == len(self.symbols)

    def listed(self, restriction):
        """As the audit lists them: any reading of unseen symbols is -1."""
        result = set()
        for read in self.tables[restriction].tolist():
            by_symbol = dict(zip(self.symbols, read, strict=True)) | dict.fromkeys(self.unseen, -1)
            result.add(
                tuple((name, tuple(by_symbol[name, k] for k in range(n))) for name, n in self.domains.items())
            )
        return result

    def leaves_identity(self, labelled, restriction):
        wrong = self.tables[restriction] != np.array([k for _, k in self.symbols])
        others = wrong[wrong.any(1)]
        return bool(others[:, [self.symbols.index(symbol) for symbol in labelled]].any(1).all())

    def fewest_labels(self, restriction):
        for size in range(len(self.symbols) + 1):
            for labelled in itertools.combinations(self.symbols, size):
                if self.leaves_identity(labelled, restriction):
                    return size
        raise AssertionError("labels of all symbols leave the identity")


@st.composite
def problems(draw):
    """A random circuit, a network or none for each variable, examples in which it holds, their answers."""
    example = random_example(draw(st.integers(0, 2**31 - 1)), most_variables=4)
    sizes = example.circuit.sizes
    # variables of one size may share a network
    names = [draw(st.sampled_from([None, "a", "a", "b"])) for _ in sizes]
    size_of = {name: size for name, size in zip(names, sizes, strict=True) if name is not None}
    networks = [
        name if name and size_of[name] == size else None for name, size in zip(names, sizes, strict=True)
    ]
    assume(math.prod(size_of[name] ** size_of[name] for name in {*networks} - {None}) <= 10_000)
    assume(any(networks) and example.holds.any())
    roots, worlds = np.nonzero(example.holds.numpy())
    numbers = draw(st.lists(st.integers(0, len(roots) - 1), min_size=1, max_size=8))
    support = example.worlds.numpy()[worlds[numbers]]
    support[:, [name is None and draw(st.booleans()) for name in networks]] = -1
    return example, networks, support, roots[numbers]


@settings(max_examples=80, deadline=None)
@given(problems())
def test_everything_equals_brute_force(problem):
    example, networks, support, answers = problem
    found = audit(example.circuit, networks, support, answers)
    expected = BruteForce(example, networks, support, answers)
    assert counts(found) == tuple(len(expected.tables[restriction]) for restriction in RESTRICTIONS)
    assert list(found.unseen) == expected.unseen
    assert sorted([*found.symbols, *found.unseen]) == sorted(expected.symbols)
    for restriction in RESTRICTIONS:
        assert found.identifiable(restriction) == (len(expected.tables[restriction]) == 1)
        maps = [tuple(maps.items()) for maps in found.maps(10**6, restriction)]
        assert len(set(maps)) == len(maps)
        assert set(maps) == expected.listed(restriction)
        labelled = found.supervision(restriction)
        assert expected.leaves_identity(labelled, restriction)
        assert len(labelled) == expected.fewest_labels(restriction)
    assert all(read in (-1, k) for readings in found.maps(1)[0].values() for k, read in enumerate(readings))
    for restriction in ("marginal", "balanced"):  # the narrower ones come first
        narrow = found.maps(10**6, restriction)
        assert found.maps(len(narrow)) == narrow


@settings(max_examples=30, deadline=None)
@given(problems(), st.sampled_from(["_SAMPLE", "_MOST_MAPS", "_MOST_PAIRS", "_CHUNK"]))
def test_how_it_searches_does_not_matter(problem, constant):
    """With one map in a sample, all examples compiled, few pairs tried, and one pair at a time."""
    example, networks, support, answers = problem
    expected = counts(audit(example.circuit, networks, support, answers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcuts_search, constant, 1)
        assert counts(audit(example.circuit, networks, support, answers)) == expected


# --- known numbers


def test_addition():
    found = audit_addition()
    assert counts(found) == (2, 1, 1)
    assert found.maps(10) == [{"net": tuple(range(10))}, {"net": (0,) * 10}]
    assert not found.identifiable()
    assert found.identifiable("balanced")
    assert len(found.supervision()) == 1
    assert found.supervision("balanced") == ()


def test_half_of_rsbench():
    found = audit_answers([5, 5], pairs_by(added, 5), HALF)
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

    both = itertools.product(solutions(EVEN_ODD[:4]), solutions(EVEN_ODD[4:]))
    expected = {tuple((even | odd)[k] for k in range(10)) for even, odd in both}
    found = audit_answers([10, 10], pairs_by(added, 10), EVEN_ODD)
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


# --- what is refused


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


# --- in words


def test_addition_in_words():
    assert describe(audit_addition(), {"net": DIGITS}).splitlines() == [
        "2 readings of the images keep every example true",
        "  the intended reading",
        "  every image is read as 0 (merges symbols: ruled out by the term prior)",
        "verdict: identifiable with the constraint and the term prior",
        "with the constraint alone, labels for images of 1 suffice",
    ]


def test_no_shortcut_in_words():
    found = audit_answers([3, 3], [[(0, 1), (0, 2), (1, 2)]])
    assert describe(found, {"net": DIGITS}).splitlines() == [
        "1 reading of the images keeps every example true: the intended reading",
        "verdict: identifiable from the constraint alone",
    ]


def test_half_in_words():
    found = audit_answers([5, 5], pairs_by(added, 5), HALF)
    lines = describe(found, {"net": DIGITS}).splitlines()
    merging = " (merges symbols: ruled out by the term prior)"
    assert lines[1] == "  the intended reading"
    assert set(lines[2:4]) == {f"  2->4, 3->1, 4->2{merging}", f"  2->3, 3->2, 4->3{merging}"}


def test_unidentifiable_in_words():
    found = audit_answers([3] * 3, [list(itertools.permutations(range(3)))])
    lines = describe(found, {"net": ["x", "y", "z"]}, most=3).splitlines()
    assert lines[:2] == ["6 readings of the images keep every example true", "  the intended reading"]
    assert lines[4:] == [
        "  …",
        "verdict: not identifiable: readings left: 6 with the constraint alone, 6 with the term prior",
        "with the constraint alone, labels for images of x, y suffice",
        "with the term prior, labels for images of x, y suffice",
    ]


def test_frequencies_in_words():
    """A map that is one-to-one but changes how often symbols occur; then one more that does not."""
    circuit = of_worlds([3], [(0,), (1,), (2,)])
    support = np.array([[0], [0], [1], [2], [2], [2]])
    found = audit(circuit, ["net"], support, np.zeros(6, dtype=int))
    lines = describe(found, {"net": DIGITS}, most=6).splitlines()
    changes = " (changes how often symbols occur: ruled out by the term prior, unless it is uniform)"
    assert lines[0] == "27 readings of the images keep every example true"
    assert lines[1] == "  the intended reading"
    assert all(line.endswith(changes) for line in lines[2:7])
    assert f"  0->1, 1->0{changes}" in lines[2:7]
    assert lines[7] == "  …"
    assert lines[8] == (
        "verdict: identifiable with the constraint and the term prior set to the program's marginal; "
        "a uniform prior leaves 6 readings"
    )
    assert lines[9:] == [
        "with the constraint alone, labels for images of 0, 1, 2 suffice",
        "with a uniform term prior, labels for images of 0, 1 suffice",
    ]


def test_two_networks_and_unseen_symbols_in_words():
    """Round things are red or green, square ones blue: the first two colours can be swapped or merged."""
    answers = [[(0, 0), (0, 1), (1, 2)], [(0, 2), (1, 0), (1, 1), (0, 3), (1, 3)]]
    found = audit_answers([2, 4], answers, answers[0], ["shape", "colour"])
    domains = {"shape": ["round", "square"], "colour": ["red", "green", "blue", "pink"]}
    lines = describe(found, domains).splitlines()
    merging = " (merges symbols: ruled out by the term prior)"
    assert "  no example shows pink (colour): any reading will do, none is listed" in lines
    assert "  colour: red->green, green->red" in lines
    assert f"  colour: red->green{merging}" in lines
    assert f"  every image of shape is read as round; colour: blue->red{merging}" in lines
    assert "with the term prior, labels for images of red (colour) suffice" in lines


# --- what a network has learned


def test_learned_map():
    true, read = np.array([0, 0, 0, 1, 1, 3]), np.array([2, 2, 1, 0, 0, 3])
    assert learned_map(true, read, 4) == ((2, 0, -1, 3), pytest.approx(5 / 6))


@given(st.permutations(range(5)), st.integers(1, 20))
def test_learned_map_of_a_network_that_implements_one(permutation, images):
    true = np.arange(images) % 5
    found = learned_map(true, np.array(permutation)[true], 5)
    assert found.agreement == 1
    assert found.map == tuple(permutation[k] if k < images else -1 for k in range(5))
