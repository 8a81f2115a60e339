"""Examples from a CSV file and a folder of images: what is read, and every wrong row by its line."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nesy_gedi.errors import UserError
from nesy_gedi.examples_file import read_examples
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.program import read_program
from nesy_gedi.logic.source import ProgramError

PROGRAM = """
nn(net, [X], Y, [0, 1, 2, 3]) :: digit(X, Y).
nn(observed, [X], Y, [0, 1, 2, 3]) :: known(X, Y).
nn(observed_parity, [X], Y, [even, odd]) :: marked(X, Y).
query(add(L, [Y1, Y2], X, P, Z)).
add(L, [Y1, Y2], X, P, Z) :-
    digit(X, A), digit(Y1, B), digit(Y2, C), known(L, A), Z is A + B + C, M is Z mod 2, parity(M, P).
parity(0, even). parity(1, odd).
"""
COLUMNS = ("L", "Y1", "Y2", "X", "P", "Z")
NAMES = ["a.png", "b, c.png", "sub/a.png", 'quo"te.png', "lines\nin it.png", "Zürich 3.png", "x;y.png", "0"]


def shade(name: str) -> int:
    """The grey of all pixels of a file."""
    return 10 * NAMES.index(name) + 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    (folder / "sub").mkdir()
    for name in NAMES:
        pixels = np.full((4, 3), shade(name), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, format="PNG")
    return folder


def compiled(path: Path, text: str, query: str | None = None) -> ConstraintCircuit:
    path.write_text(text)
    return ConstraintCircuit(read_program(path, query), limits=None)


@pytest.fixture(scope="module")
def circuit(tmp_path_factory: pytest.TempPathFactory) -> ConstraintCircuit:
    return compiled(tmp_path_factory.mktemp("program") / "add.pl", PROGRAM)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table") / "examples.csv"


readings = st.tuples(*[st.integers(0, 3)] * 3)
files = st.lists(st.sampled_from(NAMES), min_size=3, max_size=3, unique=True)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(readings, files), min_size=1, max_size=6),
    order=st.permutations(COLUMNS),
    separator=st.sampled_from(",;"),
)
def test_written_examples_read_back_the_same(
    folder: Path,
    circuit: ConstraintCircuit,
    table: Path,
    rows: list[tuple[tuple[int, int, int], list[str]]],
    order: list[str],
    separator: str,
) -> None:
    with table.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, order, delimiter=separator)
        writer.writeheader()
        for (x, y1, y2), (fx, fy1, fy2) in rows:
            z = x + y1 + y2
            writer.writerow({"X": fx, "Y1": fy1, "Y2": fy2, "L": x, "Z": z, "P": ["even", "odd"][z % 2]})
    images, positions, found = read_examples(circuit, table, folder)
    assert images.train_images.shape == (len({name for _, names in rows for name in names}), 1, 4, 3)
    inputs = [circuit.slots[slot] for (slot,) in circuit.networks["net"].slots]
    shades = images.train_images[positions][:, :, 0, 0, 0].tolist()
    assert positions.dtype == torch.int64
    assert [dict(zip(inputs, row, strict=True)) for row in shades] == [
        {"X": shade(x), "Y1": shade(y1), "Y2": shade(y2)} for _, (x, y1, y2) in rows
    ]
    assert found.classes.tolist() == [[-1] * 3] * len(rows)
    assert {name: classes.tolist() for name, classes in found.observed.items()} == {
        "observed": [[reading[0]] for reading, _ in rows]
    }
    assert [circuit.answers[k] for k in found.answers.tolist()] == [
        f"{['even', 'odd'][sum(reading) % 2]}, {sum(reading)}" for reading, _ in rows
    ]


def test_image_set_has_no_labels_and_no_test_images(
    folder: Path, circuit: ConstraintCircuit, table: Path
) -> None:
    table.write_text("L,Y1,Y2,X,P,Z\n3,a.png,sub/a.png,0,odd,3\n")
    images, _, _ = read_examples(circuit, table, folder)
    assert (images.train_labels, images.test_labels, images.classes) == (None, None, 4)
    assert images.test_images.shape == (0, 1, 4, 3)
    assert images.source == f"{table}, images in {folder}"
    assert read_examples(circuit, table, folder, size=(8, 5))[0].train_images.shape == (3, 1, 8, 5)


def test_names_of_one_file_are_one_image(
    folder: Path, circuit: ConstraintCircuit, table: Path, tmp_path: Path
) -> None:
    """Also through a link, an absolute name, and one that leads out of the folder and back."""
    (tmp_path / "link.png").symlink_to(folder / "a.png")
    names = ["a.png", "./sub/../a.png", str(tmp_path / "link.png"), f"../{folder.name}/a.png"]
    rows = [f"3,{name},sub/a.png,0,odd,3" for name in names]
    table.write_text("\n".join(["L,Y1,Y2,X,P,Z", *rows]))
    images, positions, _ = read_examples(circuit, table, folder)
    assert len(images.train_images) == 3
    assert positions.unique(dim=0).shape == (1, 3)


def complaints(circuit: ConstraintCircuit, table: Path, folder: Path, *rows: str) -> list[str]:
    """Of rows that begin in line 2, without the file's name."""
    table.write_text("\n".join(["L,Y1,Y2,X,P,Z", *rows, ""]))
    with pytest.raises(UserError) as caught:
        read_examples(circuit, table, folder)
    return [line.removeprefix(f"{table}:") for line in str(caught.value).split("\n")]


def test_every_wrong_row_is_reported_by_line_and_column(
    folder: Path, circuit: ConstraintCircuit, table: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes((folder / "a.png").read_bytes()[:40])
    found = complaints(
        circuit,
        table,
        folder,
        "7,a.png,sub/a.png,0,odd,3",
        "3,a.png,sub/a.png,0,odd,03",
        "",
        '3,a.png,sub/a.png,"lines\nin it.png",odd,3',
        "3,a.png,sub/a.png,0,Odd,",
        "3,A.png,,0,odd,3",
        f"3,a.png,a.png,{damaged},odd,3",
        "0,a.png,sub/a.png,./a.png,odd,6",
        "0,a.png,sub/a.png,0,odd,9",
        "0,a.png",
    )
    start = "add(L,[Y1, Y2],X,P,Z)"
    assert found[:-2] == [
        "2: column L: 7 is none of 0, 1, 2, 3",
        "3: column Z: 03 is none of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; did you mean 3?",
        "7: column P: Odd is none of even, odd; did you mean odd?",
        "7: column Z: is empty: write one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        f"8: column Y1: there is no file {folder / 'A.png'}: did you mean a.png?",
        "8: column Y2: is empty: name an image file",
        "9: column Y2: a.png is the same image as in column Y1: use a different one",
        f"9: column X: {damaged} is no image of a kind that Pillow knows: save it as PNG",
        f"10: {start} can never hold with P = odd, Z = 6: possible are "
        "odd, 1; odd, 3; odd, 5; odd, 7; odd, 9",
        "10: column X: ./a.png is the same image as in column Y1: use a different one",
    ]
    assert found[-2:] == [
        f"11: no reading of the images satisfies {start} with P = odd, Z = 9, L = 0: mend them",
        "12: 2 cells instead of 6: L,Y1,Y2,X,P,Z",
    ]


def test_rows_that_no_reading_satisfies_are_reported_and_no_others(
    folder: Path, circuit: ConstraintCircuit, table: Path
) -> None:
    labels = list(product(range(4), range(10)))
    rows = [f"{x},a.png,sub/a.png,0,{['even', 'odd'][z % 2]},{z}" for x, z in labels]
    found = complaints(circuit, table, folder, *rows)
    wrong = [k + 2 for k, (x, z) in enumerate(labels) if not 0 <= z - x <= 6]
    assert [int(line.partition(":")[0]) for line in found] == wrong


def test_header_must_name_the_variables_of_the_query(
    folder: Path, circuit: ConstraintCircuit, table: Path
) -> None:
    table.write_text("3,a.png,sub/a.png,0,odd,3\n")
    with pytest.raises(UserError, match=r":1: .* in any order, L,Y1,Y2,X,P,Z$"):
        read_examples(circuit, table, folder)
    table.write_text("L,Y1,Y2,X,P,Z\n\n")
    with pytest.raises(UserError, match="no examples"):
        read_examples(circuit, table, folder)
    with pytest.raises(UserError, match="there is no folder"):
        read_examples(circuit, table, folder / "gone")


def test_a_query_without_symbols_has_one_answer(folder: Path, table: Path, tmp_path: Path) -> None:
    same = "nn(net, [X], Y, [0, 1]) :: digit(X, Y).\nsame(X, Y) :- digit(X, A), digit(Y, A).\n"
    table.write_text("Y,X\na.png,0\nsub/a.png,a.png\n")
    images, positions, found = read_examples(compiled(tmp_path / "same.pl", same), table, folder)
    assert images.train_images[positions][:, :, 0, 0, 0].tolist() == [
        [shade("0"), shade("a.png")],
        [shade("a.png"), shade("sub/a.png")],
    ]
    assert (found.observed, found.answers.tolist()) == ({}, [0, 0])


def test_constants_that_a_network_reads_have_columns_of_their_names(
    folder: Path, table: Path, tmp_path: Path
) -> None:
    rule = "like(R, X) :- digit(X, A), digit(img(1, 2), B), R is A + B."
    circuit = compiled(tmp_path / "like.pl", f"nn(net, [X], Y, [0, 1]) :: digit(X, Y).\n{rule}\n")
    table.write_text('"img(1,2)",X,R\na.png,0,2\n')
    _, positions, found = read_examples(circuit, table, folder)
    names = [circuit.slots[slot] for (slot,) in circuit.networks["net"].slots]
    assert names == ["X", "img(1,2)"]
    assert positions.tolist() == [[0, 1]]
    assert circuit.answers[int(found.answers)] == "2"
    table.write_text("R,X,Y\n")
    with pytest.raises(UserError, match=r'in any order, R,X,"img\(1,2\)"$'):
        read_examples(circuit, table, folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "nn(net, [X, Y], Z, [0, 1]) :: less(X, Y, Z).\nordered(X, Y) :- less(X, Y, 1).\n",
            "net reads several slots at once",
        ),
        (
            "nn(net, [X], Y, [0, 1]) :: digit(X, Y).\nnn(observed, [X], Y, [0, 1]) :: known(X, Y).\n"
            "right(X) :- digit(X, A), known(X, A).\n",
            "X is an image for net and a label for observed",
        ),
        (
            "nn(observed, [X], Y, [0, 1]) :: known(X, Y).\nnn(net, [X], Y, [0, 1]) :: digit(X, Y).\n"
            "right(X) :- known(X, 1).\nunused(X) :- digit(X, 1).\nquery(right(X)).\n",
            "asks nothing of net",
        ),
    ],
)
def test_programs_whose_slots_no_column_can_hold_are_refused(
    folder: Path, table: Path, tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(ProgramError, match=reason) as caught:
        read_examples(compiled(tmp_path / "odd.pl", text), table, folder)
    assert caught.value.line == (2 if reason.startswith("X") or "asks" in reason else 1)
