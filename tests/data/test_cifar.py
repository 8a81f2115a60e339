"""CIFAR's pickles against torchvision's reader, downloads from a local server, and hostile files."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from local_mirror import Mirror, serving

from nesy_gedi.data.cifar import CIFAR10, CIFAR100, Cifar, fetch_cifar, load_cifar
from nesy_gedi.data.download import NotFetchedError
from nesy_gedi.errors import UserError

BOTH = [CIFAR10, CIFAR100]
THEIRS = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}


def entry(cifar: Cifar, seed: int, count: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        cifar.labels_key: rng.integers(0, cifar.classes, count).tolist(),
        "filenames": [f"{k}.png" for k in range(count)],
    }


def contents(cifar: Cifar) -> dict[str, bytes]:
    made = {name: entry(cifar, k) for k, name in enumerate((*cifar.train, cifar.test))}
    names = {cifar.names_key: [f"class {k}" for k in range(cifar.classes)]}
    return {name: pickle.dumps(value, protocol=2) for name, value in [*made.items(), (cifar.meta, names)]}


def write(cifar: Cifar, data_dir: Path) -> Path:
    folder = data_dir / cifar.folder
    folder.mkdir()
    for name, content in contents(cifar).items():
        (folder / name).write_bytes(content)
    return folder


def trust(cifar: Cifar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take these files for the real ones."""
    theirs, digests = THEIRS[cifar.name], {n: hashlib.md5(c).hexdigest() for n, c in contents(cifar).items()}
    monkeypatch.setattr(theirs, "train_list", [[name, digests[name]] for name in cifar.train])
    monkeypatch.setattr(theirs, "test_list", [[cifar.test, digests[cifar.test]]])
    meta = {"filename": cifar.meta, "key": cifar.names_key, "md5": digests[cifar.meta]}
    monkeypatch.setattr(theirs, "meta", meta)


@pytest.mark.parametrize("cifar", BOTH, ids=lambda cifar: cifar.name)
def test_layout_is_that_of_torchvision(cifar: Cifar) -> None:
    theirs = THEIRS[cifar.name]
    assert cifar.folder == theirs.base_folder
    assert cifar.archive == theirs.filename
    assert cifar.train == tuple(name for name, _ in theirs.train_list)
    assert [cifar.test] == [name for name, _ in theirs.test_list]
    assert (cifar.meta, cifar.names_key) == (theirs.meta["filename"], theirs.meta["key"])


@pytest.mark.parametrize("cifar", BOTH, ids=lambda cifar: cifar.name)
def test_reads_what_torchvision_reads(cifar: Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(cifar, tmp_path)
    trust(cifar, monkeypatch)
    images = load_cifar(cifar, tmp_path)
    assert (images.name, images.classes, images.source) == (cifar.name, cifar.classes, f"batches in {folder}")
    for train, ours, labels in (
        (True, images.train_images, images.train_labels),
        (False, images.test_images, images.test_labels),
    ):
        theirs = THEIRS[cifar.name](tmp_path, train=train)
        assert ours.dtype == torch.uint8
        assert np.array_equal(ours.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert labels.tolist() == theirs.targets
        assert images.class_names == tuple(theirs.classes)


def python_2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """As Python 2 and its numpy wrote the real files: strings of bytes, the old place of ``_reconstruct``."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def integer(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + integer(0) + integer(1) + b"tR("
    dtype += integer(3) + text(b"|") + b"NNN" + integer(-1) * 2 + integer(0) + b"tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + integer(0) + b"t" + text(b"b") + b"tR("
    )
    array += integer(1) + b"(" + b"".join(map(integer, data.shape)) + b"t" + dtype
    array += (b"\x89" if data.flags.c_contiguous else b"\x88") + text(data.tobytes("A")) + b"tb"
    items = text(b"data") + array + text(b"labels") + b"(" + b"".join(map(integer, labels)) + b"l"
    return b"\x80\x02(" + items + b"d."


@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_python_2_are_read(tmp_path: Path, order: Any) -> None:
    data = np.asarray(entry(CIFAR10, 9)["data"], order=order)
    content = python_2_pickle(data, [3, 1, 4, 1])
    assert np.array_equal(pickle.loads(content, encoding="latin1")["data"], data)  # numpy agrees
    (write(CIFAR10, tmp_path) / "test_batch").write_bytes(content)
    images = load_cifar(CIFAR10, tmp_path)
    assert np.array_equal(images.test_images.flatten(1).numpy(), data)
    assert images.test_labels.tolist() == [3, 1, 4, 1]


def refusal(data_dir: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_cifar(CIFAR10, data_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert f"run `nesy-gedi data fetch cifar10 --data-dir {data_dir}`" in message
    return message


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_pickles_cannot_run_anything(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    (write(CIFAR10, tmp_path) / name).write_bytes(pickle.dumps({"data": _Touch(trace)}, protocol=2))
    message = refusal(tmp_path)
    assert f"{tmp_path / CIFAR10.folder / name} cannot be read as a file of CIFAR (it asks for " in message
    assert not trace.exists()


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    path = write(CIFAR10, tmp_path) / "data_batch_2"
    good = path.read_bytes()
    for content in (b"", b"<html>404</html>", good[:-500], good[:5000], b"\x80\x02]."):
        path.write_bytes(content)
        assert str(path) in refusal(tmp_path)
    path.with_name("batches.meta").write_bytes(pickle.dumps({"label_names": ["one"]}, protocol=2))
    path.write_bytes(good)
    assert "batches.meta has no 10 names" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"labels": [1, 2, 3]}, "holds 4 images, but 3 labels"),
        ({"labels": [1, 2, 3, 10]}, "holds labels other than 0 to 9"),
        ({"labels": [1, 2, 3, -1]}, "holds labels other than 0 to 9"),
        ({"labels": [1, 2, 3, "4"]}, "holds labels other than 0 to 9"),
        ({"labels": None}, "is no batch of CIFAR-10"),
        ({"data": [1, 2]}, "is no batch of CIFAR-10"),
        ({"data": np.zeros((4, 3071), np.uint8)}, "holds no rows of 3,072 bytes"),
        ({"data": np.zeros((4, 3072), np.int8)}, "holds no rows of 3,072 bytes"),
        ({"data": np.zeros((2, 3072), np.uint16)}, "holds no rows of 3,072 bytes"),
    ],
)
def test_batches_that_do_not_fit_are_refused(tmp_path: Path, changed: dict[str, Any], found: str) -> None:
    path = write(CIFAR10, tmp_path) / "test_batch"
    path.write_bytes(pickle.dumps({**entry(CIFAR10, 0), **changed}, protocol=2))
    assert f"{path} {found}" in refusal(tmp_path)


def test_batch_without_images_is_refused(tmp_path: Path) -> None:
    path = write(CIFAR10, tmp_path) / "test_batch"
    path.write_bytes(python_2_pickle(np.zeros((0, 3072), np.uint8), []))
    assert f"{path} holds no rows of 3,072 bytes" in refusal(tmp_path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        NotFetchedError, match=r"there is no CIFAR-10 in .*looked for cifar-10-batches-py and"
    ):
        load_cifar(CIFAR10, tmp_path)
    (write(CIFAR10, tmp_path) / "batches.meta").unlink()
    assert "is incomplete, without batches.meta: run" in refusal(tmp_path)


def test_npz_stands_in_for_the_files(tmp_path: Path) -> None:
    pixels, labels = np.ones((2, 32, 32, 3), np.uint8), np.array([3, 0])
    np.savez(tmp_path / "cifar100.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    (tmp_path / CIFAR100.folder).mkdir()
    images = load_cifar(CIFAR100, tmp_path)
    assert (images.name, images.classes, len(images.class_names)) == ("cifar100", 100, 100)
    assert str(tmp_path / "cifar100.npz") in images.source
    (tmp_path / CIFAR100.folder).rmdir()
    write(CIFAR100, tmp_path)
    assert "batches in" in load_cifar(CIFAR100, tmp_path).source


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in contents(CIFAR10).items():
            member = tarfile.TarInfo(f"{CIFAR10.folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with serving({f"/{CIFAR10.archive}": packed.getvalue()}) as server:
        trust(CIFAR10, monkeypatch)
        monkeypatch.setattr(THEIRS["cifar10"], "url", f"{server.url}/{CIFAR10.archive}")
        monkeypatch.setattr(THEIRS["cifar10"], "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server


def test_fetch_downloads_once_and_replaces_damaged_files(mirror: Mirror, tmp_path: Path) -> None:
    data_dir = tmp_path / "new"
    digest = fetch_cifar(CIFAR10, data_dir).sha256
    assert [path.name for path in data_dir.iterdir()] == [CIFAR10.folder]
    assert sorted(p.name for p in (data_dir / CIFAR10.folder).iterdir()) == sorted(CIFAR10.files)
    requests = mirror.requests
    fetch_cifar(CIFAR10, data_dir)
    assert mirror.requests == requests
    (data_dir / CIFAR10.folder / "data_batch_5").write_bytes(b"damaged")
    assert fetch_cifar(CIFAR10, data_dir).sha256 == digest


def test_download_with_another_checksum_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    mirror.content = {f"/{CIFAR10.archive}": b"<html>"}
    with pytest.raises(UserError, match=r"download of CIFAR-10 failed .*or unpack cifar-10-python.tar.gz to"):
        fetch_cifar(CIFAR10, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
