"""Examples of a user's own: a CSV file with a row an example, and a folder with the images that it names."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nesy_gedi.data.files import try_images
from nesy_gedi.data.images import ImageSet
from nesy_gedi.data.table import Mistakes, Row, nearest, read_table
from nesy_gedi.errors import UserError
from nesy_gedi.logic.circuit import ConstraintCircuit
from nesy_gedi.logic.declarations import is_observed
from nesy_gedi.logic.examples import Readings, certain
from nesy_gedi.logic.slots import variables

_CHUNK = 256  # rows that the circuit judges at once
_MOST_SHOWN = 12  # symbols in a message


def read_examples(
    circuit: ConstraintCircuit, csv_path: Path, images_dir: Path, size: tuple[int, int] | None = None
) -> tuple[ImageSet, Tensor, Readings]:
    """Read and check examples; every wrong row is reported, not only the first.

    There is a column for each slot of the query and for each of its other variables. A slot's cell is the
    name of an image file, or, where an observed network reads the slot, a symbol of that network's domain.
    The cells of the other variables are the answer, written as ProbLog writes it.

    File names are relative to ``images_dir``. Absolute ones, and ones that lead out of the folder, are
    allowed: the files are the user's own. A file that is named several times is one image.

    Args:
        circuit: of the program; one of its networks learns. On the CPU.
        csv_path: the CSV file; see :func:`~nesy_gedi.data.table.read_table`.
        images_dir: the folder of the images.
        size: ``(height, width)`` that all images are resized to; by default that of the first one. The
            first one also decides whether all are grey or coloured.

    Returns:
        The images, unlabelled and all for training; for each row the positions of its images among them in
        the order of the learning network's inputs, ``(n, inputs)``, int64; and the readings, whose classes
        are unknown, -1.

    Raises:
        UserError: the file or the folder cannot be read, the header does not fit the query, or rows are
            wrong; each mistake has a line that starts with ``FILE:LINE:``.
        ProgramError: no row could say what the program's networks read.
    """
    columns = _Columns.of(circuit)
    if not os.path.isdir(images_dir):
        raise UserError(f"there is no folder {images_dir}: name the folder that the image files lie in")
    mistakes = Mistakes(csv_path, columns.names)
    rows = read_table(csv_path, columns.names, mistakes)
    labels = _LabelReader(circuit, columns, mistakes).read(rows)
    pool, positions = _images(columns, rows, images_dir, size, mistakes)
    mistakes.report()
    if not rows:
        raise UserError(f"{csv_path} has a header, but no examples: write one row for each")
    images = ImageSet(
        name=csv_path.stem,
        source=f"{csv_path}, images in {images_dir}",
        train_images=pool,
        train_labels=None,
        test_images=pool[:0],
        test_labels=None,
        classes=circuit.networks[columns.network].classes,
        from_files=True,
    )
    unknown = torch.full_like(positions, -1)
    return images, positions, Readings(unknown, columns.by_network(labels), labels[:, 0])


@dataclass(frozen=True)
class _Columns:
    """What the columns of the file are.

    Attributes:
        names: all of them, in the order of the query, then constants.
        network: the network that learns.
        images: for each of its inputs the column with the file name.
        observed: for each observed network the column with the symbol of each of its inputs.
        symbols: the columns that give the answer.
    """

    names: tuple[str, ...]
    network: str
    images: tuple[str, ...]
    observed: dict[str, tuple[str, ...]]
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, circuit: ConstraintCircuit) -> "_Columns":
        """The columns that a program's examples need."""
        program = circuit.program
        network = program.single_network()
        places = {neural.network: neural.head.probability for neural in program.neural}
        if network not in circuit.networks:
            raise program.source.error(
                places[network], f"{program.query} asks nothing of {network}: there is nothing to learn"
            )
        read: dict[str, tuple[str, ...]] = {}
        for name, inputs in circuit.networks.items():
            if any(len(slots) != 1 for slots in inputs.slots):
                raise program.source.error(
                    places[name],
                    f"{name} reads several slots at once, but a column holds one: give each slot a network",
                )
            read[name] = tuple(circuit.slots[slot] for (slot,) in inputs.slots)
        for name, slots in read.items():
            both = sorted(set(slots) & set(read[network])) if name != network else []
            if both:
                raise program.source.error(
                    places[name],
                    f"{both[0]} is an image for {network} and a label for {name}, but its column can "
                    "hold only one of them: give the label a variable of its own",
                )
        observed = {name: slots for name, slots in read.items() if is_observed(name)}
        names = dict.fromkeys([*(str(v) for v in variables(program.query)), *circuit.slots])
        return cls(tuple(names), network, read[network], observed, tuple(str(v) for v in program.symbols))

    def by_network(self, labels: Tensor) -> dict[str, Tensor]:
        """The classes of each observed network, of labels ``(n, 1 + inputs)`` that start with the answer."""
        sizes = [len(slots) for slots in self.observed.values()]
        _, *parts = labels.split([1, *sizes], 1)
        return dict(zip(self.observed, parts, strict=True))


def _images(
    columns: _Columns, rows: Sequence[Row], folder: Path, size: tuple[int, int] | None, mistakes: Mistakes
) -> tuple[Tensor, Tensor]:
    """The images ``(images, channels, height, width)``; each row's positions among them, ``(n, inputs)``."""
    numbers: dict[str, int] = {}  # by name
    files: dict[str, int] = {}  # by real path: two names may be one file
    paths: list[Path] = []
    for name in (row.cells[column] for row in rows for column in columns.images):
        if name and name not in numbers:
            numbers[name] = files.setdefault(os.path.realpath(folder / name), len(paths))
            paths += [folder / name] if numbers[name] == len(paths) else []
    height, width = size or (None, None)
    pool, wrong = try_images(paths, height=height, width=width)
    for row in rows:
        seen: dict[int, str] = {}
        for column in columns.images:
            name = row.cells[column]
            if not name:
                mistakes.add(row.line, "is empty: name an image file", column)
                continue
            other = seen.setdefault(numbers[name], column)
            if numbers[name] in wrong:
                mistakes.add(row.line, str(wrong[numbers[name]]), column)
            elif other != column:
                mistakes.add(
                    row.line, f"{name} is the same image as in column {other}: use a different one", column
                )
    positions = [[numbers.get(row.cells[column], -1) for column in columns.images] for row in rows]
    return pool, torch.tensor(positions, dtype=torch.long)


class _LabelReader:
    """Reads the answers, and the classes of the observed networks, out of rows."""

    def __init__(self, circuit: ConstraintCircuit, columns: _Columns, mistakes: Mistakes) -> None:
        self.circuit, self.columns, self.mistakes = circuit, columns, mistakes
        self.answers = {answer: k for k, answer in enumerate(circuit.compiled.answers)}
        self.symbols = [_numbered(answer[k] for answer in self.answers) for k in range(len(columns.symbols))]
        self.observed = [
            (column, _numbered(circuit.networks[name].domain))
            for name, slots in columns.observed.items()
            for column in slots
        ]

    def read(self, rows: Sequence[Row]) -> Tensor:
        """The number of each row's answer, then the classes: ``(n, 1 + inputs)``, 0 in wrong rows."""
        labels = torch.zeros(len(rows), 1 + len(self.observed), dtype=torch.long)
        right = []
        for k, row in enumerate(rows):
            found = [self._answer(row), *(self._number(row, *column) for column in self.observed)]
            if None not in found:
                labels[k] = torch.tensor(found)
                right.append(k)
        self._check_possible([rows[k] for k in right], labels[right])
        return labels

    def _answer(self, row: Row) -> int | None:
        names = self.columns.symbols
        found = [self._number(row, name, known) for name, known in zip(names, self.symbols, strict=True)]
        answer = tuple(row.cells[name] for name in names)
        if None not in found and answer not in self.answers:
            given = ", ".join(f"{name} = {symbol}" for name, symbol in zip(names, answer, strict=True))
            others = [", ".join(other) for other in self.answers if other[0] == answer[0]]
            self.mistakes.add(
                row.line,
                f"{self.circuit.program.query} can never hold with {given}: possible are "
                + _shown(others, "; "),
            )
        return self.answers.get(answer)

    def _number(self, row: Row, column: str, known: dict[str, int]) -> int | None:
        symbol = row.cells[column]
        if symbol not in known:
            meant = None if self.mistakes.many or not symbol else nearest(symbol, known)
            hint = f"; did you mean {meant}?" if meant else ""
            found = f"{symbol} is none of" if symbol else "is empty: write one of"
            self.mistakes.add(row.line, f"{found} {_shown(list(known))}{hint}", column)
        return known.get(symbol)

    def _check_possible(self, rows: Sequence[Row], labels: Tensor) -> None:
        """Report rows whose labels no reading of the images agrees with: their loss would be infinite."""
        if not rows:
            return
        kinds, kind = labels.unique(dim=0, return_inverse=True)
        impossible = [self._impossible(chunk) for chunk in kinds.split(_CHUNK)]
        program, names = self.circuit.program, [column for column, _ in self.observed]
        for k in torch.cat(impossible)[kind].nonzero()[:, 0].tolist():
            given = ", ".join(f"{name} = {rows[k].cells[name]}" for name in (*self.columns.symbols, *names))
            self.mistakes.add(
                rows[k].line, f"no reading of the images satisfies {program.query} with {given}: mend them"
            )

    @torch.no_grad()
    def _impossible(self, labels: Tensor) -> Tensor:
        inputs = self.circuit.networks[self.columns.network]
        log_probs = {self.columns.network: torch.zeros(len(labels), len(inputs.slots), inputs.classes)}
        for name, classes in self.columns.by_network(labels).items():
            log_probs[name] = certain(classes, self.circuit.networks[name].classes)
        log_probability: Tensor = self.circuit(log_probs, answers=labels[:, 0])
        return log_probability.isneginf()


def _numbered(symbols: Iterable[str]) -> dict[str, int]:
    return {symbol: k for k, symbol in enumerate(dict.fromkeys(symbols))}


def _shown(symbols: Sequence[str], separator: str = ", ") -> str:
    return separator.join([*symbols[:_MOST_SHOWN], *(["…"] if len(symbols) > _MOST_SHOWN else [])])
