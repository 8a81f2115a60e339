"""Experiments of other kinds than the addition: learned probabilities, a user's own images, no program."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_training import digits

from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.checkpoint import load_network, load_run
from nesy_gedi.request import Request

SMALL = (
    "sampler.steps=1",
    "sampler.count=4",
    "sampler.buffer_size=20",
    "naming.starts=20",
    "naming.restarts=0",
)


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


def made(*assignments: str, **changes: Any) -> Experiment:
    options: dict[str, Any] = {
        "examples": 20,
        "epochs": 1,
        "width": 4,
        "precision": "fp32",
        "device": "cpu",
        "report": False,
    }
    request = Request(**(options | changes), assignments=(*SMALL, *assignments))
    return Experiment(request, Console(file=io.StringIO(), width=200))


def run(*assignments: str, **changes: Any) -> tuple[Path, dict[str, Any], str]:
    """The folder, result.json, and what was printed."""
    experiment = made(*assignments, **changes)
    experiment.run()
    folder = experiment.folder.path
    file = experiment.console.file
    assert isinstance(file, io.StringIO)
    return folder, json.loads((folder / "result.json").read_text(encoding="utf-8")), file.getvalue()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_learned_probabilities_are_told_and_kept() -> None:
    settings = ("learning_rate=0.1", "schedule=constant", "constraint_from=0")
    folder, result, printed = run(*settings, program="noisy_addition.pl", seeds=2, epochs=3)
    learned = [seed["probabilities"]["noisy"] for seed in result["seeds"]]
    assert all(abs(value - 0.2) > 0.01 for value in learned)
    assert learned[0] != learned[1]
    kept = load_run(folder)[1]["probabilities"]["noisy"]
    chosen = learned.index(kept)  # the seed whose weights were kept
    right = predict(load_network(folder), digits().test_images) == digits().test_labels
    assert result["seeds"][chosen]["accuracy"] == pytest.approx(right.double().mean().item())
    assert printed.splitlines()[-1] == f"learned: {kept:.3f} :: noisy"


def test_what_most_images_of_each_digit_are_read_as_is_told() -> None:
    folder, result, printed = run(program="labelled_addition.pl")
    (seed,) = result["seeds"]
    read = predict(load_network(folder), digits().test_images)
    assert seed["reads_as"] == [int(read[digits().test_labels == k].bincount().argmax()) for k in range(10)]
    assert len(set(seed["reads_as"])) > 1, "nothing would be named"
    wrong = [f"{k} as {r}" for k, r in enumerate(seed["reads_as"]) if k != r]
    assert f"not the intended reading: {', '.join(wrong)} (" in printed


def test_the_papers_figures_stand_beside_the_papers_program_alone(tmp_path: Path) -> None:
    _, _, printed = run(program="addition.pl", examples=100)
    assert re.search(r"paper, Table 6 +0\.42 +0\.35\s", printed)
    text = "nn(net, [X], Y, [0,1,2]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
    (tmp_path / "addition.pl").write_text(text)
    _, _, printed = run(program="./addition.pl", examples=100, out="mine")
    assert "paper" not in printed


def test_the_query_and_the_distribution_are_those_that_were_asked(tmp_path: Path) -> None:
    text = (
        "nn(net, [X], Y, [0,1,2,3,4,5,6,7,8,9]) :: digit(X, Y).\n"
        "less(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
        "total(X, Y, Z) :- digit(X, A), digit(Y, B), Z is A + B.\n"
    )
    (tmp_path / "two.pl").write_text(text)
    with pytest.raises(UserError, match=r"candidates: less/2, total/3"):
        made(program="two.pl")
    less = made(program="two.pl", query="less(A, B)")
    first, second = digits().train_labels[less.learner.examples(50, 0).images].T
    assert (first < second).all()
    sums = made(program="two.pl", query="total(A, B, S)", distribution="3=1,17=1")
    totals = digits().train_labels[sums.learner.examples(50, 0).images].sum(1)
    assert set(totals.tolist()) == {3, 17}
    assert sums.description()["query"] == "total(A,B,S)"


def test_without_a_program_clusters_get_no_names() -> None:
    folder, result, printed = run(variant="gedi", seeds=2)
    assert folder == Path("runs", "mnist-gedi-20")
    assert names_in(folder) == {
        *("config.json", "metrics.jsonl", "result.json", "weights.safetensors"),
        *("terms.png", "classes.png", "confusion.png"),
    }
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["program"], config["query"]) == (None, None)
    assert "program:" not in printed
    assert "reading" not in printed
    for seed in result["seeds"]:
        assert seed["satisfied"] is None
        assert seed["matched_accuracy"] > 0
    rows = [json.loads(row) for row in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(row["terms"]) for row in rows] == [{"gen", "inv", "prior"}] * 2
    assert [row["satisfied"] for row in rows] == [None, None]


@pytest.fixture
def own_images(tmp_path: Path) -> list[list[str]]:
    """Twelve digits as files, and rows of two of them with their sum."""
    (tmp_path / "photos").mkdir()
    data = digits()
    for k in range(12):
        Image.fromarray(data.train_images[k, 0].numpy()).save(tmp_path / "photos" / f"{k}.png")
    rows = [[f"{k}.png", f"{11 - k}.png", str(int(data.train_labels[[k, 11 - k]].sum()))] for k in range(6)]
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["X", "Y", "Z"], *rows])
    return rows


def test_a_users_own_images_are_trained_on_and_have_no_score(own_images: list[list[str]]) -> None:
    folder, result, printed = run(
        program="labelled_addition.pl", examples_csv="mine.csv", images="photos", examples=None
    )
    assert folder == Path("runs", "labelled_addition-combined-6")
    assert names_in(folder) == {
        *("config.json", "metrics.jsonl", "result.json", "weights.safetensors"),
        *("terms.png", "classes.png"),  # without labels there is no confusion
    }
    assert [result[name] for name in ("accuracy", "matched_accuracy", "nmi")] == [None] * 3
    assert result["seconds"] > 0
    (seed,) = result["seeds"]
    assert (seed["accuracy"], seed["reads_as"]) == (None, None)
    read = predict(load_network(folder), digits().train_images[:12])
    holds = [int(read[k] + read[11 - k]) == int(row[2]) for k, row in enumerate(own_images)]
    assert seed["satisfied"] == pytest.approx(sum(holds) / 6)
    assert "mine: mine.csv, images in photos, 12 images for training, 0 for test" in printed
    assert re.search(r"1 seed +– +– +– ", printed)
    assert "reading" not in printed


def test_a_users_own_images_are_read_bit_for_bit(own_images: list[list[str]]) -> None:
    learner = made(
        program="labelled_addition.pl", examples_csv="mine.csv", images="photos", examples=None
    ).learner
    examples = learner.examples(6, 0)
    pictures = learner.images.train_images[examples.images]
    pairs = torch.tensor([[k, 11 - k] for k in range(6)])
    assert torch.equal(pictures, digits().train_images[pairs])
    assert learner.circuit is not None
    assert examples.readings is not None
    answers = [learner.circuit.answers[k] for k in examples.readings.answers.tolist()]
    assert answers == [row[2] for row in own_images]


RUNAWAY = ("network.temperature=0", "learning_rate=1e-2", "sampler.count=400", "sampler.buffer_size=500")


def test_a_training_that_ran_away_says_so_everywhere() -> None:
    """Unbounded logits at ten times the learning rate: energies run away within some hundred steps."""
    settings = (*RUNAWAY, "stability.every=50", "stability.rollbacks=9")
    changes = {"dataset": "moons", "preset": "paper", "variant": "gedi", "examples": None, "width": None}
    folder, result, printed = run(*settings, epochs=8, **changes)
    (seed,) = result["seeds"]
    assert seed["rollbacks"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["rollbacks"] == seed["rollbacks"]
    for rollback in seed["rollbacks"]:
        assert rollback["back_to"] < rollback["step"]
        sentence = (
            f"ran away at step {rollback['step']} ({rollback['reason']}): back to step {rollback['back_to']}"
        )
        assert printed.count(sentence) == 2  # when it happened, and at the end
    assert (folder / "terms.png").exists()


def test_stabilise_holds_the_same_training() -> None:
    changes = {"dataset": "moons", "preset": "paper", "variant": "gedi", "examples": None, "width": None}
    folder, result, _ = run(*RUNAWAY, epochs=8, stabilise="default", **changes)
    assert result["seeds"][0]["rollbacks"] == []
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
    assert config["stability"]["energy_l2"] == 0.01
    assert config["sampler"]["largest_move"] == 0.1


def test_a_training_that_cannot_be_helped_is_an_error_and_not_a_result() -> None:
    changes = {"dataset": "moons", "preset": "paper", "variant": "gedi", "examples": None, "width": None}
    experiment = made(*RUNAWAY, "stability.rollbacks=1", "learning_rate=1", epochs=8, **changes)
    with pytest.raises(UserError, match=r"ran away at step \d+ after 1 rollback: .*lower learning_rate"):
        experiment.run()
    assert "result.json" not in names_in(experiment.folder.path)


def test_unknown_stabiliser_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown stabiliser 'defualt': did you mean 'default'"):
        made(stabilise="defualt")
