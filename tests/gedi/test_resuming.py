"""States of a training on a disk that fails."""

import subprocess
import sys
from pathlib import Path

import torch

from nesy_gedi.gedi.resuming import PREVIOUS, STATE, StateFiles

# a limit on the size of files stands in for a full disk: the write itself fails, half way
FULL = """
import resource, sys, torch
from pathlib import Path
from nesy_gedi.gedi.resuming import StateFiles
files = StateFiles(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    files.save({"weights": torch.zeros(100_000)})
except OSError as error:
    print("not saved:", error.strerror)
"""


def numbers(files: StateFiles) -> list[float]:
    return [state["number"].item() for state in files.load() if not isinstance(state, str)]


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    assert numbers(files) == []
    for k in range(4):
        files.save({"number": torch.tensor(float(k))})
    assert numbers(files) == [3.0, 2.0]
    assert {path.name for path in tmp_path.iterdir()} == {STATE, PREVIOUS}
    files.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_the_new_state_only(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    for k in range(2):
        files.save({"number": torch.tensor(float(k))})
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "not saved: File too large\n"
    assert numbers(files) == [1.0, 0.0]
    assert {path.name for path in tmp_path.iterdir()} == {STATE, PREVIOUS}
