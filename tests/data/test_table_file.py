"""CSV files: what is read, and everything that is reported, by line."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nesy_gedi.data.table import Mistakes, nearest, read_table
from nesy_gedi.errors import UserError

COLUMNS = ("X", "Y", "Sum")
WANTED = "the columns are, in any order, X,Y,Sum"
# what a cell may hold: no blanks around it, and no control characters but line breaks
cells = st.text(
    st.one_of(st.sampled_from(",;\"'\n \r"), st.characters(exclude_categories=["Cc", "Cs"])), max_size=6
).map(str.strip)


def read(path: Path, text: str | bytes) -> list[tuple[int, dict[str, str]]]:
    """Rows of a file of this content; raises if there are mistakes."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    mistakes = Mistakes(path, COLUMNS)
    rows = read_table(path, COLUMNS, mistakes)
    mistakes.report()
    return [(row.line, dict(row.cells)) for row in rows]


def messages(path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(path, text)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).split("\n")]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table.csv"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), max_size=5),
    order=st.permutations(COLUMNS),
    separator=st.sampled_from(",;"),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    gaps=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    mark=st.sampled_from(["", "\ufeff"]),
)
@example(
    [("a\rb", "a\r\nb", "a\nb"), ("", "c", "")], list(COLUMNS), ",", "\r\n", csv.QUOTE_ALL, [0, 1, 2], ""
)
def test_written_table_reads_back_with_its_line_numbers(
    path: Path,
    rows: list[tuple[str, str, str]],
    order: list[str],
    separator: str,
    ending: str,
    quoting: int,
    gaps: list[int],
    mark: str,
) -> None:
    text, expected = mark, []
    for k, cells in enumerate([COLUMNS, *rows]):
        text += ending * gaps[k]
        # a lone carriage return ends a line as well
        line = len(io.StringIO(text, newline=None).readlines()) + 1
        named = dict(zip(COLUMNS, cells, strict=True))
        out = io.StringIO(newline="")
        # the writer forgets to quote a lone carriage return, so that nobody could read it back
        quotes = csv.QUOTE_ALL if "\r" in "".join(cells) else quoting
        csv.writer(out, delimiter=separator, lineterminator=ending, quoting=quotes).writerow(
            [named[name] for name in order]
        )
        text += out.getvalue()
        expected.append((line, named))
    assert read(path, text) == expected[1:]


def test_blanks_around_cells_do_not_count(path: Path) -> None:
    text = 'X , Y,Sum\n \n a b , "c, d",\t3\n'
    assert read(path, text) == [(3, {"X": "a b", "Y": "c, d", "Sum": "3"})]


def test_rows_of_another_length_are_all_reported(path: Path) -> None:
    text = 'X,Y,Sum\na,b\n\n"a\n",b,c\na,b,c,d\n'
    assert messages(path, text) == ["2: 2 cells instead of 3: X,Y,Sum", "6: 4 cells instead of 3: X,Y,Sum"]


@pytest.mark.parametrize("row", ['"a,b,c\na,b,c', '"a"b,c,d'])
def test_broken_quotes_are_reported_where_the_row_begins(path: Path, row: str) -> None:
    short, broken = messages(path, f"X,Y,Sum\na,b\na,b,c\n{row}\n")
    assert short.startswith("2: 2 cells")
    assert broken.startswith("4: not read from here on")


def test_every_mistake_in_the_header_is_reported(path: Path) -> None:
    assert messages(path, "\nx,Y,Y,,Total,Sum\n1\n") == [
        f"2: unknown column x: did you mean X? {WANTED}",
        f"2: column Y is there twice: take one out; {WANTED}",
        f"2: column number 4 has no name: take it out; {WANTED}",
        f"2: unknown column Total: take it out; {WANTED}",
        f"2: column X is missing: {WANTED}",
    ]


def test_missing_header_shows_the_right_one(path: Path) -> None:
    (message,) = messages(path, "a.png,b.png,3\nc.png,d.png,4\n")
    assert message == f"1: the first line must name the columns, but is a.png,b.png,3: {WANTED}"
    (message,) = messages(path, "a.png;b.png;3\n")
    assert message.endswith("in any order, X;Y;Sum")
    (message,) = messages(path, "a" * 5000)
    assert len(message) < 300


@pytest.mark.parametrize("text", ["", "\n\n  \n", "\ufeff"])
def test_empty_file_is_refused(path: Path, text: str) -> None:
    (message,) = messages(path, text)
    assert message == f"{path} is empty: its first line must be X,Y,Sum"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("X,Y,Sum\na,é,1\n".encode("latin-1"), 2),
        ("X,Y,Sum\n".encode("utf-16"), 1),
        (b"X,Y,Sum\n\na,\0,1\n", 3),
    ],
)
def test_what_is_not_utf8_is_refused(path: Path, data: bytes, line: int) -> None:
    (message,) = messages(path, data)
    assert message.startswith(f"{line}: byte 0x")
    assert "UTF-8" in message


def test_no_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone.csv", "there is no file"), (tmp_path, "directory")):
        with pytest.raises(UserError, match=reason) as caught:
            read_table(path, COLUMNS, Mistakes(path, COLUMNS))
        assert str(path) in str(caught.value)


def test_mistakes_come_in_the_order_of_lines_and_columns_and_are_counted() -> None:
    mistakes = Mistakes(Path("t.csv"), COLUMNS)
    mistakes.report()
    for line in range(60, 1, -1):
        assert mistakes.many == (line <= 10)
        mistakes.add(line, "odd", "Y")
    mistakes.add(2, "even", "X")
    mistakes.add(2, "whole row")
    with pytest.raises(UserError) as caught:
        mistakes.report()
    lines = str(caught.value).split("\n")
    assert lines[:4] == [
        "t.csv:2: whole row",
        "t.csv:2: column X: even",
        "t.csv:2: column Y: odd",
        "t.csv:3: column Y: odd",
    ]
    assert len(lines) == 51
    assert lines[50] == "… and 11 more mistakes in t.csv"


@pytest.mark.parametrize(
    ("text", "known", "meant"),
    [
        ("07", ["0", "7"], "7"),
        ("7.0", ["77", "7"], "7"),
        ("ODD", ["even", "odd"], "odd"),
        ("very odd", ["'very odd'"], "'very odd'"),
        ("[1,2]", ["[1, 12]", "[1, 2]"], "[1, 2]"),
        ("evne", ["odd", "even"], "even"),
        ("?", ["odd", "even"], None),
    ],
)
def test_nearest_knows_other_ways_to_write_the_same(text: str, known: list[str], meant: str | None) -> None:
    assert nearest(text, known) == meant
