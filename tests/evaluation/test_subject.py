"""A run with a program is measured on the classes that the program can name, as training scores it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_training import digits

from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.subject import Subject
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_run, save_network
from nesy_gedi.request import Request
from nesy_gedi.resources import resource

pytestmark = pytest.mark.usefixtures("elsewhere")


def trained(program: str, **options: Any) -> Path:
    torch.set_num_threads(1)
    settings = ("sampler.steps=1", "sampler.count=4", "sampler.buffer_size=20", "naming.searches=0")
    request = Request(
        program=program, examples=20, epochs=1, width=4, precision="fp32", device="cpu", out="run",
        report=False, assignments=(*settings, "naming.restarts=0"), **options,
    )  # fmt: skip
    Experiment(request, Console(file=io.StringIO())).run()
    return Path("run")


def test_figures_are_those_of_the_training_itself() -> None:
    run = trained(str(resource("programs", "half.pl")))
    found = evaluate(run, EvaluationOptions())
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    for name in ("accuracy", "matched_accuracy", "nmi", "ari", "batch_nmi"):
        assert found["clustering"][name] == pytest.approx(result[name], abs=1e-12), name
    labels = digits().test_labels
    assert labels is not None
    named = int((labels <= 4).sum())
    for name in ("clustering", "kmeans", "probe", "knn"):
        settings = found[name]["settings"]
        assert (settings["images"], settings["named_by_the_program"]) == (named, f"{named} of 1,000")
    assert found["knn"]["settings"]["fitted_on"] == int((digits().train_labels <= 4).sum())  # type: ignore[operator]
    assert found["clustering"]["settings"]["classes"] == 5
    assert "failures" not in found
    with pytest.raises(UserError, match="the measure failures needs a run without a program"):
        evaluate(run, EvaluationOptions(measures=("failures",)))


PROGRAM = """nn(digit_net, [X], Y, [4,2,3,1]) :: digit(X, Y).
larger(X, Y) :- digit(X, A), digit(Y, B), A > B.
same(X, Y) :- digit(X, A), digit(Y, A).
"""


def test_labels_are_positions_among_the_programs_symbols() -> None:
    Path("mine.pl").write_text(PROGRAM)
    run = trained("mine.pl", query="larger(X, Y)")
    Path("mine.pl").unlink()  # the run holds all that is needed
    subject = Subject(run, None)
    assert subject.domain == ("4", "2", "3", "1")
    outputs, labels = subject.named_test
    true = digits().test_labels
    assert true is not None
    assert labels is not None
    kept = (true >= 1) & (true <= 4)
    assert [("4", "2", "3", "1")[k] for k in labels] == [str(int(k)) for k in true[kept]]
    assert torch.equal(outputs.logits, subject.test.logits[kept])
    assert len(subject.test.logits) == 1000
    assert subject.count("test") == int(kept.sum())


def test_what_the_program_makes_impossible_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(str(resource("programs", "half.pl")))
    with monkeypatch.context() as patched:
        patched.setattr(Subject, "count", lambda self, split: 0)
        with pytest.raises(UserError, match="knn needs train images that the program can name, which mnist"):
            evaluate(run, EvaluationOptions(measures=("knn",)))
    network, description = load_run(run)
    damaged = {**description, "program": "nn(m, [X], Y, [0,1]) :: digit(X, Y)"}
    save_network(network, run / WEIGHTS, damaged)
    with pytest.raises(UserError, match=r"run/program.pl:1:"):
        Subject(run, None)
