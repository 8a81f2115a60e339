"""What it brings to keep freed memory: the encoder's forward and backward pass on images of CIFAR's size.

    python -m benchmarks.memory

Each setting has a process of its own, since malloc cannot be told to forget it; they take turns, one thread
each.
Width 64, 512 images (two views of a batch of 256), bf16 where the processor has it; medians, ms.
"""

import statistics
import subprocess
import sys
import time

import torch

from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.gedi.precision import choose_precision
from nesy_gedi.memory import keep_freed_memory

ROUNDS, STEPS = 3, 8


def milliseconds(kept: bool) -> float:
    """Median time of a pass in this process."""
    if kept:
        keep_freed_memory()
    torch.set_num_threads(1)
    config = NetworkConfig(width=64, channels=3, image_height=32, image_width=32)
    network = GEDINetwork(config, choose_precision("auto", "cpu"))
    images, times = torch.rand(512, 3, 32, 32), []
    for _ in range(STEPS):
        started = time.perf_counter()
        network.features(images).sum().backward()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:]) * 1e3


def main() -> None:
    """Print the table."""
    times: dict[str, list[float]] = {"given back": [], "kept": []}
    for _ in range(ROUNDS):
        for name in times:
            command = [sys.executable, "-m", "benchmarks.memory", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout))
    print("| freed memory is | ms | relative |\n|---|---|---|")
    first = statistics.median(times["given back"])
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.0f} | {statistics.median(values) / first:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(milliseconds(sys.argv[1] == "kept"))
    else:
        main()
