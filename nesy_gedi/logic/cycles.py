"""Cycles among the predicates of a program: through a negation, or without a way in."""

import itertools
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence

from problog.logic import And, Or, Term, Var

from nesy_gedi.logic.calls import Call, Key, Rule, calls, key_of
from nesy_gedi.logic.source import first_character

_TRANSPARENT = {"", "call", "call_nc", "once"}  # what these run has to hold for them to hold


def defined(rules: Sequence[Rule]) -> dict[Key, Term]:
    """The predicates that clauses define, with the head of the first clause, in source order."""
    found: dict[Key, Term] = {}
    for head, _ in rules:
        found.setdefault(key_of(head), head)
    return found


def unfounded_cycles(rules: Sequence[Rule]) -> list[tuple[Key, ...]]:
    """Predicates that can never hold because each waits for the next, around a circle.

    The predicates that can hold are the least fixpoint of "some clause's body can hold", where
    negations, builtins and predicates without clauses count as true (van Gelder, Ross and Schlipf, The
    well-founded semantics for general logic programs, 1991, on the level of predicates). Among the others
    there is one cycle for each strongly connected component, a shortest one through its first predicate.
    """
    own = defined(rules)
    held: set[Key] = set()
    open_rules, size = [(key_of(head), body) for head, body in rules], -1
    while size != (size := len(held)):
        # back and forth: a chain of clauses is settled in two rounds, whichever way it is written
        for key, body in reversed(open_rules):
            if key not in held and _can_hold(body, own, held):
                held.add(key)
        open_rules = [(key, body) for key, body in reversed(open_rules) if key not in held]
    waits: dict[Key, set[Key]] = {key: set() for key in own if key not in held}
    for head, body in rules:
        if key_of(head) in waits:
            needed = (c.key for c in calls(body, own) if not c.negated and c.via in _TRANSPARENT)
            waits[key_of(head)].update(key for key in needed if key in waits)
    found, told = [], set()
    for key in waits:
        path = _shortest_path(waits, waits[key], key)
        if path is not None and key not in told:
            found.append((key, *path))
            told |= {k for k in waits if _shortest_path(waits, {k}, key) and _shortest_path(waits, {key}, k)}
    return found


def _can_hold(body: object, own: Container[Key], held: set[Key]) -> bool:
    if isinstance(body, Var) or not isinstance(body, Term):
        return True
    if isinstance(body, And):
        return _can_hold(body.op1, own, held) and _can_hold(body.op2, own, held)
    if isinstance(body, Or):
        return _can_hold(body.op1, own, held) or _can_hold(body.op2, own, held)
    key = key_of(body)
    if key in own:
        return key in held
    if key[0] in _TRANSPARENT and key[1] == 1:
        return _can_hold(body.args[0], own, held)
    if key[0] in _TRANSPARENT and type(body.args[0]) is Term:
        functor, arity = key_of(body.args[0])
        return (functor, arity + key[1] - 1) in held or (functor, arity + key[1] - 1) not in own
    return True


def negative_cycle(rules: Sequence[Rule], offset: int = 0) -> str | None:
    """A cycle of calls with a negation in it, as text; None if there is none.

    Such a program may still be fine: ``even(N) :- N > 0, M is N - 1, \\+ even(M)`` never comes back to the
    same number. ProbLog raises ``NegativeCycle`` where one does.

    Args:
        rules: heads and bodies of all clauses.
        offset: number of the character where ProbLog met it; the first negation from there on is preferred.
    """
    return cycle_through(rules, lambda call: call.negated, offset)


def indirect_cycle(rules: Sequence[Rule], offset: int = 0) -> str | None:
    """The same for a cycle through findall/3 and other predicates that run a goal apart."""
    return cycle_through(rules, lambda call: call.via not in _TRANSPARENT, offset)


def cycle_through(rules: Sequence[Rule], special: Callable[[Call], bool], offset: int) -> str | None:
    """A cycle with a special call in it, ``a/0 -> \\+ b/0 -> a/0``."""
    own = defined(rules)
    edges: dict[Key, dict[Key, Call]] = {key: {} for key in own}
    starts: list[tuple[bool, int, Key, Call]] = []
    for head, body in rules:
        for call in calls(body, own):
            if call.key not in own:
                continue
            edges[key_of(head)].setdefault(call.key, call)
            if special(call):
                place = first_character(call.goal) or 0
                starts.append((place < offset, place, key_of(head), call))
    for _, _, caller, call in sorted(starts, key=lambda start: start[:2]):
        path = _shortest_path({k: set(v) for k, v in edges.items()}, {call.key}, caller)
        if path is not None:
            keys = [caller, *path]
            links = [call, *(edges[a][b] for a, b in itertools.pairwise(path))]
            return name(caller) + "".join(_link(c, k) for c, k in zip(links, keys[1:], strict=True))
    return None


def name(key: Key) -> str:
    """``member/2``."""
    return f"{key[0]}/{key[1]}"


def _link(call: Call, key: Key) -> str:
    via = f"{call.via} " if call.via else ""
    return f" -> {via}{chr(92) + '+ ' if call.negated and not via else ''}{name(key)}"


def _shortest_path(edges: dict[Key, set[Key]], starts: Iterable[Key], end: Key) -> list[Key] | None:
    """The predicates from one of ``starts`` to ``end``, both included."""
    before: dict[Key, Key | None] = dict.fromkeys(starts)
    waiting = deque(before)
    while waiting:
        key = waiting.popleft()
        if key == end:
            path: list[Key] = []
            step: Key | None = key
            while step is not None:
                path.append(step)
                step = before[step]
            return path[::-1]
        for following in edges.get(key, ()):
            if following not in before:
                before[following] = key
                waiting.append(following)
    return None
