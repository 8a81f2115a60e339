"""Random DeepProbLog programs for hypothesis, small enough for brute force (test support).

Every program asks for a predicate ``top`` over one or two networks, which look at the query's images and
at constants of the program. Negation is stratified: rules only call what stands before them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from typing import Any

import torch
from hypothesis import assume, reject
from hypothesis import strategies as st
from possible_worlds import Worlds
from prolog_terms import arguments_of, fixed, renamed
from random_ingredients import INGREDIENTS
from random_rules import VALUES, Network, Predicate, Writer
from torch import Tensor

Inputs = tuple[str, tuple[str, ...]]  # a network and the images that it is given

_MOST_WORLDS = 2**12
NAMES = {"X": "x1", "Y": "x2"}  # the query's image variables, and the constants that oracles put there
_SYMBOLS = ("A", "B")  # its other variables


@dataclass(frozen=True)
class RandomProgram:
    """A program with what the oracles need to know of it.

    Attributes:
        text: the program; images of the query are its variables X and Y.
        query: the atom in its ``query(…)``.
        networks: the neural predicates.
        slots: the query's image variables, in their order in the query.
        constants: images that stand in the program itself.
        symbols: positions of the query's arguments that are free symbols.
        evidence: whether there is some.
        seed: of the networks' outputs.
    """

    text: str
    query: str
    networks: tuple[Network, ...]
    slots: tuple[str, ...]
    constants: tuple[str, ...]
    symbols: tuple[int, ...]
    evidence: bool
    seed: int

    @cached_property
    def worlds(self) -> Worlds:
        """The worlds of the query, with different constants for its images."""
        return _worlds([self.instance()])

    def instance(self, names: Mapping[str, str] = NAMES) -> str:
        """The text with constants for the query's images."""
        return self.text.replace(f"query({self.query})", f"query({renamed(self.query, names)})")

    def problog(self, tables: Mapping[Inputs, Tensor], names: Mapping[str, str] = NAMES) -> str:
        """The program for plain ProbLog, with the networks' log-probabilities written in."""
        lines = [line for line in self.instance(names).splitlines() if not line.startswith("nn(")]
        by_name = {network.name: network for network in self.networks}
        constants = [
            by_name[n].constant(images, table.exp().tolist()) for (n, images), table in tables.items()
        ]
        return fixed("\n".join([*constants, *lines]))

    def logits(self, scale: float = 1.5, row: int = 0) -> dict[Inputs, Tensor]:
        """Random logits, float64 leaves, for every network and all images that it may be given.

        Args:
            scale: their standard deviation.
            row: different ones for every row of a batch.
        """
        generator = torch.Generator().manual_seed(self.seed + row)
        images = [*(NAMES[slot] for slot in self.slots), *self.constants]
        found: dict[Inputs, Tensor] = {}
        for network in self.networks:
            for seen in product(images, repeat=network.images):
                values = torch.randn(len(network.domain), generator=generator, dtype=torch.float64)
                found[network.name, seen] = (scale * values).requires_grad_()
        return found

    def answer(self, atom: str) -> str:
        """The free symbols of a ground instance of the query, as text."""
        arguments = arguments_of(atom)
        return ", ".join(arguments[position] for position in self.symbols)


@st.composite
def random_programs(
    draw: Callable[[st.SearchStrategy], Any], evidence: bool = True, slots: Sequence[int] = (1, 2, 1, 2, 0)
) -> RandomProgram:
    """Programs of at most 4096 worlds whose query is possible.

    Args:
        evidence: whether there may be evidence; it has a probability above zero.
        slots: how many images the query may have.
    """
    images = tuple(draw(st.sampled_from(["XY", "YX"]))[: draw(st.sampled_from(list(slots)))])
    constants = ("img1", "img2")[: draw(st.integers(0 if images else 1, 3 - max(1, len(images))))]
    networks = tuple(draw(_networks(len(images) + len(constants))))
    writer = Writer(draw, [network.predicate for network in networks], constants)
    writer.lines += [network.declared() for network in networks]
    for ingredient in writer.some(INGREDIENTS, 0, 3):
        ingredient(writer)
    for _ in range(draw(st.integers(0, 2))):
        writer.rule()
    query = _top(writer, images)
    observed = _evidence(writer, query) if evidence else []
    query = _asked(writer, [*writer.lines, *observed], query)
    text = "\n".join([*writer.lines, *observed, f"query({query}).", ""])
    used = tuple(image for image in constants if re.search(rf"\b{image}\b", text))
    assume(images or used)
    asked = arguments_of(query)
    order = tuple(argument for argument in asked if argument in NAMES)
    symbols = tuple(position for position, argument in enumerate(asked) if argument in _SYMBOLS)
    seed = draw(st.integers(0, 999))
    program = RandomProgram(text, query, networks, order, used, symbols, bool(observed), seed)
    assume(program.worlds.count > 1)
    return program


@st.composite
def _networks(draw: Callable[[st.SearchStrategy], Any], images: int) -> list[Network]:
    numbers = draw(st.sampled_from([("0", "1"), ("0", "1", "2"), ("2", "0")]))
    terms = draw(st.sampled_from([("a", "b"), ("b", "f(a)"), ("a", "f(b)", "f(a)"), ("f(f(a))", "0")]))
    menu = [
        Network("net1", "digit", "number", numbers),
        Network("net2", "shape", "term", terms),
        Network("net3", "bright", "fact", ("false", "true")),
        Network("net4", "near", "term", ("a", "b"), images=2),
    ]
    most = 1 if images > 2 else 2
    networks: list[Network] = draw(st.lists(st.sampled_from(menu), min_size=1, max_size=most, unique=True))
    return networks


def _top(writer: Writer, images: tuple[str, ...]) -> str:
    """Writes the predicate that is asked for; returns the query with all its variables."""
    kinds, clauses = writer.clauses(images, images or writer.images[:1])
    symbols_first = writer.chance(30)

    def atom(values: Sequence[str]) -> str:
        return Predicate("top", ()).atom([*values, *images] if symbols_first else [*images, *values])

    def rules() -> list[str]:
        return [f"{atom(values)} :- {body}." for values, body in clauses]

    query = atom(_SYMBOLS[: len(kinds)])
    worlds = _worlds([*writer.lines, *rules()], [query])
    sure = _reading(writer.neural[0], (images or writer.images)[0])
    if not worlds.answers[0]:
        clauses.append(([VALUES[kind][0] for kind in kinds], sure))
    elif all(holds == worlds.all for holds in worlds.answers[0].values()):
        clauses = [(values, f"{body}, {sure}") for values, body in clauses]
    writer.lines += rules()
    return query


def _reading(neural: Predicate, image: str) -> str:
    """A neural atom on one image that is true in some worlds and false in others."""
    arguments = [image if kind == "image" else neural.domain[0] for kind in neural.types]
    return neural.atom(arguments)


def _worlds(lines: Sequence[str], goals: Sequence[str] | None = None) -> Worlds:
    """The worlds for goals, with image variables perhaps; gives the draw up if they are too many."""
    try:
        worlds = Worlds("\n".join(lines), None if goals is None else [renamed(goal, NAMES) for goal in goals])
    except OverflowError:
        reject()
    assume(worlds.count <= _MOST_WORLDS)
    return worlds


def _evidence(writer: Writer, query: str) -> list[str]:
    """Statements of evidence that says something and leaves the query possible."""
    lines: list[str] = []
    goals = [
        _goal(writer, p) for p in writer.predicates if writer.images or not {"image", "images"} & {*p.types}
    ]
    for _ in range(writer.pick((1, 0, 2)) if goals else 0):
        worlds = _worlds([*writer.lines, *lines], [query, writer.pick(goals)])
        wanted, found = worlds.answers
        told: list[str] = []  # evidence that changes how often the query holds
        others: list[str] = []
        for atom, bits in sorted(found.items()):
            for holds, forms in (
                (bits, [f"evidence({atom}).", f"evidence({atom}, true)."]),
                (worlds.all & ~bits, [f"evidence({atom}, false).", f"evidence(\\+ {atom})."]),
            ):
                left = worlds.evidence & holds
                if left != worlds.evidence and any(left & answer for answer in wanted.values()):
                    before, after = (_shares(wanted, some) for some in (worlds.evidence, left))
                    (others if before == after else told).extend(forms)
        if told or others:
            lines.append(writer.pick(told or others))
    return lines


def _shares(answers: Mapping[str, int], given: int) -> list[Fraction]:
    return [Fraction((answer & given).bit_count(), given.bit_count()) for answer in answers.values()]


def _goal(writer: Writer, predicate: Predicate) -> str:
    """A goal that evidence may be about: constants for images, and for what has to be bound."""
    arguments = []
    for position, kind in enumerate(predicate.types):
        image = writer.pick(writer.images) if kind in ("image", "images") else ""
        symbol = "1" if position in predicate.bound else "_"
        arguments.append({"image": image, "images": f"[{image}]"}.get(kind, symbol))
    return predicate.atom(arguments)


def _asked(writer: Writer, lines: Sequence[str], query: str) -> str:
    """The query, now and then with symbols of a possible answer in the place of its variables."""
    symbols = [name for name in arguments_of(query) if name in _SYMBOLS]
    if not symbols or not writer.chance(20):
        return query
    worlds = _worlds(lines, [query])
    possible = [atom for atom, holds in worlds.answers[0].items() if holds & worlds.evidence]
    found = dict(zip(arguments_of(query), arguments_of(writer.pick(possible)), strict=True))
    return renamed(query, {name: found[name] for name in writer.some(symbols, 1, 2)})
