"""What each shipped program should say, and brute force over it (test support)."""

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nesy_gedi.resources import resource

DIGITS = tuple(range(10))
HALF_PAIRS = [(0, 0), (0, 1), (2, 3), (2, 4)]
EVEN_ODD_PAIRS = [(0, 6), (2, 8), (4, 6), (4, 8), (1, 5), (3, 7), (1, 9), (3, 9)]
SUDOKU_SLOTS = " ".join(row + column for row in "abcd" for column in "1234")


@dataclass(frozen=True)
class Case:
    """What a program should say.

    Attributes:
        query: with a constant for each image, a variable for the label.
        slots: the images, in the order of a reading; then the labels fed to a network, if there are some.
        answer: the label of a reading; True or False where there is no label.
        satisfying: all satisfying readings, where there are too many readings to ask each.
        labels: how many of the slots are such labels.
        support: the readings that examples are drawn from, where it is not every satisfying one.
    """

    query: str
    slots: str
    answer: Callable[..., object]
    domain: tuple[int, ...] = DIGITS
    satisfying: Callable[[], Iterable[tuple[int, ...]]] | None = None
    labels: int = 0
    support: tuple[tuple[int, ...], ...] = ()

    @property
    def width(self) -> int:
        return len(self.slots.split())

    def answers(self) -> dict[str, list[tuple[int, ...]]]:
        """The readings that give each answer."""
        if self.satisfying is not None:
            return {"True": list(self.satisfying())}
        found = defaultdict(list)
        for reading in itertools.product(self.domain, repeat=self.width):
            found[str(self.answer(*reading))].append(reading)
        found.pop("False", None)
        return found


def added(digits: int) -> Iterable[tuple[int, ...]]:
    """Digits of two numbers and of their sum."""
    for a, b in itertools.product(range(10**digits), repeat=2):
        yield tuple(map(int, f"{a:0{digits}}{b:0{digits}}{a + b:0{digits + 1}}"))


def is_addition(*reading: int) -> bool:
    digits = (len(reading) - 1) // 3
    a, b, c = (
        int("".join(map(str, part)))
        for part in (reading[:digits], reading[digits : 2 * digits], reading[2 * digits :])
    )
    return a + b == c


def is_sudoku(*cells: int) -> bool:
    rows = [cells[i : i + 4] for i in range(0, 16, 4)]
    boxes = [rows[r][c : c + 2] + rows[r + 1][c : c + 2] for r in (0, 2) for c in (0, 2)]
    return all(len(set(group)) == 4 for group in (*rows, *zip(*rows, strict=True), *boxes))


@functools.cache
def grids() -> tuple[tuple[int, ...], ...]:
    pairs = itertools.product(itertools.permutations(range(1, 5)), repeat=2)
    bands = [a + b for a, b in pairs if len({*a[:2], *b[:2]}) == len({*a[2:], *b[2:]}) == 4]
    candidates = (upper + lower for upper, lower in itertools.product(bands, repeat=2))
    return tuple(grid for grid in candidates if is_sudoku(*grid))


def total(*digits: int) -> int:
    return sum(digits)


CASES = {
    "addition": Case("addition(x, y, z)", "x y z", lambda a, b, c: a + b == c),
    "labelled_addition": Case("addition(x, y, Z)", "x y", total),
    "multi_addition": Case(
        "addition([a1, a2], [b1, b2], [s1, s2, s3])",
        "a1 a2 b1 b2 s1 s2 s3",
        is_addition,
        satisfying=lambda: added(2),
        labels=3,
    ),
    "subtraction": Case("subtraction(x, y, z)", "x y z", lambda a, b, c: a - b == c),
    "product_modulo": Case("product(x, y, z)", "x y z", lambda a, b, c: a * b % 10 == c),
    "parity": Case("parity(x, y, P)", "x y", lambda a, b: ("even", "odd")[(a + b) % 2]),
    "less_than": Case("less_than(x, y)", "x y", lambda a, b: a < b),
    "in_order": Case("in_order(x, y, z)", "x y z", lambda a, b, c: a < b < c),
    "all_different": Case(
        "all_different(x, y, z, w)", "x y z w", lambda *digits: len(set(digits)) == 4, tuple(range(4))
    ),
    "sudoku": Case(
        "sudoku([a1, a2, a3, a4], [b1, b2, b3, b4], [c1, c2, c3, c4], [d1, d2, d3, d4])",
        SUDOKU_SLOTS,
        is_sudoku,
        (1, 2, 3, 4),
        satisfying=grids,
    ),
    "half": Case("addition(x, y, Z)", "x y", total, tuple(range(5)), support=tuple(HALF_PAIRS)),
    "even_odd": Case("addition(x, y, Z)", "x y", total, support=tuple(EVEN_ODD_PAIRS)),
    "noisy_addition": Case("addition(x, y, Z)", "x y", total),
    "sum_of_many": Case("sum([a, b, c, d], S)", "a b c d", total),
}


def text(name: str) -> str:
    return resource("programs", f"{name}.pl").read_text(encoding="utf-8")


def expected(name: str, weights: np.ndarray) -> dict[str, float]:
    """Probability of every answer; weights are ``(slots, values of the domain)``.

    A fifth of the labels of the noisy addition is noise.
    """
    case, slots = CASES[name], np.arange(CASES[name].width)
    probabilities = {
        answer: float(weights[slots, np.array(readings) - case.domain[0]].prod(1).sum())
        for answer, readings in case.answers().items()
    }
    if name != "noisy_addition":
        return probabilities
    return {str(z): 0.8 * probabilities.get(str(z), 0.0) + 0.2 / 19 for z in range(19)}


@functools.cache
def maps(name: str) -> set[tuple[int, ...]]:
    """All maps of digits to digits under which the answer to every example stays what it was."""
    case = CASES[name]
    examples = case.support or [reading for readings in case.answers().values() for reading in readings]
    images = case.width - case.labels
    order = list(dict.fromkeys(itertools.chain(*(example[:images] for example in examples))))
    assert sorted(order) == list(case.domain)
    by_last = defaultdict(list)
    for example in examples:
        by_last[max(example[:images], key=order.index)].append(example)

    def right(mapped: dict[int, int], example: tuple[int, ...]) -> bool:
        read = (*(mapped[d] for d in example[:images]), *example[images:])
        return case.answer(*read) == case.answer(*example)

    found = [{}]
    for digit in order:
        longer = ({**mapped, digit: value} for mapped in found for value in case.domain)
        found = [mapped for mapped in longer if all(right(mapped, e) for e in by_last[digit])]
    return {tuple(mapped[d] for d in case.domain) for mapped in found}


def header(name: str) -> str:
    """The comment that a program starts with, in one line."""
    lines = itertools.takewhile(lambda line: line.startswith("%"), text(name).splitlines())
    return " ".join(line[1:].strip() for line in lines)
