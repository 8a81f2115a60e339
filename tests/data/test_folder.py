"""Folders of images: classes, the split, the order, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nesy_gedi.data.folder import load_folder
from nesy_gedi.errors import UserError


def save(folder: Path, names: str, shade: int, size: tuple[int, int] = (3, 2)) -> None:
    """Images whose grey is the shade plus their position among the names."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names.split()):
        Image.fromarray(np.full((size[1], size[0]), shade + k, np.uint8)).save(folder / name)


def letters(count: int) -> str:
    return " ".join(f"{chr(97 + k)}.png" for k in range(count))


def shades(images: object) -> list[int]:
    return images[:, 0, 0, 0].tolist()  # type: ignore[index]


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_folder(folder, "photos")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_fifth_of_a_class_is_for_test_and_classes_take_turns(tmp_path: Path) -> None:
    save(tmp_path / "dog", letters(11), 100)
    save(tmp_path / "cat", letters(6), 0)
    images = load_folder(tmp_path, "photos")
    assert (images.name, images.classes, images.class_names) == ("photos", 2, ("cat", "dog"))
    assert images.train_images.shape == (14, 1, 2, 3)
    turns = [0, 100, 1, 101, 2, 102, 3, 103, 5, 105, 106, 107, 108, 110]
    assert shades(images.train_images) == turns
    assert images.train_labels.tolist() == [int(shade >= 100) for shade in turns]
    assert shades(images.test_images) == [4, 104, 109]
    assert images.test_labels.tolist() == [0, 1, 1]


def test_train_and_test_folders_say_what_is_what(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat", letters(2), 0)
    save(tmp_path / "train" / "dog", letters(1), 100)
    save(tmp_path / "train" / "cow", letters(1), 50)
    save(tmp_path / "test" / "dog", letters(2), 200)
    images = load_folder(tmp_path, "photos")
    assert images.class_names == ("cat", "cow", "dog")
    assert shades(images.train_images) == [0, 50, 100, 1]
    assert images.train_labels.tolist() == [0, 1, 2, 0]
    assert (shades(images.test_images), images.test_labels.tolist()) == ([200, 201], [2, 2])


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    save(tmp_path, letters(7), 0)
    images = load_folder(tmp_path, "photos")
    assert (images.train_labels, images.test_labels, images.classes) == (None, None, 0)
    assert shades(images.train_images) == [0, 1, 2, 3, 5, 6]
    assert shades(images.test_images) == [4]


def test_flat_train_and_test_folders(tmp_path: Path) -> None:
    save(tmp_path / "train", letters(3), 0)
    save(tmp_path / "test", letters(2), 100)
    images = load_folder(tmp_path, "photos")
    assert (shades(images.train_images), shades(images.test_images)) == ([0, 1, 2], [100, 101])
    assert images.train_labels is None


def test_all_images_get_the_size_and_channels_of_the_first_for_training(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat", "a.png", 7, size=(8, 4))
    save(tmp_path / "train" / "cat", "b.png", 9, size=(3, 3))
    (tmp_path / "test" / "cat").mkdir(parents=True)
    Image.new("RGB", (5, 9), (60, 60, 60)).save(tmp_path / "test" / "cat" / "c.png")
    images = load_folder(tmp_path, "photos")
    assert (images.train_images.shape, images.test_images.shape) == ((2, 1, 4, 8), (1, 1, 4, 8))
    assert (images.train_images[1] == 9).all()
    assert (images.test_images == 60).all()


def test_hidden_files_and_other_kinds_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "cat", "a.PNG b.png c.png d.Png e.bmp .f.png", 0)
    (tmp_path / "cat" / "notes.txt").write_text("mine")
    (tmp_path / "labels.csv").write_text("mine")
    (tmp_path / ".cache").mkdir()
    images = load_folder(tmp_path, "photos")
    assert (len(images.train_images), len(images.test_images), images.class_names) == (4, 1, ("cat",))


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} has no images and no folders" in refusal(tmp_path)
    save(tmp_path / "cat", letters(5), 0)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("mine")
    assert f"the class folder {tmp_path / 'dog'} has no images: fill it" in refusal(tmp_path)


def test_train_without_test_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat", letters(5), 0)
    message = refusal(tmp_path)
    assert (
        f"the class folder {tmp_path / 'train'} has no images, only folders (train and test must" in message
    )


def test_classes_only_in_test_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "train" / "cat", letters(2), 0)
    save(tmp_path / "test" / "dgo", letters(1), 0)
    assert f"{tmp_path / 'test'} has the class dgo, which {tmp_path / 'train'} has not" in refusal(tmp_path)


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "cat", letters(5), 0)
    save(tmp_path, "stray.png", 0)
    assert f"{tmp_path} has images such as stray.png beside class folders such as cat" in refusal(tmp_path)


def test_images_below_a_class_folder_with_images_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "cat", letters(5), 0)
    save(tmp_path / "cat" / "notes" / ".thumbnails", "a.png", 0)
    (tmp_path / "cat" / "notes" / "mine.txt").write_text("mine")
    assert len(load_folder(tmp_path, "photos").train_images) == 4  # nothing is lost
    save(tmp_path / "cat" / "more" / "still more", "z.png", 0)
    message = refusal(tmp_path)
    assert f"{tmp_path / 'cat'} has images such as a.png beside the folder more, which holds more" in message


def test_too_few_images_for_a_test_set_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / name, letters(4), 0)
    assert f"{tmp_path} has 8 images and no class with 5" in refusal(tmp_path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    save(tmp_path, letters(5), 0)
    (tmp_path / "c.png").write_bytes(b"<html>")
    assert f"{tmp_path / 'c.png'} is no image" in refusal(tmp_path)
