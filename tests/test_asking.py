"""What a run answers about image files, against sums over worlds of its network's own posterior."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from nesy_gedi.asking import Answer, ask
from nesy_gedi.cli import main
from nesy_gedi.data.mnist import load_mnist
from nesy_gedi.errors import UserError
from nesy_gedi.gedi.checkpoint import WEIGHTS, load_network, load_run, save_network
from nesy_gedi.gedi.networks import GEDINetwork, NetworkConfig
from nesy_gedi.resources import resource
from nesy_gedi.trained import known_of

PAIR = 'addition("a.png","b.png",Z)'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images and a run of each of some programs, with one untrained network."""
    here = tmp_path_factory.mktemp("asked")
    data = load_mnist(here, explicit=False)
    for name, image in zip("abcd", data.test_images, strict=False):
        Image.fromarray(image[0].numpy()).save(here / f"{name}.png")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = GEDINetwork(NetworkConfig(width=4))
        network.centre(data.train_images[:50] / 255)
    for name in ("labelled_addition", "multi_addition", "noisy_addition", "no_program"):
        text = None
        if name != "no_program":
            text = resource("programs", f"{name}.pl").read_text(encoding="utf-8")
        (here / name).mkdir()
        description: dict[str, Any] = {"program": text, "query": None, "request": {}, "data": data.describe()}
        if name == "noisy_addition":
            description["probabilities"] = {"noisy": 0.75}
        save_network(network, here / name / WEIGHTS, description)
    return here


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def read(folder: Path) -> dict[str, Tensor]:
    """The network's distribution for each file."""
    images = load_mnist(folder, explicit=False).test_images[:4]
    with torch.no_grad():
        posterior = load_network(folder / "labelled_addition").posterior(images / 255).double()
    return dict(zip("abcd", posterior, strict=True))


def sums(a: Tensor, b: Tensor) -> dict[str, float]:
    joint = torch.outer(a, b)
    return {str(s): float(joint.flip(1).diagonal(9 - s).sum()) for s in range(19)}


def query(run: str, atom: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["query", run, atom, *options])


def read_as(answer: Answer) -> dict[str, str]:
    return {image: reading.symbol for image, reading in answer.readings.items()}


def refused(run: str, atom: str) -> str:
    result = query(run, atom)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def test_a_free_symbol(read: dict[str, Tensor]) -> None:
    answer = ask("labelled_addition", PAIR)
    expected = sums(read["a"], read["b"])
    assert answer.probabilities == pytest.approx(expected, rel=1e-4, abs=1e-7)
    best = int(max(expected, key=lambda text: expected[text]))
    worlds = {k: float(read["a"][k] * read["b"][best - k]) for k in range(10) if 0 <= best - k < 10}
    top = max(worlds, key=lambda k: worlds[k])
    assert read_as(answer) == {'"a.png"': str(top), '"b.png"': str(best - top)}
    total = sum(worlds.values())
    assert answer.reading_probability == pytest.approx(worlds[top] / total, rel=1e-4)
    shares = {str(k): worlds.get(k, 0.0) / total for k in range(10)}
    assert answer.readings['"a.png"'].given == pytest.approx(shares, rel=1e-4, abs=1e-7)
    alone = {str(k): float(p) for k, p in enumerate(read["a"])}
    assert answer.readings['"a.png"'].alone == pytest.approx(alone, rel=1e-4, abs=1e-7)


def test_one_image_in_both_places_has_one_reading(read: dict[str, Tensor]) -> None:
    found = ask("labelled_addition", 'addition("a.png","a.png",Z)').probabilities
    assert found == pytest.approx({str(2 * k): float(p) for k, p in enumerate(read["a"])}, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("other", ['"./a.png"', '"few/../a.png"', "'a.png'", '"few/link.png"', "ABSOLUTE"])
def test_names_of_one_file_are_one_image(read: dict[str, Tensor], folder: Path, other: str) -> None:
    """Two readings would be independent, and odd sums possible."""
    (folder / "few").mkdir(exist_ok=True)
    if not (folder / "few" / "link.png").exists():
        (folder / "few" / "link.png").symlink_to(folder / "a.png")
    other = other.replace("ABSOLUTE", f'"{folder / "a.png"}"')
    answer = ask("labelled_addition", f'addition("a.png",{other},Z)')
    wanted = {str(2 * k): float(p) for k, p in enumerate(read["a"])}
    assert answer.probabilities == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    assert list(answer.readings) == ['"a.png"']
    again = ask("multi_addition", f'addition(["a.png","b.png"],["c.png",{other}],[0,3,4])')
    assert set(again.readings) == {'"a.png"', '"b.png"', '"c.png"'}


def test_the_programs_own_name_of_a_file_is_to_be_used(folder: Path) -> None:
    text = resource("programs", "labelled_addition.pl").read_text(encoding="utf-8")
    text += '\nto_a(X, Z) :- addition(X, "a.png", Z).\n'
    (folder / "to_a").mkdir()
    network = load_network("labelled_addition")
    save_network(network, folder / "to_a" / WEIGHTS, {"program": text, "request": {}})
    assert refused("to_a", 'to_a("./a.png", Z)').startswith('nesy-gedi: "./a.png" and "a.png" are one file')
    assert list(ask("to_a", 'to_a("a.png", Z)').readings) == ['"a.png"']


def test_another_predicate_of_the_program(read: dict[str, Tensor]) -> None:
    found = ask("labelled_addition", 'digit("c.png", Y)').probabilities
    assert found == pytest.approx({str(k): float(p) for k, p in enumerate(read["c"])}, rel=1e-4, abs=1e-7)


def test_a_ground_query(read: dict[str, Tensor]) -> None:
    found = ask("labelled_addition", 'addition("a.png","b.png",7)').probabilities
    assert found == pytest.approx({"true": sums(read["a"], read["b"])["7"]}, rel=1e-4)


def test_observed_symbols(read: dict[str, Tensor]) -> None:
    """Two numbers of two images each, whose sum is known to be 34."""
    answer = ask("multi_addition", 'addition(["a.png","b.png"],["c.png","d.png"],[0,3,4])')
    weights = {
        (a, b, c, d): float(read["a"][a] * read["b"][b] * read["c"][c] * read["d"][d])
        for a, b, c, d in product(range(10), repeat=4)
        if 10 * (a + c) + b + d == 34
    }
    total = sum(weights.values())
    assert answer.probabilities == pytest.approx({"true": total}, rel=1e-3)
    top = max(weights, key=lambda world: weights[world])
    assert read_as(answer) == {f'"{n}.png"': str(k) for n, k in zip("abcd", top, strict=True)}
    assert answer.reading_probability == pytest.approx(weights[top] / total, rel=1e-3)
    with pytest.raises(UserError, match="x is not one of 0, 1, 2"):
        ask("multi_addition", 'addition(["a.png","b.png"],["c.png","d.png"],[0,3,x])')


def test_learned_probabilities_of_the_run_are_used(read: dict[str, Tensor]) -> None:
    """Three quarters are noise, each of 19 sums as likely; the program itself starts with a fifth."""
    found = ask("noisy_addition", PAIR).probabilities
    expected = {text: 0.25 * p + 0.75 / 19 for text, p in sums(read["a"], read["b"]).items()}
    assert found == pytest.approx(expected, rel=1e-4)


def test_json_is_one_line_that_sums_to_one() -> None:
    result = query("labelled_addition", PAIR, "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert found["query"] == PAIR
    assert found["probabilities"] == ask("labelled_addition", PAIR).probabilities
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    for reading in found["readings"].values():
        assert sum(reading["alone"].values()) == pytest.approx(1, abs=1e-4)
        assert sum(reading["given"].values()) == pytest.approx(1, abs=1e-4)


def test_lines_begin_with_the_most_probable(read: dict[str, Tensor]) -> None:
    expected = sums(read["a"], read["b"])
    plain = query("labelled_addition", PAIR).stdout.splitlines()
    assert [line.split()[1] for line in plain][:5] == sorted(expected, key=lambda s: -expected[s])[:5]
    assert len(plain) == 19
    explained = query("labelled_addition", PAIR, "--explain").stdout.splitlines()
    assert explained[:19] == plain
    reading = read_as(ask("labelled_addition", PAIR))
    told = ", ".join(f"{image} as {symbol}" for image, symbol in reading.items())
    assert explained[19] == f"given {plain[0].split()[1]}, the images read: {told}"


def test_an_image_that_looks_like_nothing_known_is_told_on_stderr(folder: Path) -> None:
    network, description = load_run("labelled_addition")
    data = load_mnist(folder, explicit=False)
    (folder / "knowing").mkdir(exist_ok=True)
    save_network(network, folder / "knowing" / WEIGHTS, {**description, "known": known_of(network, data)})
    with torch.no_grad():
        energies = network.energy(data.test_images / 255)
    for name, row in (("strange", energies.argmax()), ("usual", energies.argmin())):
        Image.fromarray(data.test_images[row, 0].numpy()).save(folder / f"{name}.png")
    result = query("knowing", 'addition("usual.png","strange.png",Z)', "--json")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    (line,) = result.stderr.splitlines()
    assert line.startswith('nesy-gedi: warning: "strange.png" looks like nothing that the network knows')
    assert f"its energy, {energies.max():.3f} nats, is above" in line
    assert json.loads(result.stdout)["readings"]['"usual.png"']["rank"] == pytest.approx(0, abs=2e-3)


def test_mistakes() -> None:
    assert "there is no file e.png" in refused("labelled_addition", 'addition("a.png","e.png",Z)')
    assert "did you mean a.png" in refused("labelled_addition", 'digit("a.pnq",Z)')
    line = refused("labelled_addition", 'addition(X,"b.png",Z)')
    assert line.startswith('nesy-gedi: X in addition(X,"b.png",Z) stands for an image')
    assert "trained without a program: name its clusters first" in refused("no_program", PAIR)
    assert "no weights at nowhere" in refused("nowhere", PAIR)
    assert "did you mean addition/3" in refused("labelled_addition", PAIR.replace("add", "ad", 1))
