"""Types of values, as far as they tell images from symbols: found by unification, as in ML.

A type knows the terms that its values may be, with types for their arguments, so a list is a term whose
second argument has the list's own type, and ``pr(Image, Number)`` keeps its two sides apart.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from nesy_gedi.logic.calls import Key


class Type:
    """What is known of a value. Types that have turned out to be the same share one root.

    Attributes:
        image: it reaches a network.
        symbol: it is a class that a network answers, or a number that is reckoned with.
        perhaps: it stands beside an image, and counts as one if nothing else becomes known of it.
        terms: by functor and arity the types of a term's arguments; constants have none.
        calls: it is run as a goal, each time with these further arguments.
    """

    __slots__ = ("_parent", "calls", "image", "perhaps", "symbol", "terms")

    def __init__(self, image: bool = False, symbol: bool = False, perhaps: bool = False) -> None:
        self.image, self.symbol, self.perhaps = image, symbol, perhaps
        self.terms: dict[Key, tuple[Type, ...]] = {}
        self.calls: list[tuple[Type, ...]] = []
        self._parent: Type | None = None

    @property
    def root(self) -> "Type":
        """The type that stands for all that are the same as this one."""
        found = self
        while found._parent is not None:
            if found._parent._parent is not None:
                found._parent = found._parent._parent
            found = found._parent
        return found

    @property
    def compound(self) -> bool:
        """Whether it may be a term with arguments; asked of a root."""
        return any(self.terms.values())

    @property
    def unknown(self) -> bool:
        """Whether nothing is known; asked of a root."""
        return not (self.image or self.symbol or self.terms or self.calls)

    def same_as(self, other: "Type") -> None:
        """Take over what a root knows, and let this root stand for both."""
        self.image, self.symbol = self.image or other.image, self.symbol or other.symbol
        self.perhaps = self.perhaps or other.perhaps
        self.terms = {**other.terms, **self.terms}
        known = {roots(call) for call in self.calls}
        self.calls += [call for call in other.calls if roots(call) not in known]
        other._parent, other.terms, other.calls = self, {}, []


Goal: TypeAlias = tuple[Key, tuple[Type, ...]]  # a predicate, with the types of its arguments
LIST: Key = (".", 2)


def list_of(element: Type) -> Type:
    """The type of lists with such elements."""
    found = Type()
    found.terms[LIST] = (element, found)
    return found


def roots(types: Sequence[Type]) -> tuple[Type, ...]:
    """Their roots; equal for equal types."""
    return tuple(a.root for a in types)


def unify(one: Type, other: Type) -> list[Goal]:
    """Make two types the same, except where one of them is a symbol and the other an image or a term.

    Such a pair comes from a predicate that takes both, as ``value(N, N). value(I, N) :- digit(I, N).``;
    each then remains what it is.

    Returns:
        The goals that have become known because a term meets a place that runs it.
    """
    made: list[Goal] = []
    waiting = [(one, other)]
    while waiting:
        a, b = roots(waiting.pop())
        if a is b or (a.symbol and (b.image or b.compound)) or (b.symbol and (a.image or a.compound)):
            continue
        made += [goal for extra in a.calls for goal in goals_of(b, extra)]
        made += [goal for extra in b.calls for goal in goals_of(a, extra)]
        for key in a.terms.keys() & b.terms.keys():
            waiting += zip(a.terms[key], b.terms[key], strict=True)
        a.same_as(b)
    return made


def goals_of(goal: Type, extra: tuple[Type, ...]) -> Iterator[Goal]:
    """What is run where this root is called with further arguments."""
    for (functor, arity), arguments in goal.terms.items():
        yield (functor, arity + len(extra)), arguments + extra


def copied(types: Sequence[Type]) -> tuple[Type, ...]:
    """The same types anew, so that a predicate can be used for images here and for symbols there."""
    twins: dict[Type, Type] = {}
    waiting: list[Type] = []

    def twin(original: Type) -> Type:
        root = original.root
        if root not in twins:
            twins[root] = Type(root.image, root.symbol, root.perhaps)
            waiting.append(root)
        return twins[root]

    found = tuple(map(twin, types))
    while waiting:
        root = waiting.pop()
        twins[root].terms = {key: tuple(map(twin, parts)) for key, parts in root.terms.items()}
        twins[root].calls = [tuple(map(twin, extra)) for extra in root.calls]
    return found


def inside(start: Type) -> Iterator[Type]:
    """The roots of a type and of all that its terms may hold, each once."""
    seen, waiting = {start.root}, [start.root]
    while waiting:
        yield (root := waiting.pop())
        further = {part.root for parts in root.terms.values() for part in parts} - seen
        seen |= further
        waiting += further


def has_images(start: Type) -> bool:
    """Whether it is an image or may hold some."""
    return any(root.image for root in inside(start))


def mark_numbers(expression: Type) -> None:
    """What an expression reckons with is a symbol."""
    for root in inside(expression):
        if not root.compound and not root.image:
            root.symbol = True


def guess(literal: Type) -> None:
    """Take for an image what stands beside one, if nothing is known of it.

    As ``B`` where only the first of ``[A, B]`` is read; and what is inside a term that a network is given.
    """
    root = literal.root
    if root.calls:  # a goal, not a value
        return
    if root.image:
        for part in inside(root):
            part.perhaps = True
    for key, arguments in root.terms.items():
        parts = roots(_elements(root) if key == LIST else arguments)
        samples = [next((p for p in parts if p.image), None)]
        samples.append(next((p for p in parts if p.compound and not p.image and has_images(p)), None))
        for sample in samples:
            for part in parts if sample else ():
                _guess_alike(sample, part)


def _guess_alike(sample: Type | None, part: Type) -> None:
    seen, waiting = set(), [(sample or part, part)]
    while waiting:
        a, b = pair = roots(waiting.pop())
        if a is b or pair in seen:
            continue
        seen.add(pair)
        if a.image and b.unknown:
            b.perhaps = True
        for key in a.terms.keys() & b.terms.keys():
            waiting += zip(a.terms[key], b.terms[key], strict=True)


def _elements(cell: Type) -> list[Type]:
    found: list[Type] = []
    seen: set[Type] = set()
    while cell not in seen and LIST in cell.terms:
        seen.add(cell)
        found.append(cell.terms[LIST][0])
        cell = cell.terms[LIST][1].root
    return found
