"""Moons and circles: the two-dimensional data sets of the paper's toy experiments, from scikit-learn.

The number of points, the noise and the radius of the inner circle are chosen here; the paper does not give
them in the text at hand.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nesy_gedi.data.images import ImageSet

TRAIN_POINTS = 10_000
TEST_POINTS = 2_000
NOISE = 0.05
"""Standard deviation of the Gaussian noise on both coordinates; the outer circle has the radius 1."""
CIRCLES_FACTOR = 0.5
"""Radius of the inner circle."""
TRAIN_SEED, TEST_SEED = 0, 1


def load_moons() -> ImageSet:
    """Two interleaved half circles: 10,000 + 2,000 points, float32 ``(n, 2, 1, 1)``, half of them in each."""
    from sklearn.datasets import make_moons  # a second to import

    return _drawn("moons", make_moons)


def load_circles() -> ImageSet:
    """Two circles about one centre: 10,000 + 2,000 points, float32 ``(n, 2, 1, 1)``, half of them on each."""
    from sklearn.datasets import make_circles

    return _drawn("circles", make_circles, factor=CIRCLES_FACTOR)


def _drawn(name: str, make: Any, **options: float) -> ImageSet:
    """Training and test points from seeds of their own, so that neither depends on the other's size."""

    def draw(points: int, seed: int) -> tuple[Tensor, Tensor]:
        vectors, labels = make(points, noise=NOISE, random_state=seed, **options)
        rows = torch.from_numpy(vectors.astype(np.float32)).view(points, -1, 1, 1)
        return rows, torch.from_numpy(labels.astype(np.int64))

    source = f"scikit-learn's {make.__name__}, noise {NOISE}, seeds {TRAIN_SEED} and {TEST_SEED}"
    return ImageSet(name, source, *draw(TRAIN_POINTS, TRAIN_SEED), *draw(TEST_POINTS, TEST_SEED), classes=2)
