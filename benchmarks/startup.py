"""What it takes until the command line answers: wall time of whole processes.

    python -m benchmarks.startup

The commands take turns; medians, seconds.
"""

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 9
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "nesy-gedi --help": ("-m", "nesy_gedi", "--help"),
    "nesy-gedi train --help": ("-m", "nesy_gedi", "train", "--help"),
    "completion of nesy-gedi t": ("-m", "nesy_gedi"),
}
COMPLETION = {"_NESY_GEDI_COMPLETE": "bash_complete", "COMP_WORDS": "nesy-gedi t", "COMP_CWORD": "1"}


def seconds(name: str) -> float:
    """Wall time of one process."""
    asked = COMPLETION if name.startswith("completion") else {}
    started = time.perf_counter()
    command = [sys.executable, *COMMANDS[name]]
    subprocess.run(command, env={**os.environ, **asked}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, taken in times.items():
            taken.append(seconds(name))
    print("| command | seconds |\n|---|---|")
    for name, taken in times.items():
        print(f"| `{name}` | {statistics.median(taken):.3f} |")


if __name__ == "__main__":
    main()
