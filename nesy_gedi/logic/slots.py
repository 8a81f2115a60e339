"""Which variables of a query stand for images: those whose value reaches a network, also inside lists.

Images flow from a neural predicate up to the heads of the clauses that call it. A fixpoint over the
clauses marks each argument of each predicate as an image, or as something that has images inside.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from problog.logic import Term, Var

from nesy_gedi.logic.calls import Key, Rule, goals

_IMAGE, _HOLDER = "image", "holder"  # the argument is an image, or a list or term with images inside
Marks = dict[Key, dict[int, str]]

# arguments of library predicates: e an element, l a list of such elements, . something else
_LIBRARY: dict[Key, str] = {
    ("member", 2): "el",
    ("memberchk", 2): "el",
    ("append", 3): "lll",
    ("reverse", 2): "ll",
    ("permutation", 2): "ll",
    ("select", 3): "ell",
    ("selectchk", 3): "ell",
    ("delete", 3): "lel",
    ("nth0", 3): ".le",
    ("nth1", 3): ".le",
    ("nth0", 4): ".lel",
    ("nth1", 4): ".lel",
    ("last", 2): "le",
    ("same_length", 2): "..",
}
_MAPS = {"maplist": 0, "foldl": 2}  # list arguments follow the goal; so many at the end are no lists


def image_arguments(rules: Sequence[Rule], networks: Iterable[tuple[Key, set[int]]]) -> Marks:
    """For each predicate the arguments that are images or hold images.

    Args:
        rules: heads and bodies of all clauses.
        networks: neural predicates, with the positions of their inputs.
    """
    marks: Marks = defaultdict(dict)
    for key, positions in networks:
        marks[key].update(dict.fromkeys(positions, _IMAGE))
    bodies, size = [(head, list(_goals(body))) for head, body in rules if body is not None], -1
    while size != (size := sum(map(len, marks.values()))):
        bodies.reverse()  # back and forth: a chain of clauses is settled in two rounds, either way
        for head, body in bodies:
            found = _variables(body, marks)
            key = (head.functor, head.arity)
            for position, argument in enumerate(head.args):
                mark = _mark_of(argument, found)
                if mark:
                    marks[key].setdefault(position, mark)
    return dict(marks)


def image_variables(query: Term, marks: Marks) -> tuple[list[Var], list[Var]]:
    """The query's variables that are images, and those that stand for a whole list of them.

    The second kind cannot be grounded: nobody knows how long the list is.
    """
    found: dict[str, str] = {}
    for position, mark in sorted(marks.get((query.functor, query.arity), {}).items()):
        _take(query.args[position], mark, found)
    named = {str(variable): variable for variable in variables(query)}
    images = [named[name] for name, mark in found.items() if mark == _IMAGE]
    return images, [named[name] for name, mark in found.items() if mark == _HOLDER]


def variables(term: object) -> Iterator[Var]:
    """The variables in a term, from left to right, each as often as it stands there."""
    if isinstance(term, Var):
        yield term
    elif isinstance(term, Term):
        for argument in term.args:
            yield from variables(argument)


def _goals(body: object) -> Iterator[Term]:
    """The goals of a body, and what maplist/N and foldl/N run: of the elements only the place is known."""
    for goal in goals(body):
        yield goal
        if goal.functor in _MAPS and goal.arity > 1 and type(goal.args[0]) is Term:
            yield goal.args[0](*goal.args[0].args, *[Var("_")] * (goal.arity - 1))


def _mark_of(argument: object, found: dict[str, str]) -> str | None:
    if isinstance(argument, Var):
        return found.get(str(argument))
    return _HOLDER if any(str(v) in found for v in variables(argument)) else None


def _variables(body: list[Term], marks: Marks) -> dict[str, str]:
    """The variables of one body that are images or hold some."""
    found: dict[str, str] = {}
    size = -1
    while size != (size := len(found)):
        for goal in body:
            for position, mark in _marks_of(goal, marks, found).items():
                _take(goal.args[position], mark, found)
    return found


def _take(argument: object, mark: str, found: dict[str, str]) -> None:
    if isinstance(argument, Var):
        if str(argument) != "_":
            found.setdefault(str(argument), mark)
    elif isinstance(argument, Term) and argument.functor == "." and argument.arity == 2:
        _take(argument.args[0], _IMAGE, found)
        _take(argument.args[1], _HOLDER, found)
    elif isinstance(argument, Term):
        for inner in argument.args:
            _take(inner, _IMAGE, found)


def _marks_of(goal: Term, marks: Marks, found: dict[str, str]) -> dict[int, str]:
    key = (goal.functor, goal.arity)
    if key in marks:
        return marks[key]
    if key in _LIBRARY:
        kinds = _LIBRARY[key]
        touched = any(_mark_of(a, found) for a, kind in zip(goal.args, kinds, strict=True) if kind != ".")
        names = {"e": _IMAGE, "l": _HOLDER}
        return {i: names[kind] for i, kind in enumerate(kinds) if touched and kind in names}
    if goal.functor.strip("'") == "=" and goal.arity == 2:
        known = [mark for argument in goal.args if (mark := _mark_of(argument, found))]
        return dict.fromkeys((0, 1), known[0]) if known else {}
    if goal.functor in _MAPS and goal.arity > 1 and isinstance(goal.args[0], Term):
        called, lists = goal.args[0], goal.arity - 1 - _MAPS[goal.functor]
        inner = marks.get((called.functor, called.arity + goal.arity - 1), {})
        read = {i: inner[called.arity + i - 1] for i in range(1, goal.arity) if called.arity + i - 1 in inner}
        return {i: _HOLDER if i <= lists else mark for i, mark in read.items()}
    if goal.functor in ("findall", "all", "all_or_none") and goal.arity == 3:
        if isinstance(goal.args[0], Var) and _mark_of(goal.args[2], found):
            return {0: _IMAGE, 2: _HOLDER}
        return {2: _HOLDER} if _mark_of(goal.args[0], found) else {}
    return {}
