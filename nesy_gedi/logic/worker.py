"""The process that grounds and compiles: a request on stdin, lines of JSON on stdout.

First ``{"started": true}``; then any number of ``{"progress": [stage, where, open calls, nodes]}`` and
``{"printed": text}``; at last ``{"compiled": …}``, ``{"error": …}``, ``{"exhausted": "memory" or "depth"}``
or ``{"failed": traceback}``. It imports neither PyTorch nor anything else that is slow.
"""

import io
import json
import math
import os
import re
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from problog.engine_stack import StackBasedEngine
from problog.formula import LogicFormula

from nesy_gedi.errors import UserError
from nesy_gedi.logic.compiler import compile_program
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import ProgramError, Source

Say = Callable[[dict[str, Any]], None]

_INTERVAL = 0.2  # seconds between two lines of progress, at least
_DEPTH = 100_000  # of Python's recursion: ProbLog and SDDs are walked recursively, chains may be long
_STACK = 2**29  # bytes for that recursion; only what is used takes memory
_EXTRA_SECONDS = 30  # of processor time beyond the limit
_EXTRA_BYTES = _STACK + 2**28  # of address space beyond the limit, for Python itself


class _Printed(io.TextIOBase):
    """Takes what the program prints, which must not get between the answers."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def write(self, text: str) -> int:
        """Hand the text on."""
        self._say({"printed": text})
        return len(text)


class _Watch:
    """Says from a thread of its own how far grounding is, and ends the process when it takes too much memory.

    It is the rule to end here: out of memory, Python itself may hang or fail in strange ways.
    """

    def __init__(self, say: Say, most_bytes: int) -> None:
        self.formula = LogicFormula()
        self._say, self._most_bytes = say, most_bytes
        self._compiling = False
        self._said = -math.inf

    def start(self, watched: threading.Thread) -> None:
        """Watch a thread from now on."""
        threading.Thread(target=self._run, args=(watched.ident,), daemon=True).start()

    def compile_progress(self, where: str, nodes: int) -> None:
        """Say how large the diagram is; at once, as the next gate may hold up all threads."""
        self._compiling = True
        if time.monotonic() > self._said + 0.01:
            self._say({"progress": ["compiling", where, 0, nodes]})
            self._said = time.monotonic()

    def _run(self, watched: int) -> None:
        pause = _INTERVAL
        while True:
            time.sleep(pause)
            started = time.monotonic()
            if not self._compiling:
                where, calls = _open_calls(watched)
                self._say({"progress": ["grounding", where, calls, len(self.formula)]})
            if _resident() > self._most_bytes:
                self._say({"exhausted": "memory"})
                os._exit(1)
            pause = max(_INTERVAL, 10 * (time.monotonic() - started))


def _open_calls(thread: int) -> tuple[str, int]:
    """The predicate with the most open calls on ProbLog's stack, and how many."""
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code is not StackBasedEngine.execute.__code__:
        frame = frame.f_back
    if frame is None:
        return "", 0
    nodes: list[Any] = [getattr(entry, "node", None) for entry in list(frame.f_locals["self"].stack)]
    names = Counter((node.functor, node.arity) for node in nodes if type(node).__name__ == "define")
    if not names:
        return "", 0
    ((functor, arity), count) = names.most_common(1)[0]
    return f"{re.sub('^_[a-z]+_', '', functor)}/{arity}", count  # _lists_append is append of the library


def _resident() -> int:
    """Bytes of memory in use; 0 where that cannot be asked."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        if sys.platform != "darwin":
            return 0
        import resource  # Windows has none

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _set_limits(most_bytes: float, seconds: float) -> None:
    """Have the system end this process even when its threads are held up, or nobody is left to."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, most_bytes), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(kind)
        allowed = [int(limit) for limit in (most, hard) if limit not in (math.inf, resource.RLIM_INFINITY)]
        with suppress(ValueError, OSError):  # macOS does not limit the address space
            resource.setrlimit(kind, (min(allowed, default=resource.RLIM_INFINITY), hard))


def _answer(request: dict[str, Any], watch: _Watch) -> str:
    try:
        source = Source(Path(request["path"]), request["text"])
        program = parse_program(source, request["query"], request["trusted"])
        compiled = compile_program(program, request["pattern"], watch.formula, watch.compile_progress)
        return json.dumps({"compiled": compiled.to_json()})
    except ProgramError as error:
        place = {"line": error.line, "column": error.column}
        return json.dumps({"error": {**place, "message": error.message}})
    except UserError as error:
        return json.dumps({"error": {"message": str(error)}})
    except RecursionError:
        return json.dumps({"exhausted": "depth"})
    except BaseException as error:
        _set_limits(math.inf, math.inf)  # the answer needs a little memory
        # where it is short, C code may also fail with "SystemError: error return without exception set"
        short = isinstance(error, SystemError) and _resident() >= request["memory"] / 2
        if short or isinstance(error, MemoryError):
            return json.dumps({"exhausted": "memory"})
        return json.dumps({"failed": traceback.format_exc()})


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


class _Answers:
    """The pipe for answers, which nothing else can write to afterwards: not the program, not a library."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(2, 1)
        sys.stdout = sys.stderr = _Printed(self.say)
        sys.unraisablehook = lambda _: None  # of these there are many when memory is short

    def say(self, content: dict[str, Any]) -> None:
        """Write a line."""
        self.write(json.dumps(content))

    def write(self, line: str) -> None:
        """Write a line that is JSON already."""
        with self._lock:
            self._pipe.write(line + "\n")
            self._pipe.flush()


def main() -> None:
    """Answer one request, and end this process."""
    answers = _Answers()
    request = json.loads(sys.stdin.buffer.readline())
    sys.stdin = open(os.devnull)  # noqa: SIM115
    threading.Thread(target=_end_with_parent, daemon=True).start()
    watch = _Watch(answers.say, request["memory"])
    thread = threading.Thread(target=lambda: answers.write(_answer(request, watch)), daemon=True)
    answers.say({"started": True})
    sys.setrecursionlimit(_DEPTH)
    threading.stack_size(_STACK)
    thread.start()
    threading.stack_size(0)
    watch.start(thread)
    _set_limits(request["memory"] + _EXTRA_BYTES, request["seconds"] + _EXTRA_SECONDS)
    thread.join()
    os._exit(0)  # without taking apart what may be gigabytes
