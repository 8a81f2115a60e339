"""A run's folder as it was left: finished or not, and whether it is still what would be trained now."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.own_terms import epochs_of
from nesy_gedi.request import Request
from nesy_gedi.run_files import CONFIG, METRICS, RESULT, WEIGHTS, can_go_on, is_finished


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


def kept_training(folder: Path) -> list[dict[str, Any]]:
    """The epochs of the training whose network a run of one seed kept, as :func:`epochs_of` gives them.

    Raises:
        UserError: ``result.json`` or ``metrics.jsonl`` is not there, or damaged.
    """
    seed = finished_seed(folder)
    epochs = epochs_of(folder / METRICS, seed["seed"], seed["terms"])
    if not epochs:
        raise _damaged(folder / METRICS)
    return epochs


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
        kept_training(folder)


def check_same(folder: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a run that is not what would be trained now.

    Args:
        folder: of the run.
        expected: what of :func:`decisive` is known.

    Raises:
        UserError: something differs, and is named; or the run's description is damaged.
    """
    path = folder / CONFIG
    try:
        found = decisive(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(path) from None
    for key, new in json.loads(json.dumps(expected)).items():
        for where, old, now in _differences(found[key], new, key):
            raise UserError(
                f"{folder} was trained with other settings or data: {where} was {_short(old)} and is "
                f"{_short(now)} now; put it back, or choose another --out"
            )


def decisive(description: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's description decides its outcome; where data lie and what they are called does not."""
    return {
        **{key: description[key] for key in ("config", "program", "query", "device", "precision")},
        "sha256": description["data"]["sha256"],
        "processes": description.get("processes", 1),
        "examples": description["request"]["examples"],
    }


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: remove the folder to train anew")


def stored_request(run: Path) -> Request:
    """What was asked for when an interrupted run was begun.

    Raises:
        UserError: there is no such run, its description is damaged, or it is finished.
    """
    request = described_request(run)
    if is_finished(run, request.seeds):
        raise UserError(f"the run in {run} is finished: there is nothing to resume")
    return request


def described_request(run: Path, data_dir: str | None = None) -> Request:
    """What was asked for when a run was begun.

    Args:
        run: its folder.
        data_dir: where data sets lie now; None for where they lay.

    Raises:
        UserError: there is no such run, or its description is damaged.
    """
    path = run / CONFIG
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        values = {**described["request"], "out": str(run)}
        values |= {"device": described["device"], "precision": described["precision"]}
        values["assignments"] = tuple(values["assignments"])
        if values["examples_csv"] is not None:
            values["examples"] = None  # as many as there are rows
        if data_dir is not None:
            values["data_dir"] = data_dir
        return Request(**values)
    except OSError as error:
        raise UserError(f"no run in {run} ({error.strerror}): name its folder, such as runs/x") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged, or of another version: begin the run anew") from error


def _differences(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}")
    elif old != new:
        yield where, old, new


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}…"
