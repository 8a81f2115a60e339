"""A run's folder as it was left: finished or not, and whether it is still what would be trained now."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import WEIGHTS
from nesy_gedi.gedi.resuming import PREVIOUS, STATE
from nesy_gedi.reporting.run import CONFIG, METRICS, RESULT
from nesy_gedi.request import Request

_DECISIVE = ("config", "program", "query", "data", "device", "precision")
_PLACES = {"data": ("sha256",)}  # where data lie, and what they are called, may have changed


def is_finished(folder: Path, seeds: int = 1) -> bool:
    """Whether all seeds of a run are trained, its weights written and its pictures drawn."""
    try:
        done = len(json.loads((folder / RESULT).read_text(encoding="utf-8"))["seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return done >= seeds and (folder / WEIGHTS).is_file() and not (folder / STATE).exists()


def finished_seed(folder: Path) -> dict[str, Any]:
    """The result of a finished run's first seed.

    Raises:
        UserError: ``result.json`` is damaged.
    """
    path = folder / RESULT
    try:
        seed = json.loads(path.read_text(encoding="utf-8"))["seeds"][0]
        terms = [float(value) for value in seed["terms"].values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    if not terms:
        raise _damaged(path)
    found: dict[str, Any] = seed
    return found


def last_training(folder: Path) -> list[dict[str, Any]]:
    """The epochs of the last training of a run of one seed, each with ``epoch`` and ``terms``, in order.

    Raises:
        UserError: ``metrics.jsonl`` is not there, or damaged.
    """
    path = folder / METRICS
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        last = max(line["attempt"] for line in lines)
        lines = [line for line in lines if line["attempt"] == last]
        for line in lines:
            float(line["epoch"])
            for value in line["terms"].values():
                float(value)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    return lines


def can_go_on(folder: Path) -> bool:
    """Whether a training was interrupted here after its state was saved."""
    return any((folder / name).is_file() for name in (STATE, PREVIOUS))


def check_folder(folder: Path, expected: Mapping[str, Any], epochs: bool) -> None:
    """Refuse a run that would be taken as it is, or gone on with, and is damaged or another.

    Args:
        folder: where the run is, if there is one.
        expected: as for :func:`check_same`.
        epochs: its epochs are wanted too.

    Raises:
        UserError: a file is damaged, or the run was trained with other settings or data.
    """
    if (folder / RESULT).is_file() and (folder / WEIGHTS).is_file():
        finished_seed(folder)
    if is_finished(folder) or can_go_on(folder):
        check_same(folder, expected)
    if epochs and is_finished(folder):
        last_training(folder)


def check_same(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a run that is not what would be trained now.

    Args:
        folder: of the run.
        expected: ``config``, ``sha256`` of the data, ``examples`` and text of the ``program``.

    Raises:
        UserError: it differs, or its description is damaged.
    """
    path = folder / CONFIG
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        theirs = {
            "config": found["config"],
            "sha256": found["data"]["sha256"],
            "examples": found["request"]["examples"],
            "program": found["program"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    if theirs != json.loads(json.dumps(expected)):
        raise UserError(f"{folder} was trained with other settings or data: choose another --out")


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: remove the folder to train anew")


def stored_request(run: Path) -> Request:
    """What was asked for when an interrupted run was begun.

    Raises:
        UserError: there is no such run, its description is damaged, or it is finished.
    """
    path = run / CONFIG
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        values = {**described["request"], "out": str(run)}
        values |= {"device": described["device"], "precision": described["precision"]}
        values["assignments"] = tuple(values["assignments"])
        if values["examples_csv"] is not None:
            values["examples"] = None  # as many as there are rows
        request = Request(**values)
    except OSError as error:
        raise UserError(f"no run in {run} ({error.strerror}): name its folder, such as runs/x") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged, or of another version: begin the run anew") from error
    if is_finished(run, request.seeds):
        raise UserError(f"the run in {run} is finished: there is nothing to resume")
    return request


def check_unchanged(run: Path, now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose program, data or settings are no longer what they were.

    Args:
        run: the folder.
        now: what would be written into it as its description.

    Raises:
        UserError: something differs; names it.
    """
    before = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    now = json.loads(json.dumps(now))
    for key in _DECISIVE:
        for where, old, new in _differences(before.get(key), now[key], key):
            if key in _PLACES and where.split(".")[-1] not in _PLACES[key]:
                continue
            raise UserError(
                f"{run} cannot go on: {where} was {_short(old)} and is {_short(new)} now; put it back, or "
                "begin another run"
            )


def _differences(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}")
    elif old != new:
        yield where, old, new


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}…"
