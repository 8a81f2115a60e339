"""The text of a program, and errors that name the place in it."""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problog.errors import ParseError, ProbLogError
from problog.logic import And, Clause, Constant, Or, Term, Var
from problog.parser import SPECIAL_END, PrologParser
from problog.parser import ParseError as PlacedParseError
from problog.program import DefaultPrologFactory

from nesy_gedi.errors import UserError
from nesy_gedi.resources import resource

DECLARATIONS = ("dynamic", "discontiguous", "initialization", "multifile", "table", "ensure_loaded")


class ProgramError(UserError):
    """A mistake in a program; the text starts with ``file:line:column:`` (both count from one)."""

    def __init__(self, path: Path, line: int, column: int, message: str) -> None:
        super().__init__(f"{path}:{line}:{column}: {message}")
        self.path, self.line, self.column, self.message = path, line, column, message


@dataclass(frozen=True)
class Source:
    """A program's text and where it came from."""

    path: Path
    text: str

    def error(self, place: Term | None, message: str) -> ProgramError:
        """An error at a term of the parsed text; at the first line where the term knows no place."""
        return self.error_at(first_character(place) or 0, message)

    def error_at(self, offset: int, message: str) -> ProgramError:
        """An error at the character of that number, counted from zero."""
        starts = self._line_starts()
        line = bisect.bisect_right(starts, offset)
        return ProgramError(self.path, line, offset - starts[line - 1] + 1, message)

    def offset(self, line: int, column: int) -> int:
        """Number of a character from its line and column, which count from one."""
        return self._line_starts()[line - 1] + column - 1

    def _line_starts(self) -> list[int]:
        return [0] + [i + 1 for i, character in enumerate(self.text) if character == "\n"]

    def statements(self) -> list[Term]:
        """The program as ProbLog parses it.

        Raises:
            ProgramError: the first mistake that the parser meets.
        """
        try:
            statements = list(_Parser(DefaultPrologFactory()).parseString(self.text))
        except ParseError as error:
            raise self.problog_error(error) from None
        for statement in statements:
            if isinstance(statement, Var | Constant):
                raise self.error(statement, f"{statement} is no clause: a fact is written name(argument).")
        return statements

    def problog_error(self, error: ProbLogError) -> ProgramError:
        """A syntax error, or another error of ProbLog's, at the place that it gives, else the first line."""
        message = str(getattr(error, "base_message", None) or error)
        location = getattr(error, "location", None)
        if not (isinstance(location, tuple) and len(location) == 3) or location[0] is not None:
            return self.error_at(0, f"{message}: mend the program")
        _, line, column = location
        if not isinstance(error, ParseError):
            return self.error_at(self.offset(line, column), f"{message}: mend the program there")
        # ProbLog's parser counts columns from zero in the first line, else from one
        offset = self.offset(line, column + 1 if line == 1 else column)
        if message == "Incomplete statement":
            return self.error_at(self._last_statement(), "this statement has no end: add a full stop")
        return self.error_at(offset, f"{message}: {_mend(message, self.text, offset)}")

    def _last_statement(self) -> int:
        first, parser = 0, _Parser(DefaultPrologFactory())
        ended = True
        for token in parser._tokenize(self.text):
            if ended:
                first = token.location
            ended = token.is_special(SPECIAL_END)
        return first


class _Parser(PrologParser):
    """ProbLog's parser; every error names a place."""

    def _parse_statement(self, string: str, tokens: Sequence[Any]) -> Term:
        try:
            return super()._parse_statement(string, tokens)
        except ParseError:
            raise
        except Exception as error:  # a head that is none has no place; other texts break the parser itself
            message = str(getattr(error, "base_message", None) or "Unexpected statement")
            raise PlacedParseError(string, message, tokens[0].location) from None


def first_character(term: object) -> int | None:
    """Where a term of the parsed text begins: for an operator, at its first operand."""
    if not isinstance(term, Term):
        return None
    location = term.location
    own = location[1] if isinstance(location, tuple) else location
    if own is not None and term.op_spec is None and not isinstance(term, And | Or | Clause):
        return int(own)
    found = [first_character(argument) for argument in term.args]
    known = [offset for offset in [own, *found] if offset is not None]
    return min(known, default=None)


def _mend(message: str, text: str, offset: int) -> str:
    """What to do about a syntax error."""
    if message.startswith("Unmatched"):
        if text[offset - 1 : offset + 1] == "0'":
            return "ProbLog does not read 0'c; write the character's number"
        return "open or close it"
    if message.startswith("Unexpected character '.'"):
        return "a full stop ends a clause, and a space or a new line follows it"
    if message.startswith("Unexpected character"):
        return "ProbLog does not read it; remove it, or put 'quotes' around the name"
    if message.startswith("Unexpected clause head"):
        return "the head of a clause is one predicate, name(arguments); write a clause for each"
    if message == "Empty statement found":
        return "remove this full stop"
    if message == "Operator priority clash":
        return "two operators stand side by side; write parentheses"
    before = re.search(r"(\w+)\s*$", text[:offset])
    word = before[1] if before else ""
    if word in DECLARATIONS:
        return f"ProbLog has no declaration {word}; remove the line"
    if text[offset : offset + 1] == "(" and (word[:1].isupper() or word[:1] == "_"):
        return f"{word} is a variable; the name of a predicate starts with a small letter"
    found = re.match(r"\w+|[^\w\s]", text[offset:])
    token = f"`{found[0]}`" if found else "this"
    return f"{token} does not fit; is a comma, an operator or a full stop missing before it, or one too many?"


def read_source(path: Path) -> Source:
    """Read the text of a program.

    A bare name, or one in ``programs/``, that is not there means the program of that name in the package.

    Raises:
        UserError: there is no such file, or it is not text; names a program of the package if near.
    """
    if path.is_dir():
        raise UserError(f"program {path} is a directory: name the .pl file in it")
    try:
        if not path.exists() and path.parent in (Path(), Path("programs")):
            path = resource("programs", path.name)
        return Source(path, path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a BOM
    except FileNotFoundError:
        raise UserError(f"there is no program {path}: give the path of a .pl file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"program {path} cannot be read as text: {error}; give a readable .pl file") from None
    except UserError as error:
        raise UserError(f"there is no program {path}: {error}") from None
