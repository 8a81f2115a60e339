"""Ctrl-C and worse: what a training leaves when it is ended."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typed_commands import FEW, OPTIONS, SCRIPT, TINY, environment, read_json

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.gedi.checkpoint import load_run


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hear_ctrl_c() -> None:
    """A shell starts what runs in the background deaf to it, and the tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def training(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A training without end in ``run``, past its first epochs."""
    what = ["--program", "noisy_addition.pl", "--epochs", "1000000", "--out", "run"]
    learning = ["--set", "learning_rate=0.1", "--set", "schedule=constant", "--set", "constraint_from=0"]
    command = [SCRIPT, "train", *OPTIONS, *FEW, *what, *learning]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    ) as process:
        metrics = tmp_path / "run" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 2):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
        process.kill()


def check_readable(folder: Path) -> None:
    assert read_json(folder / "config.json")["config"]["network"]["width"] == 4  # type: ignore[index]
    *rows, rest = (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert rest == "" or len(rows) >= 2


def test_ctrl_c_ends_soon_and_keeps_the_weights(training: "subprocess.Popen[str]", tmp_path: Path) -> None:
    training.send_signal(signal.SIGINT)
    _, stderr = training.communicate(timeout=10)
    assert training.returncode == 130
    (line,) = stderr.splitlines()
    assert line.startswith("nesy-gedi: interrupted")
    check_readable(tmp_path / "run")
    images = load_mnist(Path("data"), explicit=False).test_images[:50]
    network, described = load_run(tmp_path / "run")
    assert network.posterior(images / 255).sum(1).tolist() == pytest.approx([1] * 50)
    assert abs(described["probabilities"]["noisy"] - 0.2) > 0.01  # so far as it was learned
    assert not list((tmp_path / "run").glob("*.partial"))


def test_a_killed_run_can_be_read(training: "subprocess.Popen[str]", tmp_path: Path) -> None:
    training.kill()
    training.communicate(timeout=10)
    assert training.returncode == -signal.SIGKILL
    check_readable(tmp_path / "run")


def test_ctrl_c_while_starting_is_one_line_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [SCRIPT, *TINY],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    ) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert stderr.splitlines() == ["nesy-gedi: interrupted"]
