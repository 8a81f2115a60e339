"""The pictures, read back from their files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nesy_gedi.reporting.figures import classes_figure, confusion_figure, terms_figure

DIGITS = [str(k) for k in range(10)]


def pixels(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def dark_blue(path: Path) -> NDArray[np.int64]:
    """Positions (row, column) of the full cells."""
    return np.argwhere(np.abs(pixels(path) - (8, 48, 107)).sum(2) < 12)


def test_confusion_has_labels_as_rows_and_the_networks_names_as_columns(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    confusion_figure(path, np.diag([5] * 10), DIGITS, DIGITS)
    rows, columns = dark_blue(path).T
    assert np.corrcoef(rows, columns)[0, 1] > 0.95
    confusion_figure(path, np.fliplr(np.diag([5] * 10)), DIGITS, DIGITS)
    rows, columns = dark_blue(path).T
    assert np.corrcoef(rows, columns)[0, 1] < -0.95
    collapsed = np.zeros((10, 10), dtype=np.int64)
    collapsed[:, 0] = 100
    confusion_figure(path, collapsed, DIGITS, DIGITS)
    rows, columns = dark_blue(path).T
    assert np.ptp(rows) > 8 * np.ptp(columns)
    assert columns.max() < pixels(path).shape[1] / 2


def test_a_class_without_labels_is_no_division_by_zero(tmp_path: Path) -> None:
    table = np.diag([5, 0, 5])
    with np.errstate(all="raise"):
        confusion_figure(tmp_path / "c.png", table, ["a", "b", "c"], ["a", "b", "c"])
    assert len(dark_blue(tmp_path / "c.png")) > 0


def changed_box(one: Path, other: Path) -> tuple[float, float, float, float]:
    """Where two pictures differ: top, bottom, left, right, as shares of their size."""
    first, second = pixels(one), pixels(other)
    assert first.shape == second.shape
    rows, columns = np.argwhere((first != second).any(2)).T
    height, width = first.shape[:2]
    return rows.min() / height, rows.max() / height, columns.min() / width, columns.max() / width


def test_names_of_classes_stand_at_both_axes_of_the_confusion(tmp_path: Path) -> None:
    """The first name is that of the top row and of the left column: only there its letter shows."""
    names = list("vvvv")
    table = np.diag([5] * 4)
    confusion_figure(tmp_path / "plain.png", table, names, names)
    confusion_figure(tmp_path / "again.png", table, names, names)
    np.testing.assert_array_equal(pixels(tmp_path / "plain.png"), pixels(tmp_path / "again.png"))
    first_z, last_z = ["z", *names[1:]], [*names[1:], "z"]
    confusion_figure(tmp_path / "first.png", table, first_z, first_z)
    confusion_figure(tmp_path / "last.png", table, last_z, last_z)
    first = changed_box(tmp_path / "plain.png", tmp_path / "first.png")
    last = changed_box(tmp_path / "plain.png", tmp_path / "last.png")
    # top left: from the label of the top row down to that of the left column
    assert first[0] < 0.3
    assert first[1] > 0.75
    assert first[3] < 0.45
    # bottom right: the bottom row's label and the right column's
    assert last[0] > 0.5
    assert last[3] > 0.75


def test_rows_of_images_have_their_classes_names(tmp_path: Path) -> None:
    images, predicted = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4)
    classes_figure(tmp_path / "plain.png", images, predicted, list("vvvv"))
    places = []
    for k in range(4):
        names = list("vvvv")
        names[k] = "z"
        classes_figure(tmp_path / "one.png", images, predicted, names)
        top, bottom, _, right = changed_box(tmp_path / "plain.png", tmp_path / "one.png")
        assert bottom - top < 0.1
        assert right < 0.2
        places.append((top + bottom) / 2)
    assert places == sorted(places)
    assert np.diff(places) == pytest.approx([np.diff(places).mean()] * 3, abs=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_digits_stand_in_the_row_of_their_class(tmp_path: Path, channels: int) -> None:
    black = torch.zeros(40, channels, 8, 8, dtype=torch.uint8)
    path = tmp_path / "digits.png"
    shares = []
    for k in range(4):  # all in class k: its row is black, all others are white
        classes_figure(path, black, torch.full((40,), k), DIGITS[:4])
        dark = np.argwhere(pixels(path).sum(2) < 30)
        height, width = pixels(path).shape[:2]
        wide = dark[np.abs(dark[:, 1] - np.median(dark[:, 1])) < width * 0.3]
        shares.append(np.median(wide[:, 0]) / height)
    assert shares == sorted(shares)
    assert np.diff(shares) == pytest.approx([np.diff(shares).mean()] * 3, abs=0.02)
    assert np.diff(shares).min() > 0.15


def test_digits_take_the_images_in_order(tmp_path: Path) -> None:
    """Twelve of a class are shown; what comes after changes nothing, the first does."""
    images = torch.randint(0, 256, (30, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    predicted = torch.zeros(30, dtype=torch.long)
    classes_figure(tmp_path / "all.png", images, predicted, ["0", "1"])
    classes_figure(tmp_path / "twelve.png", images[:12], predicted[:12], ["0", "1"])
    classes_figure(tmp_path / "others.png", images[1:], predicted[1:], ["0", "1"])
    shown = pixels(tmp_path / "all.png")
    np.testing.assert_array_equal(shown, pixels(tmp_path / "twelve.png"))
    assert (shown != pixels(tmp_path / "others.png")).any()


def write_metrics(path: Path, rows: list[tuple[int, int, int, float]], *terms: str) -> Path:
    lines = [
        {"seed": s, "attempt": a, "epoch": e, "terms": dict.fromkeys(terms, v), "renamed": False}
        for s, a, e, v in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_terms_are_those_of_the_seeds_last_training(tmp_path: Path) -> None:
    last = [(1, 2, 1, 3.0), (1, 2, 2, 1.0)]
    others = [(0, 0, 1, 50.0), (1, 0, 1, 90.0), (1, 1, 1, 70.0)]
    for name, rows in (("alone", last), ("among", [*others, *last, (2, 0, 1, 9.0)])):
        terms_figure(tmp_path / f"{name}.png", write_metrics(tmp_path / name, rows, "nesy"), 1, {"nesy": 0.0})
    np.testing.assert_array_equal(pixels(tmp_path / "alone.png"), pixels(tmp_path / "among.png"))


def test_terms_have_a_panel_each_and_a_line_at_the_optimum(tmp_path: Path) -> None:
    rows = [(0, 0, e, 3.0 / e) for e in range(1, 5)]
    one = write_metrics(tmp_path / "one", rows, "prior")
    three = write_metrics(tmp_path / "three", rows, "gen", "prior", "nesy")
    terms_figure(tmp_path / "1.png", one, 0, {"prior": 2.3})
    terms_figure(tmp_path / "3.png", three, 0, {"gen": None, "prior": 2.3, "nesy": 0.0})
    terms_figure(tmp_path / "none.png", one, 0, {"prior": None})
    assert pixels(tmp_path / "3.png").shape[1] == 3 * pixels(tmp_path / "1.png").shape[1]

    def longest_grey_row(name: str) -> int:
        colours = pixels(tmp_path / name)
        level = colours[..., 0]
        grey = (np.ptp(colours, axis=2) < 3) & (level > 80) & (level < 200)
        return int(grey.sum(1).max())

    assert longest_grey_row("1.png") > 100
    assert longest_grey_row("none.png") < 50


def test_a_term_that_counted_in_one_epoch_only_is_a_point(tmp_path: Path) -> None:
    terms_figure(
        tmp_path / "t.png", write_metrics(tmp_path / "one", [(0, 0, 1, 3.0)], "inv"), 0, {"inv": 0.0}
    )
    blue = np.abs(pixels(tmp_path / "t.png") - (31, 119, 180)).sum(2) < 30
    assert blue.sum() > 20
