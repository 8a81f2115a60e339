"""What a request comes to before anything is trained."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.request import Request, prepare
from nesy_gedi.results import excess

pytestmark = pytest.mark.usefixtures("elsewhere")


def config(**asked: object):
    return prepare(Request(**asked)).learner.config  # type: ignore[arg-type]


def test_a_setting_has_the_last_word_over_an_option() -> None:
    assert config(dataset="moons", epochs=2, width=30).epochs == 2
    both = config(dataset="moons", epochs=2, width=30, assignments=("epochs=3", "network.width=50"))
    assert (both.epochs, both.network.width) == (3, 50)


def test_own_images_in_a_folder_called_mnist_are_not_treated_as_digits() -> None:
    noise = np.random.default_rng(0)
    for k in range(12):
        place = Path("photos/mnist", "ab"[k % 2], f"{k}.png")
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    photos, digits = config(dataset="photos/mnist"), config(dataset="mnist", variant="gedi")
    assert photos.augmentation.flip_probability == 0.5
    assert photos.augmentation.crop < 1
    assert (digits.augmentation.flip_probability, digits.augmentation.crop) == (0.0, 1.0)


@pytest.mark.parametrize("preset", ["cpu", "paper"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("nesy", "combined")])
def test_every_method_can_be_trained_on_images_of_a_hundred_classes(preset: str, method: str) -> None:
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(200) % 100
    np.savez("cifar100.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    made = config(dataset="cifar100", data_dir=".", preset=preset, variant=method)
    assert made.network.classes == (1 if method == "jem" else 100)
    if preset == "paper" and method in ("gedi", "gedi-no-gen", "gedi-no-inv", "gedi-two-stage"):
        assert made.weight_at("prior", 0.5) == 50
    if preset == "cpu" and method == "gedi":
        assert made.weight_at("prior", 0.5) == 25 * 100


def test_a_term_that_was_never_measured_is_not_at_its_optimum() -> None:
    assert excess({"inv": 0.1}, {"inv": 0.0}, {"inv": 0.2}) == 0.0
    assert excess({"inv": 0.5}, {"inv": 0.0}, {"inv": 0.2}) == pytest.approx(0.3)
    assert excess({"gen": 0.1}, {}, {"inv": 0.2}) == math.inf
