"""``nesy-gedi program sample``: examples of a program, to look at or to train on."""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from nesy_gedi.data.images import ImageSet, domain_labels
from nesy_gedi.data.sets import load_data_set
from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.examples import ExampleSource, parse_distribution


def sample_program(
    circuit: ConstraintCircuit,
    dataset: str,
    examples: int,
    distribution: str,
    seed: int,
    data_dir: str | None,
    out: str | None,
) -> Iterator[str]:
    """Draw examples, and say of each which image and symbol stands in which slot.

    Args:
        circuit: of the program.
        dataset: where images come from.
        examples: how many.
        distribution: of their readings.
        seed: decides what is drawn.
        data_dir: where data sets lie.
        out: folder for the images and an ``examples.csv``, which ``nesy-gedi train`` reads.

    Raises:
        UserError: the images are too few or do not fit, or the folder is not empty or cannot be written.
    """
    if out is not None:
        _check_empty(Path(out))
    images = load_data_set(dataset, data_dir)
    source = ExampleSource(circuit, parse_distribution(distribution))
    if any(len(slots) != 1 for slots in source.inputs.slots):
        raise UserError(f"{source.network} reads several images at once: no data set has labels for that")
    assert images.train_labels is not None
    labels = domain_labels(images, images.train_labels, source.inputs.domain, str(circuit.program.path))
    rows, readings = source.sample(labels, examples, torch.Generator().manual_seed(seed))
    columns = [circuit.slots[slot] for (slot,) in source.inputs.slots]
    table = []
    for k in range(examples):
        symbols: dict[str, str] = {}
        for name, classes in readings.observed.items():
            network = circuit.networks[name]
            for (slot,), value in zip(network.slots, classes[k].tolist(), strict=True):
                symbols[circuit.slots[slot]] = network.domain[value]
        if circuit.answers:
            answer = circuit.compiled.answers[int(readings.answers[k])]
            symbols.update(zip(map(str, circuit.program.symbols), answer, strict=True))
        table.append(symbols)
        shown = [
            f"{name}: image {row} ({source.inputs.domain[value]})"
            for name, row, value in zip(columns, rows[k].tolist(), readings.classes[k].tolist(), strict=True)
        ]
        yield "  ".join([*shown, *(f"{name} = {value}" for name, value in symbols.items())])
    if out is not None:
        _write(Path(out), images, columns, rows, table)
        yield f"{out}: {rows.numel()} images and examples.csv"


def _check_empty(folder: Path) -> None:
    """Before anything is drawn: make the folder, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({error.strerror}): choose another folder with --out"
        ) from error
    if not empty:
        raise UserError(f"{folder} is not empty: choose another folder with --out")


def _write(
    folder: Path, images: ImageSet, columns: list[str], rows: torch.Tensor, symbols: list[dict[str, str]]
) -> None:
    with (folder / "examples.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *symbols[0]])
        for row, known in zip(rows.tolist(), symbols, strict=True):
            writer.writerow([*(f"{number}.png" for number in row), *known.values()])
    for number in rows.flatten().unique().tolist():
        pixels = images.train_images[number].permute(1, 2, 0).squeeze(2).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
