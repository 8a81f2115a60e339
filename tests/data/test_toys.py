"""Moons and circles against the curves that they lie on."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_circles, make_moons

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.toys import CIRCLES_FACTOR, NOISE, TEST_POINTS, TRAIN_POINTS, load_circles, load_moons

SETS = {"moons": load_moons(), "circles": load_circles()}


def points(images: ImageSet, label: int) -> np.ndarray:
    """Training points of a class, ``(n, 2)``."""
    assert images.train_labels is not None
    return images.train_images[images.train_labels == label].flatten(1).double().numpy()


@pytest.mark.parametrize("name", SETS)
def test_sizes_and_balance(name: str) -> None:
    images = SETS[name]
    assert images.name == name
    assert images.train_images.dtype == images.test_images.dtype == torch.float32
    assert images.train_images.shape == (TRAIN_POINTS, 2, 1, 1) == (10_000, 2, 1, 1)
    assert images.test_images.shape == (TEST_POINTS, 2, 1, 1) == (2_000, 2, 1, 1)
    assert images.train_labels.bincount().tolist() == [5000, 5000]
    assert images.test_labels.bincount().tolist() == [1000, 1000]
    assert 0.4 < images.train_labels[:500].float().mean() < 0.6  # shuffled


def test_circles_lie_about_their_radii() -> None:
    for label, radius in ((0, 1.0), (1, CIRCLES_FACTOR)):
        radii = np.linalg.norm(points(SETS["circles"], label), axis=1)
        # noise across the circle moves a point outwards a little: E|x| = r + std^2 / 2r
        assert radii.mean() == pytest.approx(radius + NOISE**2 / (2 * radius), abs=0.003)
        assert radii.std() == pytest.approx(NOISE, rel=0.05)


def test_moons_lie_about_their_half_circles() -> None:
    for label, centre, side in ((0, (0.0, 0.0), 1.0), (1, (1.0, 0.5), -1.0)):
        offset = points(SETS["moons"], label) - np.array(centre)
        assert np.linalg.norm(offset, axis=1).std() == pytest.approx(NOISE, rel=0.05)
        assert np.linalg.norm(offset, axis=1).mean() == pytest.approx(1.0 + NOISE**2 / 2, abs=0.003)
        assert (side * offset[:, 1] > -0.25).all()  # five standard deviations


@pytest.mark.parametrize(("name", "load"), [("moons", load_moons), ("circles", load_circles)])
def test_points_are_the_same_every_time_and_none_is_in_both_parts(name: str, load: object) -> None:
    np.random.seed(9)  # the global generator has no part in it
    assert load().sha256 == SETS[name].sha256  # type: ignore[operator]
    train, test = SETS[name].train_images.flatten(1), SETS[name].test_images.flatten(1)
    assert not {tuple(row) for row in train.tolist()} & {tuple(row) for row in test.tolist()}


def test_points_are_those_of_scikit_learn_with_a_seed_for_each_part() -> None:
    drawn = {
        "moons": [make_moons(n, noise=0.05, random_state=seed) for n, seed in ((10_000, 0), (2_000, 1))],
        "circles": [
            make_circles(n, noise=0.05, factor=0.5, random_state=seed)
            for n, seed in ((10_000, 0), (2_000, 1))
        ],
    }
    for name, ((train, train_labels), (test, test_labels)) in drawn.items():
        images = SETS[name]
        assert np.array_equal(images.train_images.flatten(1).numpy(), train.astype(np.float32))
        assert np.array_equal(images.test_images.flatten(1).numpy(), test.astype(np.float32))
        assert images.train_labels.tolist() == train_labels.tolist()
        assert images.test_labels.tolist() == test_labels.tolist()
