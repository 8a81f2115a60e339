"""``.npz`` files with Keras' keys: what is read, and what is refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nesy_gedi.data.arrays import find_npz, load_npz
from nesy_gedi.errors import UserError

RNG = np.random.default_rng(0)
GOOD: dict[str, np.ndarray] = {
    "x_train": RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
    "y_train": np.array([0, 1, 2, 2, 0, 1]),
    "x_test": RNG.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8),
    "y_test": np.array([[1], [3]], dtype=np.uint8),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays") / "mine.npz"


def write(path: Path, without: str = "", **changed: Any) -> Path:
    np.savez(path, **{key: value for key, value in {**GOOD, **changed}.items() if key != without})
    return path


def refusal(path: Path, classes: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_npz(path, "mine", classes)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}")


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    channels=st.sampled_from([(), (1,), (3,)]),
    column=st.booleans(),
    dtype=st.sampled_from([np.uint8, np.int64, np.int32]),
    order=st.sampled_from("CF"),
    data=st.data(),
)
def test_every_pixel_and_label_is_where_it_was(
    path: Path,
    shape: tuple[int, int, int],
    channels: tuple[int, ...],
    column: bool,
    dtype: type,
    order: Any,
    data: st.DataObject,
) -> None:
    pixels = np.asarray(RNG.integers(0, 256, shape + channels, dtype=np.uint8), order=order)
    numbers = data.draw(st.lists(st.integers(0, 2 * shape[0] - 1), min_size=shape[0], max_size=shape[0]))
    labels = np.array(numbers, dtype=dtype)
    write(path, x_train=pixels, y_train=labels[:, None] if column else labels, x_test=pixels, y_test=labels)
    images = load_npz(path, "mine")
    assert images.train_images.is_contiguous()
    assert images.train_images.dtype == torch.uint8
    there = images.train_images.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(there, pixels.reshape(*shape, *(channels or (1,))))
    assert images.train_labels.dtype == torch.int64
    assert images.train_labels.tolist() == images.test_labels.tolist() == numbers
    assert images.classes == max(numbers) + 1


def test_labels_are_optional_each_for_itself(path: Path) -> None:
    both = load_npz(write(path), "mine")
    assert (both.classes, both.test_labels.tolist()) == (4, [1, 3])
    train = load_npz(write(path, without="y_test"), "mine")
    assert (train.classes, train.test_labels) == (3, None)
    np.savez(path, x_train=GOOD["x_train"], x_test=GOOD["x_test"])
    neither = load_npz(path, "mine")
    assert (neither.classes, neither.train_labels, neither.test_labels) == (0, None, None)
    assert load_npz(path, "mine", 10).classes == 10


def test_compressed_files_and_further_keys_are_read(path: Path) -> None:
    digest = load_npz(write(path), "mine").sha256
    np.savez_compressed(path, **GOOD, comment=np.array("mine"))
    assert load_npz(path, "mine").sha256 == digest


def test_keys_that_may_be_meant_for_labels_are_named(path: Path) -> None:
    images = {key: GOOD[key] for key in ("x_train", "x_test")}
    np.savez(path, **images, labels_train=GOOD["y_train"], labels_test=GOOD["y_test"])
    source = load_npz(path, "mine").source
    assert source == f"arrays in {path} (no y_train or y_test in it, but labels_train, labels_test)"
    np.savez(path, **images)
    assert load_npz(path, "mine").source == f"arrays in {path}"
    assert load_npz(write(path, without="y_test", comment=np.array("mine")), "mine").source == (
        f"arrays in {path}"
    )


def test_missing_keys_are_named(path: Path) -> None:
    assert refusal(write(path, without="x_test")).startswith(
        " has no x_test: it holds x_train, y_train, y_test"
    )
    np.savez(path)
    assert "has no x_train: it holds nothing" in refusal(path)
    for other, key in (("X_train", "x_train"), ("Y_test", "y_test"), ("y_trian", "y_train")):
        message = refusal(write(path, without=key, **{other: GOOD[key]}))
        assert message.startswith(f" has no {key}: rename {other};")


@pytest.mark.parametrize(
    ("key", "array", "found"),
    [
        ("x_train", GOOD["x_train"] / 255, "x_train is float64, expected uint8"),
        ("x_test", GOOD["x_test"].astype(np.int64), "x_test is int64"),
        ("x_test", GOOD["x_test"][0, 0], "x_test has the shape (5, 3)"),
        ("x_test", GOOD["x_test"][..., :2], "x_test has the shape (2, 4, 5, 2)"),
        ("x_train", GOOD["x_train"][:0], "x_train has the shape (0, 4, 5, 3)"),
        ("x_train", GOOD["x_train"][None], "x_train has the shape (1, 6, 4, 5, 3)"),
        ("x_test", GOOD["x_test"][:, :3], "x_train has images of 4 5 3, x_test of 3 5 3"),
        ("y_train", GOOD["y_train"][:-1], "y_train has the shape (5,), but there are 6 images"),
        ("y_test", np.eye(2, dtype=int), "y_test has the shape (2, 2), but there are 2 images"),
        ("y_train", GOOD["y_train"] / 1, "y_train is float64, expected integers"),
        ("y_test", np.array([True, False]), "y_test is bool, expected integers"),
        ("y_test", np.array(["cat", "dog"]), "y_test is <U3, expected integers"),
        ("y_train", GOOD["y_train"] - 1, "y_train holds the label -1, expected 0 to 7"),
        ("y_test", np.array([0, 2**63], dtype=np.uint64), f"y_test holds the label {2**63}, expected 0 to 7"),
    ],
)
def test_wrong_arrays_are_refused_by_name(path: Path, key: str, array: np.ndarray, found: str) -> None:
    assert refusal(write(path, **{key: array})).startswith(f": {found}")


def test_labels_beyond_a_known_number_of_classes_are_refused(path: Path) -> None:
    assert load_npz(write(path), "mine", 4).classes == 4
    assert "y_test holds the label 3, expected 0 to 2" in refusal(path, classes=3)


class _Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_not_unpacked(path: Path) -> None:
    trace = path.parent / "trace"
    objects = np.array([_Touch(trace)] * 6, dtype=object)
    assert ": y_train cannot be read (Object arrays cannot be loaded" in refusal(write(path, y_train=objects))
    assert not trace.exists()


def test_files_of_another_kind_and_damaged_ones_are_refused(path: Path) -> None:
    whole = write(path).read_bytes()
    for content in (b"", b"<html>", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert refusal(path).startswith(" is no .npz, or cut off")
    with open(path, "wb") as file:
        np.save(file, GOOD["x_train"])
    assert refusal(path).startswith(" is no .npz")
    middle = whole.index(GOOD["x_train"].tobytes())
    path.write_bytes(whole[:middle] + b"\1\2\3\4" + whole[middle + 4 :])
    assert ": x_train cannot be read (Bad CRC-32" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        for key in GOOD:
            archive.writestr(key, b"no array")
    assert ": x_train is no array" in refusal(path)


def test_array_larger_than_any_memory_is_refused(path: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 9, 9), }" % 10**15
    header = header.ljust(117) + b"\n"
    with zipfile.ZipFile(write(path), "w") as archive:
        for key in ("x_train", "x_test"):
            content = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
            archive.writestr(f"{key}.npy", content)
    assert ": x_train cannot be read" in refusal(path)


def test_finds_the_file_of_a_data_set(path: Path) -> None:
    assert find_npz(path.parent, "yours", 10) is None
    found = find_npz(write(path).parent, "mine", 10)
    assert found is not None
    assert (found.name, found.classes, found.source) == ("mine", 10, f"arrays in {path}")
