"""The text of a program, and errors that name the place in it."""

import bisect
from dataclasses import dataclass
from pathlib import Path

from problog.errors import ParseError, ProbLogError
from problog.logic import Term

from nesy_gedi.errors import UserError
from nesy_gedi.resources import resource


class ProgramError(UserError):
    """A mistake in a program; the text starts with ``file:line:column:`` (both count from one)."""

    def __init__(self, path: Path, line: int, column: int, message: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {message}")
        self.line, self.column = line, column


@dataclass(frozen=True)
class Source:
    """A program's text and where it came from."""

    path: Path
    text: str

    def error(self, place: Term | None, message: str) -> ProgramError:
        """An error at a term of the parsed text; at the first line where the term knows no place."""
        location = getattr(place, "location", None)
        offset = (location[1] if isinstance(location, tuple) else location) or 0
        starts = [0] + [i + 1 for i, character in enumerate(self.text) if character == "\n"]
        line = bisect.bisect_right(starts, offset)
        return ProgramError(self.path, line, offset - starts[line - 1] + 1, message)

    def problog_error(self, error: ProbLogError) -> ProgramError:
        """ProbLog's own error with the place that it gives, else the first line."""
        line, column = 1, 1
        location = getattr(error, "location", None)
        if isinstance(location, tuple) and len(location) == 3:
            _, line, column = location
            if isinstance(error, ParseError) and line == 1:
                column += 1  # its parser counts columns from zero in the first line, else from one
        message = getattr(error, "base_message", None) or str(error)
        return ProgramError(self.path, line, column, f"{message}: mend the program there")


def read_source(path: Path) -> Source:
    """Read the text of a program.

    Raises:
        UserError: there is no such file, or it is not text; names a program of the package if near.
    """
    if path.is_dir():
        raise UserError(f"program {path} is a directory: name the .pl file in it")
    try:
        return Source(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        try:
            hint = f"the package has one of that name, {resource('programs', path.name)}"
        except UserError as shipped:
            hint = str(shipped)
        raise UserError(f"there is no program {path}: {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"program {path} cannot be read as text: {error}; give a readable .pl file") from None
