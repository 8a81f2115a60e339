"""Processes of this machine that run jobs; one that is killed takes only the job under way with it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from nesy_gedi.jobs import FAILED, LOST, Ending, Job

_WORKER = (
    "import sys; threads = int(sys.argv[1]); sys.path[:] = sys.argv[2:]; "
    "from nesy_gedi.jobs import serve; serve(threads)"
)
_SAVING = 10.0  # seconds that trainings have to end and save their states


class CoreWorkers:
    """Begins a process when one is needed; see :class:`~nesy_gedi.launching.Workers`.

    Args:
        most: processes at a time.
        cpus: threads of each.
    """

    def __init__(self, most: int, cpus: int) -> None:
        self.most, self.cpus = most, cpus
        self._idle: list[_Process] = []
        self._busy: dict[_Process, Job] = {}
        self._news: queue.Queue[tuple[_Process, str | None]] = queue.Queue()

    def room(self) -> int:
        """How many more jobs would begin at once."""
        return self.most - len(self._busy)

    def start(self, job: Job) -> None:
        """Give it to a process that has none."""
        process = self._idle.pop() if self._idle else _Process(self.cpus, self._news)
        self._busy[process] = job
        process.give(job)

    def ended(self, seconds: float) -> tuple[Job, Ending] | None:
        """A job that came to an end, waited for no longer than this."""
        try:
            process, answer = self._news.get(timeout=seconds)
        except queue.Empty:
            return None
        job = self._busy.pop(process, None)
        if answer is not None:
            self._idle.append(process)
        elif process in self._idle:
            self._idle.remove(process)
        if job is None:  # it was idle
            return None
        return job, process.ending() if answer is None else Ending(**json.loads(answer))

    def close(self) -> None:
        """End all processes; a training that is under way saves its state first."""
        processes = [*self._idle, *self._busy]
        try:
            for process in processes:
                process.stop()
            deadline = time.monotonic() + _SAVING
            for process in processes:
                process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for process in processes:
                process.kill()


class _Process:
    """One of them.

    Args:
        cpus: threads.
        news: where its answers go, a line each, and None when it has ended.
    """

    def __init__(self, cpus: int, news: "queue.Queue[tuple[_Process, str | None]]") -> None:
        threads = {f"{library}_NUM_THREADS": str(cpus) for library in ("OMP", "MKL", "OPENBLAS")}
        # in a session of its own Ctrl-C does not reach it: this process ends it
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(cpus), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **threads},
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(news,), daemon=True).start()

    def _listen(self, news: "queue.Queue[tuple[_Process, str | None]]") -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                if line.endswith("\n"):  # not the beginning of one
                    news.put((self, line))
        news.put((self, None))

    def give(self, job: Job) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # it has just ended, which is news that will come
            self.process.stdin.write(job.to_json() + "\n")
            self.process.stdin.flush()

    def ending(self) -> Ending:
        """Why its job has no answer, once it has ended."""
        code = self.process.wait()
        if code >= 0:  # by an error that is none of the user's; its traceback was on stderr
            return Ending(FAILED, f"its process ended with exit code {code}, see above")
        return Ending(LOST, f"its process was ended by {signal.Signals(-code).name}")

    def stop(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
