"""Many jobs, one interface: in this process, on all cores, or on a Ray cluster."""

import importlib.util
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from nesy_gedi.errors import UserError, unknown
from nesy_gedi.jobs import DONE, ELSEWHERE, LOST, Ending, Job
from nesy_gedi.processes import cores
from nesy_gedi.run_lock import BeingTrainedError
from nesy_gedi.stopping import StoppedError, StopRequest
from nesy_gedi.stored_run import finished_seed

LAUNCHERS = ("here", "cores", "ray")
RETRIES = 3  # of a job whose process went away
_PATIENCE = 15.0  # seconds from a signal to the end of the work: workers have a few of their own
_TICK = 0.2  # seconds


@dataclass(frozen=True)
class Launching:
    """Where jobs run; the fields are the options of the command line.

    Attributes:
        name: ``here``, ``cores`` or ``ray``.
        job_cpus: cores of each job; None for 1, and for all of them with ``here``.
        ray_address: of a Ray cluster; None for a Ray of its own on this machine.

    Raises:
        UserError: there is no such launcher, an option is not for it, it asks for more cores than there
            are, Ray is not installed, or nothing answers at the address.
    """

    name: str = "here"
    job_cpus: int | None = None
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in LAUNCHERS:
            raise unknown("launcher", self.name, LAUNCHERS)
        if self.ray_address is not None and self.name != "ray":
            raise UserError(f"--ray-address {self.ray_address} is for --launcher ray, not {self.name}")
        if self.job_cpus is not None and self.name == "here":
            raise UserError(
                f"--job-cpus {self.job_cpus} is for --launcher cores or ray: here, a training has all cores"
            )
        if self.ray_address is None and self.cpus > cores():
            raise UserError(f"--job-cpus {self.cpus}, but there are {cores()} cores: ask for fewer")
        if self.name == "ray" and importlib.util.find_spec("ray") is None:
            raise UserError("--launcher ray needs Ray, which is not there: pip install 'nesy-gedi[ray]'")
        if self.ray_address is not None:
            _check_reachable(self.ray_address)

    @property
    def cpus(self) -> int:
        """Cores of each job in a process of its own."""
        return self.job_cpus or 1

    def workers(self) -> "Workers":
        """The processes for jobs, none of them begun.

        Raises:
            UserError: there is no Ray at the address, or no machine of it has enough cores.
        """
        if self.name == "ray":
            from nesy_gedi.ray_workers import RayWorkers  # Ray is an extra

            return RayWorkers(self.cpus, self.ray_address)
        from nesy_gedi.core_workers import CoreWorkers

        return CoreWorkers(cores() // self.cpus, self.cpus)


def _check_reachable(address: str) -> None:
    """Ray itself tries for many minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator and address != "auto":
        raise UserError(f"--ray-address {address} is no address: give auto or HOST:PORT, as HOST:6379")
    try:
        if separator:
            socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"no Ray at {address} ({error}): give the address that `ray start` showed") from error


HERE = Launching()


class Workers(Protocol):
    """Processes that run jobs."""

    def room(self) -> int:
        """How many more jobs would begin at once."""

    def start(self, job: Job) -> None:
        """Have it run."""

    def ended(self, seconds: float) -> tuple[Job, Ending] | None:
        """A job that came to an end, waited for no longer than this."""

    def close(self) -> None:
        """End all processes; a training that is under way saves its state first."""


def launch(jobs: Iterable[Job], launching: Launching, console: Console, again: str) -> dict[Path, UserError]:
    """Run all jobs that are not finished; one that fails stops no other.

    Args:
        jobs: each with a folder of its own.
        launching: where.
        console: for the live display of jobs in this process, else a line when a job begins or ends.
        again: what to do after an interrupt, for the message.

    Returns:
        The errors of those that failed, by folder.

    Raises:
        StoppedError: SIGINT or SIGTERM came; what every training had reached is saved.
        UserError: see :meth:`Launching.workers`.
    """
    failed: dict[Path, UserError] = {}
    waiting: list[Job] = []
    for job in jobs:
        try:
            waiting += [] if job.is_finished() else [job]
        except UserError as error:
            failed[job.folder] = error
    if launching.name == "here":
        return failed | _in_turn(waiting, console, again)
    return failed | (_Spread(waiting, console).run(launching, again) if waiting else {})


def _in_turn(jobs: Sequence[Job], console: Console, again: str) -> dict[Path, UserError]:
    failed: dict[Path, UserError] = {}
    for job in jobs:
        try:
            job.run(console)
        except UserError as error:
            failed[job.folder] = error
            _say(console, f"failed: {job.folder}: {error}")
        except StoppedError as stopped:
            raise StoppedError(stopped.signal, f"interrupted; {again}") from None
    return failed


class _Spread:
    """Jobs spread over processes."""

    def __init__(self, jobs: Sequence[Job], console: Console) -> None:
        self.waiting, self.running, self.console = deque(jobs), 0, console
        self.lost = Counter[Path]()
        self.failed: dict[Path, UserError] = {}

    def run(self, launching: Launching, again: str) -> dict[Path, UserError]:
        with StopRequest(_PATIENCE) as stop, closing(launching.workers()) as workers:
            while self.waiting or self.running:
                if stop.signal:
                    raise StoppedError(stop.signal, f"interrupted; {again}")
                while self.waiting and workers.room() > 0:
                    self._start(workers, self.waiting.popleft())
                if self.running and (news := workers.ended(_TICK)):
                    self.running -= 1
                    self._take(*news)
                elif not self.running:  # no machine is there just now
                    time.sleep(_TICK)
        return self.failed

    def _start(self, workers: Workers, job: Job) -> None:
        workers.start(job)
        self.running += 1
        if not self.lost[job.folder]:
            _say(self.console, f"started: {job.folder}")

    def _take(self, job: Job, ending: Ending) -> None:
        folder = job.folder
        if ending.kind == DONE:
            _say(self.console, f"done: {folder}  {_figures(folder)}")
            return
        reason = ending.reason
        if ending.kind == LOST:
            self.lost[folder] += 1
            if self.lost[folder] <= RETRIES:
                _say(self.console, f"tried again ({self.lost[folder]} of {RETRIES}): {folder}: {reason}")
                self.waiting.appendleft(job)
                return
            reason = f"{reason}, {RETRIES + 1} times: is there memory enough?"
        self.failed[folder] = (BeingTrainedError if ending.kind == ELSEWHERE else UserError)(reason)
        _say(self.console, f"failed: {folder}: {reason}")


def _figures(folder: Path) -> str:
    """Of a finished run."""
    seed = finished_seed(folder)
    measures = {"accuracy": "accuracy"} if seed["reads_as"] is not None else {}
    measures["nmi"] = "NMI"
    told = [f"{name} {seed[key]:.3f}" for key, name in measures.items() if seed[key] is not None]
    return "  ".join([*told, f"{seed['seconds']:.0f} s"])


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
