"""Image sets from folders of image files: a folder for each class, or no classes at all."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nesy_gedi.data.files import read_images
from nesy_gedi.data.images import ImageSet
from nesy_gedi.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".tga")
"""How the name of an image file ends, in lower or upper case; other files are passed over."""
TEST_EVERY = 5
"""Without a test folder, every fifth image of a class is for test, in the order of their names."""


class _Part(NamedTuple):
    """Image files by class; where there are no classes, all in one list and no names."""

    files: list[list[Path]]
    names: tuple[str, ...] | None


def load_folder(folder: Path, name: str) -> ImageSet:
    """The images in ``FOLDER/train/CLASS`` and ``FOLDER/test/CLASS``, in ``FOLDER/CLASS``, or in ``FOLDER``.

    Without ``train`` and ``test``, every fifth image of each class is for test, in the order of their names.
    Images directly in a folder have no labels. Classes are numbered in the order of their names, and their
    images follow each other in turn, so that any stretch is balanced. All images get the channels and the
    size of the first one for training. Hidden files and folders, and those beside ``train`` and ``test``,
    are passed over.

    Args:
        folder: where they are.
        name: what the data set is called.

    Raises:
        UserError: a folder cannot be listed, a class or the whole folder has no images, images lie beside
            class folders or beside folders with more of them in a class, there are classes only in test,
            or files are no images (with a line for each).
    """
    parts = [folder / "train", folder / "test"]
    if all(os.path.isdir(part) for part in parts):
        train, test = (_list_part(part) for part in parts)
        foreign = sorted(set(test.names or ()) - set(train.names or ()))
        if foreign:
            raise UserError(
                f"{parts[1]} has the class {foreign[0]}, which {parts[0]} has not: the classes for test must "
                "be among those for training"
            )
    else:
        train, test = _split(_list_part(folder))
        if not any(test.files):
            count = sum(map(len, train.files))
            raise UserError(
                f"{folder} has {count} images and no class with {TEST_EVERY}: every fifth is for test, so "
                "add some, or make folders train and test"
            )
    names = train.names
    train_images, train_labels = _read(train, names)
    test_images, test_labels = _read(test, names, *train_images.shape[1:])
    source = f"image files in {folder}"
    labelled = (train_images, train_labels, test_images, test_labels)
    return ImageSet(name, source, *labelled, classes=len(names or ()), names=names, from_files=True)


def _list_part(folder: Path) -> _Part:
    """The image files of training or of test, each class in the order of its names."""
    files, folders = _entries(folder)
    if not folders:
        if not files:
            raise UserError(f"{folder} has no images and no folders (images end in {', '.join(SUFFIXES)})")
        return _Part([files], None)
    if files:
        raise UserError(
            f"{folder} has images such as {files[0].name} beside class folders such as {folders[0].name}: "
            "move them into one"
        )
    classes = []
    for class_folder in folders:
        images, deeper = _entries(class_folder)
        if not images:
            hint = ", only folders (train and test must both be there)" if deeper else ""
            raise UserError(f"the class folder {class_folder} has no images{hint}: fill it or take it out")
        for path in deeper:
            if _holds_images(path):
                raise UserError(
                    f"the class folder {class_folder} has images such as {images[0].name} beside the folder "
                    f"{path.name}, which holds more: move them into {class_folder}, or {path.name} out of it"
                )
        classes.append(images)
    return _Part(classes, tuple(path.name for path in folders))


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files and folders in a folder, by name."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
            folders = [folder / e.name for e in entries if e.is_dir()]
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from None
    files = [folder / e.name for e in entries if e.name.lower().endswith(SUFFIXES) and not e.is_dir()]
    return files, folders


def _holds_images(folder: Path) -> bool:
    """Whether an image file lies in a folder or anywhere below it."""
    files, folders = _entries(folder)
    return bool(files) or any(map(_holds_images, folders))


def _split(part: _Part) -> tuple[_Part, _Part]:
    """Training and test, where the folders do not say."""
    last = TEST_EVERY - 1
    test = [files[last::TEST_EVERY] for files in part.files]
    train = [[path for k, path in enumerate(files) if k % TEST_EVERY != last] for files in part.files]
    return _Part(train, part.names), _Part(test, part.names)


def _read(part: _Part, names: tuple[str, ...] | None, *shape: int) -> tuple[Tensor, Tensor | None]:
    """Images uint8 ``(n, channels, height, width)`` and labels int64 ``(n,)``, one of each class in turn."""
    numbered = [(k, c, path) for c, files in enumerate(part.files) for k, path in enumerate(files)]
    numbered.sort(key=lambda entry: entry[:2])
    images = read_images([path for _, _, path in numbered], *shape)
    if part.names is None or names is None:
        return images, None
    numbers = {name: number for number, name in enumerate(names)}
    return images, torch.tensor([numbers[part.names[c]] for _, c, _ in numbered])
