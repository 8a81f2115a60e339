"""``reproduce``: resuming, refusing, and tables that agree with each other and with the runs."""

import csv
import io
import json
import statistics
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from nesy_gedi.errors import UserError
from nesy_gedi.evaluating import EvaluationOptions
from nesy_gedi.gedi.methods import METHODS
from nesy_gedi.paper import list_targets, reproduce_target
from nesy_gedi.reporting.paper_table import Row, comma_separated, markdown
from nesy_gedi.reproducing import find_target, specification
from nesy_gedi.request import Request

QUICK = Request(
    epochs=1,
    examples=400,
    precision="fp32",
    device="cpu",
    assignments=("sampler.steps=1", "sampler.buffer_size=400", "naming.restarts=0", "network.width=8"),
)


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.set_num_threads(1)


def reproduce(target: str, base: Request = QUICK, datasets: str = "moons", seeds: int = 2) -> str:
    console = Console(file=io.StringIO(), width=200)
    names = tuple(datasets.split(",")) if datasets else ()
    reproduce_target(target, base, seeds, "out", names, ("gedi", "swav"), EvaluationOptions(), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_target_names_methods_that_are_in_the_table() -> None:
    targets, published = specification()
    assert {method for target in targets.values() for method in target.methods} <= set(METHODS)
    assert {method for table in published.values() for method in table} <= set(METHODS)
    assert len(list_targets()) == len(targets) == 14
    assert all(bool(target.draw) != bool(target.measures) for target in targets.values())


def test_finished_runs_are_kept_and_interrupted_ones_run_anew() -> None:
    reproduce("table2")
    folders = sorted(Path("out/cpu").glob("moons-*"))
    assert [folder.name for folder in folders] == [
        f"moons-{m}-seed{s}" for m in ("gedi", "swav") for s in (0, 1)
    ]
    before = {folder: (folder / "result.json").stat().st_mtime_ns for folder in folders}
    (folders[0] / "result.json").unlink()
    weights = load_file(folders[0] / "weights.safetensors")
    said = reproduce("table2")
    after = {folder: (folder / "result.json").stat().st_mtime_ns for folder in folders}
    assert [folder for folder in folders if before[folder] != after[folder]] == folders[:1]
    assert said.count("already there") == 3
    again = load_file(folders[0] / "weights.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_the_three_files_say_what_the_runs_say() -> None:
    reproduce("table2")
    nmi = [
        json.loads(Path(f"out/cpu/moons-gedi-seed{s}/result.json").read_text())["seeds"][0]["nmi"]
        for s in (0, 1)
    ]
    content = json.loads(Path("out/cpu/table2.json").read_text(encoding="utf-8"))
    assert content["rows"][0]["values"]["nmi"] == nmi
    assert content["rows"][0]["published"] == {"nmi": 0.94}
    rows = list(csv.DictReader(Path("out/cpu/table2.csv").read_text(encoding="utf-8").splitlines()))
    (row,) = (r for r in rows if (r["method"], r["measure"]) == ("gedi", "nmi"))
    assert float(row["mean"]) == pytest.approx(statistics.mean(nmi))
    assert float(row["std"]) == pytest.approx(statistics.stdev(nmi))
    text = Path("out/cpu/table2.md").read_text(encoding="utf-8")
    assert f"{statistics.mean(nmi):.3f} ± {statistics.stdev(nmi):.3f} (0.94)" in text


def test_a_run_with_other_settings_is_in_the_way() -> None:
    reproduce("table2", seeds=1)
    other = Request(**{**QUICK.__dict__, "epochs": 2})
    with pytest.raises(UserError, match="other settings or data: choose another --out"):
        reproduce("table2", other, seeds=1)


@pytest.mark.parametrize("target", ["figure8", "figure4"])
def test_figures_are_drawn_as_png_and_pdf(target: str) -> None:
    reproduce(target, seeds=1)
    assert Path(f"out/cpu/{target}.png").read_bytes().startswith(b"\x89PNG")
    assert Path(f"out/cpu/{target}.pdf").read_bytes().startswith(b"%PDF")


def test_a_set_that_is_not_there_is_an_error_only_if_it_was_named() -> None:
    with pytest.raises(UserError, match="svhn"):
        reproduce("table10", datasets="svhn", seeds=1)
    said = reproduce("table10", datasets="", seeds=1)
    assert said.count("left out:") == 6  # three sets, two methods
    assert "| svhn | gedi | 0 | not there |" in Path("out/cpu/table10.md").read_text(encoding="utf-8")


def test_unknown_names() -> None:
    with pytest.raises(UserError, match="unknown target 'tabel2': did you mean 'table2'"):
        find_target("tabel2", (), ())
    with pytest.raises(UserError, match="unknown method 'gdei'"):
        find_target("table2", (), ("gdei",))


def test_cells_have_the_deviation_of_a_sample() -> None:
    row = Row("d", "m", (0, 1, 2), {"nmi": [0.0, 0.5, 1.0], "ari": [0.25]}, {"nmi": 0.9})
    assert row.cell("nmi") == "0.500 ± 0.500 (0.90)"
    assert row.cell("ari") == "0.250"
    assert row.cell("seconds") == "–"
    assert "| d | m | 3 | 0.500 ± 0.500 (0.90) | 0.250 |" in markdown("t", ["nmi", "ari"], [row], [])
    assert "d,m,nmi,0.5,0.5,3,0.9," in comma_separated(["nmi"], [row])
