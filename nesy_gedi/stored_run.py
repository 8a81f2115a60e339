"""A run's folder as it was left: finished or not, and whether it is still what would be trained now."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import WEIGHTS
from nesy_gedi.reporting.run import CONFIG, RESULT
from nesy_gedi.request import Request

_DECISIVE = ("config", "program", "query", "data", "device", "precision")
_PLACES = {"data": ("sha256",)}  # where data lie, and what they are called, may have changed


def is_finished(folder: Path, seeds: int = 1) -> bool:
    """Whether all seeds of a run are trained, and its weights written."""
    try:
        done = len(json.loads((folder / RESULT).read_text(encoding="utf-8"))["seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return done >= seeds and (folder / WEIGHTS).is_file()


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
