"""A training that is killed, stopped or damaged goes on as if nothing had happened, bit for bit."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_train_interrupted import hear_ctrl_c
from typed_commands import OPTIONS, SCRIPT, environment, read_json, refused, run

from nesy_gedi.gedi.resuming import PREVIOUS, STATE

KILLS = 20
TRAINING = (
    *("train", "--program", "noisy_addition.pl", *OPTIONS, "--examples", "60", "--epochs", "10"),
    *("--save-every", "0", "--set", "naming.searches=5", "--set", "constraint_from=0.2"),
    *("--set", "sampler.buffer_size=6"),  # so few that a chain that is lost is missed soon
)
TIMES = ("seconds", "images_per_second")


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)  # as in the processes that are started: sums of floats depend on it


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SCRIPT, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def metrics(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def same_outcome(one: Path, other: Path) -> None:
    weights = [load_file(folder / "weights.safetensors") for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert metrics(one) == metrics(other)
    results = [read_json(folder / "result.json") for folder in (one, other)]
    for result in results:
        result.pop("seconds")
        for seed in result["seeds"]:  # type: ignore[attr-defined]
            seed.pop("seconds")
    assert results[0] == results[1]


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training without a stop, two seeds."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    done = subprocess.run(
        [SCRIPT, *TRAINING, "--seeds", "2", "--out", str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 seed" not in done.stdout
    assert not (folder / STATE).exists()
    return folder


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finished() -> bool:
    return Path("run", "weights.safetensors").exists() and not Path("run", STATE).exists()


def saved_at() -> int:
    try:
        return Path("run", STATE).stat().st_mtime_ns
    except FileNotFoundError:  # not yet, or between two renames
        return 0


def test_killed_at_random_moments_it_ends_as_it_would_have(straight: Path) -> None:
    moments, kills = random.Random(0), 0
    process, before = start(*TRAINING, "--seeds", "2", "--out", "run"), 0
    while kills < KILLS and not finished():
        deadline = time.monotonic() + 120
        while process.poll() is None and saved_at() in (0, before):  # every round gets a step further
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        kills, before = kills + 1, saved_at()
        if not finished():
            process = start("train", "--resume", "run")
    _, stderr = process.communicate(timeout=300)
    assert finished(), stderr
    assert kills > 0
    same_outcome(straight, Path("run"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal_it_goes_on(straight: Path, number: signal.Signals, code: int) -> None:
    process = start(*TRAINING, "--seeds", "2", "--out", "run")
    wait_for(Path("run", STATE), process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    (line,) = stderr.splitlines()
    assert line == "nesy-gedi: interrupted; `nesy-gedi train --resume run` goes on where it stopped"
    assert run("train", "--resume", "run").exit_code == 0
    same_outcome(straight, Path("run"))


@pytest.fixture
def stopped() -> Path:
    """A run with both of its states."""
    process = start(*TRAINING, "--seeds", "2", "--out", "run")
    wait_for(Path("run", PREVIOUS), process)
    process.kill()
    process.communicate()
    Path("run", "lock").unlink(missing_ok=True)  # of the killed process, held by nobody
    if not Path("run", STATE).exists():  # killed between two renames
        shutil.copy(Path("run", PREVIOUS), Path("run", STATE))
    return Path("run")


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "other"])
def test_a_damaged_state_is_told_and_the_one_before_it_used(
    straight: Path, stopped: Path, damage: str
) -> None:
    content = bytearray((stopped / STATE).read_bytes())
    content[len(content) // 2] ^= 1
    damaged = {"torn": content[: len(content) // 2], "flipped": content, "empty": b"", "other": b"PK\3\4"}
    (stopped / STATE).write_bytes(damaged[damage])
    done = run("train", "--resume", "run")
    assert done.exit_code == 0
    assert f"run/{STATE} is damaged" in done.stdout
    same_outcome(straight, stopped)


def test_without_a_state_it_begins_anew(straight: Path, stopped: Path) -> None:
    for name in (STATE, PREVIOUS):
        (stopped / name).unlink()
    done = run("train", "--resume", "run")
    assert "no state that can be read was saved yet: the run begins anew" in done.stdout
    same_outcome(straight, stopped)


def test_what_changed_in_between_is_refused(stopped: Path) -> None:
    config = read_json(stopped / "config.json")
    for where, value, words in (
        (("config", "network", "width"), 8, "config.network.width was 8 and is 4 now"),
        (("program",), "p(X).", 'program was "p(X)." and is '),
        (("data", "sha256"), "0", 'sha256 was "0" and is '),
    ):
        changed = json.loads(json.dumps(config))
        place = changed
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value
        (stopped / "config.json").write_text(json.dumps(changed))
        assert words in refused("train", "--resume", "run")


def test_what_cannot_be_resumed_is_one_line(straight: Path) -> None:
    assert "is finished: there is nothing to resume" in refused("train", "--resume", str(straight))
    assert "no run in nowhere" in refused("train", "--resume", "nowhere")
    line = refused("train", "--resume", "nowhere", "--seeds", "2")
    assert "--resume goes on with the run's own settings: leave --seeds out" in line
    Path("run").mkdir()
    Path("run", "config.json").write_text("{}")
    assert "is damaged, or of another version" in refused("train", "--resume", "run")


def test_a_run_that_is_being_trained_is_not_resumed_beside_it(straight: Path) -> None:
    process = start(*TRAINING, "--seeds", "2", "--out", "run")
    wait_for(Path("run", STATE), process)
    line = run("train", "--resume", "run").stderr
    assert line == "nesy-gedi: run is being trained by another process: wait for it, or choose another run\n"
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    same_outcome(straight, Path("run"))
