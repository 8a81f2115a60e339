"""What a training costs: ours beside the same equations written down plainly.

    python -m benchmarks.training [--quick]

:mod:`benchmarks.plain` is what JEM's and the paper's equations read like in PyTorch; augmentation and
constraint are ours in both. Everything is measured in one process, in turn, so that the ratios hold on any
machine; memory in a process for each, as Linux counts it. benchmarks/README.md keeps the tables.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.constraint import median_ms, program
from benchmarks.plain import PlainNetwork, PlainTraining, plain_chain
from nesy_gedi.data.augment import TABLE_9, Augmentation
from nesy_gedi.gedi import trainer as trainer_module
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import Method
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.precision import choose_precision
from nesy_gedi.gedi.sampler import SamplerConfig, frozen, sgld
from nesy_gedi.gedi.trainer import Trainer, TrainingData
from nesy_gedi.logic.bound import ExampleConstraint
from nesy_gedi.logic.examples import ExampleSource
from nesy_gedi.memory import keep_freed_memory

SHAPES = {"MNIST": (1, 28, 28), "CIFAR": (3, 32, 32)}
WIDTHS = (32, 64, 128)
BATCH = 64
WEIGHTS = {"gen": 1.0, "inv": 50.0, "prior": 25.0, "nesy": 25.0}
CONVOLUTIONS = ("conv", "mkldnn")  # in the names of PyTorch's operations
PRECISION = choose_precision("auto", "cpu")


def trainer_of(shape: tuple[int, int, int], width: int) -> Trainer:
    """The combined method on random images in triples that add up, with Table 9's chain and augmentation."""
    torch.manual_seed(0)
    channels, height, side = shape
    config = TrainConfig(
        method=Method(WEIGHTS),
        network=NetworkConfig("resnet", width, channels, height, side),
        sampler=SamplerConfig(count=BATCH, steps=20),
        augmentation=TABLE_9,
        batch_size=BATCH,
        learning_rate=1e-4,
        optimizer="adam",
        schedule="constant",
    )
    source = ExampleSource(program("addition.pl"))
    images = torch.randint(256, (1000, *shape), dtype=torch.uint8)
    labels = torch.arange(1000) % 10
    rows, readings = source.sample(labels, 200, torch.Generator().manual_seed(0))
    constraint = ExampleConstraint(source.circuit, readings)
    return Trainer(config, TrainingData(images, rows, constraint), 0, precision=PRECISION)


def multiplications(shape: tuple[int, int, int], width: int) -> float:
    """Floating-point operations of one SGLD step of ``BATCH`` images: convolutions, forward and back to the
    images, those with pooling counted as the one convolution of stride 2 that they are."""
    channels, height, side = shape
    full, half, quarter = height * side, (height // 2) * (side // 2), (height // 4) * (side // 4)
    first = full * 9 * channels * width + half * 4 * channels * width
    others = half * 16 + half * 9 + quarter * 16 + 4 * quarter * 9
    return 2 * 2 * BATCH * (first + others * width * width)


def product_rate() -> float:
    """Operations per second of a large matrix product in the type of our convolutions."""
    kind = torch.bfloat16 if PRECISION == "bf16" else torch.float32
    matrix = torch.rand(4096, 4096).to(kind)
    (ms,) = median_ms({"product": lambda: matrix @ matrix}, 5).values()
    return 2 * 4096**3 / (ms * 1e-3)


def chain(shape: tuple[int, int, int], width: int, runs: int) -> tuple[float, float]:
    """Milliseconds of one SGLD step, ours and plain; both in chains of two."""
    torch.manual_seed(0)
    network = GEDINetwork(NetworkConfig("resnet", width, *shape), PRECISION)
    start, generator = torch.rand(BATCH, *shape), torch.Generator().manual_seed(0)
    network.centre(start)
    plain = PlainNetwork(network)

    def ours() -> None:
        with frozen(network):
            sgld(network.energy_gradient(), start, 2, 1.0, 0.01, generator, (0.0, 1.0))

    times = median_ms(
        {"ours": ours, "plain": lambda: plain_chain(plain, start, 2, 1.0, 0.01, generator)}, runs
    )
    return times["ours"] / 2, times["plain"] / 2


@contextmanager
def timed(spent: dict[str, float], part: str, owner: Any, name: str) -> Iterator[None]:
    """Add up the seconds that a function takes."""
    function = getattr(owner, name)

    def wrapper(*args: Any, **others: Any) -> Any:
        started = time.perf_counter()
        result = function(*args, **others)
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - started
        return result

    with patch.object(owner, name, wrapper):
        yield


def parts(trainer: Trainer, runs: int) -> dict[str, float]:
    """Milliseconds of a step by part; the constraint's pass back is among the network's."""
    rows, spent = torch.arange(trainer.batch), dict[str, float]()
    network = type(trainer.network)
    with ExitStack() as stack:
        for part, owner, name in (
            ("augmentation", Augmentation, "__call__"),
            ("chain", trainer_module, "sample_step"),
            ("network", network, "features"),
            ("constraint", trainer.constraint, "forward"),
            ("network", torch.Tensor, "backward"),
            ("optimiser", trainer.optimizers[0], "step"),
        ):
            stack.enter_context(timed(spent, part, owner, name))
        trainer._train_step(rows)
        spent.clear()
        started = time.perf_counter()
        for _ in range(runs):
            trainer._train_step(rows)
        whole = time.perf_counter() - started
    spent["heads, terms, logging"] = whole - sum(spent.values())
    return {part: seconds / runs * 1e3 for part, seconds in spent.items()}


def convolution_share(trainer: Trainer) -> float:
    """Share of a step's time that PyTorch spends in convolutions, LeakyReLU and sums inside them included."""
    rows = torch.arange(trainer.batch)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        trainer._train_step(rows)
    events = [(event.key, event.self_cpu_time_total) for event in profiled.key_averages()]
    inside = sum(spent for name, spent in events if any(kind in name for kind in CONVOLUTIONS))
    return inside / sum(spent for _, spent in events)


def peak_megabytes(kind: str, name: str, width: int) -> float:
    """What steps with chains of two add to this process at most, MB."""
    trainer = trainer_of(SHAPES[name], width)
    trainer.sampler = replace(trainer.sampler, steps=2)
    step = trainer._train_step if kind == "ours" else PlainTraining(trainer).step
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _peak()
    for _ in range(3):
        step(torch.arange(trainer.batch))
    return _peak() - before


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory(name: str, width: int) -> dict[str, float]:
    """Peak memory of both, each in a process of its own."""
    found = {}
    for kind in ("ours", "plain"):
        command = [sys.executable, "-m", "benchmarks.training", "--peak", kind, name, str(width)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = float(done.stdout)
    return found


def print_chains(widths: tuple[int, ...], runs: int, rate: float) -> None:
    """One SGLD step."""
    print("| one SGLD step, 64 images | plain ms | ours ms | ratio | floor ms | share of the floor's rate |")
    print("|---|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        for width in widths:
            ours, plain = chain(shape, width, runs)
            floor = multiplications(shape, width) / rate * 1e3
            print(
                f"| {name}, width {width} | {plain:.1f} | {ours:.1f} | {plain / ours:.1f} | {floor:.2f} "
                f"| {floor / ours:.0%} |",
                flush=True,
            )


def print_steps(widths: tuple[int, ...], runs: int) -> None:
    """The whole combined step, 20 SGLD steps in it."""
    print("\n| combined step, 21 triples | plain ms | ours ms | ratio | images/s | not convolution ", end="")
    print("| MB plain | MB ours | ratio |\n|---|---|---|---|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        for width in widths:
            print(
                f"| {name}, width {width} | " + " | ".join(step_row(name, shape, width, runs)) + " |",
                flush=True,
            )
    print()
    for name, shape in SHAPES.items():
        spent = parts(trainer_of(shape, widths[-1]), runs)
        shares = (f"{part} {ms:.1f} ({ms / sum(spent.values()):.1%})" for part, ms in spent.items())
        print(f"* ms of our step, {name}, width {widths[-1]}: " + ", ".join(shares))


def step_row(name: str, shape: tuple[int, int, int], width: int, runs: int) -> list[str]:
    """Times, ratio, speed, what is not convolution, and memory."""
    trainer = trainer_of(shape, width)
    plain, rows = PlainTraining(trainer), torch.arange(trainer.batch)
    times = median_ms({"ours": lambda: trainer._train_step(rows), "plain": lambda: plain.step(rows)}, runs)
    peak = memory(name, width)
    return [
        *(f"{times[kind]:.0f}" for kind in ("plain", "ours")),
        f"{times['plain'] / times['ours']:.1f}",
        f"{3 * len(rows) / times['ours'] * 1e3:.0f}",
        f"{1 - convolution_share(trainer):.0%}",
        *(f"{peak[kind]:.0f}" for kind in ("plain", "ours")),
        f"{peak['ours'] / peak['plain']:.2f}",
    ]


@click.command()
@click.option("--quick", is_flag=True, help="Width 32 only.")
@click.option("--peak", nargs=3, hidden=True)
def main(quick: bool, peak: tuple[str, str, str] | None) -> None:
    """Print the tables."""
    if peak is not None:
        print(peak_megabytes(peak[0], peak[1], int(peak[2])))
        return
    keep_freed_memory()
    rate, widths = product_rate(), WIDTHS[:1] if quick else WIDTHS
    threads = torch.get_num_threads()
    print(f"{threads} threads, {PRECISION}, a matrix product reaches {rate / 1e12:.2f} TFLOP/s\n")
    print_chains(widths, 5, rate)
    print_steps(widths, 3)


if __name__ == "__main__":
    main()
