"""SVHN in its own format, on small files that are written here, against torchvision's reader."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_mirror import Mirror, serving
from scipy.io import savemat
from torchvision.datasets import SVHN

from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.data.svhn import FILES, fetch_svhn, load_svhn
from nesy_gedi.errors import UserError


def arrays(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    return {
        "X": pixels,
        "y": np.array([[10], [1], [9], *rng.integers(1, 11, (count - 3, 1))], dtype=np.uint8),
    }


def write(data_dir: Path, **changed: Any) -> None:
    """Both files; the changes are made to the one for test."""
    data_dir.mkdir(exist_ok=True)
    savemat(data_dir / FILES[0], arrays(7), do_compression=True)
    savemat(data_dir / FILES[1], {**arrays(5), **changed}, do_compression=True)


def trust(data_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str = "") -> None:
    """Let torchvision take these files for the real ones."""
    digests = {name: hashlib.md5((data_dir / name).read_bytes()).hexdigest() for name in FILES}
    splits = {n.split("_")[0]: [f"{url}/{n}", n, digest] for n, digest in digests.items()}
    monkeypatch.setattr(SVHN, "split_list", splits)


def test_layout_is_that_of_torchvision() -> None:
    assert tuple(SVHN.split_list[split][1] for split in ("train", "test")) == FILES


def test_reads_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    trust(tmp_path, monkeypatch)
    images = load_svhn(tmp_path)
    assert (images.name, images.classes, images.source) == ("svhn", 10, f"MATLAB files in {tmp_path}")
    assert images.test_labels[:3].tolist() == [0, 1, 9]
    for split, ours, labels in (
        ("train", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        theirs = SVHN(tmp_path, split=split)
        assert (ours.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert ours.is_contiguous()
        assert np.array_equal(ours.numpy(), theirs.data)
        assert labels.tolist() == theirs.labels.tolist()


def refusal(data_dir: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_svhn(data_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert f"run `nesy-gedi data fetch svhn --data-dir {data_dir}`" in message
    return message


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"X": np.zeros((32, 32, 3, 5))}, ": X is float64 (32, 32, 3, 5), expected uint8 (32, 32, 3, n)"),
        ({"X": np.zeros((5, 32, 32, 3), np.uint8)}, ": X is uint8 (5, 32, 32, 3)"),
        ({"y": np.ones((4, 1))}, ": y is float64 (4, 1), expected (5, 1)"),
        ({"y": np.arange(5)[:, None]}, ": y holds other labels than 1 to 10"),
        ({"y": np.arange(7, 12)[:, None]}, ": y holds other labels than 1 to 10"),
        ({"y": np.full((5, 1), 1.5)}, ": y holds other labels than 1 to 10"),
        ({"y": np.array(["a"] * 5)}, ": y is <U1"),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path: Path, changed: dict[str, Any], found: str) -> None:
    write(tmp_path, **changed)
    assert f"{tmp_path / FILES[1]}{found}" in refusal(tmp_path)


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / FILES[1]
    good = path.read_bytes()
    for content in (b"", b"<html>404</html>", good[:100], good[:-200]):
        path.write_bytes(content)
        assert f"{path} " in refusal(tmp_path)
    savemat(path, {"X": arrays(5)["X"]})
    assert f"{path} is no file of SVHN: it has no X and y" in refusal(tmp_path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFetchedError, match="there is no SVHN in"):
        load_svhn(tmp_path)
    write(tmp_path)
    (tmp_path / FILES[0]).unlink()
    assert f"is incomplete, without {FILES[0]}: run" in refusal(tmp_path)


def test_npz_stands_in_for_the_files(tmp_path: Path) -> None:
    pixels, labels = np.ones((2, 32, 32, 3), np.uint8), np.array([3, 0])
    np.savez(tmp_path / "svhn.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    assert load_svhn(tmp_path).test_labels.tolist() == [3, 0]
    write(tmp_path)
    assert "MATLAB" in load_svhn(tmp_path).source


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    write(tmp_path / "served")
    with serving({f"/{name}": (tmp_path / "served" / name).read_bytes() for name in FILES}) as server:
        trust(tmp_path / "served", monkeypatch, server.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


def test_fetch_downloads_once(mirror: Mirror, tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    assert fetch_svhn(data_dir).sha256 == load_svhn(tmp_path / "served").sha256
    assert sorted(path.name for path in data_dir.iterdir()) == sorted(FILES)
    requests = mirror.requests
    fetch_svhn(data_dir)
    assert mirror.requests == requests


def test_fetch_takes_no_npz_for_the_files(mirror: Mirror, tmp_path: Path) -> None:
    pixels = np.ones((2, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "svhn.npz", x_train=pixels, x_test=pixels)
    assert "MATLAB" in fetch_svhn(tmp_path).source


def test_broken_download_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.breaks = f"/{FILES[1]}"
    data_dir = tmp_path / "new" / "data"
    with pytest.raises(UserError, match=f"download of SVHN failed .*or put {FILES[0]} and {FILES[1]} into"):
        fetch_svhn(data_dir)
    assert not (tmp_path / "new").exists()
