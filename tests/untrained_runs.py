"""Runs of networks that were never trained, on a few digits, for the tests of measures and samples."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_training import CONFIG, digits

from nesy_gedi.data.images import ImageSet, to_float
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig

FAST = EvaluationOptions(samples=6, sampler_steps=2, features="classifier")


def write_digits(
    name: str, tests_flipped: int | None = None, labels: tuple[str, ...] = ("train", "test")
) -> ImageSet:
    """A file with 200 + 200 of the embedded digits, every class among them.

    Args:
        name: of the file.
        tests_flipped: dimension along which the test images are turned over.
        labels: splits that have some.
    """
    whole = digits()
    arrays: dict[str, Any] = {}
    for split, images, truth in (
        ("train", whole.train_images, whole.train_labels),
        ("test", whole.test_images, whole.test_labels),
    ):
        assert truth is not None
        rows = torch.arange(0, len(images), len(images) // 200)
        arrays[f"x_{split}"] = images[rows, 0].numpy()
        if split in labels:
            arrays[f"y_{split}"] = truth[rows].numpy()
    if tests_flipped is not None:
        arrays["x_test"] = np.flip(arrays["x_test"], tests_flipped)
    np.savez(name, **arrays)
    return load_data_set(name, None)


def save_run(name: str, images: ImageSet, **network: Any) -> Path:
    """An untrained run."""
    torch.manual_seed(0)
    made = GEDINetwork(NetworkConfig(**{"width": 4, **network})).eval()
    made.centre(to_float(images.train_images[:200]))
    description = {
        "request": {"dataset": images.name, "variant": "gedi"},
        "config": asdict(CONFIG),
        "data": images.describe(),
    }
    Path(name).mkdir()
    save_network(made, Path(name, WEIGHTS), description)
    return Path(name)
