"""Mistakes that show in a program's clauses before it is grounded, each with its place and what to do."""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from problog.logic import And, Constant, Not, Or, Term, Var

from nesy_gedi.logic.calls import Call, Key, Rule, calls, key_of
from nesy_gedi.logic.cycles import defined, name, negative_cycle, unfounded_cycles
from nesy_gedi.logic.explain import explain
from nesy_gedi.logic.foreign import FOREIGN
from nesy_gedi.logic.sandbox import (
    LIBRARIES,
    LOADERS,
    builtins,
    imported,
    library_predicates,
    refused,
    refused_import,
)
from nesy_gedi.logic.source import ProgramError, Source, first_character

__all__ = ["check_calls", "explain", "negative_cycle"]

_COLLECTORS = {("findall", 3), ("all", 3), ("all_or_none", 3)}
_ONE_GOAL = {"call", "call_nc", "try_call", "once", "forall", "possible", "subquery", "on_fail"}


def check_calls(
    source: Source,
    rules: Sequence[Rule],
    extra: Collection[Key] = (),
    libraries: Collection[str] = (),
    trusted: bool = False,
) -> list[ProgramError]:
    """All mistakes in what clauses define and call, in source order.

    Args:
        source: the program's text.
        rules: heads and bodies of all clauses; directives have the head ``_directive``.
        extra: predicates that are defined otherwise.
        libraries: names in ``:- use_module(library(name))``; those of directives among the rules are added.
        trusted: whether the program may load files; if it does, nobody knows what is defined there.
    """
    return _Checker(source, rules, extra, libraries, trusted).errors()


class _Checker:
    """Holds what is defined, and goes through what is called."""

    def __init__(
        self,
        source: Source,
        rules: Sequence[Rule],
        extra: Collection[Key],
        libraries: Collection[str],
        trusted: bool,
    ) -> None:
        self.source, self.rules, self.trusted = source, rules, trusted
        self.own = defined(rules)
        self.found = [call for _, body in rules for call in calls(body, self.own)]
        brought = {key for library in libraries for key in library_predicates(library)}
        brought |= {key for call in self.found for key in imported(call.goal)}
        self.known = {*self.own, *extra, *brought, *builtins()}
        # of a trusted program that loads something, nobody knows what it defines
        loads = any(call.key in LOADERS and not imported(call.goal) for call in self.found)
        self.open = trusted and (loads or any(library not in LIBRARIES for library in libraries))

    def errors(self) -> list[ProgramError]:
        """All of them, in source order."""
        places: dict[tuple[int, str], ProgramError] = {}
        found = (*self._heads(), *self._alternatives(), *self._goals(), *self._unfounded())
        for place, message in found:
            offset = first_character(place) or 0
            places.setdefault((offset, message), self.source.error_at(offset, message))
        return [places[key] for key in sorted(places, key=lambda key: key[0])]

    def _heads(self) -> Iterator[tuple[Term, str]]:
        for head, _ in self.rules:
            key = key_of(head)
            if key in builtins() or refused(key) is not None:
                yield head, f"{name(key)} is built into ProbLog: give your predicate another name"
            elif key == ("-->", 2):
                yield head, "`-->` is not supported: write clauses with two more arguments, lists"
            elif key == ("-", 2) and str(head.args[0]) == "?":
                yield head, "`?-` asks nothing here: write query(…)."
            elif key == (":", 2) and isinstance(head.args[0], Constant):
                yield head, f"`{head.args[0]}:` is no probability: write `{head.args[0]}::`"

    def _alternatives(self) -> Iterator[tuple[Term, str]]:
        """Heads without a probability beside heads with one: ProbLog breaks on them."""
        beside: dict[int, list[Term]] = {}
        for head, body in self.rules:
            if body is not None:  # heads of one clause share its body
                beside.setdefault(id(body), []).append(head)
        for heads in beside.values():
            chances = [head for head in heads if head.probability is not None]
            for head in heads if chances else []:
                if head.probability is None:
                    yield head, f"{head} has no probability, but {chances[0]} beside it has: give it one"

    def _goals(self) -> Iterator[tuple[Term, str]]:
        for call in self.found:
            message = self._goal(call)
            if message is not None:
                yield call.goal, message
            if call.goal.probability is not None:
                goal = call.goal.with_probability(None)
                yield call.goal, f"the probability of {goal} counts for nothing in a body: give it to a head"
            if call.key[0] in _ONE_GOAL and call.key not in self.own:
                yield from _conjunctions(call)
            if call.key in _COLLECTORS:
                for argument in call.goal.args:
                    if isinstance(argument, Var) and str(argument) == "_":
                        yield argument, f"ProbLog breaks on `_` as an argument of {name(call.key)}: write _X"

    def _goal(self, call: Call) -> str | None:
        """What is wrong with calling this predicate."""
        key = call.key
        if isinstance(call.goal, Constant):
            return f"{call.goal} is no goal: call a predicate here"
        if not self.trusted and (why := refused(key) or refused_import(call.goal)) is not None:
            return why
        if key in self.known or refused(key) is not None:
            return None
        foreign = FOREIGN.get(key[0]) or FOREIGN.get(name(key))
        if foreign is not None:
            return f"{name(key)} is not in ProbLog: {foreign}"
        return None if self.open else self._unknown(key)

    def _unknown(self, key: Key) -> str:
        negative = (key[0].removesuffix("_p") + "_n", key[1])
        if key[0].endswith("_p") and negative in self.own:  # what ProbLog makes of `\+p :- …`
            head = name((key[0].removesuffix("_p"), key[1]))
            return f"a head \\+{head} takes away from {head}, which has no clause of its own: write one"
        for library in LIBRARIES:
            if key in library_predicates(library):
                return f"{name(key)} is in library({library}): add `:- use_module(library({library})).`"
        arities = sorted(arity for functor, arity in self.known if functor == key[0])
        if arities:
            there = ", ".join(name((key[0], arity)) for arity in arities)
            return f"wrong arity: defined is {there}, called is {name(key)}"
        near = get_close_matches(key[0], {f for f, _ in self.known if f[:1].isalpha()}, n=1)
        if not near:
            return f"unknown predicate {name(key)}: write a clause that defines it, or mend the name"
        same = [k for k in self.known if k[0] == near[0]]
        closest = min(same, key=lambda k: abs(k[1] - key[1]))
        return f"unknown predicate {name(key)}: did you mean {name(closest)}?"

    def _unfounded(self) -> Iterator[tuple[Term, str]]:
        for cycle in () if self.open else unfounded_cycles(self.rules):
            what = f"{' -> '.join(map(name, cycle))}: can never hold, since each needs the next"
            yield self.own[cycle[0]], f"{what}: add a clause that needs none of them"


def _conjunctions(call: Call) -> Iterator[tuple[Term, str]]:
    """Goals handed over as (a, b) or (a ; b), which ProbLog runs only in a clause of their own."""
    for argument in call.goal.args:
        inner = argument.args[0] if isinstance(argument, Not) else argument
        if isinstance(inner, And | Or):
            what = f"{name(call.key)} takes one goal, not `{inner}`"
            yield inner, f"{what}: define a predicate by it and call that one"
