"""Who calls whom in a program, and which arguments are images: facts about variables in clause bodies."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
        if body.functor == "call" and body.arity > 1 and isinstance(body.args[0], Term):
            yield body.args[0](*body.args[0].args, *body.args[1:])  # call(p, X) calls p(X)
        elif body.functor in _META:
            for argument in body.args:
                yield from goals(argument)


def called_predicates(rules: Sequence[Rule]) -> set[Key]:
    """Predicates that some other predicate calls; calling oneself does not count."""
    called = {(g.functor, g.arity, h.functor, h.arity) for h, body in rules for g in goals(body)}
    return {(f, a) for f, a, caller, arity in called if (f, a) != (caller, arity)}


def image_arguments(rules: Sequence[Rule], neural: Key, position: int) -> dict[Key, set[int]]:
    """For each predicate the argument positions whose value is handed to the network.

    A fixpoint over the clauses: a head variable is an image if some goal of the body takes it, as it
    is or through ``X = Y``, at a position that is known to be one. Images inside lists are not followed.
    """
    reached: dict[Key, set[int]] = defaultdict(set)
    reached[neural].add(position)
    size = 0
    while size != (size := sum(map(len, reached.values()))):
        for head, body in rules:
            images = _image_variables(list(goals(body)), reached)
            key = (head.functor, head.arity)
            reached[key] |= {i for i, a in enumerate(head.args) if isinstance(a, Var) and str(a) in images}
    return dict(reached)


def _image_variables(body: list[Term], reached: dict[Key, set[int]]) -> set[str]:
    images: set[str] = set()
    for goal in body:
        positions = reached.get((goal.functor, goal.arity), set())
        images |= {str(goal.args[i]) for i in positions if isinstance(goal.args[i], Var)}
    equal = [{str(a) for a in g.args} for g in body if g.signature == "'='/2" or g.signature == "=/2"]
    for _ in equal:  # a chain of n equalities needs at most n rounds
        for pair in equal:
            if pair & images:
                images |= pair
    return images
