"""Jobs as tasks of a Ray cluster, or of a Ray of this process's own."""

import logging
import os
import signal
import sys
import threading
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from nesy_gedi.errors import UserError
from nesy_gedi.jobs import FAILED, LOST, Ending, Job, run_in_worker
from nesy_gedi.processes import cores

_SAVING = 10.0  # seconds that trainings have to end and save their states
_OBJECTS = 100 * 2**20  # bytes of Ray's store: nothing large goes through it


class RayWorkers:
    """See :class:`~nesy_gedi.launching.Workers`.

    A job whose worker or machine went away is not Ray's to try again but the launcher's, which counts and
    tells it. The checkpoint from which it goes on lies in its folder.

    Args:
        cpus: cores of each job.
        address: of a cluster; None to begin one on this machine, which ends with :meth:`close`.

    Raises:
        UserError: there is no cluster at the address, or no machine of it has so many cores.
    """

    def __init__(self, cpus: int, address: str | None) -> None:
        self.cpus = cpus
        self._running: dict[Any, Job] = {}
        _connect(address)
        if not any(_cpus(node) >= cpus for node in ray.nodes()):
            most = max((_cpus(node) for node in ray.nodes()), default=0)
            ray.shutdown()
            raise UserError(f"--job-cpus {cpus}, but Ray's largest machine has {most}: ask for fewer")
        self._task = ray.remote(num_cpus=cpus, max_retries=0)(_run)
        self._environment = {k: v for k, v in os.environ.items() if k.startswith("NESY_GEDI_")}

    def room(self) -> int:
        """How many more jobs would begin at once, on the machines that are there now."""
        return sum(_cpus(node) // self.cpus for node in ray.nodes()) - len(self._running)

    def start(self, job: Job) -> None:
        """Hand it to Ray."""
        reference = self._task.remote(job, self.cpus, os.getcwd(), self._environment)
        self._running[reference] = job

    def ended(self, seconds: float) -> tuple[Job, Ending] | None:
        """A job that came to an end, waited for no longer than this."""
        ready, _ = ray.wait(list(self._running), timeout=seconds)
        if not ready:
            return None
        job = self._running.pop(ready[0])
        try:
            ending: Ending = ray.get(ready[0])
        except RayTaskError as error:  # by an error that is none of the user's
            print(error, file=sys.stderr)
            ending = Ending(FAILED, f"its process failed with {type(error.cause).__name__}, see above")
        except RayError as error:
            ending = Ending(LOST, f"its Ray worker went away ({type(error).__name__})")
        return job, ending

    def close(self) -> None:
        """Let trainings that are under way save their state, then end or leave Ray."""
        try:
            for reference in self._running:
                ray.cancel(reference)
            if self._running:
                ray.wait(list(self._running), num_returns=len(self._running), timeout=_SAVING)
        finally:
            ray.shutdown()


def _connect(address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        address = "local"
        options |= {
            "num_cpus": cores(),
            "object_store_memory": _OBJECTS,
            "include_dashboard": False,
        }
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no Ray at {address} ({reason}): give the address that `ray start` showed"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray takes it for itself


def _cpus(node: dict[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0


def _run(job: Job, threads: int, directory: str, environment: dict[str, str]) -> Ending:
    """In Ray's worker: there as here, relative paths and data sets are where they are for the user."""
    try:
        os.chdir(directory)
    except OSError as error:
        return Ending(
            FAILED,
            f"{directory} is not on {os.uname().nodename} ({error.strerror}): Ray's machines must share it",
        )
    os.environ.update(environment)
    return run_in_worker(job, threads)
