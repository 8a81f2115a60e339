"""Accuracy, matched accuracy and NMI against plain counting."""

import math
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, normalized_mutual_info_score

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.evaluation.clustering import clustering_score, confusion, predict
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


def mutual_information(predicted: list[int], labels: list[int]) -> float:
    """NMI by its definition: I(p; l) over the mean of the two entropies, natural logarithms."""
    n = len(labels)
    joint = Counter(zip(predicted, labels, strict=True))
    left, right = Counter(predicted), Counter(labels)
    shared = sum(c / n * math.log(c * n / (left[p] * right[k])) for (p, k), c in joint.items())
    entropies = [-sum(c / n * math.log(c / n) for c in counts.values()) for counts in (left, right)]
    return shared / (sum(entropies) / 2)


@settings(deadline=None)
@given(pairs)
def test_scores_equal_brute_force(rows: list[tuple[int, int]]) -> None:
    predicted, labels = (list(column) for column in zip(*rows, strict=True))
    score = clustering_score(torch.tensor(predicted), torch.tensor(labels), CLASSES)
    n = len(rows)
    assert score.accuracy == pytest.approx(sum(p == k for p, k in rows) / n)
    matched = max(sum(naming[p] == k for p, k in rows) / n for naming in permutations(range(CLASSES)))
    assert score.matched_accuracy == pytest.approx(matched)
    if len(set(predicted)) > 1 and len(set(labels)) > 1:
        assert score.nmi == pytest.approx(mutual_information(predicted, labels), abs=1e-9)
    assert score.nmi == pytest.approx(normalized_mutual_info_score(labels, predicted), abs=1e-9)


@settings(deadline=None)
@given(pairs, st.permutations(range(CLASSES)))
def test_matched_accuracy_and_nmi_do_not_depend_on_names(
    rows: list[tuple[int, int]], naming: list[int]
) -> None:
    predicted, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    one = clustering_score(predicted, labels, CLASSES)
    other = clustering_score(torch.tensor(naming)[predicted], labels, CLASSES)
    assert other.matched_accuracy == one.matched_accuracy >= one.accuracy
    assert other.nmi == pytest.approx(one.nmi, abs=1e-12)


@given(pairs)
def test_confusion_is_label_by_predicted(rows: list[tuple[int, int]]) -> None:
    predicted, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    table = confusion(predicted, labels, CLASSES)
    wanted = confusion_matrix(labels.numpy(), predicted.numpy(), labels=range(CLASSES))
    np.testing.assert_array_equal(table, wanted)


def test_right_names_wrong_names_and_no_clusters() -> None:
    labels = torch.arange(10).repeat(20)
    perfect = clustering_score(labels, labels, 10)
    assert (perfect.accuracy, perfect.matched_accuracy, perfect.nmi) == (1.0, 1.0, pytest.approx(1.0))
    shifted = clustering_score((labels + 1) % 10, labels, 10)
    assert (shifted.accuracy, shifted.matched_accuracy, shifted.nmi) == (0.0, 1.0, pytest.approx(1.0))
    collapsed = clustering_score(torch.zeros(200, dtype=torch.long), labels, 10)
    assert (collapsed.accuracy, collapsed.matched_accuracy, collapsed.nmi) == (0.1, 0.1, 0.0)


def test_all_zero_on_the_embedded_digits_is_a_tenth(tmp_path: Path) -> None:
    labels = load_mnist(tmp_path, explicit=False).test_labels
    score = clustering_score(torch.zeros_like(labels), labels, 10)
    assert (score.accuracy, score.matched_accuracy, score.nmi) == (0.1, 0.1, 0.0)
    # of MNIST's own 10,000 test images, 980 are zeros
    uneven = torch.ones(10_000, dtype=torch.long)
    uneven[:980] = 0
    assert clustering_score(torch.zeros_like(uneven), uneven, 10).accuracy == 0.098


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_predictions_are_the_largest_logit_image_by_image(chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 8, 8), generator=generator, dtype=torch.uint8)
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig(width=4, image_height=8, image_width=8, classes=3, temperature=0.0))
    with torch.no_grad():
        network.centre(images.float() / 255)
        wanted = [int(network.logits(image[None] / 255)[0].argmax()) for image in images]
    assert len(set(wanted)) > 1
    assert predict(network, images, chunk).tolist() == wanted
