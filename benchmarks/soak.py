"""Trainings that are killed, stopped, starved of disk and given damaged files, until the time is up.

    python -m benchmarks.soak [--minutes 60] [--log soak.jsonl]        # or: make soak

Every training runs away by itself and is taken back, trains in two processes, or learns from a program; each
is disturbed again and again at random moments, resumed each time, and must end with the bits, the log and the
rollbacks of one that nothing disturbed. docs/reliability.md keeps what came of it.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from nesy_gedi.run_files import is_finished

SMALL = (
    "--set",
    "sampler.buffer_size=500",
    "--set",
    "naming.restarts=0",
    "--save-every",
    "0.5",
    "--no-report",
)
CASES = {
    "runs away": (
        *("--dataset", "moons", "--preset", "paper", "--epochs", "60", "--set", "network.temperature=0"),
        *("--set", "learning_rate=3e-4", "--set", "stability.every=100", "--set", "stability.rollbacks=9"),
    ),
    "two processes": ("--dataset", "moons", "--epochs", "20", "--nproc", "2", "--set", "restart_above.inv=9"),
    "program": ("--program", "addition.pl", "--examples", "200", "--epochs", "8", "--width", "8"),
    "images": ("--dataset", "mnist", "--method", "gedi", "--epochs", "2", "--width", "8"),
}
FAULTS = ("kill", "terminate", "interrupt", "full disk", "torn state", "flipped bit")
ENDS = {0: "finished", 2: "disk full", 130: "interrupted", 143: "terminated", -signal.SIGKILL: "killed"}
# while Python itself starts, nobody listens yet; a shell says 130 and 143 of these too
ENDS |= {-signal.SIGINT: "interrupted", -signal.SIGTERM: "terminated"}
MOST_FAULTS = 6  # of one training


def start(*arguments: str, errors: Any = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """A training; a process group of its own, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "nesy_gedi", "train", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on disturbances: tensors, epochs, rollbacks."""
    weights = (folder / "weights.safetensors").read_bytes()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (seed,) = json.loads((folder / "result.json").read_text())["seeds"]
    return {
        "weights": weights[8 + int.from_bytes(weights[:8], "little") :],
        "epochs": [(line["epoch"], line["terms"], len(line["rollbacks"])) for line in lines],
        "rollbacks": seed["rollbacks"],
        "nmi": seed["nmi"],
    }


def disturb(fault: str, run: "subprocess.Popen[bytes]", folder: Path, chance: random.Random) -> None:
    """Do it to a training that is under way; damage to files is done after a kill."""
    if fault == "interrupt":
        run.send_signal(signal.SIGINT)
    elif fault == "terminate":
        run.send_signal(signal.SIGTERM)
    elif fault == "full disk":
        for pid in family(run.pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        time.sleep(2)
        for pid in family(run.pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return
    else:
        for pid in family(run.pid):
            os.kill(pid, signal.SIGKILL)
    run.wait(30)
    state = folder / "state.pt"
    if fault in ("torn state", "flipped bit") and state.exists():
        content = bytearray(state.read_bytes())
        place = chance.randrange(len(content))
        if fault == "torn state":
            del content[place:]
        else:
            content[place] ^= 1 << chance.randrange(8)
        state.write_bytes(content)


def family(pid: int) -> list[int]:
    """A process and all that come from it and are still there."""
    found = [pid]
    for parent in found:
        tasks = Path(f"/proc/{parent}/task/{parent}/children")
        if tasks.exists():
            found += map(int, tasks.read_text().split())
    return [one for one in found if Path(f"/proc/{one}").exists()]


def one_training(case: str, folder: Path, chance: random.Random) -> dict[str, Any]:
    """Disturb a training until it is finished; what was done, how each start ended, and what went wrong."""
    faults, ends, wrong = [], [], []
    errors = folder.with_suffix(".err")
    while not is_finished(folder):  # which a kill at the very end does not change
        resumed = (folder / "config.json").exists()
        options = ("--nproc", "2") if "--nproc" in CASES[case] else ()
        new = *CASES[case], *SMALL, "--out", str(folder)
        arguments = ("--resume", str(folder), *options) if resumed else new
        with errors.open("ab") as file:
            run = start(*arguments, errors=file)
        try:
            # anywhere from its start to its end
            run.wait(chance.uniform(3, 15) if len(faults) < MOST_FAULTS else 300)
        except subprocess.TimeoutExpired:
            fault = chance.choice(FAULTS)
            faults.append(fault)
            disturb(fault, run, folder, chance)
            run.wait(300)
        ends.append(ENDS.get(run.returncode, f"exit code {run.returncode}"))
        if options and run.returncode == 1 and faults and faults[-1] == "full disk":
            ends[-1] = "disk full"  # torchrun has an exit code of its own
        if ends[-1].startswith("exit code") or len(ends) > 40:
            wrong.append(f"{ends[-1]}: {errors.read_text()[-2000:]}")
            break
    # among several processes those that are left behind may say how they lost the others
    if "Traceback" in errors.read_text() and not wrong and not options:
        wrong.append(errors.read_text()[-2000:])
    return {"case": case, "faults": faults, "ends": ends, "wrong": wrong}


@click.command()
@click.option("--minutes", type=float, default=60, show_default=True)
@click.option("--log", type=click.Path(path_type=Path), default=Path("soak.jsonl"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is done when.")
def main(minutes: float, log: Path, seed: int) -> None:
    """Disturb trainings until the time is up, then say what came of it; exit code 1 if anything was lost."""
    chance, until = random.Random(seed), time.monotonic() + 60 * minutes
    done, faults, failed = Counter[str](), Counter[str](), 0
    with tempfile.TemporaryDirectory() as scratch, log.open("a", encoding="utf-8") as file:
        expected = {}
        for case, arguments in CASES.items():
            folder = Path(scratch) / f"undisturbed {case}"
            assert start(*arguments, *SMALL, "--out", str(folder)).wait() == 0, case
            expected[case] = outcome(folder)
        while time.monotonic() < until:
            case = chance.choice(list(CASES))
            folder = Path(scratch) / f"{sum(done.values())}"
            row = one_training(case, folder, chance)
            if not row["wrong"]:
                found = outcome(folder)
                row["wrong"] = [key for key, value in expected[case].items() if found[key] != value]
            done[case] += 1
            faults.update(row["faults"])
            failed += bool(row["wrong"])
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(case, *row["faults"], "->", row["wrong"] or "the same", sep="  ", flush=True)
    print(f"{sum(done.values())} trainings {dict(done)}, {sum(faults.values())} faults {dict(faults)}")
    print(f"{failed} trainings lost anything")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
