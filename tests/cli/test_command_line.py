"""The command line as a whole: quick to answer, examples that are right, exit codes, completion."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from typed_commands import SCRIPT, environment, run

from nesy_gedi.cli import completing, main
from nesy_gedi.cli.completing import NAMES
from nesy_gedi.data.sets import DATA_SETS
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.gedi.precision import DEVICES, PRECISIONS
from nesy_gedi.gedi.stability import STABILISERS
from nesy_gedi.launching import LAUNCHERS
from nesy_gedi.learning import ENGINES
from nesy_gedi.presets import tomllib
from nesy_gedi.reproducing import specification
from nesy_gedi.resources import resource

HEAVY = ("torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "problog", "rich")
ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


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
    with suppress(click.exceptions.Exit):  # of --help
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


def offered(*words: str) -> list[list[str]]:
    """What completion says of the last word, by the protocol of click's script for bash: kinds and values."""
    line = {"COMP_WORDS": shlex.join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [SCRIPT],
        env=environment() | line | {"_NESY_GEDI_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [row.split(",") for row in done.stdout.splitlines()]


def values(*words: str) -> list[str]:
    rows = offered(*words)
    assert all(kind == "plain" for kind, _ in rows)
    return [value for _, value in rows]


def test_completion_of_commands_and_options() -> None:
    assert values("nesy-gedi", "") == sorted(main.commands)
    assert values("nesy-gedi", "tr") == ["train"]
    assert values("nesy-gedi", "runs", "") == ["compare", "delete", "list", "show"]
    assert values("nesy-gedi", "train", "--prec") == ["--precision"]


def test_completion_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run_folder in ("runs/one", "runs/deep/er/two", "elsewhere/three"):
        Path(run_folder).mkdir(parents=True)
        Path(run_folder, "config.json").touch()
    Path("runs/no-run").mkdir()
    Path("mine.pl").touch()
    Path("sub").mkdir()
    Path("sub/inner.pl").touch()
    runs = ["runs/deep/er/two", "runs/one"]
    for words in (("query",), ("runs", "show"), ("runs", "delete"), ("train", "--resume"), ("evaluate",)):
        assert values("nesy-gedi", *words, "") == runs
    assert values("nesy-gedi", "runs", "compare", "runs/one", "elsewhere/") == ["elsewhere/three"]
    assert offered("nesy-gedi", "query", "els") == [["dir", "els"]]  # the shell's own
    assert values("nesy-gedi", "train", "--program", "m") == ["mine.pl", "multi_addition.pl"]
    assert values("nesy-gedi", "program", "show", "sub/") == ["sub/inner.pl"]
    assert values("nesy-gedi", "train", "--method", "sw") == ["swav"]
    assert values("nesy-gedi", "data", "fetch", "c") == ["cifar10", "cifar100", "circles"]
    assert offered("nesy-gedi", "train", "--dataset", "photos") == [["file", "photos"]]
    assert offered("nesy-gedi", "train", "--out", "") == [["dir", ""]]


def test_names_that_are_offered_are_those_of_the_tables() -> None:
    tables = {
        "variant": METHODS,
        "engine": ENGINES,
        "preset": tomllib.loads(resource("experiments", "addition.toml").read_text()).keys() - {"published"},
        "precision": PRECISIONS,
        "device": DEVICES,
        "stabilise": STABILISERS,
        "launcher": LAUNCHERS,
        "target": specification()[0],
    }
    assert {name: set(table) for name, table in tables.items()} == {k: set(v) for k, v in NAMES.items()}
    assert set(completing.DATA_SETS) == set(DATA_SETS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_itself_completes() -> None:
    script = (
        'eval "$(_NESY_GEDI_COMPLETE=bash_source nesy-gedi)"\n'
        "complete -p nesy-gedi | grep -o '_nesy_gedi_completion'\n"
        "COMP_WORDS=(nesy-gedi program s) COMP_CWORD=2\n"
        '_nesy_gedi_completion nesy-gedi\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = os.pathsep.join((str(Path(SCRIPT).parent), os.environ["PATH"]))
    env = environment() | {"PATH": path}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["_nesy_gedi_completion", "sample", "show"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_documents_are_right(document: Path) -> None:
    examples = examples_in(document.read_text(encoding="utf-8"))
    assert examples or document.name not in ("command-line.md", "looking.md", "programs.md")
    for example in examples:
        parsed(re.split(r" +(?:#|2>|;)", example)[0])
