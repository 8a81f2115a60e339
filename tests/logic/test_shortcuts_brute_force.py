import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_circuits import random_example
from shortcut_cases import counts

from nesy_gedi.logic import shortcuts_search
from nesy_gedi.logic.shortcuts import audit

RESTRICTIONS = ("none", "balanced", "marginal")


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
    anything = [draw(st.integers(0, len(networks) - 1)) for _ in range(draw(st.integers(0, 2)))]
    support[draw(st.integers(0, 1)) :, anything] = -1
    assume((support[:, [name is not None for name in networks]] >= 0).any())
    return example, networks, support, roots[numbers]


@settings(max_examples=60, deadline=None)
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
