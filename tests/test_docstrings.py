"""Every public name says what it is, what it raises and what shapes it has; the check finds what lacks."""

import ast
from pathlib import Path

import pytest
from docstring_rules import index_of, violations

PACKAGE = Path(__file__).resolve().parents[1] / "nesy_gedi"


def test_every_public_docstring_is_whole() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    index = index_of(map(ast.parse, texts.values()))
    assert len(index.returns) > 500
    found = [line for path, text in texts.items() for line in violations(text, str(path), index)]
    assert found == []


GOOD = '''"""A module."""
class WrongError(ValueError):
    """Bad."""
def wrong(name: str) -> WrongError:
    """An error to raise."""
class Net:
    """A network.

    Attributes:
        width: of it.

    Raises:
        WrongError: there is no width.
    """
    def __init__(self, width):
        if not width:
            raise wrong("width")
    def energy(self, x: Tensor) -> Tensor:
        """E of ``(batch, d)``: ``(batch,)``, nats.

        Args:
            x: positions.
        """
def read(path, *, timeout):
    """Read it.

    Args:
        path: where.
        timeout: seconds.

    Raises:
        ValueError: it is not there.
    """
    try:
        def inner():
            raise KeyError("not its own")
    except OSError as error:
        raise
    raise WrongError(path)
def largest(x: Tensor) -> float:
    """Largest entry, of any shape."""
def _private(): raise KeyError
@main.command(name="show")
def show(compile_timeout): """What --help says."""
'''


def test_a_whole_docstring_passes() -> None:
    assert violations(GOOD, "good.py") == []


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ('"""A module."""', "", "1: the module has no docstring"),
        ('    """A network.', '    x = """A network.', "Net: no docstring"),
        ('    """Read it.', '    x = """Read it.', "read: no docstring"),
        (
            "        WrongError: there is no width.",
            "",
            "__init__: raises WrongError, which `Raises:` does not",
        ),
        ("        ValueError: it is", "        KeyError: it is", "read: raises WrongError, which `Raises:`"),
        ("``(batch, d)``: ``(batch,)``", "positions", "energy: has a Tensor, and no shape"),
        (", of any shape", "", "largest: has a Tensor, and no shape"),
        (", nats", "", "energy: has energy in a name, and its docstring no nats"),
        (
            "timeout: seconds",
            "timeout: how long",
            "read: has timeout in a name, and its docstring no seconds",
        ),
        ("        path: where.", "        place: where.", "`Args:` names place, which is no parameter"),
        ("        path: where.", "", "`Args:` leaves out path"),
        (
            "        path: where.",
            "        path, timeout: where.",
            "has the entry 'path, timeout': one name each",
        ),
        (
            "        width: of it.",
            "        width, height: of it.",
            "`Attributes:` has the entry 'width, height'",
        ),
        ('raise KeyError\n@main.command(name="show")', "raise KeyError", "show: has timeout in a name"),
    ],
)
def test_what_is_missing_is_said(written: str, instead: str, said: str) -> None:
    assert GOOD.count(written) == 1
    found = violations(GOOD.replace(written, instead), "wrong.py")
    assert any(said in line for line in found), found
    assert all(line.startswith("wrong.py:") for line in found)
