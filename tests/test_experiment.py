"""A whole experiment: checked before its folder is made, independent seeds, and the choice among them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open

from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.experiment import Experiment, Request
from nesy_gedi.gedi.checkpoint import load_network

SMALL = (
    "sampler.steps=1",
    "sampler.count=4",
    "sampler.buffer_size=20",
    "naming.searches=0",
    "naming.restarts=0",
)


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


def request(*assignments: str, **changes: Any) -> Request:
    options: dict[str, Any] = {
        "experiment": "addition", "examples": 20, "variant": "combined", "seeds": 1, "first_seed": 0,
        "epochs": 1, "width": 4, "engine": "circuit", "program": None, "preset": "default", "data_dir": None,
        "precision": "fp32", "device": "cpu", "out": None, "assignments": (*SMALL, *assignments),
    }  # fmt: skip
    return Request(**(options | changes))


def run(*assignments: str, **changes: Any) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """The folder, result.json and the rows of metrics.jsonl."""
    experiment = Experiment(request(*assignments, **changes), Console(file=io.StringIO()))
    experiment.run()
    folder = experiment.folder.path
    rows = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return folder, json.loads((folder / "result.json").read_text()), [json.loads(row) for row in rows]


def accuracy_of(folder: Path) -> float:
    data = load_mnist(Path("data"), explicit=False)
    return float((predict(load_network(folder), data.test_images) == data.test_labels).double().mean())


def test_seeds_do_not_depend_on_each_other_and_medians_are_the_middle() -> None:
    _, together, rows = run(seeds=3, first_seed=4)
    assert [row["seed"] for row in rows] == [4, 5, 6]
    for measure in ("accuracy", "matched_accuracy", "nmi", "seconds"):
        assert together[measure] == sorted(seed[measure] for seed in together["seeds"])[1]
    _, alone, (row,) = run(first_seed=6)
    for result in (alone["seeds"][0], together["seeds"][2]):
        assert result.pop("seconds") > 0
    assert alone["seeds"][0] == together["seeds"][2]
    assert row["terms"] == rows[2]["terms"]


def test_the_kept_weights_are_those_that_satisfy_most_of_their_own_examples() -> None:
    folder, result, _ = run("naming.largest_cluster=1.0", seeds=4)
    best = max(result["seeds"], key=lambda seed: seed["satisfied"])
    assert accuracy_of(folder) == pytest.approx(best["accuracy"])


def test_a_collapsed_seed_is_not_kept_while_another_is_not(tmp_path: Path) -> None:
    """Where equal digits satisfy the program, the larger the largest cluster, the more is satisfied."""
    text = (
        "nn(reader, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\nsame(X, Y) :- digit(X, A), digit(Y, A).\n"
    )
    (tmp_path / "same.pl").write_text(text)
    _, result, rows = run("naming.largest_cluster=1.0", seeds=5, program="same.pl", out="free")
    satisfied = [seed["satisfied"] for seed in result["seeds"]]
    sizes = [row["largest_cluster"] for row in rows]
    threshold = sizes[satisfied.index(max(satisfied))] - 1e-6  # what satisfies most is called collapsed
    healthy = [k for k in range(5) if sizes[k] <= threshold]
    assert healthy, "every seed has as large a cluster"
    folder, again, _ = run(f"naming.largest_cluster={threshold}", seeds=5, program="same.pl", out="strict")
    best = max(healthy, key=lambda k: satisfied[k])
    assert accuracy_of(folder) == pytest.approx(again["seeds"][best]["accuracy"])


@pytest.mark.parametrize("variant", ["nesy", "gedi"])
def test_other_variants_have_their_own_terms_and_folder(variant: str) -> None:
    folder, result, (row,) = run(variant=variant)
    assert folder == Path("runs", f"addition-{variant}-20")
    assert ("nesy" in row["terms"]) == (variant == "nesy")
    assert ("prior" in row["terms"]) == (variant == "gedi")
    assert (result["seeds"][0]["constraint_loss"] is None) == (variant == "gedi")


def test_the_weights_file_carries_the_run() -> None:
    folder, _, _ = run()
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["run"]) == json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert json.loads(metadata["network"])["width"] == 4


def test_the_command_lines_assignments_win_over_its_options_and_the_preset() -> None:
    experiment = Experiment(
        request("network.width=6", "weight_decay=0.25", epochs=3), Console(file=io.StringIO())
    )
    config = experiment.learner.config
    assert (config.network.width, config.weight_decay, config.epochs) == (6, 0.25, 3)


def test_without_epochs_the_preset_decides() -> None:
    for examples in (20, 100):
        made = Experiment(
            request("batch_size=10", examples=examples, epochs=None), Console(file=io.StringIO())
        )
        assert made.learner.config.epochs == made.preset.epochs(examples)


def test_a_program_of_the_users_own(tmp_path: Path) -> None:
    text = (
        "nn(reader, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n"
        "less(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
    )
    (tmp_path / "less.pl").write_text(text)
    made = Experiment(request(program="less.pl"), Console(file=io.StringIO()))
    assert made.description()["program"] == text
    first, second = made.images.train_labels[made.learner.examples(50, 0)].T
    assert (first < second).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"examples": 0},
        {"variant": "x"},
        {"engine": "x"},
        {"preset": "x"},
        {"device": "x"},
        {"precision": "x"},
    ],
)
def test_a_wrong_request_makes_no_folder(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError):
        Experiment(request(out="new", **changes), Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []
