import copy
import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nesy_gedi.gedi.naming import best_naming, cluster_counts, rename_clusters

seeds = st.integers(0, 2**31 - 1)
SUMS = np.array([(a, b, a + b) for a in range(10) for b in range(10 - a)])
ADDITION = np.zeros((10, 10, 10), dtype=bool)
ADDITION[tuple(SUMS.T)] = True


def share_of(clusters, naming, worlds):
    """Share of the examples that a naming satisfies, one after the other."""
    return sum(bool(worlds[tuple(naming[k] for k in row)]) for row in clusters.tolist()) / len(clusters)


def noisy_sums(seed, count, noise):
    """Sums read by a network whose clusters are permuted, and which errs in a share of the images."""
    random = np.random.default_rng(seed)
    digits = SUMS[random.integers(len(SUMS), size=count)]
    name_of = random.permutation(10)  # cluster to digit
    clusters = np.argsort(name_of)[digits]
    wrong = random.random(clusters.shape) < noise
    clusters[wrong] = random.integers(10, size=wrong.sum())
    return torch.from_numpy(clusters), name_of.tolist()


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 4), st.integers(1, 5), st.integers(0, 30))
def test_counts_equal_a_loop(seed, slots, classes, examples):
    clusters = torch.randint(classes, (examples, slots), generator=torch.Generator().manual_seed(seed))
    expected = np.zeros((classes,) * slots)
    for row in clusters.tolist():
        expected[tuple(row)] += 1
    counts = cluster_counts(clusters, classes)
    np.testing.assert_array_equal(counts, expected)
    assert counts.shape == (classes,) * slots
    assert counts.sum() == examples


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_planted_names_are_found(seed, noise):
    clusters, name_of = noisy_sums(seed, 1000, noise)
    naming, share = best_naming(cluster_counts(clusters, 10), ADDITION, np.random.default_rng(seed))
    assert naming == name_of
    assert share == pytest.approx(share_of(clusters, name_of, ADDITION))
    assert share >= (1 - noise) ** 3 - 4 * math.sqrt(0.25 / 1000)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 4), st.integers(1, 3), st.floats(0.05, 0.95))
def test_search_equals_trying_every_permutation(seed, classes, slots, density):
    random = np.random.default_rng(seed)
    clusters = torch.from_numpy(random.integers(classes, size=(20, slots)))
    worlds = random.random((classes,) * slots) < density
    naming, share = best_naming(cluster_counts(clusters, classes), worlds, random)
    best = max(share_of(clusters, names, worlds) for names in permutations(range(classes)))
    assert share == pytest.approx(best)
    assert sorted(naming) == list(range(classes))
    assert share_of(clusters, naming, worlds) == pytest.approx(share)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 3), st.integers(5, 60))
def test_never_worse_than_the_present_names(seed, starts, examples):
    random = np.random.default_rng(seed)
    clusters = torch.from_numpy(random.integers(10, size=(examples, 3)))
    naming, share = best_naming(cluster_counts(clusters, 10), ADDITION, random, starts)
    assert share >= share_of(clusters, range(10), ADDITION) - 1e-12
    assert share == pytest.approx(share_of(clusters, naming, ADDITION))
    for i, j in product(range(10), repeat=2):  # and no swap is better
        swapped = list(naming)
        swapped[i], swapped[j] = naming[j], naming[i]
        assert share_of(clusters, swapped, ADDITION) <= share + 1e-12


@pytest.mark.parametrize("starts", [1, 20])
def test_right_names_stay(starts):
    clusters = torch.from_numpy(np.repeat(SUMS, 10, axis=0))
    naming, share = best_naming(cluster_counts(clusters, 10), ADDITION, np.random.default_rng(0), starts)
    assert naming == list(range(10))
    assert share == pytest.approx(1.0)


def test_present_names_are_among_the_starts():
    """One reading is allowed, the present one, and no swap leads towards it."""
    clusters = torch.arange(7)[None]
    worlds = np.zeros((7,) * 7, dtype=bool)
    worlds[tuple(range(7))] = True
    counts = cluster_counts(clusters, 7)
    naming, share = best_naming(counts, worlds, np.random.default_rng(0), starts=1)
    assert (naming, share) == (list(range(7)), 1.0)


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
