"""What ``--dataset`` means: a name of the table, a folder, or an ``.npz``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nesy_gedi.data.sets import DATA_SETS, load_data_set
from nesy_gedi.errors import UserError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)


def write_npz(path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(path, x_train=pixels, x_test=pixels)


def write_folder(path: Path) -> None:
    path.mkdir()
    for k in range(5):
        Image.new("L", (4, 3), k).save(path / f"{k}.png")


def test_paths_are_taken_as_typed(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz")
    write_folder(tmp_path / "photos")
    for name, size in (("mine.npz", 2), ("./mine.npz", 2), (str(tmp_path / "photos"), 4), ("photos", 4)):
        images = load_data_set(name, "elsewhere")
        assert (images.name, len(images.train_images)) == (name, size)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write_npz(tmp_path / "home" / "mine.npz")
    assert load_data_set("~/mine.npz", None).name == "~/mine.npz"


def test_names_of_the_table_come_before_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "mnist")
    assert len(load_data_set("mnist", None).train_images) == 4000
    assert len(load_data_set("./mnist", None).train_images) == 4


@pytest.mark.parametrize(
    ("name", "meant"), [("mnits", "mnist"), ("cifar-10", "cifar10"), ("./moon", "moons")]
)
def test_unknown_names_say_what_is_near_and_what_else_there_is(name: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        load_data_set(name, None)
    message = str(caught.value)
    assert message.startswith(f"unknown data set '{name}': did you mean '{meant}'?")
    assert all(known in message for known in DATA_SETS)
    assert message.endswith("or name a folder of images or an .npz file")


def test_no_name_is_not_the_current_folder() -> None:
    with pytest.raises(UserError, match="unknown data set ''"):
        load_data_set("", None)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x_train\n")
    with pytest.raises(UserError, match=r"^table.csv is no .npz"):
        load_data_set("table.csv", None)


def test_data_directory_decides_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_npz(tmp_path / "elsewhere" / "svhn.npz")
    assert load_data_set("svhn", "elsewhere").classes == 10
    with pytest.raises(UserError, match="there is no SVHN in data"):
        load_data_set("svhn", None)
    monkeypatch.setenv("NESY_GEDI_DATA", "elsewhere")
    assert len(load_data_set("svhn", None).train_images) == 2
    assert load_data_set("moons", None).classes == load_data_set("circles", "elsewhere").classes == 2
