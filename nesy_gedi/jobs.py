"""A training that may run in another process: what it is, how it is run, and the process that runs it.

All that comes of a job lies in its run folder. What goes between processes is which job to run, and how it
ended.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from rich.console import Console

from nesy_gedi.errors import UserError
from nesy_gedi.experiment import Experiment
from nesy_gedi.memory import keep_freed_memory
from nesy_gedi.request import Request
from nesy_gedi.run_files import CONFIG, can_go_on, is_finished
from nesy_gedi.run_lock import LOCK, BeingTrainedError, training
from nesy_gedi.stopping import StoppedError
from nesy_gedi.stored_run import check_same

DONE, FAILED, ELSEWHERE, LOST = "done", "failed", "elsewhere", "lost"


@dataclass(frozen=True)
class Job:
    """A training and its folder.

    Attributes:
        request: what to train, with ``out``.
        expected: what a run that lies there must have been trained with; see
            :func:`~nesy_gedi.stored_run.check_same`.
        command: what the user typed, to be written into the run.
    """

    request: Request
    expected: Mapping[str, Any]
    command: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the run lies, or will."""
        return Path(str(self.request.out))

    def is_finished(self) -> bool:
        """Whether there is nothing left to do.

        Raises:
            UserError: a finished run with other settings or data is in the way.
        """
        finished = is_finished(self.folder, self.request.seeds)
        if finished:
            check_same(self.folder, self.expected)
        return finished

    def run(self, console: Console) -> bool:
        """Train it, or go on with the run that was interrupted; nothing, if it is finished.

        Returns:
            Whether there was anything to do.

        Raises:
            BeingTrainedError: another process trains in the folder.
            UserError: a run with other settings is in the way, or the training failed.
            StoppedError: SIGINT or SIGTERM came; what was reached is saved.
        """
        if self.is_finished():
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write the run to {self.folder} ({error.strerror}); choose another folder with --out"
            ) from error
        with training(self.folder):
            if self.is_finished():  # another process may just have come to its end
                return False
            self._train(console)
        return True

    def _train(self, console: Console) -> None:
        if can_go_on(self.folder):
            check_same(self.folder, self.expected)
            Experiment.resume(self.folder, console).run()
            return
        if (self.folder / CONFIG).is_file():  # interrupted before anything was saved
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
        Experiment(self.request, console).run()

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """What :meth:`to_json` wrote."""
        content = json.loads(text)
        values = content["request"]
        request = Request(**{**values, "assignments": tuple(values["assignments"])})
        return cls(request, content["expected"], tuple(content["command"]))


@dataclass(frozen=True)
class Ending:
    """How a job ended in another process.

    Attributes:
        kind: ``done``; ``failed``, by a mistake that it would make again; ``elsewhere``, trained by another
            process; or ``lost``, because its process went away.
        reason: in words; empty for ``done``.
    """

    kind: str
    reason: str = ""


def run_in_worker(job: Job, threads: int) -> Ending:
    """Run a job in a process that is there for jobs, without printing.

    Args:
        job: to run.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    sys.argv[1:] = job.command  # what the run's description says that the user typed
    try:
        job.run(Console(quiet=True, force_interactive=False))
    except BeingTrainedError as error:
        return Ending(ELSEWHERE, str(error))
    except UserError as error:
        return Ending(FAILED, str(error))
    except (StoppedError, KeyboardInterrupt):  # not the user's: that one ends the launching process as well
        return Ending(LOST, "its process was told to stop")
    return Ending(DONE)


def serve(threads: int) -> None:
    """Run the jobs that come as lines of standard input; a line on standard output says how each ended.

    When standard input ends, which it also does when the launching process is killed, this process is sent
    SIGTERM: a training saves its state.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not come between
    keep_freed_memory()
    lines = SimpleQueue[str]()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while line := lines.get():
        ending = run_in_worker(Job.from_json(line), threads)
        with suppress(OSError):
            answers.write(json.dumps(asdict(ending)) + "\n")
            answers.flush()


def _listen(lines: "SimpleQueue[str]") -> None:
    with os.fdopen(0, encoding="utf-8") as stdin:
        for line in stdin:
            lines.put(line)
    lines.put("")
    os.kill(os.getpid(), signal.SIGTERM)
