"""A whole experiment: checked before its folder is made, independent seeds, and the choice among them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from tiny_training import digits

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.request import Request
from nesy_gedi.resources import resource

ADDITION = str(resource("programs", "addition.pl"))
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
        "program": ADDITION, "examples": 20, "epochs": 1, "width": 4, "precision": "fp32", "device": "cpu",
        "assignments": (*SMALL, *assignments), "report": False,
    }  # fmt: skip
    return Request(**(options | changes))


def made(*assignments: str, **changes: Any) -> Experiment:
    return Experiment(request(*assignments, **changes), Console(file=io.StringIO(), width=200))


def run(*assignments: str, **changes: Any) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """The folder, result.json and the rows of metrics.jsonl."""
    experiment = made(*assignments, **changes)
    experiment.run()
    folder = experiment.folder.path
    rows = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return folder, json.loads((folder / "result.json").read_text()), [json.loads(row) for row in rows]


def accuracy_of(folder: Path) -> float:
    data = digits()
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
    assert ("nesy" in result["seeds"][0]["terms"]) == (variant == "nesy")


def test_the_weights_file_carries_the_run() -> None:
    folder, _, _ = run()
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        metadata = file.metadata()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    described = json.loads(metadata["run"])
    known = described.pop("known")
    assert described == {**config, "probabilities": {}}
    assert json.loads(metadata["network"])["width"] == 4
    with torch.no_grad():
        energies = load_network(folder).energy(digits().test_images / 255)
    assert len(known["energies"]) == 1001
    wanted = energies.double().quantile(torch.linspace(0, 1, 11).double())
    assert known["energies"][::100] == pytest.approx(wanted.tolist(), abs=2e-4)
    assert known["of"] == "1,000 test images of mnist"
    assert (known["framing"]["background"], known["framing"]["extent"]) == (0, 20)
    assert known["framing"]["centre"] == pytest.approx([14, 14], abs=0.1)


def test_the_command_lines_assignments_win_over_its_options_and_the_preset() -> None:
    config = made("network.width=6", "weight_decay=0.25", epochs=3).learner.config
    assert (config.network.width, config.weight_decay, config.epochs) == (6, 0.25, 3)


def test_without_epochs_the_preset_decides() -> None:
    """1,200 steps of 60 images: of 20 triples, or of 30 pairs."""
    for examples, program, epochs in ((100, ADDITION, 240), (100, "labelled_addition.pl", 300)):
        experiment = made(examples=examples, program=program, epochs=None)
        assert experiment.learner.config.epochs == epochs


def test_a_program_of_the_users_own(tmp_path: Path) -> None:
    text = (
        "nn(reader, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n"
        "less(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
    )
    (tmp_path / "less.pl").write_text(text)
    experiment = made(program="less.pl")
    assert experiment.folder.path == Path("runs", "less-combined-20")
    assert experiment.description()["program"] == text
    assert experiment.description()["query"] == "less(X,Y)"
    first, second = digits().train_labels[experiment.learner.examples(50, 0).images].T
    assert (first < second).all()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"examples": 0}, "--examples 0: at least 1"),
        ({"variant": "x"}, "unknown method 'x'"),
        ({"engine": "x"}, "unknown engine 'x'"),
        ({"preset": "x"}, "unknown preset 'x'"),
        ({"device": "x"}, "unknown device 'x'"),
        ({"precision": "x"}, "unknown precision 'x'"),
        ({"dataset": "mnits"}, "unknown data set 'mnits': did you mean 'mnist'"),
        ({"distribution": "answers"}, "--distribution: .* has no answers to weigh"),
        ({"distribution": "3=x"}, "'x' is no number"),
        ({"program": "adition.pl"}, "there is no program adition.pl"),
        ({"query": "digt(X, Y)"}, "digt"),
        (
            {"program": None, "variant": "nesy"},
            "weight for nesy, but there is no program: give one with --program",
        ),
        ({"assignments": ("network.classes=7",)}, "network.classes follows from the program"),
        ({"clusters": 7}, "7 outputs, but 10 classes are listed for mnist_net"),
        ({"examples_csv": "mine.csv"}, "--examples-csv and --images go together"),
        ({"images": "photos"}, "--examples-csv and --images go together"),
        ({"images": "photos", "examples_csv": "mine.csv", "program": None, "variant": "gedi"}, "--program"),
        ({"images": "photos", "examples_csv": "mine.csv"}, "--examples 20 and --examples-csv mine.csv"),
        ({"images": "photos", "examples_csv": "mine.csv", "examples": None}, "photos|mine.csv"),
        ({"examples": 1048}, "at most 1047"),
        ({"examples": 4001, "program": None, "variant": "gedi"}, "4001 examples asked, .* 4000 images"),
    ],
    ids=str,
)
def test_a_wrong_request_makes_no_folder(changes: dict[str, Any], part: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=part):
        made(out="new", **changes)
    assert list(tmp_path.iterdir()) == []
