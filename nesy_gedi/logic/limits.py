"""Compile in a process of its own, under a limit of time and memory, in a way that Ctrl-C ends."""

import json
import math
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nesy_gedi.errors import UserError
from nesy_gedi.logic.compiler import Compiled, compile_program
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.source import ProgramError

_GIB = 2**30
_MANY_CALLS = 100  # that are open at once make a recursion the likely culprit
_STARTING = 60.0  # seconds that the other process may take until it says its first word
# the same modules as in this process, also where it changed its path
_WORKER = "import sys; sys.path[:] = sys.argv[1:]; from nesy_gedi.logic.worker import main; main()"


@dataclass(frozen=True)
class Limits:
    """What grounding and compiling may cost.

    Attributes:
        seconds: wall time.
        memory: bytes, on Linux and macOS; half of the machine's memory, at least 1 and at most 8 GiB,
            by default.

    Raises:
        UserError: the seconds are not above 0, or not finite.
    """

    seconds: float = 60.0
    memory: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise UserError(
                f"--compile-timeout {self.seconds:g}: give seconds, more than 0, for grounding and compiling"
            )

    @property
    def bytes(self) -> int:
        """The limit of memory in bytes."""
        if self.memory:
            return self.memory
        try:
            present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            present = 8 * _GIB
        return min(8 * _GIB, max(_GIB, present // 2))


def compile_limited(program: Program, pattern: Sequence[int], limits: Limits) -> Compiled:
    """:func:`~nesy_gedi.logic.compiler.compile_program` in another process.

    Where there is no Python to start (inside another program, or frozen into one), it is compiled in
    this process, without limits. What the program prints goes to this process's stderr.

    Raises:
        ProgramError: the program cannot be grounded, or compiling went over a limit; says at which
            predicate and how large it had become.
        RuntimeError: the other process failed for a reason of its own, which is told.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return compile_program(program, pattern)
    request = {
        "path": str(program.path),
        "text": program.source.text,
        "query": program.asked,
        "trusted": program.trusted,
        "pattern": list(pattern),
        "memory": limits.bytes,
        "seconds": limits.seconds,
    }
    with _Worker(request) as worker:
        return _follow(worker, program, limits)


class _Worker:
    """The other process; it is gone, and reaped, when the ``with`` block is left in whatever way.

    Attributes:
        lines: what it said, then None when it ended.
        noise: the last lines of its stderr.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.noise: deque[str] = deque(maxlen=20)
        # in a session of its own Ctrl-C does not reach it: this process ends it, and it prints no traceback
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *map(str, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._talker = threading.Thread(target=self._talk, args=(json.dumps(request),), daemon=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "_Worker":
        self._talker.start()
        self._listener.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Its exit code, once all that it said is read."""
        code = self.process.wait()
        for thread in (self._talker, self._listener):
            thread.join(1.0)  # a trusted program may have started a process that keeps the pipes open
        return code

    def _talk(self, request: str) -> None:
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        # stdin stays open to the end: when it closes, by the death of this process too, the other one ends
        with suppress(OSError), process.stdin as stdin, process.stdout as stdout:
            stdin.write(request + "\n")
            stdin.flush()
            for line in stdout:
                self.lines.put(line)
        self.lines.put(None)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            self.noise.extend(stderr)


def _follow(worker: _Worker, program: Program, limits: Limits) -> Compiled:
    """Take in what the worker says until it has an answer or the time is over."""
    deadline = time.monotonic() + max(limits.seconds, _STARTING)
    progress: list[Any] = ["grounding", "", 0, 0]
    while True:
        try:
            # no longer wait than this: on Windows, Ctrl-C does not interrupt one
            line = worker.lines.get(timeout=max(0.0, min(0.5, deadline - time.monotonic())))
        except queue.Empty:
            line = "{}\n"
        if line is None or not line.endswith("\n"):  # not a word, or not the last one to its end
            raise _dead(worker, program, limits, progress)
        match json.loads(line):
            case {"compiled": content}:
                return Compiled.from_json(content)
            case {"error": error}:
                if "line" in error:
                    raise ProgramError(program.path, error["line"], error["column"], error["message"])
                raise UserError(error["message"])
            case {"exhausted": what}:
                raise _over(program, limits, what, progress)
            case {"failed": description}:
                raise RuntimeError(f"compiling {program.query} failed:\n{description}")
            case {"started": _}:
                deadline = time.monotonic() + limits.seconds
            case {"printed": text}:
                sys.stderr.write(text)
            case {"progress": news}:
                progress = news
        if time.monotonic() >= deadline:
            raise _over(program, limits, "time", progress)


def _dead(worker: _Worker, program: Program, limits: Limits, progress: Sequence[Any]) -> Exception:
    """Why it ended without an answer."""
    code, noise = worker.ended(), "".join(worker.noise).strip()
    # -9 is the system's own way to find memory; the others are PySDD's, Python's and C++'s last words
    if code == -9 or re.search("alloc failed|MemoryError|bad_alloc", noise):
        return _over(program, limits, "memory", progress)
    return RuntimeError(f"compiling {program.query} ended with code {code}: {noise or 'it said nothing'}")


def _over(program: Program, limits: Limits, what: str, progress: Sequence[Any]) -> ProgramError:
    """The error for a limit: ``time``, ``memory`` or ``depth``."""
    stage, where, calls, nodes = progress
    reason, remedy = {
        "time": (f"was stopped after {limits.seconds:g} s", " (--compile-timeout raises the limit)"),
        "memory": (f"takes more than {limits.bytes / _GIB:.3g} GiB of memory", ""),
        "depth": ("nests calls or terms too deeply", ""),
    }[what]
    hint = "carry partial results in an argument, as in multi_addition.pl"
    predicate = f"{program.query.functor}/{program.query.arity}"
    if stage == "compiling":
        state = f"at {where}, the diagram has {nodes:,} nodes"
        hint = f"use fewer slots or classes, or {hint}"
    else:
        predicate = where or predicate
        opened = f"{where} has {calls:,} open call{'s' * (calls != 1)}, " if where else ""
        state = f"{opened}the ground program has {nodes:,} nodes"
        if calls >= _MANY_CALLS:
            hint = "does the recursion end, is every number bounded?"
    clauses = [rule for rule in program.rules if f"{rule[0].functor}/{rule[0].arity}" == predicate]
    clauses.sort(key=lambda rule: rule[1] is None)  # the clause with a body is the one that calls
    place = clauses[0][0] if clauses else program.query
    return program.source.error(place, f"{stage} {program.query} {reason}: {state}; {hint}{remedy}")
