"""More clusters than labels and fewer, per-batch NMI and its chance levels, and k-means."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import (
    batch_nmi,
    clustering_score,
    confusion,
    kmeans_pixels,
    kmeans_score,
    majority_reading,
)


def best_matching(rows: list[tuple[int, int]], clusters: int, classes: int) -> float:
    """Share right under the best one-to-one naming, by trying all; -1 is no name."""
    longer = [*range(classes), *[-1] * clusters]
    names = set(permutations(longer, clusters))
    return max(sum(naming[p] == k for p, k in rows) for naming in names) / len(rows)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.sampled_from([(4, 2), (2, 4), (3, 3)]))
def test_clusters_need_not_be_as_many_as_labels(data: st.DataObject, sizes: tuple[int, int]) -> None:
    clusters, classes = sizes
    pair = st.tuples(st.integers(0, clusters - 1), st.integers(0, classes - 1))
    rows = data.draw(st.lists(pair, min_size=1, max_size=30))
    predicted, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    table = confusion(predicted, labels, clusters, classes)
    wanted = [[rows.count((p, k)) for p in range(clusters)] for k in range(classes)]
    np.testing.assert_array_equal(table, wanted)
    score = clustering_score(predicted, labels, clusters)
    assert score.matched_accuracy == pytest.approx(best_matching(rows, clusters, classes))
    assert score.accuracy == pytest.approx(sum(p == k for p, k in rows) / len(rows))
    assert score.ari == pytest.approx(adjusted_rand_score(labels, predicted))
    reading = majority_reading(table)
    assert [row[read] for row, read in zip(table, reading, strict=True) if row.sum()] == [
        row.max() for row in table if row.sum()
    ]


def test_split_clusters_keep_only_their_largest_part() -> None:
    labels = torch.arange(2).repeat_interleave(50)
    predicted = labels * 2 + (torch.arange(100) % 50 < 20)  # each class in two clusters, 30 and 20
    score = clustering_score(predicted, labels, 4)
    assert score.matched_accuracy == 0.6
    assert score.accuracy == 0.3  # cluster 0 is class 0, cluster 1 holds class 0 as well
    assert clustering_score(torch.zeros_like(labels), labels, 1).matched_accuracy == 0.5
    # cluster 1 of two is class 1; of two classes only
    assert clustering_score(labels, labels, 7).matched_accuracy == 1.0


def uniform(classes: int, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(0, classes, (2, count), generator=generator)
    return first, second


@pytest.mark.parametrize(("classes", "chance"), [(10, 0.31), (100, 0.90)])
def test_chance_level_of_batches_is_far_from_zero(classes: int, chance: float) -> None:
    predicted, labels = uniform(classes, 64 * 100)
    score = clustering_score(predicted, labels, classes)
    assert score.batch_nmi == pytest.approx(chance, abs=0.01)
    assert score.nmi < score.batch_nmi / 2
    assert score.ari == pytest.approx(0.0, abs=0.01)


def test_batches_are_whole_and_in_one_shuffled_order() -> None:
    predicted, labels = uniform(5, 64 * 3 + 17)
    order = torch.randperm(64 * 3 + 17, generator=torch.Generator().manual_seed(0))
    wanted = [
        normalized_mutual_info_score(labels[order[at : at + 64]], predicted[order[at : at + 64]])
        for at in (0, 64, 128)
    ]
    assert batch_nmi(predicted, labels) == pytest.approx(np.mean(wanted))
    few = normalized_mutual_info_score(labels[:20], predicted[:20])
    assert batch_nmi(predicted[:20], labels[:20]) == pytest.approx(few)
    one = normalized_mutual_info_score(labels[:64], predicted[:64])
    assert batch_nmi(predicted[:64], labels[:64]) == pytest.approx(one)


def test_a_set_that_is_sorted_by_class_scores_as_one_that_is_not() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(640) % 10
    predicted = torch.where(torch.rand(640, generator=generator) < 0.8, labels, (labels + 1) % 10)
    by_class = labels.argsort(stable=True)
    mixed, in_order = batch_nmi(predicted, labels), batch_nmi(predicted[by_class], labels[by_class])
    assert mixed > 0.6
    assert in_order == pytest.approx(mixed, abs=0.05)


def blobs(count: int, spread: float) -> tuple[Tensor, Tensor]:
    """Three clouds around the corners of a triangle with sides of about 10."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [5.0, 9.0]])
    return centres[labels] + spread * torch.randn(count, 2, generator=generator), labels


def test_kmeans_finds_what_lies_apart_and_is_scored_on_the_other_set() -> None:
    (train, _), (test, labels) = blobs(90, 0.5), blobs(60, 0.7)
    score = kmeans_score(train, test, labels, 3)
    assert (score.matched_accuracy, score.nmi, score.ari) == (1.0, pytest.approx(1.0), 1.0)
    (wide, _), (other, names) = blobs(90, 4.0), blobs(60, 5.0)
    oracle = KMeans(3, n_init=10, random_state=0).fit(wide.numpy()).predict(other.numpy())
    assert kmeans_score(wide, other, names, 3).nmi == pytest.approx(
        normalized_mutual_info_score(names, oracle)
    )


def test_kmeans_on_equal_vectors_finds_nothing_without_complaint(recwarn: pytest.WarningsRecorder) -> None:
    labels = torch.arange(30) % 3
    score = kmeans_score(torch.zeros(30, 2), torch.zeros(30, 2), labels, 3)
    assert (score.nmi, score.ari) == (0.0, 0.0)
    assert not recwarn.list
    with pytest.raises(UserError, match="cannot find 31 clusters in 30 images"):
        kmeans_score(torch.zeros(30, 2), torch.zeros(30, 2), labels, 31)


def test_kmeans_on_pixels() -> None:
    labels = torch.arange(40) % 2
    dark_left = torch.zeros(40, 1, 4, 4, dtype=torch.uint8)
    dark_left[labels == 1, :, :, 2:] = 255
    dark_left[labels == 0, :, :, :2] = 255
    images = ImageSet("halves", "here", dark_left, None, dark_left, labels, 2)
    assert kmeans_pixels(images, 2).matched_accuracy == 1.0
    without = ImageSet("halves", "here", dark_left, None, dark_left, None, 0)
    with pytest.raises(UserError, match="halves has no labels"):
        kmeans_pixels(without, 2)
