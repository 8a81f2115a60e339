"""Brute force: every world of a small program, found by an interpreter of its own (test support).

ProbLog's parser reads the text; nothing else of ProbLog is used. A goal's answers are sets of worlds,
kept as the bits of one integer, computed top-down with tables until nothing changes (so positive cycles
end), with the negated goals completed first (so negation has to be stratified).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from problog.program import PrologString
from prolog_terms import (
    Bindings,
    Choice,
    Rule,
    Value,
    Var,
    builtin,
    canonical,
    fresh,
    is_ground,
    key_of,
    parsed,
    resolve,
    rule_of,
    show,
    unify,
)
from torch import Tensor

_MOST_WORLDS = 2**14


@dataclass
class Worlds:
    """The worlds of a program that matter to some goals.

    Args:
        text: the program, with constants in the place of all images, without variables in its evidence.
        goals: atoms, with variables perhaps; the program's own queries by default.

    Attributes:
        choices: the random variables that the goals and the evidence come across; the last varies fastest.
        count: number of worlds.
        answers: for each goal its ground instances, as text, with the bits of the worlds where they hold.
        evidence: bits of the worlds where all evidence holds.
    """

    text: str
    goals: Sequence[str] | None = None
    choices: list[Choice] = field(default_factory=list)
    count: int = 1

    def __post_init__(self) -> None:
        self._rules: dict[str, list[tuple[int, Rule]]] = {}
        self._evidence: list[tuple[Value, bool]] = []
        own = list(self._read(self.text))
        queries = own if self.goals is None else [parsed(f"{goal}.") for goal in self.goals]
        self._index: dict[tuple[Any, ...], int] = {}
        self._masks: list[list[int]] | None = None  # None while the choices are collected
        self._solve_all(queries)
        self.count = math.prod(choice.size for choice in self.choices)
        if self.count > _MOST_WORLDS:
            raise OverflowError(f"{self.count} worlds are too many for brute force")
        self._masks = [self._value_masks(k) for k in range(len(self.choices))]
        self.answers, self.evidence = self._solve_all(queries)

    def _read(self, text: str) -> Iterator[Value]:
        for statement in PrologString(text):
            rule = rule_of(statement)
            _, head = rule.heads[0]
            if head[0] == "query":
                yield head[1]
            elif head[0] == "evidence":
                positive = len(head) == 2 or head[2] == ("true",)
                negated = head[1][0] == "\\+"
                self._evidence.append((head[1][1] if negated else head[1], positive != negated))
            else:
                for key in {key_of(head) for _, head in rule.heads}:
                    self._rules.setdefault(key, []).append((id(rule), rule))

    def _solve_all(self, queries: Sequence[Value]) -> tuple[list[dict[str, int]], int]:
        complete: dict[Value, dict[Value, int]] = {}
        found = [_Prover(self, complete).answers(query) for query in queries]
        answers = [{show(atom): bits for atom, bits in table.items() if bits} for table in found]
        evidence = self.all
        for atom, positive in self._evidence:
            holds = _Prover(self, complete).answers(atom).get(atom, 0)
            evidence &= holds if positive else self.all & ~holds
        return answers, evidence

    @property
    def all(self) -> int:
        """The bits of all worlds."""
        return (1 << self.count) - 1

    def rules(self, goal: Value) -> list[tuple[int, Rule]]:
        """The rules with a head that may match, with a number that names the rule."""
        return self._rules.get(key_of(goal), [])

    def chosen(self, number: int, rule: Rule, values: Sequence[Value], choice_value: int) -> int:
        """Bits of the worlds in which a ground rule's choice has a value; notes choices it has not seen.

        Args:
            number: names the rule.
            values: of the rule's variables.
            choice_value: which value of the choice.
        """
        assert all(map(is_ground, values)), f"{rule} is not ground: {values}"
        inputs = tuple(show(resolve(v, dict(zip(rule.variables, values, strict=True)))) for v in rule.inputs)
        key = (number, *values)
        if key not in self._index:
            assert self._masks is None, "a choice turned up late"
            self._index[key] = len(self.choices)
            self.choices.append(Choice(rule.network, inputs, rule.size, rule.weights))
        return self.all if self._masks is None else self._masks[self._index[key]][choice_value]

    @property
    def collecting(self) -> bool:
        """Whether choices are still looked for; everything counts as possible meanwhile."""
        return self._masks is None

    def _value_masks(self, number: int) -> list[int]:
        values = self.values(number)
        return [sum(1 << w for w in (values == value).nonzero().flatten().tolist())
                for value in range(self.choices[number].size)]  # fmt: skip

    def values(self, number: int) -> Tensor:
        """The value of a choice in every world, ``(count,)``."""
        inner = math.prod(choice.size for choice in self.choices[number + 1 :])
        return torch.arange(self.count) // inner % self.choices[number].size

    def member(self, bits: int) -> Tensor:
        """A set of worlds as booleans, ``(count,)``."""
        return torch.tensor([bit == "1" for bit in f"{bits:0{self.count}b}"[::-1]])

    def log_weights(
        self, tables: Mapping[tuple[str, tuple[str, ...]], Tensor], alike: Mapping[int, Tensor] | None = None
    ) -> Tensor:
        """Log-probability of every world in nats, ``(count,)``, float64, differentiable.

        Args:
            tables: log-probabilities of the classes for each network and its inputs.
            alike: by the number of a choice, which values count as one and weigh what they weigh together.
        """
        total = torch.zeros(self.count, dtype=torch.float64)
        for number, choice in enumerate(self.choices):
            table = torch.tensor(choice.weights, dtype=torch.float64).log()
            if choice.network:
                table = tables[choice.network, choice.inputs]
            if alike and number in alike:
                together = torch.where(alike[number], table, -torch.inf)
                table = together.logsumexp(1)
            total = total + table[self.values(number)]
        return total

    def alike(self, number: int) -> Tensor:
        """Which values of a choice make no difference to answers and evidence: bool, ``(size, size)``."""
        size = self.choices[number].size
        inner = math.prod(choice.size for choice in self.choices[number + 1 :])
        sets = [self.evidence, *(bits for answers in self.answers for bits in answers.values())]
        table = torch.stack([self.member(bits) for bits in sets]).view(len(sets), -1, size, inner)
        return (table.unsqueeze(2) == table.unsqueeze(3)).flatten(0, 1).all(0).all(-1)


class _Prover:
    """Finds the answers of one goal: its ground instances and the worlds in which they hold.

    Args:
        complete: answers that are known; gains those of the goal and of all that it calls.
    """

    def __init__(self, worlds: Worlds, complete: dict[Value, dict[Value, int]]) -> None:
        self.worlds, self.complete = worlds, complete
        self.tables: dict[Value, dict[Value, int]] = {}  # not complete yet
        self.begun: set[Value] = set()  # goals of this round
        self.open: list[Value] = []  # those whose rules are being gone through
        self.cyclic = False  # whether one of these was called, so that another round is needed
        self.serial = 0

    def answers(self, goal: Value) -> dict[Value, int]:
        """All answers of an atom, with the bits of their worlds."""
        top, before = canonical(goal), None
        while top not in self.complete and before != self.tables:
            before = {key: dict(table) for key, table in self.tables.items()}
            self.begun, self.cyclic = set(), False
            self._round(top)
            if not self.cyclic:
                break
        for called, table in self.tables.items():
            # what a negated goal has completed meanwhile was not gone through again
            self.complete.setdefault(called, table)
        return self.complete[top]

    def _round(self, goal: Value) -> dict[Value, int]:
        """Once through all rules of a goal; what else they call is gone through on the way, once."""
        table = self.tables.setdefault(goal, {})
        self.begun.add(goal)
        self.open.append(goal)
        for number, rule in self.worlds.rules(goal):
            self.serial += 1
            serial = self.serial  # proving the body counts on
            for value, head in rule.heads:
                s = unify(goal, fresh(head, serial), {})
                if s is None:
                    continue
                for t, bits in self._prove(fresh(rule.body, serial), s, self.worlds.all):
                    if rule.size:
                        own = [resolve(Var(v.name, serial), t) for v in rule.variables]
                        bits &= self.worlds.chosen(number, rule, own, value)
                    answer = resolve(goal, t)
                    table[answer] = table.get(answer, 0) | bits
        self.open.remove(goal)
        return table

    def _prove(self, goal: Value, s: Bindings, bits: int) -> Iterator[tuple[Bindings, int]]:
        if not bits:
            return
        name, *args = goal if goal is not None else ("true",)
        if name == ",":
            for t, some in self._prove(args[0], s, bits):
                yield from self._prove(args[1], t, some)
        elif name == ";":
            yield from self._prove(args[0], s, bits)
            yield from self._prove(args[1], s, bits)
        elif name == "\\+":
            inner = resolve(args[0], s)
            assert is_ground(inner), f"{inner} is not ground"
            holds = _Prover(self.worlds, self.complete).answers(inner).get(inner, 0)
            yield s, bits if self.worlds.collecting else bits & ~holds
        elif (bindings := builtin(name, args, s)) is not None:
            yield from ((t, bits) for t in bindings)
        else:
            called = resolve(goal, s)
            for answer, some in list(self._table(canonical(called)).items()):
                u = unify(called, answer, s)
                if u is not None and bits & some:
                    yield u, bits & some

    def _table(self, goal: Value) -> dict[Value, int]:
        if goal in self.complete:
            return self.complete[goal]
        if goal not in self.begun:
            return self._round(goal)
        self.cyclic = self.cyclic or goal in self.open
        return self.tables[goal]
