import copy
import math
from itertools import pairwise, permutations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nesy_gedi.gedi.naming import Clusters, best_namings, rename_clusters

seeds = st.integers(0, 2**31 - 1)
SUMS = np.array([(a, b, a + b) for a in range(10) for b in range(10 - a)])
PAIRS = np.array(list(product(range(10), repeat=2)))
PRODUCTS = np.array([(a, b, a * b % 10) for a, b in PAIRS])


def adds(readings, _rows):
    return readings[:, 0] + readings[:, 1] == readings[:, 2]


def multiplies(readings, _rows):
    return readings[:, 0] * readings[:, 1] % 10 == readings[:, 2]


def unlabelled(clusters, judge=adds):
    """Clusters of examples that are all of one kind."""
    clusters = torch.as_tensor(clusters)
    return Clusters(clusters, torch.zeros(len(clusters), dtype=torch.long), judge)


def labelled(clusters, totals):
    """Pairs of images with the sum that each is said to have."""
    clusters, totals = torch.as_tensor(clusters), torch.as_tensor(totals)
    return Clusters(clusters, totals, lambda readings, rows: readings.sum(1) == totals[rows])


def share_of(clusters, naming, holds):
    """Mean of what ``holds(example, reading)`` gives, one example after the other."""
    readings = [[naming[k] for k in row] for row in np.asarray(clusters).tolist()]
    return sum(float(holds(i, reading)) for i, reading in enumerate(readings)) / len(readings)


def adds_one(_example, reading):
    return reading[0] + reading[1] == reading[2]


def noisy(digits, seed, noise):
    """Clusters of a network that permutes digits, and that errs in a share of the images."""
    random = np.random.default_rng(seed)
    name_of = random.permutation(10)  # cluster to digit
    clusters = np.argsort(name_of)[digits]
    wrong = random.random(clusters.shape) < noise
    clusters[wrong] = random.integers(10, size=wrong.sum())
    return clusters, tuple(name_of.tolist())


def drawn(table, seed, count=1000):
    return table[np.random.default_rng(seed + 100).integers(len(table), size=count)]


def random_tables(random, kinds, classes, slots):
    """For each kind how likely each reading satisfies it; some never, some surely."""
    return np.clip(random.random((kinds, *[classes] * slots)) * 3 - 1, 0, 1)


def of_tables(clusters, kinds, tables):
    """Clusters of examples that a table for each kind judges; the kinds' numbers have gaps."""
    lookup, kinds = torch.from_numpy(tables), torch.from_numpy(kinds)
    return Clusters(
        torch.from_numpy(clusters),
        7 * kinds + 2,
        lambda readings, rows: lookup[(kinds[rows], *readings.T)],
    )


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 40))
def test_shares_equal_a_loop(seed, slots, classes, kinds, examples):
    random = np.random.default_rng(seed)
    clusters = random.integers(classes, size=(examples, slots))
    kind = random.integers(kinds, size=examples)
    tables = random_tables(random, kinds, classes, slots)
    namings = random.integers(classes, size=(5, classes))  # also those that merge two clusters
    shares = of_tables(clusters, kind, tables).shares(namings)
    expected = [share_of(clusters, n, lambda i, reading: tables[(kind[i], *reading)]) for n in namings]
    np.testing.assert_allclose(shares, expected, atol=1e-12)


def test_many_namings_are_judged_as_few_are():
    """More readings than are judged at once."""
    random = np.random.default_rng(0)
    clusters, kind = random.integers(6, size=(300, 2)), random.integers(2, size=300)
    tables = random_tables(random, 2, 6, 2)
    namings = random.integers(6, size=(5000, 6))
    asked = []
    judge = of_tables(clusters, kind, tables).judge

    def watched(readings, rows):
        asked.append(len(readings))
        return judge(readings, rows)

    found = Clusters(torch.from_numpy(clusters), torch.from_numpy(kind), watched)
    shares = found.shares(namings)
    expected = sum(tables[(kind, *(namings[:, clusters[:, slot]] for slot in range(2)))].T) / 300
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    assert len(asked) > 1
    assert max(asked) <= 200_000


def test_equal_examples_are_judged_once():
    asked = []

    def watched(readings, rows):
        asked.append((readings.tolist(), rows.tolist()))
        return readings[:, 0] < rows

    clusters = torch.tensor([[2], [1], [2], [2], [1]])
    found = Clusters(clusters, torch.tensor([0, 0, 0, 1, 0]), watched)
    found.shares(np.arange(3)[None])
    ((readings, rows),) = asked
    assert sorted(readings) == [[1], [2], [2]]
    for reading, row in zip(readings, rows, strict=True):  # each is asked as an example that it stands for
        assert clusters[row].tolist() == reading
    assert sorted(row == 3 for row in rows) == [False, False, True]


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(2))
def test_planted_names_are_found(seed, noise):
    clusters, name_of = noisy(drawn(SUMS, seed), seed, noise)
    best = best_namings(unlabelled(clusters), 10, np.random.default_rng(seed))[0]
    assert best.classes == name_of
    assert best.share == pytest.approx(share_of(clusters, name_of, adds_one))
    assert best.share >= (1 - noise) ** 3 - 4 * math.sqrt(0.25 / 1000)


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(2))
def test_planted_names_are_found_from_labelled_sums(seed, noise):
    """The same two clusters stand in examples of several labels."""
    digits = drawn(PAIRS, seed)
    clusters, name_of = noisy(digits, seed, noise)
    totals = digits.sum(1)
    best = best_namings(labelled(clusters, totals), 10, np.random.default_rng(seed))[0]
    assert best.classes == name_of
    assert best.share == pytest.approx(share_of(clusters, name_of, lambda i, r: sum(r) == totals[i]))
    assert best.share >= (1 - noise) ** 2 - 4 * math.sqrt(0.25 / 1000)


def test_without_their_kinds_labelled_examples_would_be_lost():
    """One pair of clusters, three labels: each counts for itself."""
    found = labelled([[0, 1]] * 6, [1, 1, 1, 2, 2, 3])
    assert found.shares(np.array([[0, 1, 2, 3], [0, 2, 1, 3], [1, 2, 0, 3], [2, 3, 0, 1]])).tolist() == [
        *(pytest.approx(3 / 6), pytest.approx(2 / 6), pytest.approx(1 / 6), 0.0)
    ]


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_search_equals_trying_every_permutation(seed, classes, slots, kinds):
    random = np.random.default_rng(seed)
    clusters, kind = random.integers(classes, size=(20, slots)), random.integers(kinds, size=20)
    tables = random_tables(random, kinds, classes, slots)
    found = best_namings(of_tables(clusters, kind, tables), classes, random)
    shares = {
        names: share_of(clusters, names, lambda i, reading: tables[(kind[i], *reading)])
        for names in permutations(range(classes))
    }
    assert found[0].share == pytest.approx(max(shares.values()))
    assert [naming.share for naming in found] == pytest.approx([shares[n.classes] for n in found])


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 8), st.integers(5, 60), st.integers(1, 6))
def test_namings_are_distinct_the_best_first_and_no_swap_betters_one(seed, starts, examples, most):
    clusters = np.random.default_rng(seed).integers(10, size=(examples, 3))
    found = best_namings(unlabelled(clusters), 10, np.random.default_rng(seed), starts, most)
    again = best_namings(unlabelled(clusters), 10, np.random.default_rng(seed), starts, most)
    assert found == again
    assert 1 <= len(found) <= min(most, starts)
    assert len({naming.classes for naming in found}) == len(found)
    assert all(better.share >= worse.share - 1e-12 for better, worse in pairwise(found))
    assert found[0].share >= share_of(clusters, range(10), adds_one) - 1e-12  # the present names
    for naming in found:
        assert sorted(naming.classes) == list(range(10))
        swaps = [(i, j) for i in range(10) for j in range(i)]
        swapped = np.repeat([naming.classes], len(swaps), axis=0)
        for row, (i, j) in zip(swapped, swaps, strict=True):
            row[[i, j]] = row[[j, i]]
        assert unlabelled(clusters).shares(swapped).max() <= naming.share + 1e-12


def test_both_readings_of_the_products_modulo_ten_come_first():
    """The truth and its cube, x³ mod 10, are the two one-to-one readings under which all products hold."""
    cube = tuple(k**3 % 10 for k in range(10))
    found = best_namings(unlabelled(PRODUCTS, multiplies), 10, np.random.default_rng(1))
    assert {naming.classes for naming in found[:2]} == {tuple(range(10)), cube}
    assert [naming.share for naming in found[:2]] == pytest.approx([1.0, 1.0])
    assert len(found) == 5
    assert found[2].share < 1


def test_where_nothing_tells_names_apart_all_are_best():
    fours = unlabelled([[0, 1, 2, 3]], lambda readings, _: readings.sort(1)[0].eq(torch.arange(4)).all(1))
    found = best_namings(fours, 4, np.random.default_rng(0), most=30)
    assert {naming.classes for naming in found} == set(permutations(range(4)))
    assert found[0].classes == (0, 1, 2, 3)  # what is as good as any stays
    assert len(best_namings(fours, 4, np.random.default_rng(0))) == 5


def test_no_naming_is_climbed_from_twice():
    """Three clusters have six namings; each is judged with its swaps at most once, however many starts."""
    asked = []

    def watched(readings, rows):
        asked.append(readings.tolist())
        return adds(readings, rows)

    best_namings(unlabelled([[0, 1, 2]], watched), 3, np.random.default_rng(0), starts=100)
    assert 3 <= len(asked) <= 6
    assert len({str(readings) for readings in asked}) == len(asked)


@pytest.mark.parametrize("starts", [1, 20])
def test_right_names_stay(starts):
    clusters = unlabelled(np.repeat(SUMS, 10, axis=0))
    best = best_namings(clusters, 10, np.random.default_rng(0), starts)[0]
    assert best.classes == tuple(range(10))
    assert best.share == pytest.approx(1.0)


def test_present_names_are_among_the_starts():
    """One reading is allowed, the present one, and no swap leads towards it."""
    clusters = unlabelled(torch.arange(7)[None], lambda readings, _: (readings == torch.arange(7)).all(1))
    (best,) = best_namings(clusters, 7, np.random.default_rng(0), starts=1)
    assert best == (tuple(range(7)), 1.0)


def classifier(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 5)).double()


NAMES = [3, 0, 4, 1, 2]  # not its own inverse


@pytest.mark.parametrize("bias", [True, False])
def test_renaming_permutes_the_clusters_exactly(bias):
    torch.manual_seed(0)
    layer = nn.Linear(8, 5, bias=bias)
    inputs = torch.randn(500, 8)
    before = layer(inputs)
    rename_clusters(layer, NAMES)
    after = layer(inputs)
    torch.testing.assert_close(after[:, NAMES], before)
    assert torch.equal(after.argmax(1), torch.tensor(NAMES)[before.argmax(1)])


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)))
def test_renaming_back_restores_every_bit(names):
    network = classifier(1)
    before = copy.deepcopy(network.state_dict())
    rename_clusters(network[-1], names)
    rename_clusters(network[-1], np.argsort(names).tolist())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("amsgrad", [False, True])
def test_training_goes_on_as_if_the_names_had_always_been_these(amsgrad):
    """Steps, renaming, more steps on the renamed targets: the renamed network of all steps on the old."""
    inputs = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 5
    results = []
    for rename_after in (3, 6):
        network = classifier(2)
        others = torch.optim.Adam(network[0].parameters(), lr=0.05)
        optimizer = torch.optim.Adam(
            network[-1].parameters(), lr=0.05, weight_decay=1e-2, betas=(0.9, 0.99), amsgrad=amsgrad
        )
        names = torch.arange(5)
        for step in range(7):
            if step == rename_after:
                rename_clusters(network[-1], NAMES, [others, optimizer])
                names = torch.tensor(NAMES)
            network.zero_grad()
            F.cross_entropy(network(inputs), names[targets]).backward()
            others.step()
            optimizer.step()
        results.append(network.state_dict())
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-9, atol=1e-12)
