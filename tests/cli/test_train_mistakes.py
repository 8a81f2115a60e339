"""Everything that can be wrong with ``nesy-gedi train`` and ``nesy-gedi addition``, told in one line."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from typed_commands import ADDITION, FEW, OPTIONS, SMALL, TINY, read_json, refused, run


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--examples", "0"), ["--examples 0", "at least 1"]),
        (("--examples", "-3"), ["--examples -3", "at least 1"]),
        (("--examples", "5000"), ["5000 examples asked", "at most 1047", "nesy-gedi data fetch mnist"]),
        (("--variant", "combned"), ["unknown method 'combned'", "did you mean 'combined'"]),
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
        (
            ("--set", "network.classes=7"),
            ["network.classes follows from the program", "--clusters"],
        ),
        (("--data-dir", "nowhere"), ["nowhere/MNIST/raw", "data fetch mnist --data-dir nowhere"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told_in_one_line(arguments: tuple[str, ...], parts: list[str]) -> None:
    line = refused(*TINY, *arguments)
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--method", "combined"), ["no program", "give one with --program"]),
        (
            ("--program", "addition.pl", "--clusters", "7"),
            ["addition.pl:", "7 outputs, but 10 classes are listed for mnist_net"],
        ),
        (("--clusters", "50", "--set", "batch_size=20"), ["50 clusters", "40 views of the 20 images"]),
        (("--clusters", "60", "--set", "batch_size=50"), ["60 clusters", "40 views of the 20 images"]),
        (("--set", "method.weights.gen=0", "--method", "jem"), ["all weights of the method are 0"]),
        (("--set", "method.generative_share=0.5", "--method", "jem"), ["the method has gen only"]),
        (
            ("--set", "network.temperature=0", "--set", "network.projection=0", "--method", "swav"),
            ["network.temperature above 0"],
        ),
        (("--dataset", "moons", "--set", "network.encoder=resnet"), ["images of at least 4x4 pixels"]),
        (("--program", "adition.pl"), ["there is no program adition.pl", "addition.pl"]),
        (("--program", "addition.pl", "--query", "digt(X, Y)"), ["digt(X,Y)", "digit/2"]),
        (("--program", "addition.pl", "--query", "a, b"), ["the query 'a, b' is not one atom"]),
        (("--program", "addition.pl", "--distribution", "answers"), ["addition.pl has no answers to weigh"]),
        (
            ("--program", "parity.pl", "--distribution", "often"),
            ["unknown distribution 'often'", "ANSWER=WEIGHT"],
        ),
        (("--program", "parity.pl", "--distribution", "even=x"), ["'x' is no number"]),
        (("--program", "parity.pl", "--distribution", "odd=-1"), ["the weights must be", "0 or more"]),
        (
            ("--program", "parity.pl", "--dataset", "mnits"),
            ["unknown data set 'mnits'", "did you mean 'mnist'"],
        ),
        (("--program", "parity.pl", "--examples-csv", "a.csv"), ["--examples-csv and --images go together"]),
        (("--program", "parity.pl", "--images", "photos"), ["--examples-csv and --images go together"]),
        (
            ("--program", "parity.pl", "--examples-csv", "a.csv", "--images", "photos"),
            ["--examples 20 and --examples-csv a.csv are both given", "leave --examples out"],
        ),
        (("--program", "noisy_addition.pl", "--engine", "deepproblog"), ["has learnable probabilities"]),
        (("--method", "gedi", "--examples", "5000"), ["5000 examples asked, but there are 4000 images"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_with_train_is_told_in_one_line(arguments: tuple[str, ...], parts: list[str]) -> None:
    line = refused("train", *OPTIONS, *FEW, *arguments)
    assert [part for part in parts if part not in line] == [], line


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--examples", "many"), "'many' is not a valid integer"),
        (("--epochs", "0"), "0 is not in the range x>=1"),
        (("--seeds", "0"), "0 is not in the range x>=1"),
        (("--exmaples", "5"), "--examples"),
        (("--program", "my.pl"), "--program"),  # that is `train`
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
        *SMALL, "--examples", "1047", "--epochs", "1", "--set", "batch_size=3141", "--variant", "nesy"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (ADDITION.replace("digit(Y, B),", "digit(Y, B"), r"mine\.pl:\d+:\d+: "),
        (ADDITION + "1.3 :: sure.\n", rf"mine\.pl:{len(ADDITION.splitlines()) + 1}:\d+: .*1\.3"),
        (ADDITION + "p(X) :- digt(X, 1).\n", rf"mine\.pl:{len(ADDITION.splitlines()) + 1}:\d+: .*digit/2"),
        ("p(1).\n", r"mine\.pl:1:1: no network"),
    ],
    ids=["syntax", "probability", "unknown predicate", "no network"],
)  # fmt: skip
def test_a_wrong_program_is_named_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "mine.pl").write_text(text)
    assert re.search(place, refused("train", *OPTIONS, *FEW, "--program", "mine.pl"))


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
    result = run(*TINY, *wild, "--set=batch_size=60", "--epochs", "3", "--out", "wild")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(r"the training ran away at step \d+ after 3 rollbacks: .*; lower learning_rate", line)
    assert read_json(tmp_path / "wild" / "config.json")["config"]
    rows = (tmp_path / "wild" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(row)["epoch"] for row in rows} <= {1, 2}  # gone over again after each rollback
    assert not (tmp_path / "wild" / "result.json").exists()
