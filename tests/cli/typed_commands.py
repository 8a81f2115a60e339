"""Commands as a user types them, for the tests of the command line."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nesy_gedi.cli import main
from nesy_gedi.resources import resource

SCRIPT = str(Path(sys.executable).with_name("nesy-gedi"))
ADDITION = resource("programs", "addition.pl").read_text(encoding="utf-8")
OPTIONS = (
    *("--width", "4", "--precision", "fp32", "--device", "cpu"),
    *("--set", "sampler.steps=1", "--set", "sampler.count=4", "--set", "naming.restarts=0", "--no-report"),
)
FEW = ("--examples", "20", "--epochs", "2")
SMALL = ("addition", *OPTIONS)
TINY = (*SMALL, *FEW)


def environment() -> dict[str, str]:
    """One thread, no data, no terminal."""
    strangers = ("NESY_GEDI_DATA", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
    return {k: v for k, v in os.environ.items() if k not in strangers} | {"OMP_NUM_THREADS": "1"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(*arguments: str) -> str:
    """The one line that a wrong command gets; nothing may have been made."""
    before = sorted(Path().rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("nesy-gedi: ")
    assert sorted(Path().rglob("*")) == before
    return line


def read_json(path: Path) -> dict[str, object]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def change(path: Path, *where: str | int, value: object) -> None:
    """Another value in a JSON file."""
    content: Any = read_json(path)
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path.write_text(json.dumps(content))
