"""The folder of a run: everything in it is written whole or appended a line at a time."""

import errno
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nesy_gedi.errors import UserError
from nesy_gedi.machine import processor
from nesy_gedi.reporting.sinks import Sink
from nesy_gedi.run_files import CONFIG, METRICS
from nesy_gedi.writing import write_whole

# a disk that is full, read-only or broken; Windows has no quotas
_DISK = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PACKAGES = ("nesy-gedi", "torch", "deepproblog", "problog", "pysdd", "klaycircuits", "scikit-learn")


class RunFolder:
    """Writes a run's files; readable at any moment, also after an interrupt.

    Args:
        path: the folder; made here.
        resumed: it holds a run that goes on.
        writes: where several processes train together, only the first one writes.

    Attributes:
        sinks: follow the metrics log.

    Raises:
        UserError: the folder holds a run already, or cannot be written.
    """

    def __init__(self, path: Path, resumed: bool = False, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.sinks: Sequence[Sink] = ()
        if resumed:
            return
        if (path / CONFIG).exists():
            raise UserError(f"{path} already holds a run; choose another folder with --out, or remove it")
        with _or_elsewhere(path):
            path.mkdir(parents=True, exist_ok=True)

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write ``config.json``, by which a folder is one of a run.

        Raises:
            UserError: it cannot be written.
        """
        with _or_elsewhere(self.path):
            self.write_json(CONFIG, description)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file whole, or not at all."""
        if self.writes:
            write_whole(self.path / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def append_metrics(self, content: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``, and to what follows it."""
        if self.writes:
            with (self.path / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(content) + "\n")
            for sink in self.sinks:
                sink.append(content)

    def write_metrics(self, content: str) -> None:
        """Write ``metrics.jsonl`` anew."""
        if self.writes:
            write_whole(self.path / METRICS, content)
            for sink in self.sinks:
                sink.begin_anew()

    def keep_metrics(self, lines: int) -> None:
        """Leave the first lines of ``metrics.jsonl`` only."""
        path = self.path / METRICS
        if self.writes and path.exists():
            content = path.read_text(encoding="utf-8").splitlines(keepends=True)
            self.write_metrics("".join(content[:lines]))

    def close(self) -> None:
        """No more lines will be added."""
        for sink in self.sinks:
            sink.close()


@contextmanager
def _or_elsewhere(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the run to {path} ({error.strerror}); choose another folder with --out"
        ) from error


@contextmanager
def or_resume(path: Path) -> Iterator[None]:
    """Say how to go on where the disk of a run's folder is full, read-only or broken.

    Raises:
        UserError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise UserError(
            f"{path} cannot be written ({error.strerror}): make room, and `nesy-gedi train --resume {path}` "
            "goes on from the last state"
        ) from error


def free_folder(parent: Path, name: str) -> Path:
    """``parent/name``, or the first of ``name-2``, ``name-3``, ... that does not exist."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def environment() -> dict[str, Any]:
    """Versions, machine and commit, to be written into a run."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the checkout that the package runs from; nothing for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
