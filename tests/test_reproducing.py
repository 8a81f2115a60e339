"""``reproduce``: checked first, resumed, and tables that agree with each other and with the runs."""

import csv
import io
import json
import shutil
import signal
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reproductions import FEW, reproduced, rows_of
from rich.console import Console
from safetensors.torch import load_file

from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.paper import list_targets
from nesy_gedi.reproducing import find_target, plan, specification
from nesy_gedi.request import Request
from nesy_gedi.stopping import StoppedError

pytestmark = pytest.mark.usefixtures("elsewhere")

QUICK = Request(
    epochs=1,
    examples=400,
    precision="fp32",
    device="cpu",
    report=False,
    assignments=("sampler.steps=1", "sampler.buffer_size=400", "naming.restarts=0", "network.width=8"),
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def reproduce(
    target: str,
    base: Request = QUICK,
    datasets: tuple[str, ...] = ("moons",),
    methods: tuple[str, ...] = ("gedi", "swav"),
    seeds: int = 1,
    options: EvaluationOptions = FEW,
) -> str:
    return reproduced(target, base, datasets, methods, seeds, options)


def seed_of(folder: str) -> dict:
    return json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))["seeds"][0]


def test_every_target_names_methods_that_are_in_the_table() -> None:
    targets, published = specification()
    assert {method for target in targets.values() for method in target.methods} <= set(METHODS)
    assert {method for table in published.values() for method in table} <= set(METHODS)
    assert len(list_targets()) == len(targets) == 14
    assert all(bool(target.draw) != bool(target.measures) for target in targets.values())


def test_finished_runs_are_kept_and_interrupted_ones_run_anew() -> None:
    reproduce("table2", seeds=2)
    folders = sorted(Path("out/cpu").glob("moons-*"))
    assert [f.name for f in folders] == [f"moons-{m}-seed{s}" for m in ("gedi", "swav") for s in (0, 1)]
    before = {folder: (folder / "result.json").stat().st_mtime_ns for folder in folders}
    (folders[0] / "result.json").unlink()
    weights = load_file(folders[0] / "weights.safetensors")
    said = reproduce("table2", seeds=2)
    after = {folder: (folder / "result.json").stat().st_mtime_ns for folder in folders}
    assert [folder for folder in folders if before[folder] != after[folder]] == folders[:1]
    assert said.count("already there") == 3
    again = load_file(folders[0] / "weights.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_a_run_that_was_stopped_goes_on_where_its_state_was_saved() -> None:
    base = replace(QUICK, epochs=4)
    reproduce("table2", base, methods=("gedi",))
    straight = load_file("out/cpu/moons-gedi-seed0/weights.safetensors")
    shutil.rmtree("out")
    stopped = Experiment(plan_request(base), Console(file=io.StringIO()))
    stopped.stop.signal = signal.SIGTERM
    with pytest.raises(StoppedError, match="train --resume out/cpu/moons-gedi-seed0"):
        stopped.run()
    assert stopped.reached.seed.trainer is not None
    assert stopped.reached.seed.trainer.step == 1
    with pytest.raises(UserError, match="trained with other settings or data"):
        reproduce("table2", replace(base, epochs=5), methods=("gedi",))
    assert "already there" not in reproduce("table2", base, methods=("gedi",))
    resumed = load_file("out/cpu/moons-gedi-seed0/weights.safetensors")
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())


def plan_request(base: Request) -> Request:
    """What reproduce asks for moons and gedi."""
    (row,) = plan(find_target("table2", ("moons",), ("gedi",)), base, 1, Path("out/cpu"), True, FEW)
    return row.requests[0]


def test_the_three_files_say_what_the_runs_say() -> None:
    reproduce("table2", seeds=2)
    nmi = [seed_of(f"out/cpu/moons-gedi-seed{seed}")["nmi"] for seed in (0, 1)]
    assert rows_of("table2")[0]["values"]["nmi"] == nmi
    assert rows_of("table2")[0]["published"] == {"nmi": 0.94}
    lines = Path("out/cpu/table2.csv").read_text(encoding="utf-8").splitlines()
    (row,) = (r for r in csv.DictReader(lines) if (r["method"], r["measure"]) == ("gedi", "nmi"))
    assert float(row["mean"]) == pytest.approx(statistics.mean(nmi))
    assert float(row["std"]) == pytest.approx(statistics.stdev(nmi))
    text = Path("out/cpu/table2.md").read_text(encoding="utf-8")
    assert f"{statistics.mean(nmi):.3f} ± {statistics.stdev(nmi):.3f} (0.94)" in text


@pytest.mark.parametrize(("allowed", "share"), [(100.0, 1.0), (0.0, 0.0)])
def test_at_the_optimum_is_where_the_recipe_wants_the_terms(allowed: float, share: float) -> None:
    limits = tuple(f"restart_above.{term}={allowed}" for term in ("inv", "prior"))
    base = replace(QUICK, assignments=(*QUICK.assignments, *limits))
    reproduce("table2", base, methods=("gedi",))
    assert rows_of("table2")[0]["values"]["at_optimum"] == [share]


def test_no_optimum_is_claimed_where_the_recipe_has_none() -> None:
    reproduce("table2", methods=("swav",))
    assert rows_of("table2")[0]["values"]["at_optimum"] == []


def test_what_the_terms_do_not_decide_is_no_zero() -> None:
    reproduce("table1", methods=("gedi-no-inv", "gedi-no-prior"))
    without_inv, without_prior = rows_of("table1")
    assert without_inv["values"]["label"] == without_prior["values"]["cluster"] == []
    assert without_inv["values"]["cluster"] in ([0.0], [1.0])


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"epochs": 2}, "other settings or data: .* choose another --out"),
        ({"examples": 300}, "other settings or data: .* choose another --out"),
    ],
)
def test_a_run_with_other_settings_is_in_the_way(changes: dict[str, int], part: str) -> None:
    reproduce("table2")
    before = Path("out/cpu/moons-gedi-seed0/weights.safetensors").read_bytes()
    with pytest.raises(UserError, match=part):
        reproduce("table2", replace(QUICK, **changes))
    assert Path("out/cpu/moons-gedi-seed0/weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_run_is_told_in_one_line(content: str) -> None:
    reproduce("table2", methods=("gedi",))
    Path("out/cpu/moons-gedi-seed0/config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged: remove the folder"):
        reproduce("table2", methods=("gedi",))


def test_a_training_that_fails_stops_no_other_and_stands_in_the_table() -> None:
    base = replace(QUICK, epochs=3, assignments=(*QUICK.assignments, "learning_rate=1e30"))
    reproduce("table2", base, methods=("gedi-no-gen", "jem"), seeds=2)
    rows = rows_of("table2")
    assert len(rows) == 2
    failed = [row for row in rows if "failed: the training ran away at step" in row["remark"]]
    assert failed
    for row in failed:
        assert len(row["seeds"]) == 2 - row["remark"].count("failed:")
        assert row["remark"] in Path("out/cpu/table2.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "datasets", "part"),
    [
        ({}, ("moosn",), "unknown data set 'moosn'"),
        ({"preset": "cup"}, ("moons",), "unknown preset 'cup': did you mean 'cpu'"),
        ({"assignments": ("sampler.stps=1",)}, ("moons",), r"did you mean 'sampler\.steps'"),
        ({}, ("svhn",), "svhn"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    changes: dict, datasets: tuple[str, ...], part: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=part):
        reproduce("table2", replace(QUICK, **changes), datasets)
    assert list(tmp_path.iterdir()) == []


def test_inception_weights_are_missed_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Inception weights at"):
        reproduce("table5", datasets=(), options=replace(FEW, features="inception", inception_weights="none"))
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_not_there_is_told_once_and_marked() -> None:
    said = reproduce("table10", datasets=(), seeds=2)
    assert said.count("left out:") == 3
    text = Path("out/cpu/table10.md").read_text(encoding="utf-8")
    assert text.count("| not there |") == 6


def photos() -> str:
    """Few pictures of noise, with labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    np.savez("few.npz", x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    return "few.npz"


def test_a_distance_is_that_of_the_samples_and_features_asked_for() -> None:
    base = replace(QUICK, examples=None, assignments=(*QUICK.assignments, "batch_size=20"))
    reproduce("table5", base, (photos(),), ("gedi",))
    first = rows_of("table5")[0]["values"]["frechet"]
    text = Path("out/cpu/table5.md").read_text(encoding="utf-8")
    assert "frechet is FD (features: classifier)" in text
    assert "samples 6, sampler steps 1" in text
    reproduce("table5", base, (photos(),), ("gedi",), options=replace(FEW, samples=8))
    assert rows_of("table5")[0]["values"]["frechet"] != first
    assert "samples 8, sampler steps 1" in Path("out/cpu/table5.md").read_text(encoding="utf-8")


def test_k_means_on_pixels_is_a_row_and_kept() -> None:
    base = replace(QUICK, examples=None, assignments=(*QUICK.assignments, "batch_size=20"))
    reproduce("table4", base, (photos(),), ("gedi-no-gen",))
    row = rows_of("table4")[-1]
    assert row["method"] == "k-means on pixels"
    assert 0 < row["values"]["matched_accuracy"][0] <= 1
    assert row["values"]["kmeans_nmi"] == []
    (kept,) = Path("out/cpu").glob("few-*-kmeans.json")
    content = json.loads(kept.read_text())
    kept.write_text(json.dumps({**content, "score": {**content["score"], "nmi": 0.125}}))
    reproduce("table4", base, (photos(),), ("gedi-no-gen",))
    assert rows_of("table4")[-1]["values"]["nmi"] == [0.125]
    for damaged in ("{", "[]", "{}", json.dumps({**content, "score": {}})):
        kept.write_text(damaged)
        reproduce("table4", base, (photos(),), ("gedi-no-gen",))
        assert rows_of("table4")[-1]["values"]["nmi"] == row["values"]["nmi"]
        assert json.loads(kept.read_text()) == content


def test_the_addition_has_the_papers_figure_for_each_number_of_examples() -> None:
    target, base = find_target("table6", (), ("combined",)), replace(QUICK, examples=None)
    rows = plan(target, base, 2, Path("out"), chosen=False, options=FEW)
    assert [row.requests[0].examples for row in rows] == [100, 1000, 10_000]
    assert [dict(row.published) for row in rows[:2]] == [
        {"accuracy": 0.42, "nmi": 0.35},
        {"accuracy": 0.96, "nmi": 0.91},
    ]
    assert "at most 1047" in rows[2].missing  # of the embedded digits
    folders = {request.out for row in rows for request in row.requests}
    assert len(folders) == 6
    with pytest.raises(UserError, match="at most 1047"):
        plan(target, replace(base, examples=10_000), 1, Path("out"), chosen=False, options=FEW)


@pytest.mark.parametrize("target", ["figure8", "figure4", "figure5"])
def test_figures_are_drawn_as_png_and_pdf(target: str) -> None:
    reproduce(target, methods=("gedi",))
    assert Path(f"out/cpu/{target}.png").read_bytes().startswith(b"\x89PNG")
    assert Path(f"out/cpu/{target}.pdf").read_bytes().startswith(b"%PDF")
    assert not list(Path("out").rglob("*.partial"))


def test_unknown_names() -> None:
    with pytest.raises(UserError, match="unknown target 'tabel2': did you mean 'table2'"):
        find_target("tabel2", (), ())
    with pytest.raises(UserError, match="unknown method 'gdei'"):
        find_target("table2", (), ("gdei",))
