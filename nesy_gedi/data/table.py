"""A table that a user wrote, as a CSV file: its rows, and all that is wrong with them, line by line."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from nesy_gedi.errors import UserError

_MOST_LINES = 50  # of a message
_MOST_SHOWN = 100  # characters of a wrong line


class Row(NamedTuple):
    """The line where a row begins, counted from one, and its cells by column, without blanks around them."""

    line: int
    cells: Mapping[str, str]


class Mistakes:
    """What is wrong with a file; collected, so that all of it can be mended at once.

    Args:
        path: the file.
        columns: names of its columns, in the order in which mistakes of one row are reported.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self._order = path, {name: k for k, name in enumerate(columns)}
        self._found: list[tuple[int, int, str]] = []

    @property
    def many(self) -> bool:
        """Whether there are already as many as a message shows: no more advice is needed then."""
        return len(self._found) >= _MOST_LINES

    def add(self, line: int, message: str, column: str | None = None) -> None:
        """Note a mistake in a line, or in one column of it."""
        place = f"{self.path}:{line}: " + (f"column {column}: " if column is not None else "")
        self._found.append((line, self._order.get(column or "", -1), place + message))

    def report(self) -> None:
        """Nothing if there are no mistakes.

        Raises:
            UserError: there are some; the message has a line for each, in the order of the file, up to 50.
        """
        messages = [message for *_, message in sorted(self._found, key=lambda found: found[:2])]
        if len(messages) > _MOST_LINES:
            messages[_MOST_LINES:] = [f"… and {len(messages) - _MOST_LINES:,} more mistakes in {self.path}"]
        if messages:
            raise UserError("\n".join(messages))


def read_table(path: Path, columns: Sequence[str], mistakes: Mistakes) -> list[Row]:
    """Read a CSV file in UTF-8 whose first line names the columns, in any order.

    Cells are separated by commas, or by semicolons if the first line has one. Empty lines are passed over.

    Args:
        path: the file.
        columns: the names that the header must have, each once and no other.
        mistakes: collects rows that have another number of cells or broken quotes.

    Raises:
        UserError: the file cannot be read, is empty, or has another header.
    """
    text = _text(path)
    separator = ";" if ";" in next(iter(text.lstrip().splitlines()), "") else ","
    header: Sequence[str] | None = None
    rows: list[Row] = []
    for line, cells in _records(text, separator, mistakes):
        if header is None:
            header = cells
            _check_header(line, header, columns, separator, mistakes)
        elif len(cells) == len(header):
            rows.append(Row(line, dict(zip(header, cells, strict=True))))
        else:
            mistakes.add(line, f"{len(cells)} cells instead of {len(header)}: {_joined(header, separator)}")
    if header is None:
        mistakes.report()
        raise UserError(f"{path} is empty: its first line must be {_joined(columns, separator)}")
    return rows


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The name that was meant: equal but for case, quotes, blanks or how a number is written, else alike."""
    names = list(known)
    alike = [name for name in names if _plain(name) == _plain(text)]
    return next(iter(alike or get_close_matches(text, names, n=1, cutoff=0.4)), None)


def _plain(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text.translate({ord(mark): None for mark in " '\""}).casefold()


def _text(path: Path) -> str:
    if os.path.isdir(path):
        raise UserError(f"{path} is a directory: name the CSV file in it")
    if not os.path.isfile(path):
        raise UserError(f"there is no file {path}: name a CSV file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        text, wrong = data.decode("utf-8-sig"), data.find(0)
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        line = data.count(b"\n", 0, wrong) + 1
        raise UserError(
            f"{path}:{line}: byte {data[wrong]:#04x} is no text in UTF-8: save it as CSV in UTF-8"
        )
    return text


def _records(text: str, separator: str, mistakes: Mistakes) -> Iterator[tuple[int, list[str]]]:
    """The line where each record begins, and its cells."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            mistakes.add(line, f"not read from here on ({error}): mend the quotes of this row")
            return
        if cells not in ([], [""]):
            yield line, cells


def _check_header(
    line: int, header: Sequence[str], columns: Sequence[str], separator: str, mistakes: Mistakes
) -> None:
    """Report everything wrong with the header at once; rows mean nothing without a right one."""
    wanted = f"the columns are, in any order, {_joined(columns, separator)}"
    if not {_plain(name) for name in header} & {_plain(name) for name in columns}:
        found = _joined(header, separator)
        found = found if len(found) <= _MOST_SHOWN else found[:_MOST_SHOWN] + "…"
        mistakes.add(line, f"the first line must name the columns, but is {found}: {wanted}")
        mistakes.report()
    missing = [name for name in columns if name not in header]
    for position, name in enumerate(header):
        meant = nearest(name, missing)
        if not name:
            mistakes.add(line, f"column number {position + 1} has no name: take it out; {wanted}")
        elif name not in columns:
            hint = f"did you mean {meant}?" if meant else "take it out;"
            mistakes.add(line, f"unknown column {name}: {hint} {wanted}")
        elif name in header[:position]:
            mistakes.add(line, f"column {name} is there twice: take one out; {wanted}")
    for name in missing:
        mistakes.add(line, f"column {name} is missing: {wanted}")
    mistakes.report()


def _joined(names: Sequence[str], separator: str) -> str:
    """A line of the file."""
    line = io.StringIO()
    csv.writer(line, delimiter=separator, lineterminator="").writerow(names)
    return line.getvalue()
