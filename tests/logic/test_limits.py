import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nesy_gedi.logic import limits as module
from nesy_gedi.logic.compiler import compile_program
from nesy_gedi.logic.limits import Limits, compile_limited
from nesy_gedi.logic.program import parse_program, read_program
from nesy_gedi.logic.source import ProgramError, Source
from nesy_gedi.resources import resource

DIGITS = "nn(net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n"
ENDLESS = (
    DIGITS
    + """
never(X) :- digit(X, D), count(D).
count(1.5).
   count(N) :- M is N + 1, count(M).
"""
)
PATIENT = Limits(seconds=60)
posix = pytest.mark.skipif(os.name != "posix", reason="signals")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on memory")


def program(text, query=None, trusted=False):
    return parse_program(Source(Path("mine.pl"), text), query, trusted)


def exponential_diagram(facts):
    """Parities of three of many facts at random: hard for every order of the facts."""
    draw = random.Random(1)
    lines = ["nn(net, [X]) :: digit(X)."]
    lines += [f"0.5 :: f{i}." for i in range(facts)]
    for k in range(facts // 2):
        a, b, c = (f"f{i}" for i in draw.sample(range(facts), 3))
        for x, y, z in [(a, b, c), (a, f"\\+ {b}", f"\\+ {c}"), (f"\\+ {a}", b, f"\\+ {c}")]:
            lines.append(f"odd{k} :- {x}, {y}, {z}.")
        lines.append(f"odd{k} :- \\+ {a}, \\+ {b}, {c}.")
    return "\n".join(
        [
            *lines,
            f"all(X) :- digit(X), {', '.join(f'odd{k}' for k in range(facts // 2))}.",
            "query(all(X)).\n",
        ]
    )


def place_of(text, found):
    """Line and column of a text's first occurrence, from one."""
    before = text[: text.index(found)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def open_calls(error):
    return int(re.search(r"([\d,]+) open calls", error.message)[1].replace(",", ""))


def running(pid):
    """Whether there is such a process; one that only waits to be reaped is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """The processes that were started; all of them must have been ended and reaped, and no thread left."""
    started, threads = [], threading.active_count()

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(module.subprocess, "Popen", Recorded)
    yield started
    assert all(worker.returncode is not None and not running(worker.pid) for worker in started)
    assert threading.active_count() == threads


def without_times(compiled):
    return dataclasses.replace(compiled, grounding_seconds=0, compile_seconds=0)


@pytest.mark.parametrize("pattern", [(0, 1, 2), (0, 1, 0)])
def test_the_same_circuit_as_in_this_process(pattern, workers):
    addition = read_program(resource("programs", "addition.pl"))
    here, there = compile_program(addition, pattern), compile_limited(addition, pattern, PATIENT)
    assert without_times(there) == without_times(here)
    assert len(workers) == 1


def test_a_query_of_ones_own_arrives_with_all_its_symbols():
    text = (
        DIGITS
        + "sum(X, 'a b', [_, Y], Z) :- digit(X, A), digit(Y, B), Z is A + B.\nother(X) :- digit(X, 1).\n"
    )
    mine = program(text, "sum(X, 'a b', [_, Y], Z)")
    assert len(mine.slots) == 3
    here, there = compile_program(mine, (0, 1, 2)), compile_limited(mine, (0, 1, 2), PATIENT)
    assert without_times(there) == without_times(here)
    assert len(there.answers) == 19


@pytest.mark.parametrize(
    ("text", "query", "pattern"),
    [
        (DIGITS + "\n  late(X) :- digit(X, D), D > 9.\n", None, (0,)),
        (DIGITS + "late(X) :- digit(X, D), D > 9.\n\n   query(late(X)).\n", None, (0,)),
        (DIGITS + "late(X) :- digit(X, D), D > 9.\n", "late(X)", (0,)),
        (DIGITS + "less(X, Y) :- digit(X, A), digit(Y, B), A < B.\n", None, (0, 0)),
        (DIGITS + "one(X) :- digit(X, 1).\nrain :- fail.\n evidence(rain).\nquery(one(X)).\n", None, (0,)),
        (DIGITS + "P :: odd(P).\none(X) :- digit(X, D), odd(D).\n", None, (0,)),
        (DIGITS + "one(X) :- digit(X, D), 1 is 3 / D.\n", None, (0,)),
    ],
)
def test_an_error_is_the_same_as_in_this_process(text, query, pattern):
    mine = program(text, query)
    errors = []
    for make in (compile_program, lambda *args: compile_limited(*args, PATIENT)):
        with pytest.raises(ProgramError) as caught:
            make(mine, pattern)
        errors.append(caught.value)
    here, there = errors
    assert (there.line, there.column, there.message) == (here.line, here.column, here.message)
    assert str(there) == str(here)


def test_an_endless_recursion_names_its_predicate_and_open_calls():
    with pytest.raises(
        ProgramError, match=r"grounding never\(X\) was stopped after 1\.5 s: count/1 has"
    ) as caught:
        compile_limited(program(ENDLESS), (0,), Limits(seconds=1.5))
    assert (caught.value.line, caught.value.column) == place_of(ENDLESS, "count(N)")
    assert open_calls(caught.value) > 20
    assert "--compile-timeout" in caught.value.message


def test_too_many_combinations_name_their_predicate_and_the_ground_program():
    images = [f"X{i}" for i in range(12)]
    text = (
        DIGITS
        + "\n"
        + f"  total({', '.join(images)}, Z) :- {', '.join(f'digit({x}, D{x})' for x in images)}, "
        + f"Z is {' + '.join(f'D{x}' for x in images)}.\n"
    )
    with pytest.raises(ProgramError, match="total/13 has 1 open call, the ground program has") as caught:
        compile_limited(program(text), tuple(range(12)), Limits(seconds=1.5))
    assert (caught.value.line, caught.value.column) == place_of(text, "total")
    nodes = int(caught.value.message.split("ground program has ")[1].split(" nodes")[0].replace(",", ""))
    assert nodes > 200
    assert "multi_addition.pl" in caught.value.message


def test_an_exponential_diagram_names_its_gate_and_size():
    text = exponential_diagram(80)
    with pytest.raises(ProgramError, match=r"compiling all\(X\) was stopped after 2.5 s: at gate") as caught:
        compile_limited(program(text), (0,), Limits(seconds=2.5))
    assert (caught.value.line, caught.value.column) == place_of(text, "all(X)")
    assert int(caught.value.message.split("the diagram has ")[1].split(" nodes")[0].replace(",", "")) > 100


@linux
def test_memory_that_grounding_uses_up():
    with pytest.raises(ProgramError, match=r"takes more than 0\.0391 GiB of memory: count/1 has") as caught:
        compile_limited(program(ENDLESS), (0,), Limits(seconds=60, memory=40 * 2**20))
    assert 20 < open_calls(caught.value) < 20_000  # each takes kilobytes


@linux
def test_memory_that_a_diagram_uses_up():
    with pytest.raises(
        ProgramError, match=r"compiling all\(X\) takes more than 0\.195 GiB of memory: at gate"
    ):
        compile_limited(program(exponential_diagram(100)), (0,), Limits(seconds=60, memory=200 * 2**20))


def test_an_error_of_the_compiler_is_told_as_what_it_is():
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*ValueError"):
        compile_limited(program(DIGITS + "one(X) :- digit(X, 1).\n"), (0, 1, 2), PATIENT)


@posix
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "ended with code 3: it said nothing"),
        ("echo no such library >&2; exit 1", "ended with code 1: no such library"),
        (
            "head -c 1000000 /dev/zero | tr '\\0' '\\n' >&2; echo last >&2; exit 4",
            r"ended with code 4: last$",
        ),
        ("read line; kill -SEGV $$", "ended with code -11"),
    ],
)
def test_a_python_that_fails_is_told_as_what_it_is(script, told, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    long = program(DIGITS + "one(X) :- digit(X, 1).\n" + "% more than fits into a pipe\n" * 10_000)
    with pytest.raises(RuntimeError, match=told):
        compile_limited(long, (0,), PATIENT)


@posix
def test_a_kill_by_the_system_is_told_as_memory(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nread line\nkill -KILL $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ProgramError, match="takes more than 2 GiB of memory"):
        compile_limited(program(ENDLESS), (0,), Limits(memory=2**31))


def test_without_a_python_to_start_it_is_compiled_in_this_process(monkeypatch, workers):
    one = program(DIGITS + "one(X) :- digit(X, 1).\n")
    for name, value in (("executable", ""), ("frozen", True)):
        with monkeypatch.context() as changed:
            changed.setattr(sys, name, value, raising=False)
            assert compile_limited(one, (0,), PATIENT).circuit.counts() == [1]
    assert workers == []


def test_modules_that_lie_about_are_not_imported(tmp_path, monkeypatch):
    for name in ("json", "problog", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    compiled = compile_limited(program(DIGITS + "one(X) :- digit(X, 1).\n"), (0,), PATIENT)
    assert compiled.circuit.counts() == [1]


def test_what_a_program_prints_goes_to_stderr(capfd):
    text = DIGITS + "one(X) :- digit(X, D), write(hello), nl, D > 8.\n"
    compiled = compile_limited(program(text, trusted=True), (0,), PATIENT)
    assert compiled.circuit.counts() == [1]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "hello\n" * 10


def test_the_limit_of_memory_has_a_default(monkeypatch):
    assert 2**30 <= Limits().bytes <= 8 * 2**30
    assert Limits(memory=5).bytes == 5
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert Limits().bytes == 4 * 2**30


# says the worker's number as soon as it runs, then compiles without end
INTERRUPTED = """
import subprocess, sys
real = subprocess.Popen
class Popen(real):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print(self.pid, flush=True)
from pathlib import Path
from nesy_gedi.logic.limits import Limits, compile_limited
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import Source
program = parse_program(Source(Path("mine.pl"), sys.argv[1]))
subprocess.Popen = Popen
try:
    compile_limited(program, (0,), Limits(float(sys.argv[2])))
except KeyboardInterrupt:
    print("interrupted", flush=True)
except Exception as error:
    print(error, flush=True)
"""


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def start(text, seconds=60, before=""):
    process = subprocess.Popen(
        [sys.executable, "-c", before + INTERRUPTED, text, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return process, int(process.stdout.readline())


@posix
@pytest.mark.parametrize(
    ("text", "delay"),
    [(ENDLESS, 0.0), (ENDLESS, 1.0), (exponential_diagram(80), 1.5)],
    ids=["starting", "grounding", "compiling"],
)
def test_ctrl_c_ends_it_at_once(text, delay):
    process, worker = start(text)
    time.sleep(delay)
    assert running(worker)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes in the foreground
    out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    wait_until(lambda: not running(worker), seconds=2)


@posix
@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_the_worker_ends_when_this_process_is_killed(delay):
    process, worker = start(ENDLESS)
    time.sleep(delay)
    process.kill()
    process.communicate(timeout=10)
    wait_until(lambda: not running(worker))


@posix
def test_a_ctrl_c_that_is_not_meant_for_compiling_does_not_disturb_it():
    process, worker = start(ENDLESS, 1.0, "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\n")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "was stopped after 1 s" in out
    assert err == ""
    assert not running(worker)
