"""``nesy-gedi evaluate`` and ``nesy-gedi sample`` as a user types them."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tiny_training import CONFIG, digits
from typed_commands import refused, run

from nesy_gedi import drawing
from nesy_gedi.gedi.checkpoint import WEIGHTS, save_network
from nesy_gedi.gedi.networks import GEDINetwork


@pytest.fixture(autouse=True)
def _beside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)
    torch.manual_seed(0)
    network = GEDINetwork(CONFIG.network).eval()
    network.centre(digits().train_images[:300] / 255)
    description = {
        "request": {"dataset": "mnist"},
        "config": asdict(CONFIG),
        "data": digits().describe(),
    }
    Path("run").mkdir()
    save_network(network, Path("run", WEIGHTS), description)


def test_evaluate_prints_a_table_or_json_and_keeps_both() -> None:
    table = run("evaluate", "run", "--measures", "clustering, knn", "--ood", "mnist")
    assert table.exit_code == 0, (table.output, table.exception)
    assert table.stderr == ""
    head = [line.split("  ")[0] for line in table.stdout.splitlines() if not line.startswith(" ")]
    assert head == ["clustering", "knn", "ood mnist"]
    assert "  logpx auroc        0.500" in table.stdout.splitlines()
    kept = json.loads(Path("run/evaluation.json").read_text(encoding="utf-8"))
    one = run("evaluate", f"run/{WEIGHTS}", "--measures", "clustering", "--json")
    (line,) = one.stdout.splitlines()
    assert json.loads(line) == {"clustering": kept["clustering"]}
    assert json.loads(Path("run/evaluation.json").read_text(encoding="utf-8")) == kept


def test_sample_says_where_it_wrote() -> None:
    told = run("sample", "run", "--count", "3", "--steps", "1", "--out", "drawn")
    assert told.exit_code == 0, (told.output, told.exception)
    first, *files = told.stdout.splitlines()
    assert first.startswith("3 samples after 1 steps, mean energy -")
    assert files == ["drawn/samples.npz", "drawn/samples.png"]
    assert all(Path(file).is_file() for file in files)
    assert run("sample", "run", "--count", "2", "--steps", "1").exit_code == 0
    assert Path("run/samples/samples.png").is_file()


def test_help_says_how_many_steps_there_are() -> None:
    for command in ("sample", "evaluate"):
        text = " ".join(run(command, "--help").stdout.split())
        assert f"500 for images, {drawing.VECTOR_STEPS:,} for vectors" in text
        assert drawing.IMAGE_STEPS == 500


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean 'clustering'" in refused("evaluate", "run", "--measures", "clusters")
    assert "no weights at nothing" in refused("evaluate", "nothing")
    assert "no weights at nothing" in refused("sample", "nothing")
    assert "unknown data set 'mnits'" in refused("evaluate", "run", "--ood", "mnits")
    assert "--samples" in refused("evaluate", "run", "--samples", "1")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(Path("hub").resolve()))
    line = refused("evaluate", "run", "--measures", "generation", "--samples", "2", "--sampler-steps", "1")
    assert "no Inception weights at" in line
    assert "SHA-256 6726825d" in line
    Path("file").touch()
    assert "cannot write samples to file" in refused(
        "sample", "run", "--count", "1", "--steps", "1", "--out", "file"
    )
