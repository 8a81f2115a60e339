"""``--csv`` and ``--tensorboard`` in whole trainings: killed and resumed, of seeds apart, not installed."""

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from logged_metrics import events, expected, log_of, table_of, without_nones
from rich.console import Console
from typed_commands import OPTIONS, SCRIPT, TINY, environment, read_json, refused, run

from nesy_gedi.launching import Launching
from nesy_gedi.request import Request
from nesy_gedi.seeds import SeedSweep

EPOCHS = 20


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


def test_killed_and_resumed_all_logs_say_the_same() -> None:
    command = [SCRIPT, "addition", *OPTIONS, "--examples", "60", "--epochs", str(EPOCHS), "--seeds", "2"]
    command += ["--save-every", "0.3", "--csv", "--tensorboard", "--out", "run"]
    log = Path("run", "metrics.jsonl")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (log.exists() and log.read_bytes().count(b"\n") > EPOCHS + 3):  # in the second seed
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    done = run("train", "--resume", "run")
    assert done.exit_code == 0, done.output
    assert [(row["seed"], row["epoch"]) for row in log_of(Path("run"))] == [
        (seed, epoch) for seed in (0, 1) for epoch in range(1, EPOCHS + 1)
    ]
    assert table_of(Path("run")) == [without_nones(row) for row in log_of(Path("run"))]
    assert events(Path("run")) == expected(Path("run"))
    assert len(list(Path("run/tensorboard/seed-1").iterdir())) == 2  # before and after


def test_seeds_in_folders_of_their_own() -> None:
    request = Request(
        "addition.pl", examples=20, epochs=1, width=4, precision="fp32", seeds=2, out="run", csv=True,
        assignments=("sampler.steps=1", "sampler.count=4", "naming.restarts=0"), tensorboard=True,
    )  # fmt: skip
    SeedSweep(request, Console(file=io.StringIO()), Launching("here")).run()
    assert [row["seed"] for row in table_of(Path("run"))] == [0, 1]
    for folder in (Path("run"), Path("run/seed-0"), Path("run/seed-1")):
        assert table_of(folder) == [without_nones(row) for row in log_of(folder)]
    for seed in (0, 1):
        assert events(Path(f"run/seed-{seed}")) == expected(Path(f"run/seed-{seed}"))


def test_nothing_is_written_that_was_not_asked_for() -> None:
    assert run(*TINY, "--out", "run").exit_code == 0
    assert not {"metrics.csv", "tensorboard"} & {path.name for path in Path("run").iterdir()}
    request = read_json(Path("run", "config.json"))["request"]
    assert (request["csv"], request["tensorboard"]) == (False, False)  # type: ignore[index]


def test_without_the_package_it_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    line = refused(*TINY, "--tensorboard", "--out", "run")
    assert line.endswith(
        "--tensorboard needs TensorBoard, which is not there: pip install 'nesy-gedi[tensorboard]'"
    )
    assert run(*TINY, "--csv", "--out", "run").exit_code == 0
