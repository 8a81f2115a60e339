"""The command line as a whole: quick to answer, examples that are right, exit codes, completion."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typed_commands import run

from nesy_gedi.cli import main

HEAVY = ("torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "problog", "rich")
DOCUMENT = Path(__file__).parents[2] / "docs" / "command-line.md"


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def parsed(line: str) -> tuple[str, ...]:
    """The command that a line calls; its options and arguments must be as click wants them."""
    program, *words = shlex.split(line)
    assert program == "nesy-gedi"
    command: click.Command = main
    path: tuple[str, ...] = ()
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        path = (*path, words[0])
        name, found, words = command.resolve_command(click.Context(command), words)
        assert name is not None
        assert found is not None
        command = found
    command.make_context(path[-1] if path else program, words)
    return path


def examples_in(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("nesy-gedi ")]


def test_help_of_no_command_waits_for_a_library() -> None:
    """In a process of its own, where nothing else has been imported."""
    asked = [[*path, "--help"] for path in commands()]
    program = (
        "import json, sys\nfrom click.testing import CliRunner\nfrom nesy_gedi.cli import main\n"
        f"codes = [CliRunner().invoke(main, words).exit_code for words in {[[], *asked]}]\n"
        f"print(json.dumps([codes, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"[{[0] * (1 + len(asked))}, []]\n"


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_has_examples_that_call_the_command(path: tuple[str, ...]) -> None:
    shown = run(*path, "--help").stdout
    examples = examples_in(shown.split("Options:")[0])
    called = [parsed(example)[: len(path)] for example in examples]
    assert path in called


@pytest.mark.parametrize(
    "wrong",
    ["nesy-gedi trian", "nesy-gedi train --sedes 3", "nesy-gedi data fetch", "nesy-gedi train --seeds x"],
)
def test_a_wrong_example_would_be_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(wrong)


def test_alone_it_says_what_to_type() -> None:
    welcome = run()
    assert (welcome.exit_code, welcome.stderr) == (0, "")
    assert len(welcome.stdout.splitlines()) < 12
    called = {parsed(example) for example in examples_in(re.sub(r"   .*", "", welcome.stdout))[1:]}
    assert called == {("addition",), ("train",), ("query",)}
    assert "nesy-gedi --help" in welcome.stdout


def test_exit_codes_are_in_the_help() -> None:
    told = re.findall(r"^ +(\d+) ", run("--help").stdout, flags=re.MULTILINE)
    assert told == ["0", "1", "2", "130"]
    assert "143 by SIGTERM" in run("--help").stdout
