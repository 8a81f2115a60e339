import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nesy_gedi.logic import cache
from nesy_gedi.logic.cache import cache_folder, cache_key, cached
from nesy_gedi.logic.compiler import compile_program
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import Source

TEXT = """nn(net, [X], Y, [0, 1, 2]) :: digit(X, Y).
0.25 :: noise.
sum(X, Y, Z) :- digit(X, A), digit(Y, B), \\+ noise, Z is A + B.
difference(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A - B.
"""
# prints the key, and whether the circuit had to be compiled
PROCESS = """
import sys
from pathlib import Path
from nesy_gedi.logic.cache import cache_key, cached
from nesy_gedi.logic.compiler import compile_program
from nesy_gedi.logic.program import parse_program
from nesy_gedi.logic.source import Source
program = parse_program(Source(Path("sum.pl"), sys.argv[1]), "sum(X, Y, Z)")
made = []
compiled = cached(program, (0, 1), lambda: made.append(1) or compile_program(program, (0, 1)))
print(cache_key(program, (0, 1)), len(made), compiled.circuit.counts(), compiled.answers)
"""


def program(text=TEXT, query="sum(X, Y, Z)", path="sum.pl", trusted=False):
    return parse_program(Source(Path(path), text), query, trusted)


SUM = program()
DISTINCT = compile_program(SUM, (0, 1))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NESY_GEDI_CACHE", str(tmp_path / "circuits"))
    cache._memory.clear()
    return tmp_path / "circuits"


def never():
    raise AssertionError("compiled again")


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def test_a_second_question_is_answered_from_memory_and_a_new_process_from_disk(folder):
    assert cached(SUM, (0, 1), lambda: DISTINCT) == DISTINCT
    only_file(folder).unlink()
    assert cached(SUM, (0, 1), never) == DISTINCT
    cache._memory.clear()
    cached(SUM, (0, 1), lambda: DISTINCT)
    cache._memory.clear()
    read = cached(SUM, (0, 1), never)
    assert read == DISTINCT
    assert read.choices[0].inputs == DISTINCT.choices[0].inputs  # tuples, not lists
    assert read.circuit.counts() == DISTINCT.circuit.counts()


def test_everything_that_decides_the_circuit_is_in_the_key():
    programs = [
        (SUM, (0, 1)),
        (SUM, (0, 0)),
        (program(query="difference(X, Y, Z)"), (0, 1)),
        (program(query="sum(X, Y, 3)"), (0, 1)),
        (program(TEXT.replace("0.25", "0.26")), (0, 1)),
    ]
    assert len({cache_key(*one) for one in programs}) == len(programs)
    assert cache_key(program(path="elsewhere/other.pl"), (0, 1)) == cache_key(SUM, (0, 1))


@pytest.mark.parametrize("changed", range(4))
def test_another_version_of_a_compiler_has_another_key(changed, monkeypatch):
    before, key = list(cache._compilers()), cache_key(SUM, (0, 1))
    assert all(before)
    before[changed] += "1"
    monkeypatch.setattr(cache, "_compilers", lambda: tuple(before))
    assert cache_key(SUM, (0, 1)) != key


def test_an_edit_of_the_compiler_changes_the_key(tmp_path, monkeypatch):
    for name in ("compiler.py", "direct.py"):
        (tmp_path / name).write_text("one\n")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    before = cache._compilers.__wrapped__()
    assert cache._compilers.__wrapped__() == before
    (tmp_path / "direct.py").write_text("two\n")
    assert cache._compilers.__wrapped__() != before


def test_equal_images_have_a_circuit_of_their_own():
    equal = compile_program(SUM, (0, 0))
    assert equal.circuit.counts() != DISTINCT.circuit.counts()
    for _ in range(2):
        assert cached(SUM, (0, 1), lambda: DISTINCT) == DISTINCT
        assert cached(SUM, (0, 0), lambda: equal) == equal
        cache._memory.clear()


def damaged(content):
    half = len(content) // 2
    digest, _, text = content.partition(b"\n")
    return {
        "empty": b"",
        "cut": content[:half],
        "one byte": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        "a number": content.replace(b"0.25", b"0.26"),
        "no text": b"\xff\xfe" + content,
        "no digest": text,
        "only a digest": digest,
    }


@pytest.mark.parametrize("kind", damaged(b"aa\nbb"))
def test_a_damaged_file_is_compiled_again_and_mended(kind, folder):
    cached(SUM, (0, 1), lambda: DISTINCT)
    path = only_file(folder)
    whole = path.read_bytes()
    path.write_bytes(damaged(whole)[kind])
    cache._memory.clear()
    made = []
    assert cached(SUM, (0, 1), lambda: made.append(1) or DISTINCT) == DISTINCT
    assert made
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [[], {}, 3, {"circuit": 1}, {"circuit": {}, "choices": []}])
def test_a_foreign_file_is_ignored(content, folder):
    cached(SUM, (0, 1), lambda: DISTINCT)
    text = json.dumps(content)
    only_file(folder).write_text(hashlib.sha256(text.encode()).hexdigest() + "\n" + text)
    cache._memory.clear()
    assert cached(SUM, (0, 1), lambda: DISTINCT) is DISTINCT


@pytest.mark.parametrize("place", ["file", "file/below", "long" * 100])
def test_a_folder_that_cannot_be_used_is_as_good_as_none(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NESY_GEDI_CACHE", str(tmp_path / place))
    assert cached(SUM, (0, 1), lambda: DISTINCT) is DISTINCT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_a_user_without_home_has_no_folder(monkeypatch):
    monkeypatch.delenv("NESY_GEDI_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def home():
        raise RuntimeError("could not determine home directory")

    monkeypatch.setattr(Path, "home", home)
    assert cache_folder() is None
    assert cached(SUM, (0, 1), lambda: DISTINCT) is DISTINCT


def test_folders_of_the_systems(monkeypatch, tmp_path):
    assert cache_folder() == Path(os.environ["NESY_GEDI_CACHE"])
    monkeypatch.delenv("NESY_GEDI_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "nesy-gedi" / "circuits"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "nesy-gedi" / "circuits"
    monkeypatch.setenv("NESY_GEDI_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_an_error_is_not_kept(folder):
    with pytest.raises(AssertionError, match="compiled again"):
        cached(SUM, (0, 1), never)
    assert not folder.exists()
    assert cached(SUM, (0, 1), lambda: DISTINCT) is DISTINCT


def test_a_trusted_program_is_compiled_every_time(folder):
    trusted, made = program(trusted=True), []
    for _ in range(2):
        cached(trusted, (0, 1), lambda: made.append(1) or DISTINCT)
    assert len(made) == 2
    assert not folder.exists()


def test_memory_is_bounded_and_forgets_what_was_not_used_for_longest(monkeypatch, folder):
    monkeypatch.setattr(cache, "_MOST_IN_MEMORY", 3)
    monkeypatch.delenv("NESY_GEDI_CACHE")
    monkeypatch.setattr(cache, "cache_folder", lambda: None)
    for pattern in [(0, 1), (0, 2), (0, 3)]:
        cached(SUM, pattern, lambda: DISTINCT)
    cached(SUM, (0, 1), never)
    cached(SUM, (0, 4), lambda: replace(DISTINCT, method="new"))
    assert len(cache._memory) == 3
    assert cached(SUM, (0, 4), never).method == "new"
    cached(SUM, (0, 1), never)
    with pytest.raises(AssertionError, match="compiled again"):
        cached(SUM, (0, 2), never)


def test_a_broken_write_leaves_nothing(folder, monkeypatch):
    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    assert cached(SUM, (0, 1), lambda: DISTINCT) is DISTINCT
    assert list(folder.iterdir()) == []


def processes(folder, *seeds):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, TEXT],
            env={**os.environ, "PYTHONHASHSEED": seed, "NESY_GEDI_CACHE": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in seeds
    ]
    outputs = [process.communicate(timeout=60)[0].split(" ", 2) for process in running]
    assert not any(process.returncode for process in running)
    return outputs


def test_a_process_with_another_hash_seed_reads_the_file(folder):
    (first,), (second,) = processes(folder, "1"), processes(folder, "2")
    assert (first[0], first[1]) == (cache_key(SUM, (0, 1)), "1")
    assert second == [first[0], "0", first[2]]
    assert only_file(folder).stem == first[0]
    assert cached(SUM, (0, 1), never).circuit.counts() == DISTINCT.circuit.counts()


def test_processes_at_once_do_not_disturb_each_other(folder):
    outputs = processes(folder, "1", "2", "3")
    assert len({(key, result) for key, _, result in outputs}) == 1
    assert only_file(folder).stem == outputs[0][0]
    assert cached(SUM, (0, 1), never).answers == DISTINCT.answers
