"""The lock of a run's folder: other processes stay out, and it goes with its process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nesy_gedi.errors import UserError
from nesy_gedi.run_lock import LOCK, BeingTrainedError, training

HOLD = """
import sys, pathlib
from nesy_gedi.run_lock import training
with training(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNT = """
import sys, pathlib, time
from nesy_gedi.run_lock import BeingTrainedError, training
counter = pathlib.Path(sys.argv[2])
done = 0
while done < 100:
    try:
        with training(pathlib.Path(sys.argv[1])):
            seen = int(counter.read_text())
            time.sleep(0.0005)
            counter.write_text(str(seen + 1))
        done += 1
    except BeingTrainedError:
        pass
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that trains in the folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.communicate("\n")


def test_another_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with held(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(BeingTrainedError, match="is being trained by another process"),
                training(tmp_path),
            ):
                pass
    with training(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / LOCK).exists()  # its file stays, nobody holds it
        with training(tmp_path):
            pass
    assert not (tmp_path / LOCK).exists()


def test_within_one_process_it_may_be_taken_again(tmp_path: Path) -> None:
    with training(tmp_path):
        with training(tmp_path / ".." / tmp_path.name):
            pass
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_it_is_let_go_when_the_training_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), training(tmp_path):
        raise ZeroDivisionError
    with held(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with training(tmp_path / "runs" / "typo"):
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_locked_is_told(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(UserError, match=r"cannot lock .*: choose another folder"), training(tmp_path):
        pass


def test_two_never_hold_it_though_its_file_comes_and_goes(tmp_path: Path) -> None:
    counter, folder = tmp_path / "counter", tmp_path / "run"
    counter.write_text("0")
    folder.mkdir()
    command = [sys.executable, "-c", COUNT, str(folder), str(counter)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert counter.read_text() == "300"
