"""The pages of the reference, made from the code: commands from click, settings from dataclasses, the API."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "nesy_gedi"
ROLE = re.compile(r":(?:class|func|mod|data|meth|attr|exc):`(~?)([\w.]+)`")  # of a docstring

MODULES = {
    "gedi": ("Networks, objectives and training", "gedi.*"),
    "logic": (
        "Programs and constraints",
        "logic.program logic.circuit logic.parameters logic.predicate logic.examples logic.shortcuts "
        "logic.source logic.mistakes logic.limits",
    ),
    "evaluation": ("Measures", "evaluation.*"),
    "data": ("Data", "data.*"),
    "runs": (
        "Runs",
        "request experiment learning results stored_run presets trained asking renaming evaluating drawing "
        "examples_file inspection auditing sampling jobs launching listing comparing doctor report.page "
        "report.comparison errors",
    ),
    "sklearn": ("scikit-learn estimator", "sklearn"),
}
"""Page of the API to its title and modules; ``package.*`` is all of a package's."""


def pages() -> dict[str, str]:
    """Every page of the reference, by its place in docs/, as Markdown."""
    made = {"commands": _commands(), "settings": _settings()}
    for page, (title, _) in MODULES.items():
        made[page] = "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules(page))])
    return {f"reference/{page}.md": text for page, text in made.items()}


def modules(page: str) -> list[str]:
    """Full names of a page's modules, in order."""
    found = []
    for name in MODULES[page][1].split():
        package, _, last = name.rpartition(".")
        if last == "*":
            files = sorted((ROOT / PACKAGE / package).glob("[!_]*.py"))
            found += [f"{PACKAGE}.{package}.{file.stem}" for file in files]
        else:
            found.append(f"{PACKAGE}.{name}")
    return found


def _commands() -> str:
    from nesy_gedi.cli import main

    parts = ["# Commands", "The same as `--help` says of each."]
    for context in _contexts(main, "nesy-gedi", None):
        command = context.command
        told, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts += [f"## {context.command_path}", told, f"```text\n{usage}\n```"]
        if examples:
            parts.append(f"```sh\n{examples}\n```")
        records = [parameter.get_help_record(context) for parameter in command.params]
        rows = [f"| `{record[0]}` | {_cell(record[1])} |" for record in records if record and record[1]]
        if rows:
            parts.append("\n".join(["| option | |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _contexts(command: click.Command, name: str, parent: click.Context | None) -> Iterator[click.Context]:
    """Of a command and all below it, however late they are loaded."""
    context = click.Context(command, parent, info_name=name, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _contexts(found, below, context)


def _settings() -> str:
    from nesy_gedi.gedi.config import TrainConfig

    parts = [
        "# Settings",
        "Every setting of a training, with its default. A preset changes some of them "
        "([addition.toml](../../experiments/addition.toml), [images.toml](../../experiments/images.toml), "
        "[toys.toml](../../experiments/toys.toml)), `--set KEY=VALUE` any, as in `--set sampler.steps=5`; a "
        "run's `config.json` holds what it used.",
    ]
    for prefix, settings in _tables("", TrainConfig()):
        rows = ["| setting | default | |", "|---|---|---|"]
        told, meanings = _documented(type(settings))
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if not dataclasses.is_dataclass(value):
                meaning = _cell(meanings[field.name])
                rows.append(f"| `{prefix}{field.name}` | `{_toml(value)}` | {meaning} |")
        parts += [f"## {prefix[:-1] or 'training'}", told, "\n".join(rows)]
    return "\n\n".join(parts)


def _tables(prefix: str, settings: Any) -> Iterator[tuple[str, Any]]:
    """Settings and the tables in them, each with the prefix of its keys."""
    yield prefix, settings
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _tables(f"{prefix}{field.name}.", value)


def _documented(settings: type) -> tuple[str, dict[str, str]]:
    """What a dataclass's docstring says: its first line, and of each attribute."""
    docstring = griffe.Docstring(inspect.getdoc(settings) or "")
    sections = {
        section.kind.value: section.value for section in griffe.parse_google(docstring, warnings=False)
    }
    meanings = {attribute.name: attribute.description for attribute in sections["attributes"]}
    return sections["text"].splitlines()[0], meanings


def _toml(value: Any) -> str:
    """A default as it would be written after ``--set KEY=``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return str(value)


def _cell(text: str) -> str:
    """Text in one line, for a cell of a table; cross-references as code."""
    return ROLE.sub(r"`\2`", " ".join(text.split())).replace("|", "\\|").replace("[", "\\[")
