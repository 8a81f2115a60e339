"""Which variables have no value: from the numbers and terms of an error of ProbLog's to names in the text."""

from collections.abc import Iterator, Sequence
from typing import Any

from problog.engine_builtin import mode_types
from problog.errors import ProbLogError
from problog.logic import Not, Term, Var, is_variable

from nesy_gedi.logic.calls import Rule


def variables(term: object, positive: bool = False) -> Iterator[str]:
    """Names of variables in the order in which they stand, each as often.

    Args:
        term: a term; its arguments come first, then its probability.
        positive: leave out what stands below a negation.
    """
    if isinstance(term, Var):
        yield str(term)
    elif isinstance(term, Term) and not (positive and isinstance(term, Not)):
        for argument in term.args:
            yield from variables(argument, positive)
        yield from variables(term.probability, positive)


def unbound_in_clause(error: ProbLogError, rule: Rule, rules: Sequence[Rule]) -> list[str]:
    """Variables of a probabilistic clause without a value once its body holds.

    ProbLog numbers variables in the order in which the heads and then the body mention them.

    Args:
        error: raised by :class:`~nesy_gedi.logic.places.PlacedEngine`; for an error of ProbLog's own
            engine, the variables that no goal of the body mentions.
        rule: one head of the clause, and its body.
        rules: all heads and bodies; heads of one clause share their body.
    """
    head, body = rule
    numbers = getattr(error, "unbound", None)
    if numbers is None:
        given = set(variables(body))
        return [name for name in dict.fromkeys(variables(head)) if name not in given]
    heads = [h for h, b in rules if h is head or (body is not None and b is body)]
    order: list[str] = []
    for name in [name for h in heads for name in _head_variables(h)] + list(variables(body)):
        if name == "_" or name not in order:  # every `_` is a variable of its own
            order.append(name)
    return [order[number] for number in numbers if number < len(order)]


def _head_variables(head: Term) -> Iterator[str]:
    """As they stand when the head is grounded: networks with their classes, parameters as numbers."""
    kind = getattr(head.probability, "functor", "")
    if kind not in ("nn", "t"):
        yield from variables(head)
        return
    label = head.probability
    output = str(label.args[2]) if label.arity == 4 else ""
    yield from (name for name in variables(head.with_probability(None)) if name != output)
    if kind == "nn":
        yield from variables(label.args[1])


def unbound_in_goal(error: ProbLogError, goal: Term) -> list[str]:
    """Variables of a goal that had no value, but needed one, in the call that failed.

    Args:
        error: raised by :class:`~nesy_gedi.logic.places.PlacedEngine`; others do not know the arguments.
        goal: the goal as written.
    """
    arguments = getattr(error, "arguments", ())
    if len(arguments) != goal.arity:
        return []
    wrong = _misfits(arguments, getattr(error, "expected", ()))
    found = (name for i in wrong for name in _free(goal.args[i], arguments[i]))
    return list(dict.fromkeys(found))


def _misfits(arguments: Sequence[Any], expected: Sequence[str]) -> list[int]:
    """Which arguments do not fit the mode of a builtin that fits best."""
    tests = dict(mode_types.values())
    modes = [mode.split(", ") for mode in expected] or [["ground"] * len(arguments)]
    misfits = [[i for i, kind in enumerate(mode) if not tests[kind](arguments[i])] for mode in modes]
    return min(misfits, key=len)


def _free(written: Any, value: Any) -> Iterator[str]:
    """Variables in a term as written that stand for a variable in its value."""
    if isinstance(written, Var):
        if is_variable(value):
            yield str(written)
    elif isinstance(written, Term) and isinstance(value, Term):
        for inner, its_value in zip(written.args, value.args, strict=True):
            yield from _free(inner, its_value)
