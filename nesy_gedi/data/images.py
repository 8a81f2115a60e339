"""A labelled image set in memory, whatever file it came from."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels of one data set, split into training and test.

    Images are uint8 of shape ``(n, channels, height, width)`` and stay so: four times smaller than float32,
    and a batch is converted where it is used. Labels are int64 of shape ``(n,)`` in ``0 .. classes - 1``.

    Attributes:
        name: what the user types, e.g. ``mnist``.
        source: where the images came from, for people, e.g. ``idx files in data/MNIST/raw``.
        classes: number of classes.
    """

    name: str
    source: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int

    @cached_property
    def sha256(self) -> str:
        """Hex digest of shapes and raw bytes: training images, training labels, test images, test labels.

        It depends on the pixels, the labels and their order alone, not on the file format or the byte order
        of the machine.
        """
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            little_endian = tensor.numpy().astype("<i8" if tensor.is_signed() else "u1", copy=False)
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(little_endian.tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What to print and to write into a run: name, source, numbers of images, their shape, digest."""
        return {
            "name": self.name,
            "source": self.source,
            "train": len(self.train_images),
            "test": len(self.test_images),
            "image_shape": list(self.train_images.shape[1:]),
            "classes": self.classes,
            "sha256": self.sha256,
        }
