"""``reproduce``: mistakes are found before the first training; what goes wrong later stops nothing else."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reproductions import FEW, reproduced, rows_of
from test_run_lock import held
from untrained_runs import save_run

from nesy_gedi import paper
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.experiment import Experiment
from nesy_gedi.reproducing import Row, Target, find_target, plan
from nesy_gedi.request import Request

pytestmark = pytest.mark.usefixtures("elsewhere")

QUICK = Request(
    epochs=1,
    precision="fp32",
    device="cpu",
    report=False,
    assignments=(
        *("sampler.steps=1", "sampler.buffer_size=400", "naming.restarts=0", "network.width=8"),
        "batch_size=20",
    ),
)
TOYS = replace(QUICK, examples=400)
POINTS = {"channels": 2, "image_height": 1, "image_width": 1}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def reproduce(
    target: str,
    datasets: tuple[str, ...],
    methods: tuple[str, ...] = ("gedi",),
    base: Request = QUICK,
    options: EvaluationOptions = FEW,
) -> str:
    return reproduced(target, base, datasets, methods, options=options)


def photos(name: str, labels: tuple[str, ...] = ("train", "test"), seed: int = 0) -> str:
    """60 pictures of noise."""
    images = np.random.default_rng(seed).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    arrays = {f"y_{split}": np.arange(60) % 3 for split in labels}
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    np.savez(name, x_train=images, x_test=images, **arrays)
    return name


@pytest.mark.parametrize(
    ("target", "labels", "part"),
    [
        ("table4", (), "table4 cannot measure kmeans: it needs test labels, which p.npz does not have"),
        ("table4", ("train",), "table4 cannot measure kmeans: it needs test labels"),
        ("table10", ("test",), "table10 cannot measure probe: it needs train labels"),
        ("figure3", ("test",), r"figure3 draws points of the plane, p\.npz has images of 1x8x8: choose"),
        ("figure5", ("test",), r"figure5 draws points of the plane, p\.npz has images"),
        ("figure8", ("test",), r"figure8 draws points of the plane, p\.npz has images"),
    ],
)
def test_pictures_that_do_not_serve_are_refused_untrained(
    target: str, labels: tuple[str, ...], part: str
) -> None:
    photos("p.npz", labels)
    base = replace(QUICK, assignments=(*QUICK.assignments, "clusters=3"))
    with pytest.raises(UserError, match=part):
        reproduce(target, ("p.npz",), base=base)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("table11", "data of shape 1x28x28 cannot be brought to 2x1x1"),
        ("figure6", "figure6 draws images, moons has vectors of 2x1x1"),
        ("table5", "Inception reads images"),
    ],
)
def test_points_that_do_not_serve_are_refused_untrained(
    target: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nesy_gedi.evaluation.generation.load_inception", lambda *arguments: None)
    with pytest.raises(UserError, match=part):
        reproduce(target, ("moons",), base=TOYS, options=replace(FEW, features="inception"))
    assert not Path("out").exists()


def test_features_of_a_run_on_other_data_are_refused_untrained() -> None:
    run = save_run("run", load_data_set("moons", None), encoder="mlp", **POINTS)
    with pytest.raises(UserError, match="data of shape 1x8x8 cannot be brought to 2x1x1"):
        reproduce("table5", (photos("p.npz"),), options=replace(FEW, features=str(run)))
    assert not Path("out").exists()


def planned(target: Target, chosen: bool, base: Request = QUICK) -> list[Row]:
    return plan(target, base, 1, Path("out"), chosen, FEW)


def test_a_row_that_cannot_be_prepared_stops_no_other_unless_it_was_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = replace(
        find_target("table4", (), ("gedi-no-gen",)),
        datasets=(photos("unlabelled.npz", ()), photos("few.npz")),
    )
    with pytest.raises(UserError, match="has no labels to count classes by"):
        planned(target, chosen=True)
    unlabelled, few = planned(target, chosen=False)
    assert "has no labels to count" in unlabelled.remark
    assert few.missing == ""
    monkeypatch.setattr(paper, "find_target", lambda *names: target)
    said = reproduce("table4", ())
    assert "left out: unlabelled.npz has no labels" in said
    unlabelled, few, kmeans = rows_of("table4")
    assert "has no labels to count" in unlabelled["remark"]
    assert few["seeds"] == [0]
    assert kmeans["data"] == "few.npz"


def test_a_mistake_that_leaves_no_row_is_an_error_all_the_same() -> None:
    wrong = replace(QUICK, assignments=("sampler.stps=1",))
    for target in ("table2", "table4"):  # of table4, most sets are not there
        with pytest.raises(UserError, match=r"did you mean 'sampler\.steps'"):
            planned(find_target(target, (), ()), chosen=False, base=wrong)


def test_what_cannot_be_measured_is_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    original = paper.evaluate

    def fails_once(run: Path, *arguments: Any) -> Any:
        if "gedi-no-gen" in run.name:
            raise UserError("the probe broke")
        return original(run, *arguments)

    monkeypatch.setattr(paper, "evaluate", fails_once)
    said = reproduce("table10", (photos("p.npz"),), ("gedi-no-gen", "swav"))
    broken, whole = rows_of("table10")
    assert broken["remark"] == "seed 0 not measured: the probe broke"
    assert "p.npz, gedi-no-gen, seed 0 not measured: the probe broke" in said
    assert broken["values"]["probe"] == []
    assert whole["remark"] == ""
    assert len(whole["values"]["probe"]) == 1


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"probe": 3}', '{"probe": {}}', '{"probe": {"accuracy": "x"}}']
)
def test_damaged_measurements_are_a_remark_that_names_the_file(content: str) -> None:
    (row,) = planned(find_target("table10", (photos("p.npz"),), ("swav",)), chosen=True)
    run = Path(str(row.requests[0].out))
    reproduce("table2", ("p.npz",), ("swav",))
    Path("out/cpu", run.name, "evaluation.json").write_text(content)
    reproduce("table10", ("p.npz",), ("swav",))
    (row,) = rows_of("table10")
    assert "evaluation.json" in row["remark"]
    assert "remove it to measure anew" in row["remark"]
    assert "\n" not in row["remark"]


@pytest.mark.parametrize("content", ['{"se', "{}", "[]", '{"seeds": []}', '{"seeds": [{}]}', '{"seeds": 3}'])
def test_a_damaged_result_is_told_before_anything_is_trained(content: str) -> None:
    reproduce("table2", ("moons",), ("swav",), TOYS)
    path = Path("out/cpu/moons-swav-seed0/result.json")
    path.write_text(content)
    with pytest.raises(UserError, match=r"swav-seed0/result\.json is damaged: remove the folder"):
        reproduce("table2", ("moons",), ("gedi", "swav"), TOYS)
    assert path.read_text() == content
    assert not Path("out/cpu/moons-gedi-seed0").exists()


@pytest.mark.parametrize("content", [None, "{"])
def test_a_damaged_log_is_told_before_anything_is_trained(content: str | None) -> None:
    reproduce("figure4", ("moons",), ("swav",), TOYS)
    path = Path("out/cpu/moons-swav-seed0/metrics.jsonl")
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged: remove the folder"):
        reproduce("figure4", ("moons",), ("gedi", "swav"), TOYS)
    assert not Path("out/cpu/moons-gedi-seed0").exists()
    reproduce("table2", ("moons",), ("swav",), TOYS)  # which needs no log


def test_a_run_in_the_way_of_a_later_row_is_found_before_the_first() -> None:
    reproduce("table2", ("moons",), ("swav",), TOYS)
    with pytest.raises(UserError, match="moons-swav-seed0 was trained with other settings or data"):
        reproduce("table2", ("moons",), ("gedi", "swav"), replace(TOYS, epochs=2))
    assert not Path("out/cpu/moons-gedi-seed0").exists()


def test_data_sets_of_the_same_file_name_have_folders_of_their_own() -> None:
    names = photos("x1/same.npz"), photos("x2/same.npz", seed=1)
    reproduce("table4", (*names, names[0]), ("gedi-no-gen",))
    folders = sorted(Path("out/cpu").glob("same-??????-gedi-no-gen-seed0"))
    assert len(folders) == 2
    assert len(list(Path("out/cpu").glob("same-??????-kmeans.json"))) == 2
    assert [row["data"] for row in rows_of("table4")] == [*names, *names]
    again = planned(find_target("table4", (str(Path("x1/same.npz").resolve()),), ("swav",)), chosen=True)
    asked = planned(find_target("table4", ("x1/../x1/same.npz",), ("swav",)), chosen=True)
    assert again[0].requests[0].out == asked[0].requests[0].out


def test_the_addition_has_folders_for_each_data_set() -> None:
    digits = load_data_set("mnist", None)
    arrays = {"x_train": digits.train_images[:, 0].numpy(), "y_train": digits.train_labels}
    np.savez("own.npz", **arrays, x_test=digits.test_images[:, 0].numpy(), y_test=digits.test_labels)
    base = replace(QUICK, examples=50, assignments=("network.width=8",))
    rows = planned(find_target("table6", ("mnist", "own.npz"), ("gedi",)), True, base)
    names = [Path(str(row.requests[0].out)).name for row in rows]
    assert names[0] == "addition-50-gedi-seed0"  # as ever
    assert names[1].startswith("addition-50-own-")
    assert names[1].endswith("-gedi-seed0")


def test_a_row_that_another_process_trains_is_left_to_it() -> None:
    folder = Path("out/cpu/moons-gedi-seed0")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("of the other process\n")
    with held(folder):
        said = reproduce("table2", ("moons",), ("gedi", "swav"), TOYS)
        assert (folder / "metrics.jsonl").read_text() == "of the other process\n"
    assert "moons, gedi, seed 0: being trained by another process" in said
    gedi, swav = rows_of("table2")
    assert (gedi["seeds"], gedi["remark"]) == ([], "seed 0: being trained by another process")
    assert (swav["seeds"], swav["remark"]) == ([0], "")
    (folder / "samples").mkdir()
    reproduce("table2", ("moons",), ("gedi",), TOYS)  # the other one is gone, and nothing was saved
    assert rows_of("table2")[0]["seeds"] == [0]
    assert "of the other" not in (folder / "metrics.jsonl").read_text()
    assert not (folder / "lock").exists()
    assert not (folder / "samples").exists()


def test_the_lock_is_held_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Experiment.run

    def run(experiment: Any) -> None:
        seen.append((experiment.folder.path / "lock").is_file())
        original(experiment)

    monkeypatch.setattr(Experiment, "run", run)
    Path("out/cpu/moons-swav-seed0").mkdir(parents=True)
    Path("out/cpu/moons-swav-seed0/config.json").write_text("{}")  # of a run that saved nothing: cleared away
    reproduce("table2", ("moons",), ("swav",), TOYS)
    assert seen == [True]


def test_both_scores_of_the_paper_are_columns() -> None:
    reproduce("table11", (photos("p.npz"),), ("gedi-no-gen",))
    (row,) = rows_of("table11")
    (path,) = Path("out/cpu").glob("p-*-gedi-no-gen-seed0/evaluation.json")
    measured = json.loads(path.read_text())["ood"]["mnist"]
    assert row["values"]["auroc_mnist"] == [measured["logpx"]["auroc"]]
    assert row["values"]["gradient_auroc_mnist"] == [measured["gradient"]["auroc"]]
    assert row["values"]["gradient_auroc_cifar100"] == []
    notes = json.loads(Path("out/cpu/table11.json").read_text())["notes"]
    assert any("`gradient_auroc_SET`" in note for note in notes)


def test_failure_modes_are_explained_in_the_table() -> None:
    reproduce("table1", ("moons",), ("gedi",), TOYS)
    content = json.loads(Path("out/cpu/table1.json").read_text(encoding="utf-8"))
    assert "1 is ruled out in every seed" in content["notes"][0]
    text = Path("out/cpu/table1.md").read_text(encoding="utf-8")
    assert content["notes"][0] in text
    assert "| representational collapse ruled out |" in text


@pytest.mark.parametrize(
    ("vectors", "asked", "stored", "left"),
    [
        (False, None, 500, 0),
        (False, None, 20_000, 1),
        (True, None, 20_000, 0),
        (True, None, 500, 1),
        (True, 500, 500, 0),
        (False, 100, 500, 1),
    ],
)
def test_samples_count_that_took_as_many_steps_as_are_asked_for_or_by_default(
    tmp_path: Path, vectors: bool, asked: int | None, stored: int, left: int
) -> None:
    made = {"generation": {"classifier": {"settings": {"samples": 6, "sampler_steps": stored}}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(made))
    target, row = find_target("table5", (), ()), Row("d", "m", "d", (), vectors=vectors)
    options = EvaluationOptions(**{**asdict(FEW), "sampler_steps": asked})
    assert len(paper._pending(target, row, tmp_path, options)) == left
