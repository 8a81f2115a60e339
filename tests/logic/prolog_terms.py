"""Terms and rules of the tests' brute-force interpreter, as ProbLog's parser reads them (test support)."""

import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from problog.logic import AnnotatedDisjunction, Clause, Constant, Or, term2list
from problog.logic import Var as ParsedVar
from problog.program import PrologString

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, ">": operator.gt, "=<": operator.le, ">=": operator.ge,
    "=:=": operator.eq, "=\\=": operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "mod": operator.mod,
}  # fmt: skip
_anonymous = itertools.count(1)  # every `_` is a variable of its own


@dataclass(frozen=True)
class Var:
    """A variable; the copies that the uses of one clause make differ in their serial number."""

    name: str
    serial: int = 0


Value: TypeAlias = Any  # a Var, a number, or a tuple of a functor and its arguments
Bindings: TypeAlias = dict[Var, Value]


def builtin(name: str, args: Sequence[Value], s: Bindings) -> list[Bindings] | None:
    """The bindings under which a built-in goal holds; None if it is none."""
    if name == "true":
        return [s]
    if name in _COMPARE:
        return [s] if _COMPARE[name](evaluate(args[0], s), evaluate(args[1], s)) else []
    if name in ("=", "is"):
        t = unify(args[0], evaluate(args[1], s) if name == "is" else args[1], s)
        return [] if t is None else [t]
    if name in ("\\=", "\\=="):
        return [s] if unify(args[0], args[1], s) is None else []
    return None


def evaluate(term: Value, s: Bindings) -> float:
    """Value of an arithmetic expression."""
    term = resolve(term, s)
    if isinstance(term, tuple):
        return _ARITHMETIC[term[0]](evaluate(term[1], s), evaluate(term[2], s))
    assert isinstance(term, int | float), f"{term} is not bound"
    return term


def resolve(term: Value, s: Bindings) -> Value:
    """A term with its variables replaced as far as they are bound."""
    while isinstance(term, Var) and term in s:
        term = s[term]
    if isinstance(term, tuple):
        return (term[0], *(resolve(argument, s) for argument in term[1:]))
    return term


def unify(one: Value, other: Value, s: Bindings) -> Bindings | None:
    """The bindings that make two terms equal, None if nothing does (no occurs check)."""
    one, other = resolve(one, s), resolve(other, s)
    if one == other:
        return s
    if isinstance(one, Var) or isinstance(other, Var):
        return {**s, one: other} if isinstance(one, Var) else {**s, other: one}
    if not (isinstance(one, tuple) and isinstance(other, tuple)) or key_of(one) != key_of(other):
        return None
    for a, b in zip(one[1:], other[1:], strict=True):
        t = unify(a, b, s)
        if t is None:
            return None
        s = t
    return s


def show(term: Value) -> str:
    """A ground term as ProbLog writes it."""
    if not isinstance(term, tuple):
        return str(term)
    arguments = f"({','.join(map(show, term[1:]))})" if len(term) > 1 else ""
    return f"{term[0]}{arguments}"


@dataclass(frozen=True)
class Choice:
    """A random variable: a network's reading of some images, or the alternatives of one ground disjunction.

    Attributes:
        network: its name; empty for constant probabilities.
        inputs: names of the images that the network reads.
        size: number of values.
        weights: constant probabilities of the values; the last value of an incomplete disjunction is "none".
    """

    network: str
    inputs: tuple[str, ...]
    size: int
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A clause, with the random choice that it makes for every binding of its variables, if any.

    Attributes:
        heads: value of the choice that makes the head true, and the head.
        body: a goal, None for a fact.
        network: whose reading the choice is; empty for constant probabilities.
        inputs: what the network reads.
        weights: constant probabilities of the values; the last one of an incomplete disjunction is "none".
        size: number of values of the choice; 0 without one.
        variables: those whose bindings tell one choice from another.
    """

    heads: tuple[tuple[int, Value], ...]
    body: Value | None
    network: str = ""
    inputs: tuple[Value, ...] = ()
    weights: tuple[float, ...] = ()
    size: int = 0
    variables: tuple[Var, ...] = ()


def rule_of(statement: Any) -> Rule:
    """A rule of ProbLog's parser as one of ours."""
    heads, body = [statement], None
    if isinstance(statement, Clause | AnnotatedDisjunction):
        body = term_of(statement.body)
        heads = statement.heads if isinstance(statement, AnnotatedDisjunction) else [statement.head]
    heads = [head for h in heads for head in (h.to_list() if isinstance(h, Or) else [h])]
    label = heads[0].probability
    plain = [term_of(head.with_probability(None)) for head in heads]
    if label is None:
        return Rule(((0, plain[0]),), body)
    bound = tuple(dict.fromkeys(variables((",", *plain, body or ("true",)))))
    if label.functor == "nn":
        network, inputs = str(label.args[0]), tuple(map(term_of, term2list(label.args[1], False)))
        if len(label.args) == 2:
            return Rule(((1, plain[0]),), body, network, inputs, (), 2, inputs)
        output, domain = term_of(label.args[2]), [term_of(d) for d in term2list(label.args[3], False)]
        pairs = tuple((k, resolve(plain[0], {output: symbol})) for k, symbol in enumerate(domain))
        return Rule(pairs, body, network, inputs, (), len(domain), inputs)
    weights = [_number(head.probability) for head in heads]
    rest = 1 - sum(weights)
    weights += [rest] if rest > 1e-9 else []
    return Rule(tuple(enumerate(plain)), body, "", (), tuple(weights), len(weights), bound)


def _number(label: Any) -> float:
    learnable = getattr(label, "functor", "") == "t" and label.args
    return float((label.args[0] if learnable else label).compute_value())


def parsed(text: str) -> Value:
    """The term that a text with a full stop says."""
    (statement,) = PrologString(text)
    return term_of(statement)


def term_of(parsed: Any) -> Value:
    """A term of ProbLog's parser as one of ours; every ``_`` gets a name of its own."""
    if isinstance(parsed, ParsedVar):
        return Var(parsed.name if parsed.name != "_" else f"_{next(_anonymous)}")
    if isinstance(parsed, Constant):
        return parsed.value
    return (str(parsed.functor).strip("'"), *map(term_of, parsed.args))


def key_of(term: Value) -> str:
    """Functor and arity."""
    return f"{term[0]}/{len(term) - 1}"


def variables(term: Value) -> Iterator[Var]:
    """The variables in a term, each as often as it stands there."""
    if isinstance(term, Var):
        yield term
    elif isinstance(term, tuple):
        for argument in term[1:]:
            yield from variables(argument)


def is_ground(term: Value) -> bool:
    """Whether a term has no variables."""
    return not any(True for _ in variables(term))


def fresh(term: Value, serial: int) -> Value:
    """A copy of a clause's term with variables of its own."""
    return replaced(term, {v: Var(v.name, serial) for v in variables(term)})


def canonical(goal: Value) -> Value:
    """The goal with its variables numbered: the same for goals that differ in their names only."""
    return replaced(goal, {v: Var("", k) for k, v in enumerate(dict.fromkeys(variables(goal)))})


def replaced(term: Value, names: Bindings) -> Value:
    """A term with other variables, all at once."""
    if isinstance(term, tuple):
        return (term[0], *(replaced(argument, names) for argument in term[1:]))
    return names[term] if isinstance(term, Var) else term


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Text with other names for whole words."""
    return re.sub(r"\b\w+\b", lambda word: names.get(word[0], word[0]), text)


def arguments_of(atom: str) -> list[str]:
    """The arguments of an atom, as text without spaces."""
    parts, depth = [""], 0
    for character in atom.replace(" ", "").partition("(")[2][:-1]:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def fixed(text: str) -> str:
    """A program with its learnable probabilities ``t(p)`` at their first values."""
    return re.sub(r"\bt\(([\d./]+)\)", r"\1", text)
