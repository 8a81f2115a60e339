"""The files in a run's folder: their names, what they say, what follows from them; imports nothing large."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError

CONFIG, METRICS, RESULT = "config.json", "metrics.jsonl", "result.json"
WEIGHTS = "weights.safetensors"
REPORT, SCORES = "report.html", "ood_scores.npz"
STATE, PREVIOUS = "state.pt", "state.previous.pt"
COMMA_SEPARATED, EVENTS = "metrics.csv", "tensorboard"


def is_finished(folder: Path, seeds: int = 1) -> bool:
    """Whether all seeds of a run are trained, its weights written and its pictures drawn."""
    try:
        done = len(json.loads((folder / RESULT).read_text(encoding="utf-8"))["seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return done >= seeds and (folder / WEIGHTS).is_file() and not (folder / STATE).exists()


def can_go_on(folder: Path) -> bool:
    """Whether a training was interrupted here after its state was saved."""
    return any((folder / name).is_file() for name in (STATE, PREVIOUS))


def read_description(folder: Path) -> dict[str, Any]:
    """A run's ``config.json``.

    Raises:
        UserError: it is not there or damaged, or something else.
    """
    description = _read_object(folder / CONFIG)
    for key in ("command", "request", "config", "data"):
        if key not in description:
            raise UserError(f"{folder / CONFIG} was not written by nesy-gedi: it has no {key!r}")
    return description


def read_result(folder: Path) -> dict[str, Any]:
    """A run's ``result.json``; empty before its first seed is finished.

    Raises:
        UserError: it is damaged.
    """
    return _read_object(folder / RESULT) if (folder / RESULT).exists() else {}


def _read_object(path: Path) -> dict[str, Any]:
    """A file's JSON object.

    Raises:
        UserError: there is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged (it holds no table)")
    return content


def program_name(description: Mapping[str, Any]) -> str | None:
    """The stem of the program's file; of a run that was named afterwards, its query's predicate."""
    if not description["program"]:
        return None
    path = description["request"].get("program")
    return Path(path).stem if path else str(description["query"]).split("(")[0]


@contextmanager
def or_damaged(folder: Path) -> Iterator[None]:
    """Say that a run is damaged where its files cannot be read, or hold other things than they should.

    Raises:
        UserError: they do.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:  # a file may go while it is read
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror})") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{folder} is damaged, or of another version ({reason})") from error
