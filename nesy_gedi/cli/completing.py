"""What shells offer for the values of options and arguments; imports nothing large.

The names of tables are written here once more, because the tables take seconds to import; a test holds both
together.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from nesy_gedi.resources import shipped
from nesy_gedi.run_files import CONFIG

DATA_SETS = ("moons", "circles", "mnist", "svhn", "cifar10", "cifar100")
METHODS = (
    *("jem", "gedi", "gedi-no-gen", "gedi-no-inv", "gedi-no-prior", "gedi-two-stage", "swav", "barlow"),
    *("nesy", "combined"),
)
NAMES = {
    "variant": METHODS,
    "engine": ("circuit", "klay", "deepproblog"),
    "preset": ("cpu", "paper"),
    "precision": ("auto", "bf16", "fp32-fused", "fp32"),
    "device": ("auto", "cpu", "cuda"),
    "stabilise": ("off", "paper", "default"),
    "launcher": ("here", "cores", "ray"),
    "target": (
        *("table1", "table2", "table3", "table4", "table5", "table6", "table10", "table11", "table12"),
        *("figure3", "figure4", "figure5", "figure6", "figure8"),
    ),
}
_DEPTH = 3  # of runs beneath the folder that was typed, as runs/reproduce/cpu/moons-gedi-seed0


class Completed(StringParamType):
    """Text of which some values can be offered.

    Args:
        offered: values that go with what was typed so far.
        otherwise: what the shell offers where none of them fits: ``file``, ``dir``, or nothing (``plain``).
    """

    name = "text"

    def __init__(self, offered: Callable[[str], Iterable[str]], otherwise: str = "plain") -> None:
        self.offered, self.otherwise = offered, otherwise

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Called by click."""
        found = sorted({value for value in self.offered(incomplete) if value.startswith(incomplete)})
        if not found and self.otherwise != "plain":
            return [CompletionItem(incomplete, type=self.otherwise)]
        return [CompletionItem(value) for value in found]


def _runs(incomplete: str) -> Iterable[str]:
    folder = Path(os.path.dirname(incomplete) or "runs")
    for depth in range(1, _DEPTH + 1):
        yield from (str(path.parent) for path in folder.glob("/".join(["*"] * depth + [CONFIG])))


def _programs(incomplete: str) -> Iterable[str]:
    return [*map(str, Path(os.path.dirname(incomplete)).glob("*.pl")), *shipped("programs")]


def _nothing(incomplete: str) -> Iterable[str]:
    return ()


def _among(names: Iterable[str], otherwise: str = "plain") -> Completed:
    return Completed(lambda incomplete: names, otherwise)


_RUN, _PROGRAM = Completed(_runs, "dir"), Completed(_programs, "file")
_FILE, _FOLDER = Completed(_nothing, "file"), Completed(_nothing, "dir")
_BY_NAME: dict[str, Completed] = {
    **{name: _among(values) for name, values in NAMES.items()},
    **dict.fromkeys(("run", "runs", "resume"), _RUN),
    **dict.fromkeys(("program", "file"), _PROGRAM),
    **dict.fromkeys(("examples_csv", "inception_weights"), _FILE),
    **dict.fromkeys(("data_dir", "images", "out", "directory"), _FOLDER),
    "method": _among(METHODS),
    "name": _among(DATA_SETS),
    "dataset": _among(DATA_SETS, "file"),
}


def add_completion(command: click.Command) -> None:
    """Give parameters of a command and of all beneath it what can be offered, by their names."""
    for parameter in command.params:
        if parameter.name in _BY_NAME and isinstance(parameter.type, StringParamType):
            parameter.type = _BY_NAME[parameter.name]
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        add_completion(inner)
