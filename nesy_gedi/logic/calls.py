"""Who calls whom in a program, and which arguments are images: facts about variables in clause bodies."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from problog.logic import And, Not, Or, Term, Var

Rule: TypeAlias = tuple[Term, Term | None]  # head and body; a fact has no body
Key: TypeAlias = tuple[str, int]  # functor and arity

_META = {"call", "once", "forall", "findall", "all", "all_or_none", "subquery", "not"}


def goals(body: object) -> Iterator[Term]:
    """All goals in a clause body, also below conjunction, disjunction, negation and call/N."""
    if isinstance(body, And | Or):
        yield from goals(body.op1)
        yield from goals(body.op2)
    elif isinstance(body, Not):
        yield from goals(body.child)
    elif isinstance(body, Term) and not isinstance(body, Var):
        yield body
        if body.functor == "call" and body.arity > 1 and type(body.args[0]) is Term:
            yield body.args[0](*body.args[0].args, *body.args[1:])  # call(p, X) calls p(X)
        elif body.functor in _META:
            for argument in body.args:
                yield from goals(argument)


@dataclass(frozen=True)
class Call:
    """One predicate that a clause body runs.

    Attributes:
        goal: the term that names it; in ``maplist(p, L)`` there is one for ``maplist/2`` and one for ``p/1``.
        key: functor, without quotes, and arity of the predicate.
        negated: whether it stands below a negation, or below a predicate that negates what it is given.
        via: the predicate that runs it, as ``findall`` or ``maplist``; empty if the clause itself does.
    """

    goal: Term
    key: Key
    negated: bool = False
    via: str = ""


CONNECTIVES = {("->", 2), ("*->", 2), ("|", 2), ("&", 2)}  # ProbLog reads these but cannot run them
_NEGATING = {"forall", "include", "exclude", "partition", "convlist", "on_fail", "cut"}
_HANDED = {  # which arguments are goals, and how many arguments are added when they are run
    **{(name, 3): ((1, 0),) for name in ("findall", "all", "all_or_none")},
    **{(name, 1): ((0, 0),) for name in ("call", "once", "call_nc", "try_call", "possible")},
    **{("subquery", arity): ((0, 0),) for arity in (2, 3, 5)},
    **{(name, n + 1): ((0, n),) for name in ("call", "call_nc", "try_call") for n in range(1, 9)},
    **{(name, n): ((0, n - 1),) for name in ("foldl", "scanl") for n in range(4, 8)},
    **{("maplist", n): ((0, n - 1),) for n in range(2, 6)},
    **{("cut", n): ((0, 1),) for n in range(1, 4)},
    ("forall", 2): ((0, 0), (1, 0)),
    ("on_fail", 2): ((0, 0), (1, 0)),
    ("=>", 2): ((0, 0),),
    ("include", 3): ((0, 1),),
    ("exclude", 3): ((0, 1),),
    ("partition", 4): ((0, 1),),
    ("partition", 5): ((0, 2),),
    ("convlist", 3): ((0, 2),),
    ("foldl_noinit", 3): ((0, 3),),
    ("aggregate", 5): ((0, 2), (3, 0)),
}


def key_of(term: Term) -> Key:
    """Functor, without quotes, and arity."""
    return str(term.functor).strip("'"), term.arity


def calls(body: object, own: Container[Key] = frozenset()) -> Iterator[Call]:
    """Everything a clause body runs, with polarity, also what it hands to other predicates to run.

    Args:
        body: a clause body; anything but a term runs nothing.
        own: predicates that the program defines; they do not run what they are given, whatever their name.
    """
    yield from _calls(body, own, False, "")


def _calls(body: object, own: Container[Key], negated: bool, via: str) -> Iterator[Call]:
    if isinstance(body, Var) or not isinstance(body, Term):
        return
    if isinstance(body, And | Or):
        for part in (body.op1, body.op2):
            yield from _calls(part, own, negated, via)
    elif isinstance(body, Not) or key_of(body) == ("not", 1):
        yield from _calls(body.args[0], own, True, via)
    else:
        key = key_of(body)
        yield Call(body, key, negated, via)
        if key in CONNECTIVES:
            for part in body.args:
                yield from _calls(part, own, negated, via)
        elif key not in own:
            yield from _handed(body, key, own, negated)


def _handed(goal: Term, key: Key, own: Container[Key], negated: bool) -> Iterator[Call]:
    for position, added in _HANDED.get(key, ()):
        argument = goal.args[position]
        below = negated or key[0] in _NEGATING
        if added == 0:
            yield from _calls(argument, own, below, key[0])
        elif type(argument) is Term:
            functor, arity = key_of(argument)
            yield Call(argument, (functor, arity + added), below, key[0])
