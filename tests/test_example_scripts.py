"""The examples, each as a process of its own in an empty folder, and what they print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(folder: Path, name: str, *arguments: str) -> str:
    """What the example prints; it leaves nothing behind."""
    environment = {key: value for key, value in os.environ.items() if key != "NESY_GEDI_DATA"}
    environment |= {"PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The one number that the pattern's group finds."""
    (found,) = re.findall(pattern, text)
    return float(found)


def test_a_loop_of_ones_own(tmp_path: Path) -> None:
    printed = run(tmp_path, "own_loop.py")
    assert number(r"accuracy (\d\.\d+)$", printed.splitlines()[-2]) > 0.9
    assert number(r"(\d\.\d+) with the right sum", printed) > 0.85
    losses = [float(loss) for loss in re.findall(r"= (\d+\.\d+) nats", printed)]
    assert len(losses) == 8
    assert losses[-1] < losses[0] / 3


def test_a_loop_cut_short_has_learned_less(tmp_path: Path) -> None:
    printed = run(tmp_path, "own_loop.py", "--steps", "3")
    assert number(r"accuracy (\d\.\d+)$", printed.splitlines()[-2]) < 0.6


def test_a_loss_in_lightning(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    printed = run(tmp_path, "lightning_loss.py", "--steps", "250")
    assert number(r"^250 steps: accuracy (\d\.\d+) on 1000 test images$", printed) > 0.85


def test_between_deepproblog_and_here(tmp_path: Path) -> None:
    printed = run(tmp_path, "deepproblog_program.py", "--steps", "250")
    assert number(r"accuracy (\d\.\d+) on 1000 test images", printed) > 0.85
    assert number(r"(\d+) of 50 pairs told apart", printed) >= 43
    assert number(r"largest difference (\S+)", printed) < 1e-5


def test_the_estimator(tmp_path: Path) -> None:
    printed = run(tmp_path, "sklearn_clusterer.py")
    assert number(r"moons, NMI of GEDI: (\d\.\d+)", printed) > 0.95
    assert number(r"moons, NMI of k-means: (\d\.\d+)", printed) < 0.6
    on, around = (number(rf"on {where}: (-?\d+\.\d+) nats", printed) for where in ("the moons", "a rec.*"))
    assert on > around + 2
    digits, pixels = (number(rf"digits, NMI of {name}: (\d\.\d+)", printed) for name in ("GEDI", "k-means"))
    assert digits > pixels


def test_every_example_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f"[{path.name}]({path.name})" not in table] == []
