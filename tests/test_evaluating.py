"""Measures of a whole run: what they need, what is written, and that figures follow from the network."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from untrained_runs import FAST, save_run, write_digits

from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions, evaluate
from nesy_gedi.evaluation.clustering import clustering_score, predict
from nesy_gedi.evaluation.report import lines
from nesy_gedi.evaluation.subject import recorded
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_run, save_network

pytestmark = pytest.mark.usefixtures("elsewhere")


def contents(run: Path) -> dict[str, Any]:
    return json.loads((run / "evaluation.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_default_measures_of_a_labelled_run(run: Path) -> None:
    remarks: list[str] = []
    found = evaluate(run, EvaluationOptions(), remarks.append)
    assert list(found) == ["clustering", "kmeans", "probe", "knn"]
    (without_terms,) = remarks
    assert without_terms.startswith("failures is left out: it needs the terms in run/result.json")
    assert contents(run) == found
    assert sorted(path.name for path in run.iterdir()) == ["evaluation.json", WEIGHTS]
    images = load_data_set("few.npz", None)
    network, _ = load_run(run)
    assert images.test_labels is not None
    wanted = clustering_score(predict(network, images.test_images), images.test_labels, 12)
    assert {k: v for k, v in found["clustering"].items() if k != "settings"} == asdict(wanted)
    assert found["clustering"]["settings"]["clusters"] == 12
    assert all(figures["settings"]["images"] == 200 for figures in found.values())
    assert found["probe"]["accuracy"] > 0.4 < found["knn"]["accuracy"]  # features of an untrained network
    assert evaluate(run, EvaluationOptions()) == found


def test_measures_are_added_to_those_that_are_there(run: Path) -> None:
    turned, images = write_digits("turned.npz", tests_flipped=1), load_data_set("few.npz", None)
    first = evaluate(run, EvaluationOptions(measures=("knn",)))
    second = evaluate(run, EvaluationOptions(measures=("clustering",), ood=("turned.npz",)))
    third = evaluate(run, EvaluationOptions(measures=("ood",), ood=("few.npz",)))
    assert list(second) == ["clustering", "ood"]
    assert contents(run) == {**first, **second, "ood": {**second["ood"], **third["ood"]}}
    same = third["ood"]["few.npz"]  # a set against itself
    assert [same[score]["auroc"] for score in ("logpx", "gradient", "softmax")] == [pytest.approx(0.5)] * 3
    network, _ = load_run(run)
    with torch.no_grad():
        energies = [network.energy(data.test_images / 255) for data in (images, turned)]
    wanted = roc_auc_score([1] * 200 + [0] * 200, -torch.cat(energies).numpy())
    assert second["ood"]["turned.npz"]["logpx"]["auroc"] == pytest.approx(wanted, abs=1e-3)
    assert second["ood"]["turned.npz"]["settings"]["others"] == 200


def test_without_labels_the_rest_is_measured() -> None:
    some = save_run("some", write_digits("some.npz", labels=("test",)))
    remarks: list[str] = []
    assert list(evaluate(some, EvaluationOptions(), remarks.append)) == ["clustering", "kmeans"]
    missing = "needs train labels, which some.npz does not have"
    assert remarks[:2] == [f"{name} is left out: it {missing}" for name in ("probe", "knn")]
    with pytest.raises(UserError, match=f"the measure probe {missing}"):
        evaluate(some, EvaluationOptions(measures=("clustering", "probe")))
    none = save_run("none", write_digits("none.npz", labels=()))
    with pytest.raises(UserError, match=r"none.npz \(arrays in none.npz\) has no labels to measure"):
        evaluate(none, EvaluationOptions())
    assert not (none / "evaluation.json").exists()
    assert list(evaluate(none, EvaluationOptions(ood=("some.npz",)))) == ["ood"]


def test_mistakes_are_told_before_anything_is_measured(run: Path) -> None:
    for options, told in (
        (
            EvaluationOptions(measures=("clustring",)),
            "unknown measure 'clustring': did you mean 'clustering'",
        ),
        (EvaluationOptions(measures=("ood",)), "name them, as in --ood"),
        (
            replace(FAST, measures=("generation",), reference="tset"),
            "unknown reference 'tset': did you mean 'test'",
        ),
        (replace(FAST, measures=("generation",), features="nowhere"), "no weights at nowhere"),
        (EvaluationOptions(ood=("moons",)), "data of shape 2x1x1 cannot be brought to 1x28x28"),
    ):
        with pytest.raises(UserError, match=told):
            evaluate(run, options)
    with pytest.raises(UserError, match="no weights at"):
        evaluate("nowhere", EvaluationOptions())
    write_digits("few.npz", tests_flipped=0)
    with pytest.raises(UserError, match=r"was trained on arrays in few.npz, this is .*, other images: give"):
        evaluate(run, EvaluationOptions())
    assert [path.name for path in run.iterdir()] == [WEIGHTS]


def test_results_that_cannot_be_read_are_kept(run: Path) -> None:
    inner = ('{"ood": 3}', '{"generation": null}', '{"generation": {"classifier": 1}}', '{"knn": []}')
    for damaged in ("{", "[]", *inner, '{"failures": {"seed 0": []}}'):
        (run / "evaluation.json").write_text(damaged)
        with pytest.raises(UserError, match=r"evaluation.json .* remove it"):
            evaluate(run, EvaluationOptions(measures=("knn",)))
        assert (run / "evaluation.json").read_text() == damaged


def test_generation_draws_once_and_names_its_features(run: Path) -> None:
    asked = replace(FAST, measures=("generation",))
    found = evaluate(run, asked)["generation"]["classifier"]
    assert set(found) - {"settings", "remarks"} == {
        "FD (features: classifier)",
        "KD (features: classifier)",
        "KD (features: classifier) deviation",
    }
    settings = found["settings"]
    assert (settings["samples"], settings["reference"], settings["reference_images"]) == (
        6,
        "few.npz train",
        200,
    )
    assert settings["resize"] == "unchanged"
    before = (run / "samples" / "samples.npz").read_bytes()
    other = evaluate(run, replace(asked, features=str(run), reference="test"))
    assert list(other["generation"]) == [str(run)]
    assert other["generation"][str(run)]["settings"]["reference"] == "few.npz test"
    assert set(contents(run)["generation"]) == {"classifier", str(run)}
    assert (run / "samples" / "samples.npz").read_bytes() == before
    few_samples = evaluate(run, replace(asked, samples=4))["generation"]["classifier"]
    assert few_samples["remarks"][0].startswith("4 samples for 4 features")
    assert any("note: 4 samples for 4 features" in line for line in lines({"generation": {"x": few_samples}}))
    assert not any("FID" in json.dumps(part) for part in contents(run)["generation"].values())


def test_a_run_of_another_version_is_told_so() -> None:
    assert recorded({"data": {"range": [0, 1]}}, "runs/x", "data", "range") == [0, 1]
    for description in ({}, {"data": None}, {"data": {}}):
        with pytest.raises(UserError, match=r"runs/x is of another version .* no data.range in it"):
            recorded(description, "runs/x", "data", "range")


def describe(run: Path, **changes: Any) -> None:
    """Change what was written beside a run's network."""
    network, description = load_run(run)
    save_network(network, run / WEIGHTS, {**description, **changes})


def test_a_damaged_request_is_told_so(run: Path) -> None:
    for damaged in (None, [], {}):
        describe(run, request=damaged)
        with pytest.raises(UserError, match=r"run is of another version .* no request.dataset in it"):
            evaluate(run, EvaluationOptions())


def test_images_of_ones_own_are_no_data_set(run: Path) -> None:
    describe(run, request={"dataset": "mnist", "examples_csv": "mine.csv", "images": "photos"})
    with pytest.raises(UserError, match=r"run was trained on images of your own \(mine.csv\): there is no"):
        evaluate(run, EvaluationOptions())


def test_kmeans_with_too_few_images_is_left_out_unless_it_is_asked_for() -> None:
    many = save_run("many", write_digits("few.npz"), classes=201)
    remarks: list[str] = []
    assert list(evaluate(many, EvaluationOptions(), remarks.append)) == ["clustering", "probe", "knn"]
    lack = "it needs as many training images as clusters, 201, and few.npz has 200"
    assert f"kmeans is left out: {lack}" in remarks
    with pytest.raises(UserError, match="the measure kmeans needs as many training images as clusters, 201"):
        evaluate(many, EvaluationOptions(measures=("kmeans",)))


def test_precision_stands_beside_the_figures(run: Path) -> None:
    asked = EvaluationOptions(measures=("clustering",))
    for trained, told in (("fp32-fused", None), ("fp32", "fp32"), ("bf16", "bf16")):
        describe(run, precision=trained)
        settings = evaluate(run, asked)["clustering"]["settings"]
        assert (settings["precision"], settings.get("trained_in")) == ("fp32-fused", told)


def test_weights_that_diverged_are_one_line(run: Path) -> None:
    network, description = load_run(run)
    with torch.no_grad():
        network.last_layer.bias.fill_(torch.nan)
    save_network(network, run / WEIGHTS, description)
    for options in (EvaluationOptions(measures=("ood",), ood=("few.npz",)), EvaluationOptions()):
        with pytest.raises(UserError, match="no finite numbers: its training diverged"):
            evaluate(run, options)


def test_the_table_shows_every_figure_beside_what_made_it() -> None:
    settings = {"split": "test", "images": 1000}
    results = {
        "knn": {"accuracy": 0.25, "settings": settings},
        "ood": {"svhn": {"logpx": {"auroc": 0.5, "fpr95": 1.0}, "settings": settings}},
    }
    assert lines(results) == [
        "knn  (split test, images 1,000)",
        "  accuracy     0.250",
        "ood svhn  (split test, images 1,000)",
        "  logpx auroc     0.500",
        "  logpx fpr95     1.000",
    ]
