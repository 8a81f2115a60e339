"""An image set in memory, whatever files it came from, and what its classes are to a program."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nesy_gedi.errors import UserError

_LITTLE_ENDIAN = {torch.uint8: "u1", torch.int64: "<i8", torch.float32: "<f4"}


def to_float(images: Tensor) -> Tensor:
    """Images ``(n, channels, height, width)`` as a network reads them, of the same shape.

    uint8 becomes float32 in [0, 1], float32 stays what it is.
    """
    return images if images.is_floating_point() else images.float() / 255.0


def value_range(images: Tensor) -> tuple[float, float]:
    """Lowest and highest value that :func:`to_float` gives: 0 and 1 for pixels, what is there for vectors.

    Args:
        images: ``(n, channels, height, width)``, uint8, or float32 with at least one number.
    """
    if not images.is_floating_point():
        return 0.0, 1.0
    low, high = torch.aminmax(images)
    return low.item(), high.item()


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels of one data set, split into training and test.

    Images are uint8 of shape ``(n, channels, height, width)`` and stay so: four times smaller than float32,
    and a batch is converted where it is used (:func:`to_float`); n is 0 where there are none. Vectors, which
    know no bounds, are float32 of shape ``(n, d, 1, 1)``. Labels are int64 of shape ``(n,)`` in
    ``0 .. classes - 1``; None where nobody knows them.

    Attributes:
        name: what the user types, e.g. ``mnist``.
        source: where the images came from, for people, e.g. ``idx files in data/MNIST/raw``.
        classes: number of classes; 0 where there are no labels.
        names: what the classes are called, class by class; None for their numbers.
        from_files: the images are files' contents, resized as a whole where they had another size.
    """

    name: str
    source: str
    train_images: Tensor
    train_labels: Tensor | None
    test_images: Tensor
    test_labels: Tensor | None
    classes: int
    names: tuple[str, ...] | None = None
    from_files: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the classes are called, class by class."""
        return self.names if self.names is not None else tuple(str(k) for k in range(self.classes))

    @cached_property
    def sha256(self) -> str:
        """Hex digest of shapes and raw bytes: training images, training labels, test images, test labels.

        It depends on the pixels, the labels and their order alone, not on the file format or the byte order
        of the machine. Labels that are not known differ from any that are.
        """
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            if tensor is None:
                continue  # what is left differs all the same: labels have one dimension, images four
            little_endian = tensor.numpy().astype(_LITTLE_ENDIAN[tensor.dtype], copy=False)
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(little_endian.tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What to print and to write into a run: name, source, numbers of images, their shape, digest.

        ``range`` is that of the training images as the network reads them, ``bounded`` says whether no image
        can lie outside it.
        """
        return {
            "name": self.name,
            "source": self.source,
            "train": len(self.train_images),
            "test": len(self.test_images),
            "image_shape": list(self.train_images.shape[1:]),
            "classes": self.classes,
            "range": list(value_range(self.train_images)),
            "bounded": not self.train_images.is_floating_point(),
            "sha256": self.sha256,
        }


def domain_labels(images: ImageSet, labels: Tensor, domain: Sequence[str], where: str) -> Tensor:
    """Classes of images as numbers of a program's symbols.

    By name if every symbol is the name of a class, so that the domain [1, 2, 3, 4] takes just these digits;
    by position if none is, and there are as many symbols as classes.

    Args:
        images: the data set, for its classes.
        labels: class of each image, ``(n,)``, int64; -1 where it is not known.
        domain: the symbol that each class of the program's network reads as.
        where: what asks, for the message: a program, or an option.

    Returns:
        ``(n,)``, int64; -1 where the domain has no such symbol.

    Raises:
        UserError: the symbols do not fit the classes.
    """
    names = images.class_names
    foreign = [symbol for symbol in domain if symbol not in names]
    if not foreign:
        numbers = [domain.index(name) if name in domain else -1 for name in names]
    elif len(foreign) == len(domain) == len(names):
        numbers = list(range(len(names)))
    else:
        # a domain of 1 to 10 has as many symbols as there are digits, but does not mean 0 by its 1
        raise UserError(
            f"{where}: the domain [{', '.join(domain)}] cannot be filled by {images.name}, which has no "
            f"class {', '.join(foreign)}: use some of [{', '.join(names)}], or {len(names)} "
            "symbols that are none of these"
        )
    return torch.tensor([*numbers, -1])[labels]  # -1 picks the last
