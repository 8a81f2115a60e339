"""Terms beside their optima and what they rule out: as a training has them, without labels."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tiny_training import learner_of, shipped
from untrained_runs import save_run, write_digits

from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.failures import CLUSTER, LABEL, MODES, REPRESENTATIONAL
from nesy_gedi.evaluation.own_terms import epochs_of, failure_figures, logged_epochs, optima_of, terms_by_seed
from nesy_gedi.evaluation.report import lines
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.config import TrainConfig
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.request import Request

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.uses("nesy")])
def test_optima_are_those_of_training(name: str) -> None:
    learner = learner_of(None, TrainConfig(method=METHODS[name]))
    assert optima_of(METHODS[name], 10) == learner.optima()


def test_optima_under_a_program_are_those_of_training() -> None:
    for prior in ("uniform", "program"):
        learner = learner_of(shipped("addition"), TrainConfig(method=METHODS["gedi"], prior=prior))
        assert optima_of(METHODS["gedi"], 10, learner._log_prior()) == learner.optima()
    combined = learner_of(shipped("addition"), TrainConfig(method=METHODS["combined"]))
    assert optima_of(METHODS["combined"], 10, certain=True) == combined.optima()


def write_metrics(*rows: tuple[int, int, int, dict[str, float]]) -> Path:
    keys = ("seed", "attempt", "epoch", "terms")
    path = Path("metrics.jsonl")
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))
    return path


def test_epochs_are_those_of_the_attempt_that_was_kept() -> None:
    path = write_metrics(
        (0, 0, 1, {"gen": -1.0}),
        (0, 0, 2, {"inv": 0.5}),
        (0, 1, 1, {"gen": -2.0}),
        (0, 1, 2, {"inv": math.nan}),
        (1, 0, 1, {"gen": -1.0, "inv": 0.5}),
    )
    first = [{"epoch": 1, "terms": {"gen": -1.0}}, {"epoch": 2, "terms": {"gen": -1.0, "inv": 0.5}}]
    kept = epochs_of(path, 0, {"inv": 0.5, "gen": -1.0})
    assert [{key: row[key] for key in ("epoch", "terms")} for row in kept] == first
    assert len(epochs_of(path, 0, {"gen": -2.0, "inv": math.nan})) == 2
    (only,) = epochs_of(path, 1, {"gen": -1.0, "inv": 0.5})
    assert (only["epoch"], only["terms"]) == (1, first[1]["terms"])
    assert epochs_of(path, 0, {"gen": -3.0}) == epochs_of(path, 2, {}) == []
    assert epochs_of(Path("nowhere"), 0, {}) == []
    path.write_text('{"seed": 0}\n')
    assert epochs_of(path, 0, {}) == []


def test_epochs_that_a_training_went_back_over_count_once() -> None:
    path = write_metrics(
        *((0, 0, epoch, {"gen": float(-epoch)}) for epoch in (1, 2, 3)),
        *((0, 0, epoch, {"gen": float(-10 * epoch)}) for epoch in (2, 3, 4)),
        (0, 1, 1, {"gen": 7.0}),
    )
    (first, second) = logged_epochs(path, 0).values()
    assert [(row["epoch"], row["terms"]["gen"]) for row in first] == [(1, -1), (2, -20), (3, -30), (4, -40)]
    assert [row["epoch"] for row in second] == [1]
    assert [row["epoch"] for row in epochs_of(path, 0, {"gen": -40.0})] == [1, 2, 3, 4]


@pytest.mark.parametrize("text", ["{", "[]", '{"seeds": 3}', '{"seeds": []}', '{"seeds": [{"seed": 0}]}'])
def test_results_without_terms_are_told_apart(text: str) -> None:
    path = Path("result.json")
    assert terms_by_seed(path) is None
    path.write_text(text)
    assert terms_by_seed(path) is None
    path.write_text('{"seeds": [{"seed": 3, "terms": {"inv": 1}}]}')
    assert terms_by_seed(path) == {3: {"inv": 1.0}}


def test_verdicts_stand_beside_the_terms() -> None:
    chance, good = {"inv": math.log(10), "prior": math.log(10)}, {"inv": 0.01, "prior": math.log(10)}
    epochs = [{"epoch": k, "terms": terms} for k, terms in ((1, good), (2, chance), (3, good))]
    found = failure_figures(good, epochs, {"inv": 0.0, "prior": math.log(10)}, 10, 10)
    assert found["terms"]["prior"] == {"value": math.log(10), "optimum": math.log(10)}
    since = {mode: (v["ruled_out"], v["from_epoch"]) for mode, v in found["verdicts"].items()}
    assert since == {REPRESENTATIONAL: (True, 3), CLUSTER: (True, 1), LABEL: (True, 3)}
    text = lines({"failures": {"seed 0": {**found, "settings": {"epochs": 3}}}})
    assert text[:2] == [
        "failures seed 0  (epochs 3)",
        "  inv                           0.010  (optimum 0.000)",
    ]
    assert text[5].startswith(
        "  label inconsistency        ruled out from epoch 3 on (two views get the same"
    )
    unknown = failure_figures(chance, [], {}, 10, 10)
    words = lines({"failures": {"seed 0": {**unknown, "settings": {}}}})
    assert words[3].startswith("  representational collapse  not ruled out (inv is")


def trained(**options: Any) -> Path:
    torch.set_num_threads(1)
    asked = {
        "dataset": "few.npz",
        "epochs": 2,
        "width": 4,
        "precision": "fp32",
        "device": "cpu",
        "out": "run",
        "report": False,
    }
    settings = ("sampler.steps=1", "sampler.count=4", "sampler.buffer_size=20", "naming.restarts=0")
    write_digits("few.npz", labels=())
    request = Request(**{**asked, "assignments": settings, **options})
    Experiment(request, Console(file=io.StringIO())).run()
    return Path("run")


def test_a_trained_run_is_judged_without_labels() -> None:
    run = trained(variant="gedi", clusters=3, seeds=2)
    found = evaluate(run, EvaluationOptions())
    assert list(found) == ["failures"]
    assert json.loads((run / "evaluation.json").read_text(encoding="utf-8")) == found
    rows = json.loads((run / "result.json").read_text(encoding="utf-8"))["seeds"]
    assert list(found["failures"]) == ["seed 0", "seed 1"]
    for row, figures in zip(rows, found["failures"].values(), strict=True):
        assert {name: term["value"] for name, term in figures["terms"].items()} == row["terms"]
        assert figures["terms"]["prior"]["optimum"] == pytest.approx(math.log(3))
        assert list(figures["verdicts"]) == list(MODES)
        assert (figures["settings"]["epochs"], figures["remarks"]) == (2, [])
        assert all(
            (v["from_epoch"] is not None) == bool(v["ruled_out"]) for v in figures["verdicts"].values()
        )
    (run / "metrics.jsonl").unlink()
    figures = evaluate(run, EvaluationOptions(measures=("failures",)))["failures"]["seed 0"]
    assert figures["remarks"] == ["metrics.jsonl does not hold this training, so since when is not known"]
    assert all(verdict["from_epoch"] is None for verdict in figures["verdicts"].values())


def test_failures_need_terms_that_were_written_down() -> None:
    run = save_run("run", write_digits("few.npz"))
    with pytest.raises(UserError, match=r"the measure failures needs the terms in run/result.json, which is"):
        evaluate(run, EvaluationOptions(measures=("failures",)))
