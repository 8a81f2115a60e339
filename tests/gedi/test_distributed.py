"""Several processes train as one does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from small_constraints import config_of, data_of

from nesy_gedi.gedi.distributed import World
from nesy_gedi.gedi.trainer import Trainer

# what a rank does: the gradient of one step in float64, on views and samples that do not depend on the ranks
GRADIENTS = """
import sys, torch
from distributed_step import METHODS, gradients
for method in METHODS:
    torch.save(gradients(method), f"{sys.argv[1]}/{method}-{int(__import__('os').environ['RANK'])}.pt")
"""
BROKEN = """
import os
from nesy_gedi.cli import main
from nesy_gedi.gedi.trainer import Trainer
step = Trainer._train_step
def broken(self, rows):
    if os.environ["RANK"] == "1" and self.step == 3:
        raise RuntimeError("the second process is broken")
    return step(self, rows)
Trainer._train_step = broken
main(["train", "--dataset", "moons", "--method", "gedi", "--epochs", "50", "--out", "run"])
"""
HERE = Path(__file__).parent
_SEED = World.seed


def torchrun(*arguments: str, **others: Any) -> subprocess.CompletedProcess[str]:
    started = "torch.distributed.run", "--standalone", "--nproc-per-node=2"
    paths = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, "-m", *started, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
        **others,
    )


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradients of both ranks, by method."""
    folder = tmp_path_factory.mktemp("gradients")
    (folder / "step.py").write_text(GRADIENTS, encoding="utf-8")
    done = torchrun(str(folder / "step.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("method", ["combined", "gedi-no-gen", "swav", "barlow"])
def test_gradients_of_two_processes_are_those_of_one(of_two: Path, method: str) -> None:
    """Five examples and seven samples, so that the second rank's parts are filled up."""
    from distributed_step import gradients

    alone = gradients(method)
    size = max(gradient.abs().max().item() for gradient in alone.values())
    for rank in (0, 1):
        found = torch.load(of_two / f"{method}-{rank}.pt", weights_only=True)
        assert found.keys() == alone.keys()
        for name, gradient in alone.items():
            assert (found[name] - gradient).abs().max() <= 1e-12 * max(size, 1.0), name


def test_a_mean_over_each_ranks_own_batch_is_another_objective(of_two: Path) -> None:
    """What the gathering is for; and the test above would notice."""
    from distributed_step import gradients

    alone, halves = gradients("gedi-no-gen"), [gradients("gedi-no-gen", half) for half in (0, 1)]
    mean = {name: (halves[0][name] + halves[1][name]) / 2 for name in alone}
    apart = torch.cat([(mean[name] - gradient).flatten() for name, gradient in alone.items()]).norm()
    assert apart > 0.01 * torch.cat([gradient.flatten() for gradient in alone.values()]).norm()


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_parts_make_up_the_batch_in_its_order(monkeypatch: pytest.MonkeyPatch, size: int, count: int) -> None:
    rows, parts = torch.arange(count) + 10, []
    for rank in range(size):
        world = World()
        world.size, world.rank = size, rank
        parts.append(world.part(rows))
    assert {len(part) for part in parts} == {-(-count // size)}
    assert torch.equal(torch.cat(parts)[:count], rows)


def train(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "nesy_gedi", "train", *arguments, "--nproc", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


NEW = (
    *("--dataset", "moons", "--method", "gedi", "--epochs", "4", "--set", "naming.restarts=0"),
    *(
        "--set",
        "stability.every=60",
        "--set",
        "sampler.buffer_size=500",
        "--save-every",
        "0.2",
        "--no-report",
    ),
)


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


def test_two_processes_go_on_bit_for_bit(tmp_path: Path) -> None:
    """Stopped by a signal, then killed without warning, beside a run that nothing disturbed."""
    straight = train(tmp_path, *NEW, "--out", "straight")
    assert straight.wait(300) == 0, straight.stderr and straight.stderr.read()
    run = train(tmp_path, *NEW, "--out", "run")
    wait_for(tmp_path / "run" / "state.pt")
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 143
    run = train(tmp_path, "--resume", "run")
    state = tmp_path / "run" / "state.pt"
    before = state.stat().st_mtime_ns
    while run.poll() is None and state.stat().st_mtime_ns == before:
        time.sleep(0.05)
    assert run.poll() is None, "it ended before it could be killed"
    subprocess.run(["pkill", "-KILL", "-P", str(run.pid)], check=True)  # torchrun; its processes go with it
    run.wait(60)
    last = train(tmp_path, "--resume", "run")
    assert last.wait(300) == 0, last.stderr and last.stderr.read()
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("straight", "run")]
    assert tensors(weights[0]) == tensors(weights[1])
    lines = [(tmp_path / name / "metrics.jsonl").read_text().count("\n") for name in ("straight", "run")]
    assert lines == [4, 4]


def tensors(content: bytes) -> bytes:
    """A weights file without its description, in which times differ."""
    length = int.from_bytes(content[:8], "little")
    return content[8 + length :]


def test_a_process_that_dies_ends_the_others_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    started = time.monotonic()
    done = torchrun(str(tmp_path / "broken.py"), cwd=tmp_path)
    assert done.returncode != 0
    assert "RuntimeError: the second process is broken" in done.stderr
    assert "in broken" in done.stderr
    assert time.monotonic() - started < 120


def test_every_rank_has_random_numbers_of_its_own_and_the_first_those_of_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal chains on all ranks would be so many fewer samples."""
    chains = []
    for rank in range(3):
        monkeypatch.setattr(World, "seed", lambda self, seed, rank=rank: seeded(rank, seed))
        chains.append(Trainer(config_of(), data_of(), 5).buffer.images)
    monkeypatch.undo()
    assert torch.equal(chains[0], Trainer(config_of(), data_of(), 5).buffer.images)
    assert not torch.equal(chains[0], chains[1])
    assert not torch.equal(chains[1], chains[2])


def seeded(rank: int, seed: int) -> int:
    world = World()
    world.rank = rank
    return _SEED(world, seed)
