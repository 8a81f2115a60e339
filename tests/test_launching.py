"""Many runs: real processes on the cores and on a local Ray, one of which is killed in the middle."""

import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from reproductions import reproduced, rows_of
from rich.console import Console
from safetensors.torch import load_file
from test_run_lock import held

from nesy_gedi.cli import main
from nesy_gedi.errors import UserError
from nesy_gedi.experiment import Experiment
from nesy_gedi.jobs import Job
from nesy_gedi.launching import Launching, launch
from nesy_gedi.request import Request
from nesy_gedi.results import SeedResult
from nesy_gedi.run_files import is_finished
from nesy_gedi.run_lock import LOCK
from nesy_gedi.seeds import SeedSweep
from nesy_gedi.stopping import StoppedError
from nesy_gedi.stored_run import decisive

pytestmark = [
    pytest.mark.usefixtures("elsewhere"),
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="who holds a lock is read from /proc"),
]

TOY = Request(
    dataset="moons",
    variant="gedi-no-gen",
    examples=400,
    epochs=250,  # a second
    width=8,
    precision="fp32",
    device="cpu",
    assignments=("naming.restarts=0",),
    save_seconds=0.05,
    report=False,
)
SWEEP = (
    *("train", "--dataset", "moons", "--method", "gedi-no-gen", "--examples", "400", "--epochs", "3"),
    *("--width", "8", "--precision", "fp32", "--device", "cpu", "--set", "naming.restarts=0"),
    *("--seeds", "3", "--first-seed", "4", "--no-report"),
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # as the jobs have: sums of floats depend on it


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nesy_gedi.launching.cores", lambda: 2)


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, whose start is most of such a test's time."""
    monkeypatch.setattr("nesy_gedi.launching.cores", lambda: 1)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 0, 1 and 2, trained without a stop: ``DIR/S``."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("straight")
    for seed in range(3):
        Experiment(replace(TOY, first_seed=seed, out=str(folder / str(seed))), quiet()).run()
    return folder


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(*arguments: str) -> str:
    """The one line that a wrong command gets."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), (result.output, result.exception)
    (line,) = result.stderr.splitlines()
    return line


def read(path: str, *without: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(Path(path).read_text()).items() if key not in without}


def jobs_like(straight: Path, count: int = 3) -> list[Job]:
    expected = decisive(json.loads((straight / "0" / "config.json").read_text()))
    return [Job(replace(TOY, first_seed=s, out=f"jobs/{s}"), expected) for s in range(count)]


def holder(lock: Path) -> int | None:
    """The process that holds a file open."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) == str(lock.resolve()):
                return int(descriptor.parts[2])
        except OSError:  # gone, or another user's
            continue
    return None


@contextmanager
def killing(folder: Path, number: signal.Signals = signal.SIGKILL) -> Iterator[list[int]]:
    """As soon as the run in the folder has saved a state, its process gets a signal; yields its id then."""
    killed: list[int] = []

    def wait_and_kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (folder / "state.pt").exists() and (process := holder(folder / LOCK)):
                os.kill(process, number)
                killed.append(process)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    try:
        yield killed
    finally:
        thread.join()


def check_each_finished_once(straight: Path, jobs: list[Job]) -> None:
    for job in jobs:
        one = straight / str(job.request.first_seed)
        assert is_finished(job.folder)
        weights = [load_file(folder / "weights.safetensors") for folder in (one, job.folder)]
        assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
        rows = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, TOY.epochs + 1))  # type: ignore[operator]
        assert not (job.folder / LOCK).exists()


@pytest.mark.parametrize("name", ["cores", "ray"])
def test_a_worker_that_is_killed_costs_no_run(name: str, straight: Path) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'nesy-gedi[ray]'")
    jobs, console = jobs_like(straight), quiet()
    before = signal.getsignal(signal.SIGTERM)
    with killing(Path("jobs/1")) as killed:
        assert launch(jobs, Launching(name), console, "") == {}
    assert killed
    assert killed[0] != os.getpid()
    assert said(console).count("tried again (1 of 3): jobs/1: its ") == 1
    for seed in range(3):
        assert said(console).count(f"started: jobs/{seed}") == 1
        assert said(console).count(f"done: jobs/{seed}  NMI 0.") == 1
    check_each_finished_once(straight, jobs)
    assert signal.getsignal(signal.SIGTERM) == before
    written = {job.folder: (job.folder / "result.json").stat().st_mtime_ns for job in jobs}
    assert launch(jobs, Launching(name), console, "") == {}  # nothing left to do
    assert written == {job.folder: (job.folder / "result.json").stat().st_mtime_ns for job in jobs}


def test_a_stop_reaches_the_workers_and_another_launcher_goes_on(straight: Path) -> None:
    jobs = jobs_like(straight, 2)

    def stop() -> None:
        while not all((job.folder / "state.pt").exists() for job in jobs):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(StoppedError, match="interrupted; type it again") as error:
        launch(jobs, Launching("cores"), quiet(), "type it again")
    stopping.join()
    assert error.value.signal == signal.SIGTERM
    assert [holder(job.folder / LOCK) for job in jobs] == [None, None]
    assert not any(is_finished(job.folder) for job in jobs)
    assert launch(jobs, Launching("here"), quiet(), "") == {}
    check_each_finished_once(straight, jobs)


@pytest.mark.usefixtures("one_core")
def test_what_fails_stops_no_other_and_is_told_by_folder(straight: Path) -> None:
    good, wild, busy = jobs_like(straight)
    wild = replace(wild, request=replace(wild.request, dataset="mooons"))
    busy.folder.mkdir(parents=True)
    with held(busy.folder):
        for name in ("cores", "here"):
            console = quiet()
            failed = launch([wild, busy, good], Launching(name), console, "")
            assert list(failed) == [wild.folder, busy.folder]
            assert "unknown data set 'mooons'" in str(failed[wild.folder])
            assert "is being trained by another process" in str(failed[busy.folder])
            assert "failed: jobs/1: unknown data set 'mooons'" in said(console)
    check_each_finished_once(straight, [good])


def test_a_job_whose_process_is_killed_each_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nesy_gedi.core_workers._WORKER", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    job, console = Job(replace(TOY, out="jobs/0"), {}), quiet()
    failed = launch([job], Launching("cores"), console, "")
    assert "ended by SIGKILL, 4 times: is there memory enough?" in str(failed[job.folder])
    assert said(console).count("tried again") == 3


@pytest.mark.usefixtures("one_core")
def test_seeds_in_processes_end_as_in_one() -> None:
    printed = []
    for out, more in (("together", ()), ("apart", ("--launcher", "cores"))):
        result = run(*SWEEP, "--out", out, *more)
        assert result.exit_code == 0, (result.output, result.exception)
        printed.append(result.output[result.output.index("moons, gedi-no-gen, 400 examples") :])
    assert printed[0] == printed[1]
    same_but_for_the_time("together", "apart")
    names = [{path.name for path in Path(out).iterdir()} for out in ("together", "apart")]
    assert names[1] - names[0] == {f"seed-{seed}" for seed in (4, 5, 6)}
    assert run("evaluate", "apart").exit_code == 0
    assert "the run in apart is finished" in refused("train", "--resume", "apart", "--launcher", "cores")
    Path("apart/result.json").unlink()
    Path("apart/seed-5/result.json").unlink()
    again = run("train", "--resume", "apart")  # the launcher is not the run's own
    assert again.exit_code == 0, (again.output, again.exception)
    same_but_for_the_time("together", "apart")


def same_but_for_the_time(one: str, other: str) -> None:
    weights = [load_file(f"{out}/weights.safetensors") for out in (one, other)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    results = [read(f"{out}/result.json", "seconds") for out in (one, other)]
    logs = []
    for out, result in zip((one, other), results, strict=True):
        for seed in result["seeds"]:
            del seed["seconds"]
        rows = map(json.loads, Path(out, "metrics.jsonl").read_text().splitlines())
        logs.append([{**row, "seconds": 0, "images_per_second": 0} for row in rows])
    assert results[0] == results[1]
    assert logs[0] == logs[1]
    assert read(f"{one}/config.json")["config"] == read(f"{other}/config.json")["config"]


def test_the_merit_of_a_seed_is_what_its_training_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice among seeds is by what the table does not show."""
    program = Request(
        program="addition.pl", examples=20, epochs=2, width=4, precision="fp32", device="cpu", seeds=2,
        out="one", report=False,
        assignments=("sampler.steps=1", "sampler.count=4", "naming.searches=1", "naming.restarts=1"),
    )  # fmt: skip
    one = Experiment(program, quiet())
    attempts = []
    original = one.reached.finish_seed
    monkeypatch.setattr(one.reached, "finish_seed", lambda *seed: (attempts.append(seed), original(*seed)))
    one.run()
    apart = SeedSweep(replace(program, out="apart", report=True), quiet(), Launching("here"))
    apart.run()
    assert list(Path("apart").rglob("report.html")) == [Path("apart/report.html")]
    for (result, attempt), seed in zip(attempts, (0, 1), strict=True):
        again, rebuilt = apart._outcome(Path(f"apart/seed-{seed}"))
        assert replace(again, seconds=result.seconds) == result
        assert rebuilt.merit == attempt.merit
        assert SeedResult.from_row(json.loads(json.dumps(result.row()))) == result
    assert apart.reached.best is not None
    assert one.reached.best is not None
    assert apart.reached.best[0] == one.reached.best[0]


def test_a_table_by_cores_is_the_table_from_here() -> None:
    base = replace(TOY, dataset="mnist", variant=None, epochs=2)
    shown = []
    for name in ("here", "cores"):
        text = reproduced("table2", base, ("moons",), ("gedi-no-gen", "swav"), 2, launching=Launching(name))
        assert text.count("already there") == 0
        rows = rows_of("table2")
        assert [row["seeds"] for row in rows] == [[0, 1], [0, 1]]
        assert all(len(row["values"].pop("seconds")) == 2 for row in rows)
        shown.append(rows)
        Path("out").rename(f"out-{name}")
    assert shown[0] == shown[1]


def test_a_job_is_the_same_after_its_way_to_another_process() -> None:
    job = Job(replace(TOY, out="jobs/0"), {"program": "p(X).\n"}, ("train", "--set", "a=1"))
    assert asdict(Job.from_json(job.to_json())) == asdict(job)
    assert "\n" not in job.to_json()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--launcher", "coers"), "unknown launcher 'coers': did you mean 'cores'"),
        (("--job-cpus", "2"), "--job-cpus 2 is for --launcher cores or ray"),
        (("--launcher", "cores", "--job-cpus", "3"), "--job-cpus 3, but there are 2 cores"),
        (("--ray-address", "auto"), "--ray-address auto is for --launcher ray, not here"),
        (("--launcher", "cores", "--nproc", "2"), "--nproc 2 trains one network in several processes"),
    ],
)
def test_mistakes_are_found_before_anything_is_made(arguments: tuple[str, ...], part: str) -> None:
    assert part in refused(*SWEEP, *arguments)


def test_an_address_where_nothing_answers_is_told_soon() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    assert "no Ray at 127.0.0.1:1 (" in refused(*SWEEP, "--launcher", "ray", "--ray-address", "127.0.0.1:1")
    assert "somewhere is no address" in refused(*SWEEP, "--launcher", "ray", "--ray-address", "somewhere")


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'nesy-gedi\[ray\]'"):
        Launching("ray")
