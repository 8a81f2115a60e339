"""``--nproc N``: the same command in several processes that train together, started by torchrun."""

import os
import signal
import subprocess
import sys
from types import FrameType

from nesy_gedi.stopping import StoppedError


def under_torchrun() -> bool:
    """Whether this is one of several processes already."""
    return "WORLD_SIZE" in os.environ


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(count: int, arguments: list[str]) -> int:
    """Run ``nesy-gedi`` in so many processes of this machine.

    Args:
        count: number of processes.
        arguments: of the command line, without ``--nproc``.

    Returns:
        torchrun's exit code.

    Raises:
        StoppedError: SIGINT or SIGTERM came, and the processes have saved and ended.
    """
    threads = str(max(1, cores() // count))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += ["-m", "nesy_gedi", *arguments]
    heard = 0

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        # torchrun hands SIGTERM on to every process; when it is killed, they end with it
        child.send_signal(signal.SIGKILL if heard else signal.SIGTERM)
        heard = heard or number

    # a session of its own, or Ctrl-C would reach every process twice
    with subprocess.Popen(
        command, env={"OMP_NUM_THREADS": threads, **os.environ}, start_new_session=True
    ) as child:
        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if heard and code:
        raise StoppedError(heard, "interrupted")
    return code


def without_nproc(arguments: list[str]) -> list[str]:
    """A command line's arguments without ``--nproc N`` or ``--nproc=N``."""
    left, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--nproc="):
            skip = argument == "--nproc"
            left += [] if skip else [argument]
        else:
            skip = False
    return left
