"""A training goes on from any step bit for bit, and its states survive a disk that fails."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import CONFIG, digits, learner_of, shipped

from nesy_gedi.gedi.resuming import PREVIOUS, STATE, StateFiles
from nesy_gedi.gedi.stability import DivergedError, Guard, StabilityConfig
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.gedi.training_state import restore, training_state

NAMING = replace(CONFIG.naming, searches=3, starts=3)

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


class _StoppedError(Exception):
    pass


def new_trainer() -> Trainer:
    """Three epochs of four steps, with every kind of state: chains, searches, learnable probabilities."""
    stability = StabilityConfig(every=5)
    sampler = replace(CONFIG.sampler, buffer_size=5)
    config = replace(CONFIG, epochs=3, sampler=sampler, naming=NAMING, stability=stability)
    learner = learner_of(shipped("noisy_addition"), config)
    examples = learner.examples(60, 0)
    data = TrainingData(digits().train_images, examples.images, learner.constraint(examples))
    return Trainer(learner.config, data, 0)


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """What a file would give back."""
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def stopped_after(steps: int) -> dict[str, Any]:
    trainer = new_trainer()

    def stop() -> None:
        if trainer.step == steps:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        list(trainer.run(stop))
    return copied(training_state(trainer))


def leaves(state: Any, where: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        parts = state.items()
    elif isinstance(state, list):
        parts = enumerate(state)
    else:
        return {where: state}
    return {key: leaf for name, part in parts for key, leaf in leaves(part, f"{where}.{name}").items()}


def ran_away_at(step: int) -> Callable[..., None]:
    """A check that sends a training back once, from this step."""

    def check(guard: Guard, terms: object, energy: object, progress: float, classes: int) -> None:
        if not guard.done and round(progress * 12) == step:
            raise DivergedError("for the test")

    return check


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 11])
@pytest.mark.parametrize("back", [None, 3, 8])
def test_every_part_of_the_state_goes_on_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, steps: int, back: int | None
) -> None:
    """Also where the training has gone back to an earlier state, before it was stopped or after."""
    if back is not None:
        monkeypatch.setattr(Guard, "check", ran_away_at(back))
    straight, resumed = new_trainer(), new_trainer()
    epochs = [metrics.terms for metrics in straight.run()]
    restore(resumed, stopped_after(steps))
    assert resumed.step == steps
    last = [metrics.terms for metrics in resumed.run()]
    assert last == epochs[-len(last) :]
    assert len(resumed.guard.done) == (back is not None)
    ours, theirs = (leaves(copied(training_state(trainer))) for trainer in (straight, resumed))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        other = theirs[name]
        same = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
        assert same, name


@pytest.mark.parametrize(
    "part", ["buffer", "generator", "naming_generator", "optimizers", "constraint", "guard"]
)
def test_no_part_of_the_state_is_idle(part: str) -> None:
    """Each differs from that of a new trainer by the middle of a training, so leaving one out would show."""
    fresh = leaves(copied(training_state(new_trainer()))[part])
    later = leaves(stopped_after(9)[part])
    assert fresh.keys() != later.keys() or any(
        not torch.equal(fresh[k], later[k]) if isinstance(fresh[k], torch.Tensor) else fresh[k] != later[k]
        for k in fresh
    )
