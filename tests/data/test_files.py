"""Image files: formats, orientation, transparency, size, and what is wrong with them."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nesy_gedi.data.files import read_image, read_images, try_images
from nesy_gedi.errors import UserError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "tga", "ppm", "webp"])
def test_colours_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    pixels = noise(6, 5, 3)
    lossless = {"lossless": True} if suffix == "webp" else {}
    image = read_image(saved(tmp_path / f"image.{suffix}", pixels, **lossless))
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 999))
def test_grey_is_read_exactly_as_grey_and_as_colour(folder: Path, height: int, width: int, seed: int) -> None:
    pixels = noise(height, width, seed=seed)
    path = saved(folder / "grey.png", pixels)
    assert np.array_equal(read_image(path).numpy(), pixels[None])
    assert np.array_equal(read_image(path, channels=3).numpy(), np.stack([pixels] * 3))


def test_colours_become_grey_by_their_luma(tmp_path: Path) -> None:
    pixels = noise(8, 9, 3)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    image = read_image(saved(tmp_path / "colour.png", pixels), channels=1)
    assert image.shape == (1, 8, 9)
    assert np.abs(image[0].numpy() - luma).max() < 0.51


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_keep_the_upper_eight_and_one_bit_is_black_or_white(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256, 257 * 100, 65535]], dtype=np.uint16)
    assert read_image(saved(tmp_path / f"deep.{suffix}", values)).tolist() == [[[0, 0, 1, 100, 255]]]
    assert read_image(saved(tmp_path / f"bits.{suffix}", values > 256)).tolist() == [[[0, 0, 0, 255, 255]]]


def test_palette_reads_as_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([1, 0])
    image.save(tmp_path / "palette.gif")
    assert read_image(tmp_path / "palette.gif")[:, 0].T.tolist() == [[200, 100, 50], [10, 20, 30]]


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    black = np.zeros((1, 3), dtype=np.uint8)
    alpha = np.array([[0, 100, 255]], dtype=np.uint8)
    for mode, channels in (("LA", 1), ("RGBA", 3)):
        image = Image.merge(mode, [Image.fromarray(band) for band in (*[black] * channels, alpha)])
        image.save(tmp_path / "clear.png")
        assert read_image(tmp_path / "clear.png").tolist() == [[[255, 155, 0]]] * channels


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_transparent_palette_entry_becomes_white(tmp_path: Path, kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putdata([0, 1])
    image.save(tmp_path / f"clear.{kind}", transparency=0)
    assert read_image(tmp_path / f"clear.{kind}")[:, 0].T.tolist() == [[255] * 3, [200, 0, 0]]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [  # what the tag says of the stored rows and columns, undone
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.T),
        (6, lambda a: a.T[:, ::-1]),
        (7, lambda a: a.T[::-1, ::-1]),
        (8, lambda a: a.T[::-1]),
    ],
)
def test_exif_orientation_is_respected(tmp_path: Path, orientation: int, upright: object) -> None:
    pixels, exif = noise(3, 5), Image.Exif()
    exif[0x0112] = orientation
    image = read_image(saved(tmp_path / "turned.png", pixels, exif=exif))
    assert np.array_equal(image[0].numpy(), upright(pixels))  # type: ignore[operator]


def test_animation_reads_as_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (3, 2), shade) for shade in (40, 90, 200)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "film.gif", channels=1).tolist() == [[[40] * 3] * 2]


def test_shrinking_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    board = (np.indices((64, 32)).sum(0) % 2 * 255).astype(np.uint8)
    path = saved(tmp_path / "board.png", board)
    small = read_image(path, height=8, width=4)
    assert small.shape == (1, 8, 4)
    assert ((small > 120) & (small < 135)).all()
    assert read_image(path, height=16).shape == (1, 16, 32)
    assert read_image(path, width=16).shape == (1, 64, 16)


def test_hidden_colours_do_not_leak_when_the_size_changes(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 4, 8))
    image.save(tmp_path / "hidden.png")
    assert (read_image(tmp_path / "hidden.png", height=3, width=3) == 255).all()


def refusal(path: Path, **options: int) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError) as caught:
            read_image(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("there", "asked"), [("digit_07.png", "digit_7.png"), ("SEVEN.PNG", "seven.png"), ("a.jpeg", "a.png")]
)
def test_missing_file_names_the_nearest(tmp_path: Path, there: str, asked: str) -> None:
    for name in (there, "zzzzzzzz.txt"):
        (tmp_path / name).touch()
    assert f"did you mean {there}?" in refusal(tmp_path / asked)


def test_missing_file_without_a_like_name_and_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert "not among the 1 files of its folder" in refusal(tmp_path / "x.png")
    for k in range(2000):  # too many to compare with
        (tmp_path / f"{k}.txt").touch()
    assert "not among the 2,001 files of its folder" in refusal(tmp_path / "2000.txt")
    assert f"not even a folder {tmp_path / 'gone'}" in refusal(tmp_path / "gone" / "x.png")


def test_what_is_no_image_file_is_refused(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    assert "no image of a kind that Pillow knows" in refusal(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    assert "no image of a kind that Pillow knows" in refusal(tmp_path / "empty.png")
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes into it: opening it would take forever
    assert "no ordinary file" in refusal(tmp_path / "pipe.png")


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpeg", "gif"])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"cut.{suffix}", noise(30, 30))
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be read as an image" in refusal(path)
    path.write_text("P2 4 4 255 1 2 3")  # grey values as text, of which Pillow's decoder makes a ValueError
    assert "cannot be read as an image" in refusal(path)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_without_a_known_white_are_refused(tmp_path: Path, dtype: type) -> None:
    assert "32 bits" in refusal(saved(tmp_path / "raw.tiff", np.ones((2, 2), dtype=dtype)))


@pytest.mark.parametrize("limit", [20, 8])  # Pillow only warns up to twice its limit
def test_image_above_pillows_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    path = saved(tmp_path / "large.png", noise(6, 5))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert f"above {limit} pixels" in refusal(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_image(path).shape == (1, 6, 5)


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(["png", "gif", "jpeg", "tga", "pcx", "webp"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.floats(0, 1),
)
def test_damage_is_a_user_error_or_an_image(
    folder: Path, suffix: str, changes: list[tuple[int, int]], kept: float
) -> None:
    path = saved(folder / f"damaged.{suffix}", noise(5, 4, 3))
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data[: round(len(data) * kept)])
    images, wrong = try_images([path], 3, 4, 4)
    assert images.shape == ((0, 0, 0, 0) if wrong else (1, 3, 4, 4))
    assert all(str(path) in str(error) for error in wrong.values())


def test_stack_has_channels_and_size_of_the_first(tmp_path: Path) -> None:
    grey = saved(tmp_path / "grey.png", np.full((6, 5), 7, dtype=np.uint8))
    colour = saved(tmp_path / "colour.png", np.full((9, 4, 3), 50, dtype=np.uint8))
    for paths, shape in (([grey, colour, grey], (3, 1, 6, 5)), ([colour, grey], (2, 3, 9, 4))):
        images = read_images(paths)
        assert images.shape == shape
        assert images.flatten(1).float().std(1).tolist() == [0] * len(paths)
        assert images[:, 0, 0, 0].tolist() == [7 if path == grey else 50 for path in paths]
    assert read_images([grey, colour], channels=3, height=2, width=8).shape == (2, 3, 2, 8)
    assert "2 channels" in refusal(grey, channels=2)


def test_every_wrong_file_is_reported_and_the_first_right_one_decides_the_size(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.png", noise(6, 5))
    (tmp_path / "text.png").write_text("no")
    paths = [tmp_path / "gone.png", good, tmp_path / "text.png", good, tmp_path]
    with pytest.raises(UserError) as caught:
        read_images(paths)
    lines = str(caught.value).split("\n")
    assert [str(path) in line for path, line in zip(paths[::2], lines, strict=True)] == [True] * 3
    images, wrong = try_images(paths)
    assert images.shape == (2, 1, 6, 5)
    assert list(wrong) == [0, 2, 4]


def test_many_wrong_files_are_counted(tmp_path: Path) -> None:
    saved(tmp_path / "image.png", noise(2, 2))
    missing = [tmp_path / f"image{k}.png" for k in range(60)]
    with pytest.raises(UserError) as caught:
        read_images(missing)
    lines = str(caught.value).split("\n")
    assert len(lines) == 51
    assert lines[-1] == "… and 10 more"
    # a folder is not searched again for each of very many files
    _, wrong = try_images(missing)
    assert ["image.png?" in str(error) for error in wrong.values()] == [True] * 50 + [False] * 10
