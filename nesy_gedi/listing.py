"""``nesy-gedi runs list``: what the folders of runs say of themselves; imports nothing large."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.report import read_results
from nesy_gedi.run_files import (
    CONFIG,
    METRICS,
    RESULT,
    WEIGHTS,
    can_go_on,
    is_finished,
    or_damaged,
    program_name,
    read_description,
    read_result,
)
from nesy_gedi.run_lock import is_being_trained

FINISHED, TRAINING, INTERRUPTED, DAMAGED = "finished", "training", "interrupted", "damaged"


@dataclass(frozen=True)
class RunSummary:
    """A run in a line.

    Attributes:
        state: ``finished``, ``training`` (a living process has the folder), ``interrupted`` or ``damaged``.
        remark: what is damaged, or what can be done; empty where all is as it should be.
        program: its name, or None without one.
        examples: None for all images.
        seeds: how many are wanted; ``seeds_done`` are finished.
        seed: of the training under way or interrupted, with its ``epoch`` of ``epochs``, as last logged.
        accuracy: median over the finished seeds, as ``matched_accuracy`` and ``nmi`` are; None where there
            is none, and without a program, whose names it is about.
        seconds: median over the finished seeds.
        changed: when description, log or result was last written, ISO 8601.
    """

    folder: Path
    state: str
    remark: str = ""
    program: str | None = None
    dataset: str | None = None
    method: str | None = None
    examples: int | None = None
    seeds: int | None = None
    seeds_done: int = 0
    seed: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    accuracy: float | None = None
    matched_accuracy: float | None = None
    nmi: float | None = None
    seconds: float | None = None
    changed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "folder": str(self.folder)}

    @property
    def _rank(self) -> tuple[bool, bool, float, str]:
        score = self.nmi if self.program is None else self.accuracy
        best_first = math.inf if score is None else -score
        return self.state == DAMAGED, self.program is None, best_first, str(self.folder)


@dataclass(frozen=True)
class RunDetails:
    """All that a run's folder says.

    Attributes:
        description: ``config.json``.
        result: ``result.json``; empty before the first seed is finished.
        evaluation: ``evaluation.json``; empty before anything was measured.
        files: bytes of each file, by its path in the folder.
    """

    summary: RunSummary
    description: dict[str, Any]
    result: dict[str, Any]
    evaluation: dict[str, Any]
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "summary": self.summary.to_json()}


def details(folder: Path) -> RunDetails:
    """Read a run's folder.

    Raises:
        UserError: it is none, or damaged.
    """
    description, found = read_description(folder), summary(folder)
    if found.state == DAMAGED:
        raise UserError(found.remark)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    return RunDetails(found, description, read_result(folder), read_results(folder), sizes)


def list_runs(directory: Path) -> list[RunSummary]:
    """All runs in a folder and beneath, best first: with a program by accuracy, then without by NMI.

    A run's own folders, such as those of seeds that were trained beside each other, are not looked into.

    Raises:
        UserError: there is no such folder.
    """
    if not directory.is_dir():
        raise UserError(
            f"there is no folder {directory}: train something first, as with `nesy-gedi addition`, or name "
            "another with --dir"
        )
    return sorted(map(summary, _folders(directory)), key=lambda run: run._rank)


def _folders(directory: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(directory):
        if not {CONFIG, METRICS, RESULT, WEIGHTS}.isdisjoint(files):
            folders.clear()
            yield Path(path)


def summary(folder: Path) -> RunSummary:
    """What there is to say of a run; damage is told, not raised."""
    try:
        with or_damaged(folder):
            return _summary(folder, read_description(folder))
    except UserError as error:
        return RunSummary(folder, DAMAGED, str(error))


def _summary(folder: Path, description: Mapping[str, Any]) -> RunSummary:
    request, result, program = description["request"], read_result(folder), program_name(description)
    seeds, done = int(request["seeds"]), len(result.get("seeds", ())) or len(_seed_results(folder))
    state, remark = _state(folder, seeds)
    if "named_from" in description:  # by `nesy-gedi name`, after a training that lies elsewhere
        state, seeds, done = FINISHED if result else INTERRUPTED, 1, int(bool(result))
        remark = f"{description['named_from']} with names"
    last: dict[str, Any] = {} if state == FINISHED else _last_epoch(folder)
    if last:
        last["epochs"] = int(description["config"]["epochs"])
    measures = ["matched_accuracy", "nmi", "seconds", *(["accuracy"] if program is not None else [])]
    scores: dict[str, Any] = {key: float(result[key]) for key in measures if result.get(key) is not None}
    return RunSummary(
        folder,
        state,
        remark,
        program=program,
        dataset=str(description["data"]["name"]),
        method=str(request["variant"]),
        examples=request["examples"],
        seeds=seeds,
        seeds_done=done,
        **last,
        **scores,
        changed=_changed(folder),
    )


def _state(folder: Path, seeds: int) -> tuple[str, str]:
    if is_being_trained(folder):
        return TRAINING, ""
    if is_finished(folder, seeds):
        return FINISHED, ""
    again = f"`nesy-gedi train --resume {folder}` goes on"
    if can_go_on(folder) or _seed_results(folder):
        return INTERRUPTED, again
    return INTERRUPTED, f"no state was saved yet, {again} from the beginning"


def _seed_results(folder: Path) -> list[Path]:
    """Where the seeds are jobs with folders of their own: the results of the finished ones."""
    return sorted(folder.glob(f"seed-*/{RESULT}"))


def _logs(folder: Path) -> list[Path]:
    return [path for path in (folder / METRICS, *folder.glob(f"seed-*/{METRICS}")) if path.is_file()]


def _last_epoch(folder: Path) -> dict[str, int]:
    """The last line of the log that was written to last; a line that is not whole is still being written."""
    logs = _logs(folder)
    if not logs:
        return {}
    newest = max(logs, key=lambda path: path.stat().st_mtime_ns)
    whole = newest.read_bytes().rpartition(b"\n")[0].splitlines()
    row = json.loads(whole[-1]) if whole else {}
    return {key: int(row[key]) for key in ("seed", "epoch")} if row else {}


def _changed(folder: Path) -> str:
    files = [path for path in (folder / CONFIG, folder / RESULT, *_logs(folder)) if path.is_file()]
    newest = max(path.stat().st_mtime for path in files)
    return datetime.fromtimestamp(newest).astimezone().isoformat(timespec="seconds")
