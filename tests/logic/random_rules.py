"""Literals and rules of random programs, drawn by hypothesis (test support).

What is drawn first in a list of options is simplest, so that failing programs shrink to readable ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

VALUES = {"number": ("0", "1", "2"), "term": ("a", "b", "f(a)"), "node": ("n1", "n2", "n3")}
_PROBABILITIES = ("0.5", "0.3", "0.8", "1/3", "0.05")
_WEIGHTS = {
    2: (("0.3", "0.7"), ("0.2", "0.4"), ("1/3", "2/3")),
    3: (("0.2", "0.3", "0.5"), ("0.1", "0.3", "0.2")),
}
_COMPARISONS = ("{} < {}", "{} =< {}", "{} \\= {}", "{} =\\= {}", "1 =:= ({} + {}) mod 2")

Clause = tuple[list[str], str]  # the symbols in the head, and the body


@dataclass(frozen=True)
class Predicate:
    """What may be called: the types of its arguments, and which of them have to be bound.

    Types are the keys of ``VALUES``, ``image``, and ``images`` for a list of them. A neural predicate has a
    ``domain``: symbols that make sense in its last argument.
    """

    functor: str
    types: tuple[str, ...]
    bound: tuple[int, ...] = ()
    domain: tuple[str, ...] = ()

    def atom(self, arguments: Sequence[str]) -> str:
        """The atom with these arguments."""
        return f"{self.functor}({', '.join(arguments)})" if arguments else self.functor


@dataclass(frozen=True)
class Network:
    """A neural predicate of one or two images.

    Attributes:
        name: of the network.
        functor: of the predicate.
        kind: what its classes are, ``number`` or ``term``; ``fact`` for a neural fact.
        domain: the symbols of the classes; false and true for a neural fact.
        images: how many it reads.
    """

    name: str
    functor: str
    kind: str
    domain: tuple[str, ...]
    images: int = 1

    @property
    def predicate(self) -> Predicate:
        """What rules may call."""
        types = (*["image"] * self.images, *[self.kind] * (self.kind != "fact"))
        return Predicate(self.functor, types, domain=self.domain)

    def declared(self) -> str:
        """Its statement in a DeepProbLog program."""
        images = ", ".join("IJ"[: self.images])
        if self.kind == "fact":
            return f"nn({self.name}, [{images}]) :: {self.functor}({images})."
        return f"nn({self.name}, [{images}], C, [{', '.join(self.domain)}]) :: {self.functor}({images}, C)."

    def constant(self, images: Sequence[str], probabilities: Sequence[float]) -> str:
        """The same for ProbLog, with given probabilities for given images."""
        atom = ", ".join(images)
        if self.kind == "fact":
            return f"{probabilities[1]!r} :: {self.functor}({atom})."
        heads = zip(probabilities, self.domain, strict=True)
        return "; ".join(f"{p!r} :: {self.functor}({atom}, {symbol})" for p, symbol in heads) + "."


@dataclass
class Scope:
    """What the body of a clause may mention: images, and the variables bound so far."""

    images: Sequence[str]
    bound: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in VALUES})
    names: int = 0

    def new(self, kind: str) -> str:
        """A variable that is bound from here on."""
        self.names += 1
        self.bound[kind].append(f"{kind[0].upper()}{self.names}")
        return self.bound[kind][-1]


class Writer:
    """Draws statements; ``lines`` are the program so far, ``predicates`` what its next rules may call.

    Args:
        draw: hypothesis's.
        neural: the neural predicates.
        images: constants that stand for images.
    """

    def __init__(
        self, draw: Callable[[st.SearchStrategy], Any], neural: Sequence[Predicate], images: Sequence[str]
    ):
        self.draw, self.neural, self.images = draw, list(neural), list(images)
        self.lines: list[str] = []
        self.predicates = list(neural)

    def pick(self, options: Sequence[Any]) -> Any:
        """One of them."""
        return self.draw(st.sampled_from(list(options)))

    def chance(self, percent: int) -> bool:
        """True with about this probability; shrinks to False."""
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    def some(self, options: Sequence[Any], least: int, most: int) -> list[Any]:
        """Different ones of them, in their order."""
        if not options:
            return []
        chosen = st.lists(st.sampled_from(list(options)), min_size=least, max_size=most, unique=True)
        return sorted(self.draw(chosen), key=list(options).index)

    def probability(self) -> str:
        """Of a fact, now and then learnable."""
        label = self.pick(_PROBABILITIES)
        return f"t({label})" if self.chance(15) else label

    def weights(self, count: int) -> list[str]:
        """Of alternatives: complete or not, now and then learnable."""
        labels, learnable = self.pick(_WEIGHTS[count]), self.chance(15)
        return [f"t({label})" if learnable else label for label in labels]

    def atom(self, predicate: Predicate, scope: Scope, bind: int = 0, image: str = "") -> str:
        """An atom over images, bound variables, constants and new variables.

        Args:
            bind: percentage of new variables among the arguments that may be one.
            image: its first argument, if that is to be a certain one.
        """
        arguments: list[str] = []
        fresh = []
        for position, kind in enumerate(predicate.types):
            if kind == "image":
                arguments.append(image if image and not arguments else self.pick(scope.images))
            elif kind == "images":
                arguments.append(
                    f"[{', '.join(self.pick(scope.images) for _ in range(1 + self.chance(60)))}]"
                )
            elif bind and position not in predicate.bound and self.chance(bind):
                fresh.append((position, kind))
                arguments.append("")
            else:
                arguments.append(self.pick([*(predicate.domain or VALUES[kind]), *scope.bound[kind]]))
        for position, kind in fresh:
            arguments[position] = scope.new(kind)
        return predicate.atom(arguments)

    def literal(self, scope: Scope, bind: bool = True) -> str:
        """A goal: an atom, its negation, a disjunction, a comparison, arithmetic or unification."""
        known = [*self.neural, *self.predicates[len(self.neural) :] * 3]
        usable = [p for p in known if scope.images or not {"image", "images"} & {*p.types}]
        numbers, terms = scope.bound["number"], scope.bound["term"]
        kinds = ["atom", "atom", "not"] + ["or"] * bind if usable else ["true"]
        kinds += (
            ["compare"] * bool(numbers) + ["sum"] * bool(numbers and bind) + ["unify"] * bool(terms and bind)
        )
        kind = self.pick(kinds)
        if kind == "atom":
            return self.atom(self.pick(usable), scope, 60 * bind)
        if kind == "not":
            return f"\\+ {self.atom(self.pick(usable), scope)}"
        if kind == "or":
            return f"({self.literal(scope, False)} ; {self.literal(scope, False)})"
        if kind == "compare":
            return str(self.pick(_COMPARISONS)).format(self.pick(numbers), self.pick(["1", "0", *numbers]))
        if kind == "sum":
            goal = f"is {self.pick(numbers)} {self.pick('+*-')} {self.pick(['1', *numbers])}"
            return f"{scope.new('number')} {goal}"
        return f"{self.pick(terms)} = f({scope.new('term')})" if kind == "unify" else "true"

    def reading(self, image: str, scope: Scope | None = None) -> str:
        """A neural atom on an image; with a scope it may bind a variable."""
        return self.atom(self.pick(self.neural), scope or Scope([image]), 80 * (scope is not None), image)

    def body(self, images: Sequence[str], read: Sequence[str] = ()) -> tuple[Scope, str]:
        """The body of a rule, and what it binds.

        Args:
            images: variables of the head.
            read: images that neural atoms of the body look at.
        """
        scope = Scope([*images, *self.images])
        body = [self.reading(image, scope) for image in read]
        above = [
            p
            for p in self.predicates[len(self.neural) :]
            if scope.images or not {"image", "images"} & {*p.types}
        ]
        if read and above:  # what the query looks at uses what was defined for it
            body.append(self.atom(self.pick(above[::-1]), scope, 80))
        body += [self.literal(scope) for _ in range(self.pick((0 if body else 1, 1, 2)))]
        return scope, ", ".join(body)

    def clauses(self, images: Sequence[str], read: Sequence[str] = ()) -> tuple[list[str], list[Clause]]:
        """One rule or two with the same head: the types of its symbols, and what is in each.

        Args:
            images: variables of the head.
            read: images that the first rule has to look at.
        """
        scope, body = self.body(images, read)
        bound = [kind for kind, names in scope.bound.items() if names]
        kinds = self.some(bound, min(self.pick((0, 1, 2)), len(bound)), 2)
        found = [([self.pick(scope.bound[kind][::-1]) for kind in kinds], body)]
        if self.chance(40):
            scope, body = self.body(images)
            found.append(([self.pick(scope.bound[kind][::-1] or VALUES[kind]) for kind in kinds], body))
        return kinds, found

    def rule(self) -> None:
        """A predicate with a rule or two over what is there, now and then with a probability."""
        images = ["I"] if self.chance(70) else []
        kinds, clauses = self.clauses(images)
        predicate = Predicate(f"p{len(self.lines)}", (*["image"] * len(images), *kinds))
        label = f"{self.probability()} :: " if self.chance(20) else ""
        for values, body in clauses:
            self.lines.append(f"{label}{predicate.atom([*images, *values])} :- {body}.")
            label = ""
        self.predicates.append(predicate)
