"""``program sample``: what it writes can be read back, satisfies the program and shows the right images."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch

from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.examples_file import read_examples
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import Program
from nesy_gedi.logic.program import parse_program, read_program
from nesy_gedi.logic.source import Source
from nesy_gedi.resources import resource
from nesy_gedi.sampling import sample_program

PAIR = "nn(net, [X, Y], Z, [0,1,2]) :: pair(X, Y, Z).\ngo(X, Y, Z) :- pair(X, Y, Z)."


@pytest.fixture(autouse=True)
def _away_from_any_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NESY_GEDI_DATA", raising=False)


@cache
def digits() -> ImageSet:
    return load_data_set("mnist", None)


@cache
def shipped(name: str) -> ConstraintCircuit:
    program: Program = read_program(resource("programs", f"{name}.pl"))
    return ConstraintCircuit(program, limits=None)


def sample(
    circuit: ConstraintCircuit,
    count: int,
    distribution: str = "readings",
    seed: int = 0,
    out: str | None = None,
) -> list[str]:
    return list(sample_program(circuit, "mnist", count, distribution, seed, None, out))


def shown(line: str) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    """The image and the symbol in each slot, and the values of the symbols, of one line."""
    images = {name: (int(row), read) for name, row, read in re.findall(r"(\w+): image (\d+) \((\w+)\)", line)}
    return images, dict(re.findall(r"(\w+) = (\w+)", line))


@pytest.mark.parametrize("name", ["addition", "labelled_addition", "multi_addition", "even_odd"])
def test_what_is_written_is_read_back(name: str) -> None:
    circuit = shipped(name)
    *rows, last = sample(circuit, 6, out="here")
    slots = circuit.networks["mnist_net"].slots
    assert last == f"here: {6 * len(slots)} images and examples.csv"
    read, positions, readings = read_examples(circuit, Path("here/examples.csv"), Path("here"))
    labels = digits().train_labels
    assert labels is not None
    seen = []
    for k, row in enumerate(rows):
        images, symbols = shown(row)
        numbers = [images[circuit.slots[slot]][0] for (slot,) in slots]
        assert torch.equal(read.train_images[positions[k]], digits().train_images[numbers])
        true = [images[circuit.slots[slot]][1] for (slot,) in slots]
        assert true == [str(label) for label in labels[numbers].tolist()]
        values = [int(value) for value in true]
        seen += numbers
        if name == "addition":
            assert values[0] + values[1] == values[2]
        elif name == "multi_addition":
            total = 0
            for slot, value in images.items():
                total += int(value[1]) * (10 if slot.endswith("1") else 1)
            assert f"{symbols['S1']}{symbols['S2']}{symbols['S3']}" == f"{total:03}"
            digit_labels = [int(symbols[f"S{n}"]) for n in (1, 2, 3)]
            order = [circuit.slots[slot] for (slot,) in circuit.networks["observed"].slots]
            assert readings.observed["observed"][k].tolist() == [
                digit_labels[int(slot[1]) - 1] for slot in order
            ]
        else:
            assert symbols == {"Z": str(sum(values))}
            assert circuit.answers[readings.answers[k]] == symbols["Z"]
    assert len(set(seen)) == len(seen)  # each image at most once


def test_the_seed_decides() -> None:
    first, again, other = (sample(shipped("addition"), 4, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_support_facts_are_what_is_drawn() -> None:
    pairs = {(0, 6), (2, 8), (4, 6), (4, 8), (1, 5), (3, 7), (1, 9), (3, 9)}
    read = [shown(line)[0] for line in sample(shipped("even_odd"), 150)]
    assert {(int(row["X"][1]), int(row["Y"][1])) for row in read} == pairs


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ("0=1,18=3", {"0": 0.25, "18": 0.75}),
        ("7=2", {"7": 1.0}),
        ("answers", {str(k): 1 / 19 for k in range(19)}),
        ("readings", {str(k): min(k + 1, 19 - k) / 100 for k in range(19)}),
    ],
)
def test_distributions(distribution: str, expected: dict[str, float]) -> None:
    """Within five standard deviations of what was asked."""
    count = 100 if distribution == "0=1,18=3" else 400 if len(expected) > 1 else 40
    lines = sample(shipped("labelled_addition"), count, distribution)
    found = Counter(shown(line)[1]["Z"] for line in lines)
    assert set(found) <= set(expected)
    for answer, share in expected.items():
        deviation = (share * (1 - share) / count) ** 0.5
        assert found[answer] / count == pytest.approx(share, abs=5 * deviation + 1e-9)


@pytest.mark.parametrize("out", ["full", "file", "file/below"])
def test_what_lies_in_the_folder_stays(out: str) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    Path("file").write_text("mine")
    before = sorted(Path().rglob("*"))
    rows = sample_program(shipped("addition"), "mnist", 2, "readings", 0, None, out)
    with pytest.raises(UserError, match=f"{out}.*choose another folder with --out"):
        next(rows)  # before anything is shown
    assert sorted(Path().rglob("*")) == before
    Path("empty").mkdir()
    assert sample(shipped("addition"), 1, out="empty")[-1] == "empty: 3 images and examples.csv"


def test_mistakes() -> None:
    with pytest.raises(UserError, match="at least 1 is needed"):
        sample(shipped("addition"), 0)
    with pytest.raises(UserError, match="has no answers to weigh"):
        sample(shipped("addition"), 1, "answers")
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        list(sample_program(shipped("addition"), "mnits", 1, "readings", 0, None, None))
    pair = ConstraintCircuit(parse_program(Source(Path("mine.pl"), PAIR)), limits=None)
    with pytest.raises(UserError, match="net reads several images at once"):
        sample(pair, 1)
