"""The types of all predicates' arguments, inferred from the clauses.

Clauses are typed from the bottom up: each group of predicates that call each other, after those that
it calls. Finished predicates are polymorphic, so ``member/2`` on numbers says nothing about images. A goal
that is made at run time counts where its term meets what calls it: both are known by their types.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from problog.logic import Term, Var, term2list

from nesy_gedi.logic.calls import Key, Rule, key_of
from nesy_gedi.logic.slot_library import NAMES, is_arithmetic, library_types
from nesy_gedi.logic.slot_types import (
    LIST,
    Goal,
    Type,
    copied,
    goals_of,
    guess,
    mark_numbers,
    roots,
    unify,
)

_MOST_MADE = 10_000  # goals made at run time; `r(G) :- call(G, r)`, called with r, makes them without end


class ImageTypes:
    """The types of all predicates' arguments.

    Args:
        rules: heads and bodies of all clauses; a neural predicate's head with its label.
        networks: neural predicates, with the positions of their inputs.
    """

    def __init__(self, rules: Sequence[Rule], networks: Iterable[tuple[Key, set[int]]]) -> None:
        self._clauses: dict[Key, list[Rule]] = {}
        for rule in rules:
            self._clauses.setdefault(key_of(rule[0]), []).append(rule)
        self._names = NAMES | {name for name, _ in self._clauses}
        self._types = {key: tuple(Type() for _ in range(key[1])) for key in self._clauses}
        for (functor, arity), positions in networks:
            for position in positions:
                self._types[functor.strip("'"), arity][position].image = True
        self._finished: set[Key] = set()
        for group in _groups(self._clauses):
            self._infer(group)

    def query_types(self, query: Term) -> dict[str, Type]:
        """The types of a query's variables, by their names."""
        self._reset()
        found: dict[str, Type] = {}
        arguments = tuple(self._type_of(argument, found) for argument in query.args)
        self._run(key_of(query), arguments)
        self._work()
        for literal in self._literals:
            guess(literal)
        return found

    def _reset(self) -> None:
        self._builtins: deque[Goal] = deque()
        self._others: deque[Goal] = deque()  # later: a number must be known as one before images spread
        self._recursive: list[Goal] = []
        self._literals: list[Type] = []  # terms of the text, without the rests of lists
        self._seen: set[Goal] = set()
        self._made = 0

    def _infer(self, group: Sequence[Key]) -> None:
        """Type predicates that call each other, and those they call alone: nothing of it is copied yet."""
        self._reset()
        heads: list[tuple[Type, Type]] = []
        for key in group:
            for head, body in self._clauses[key]:
                names: dict[str, Type] = {}
                arguments = [self._type_of(argument, names) for argument in head.args]
                heads += zip(self._types[key], arguments, strict=True)
                label = head.probability
                if isinstance(label, Term) and label.functor == "nn" and label.arity == 4:
                    names.setdefault(str(label.args[2]), Type()).symbol = True
                if body is not None:
                    self._call(self._type_of(body, names), ())
        self._work()
        # what is known for certain first: that of `value(N, N)` both are the same then does no harm
        for own, argument in sorted(heads, key=lambda pair: _uncertainty(pair[1].root)):
            self._unify(own, argument)
        self._work()
        while self._recursive:
            key, types = self._recursive.pop()
            for own, argument in zip(self._types[key], types, strict=True):
                self._unify(own, argument)
            self._work()
        self._finished.update(group)
        for literal in self._literals:
            guess(literal)

    def _type_of(self, term: object, names: dict[str, Type]) -> Type:
        """The type of a term of the text; its variables' types are in ``names``."""
        waiting: list[tuple[Type, Term]] = []

        def new(part: object) -> Type:
            if isinstance(part, Var) and str(part) != "_":
                return names.setdefault(str(part), Type())
            found = Type()
            if isinstance(part, Term) and not isinstance(part, Var):
                waiting.append((found, _plain(part)))
            return found

        top, tails = new(term), set()
        while waiting:
            found, part = waiting.pop()
            key = key_of(part)
            if part.arity == 0 and key[0] not in self._names:
                key = ("", 0)  # which constant it is does not matter
            found.terms[key] = tuple(map(new, part.args))
            if part.arity and found not in tails:
                self._literals.append(found)
            if key == LIST:
                tails.add(found.terms[key][1])
        return top

    def _call(self, goal: Type, extra: tuple[Type, ...]) -> None:
        """Run a goal with further arguments: what it is known to be now, and what it will turn out to be."""
        for made in goals_of(goal.root, extra):
            self._run(*made)
        goal.root.calls.append(extra)

    def _run(self, key: Key, arguments: tuple[Type, ...]) -> None:
        if is_arithmetic(key) and key not in self._types:
            for argument in arguments:
                mark_numbers(argument)
        else:
            (self._others if key in self._types else self._builtins).append((key, arguments))

    def _unify(self, one: Type, other: Type) -> None:
        for made in unify(one, other):
            self._made += 1
            if self._made <= _MOST_MADE:
                self._run(*made)

    def _work(self) -> None:
        """Go through all goals that wait."""
        while self._builtins or self._others:
            key, arguments = (self._builtins or self._others).popleft()
            if (goal := (key, roots(arguments))) in self._seen:
                continue
            self._seen.add(goal)
            if key in self._types and key not in self._finished:
                self._recursive.append((key, arguments))
                continue
            types = copied(self._types[key]) if key in self._types else library_types(key)
            for own, argument in zip(types, arguments, strict=False):
                self._unify(argument, own)


def _uncertainty(root: Type) -> int:
    return 0 if root.image else 1 if root.compound else 2 if root.symbol else 3


def _plain(term: Term) -> Term:
    """``G =.. [digit, X, 1]`` as ``G = digit(X, 1)``; any other term as it is."""
    if key_of(term) != ("=..", 2):
        return term
    try:
        functor, *arguments = term2list(term.args[1], False)
    except ValueError:
        return term
    known = type(functor) is Term and functor.arity == 0
    return Term("=", term.args[0], functor(*arguments)) if known else term


def _groups(clauses: dict[Key, list[Rule]]) -> list[list[Key]]:
    """The predicates, in groups that call each other, after those that they call (Kosaraju's algorithm).

    Whatever names a predicate in a clause may be called: a goal may be made of it.
    """
    by_name: dict[str, list[Key]] = {}
    for key in clauses:
        by_name.setdefault(key[0], []).append(key)
    below: dict[Key, list[Key]] = {}
    above: dict[Key, list[Key]] = {key: [] for key in clauses}
    for key, rules in clauses.items():
        named = dict.fromkeys(n for head, body in rules for part in (*head.args, body) for n in _names(part))
        below[key] = [called for name in named for called in by_name.get(name, ())]
        for called in below[key]:
            above[called].append(key)
    seen: set[Key] = set()
    order = [key for start in clauses for key in _reached(start, below, seen)]
    seen = set()
    groups = [list(_reached(start, above, seen)) for start in reversed(order)]
    return [group for group in reversed(groups) if group]


def _reached(start: Key, edges: dict[Key, list[Key]], seen: set[Key]) -> Iterator[Key]:
    """What can be reached and is not seen yet, each after what can be reached from it."""
    path = [] if start in seen else [(start, iter(edges[start]))]
    seen.add(start)
    while path:
        following = next((k for k in path[-1][1] if k not in seen), None)
        if following is None:
            yield path.pop()[0]
        else:
            seen.add(following)
            path.append((following, iter(edges[following])))


def _names(term: object) -> Iterator[str]:
    waiting = [term]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Term) and not isinstance(part, Var):
            yield key_of(part)[0]
            waiting += part.args
